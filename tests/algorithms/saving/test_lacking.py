"""What messages say of code that is not in a checkpoint's files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from anyspace import PPO, Algorithm, Policy
from anyspace.algorithms.ppo import PPOConfig
from anyspace.algorithms.saving import trust
from anyspace.algorithms.saving.lacking import announce, loading_line
from anyspace.errors import CheckpointError
from tests.support.tasks import Countdown

SMALL: dict[str, Any] = {"train_batch_size": 16, "minibatch_size": 8, "num_epochs": 1, "model": {"fcnet_hiddens": [4]}}


def test_the_line_to_write_for_items_of_a_list(tmp_path: Path) -> None:
    def first(env: Any) -> Any:
        return gym.Wrapper(env)

    def second(env: Any) -> Any:
        return gym.Wrapper(env)

    for wrappers, line in (
        ([first], "[first]"),
        ([first, second], "[first, second]"),
        ([gym.wrappers.OrderEnforcing, second], "[your_wrapper, second]"),
    ):
        PPO("CartPole-v1", SMALL, wrappers=wrappers).save(tmp_path)
        with pytest.raises(CheckpointError) as caught:
            Algorithm.load(tmp_path)
        *_, handing, acting = str(caught.value).splitlines()
        assert handing == f'  Algorithm.load({str(tmp_path)!r}, config={{"wrappers": {line}}})'
        assert acting == f"To act you need none of these: Policy.load({str(tmp_path)!r})."
        assert Policy.load(tmp_path).compute_single_action(np.zeros(4, np.float32)) in (0, 1)
        Algorithm.load(tmp_path, config={"wrappers": wrappers}).close()


def test_an_id_that_a_script_registered_is_told_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Scripted(Countdown):
        __module__ = "__main__"

    monkeypatch.setattr(gym.envs.registration, "registry", registry := dict(gym.registry))
    monkeypatch.setattr(gym, "registry", registry)
    for entry_point in (Scripted, "__main__:Scripted"):
        gym.register("Scripted-v0", entry_point)
        assert not trust.wants({"env": "Scripted-v0"}), "this process has it"
        assert loading_line({"env": "Scripted-v0"}, PPOConfig) == "Algorithm.load('PATH', env=YourEnv)"
        caplog.clear()
        announce({"env": "Scripted-v0"}, PPOConfig)
        assert "that no other process can import: env (Scripted-v0)" in caplog.text
        del registry["Scripted-v0"]
