"""What a process that acts alone imports."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from anyspace import BC, DQN, PPO

ACT = """
import sys
from anyspace import Policy

for name in ("ppo", "dqn", "bc"):
    policy = Policy.load(name)
    assert policy.compute_single_action(policy.observation_space.sample()) in policy.action_space
print(*sorted(sys.modules))
"""

TRAINING = (
    *(f"anyspace.algorithms.{name}" for name in ("a2c", "appo", "impala", "pg", "sac", "scaling", "settings")),
    *(f"anyspace.data.{name}" for name in ("collector", "priorities", "recent", "replay", "ring")),
    "anyspace.cli",
    "anyspace.execution.callbacks",
    "anyspace.execution.curves",
    "anyspace.execution.dispatch",
    "anyspace.execution.fleet",
    "anyspace.execution.jax_learner",
    "anyspace.execution.ray_fleet",
    "anyspace.execution.run",
    "anyspace.execution.run_folder",
    "anyspace.execution.tf_learner",
    "anyspace.execution.torch_learner",
    "anyspace.execution.torch_packs",
    "anyspace.execution.training",
    "anyspace.execution.transport",
    "anyspace.execution.worker",
    "gymnasium.envs.classic_control.cartpole",
    "jax",
    "matplotlib",
    "onnxruntime",
    "ray",
    "tensorboard",
    "tensorflow",
    "torch.onnx._internal.exporter",
)
"""Other algorithms, who collects and learns, the environment, what draws and logs, and other frameworks."""


def test_a_policy_is_loaded_without_training_and_environment(tmp_path: Path) -> None:
    small: dict[str, Any] = {"model": {"fcnet_hiddens": [8]}, "preset": "none", "train_batch_size": 8}
    recorded = str(tmp_path / "recorded")
    with closing(PPO("CartPole-v1", output=recorded, minibatch_size=8, num_epochs=1, **small)) as ppo:
        ppo.train()
        ppo.save(tmp_path / "ppo")
    with closing(DQN("CartPole-v1", **small)) as dqn, closing(BC(input=recorded, **small)) as bc:
        dqn.save(tmp_path / "dqn")
        bc.save(tmp_path / "bc")
    done = subprocess.run([sys.executable, "-c", ACT], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not {*TRAINING} & {*done.stdout.split()}
