from __future__ import annotations

import pytest

from anyspace import PPO
from anyspace.errors import ConfigError


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("learning_rate", "`lr`"),
        ("gae_lambda", "`lambda_`"),
        ("num_gpus", "`device`"),
        ("horizon", "TimeLimit"),
        ("log_level", "logger 'anyspace'"),
        ("lrr", "Did you mean 'lr'"),
        ("zzzz", "Known keys here: _disable_action_flattening,"),
    ],
)
def test_keys_of_other_libraries_are_explained(key: str, hint: str) -> None:
    with pytest.raises(ConfigError, match=f"unknown config key `{key}`.*{hint}"):
        PPO("CartPole-v1", {key: 1}, preset="none")
