"""Words of other command lines."""

from __future__ import annotations

import pytest

from anyspace.cli.other_words import require_no_yaml
from anyspace.errors import ConfigError


def test_a_key_of_an_algorithm_may_be_a_file_of_yaml() -> None:
    require_no_yaml(["CartPole-v1", "--algo", "mine:Mine", "--scenario", "world.yaml", "--map=world.yml"])
    for words in (["world.yaml"], ["-f", "world.yaml"], ["CartPole-v1", "--conf-file=world.yml"]):
        with pytest.raises(ConfigError, match="experiments are TOML here"):
            require_no_yaml(words)
