"""``--config FILE``: what a command is asked, in a file: TOML that somebody wrote, or the ``config.json`` of a run."""

from __future__ import annotations

import json
import tomllib
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from anyspace import config as configs
from anyspace.cli.values import named
from anyspace.errors import ConfigError
from anyspace.execution.run_files import remembered_options

OWN = ("env", "algo", "preset", "steps", "evaluate", "callback", "video_every")
"""The flags of commands that a file may give beside configuration keys."""


@dataclass(frozen=True)
class ConfigFile:
    """What a file asks for."""

    path: Path
    own: dict[str, Any] = field(default_factory=dict)
    """Flags of the command."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Configuration keys and their values, nested for ``model``."""
    described: dict[str, Any] | None = None
    """A run as its ``config.json`` describes it; None: the file is no such description."""

    @classmethod
    def read(cls, path: Path) -> ConfigFile:
        """Read a file.

        Raises:
            ConfigError: it is not there, or neither TOML nor JSON, or malformed.
        """
        kind = path.suffix.lower()
        if kind not in (".toml", ".json"):
            raise ConfigError(f"--config {path}: a configuration is a .toml, or the config.json of a run.")
        try:
            text = path.read_text(encoding="utf-8")
            content = tomllib.loads(text) if kind == ".toml" else json.loads(text)
        except OSError as error:
            raise ConfigError(f"--config {path} cannot be read: {error.strerror}.") from error
        except ValueError as error:
            raise ConfigError(f"--config {path} is no {kind[1:].upper()}: {error}.") from error
        if not isinstance(content, dict):
            raise ConfigError(f"--config {path} holds {type(content).__name__}; keys and values are expected.")
        if kind == ".json" and isinstance(content.get("config"), dict) and "algorithm" in content:
            steps = remembered_options(path.parent).get("steps")
            own = {"env": content.get("env")} | ({"steps": steps} if isinstance(steps, int) else {})
            return cls(path, own, described=content)
        own = {key: content[key] for key in OWN if key in content}
        return cls(path, own, {key: value for key, value in content.items() if key not in OWN})

    def flags(self, kind: type) -> dict[str, Any]:
        """Return the flags that the file gives to a command; one that asks less leaves the others alone.

        Raises:
            ConfigError: a value is of the wrong type.
        """
        found, hints = {}, configs.type_hints(kind)
        for name, given in self.own.items():
            if name in hints:
                value = _value(given, hints[name])
                if typing.get_origin(hints[name]) is tuple and isinstance(value, str | list):
                    value = (value,) if isinstance(value, str) else tuple(value)
                found[name] = value
                if not configs.matches(value, hints[name]):
                    spelt = configs.spell(hints[name])
                    raise ConfigError(f"--config {self.path}: `{name}` takes {spelt}, but {value!r} came.")
        return found

    def of(self, config_class: type) -> dict[str, Any]:
        """Return the configuration keys with their values as an algorithm takes them.

        ``"none"`` is None, which TOML lacks, and ``package.module:Name`` what it names, where a key takes that.
        """
        return _values(self.settings, config_class)


def _values(settings: Mapping[str, Any], config_class: type) -> dict[str, Any]:
    inner, hints = configs.sections(config_class), configs.type_hints(config_class)
    found: dict[str, Any] = {}
    for key, value in settings.items():
        if key in inner and isinstance(value, Mapping):
            found[key] = _values(value, inner[key])
        elif value == "none":
            found[key] = None
        else:
            found[key] = _value(value, hints.get(key))
    return found


def _value(value: Any, hint: Any) -> Any:
    """Return a value as a key takes it: 1e5 is a whole number where only that will do. Unknown keys have no hint."""
    if hint is None:
        return value
    is_whole = isinstance(value, float) and value.is_integer() and not configs.matches(value, hint)
    return int(value) if is_whole else named(hint, value)
