"""The picture of a pipeline: what is in its boxes, and what it is drawn into."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from gymnasium import spaces
from PIL import Image

from anyspace import PPO
from anyspace.errors import ConfigError
from anyspace.execution.pipeline_picture import draw_pipeline, pipeline_columns, short_space
from tests.support.environments import Samples

NESTED = spaces.Dict(at=spaces.Box(-4, 4, (2,)), kind=spaces.Discrete(3))
ACTIONS = spaces.Tuple([spaces.Discrete(2), spaces.Box(0, 5, (1,))])


def test_the_columns_follow_the_data(tmp_path: Path) -> None:
    algo = PPO(lambda: Samples(NESTED, ACTIONS), model={"fcnet_hiddens": [8], "use_lstm": True, "lstm_cell_size": 4})
    columns = {column.title: column.boxes for column in pipeline_columns(algo.policy)}
    stages = ["observation", "preprocessor", "filter", "model", "memory and views", "distribution", "action"]
    assert list(columns) == stages
    assert [box.name for box in columns["observation"]] == [['obs["at"]'], ['obs["kind"]']]
    assert "one-hot, 3 values" in columns["preprocessor"][1].lines
    assert columns["filter"][0].lines == ["obs_flat: 5 float32"]
    assert [box.lines for box in columns["memory and views"]] == [["float32 (4,)"]] * 2
    assert columns["distribution"][0].lines[0] == "takes 4 outputs"
    assert columns["action"][1].lines[:1] == ["Box (1,) float32 in [0, 5]"]
    # Arrows between what lies side by side are level.
    assert [box.count for box in columns["observation"]] == [box.count for box in columns["preprocessor"]]
    draw_pipeline(algo.policy, tmp_path / "a.svg", "PPO on $1 costs $2")
    assert "<svg" in (tmp_path / "a.svg").read_text()
    draw_pipeline(algo.policy, tmp_path / "a.png", "PPO")
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size[0] > 2000
    with pytest.raises(ConfigError, match=r"is to be a\.bmp, but pictures end in"):
        draw_pipeline(algo.policy, Path("a.bmp"), "PPO")
    with pytest.raises(ConfigError, match=r"gone/a\.svg cannot be written: No such file or directory"):
        draw_pipeline(algo.policy, tmp_path / "gone" / "a.svg", "PPO")


def test_long_columns_are_cut() -> None:
    many = spaces.Tuple([spaces.Discrete(2)] * 30)
    algo = PPO(lambda: Samples(many, spaces.Discrete(2)), model={"fcnet_hiddens": [8]})
    observation = pipeline_columns(algo.policy)[0]
    assert (len(observation.boxes), observation.boxes[-1].lines[0]) == (14, "and 17 more")


@pytest.mark.parametrize(
    ("space", "words"),
    [
        (spaces.Box(0, 255, (4, 4, 3), np.uint8), "Box (4, 4, 3) uint8 in [0, 255]"),
        (spaces.Box(-np.inf, np.inf, (2,)), "Box (2,) float32 in [-inf, inf]"),
        (spaces.Box(np.float32([0, 1]), np.float32([2, 3])), "Box (2,) float32"),
        (spaces.Discrete(3), "Discrete(3)"),
    ],
)
def test_spaces_are_spelt_shortly(space: spaces.Space, words: str) -> None:
    assert short_space(space) == words
