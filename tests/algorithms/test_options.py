"""What type checkers and ``help()`` know of configuration keys."""

from __future__ import annotations

import inspect
import pydoc
import typing
from pathlib import Path
from typing import Any

import pytest

from anyspace import PPO, Algorithm
from anyspace.algorithms import ALGORITHMS, options
from anyspace.config import documents
from anyspace.models import ModelConfig
from tests.support import options as made


def test_the_types_are_made_of_the_configurations() -> None:
    assert made.FILE.read_text() == made.text(), "run `python -m tests.support.options --write`"


@pytest.mark.parametrize("name", ALGORITHMS)
def test_keywords_have_the_types_of_the_keys(name: str) -> None:
    keys = typing.get_type_hints(ALGORITHMS[name].config_class)
    found = typing.get_type_hints(getattr(options, f"{name}Options"))
    given = {key: hint for key, hint in keys.items() if typing.get_origin(hint) is not typing.ClassVar}
    assert {*found} == {*given}
    assert {key: hint for key, hint in found.items() if key != "model"} == {
        key: hint for key, hint in given.items() if key != "model"
    }
    assert typing.get_type_hints(options.ModelOptions) == typing.get_type_hints(ModelConfig)


def test_help_lists_the_keys() -> None:
    text = inspect.getdoc(PPO)
    assert text is not None
    assert text.startswith("Proximal Policy Optimization: clipped steps over several epochs")
    shown = pydoc.plain(pydoc.render_doc(PPO)).splitlines()
    assert {f" |  {line}".rstrip() for line in text.splitlines() if line} <= {line.rstrip() for line in shown}
    for said in ("Args:", "env: a Gymnasium id", "config: keys to override", "preset: the shipped settings"):
        assert text.count(said) == 1
    assert "    clip_param: float = 0.3\n        PPO's" in text or "    clip_param: float = 0.3\n" in text
    for key in (*documents(PPO.config_class), *(f"model.{key}" for key in documents(ModelConfig))):
        assert f"    {key}: " in text, key
    assert "Keys" not in (Algorithm.__doc__ or "")

    class Mine(PPO):
        """My own."""

    assert Mine.__doc__ == "My own."
    assert "|  My own." in pydoc.plain(pydoc.render_doc(Mine))
    Mine.__doc__ = "Anew."
    assert Mine.__doc__ == "Anew."


def test_load_returns_the_class_that_was_asked(tmp_path: Path) -> None:
    small: dict[str, Any] = {"train_batch_size": 16, "model": {"fcnet_hiddens": [4]}}
    PPO("CartPole-v1", small).save(tmp_path / "saved")
    assert typing.get_type_hints(PPO.load)["return"] is typing.Self
    assert type(PPO.load(tmp_path / "saved")) is PPO
