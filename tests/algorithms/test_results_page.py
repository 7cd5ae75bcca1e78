"""docs/results.md names every number of a result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from anyspace import DQN, PPO, Algorithm

PAGE = (Path(__file__).parent.parent.parent / "docs" / "results.md").read_text()


@pytest.mark.parametrize("kind", [PPO, DQN])
def test_the_page_names_every_number(kind: type[Algorithm[Any]]) -> None:
    settings: dict[str, Any] = {"train_batch_size": 32, "evaluate_every": 1, "evaluation_episodes": 1, "seed": 0}
    if kind is DQN:
        settings |= {"min_sample_timesteps_per_iteration": 64, "num_steps_sampled_before_learning_starts": 32}
    algo = kind("CartPole-v1", {**settings, "model": {"fcnet_hiddens": [4]}})
    result = algo.train()
    algo.close()
    names = {*result, *result["learner"], *result["evaluation"]} - {"model"}
    missing = [name for name in sorted(names) if f"`{name}`" not in PAGE]
    assert not missing, missing
