"""``spaces.json``: the spaces of recorded steps, beside their files."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import gymnasium as gym

from anyspace.drafts import write_whole
from anyspace.errors import AnyspaceError, ConfigError
from anyspace.spaces.serialize import Spaces, from_json, same_space, to_json

SPACES_FILE = "spaces.json"

_KEYS = ("observation_space", "action_space")


def write_spaces(
    folder: str | os.PathLike[str], observation_space: gym.Space[Any], action_space: gym.Space[Any]
) -> None:
    """Say of which spaces the recorded steps in a folder are, so that no environment is needed to learn from them.

    Args:
        folder: of the files; it is made if it is not there.
        observation_space: of the observations.
        action_space: of the environment's actions.

    Raises:
        ConfigError: the folder says so already, of other spaces, or cannot be written.
        UnsupportedSpaceError: a space has no form in JSON.
    """
    path = Path(folder).expanduser()
    try:
        path.mkdir(parents=True, exist_ok=True)
        there = read_spaces([path])
        spaces = (observation_space, action_space)
        if there is not None:
            require_same(there, spaces, f"{path / SPACES_FILE}", "what is to be written")
            return
        text = json.dumps(dict(zip(_KEYS, map(to_json, spaces), strict=True)))
        write_whole(path / SPACES_FILE, text.encode())
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror or error}.") from error


def read_spaces(folders: Iterable[str | os.PathLike[str]]) -> Spaces | None:
    """Return the spaces that the folders of recorded steps name; None where none of them does.

    Raises:
        ConfigError: a file of spaces cannot be read, or two of them disagree.
    """
    found: Spaces | None = None
    named = ""
    for folder in sorted({Path(folder).expanduser() for folder in folders}):
        file = folder / SPACES_FILE
        if not file.is_file():
            continue
        spaces = _read(file)
        if found is not None:
            require_same(found, spaces, named, str(file))
        found, named = spaces, str(file)
    return found


def require_same(mine: Spaces, theirs: Spaces, my_name: str, their_name: str) -> None:
    """Raise :class:`ConfigError` unless recorded steps of two origins are of the same spaces."""
    for key, one, other in zip(_KEYS, mine, theirs, strict=True):
        if not same_space(one, other):
            raise ConfigError(
                f"{my_name}: the {key.replace('_', ' ')} is {one}, but of {their_name} it is {other}; learn from steps"
                " of one pair of spaces, and give the environment that they were recorded in."
            )


def _read(file: Path) -> Spaces:
    try:
        written = json.loads(file.read_text(encoding="utf-8"))
        observation_space, action_space = (from_json(written[key]) for key in _KEYS)
    except (OSError, ValueError, TypeError, KeyError, RecursionError, AnyspaceError) as error:
        raise ConfigError(
            f"{file} cannot be read ({type(error).__name__}: {error}); it is what anyspace.data.offline.write_spaces"
            " writes."
        ) from error
    return observation_space, action_space
