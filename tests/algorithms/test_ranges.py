"""What a sweep tries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from anyspace import PPO
from anyspace.algorithms import ALGORITHMS
from anyspace.algorithms.layers import overridden
from anyspace.algorithms.ppo import PPOConfig
from anyspace.algorithms.presets import named_preset, preset_names
from anyspace.algorithms.ranges import Range, as_ranges, ranges_file, shipped_ranges
from anyspace.config import nested
from anyspace.errors import ConfigError


class Trial:
    """Suggests the upper end of everything."""

    def suggest_float(self, name: str, low: float, high: float, log: bool = False) -> float:
        return high

    def suggest_int(self, name: str, low: int, high: int, log: bool = False) -> int:
        return high

    def suggest_categorical(self, name: str, choices: list[str]) -> str:
        return choices[-1]


@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_algorithm_ships_ranges_of_its_keys(name: str) -> None:
    kind = ALGORITHMS[name]
    config = kind.config_class()
    ranges = as_ranges(shipped_ranges(kind.__mro__), config)
    assert {"lr", "train_batch_size", "model.fcnet_hiddens"} <= {one.path for one in ranges}
    settings = overridden(config, nested({one.path: one.drawn(Trial()) for one in ranges}))
    assert settings.model.fcnet_hiddens == [256, 256]
    assert settings.lr > config_of_low(config, ranges).lr


def config_of_low(config: Any, ranges: list[Range]) -> Any:
    return overridden(config, {"lr": next(one.low for one in ranges if one.path == "lr")})


@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_end_of_a_shipped_range_is_a_trial(name: str) -> None:
    """Whatever the preset beneath: what is refused would be pruned, and trials are dear."""
    kind = ALGORITHMS[name]
    config = kind.config_class()
    if hasattr(config, "input"):
        config = overridden(config, {"input": "sampler"})
    presets = [named_preset(kind.name(), preset).settings for preset in preset_names(kind.name())]
    for one in as_ranges(shipped_ranges(kind.__mro__), config):
        for beneath in ({}, *presets):
            for end in one.ends:
                tried = nested({one.path: end})
                overridden(config, beneath, tried).fitted({one.path, "input"}).validate()


def test_a_sub_class_has_the_ranges_of_its_parent() -> None:
    mine = type("Mine", (PPO,), {})
    assert shipped_ranges(mine.__mro__) == shipped_ranges(PPO.__mro__)
    with pytest.raises(ConfigError, match="no ranges are shipped for object"):
        shipped_ranges((object,))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "there is nothing to try"),
        ({"learning_rat": {"low": 1, "high": 2}}, "`learning_rat`, which is no configuration key"),
        ({"model": {"fcnet": {"choices": [1]}}}, "`model.fcnet`, which is no configuration key.|range of `model`"),
        ({"lr": 3}, "the range of `lr` is 3: write { low"),
        ({"lr": {"low": 2.0, "high": 1.0}}, "the range of `lr` is 2.0 to 1.0, which is none"),
        ({"lr": {"low": 0.0, "high": 1.0, "log": True}}, "0.0 to 1.0, log, which is none"),
        ({"lr": {"choices": []}}, "the range of `lr` has no choices"),
        ({"lr": {"choices": ["x"]}}, "`lr` takes float, but 'x'"),
        ({"num_epochs": {"low": 1.5, "high": 3.0}}, "`num_epochs` takes int, but 1.5"),
    ],
)
def test_wrong_ranges_are_refused(content: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        as_ranges(content, PPOConfig())


def test_files(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("lambda = { low = 0.5, high = 1.0 }")
    assert as_ranges(ranges_file(tmp_path / "a.toml"), PPOConfig()) == [Range("lambda_", 0.5, 1.0)]
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        ranges_file(tmp_path / "b.toml")
    (tmp_path / "b.toml").write_text("lr =")
    with pytest.raises(ConfigError, match="is no TOML"):
        ranges_file(tmp_path / "b.toml")
