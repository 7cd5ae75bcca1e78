"""From words to configurations: a command's own flags, and one flag for each configuration key of an algorithm.

The defaults of the flags depend on what the words say, so the words are read in this order:

1. ``--algo``, ``--preset`` and ``--resume`` say which flags there are, and where their defaults come from: from a
   checkpoint, a preset or the algorithm's class.
2. The environment says which preset fits. Only a parser that knows every flag can tell its name from a flag's value, so
   the words are parsed over the class's defaults to find it.
3. All words are parsed over the defaults.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

import tyro
from rich.console import Console

from anyspace import config as configs
from anyspace.algorithms import ALGORITHMS, Algorithm
from anyspace.algorithms.config import AlgorithmConfig
from anyspace.algorithms.reading import Reader
from anyspace.algorithms.settings import overridden
from anyspace.cli.output import print_preset
from anyspace.cli.values import REGISTRY
from anyspace.errors import ConfigError, nearest

K = TypeVar("K")

_HELP = ("-h", "--help")


@dataclass(frozen=True)
class StartingPoint:
    """The algorithm that the flags name or a checkpoint holds, and the settings that the flags are laid over."""

    algorithm: type[Algorithm[Any]]
    defaults: AlgorithmConfig


@dataclass(frozen=True)
class Flags(Generic[K]):
    """What the words of a command say."""

    own: K
    """The command's own flags."""
    config: AlgorithmConfig
    """The defaults, with the flags for configuration keys laid over them."""
    defaults: AlgorithmConfig

    def changes(self) -> dict[str, Any]:
        """Return the keys whose values differ from the defaults, nested configurations whole."""
        values = {field.name: getattr(self.config, field.name) for field in dataclasses.fields(self.config)}
        return {key: value for key, value in values.items() if value != getattr(self.defaults, key)}


@dataclass(frozen=True)
class _Choice:
    """The flags that decide which other flags there are."""

    algo: str = "ppo"
    preset: str = "auto"
    resume: Path | None = None
    trust: bool = False


def starting_point(kind: type[Any], command: str, words: Sequence[str], console: Console) -> StartingPoint:
    """Return what a command's flags are laid over: a checkpoint's settings, a preset, or the plain defaults.

    Args:
        kind: the dataclass of the command's own flags, with ``env`` among them.
        command: the command's name.
        words: everything after the command's name.
        console: where a preset that is used is printed.

    Raises:
        ConfigError: no algorithm or preset has the name that is given.
        CheckpointError: there is no checkpoint where ``--resume`` says.
    """
    wanted = [word for word in words if word not in _HELP]
    choice, _ = tyro.cli(_Choice, args=wanted, prog=f"anyspace {command}", return_unknown_args=True)
    algorithm = _algorithm(choice.algo)
    if choice.resume is not None:
        return _stored(choice.resume, trust=choice.trust)
    plain = algorithm.config_class()
    if choice.preset == "none":
        return StartingPoint(algorithm, plain)
    env = _environment(kind, command, wanted, plain, is_help=len(wanted) < len(words))
    if env is None:
        return StartingPoint(algorithm, plain)
    preset = algorithm.preset(env, choice.preset)
    defaults = overridden(plain, preset.settings)
    print_preset(console, preset, configs.changes(defaults, plain))
    return StartingPoint(algorithm, defaults)


def parse(
    kind: type[K],
    command: str,
    words: Sequence[str],
    defaults: AlgorithmConfig,
    *,
    own: K | None = None,
    quiet: bool = False,
) -> Flags[K]:
    """Return a command's own flags, and what the other flags make of ``defaults``.

    Args:
        kind: the dataclass of the command's own flags.
        command: the command's name.
        words: everything after it.
        defaults: of the configuration keys.
        own: defaults of the command's own flags, where they are other than the dataclass's.
        quiet: print nothing about what is wrong with the words.

    Raises:
        SystemExit: a flag is unknown or its value malformed, which is printed unless ``quiet``; or help was asked for.
    """
    flags_class = dataclasses.make_dataclass(
        kind.__name__,
        [
            ("own", Annotated[kind, tyro.conf.arg(name="")], *(() if own is None else (own,))),
            ("config", Annotated[type(defaults), tyro.conf.arg(name="")], defaults),
        ],
    )
    flags_class.__doc__ = kind.__doc__
    spelt = ["--lambda_" if word == "--lambda" else word for word in words]
    read: Any = tyro.cli(
        flags_class, args=spelt, prog=f"anyspace {command}", registry=REGISTRY, console_outputs=not quiet
    )
    return Flags(read.own, read.config, defaults)


def _algorithm(name: str) -> type[Algorithm[Any]]:
    names = {algorithm.name(): algorithm for algorithm in ALGORITHMS.values()}
    if name not in names:
        raise ConfigError(f"there is no algorithm {name!r}.{nearest(name, names)} Known: {', '.join(names)}.")
    return names[name]


def _stored(path: Path, *, trust: bool) -> StartingPoint:
    """Return the algorithm and the settings of a checkpoint, without its weights."""
    reader = Reader(Algorithm, Algorithm, trust=trust)
    return StartingPoint(*reader.read_settings(path))


def _environment(
    kind: type[Any], command: str, words: Sequence[str], defaults: AlgorithmConfig, *, is_help: bool
) -> str | None:
    """Return the environment that the words name; who asks for help need not name one, or spell the rest right."""
    try:
        env: str | None = parse(kind, command, words, defaults, quiet=is_help).own.env
    except SystemExit:
        if is_help:
            parse(kind, command, ["--help"], defaults)
        raise
    return env
