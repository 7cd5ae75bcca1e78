"""docs/results.md names every number of a result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from anyspace import DQN, MARWIL, PPO, SAC, Algorithm

PAGE = (Path(__file__).parent.parent.parent / "docs" / "results.md").read_text()
REPLAY = {"min_sample_timesteps_per_iteration": 64, "num_steps_sampled_before_learning_starts": 32}
CASES: list[tuple[type[Algorithm[Any]], str, dict[str, Any]]] = [
    (PPO, "CartPole-v1", {}),
    (DQN, "CartPole-v1", REPLAY),
    (SAC, "CartPole-v1", REPLAY),
    (SAC, "Pendulum-v1", {**REPLAY, "exploration_config": {"type": "GaussianNoise"}}),
    (DQN, "CartPole-v1", {**REPLAY, "exploration_config": {"type": "ParameterNoise"}}),
    (MARWIL, "CartPole-v1", {"input": "sampler"}),
]


@pytest.mark.parametrize(("kind", "env", "settings"), CASES, ids=[f"{kind.__name__} {env}" for kind, env, _ in CASES])
def test_the_page_names_every_number(kind: type[Algorithm[Any]], env: str, settings: dict[str, Any]) -> None:
    general = {"train_batch_size": 32, "evaluate_every": 1, "evaluation_episodes": 1, "seed": 0}
    algo = kind(env, {**general, **settings, "model": {"fcnet_hiddens": [4]}})
    result = algo.train()
    algo.close()
    names = {*result, *result["learner"], *result["evaluation"], *result.get("exploration", {})} - {"model"}
    missing = [name for name in sorted(names) if f"`{name}`" not in PAGE]
    assert not missing, missing
