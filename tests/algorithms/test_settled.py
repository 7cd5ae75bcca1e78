"""What is read from and set on an algorithm from outside."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from anyspace import PPO
from anyspace.errors import ConfigError

SMALL: dict[str, Any] = {
    "preset": "none",
    "train_batch_size": 32,
    "minibatch_size": 32,
    "model": {"fcnet_hiddens": [4]},
}


@pytest.fixture(scope="module")
def algorithm() -> Iterator[PPO]:
    with closing(PPO("CartPole-v1", **SMALL)) as built:
        yield built


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("gamma", "It is `config.gamma` here."),
        ("learning_rate", "Settings are in `config`. It is called `lr` here"),
        ("num_workers", "It is `config.num_env_runners` here."),
        ("use_lstm", "Settings are in `config`. It belongs under `model`: `model={'use_lstm': ...}`."),
        ("tensorboard_log", "learn(steps, out='runs/mine') writes"),
        ("env", "`env_spec` says what the environment is"),
    ],
)
def test_settings_are_not_changed_on_an_algorithm(algorithm: PPO, name: str, answer: str) -> None:
    with pytest.raises(AttributeError, match=re.escape(f"'PPO' object has no attribute {name!r}. {answer}")):
        getattr(algorithm, name)
    for value in (1e-6, None, lambda progress: progress):
        with pytest.raises(
            ConfigError, match=re.escape(f"PPO.{name} cannot be set: nothing would come of it. {answer}")
        ):
            setattr(algorithm, name, value)
    assert name not in vars(algorithm)


def test_what_is_no_setting_may_be_set(algorithm: PPO) -> None:
    algorithm.seed, algorithm.note = 5, "mine"  # type: ignore[attr-defined]
    assert (algorithm.seed, vars(algorithm)["note"]) == (5, "mine")


def test_a_class_of_somebodys_keeps_what_it_likes() -> None:
    class Mine(PPO):
        def setup(self) -> None:
            super().setup()
            self.gamma = "mine"

        def note(self) -> None:
            self.logger = "mine"

    with closing(Mine("CartPole-v1", **SMALL)) as built:
        built.note()
        assert (built.gamma, built.logger) == ("mine", "mine")


def test_numbers_that_losses_read_are_assigned() -> None:
    with closing(PPO("CartPole-v1", **SMALL)) as mine:
        with pytest.raises(ConfigError, match=r"^PPO\.config cannot be set: only half of it would come of it"):
            mine.config = dataclasses.replace(mine.config, lr=0.5)
        with pytest.raises(ConfigError, match=r"^PPO\.kl_coeff is a KLPenalty, .* PPO\.kl_coeff\.assign\(0\.5\)"):
            mine.kl_coeff = 0.5  # type: ignore[assignment]
        with pytest.raises(ConfigError, match=r"^PPO\.entropy_coeff is a Scheduled, .*: give its schedule"):
            mine.entropy_coeff = 0.5  # type: ignore[assignment]
        mine.kl_coeff.assign(0.5)
        assert float(mine.kl_coeff) == 0.5
