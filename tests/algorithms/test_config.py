from __future__ import annotations

import dataclasses
import re

import pytest

from anyspace import PPO
from anyspace.algorithms.config import ELSEWHERE
from anyspace.errors import ConfigError


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("learning_rate", "`lr`"),
        ("gae_lambda", "`lambda_`"),
        ("num_gpus", "`device`"),
        ("horizon", "TimeLimit"),
        ("log_level", "leave it out"),
        ("lrr", "Did you mean 'lr'"),
        ("zzzz", "Known keys here: _disable_action_flattening,"),
    ],
)
def test_keys_of_other_libraries_are_explained(key: str, hint: str) -> None:
    with pytest.raises(ConfigError, match=f"unknown config key `{key}`.*{hint}"):
        PPO("CartPole-v1", {key: 1})


def test_what_is_said_of_keys_of_other_libraries_is_true() -> None:
    known = {item.name for item in dataclasses.fields(PPO.config_class)}
    assert not known & ELSEWHERE.keys()
    assert {name for words in ELSEWHERE.values() for name in re.findall("`(\\w+)`", words)} <= known
