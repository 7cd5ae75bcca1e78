"""What a process that acts alone imports."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from anyspace import PPO

ACT = """
import sys
import numpy as np
from anyspace import Policy

policy = Policy.load("run")
assert policy.compute_single_action(np.zeros(4, np.float32)) in (0, 1)
print(*sorted(sys.modules))
"""

TRAINING = (
    "anyspace.execution.jax_learner",
    "anyspace.execution.tf_learner",
    "anyspace.execution.torch_learner",
    "anyspace.execution.torch_packs",
    "anyspace.cli",
    "gymnasium.envs.classic_control.cartpole",
    "jax",
    "matplotlib",
    "onnxruntime",
    "tensorboard",
    "tensorflow",
    "torch.onnx._internal.exporter",
)
"""Learners, the environment, what draws and logs, and frameworks that the policy is not of."""


def test_a_policy_is_loaded_without_learner_and_environment(tmp_path: Path) -> None:
    PPO("CartPole-v1", model={"fcnet_hiddens": [8]}, preset="none").save(tmp_path / "run")
    done = subprocess.run([sys.executable, "-c", ACT], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not {*TRAINING} & {*done.stdout.split()}
