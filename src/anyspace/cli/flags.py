"""From words to configurations: a command's own flags, and one flag for each configuration key of an algorithm.

The defaults of the flags depend on what the words say, so the words are read in this order:

1. ``--algo``, ``--preset``, ``--config`` and ``--resume`` say which flags there are, and where their defaults come
   from: from a checkpoint, a preset, a file or the algorithm's class.
2. The environment and the memory say which preset fits. Only a parser that knows every flag can tell the environment's
   name from a flag's value, so the words are parsed over the class's defaults to find them.
3. All words are parsed over the defaults.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

import tyro
from rich.console import Console

from anyspace import config as configs
from anyspace.algorithms import ALGORITHMS, Algorithm, contract
from anyspace.algorithms.config import RENAMED, AlgorithmConfig
from anyspace.algorithms.layers import key_hints, overridden
from anyspace.algorithms.presets import PLAIN, Preset
from anyspace.algorithms.saving.reading import Reader
from anyspace.algorithms.settings import chosen_in_run, environment_spec, preset_for
from anyspace.cli import other_words
from anyspace.cli.config_file import ConfigFile
from anyspace.cli.groups import grouped_fields, ungrouped
from anyspace.cli.output import print_preset, print_settings
from anyspace.cli.values import REGISTRY, as_flag
from anyspace.errors import ConfigError, nearest
from anyspace.importing import import_name
from anyspace.models.networks import framework_called

K = TypeVar("K")


@dataclass(frozen=True)
class StartingPoint:
    """The algorithm that the flags name or a checkpoint holds, and the settings that the flags are laid over."""

    algorithm: type[Algorithm[Any]]
    defaults: AlgorithmConfig
    preset: Preset = PLAIN
    """What the defaults are made of: a preset, or all settings of a run; ``none``: they are the class's own, or a
    checkpoint's."""
    layer: dict[str, Any] = field(default_factory=dict)
    """Keys that a file gives, laid over the preset in the defaults."""
    own: dict[str, Any] = field(default_factory=dict)
    """Flags of the command that a file gives."""


@dataclass(frozen=True)
class EnvFlags:
    """What commands are asked that begin with an environment."""

    env: Annotated[
        str | None,
        tyro.conf.Positional,
        tyro.conf.arg(metavar="ENV", help_behavior_hint="(needed, unless a run or recorded steps take its place)"),
    ] = None
    """A Gymnasium id or package.module:EnvClass."""
    algo: str = "ppo"
    """The algorithm: see `anyspace list`, or package.module:Class."""
    preset: str = "auto"
    """Settings to start from: auto, a name from `anyspace list`, or none for the plain defaults."""
    config: Path | None = None
    """A TOML of keys and values, which may hold env, algo and preset as well; or the config.json of a run."""
    trust: bool = False
    """Import the code that a config.json of --config names: environments, models and the like. Only for runs whose
    author you trust."""


@dataclass(frozen=True)
class Flags(Generic[K]):
    """What the words of a command say."""

    own: K
    """The command's own flags."""
    config: AlgorithmConfig
    """The defaults, with the flags for configuration keys laid over them."""
    given: frozenset[str]
    """The keys that have a flag among the words or stand in a file, nested ones as ``model.use_lstm``."""

    def changes(self) -> dict[str, Any]:
        """Return the keys that were given, and their values."""
        return configs.nested({path: attrgetter(path)(self.config) for path in sorted(self.given)})


@dataclass(frozen=True)
class _Choice:
    """The flags that decide which other flags there are."""

    algo: str | None = None
    preset: str | None = None
    config: Path | None = None
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
    other_words.require_no_yaml(words)
    choice = peek(_Choice, command, words)
    if choice.resume is not None:
        if choice.config is not None:
            raise ConfigError("--resume goes on with the configuration of the run; leave --config out.")
        reader = _run_reader(choice, "--resume")
        algorithm, settings = reader.read_settings(choice.resume)
        _require_named(choice, "--resume", algorithm)
        return StartingPoint(algorithm, settings)
    asked = None if choice.config is None else ConfigFile.read(choice.config)
    wanted = without_help(words)
    is_help = len(wanted) < len(words)
    if asked is not None and asked.described is not None:
        return _described(kind, command, wanted, asked, asked.described, choice, is_help=is_help)
    own = {} if asked is None else asked.flags(kind)
    algorithm = algorithm_of(own.get("algo", "ppo") if choice.algo is None else choice.algo)
    layer = {} if asked is None else asked.of(algorithm.config_class)
    plain = algorithm.config_class()
    preset = own.get("preset", "auto") if choice.preset is None else choice.preset
    if preset == PLAIN.name:
        return StartingPoint(algorithm, overridden(plain, layer), layer=layer, own=own)
    start = StartingPoint(algorithm, overridden(plain, layer), layer=layer, own=own)
    flags = _over_defaults(kind, command, wanted, start, is_help=is_help)
    spec = None if flags.own.env is None else environment_spec(flags.own.env, flags.config)
    recorded = flags.config.recorded_spaces() if spec is None and not is_help else None
    if spec is None and recorded is None:
        return start
    found = preset_for(algorithm.__mro__, spec, preset, flags.config.model, recorded)
    defaults = overridden(plain, found.settings)
    changed = configs.changes(defaults, plain).items()
    print_preset(console, found, {key: value for key, value in changed if key not in flags.given})
    if asked is not None:
        print_settings(console, asked.path, configs.changes(overridden(defaults, layer), defaults))
    return StartingPoint(algorithm, overridden(defaults, layer), found, layer, own)


def peek(kind: type[K], command: str, words: Sequence[str]) -> K:
    """Return what a few of the flags say, before it is known which others there are; those are passed over.

    Args:
        kind: the dataclass of the few.
        command: the command's name.
        words: everything after it.

    Raises:
        SystemExit: a value is malformed, which is printed.
    """
    args, prog = without_help(words), f"anyspace {command}"
    found, _ = tyro.cli(kind, args=args, prog=prog, return_unknown_args=True, registry=REGISTRY)
    return found


def without_help(words: Sequence[str]) -> list[str]:
    """Return the words but for those that ask for help."""
    return [word for word in words if word not in ("-h", "--help")]


def _described(
    kind: type[Any],
    command: str,
    words: Sequence[str],
    asked: ConfigFile,
    described: dict[str, Any],
    choice: _Choice,
    *,
    is_help: bool,
) -> StartingPoint:
    """Return what a run's ``config.json`` says: its settings and its seed take the place of a preset."""
    source = f"--config {asked.path}"
    reader = _run_reader(choice, source)
    algorithm, settings = reader.read_description(described, asked.path)
    _require_named(choice, source, algorithm)
    defaults = dataclasses.replace(settings, seed=described["seed"])
    own = configs.changes(settings, algorithm.config_class()) | chosen_in_run(settings)
    start = StartingPoint(algorithm, defaults, Preset(described["preset"], configs.nested(own), is_of_run=True))
    flags = _over_defaults(kind, command, words, start, is_help=is_help)
    if flags.own.env is None and not is_help:
        reader.settings(described, asked.path, given_env=False)
    return dataclasses.replace(start, own=asked.flags(kind))


def parse(
    kind: type[K],
    command: str,
    words: Sequence[str],
    start: StartingPoint,
    *,
    own: K | None = None,
    quiet: bool = False,
) -> Flags[K]:
    """Return a command's own flags, and what the other flags make of the settings that they are laid over.

    Args:
        kind: the dataclass of the command's own flags.
        command: the command's name.
        words: everything after it.
        start: what the flags are laid over.
        own: defaults of the command's own flags, where they are other than the dataclass's and a file's.
        quiet: print nothing about what is wrong with the words.

    Raises:
        ConfigError: a flag is called otherwise here.
        SystemExit: a flag is unknown or its value malformed, which is printed unless ``quiet``; or help was asked for.
    """
    defaults = start.defaults
    if not quiet:
        _require_own_words(kind, words, defaults)
    if start.own:
        own = dataclasses.replace(own or kind(), **start.own)  # type: ignore[type-var]
    flags_class = dataclasses.make_dataclass(
        kind.__name__,
        [
            ("own", Annotated[kind, tyro.conf.arg(name="")], *(() if own is None else (own,))),
            *grouped_fields(defaults),
        ],
    )
    flags_class.__doc__ = kind.__doc__
    spelt = [_LAMBDA.sub("--lambda_", word) for word in words]
    read: Any = tyro.cli(
        flags_class, args=spelt, prog=f"anyspace {command}", registry=REGISTRY, console_outputs=not quiet
    )
    known = {*configs.paths(defaults)}
    given = frozenset(key for word in words for key in _keys_of(word) if key in known)
    # A constant among the words takes the place of a schedule in the file, as it does of a preset's.
    scheduled = {f"{key}_schedule" for key in given}
    filed = configs.given_paths(defaults, start.layer, RENAMED)
    config = ungrouped(defaults, read)
    options = {key: getattr(config, key) for key in configs.keys_of(type(config)) if key in given & filed}
    config = overridden(dataclasses.replace(config, **{key: start.layer[key] for key in options}), options)
    return Flags(read.own, config, given | (filed - scheduled))


_LAMBDA = re.compile("^--lambda(?==|$)")
"""The flag of ``lambda_``, by itself or with its value."""


def require_env(flags: Flags[Any]) -> None:
    """Raise :class:`ConfigError` where neither an environment nor recorded steps are named."""
    if flags.own.env is None and flags.config.recorded_spaces() is None:
        raise ConfigError("give an environment, such as CartPole-v1 or package.module:EnvClass.")


def require_least(own: object, **least: int) -> None:
    """Raise :class:`ConfigError` for a flag below what it must be at least; one that was left out is None.

    Args:
        own: a command's own flags.
        least: what each of them must be at least, by name.
    """
    for name, number in least.items():
        value = getattr(own, name)
        if value is not None and value < number:
            raise ConfigError(f"--{name.replace('_', '-')} is {value}, but it must be at least {number}.")


def _require_own_words(kind: type[Any], words: Sequence[str], defaults: AlgorithmConfig) -> None:
    """Refuse flags of other libraries, and keys at another level than theirs; the parser names nearest flags itself."""
    hints = key_hints(defaults, as_flag)
    known = {*hints.paths, *(field.name for field in dataclasses.fields(kind))}
    unknown: list[str] = []
    for number, (word, after) in enumerate(itertools.pairwise([*words, ""])):
        keys = _keys_of(word)
        flag, _, value = word.partition("=")
        switch = next((key for key in keys if _is_switch(key, kind, defaults)), None)
        if switch and (value or after).lower() in ("true", "false", "yes", "no", "on", "off", "1", "0"):
            on, off = as_flag(switch, "True"), as_flag(switch, "False")
            raise ConfigError(f"{flag} takes no value: {on} by itself switches it on, {off} off.")
        surplus = list(itertools.takewhile(lambda one: not one.startswith("--"), words[number + 1 :]))[1:]
        if keys == ["input"] and not value and surplus and (words[0][:2] != "--" or Path(surplus[0]).exists()):
            several = json.dumps([after, *surplus])
            raise ConfigError(f"--input takes one word: several files are JSON, --input '{several}', or a pattern.")
        common = flag.replace("_", "-") if keys else flag
        advice = [hint for key in keys if (hint := hints.whereabouts(key))]
        if common in other_words.FLAGS:
            advice = [f" {other_words.FLAGS[common]}"]
        if keys == ["env"] and issubclass(kind, EnvFlags):
            unknown.append("the environment is named without a flag, right after the command: CartPole-v1.")
        if keys == ["framework"] and framework_called(named := value or after) != named:
            unknown.append(f"--framework {named}: it is --framework {framework_called(named)} here.")
        if advice and not known & {*keys}:
            unknown.append(f"there is no flag {flag}.{advice[0]}")
    if unknown:
        raise ConfigError("\n".join(unknown))


def _is_switch(key: str, kind: type, defaults: AlgorithmConfig) -> bool:
    """Return whether a flag is on or off: one of the command's own, or a key, with those it is nested in before it."""
    outer, _, name = key.rpartition(".")
    if not outer and name in (own := configs.type_hints(kind)):
        return own[name] is bool
    within: object = getattr(defaults, outer, None) if outer else defaults
    return dataclasses.is_dataclass(within) and configs.type_hints(within.__class__).get(name) is bool


def _keys_of(word: str) -> list[str]:
    """Return the keys that a word may be the flag of, known or not: none for a word that is no flag.

    ``--model.no-use-lstm`` may be the flag of ``model.no_use_lstm`` and of ``model.use_lstm``.
    """
    if not word.startswith("--"):
        return []
    place, dot, name = word[2:].partition("=")[0].replace("-", "_").rpartition(".")
    names = [name, name.removeprefix("no_")] if name.startswith("no_") else [name]
    return [f"{place}{dot}{'lambda_' if name == 'lambda' else name}" for name in names]


def algorithm_of(name: str) -> type[Algorithm[Any]]:
    """Return a class of algorithms by its lower-case name, or by ``package.module:Class``.

    Raises:
        ConfigError: there is none, or it is not as it must be.
    """
    names = {algorithm.name(): algorithm for algorithm in ALGORITHMS.values()}
    if name.lower() in names:
        return names[name.lower()]
    if ":" in name:
        found: object = import_name(name)
        if not (isinstance(found, type) and issubclass(found, Algorithm)):
            raise ConfigError(f"--algo {name} is {found!r}, which is no class derived from anyspace.Algorithm.")
        contract.require_concrete(found)
        contract.config_class_of(found)
        return found
    other = other_words.ALGORITHMS.get(name.lower().replace("-", "_"))
    hint = nearest(name, names) if other is None else f" {other}"
    raise ConfigError(f"there is no algorithm {name!r}.{hint} Known: {', '.join(names)}; or package.module:Class.")


def _run_reader(choice: _Choice, source: str) -> Reader:
    """Return what reads a run's settings, which take the place of a preset."""
    if choice.preset is not None:
        raise ConfigError(
            f"{source} starts from the settings of a run, with no preset beneath them; leave --preset out."
        )
    named_class = algorithm_of(choice.algo) if choice.algo and ":" in choice.algo else Algorithm
    return Reader(named_class, trust=choice.trust)


def _require_named(choice: _Choice, source: str, algorithm: type[Algorithm[Any]]) -> None:
    """Refuse a name that is another algorithm's than the run's."""
    if choice.algo is not None and algorithm_of(choice.algo) is not algorithm:
        raise ConfigError(
            f"{source} is a run of {algorithm.__name__}, but --algo says {choice.algo}; leave --algo out."
        )


def _over_defaults(
    kind: type[Any], command: str, words: Sequence[str], start: StartingPoint, *, is_help: bool
) -> Flags[Any]:
    """Return what the words say; who asks for help need not name an environment, or spell the rest right."""
    try:
        return parse(kind, command, words, start, quiet=is_help)
    except SystemExit:
        if is_help:
            parse(kind, command, ["--help"], start)
        raise
