"""A checkpoint as an algorithm is built from it: every entry checked, and all code that it names settled."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from gymnasium.vector import VectorEnv

from anyspace.algorithms.config import AlgorithmConfig
from anyspace.algorithms.layers import EXPLORATION, given_keys, overridden
from anyspace.algorithms.saving.from_plain import from_plain
from anyspace.algorithms.saving.lacking import require_found, require_granted
from anyspace.algorithms.saving.plain import MARK, mark_of
from anyspace.algorithms.saving.savable import require_values
from anyspace.algorithms.saving.state import (
    ENTRIES,
    check,
    is_shipped,
    modern_config,
    require_plausible,
    spaces_of,
    upgraded,
)
from anyspace.algorithms.saving.trust import OF_ENVIRONMENTS, Want, code_in, names_in, wants
from anyspace.algorithms.shipped import SHIPPED, shipped
from anyspace.config import keys_of, laid_over, sections
from anyspace.data.environments import EnvLike
from anyspace.errors import AnyspaceError, CheckpointError, ConfigError
from anyspace.execution.checkpoint import STATE_FILE, find_checkpoint, read_checkpoint, read_state
from anyspace.execution.pieces import Piece, pieces_of
from anyspace.importing import import_name, importing_only
from anyspace.models.runtime import NumpyArray
from anyspace.policy.exploration.keywords import goes_with
from anyspace.spaces.serialize import Spaces


class Loaded(NamedTuple):
    """What a checkpoint says of an algorithm, with the caller's changes laid over it."""

    kind: type[Any]
    """The algorithm's class."""
    settings: AlgorithmConfig
    env: EnvLike | None
    spaces: Spaces
    """Of observations and of actions."""
    seed: int
    preset: str
    """The name of the preset that the run was begun with."""
    parts: dict[str, Any]
    """What JSON holds of each part."""
    tensors: dict[str, NumpyArray]
    pieces: dict[str, list[Piece]]
    """The files of growing parts."""


class Reader:
    """Reads checkpoints for one call of ``load``.

    Args:
        asked: the class whose ``load`` was called.
        trust: whether code that a file names may be imported and called.
        acts_only: read what acting takes, and leave out what is about environments and collecting.
    """

    def __init__(self, asked: type[Any], *, trust: bool, acts_only: bool = False):
        self._asked, self._trust, self._acts_only = asked, trust, acts_only

    def read(
        self, path: str | os.PathLike[str], env: EnvLike | None = None, layers: Sequence[Mapping[str, Any]] = ()
    ) -> Loaded:
        """Return what a checkpoint holds.

        Args:
            path: a run folder or a checkpoint.
            env: takes the place of the recorded one; a vector environment says how many there are.
            layers: keys that are laid over the recorded ones, later layers over earlier ones.

        Raises:
            CheckpointError: there is none, it is damaged, or it names code that nobody has vouched for.
            ConfigError: a key of ``layers`` is unknown or out of range.
        """
        for layer in layers:
            if not isinstance(layer, Mapping):
                raise ConfigError(f"`config` is a dict of the keys to change, but a {type(layer).__name__} came.")
        if isinstance(env, VectorEnv):
            layers = ({"num_envs_per_env_runner": env.num_envs}, *layers)
        folder = find_checkpoint(path)
        file = folder / STATE_FILE
        state, tensors = upgraded(*read_checkpoint(path), file)
        check(state, ENTRIES, file)
        for name, part in state["parts"].items():
            check({f"parts.{name}": part}, {f"parts.{name}": (dict, "an object")}, file)
        kind, settings = self.settings(state, path, given_env=env is not None, layers=layers)
        _require_use(settings, {**state["config"], "seed": state["seed"]}, given_keys(settings, *layers))
        spaces = spaces_of(state, file)
        require_plausible(state, settings, tensors, file)
        return Loaded(
            kind=kind,
            settings=settings,
            env=state["env"] if env is None and not self._acts_only else env,
            spaces=spaces,
            seed=state["seed"],
            preset=state["preset"],
            parts=state["parts"],
            tensors=tensors,
            pieces={} if self._acts_only else pieces_of(folder, state),
        )

    def read_settings(self, path: str | os.PathLike[str]) -> tuple[type[Any], AlgorithmConfig]:
        """Return the class and the settings of a checkpoint's algorithm, and leave its weights alone.

        An environment that nobody has vouched for is no reason to refuse yet: the caller may hand over another one.
        """
        state = read_state(path)
        state = {**state, "config": modern_config(state.get("config"), state["format"])}
        check(state, {key: ENTRIES[key] for key in ("algorithm", "env", "config")}, find_checkpoint(path) / STATE_FILE)
        return self.settings(state, path, given_env=False, env_can_wait=True)

    def read_description(self, described: dict[str, Any], file: Path) -> tuple[type[Any], AlgorithmConfig]:
        """Return the class and the settings that a run's ``config.json`` describes; its environment can wait."""
        keys = ("algorithm", "env", "seed", "preset", "config")
        check(described, {key: ENTRIES[key] for key in keys}, file)
        return self.settings(described, file, given_env=False, env_can_wait=True)

    def settings(
        self,
        state: Mapping[str, Any],
        path: str | os.PathLike[str],
        *,
        given_env: bool,
        env_can_wait: bool = False,
        layers: Sequence[Mapping[str, Any]] = (),
    ) -> tuple[type[Any], AlgorithmConfig]:
        """Return the class and the settings of a checked state's algorithm.

        Args:
            state: of the checkpoint.
            path: the checkpoint's, or the file that the state is from.
            given_env: whether the caller hands over an environment.
            env_can_wait: whether an environment alone is no reason to refuse.
            layers: keys that are laid over the recorded ones.
        """
        stored = {
            key: value for key, value in state["config"].items() if not (self._acts_only and key in OF_ENVIRONMENTS)
        }
        kind = self._kind(state["algorithm"], path)
        remaining = stored
        for layer in layers:
            remaining = self._left(remaining, layer, AlgorithmConfig if kind is None else kind.config_class)
        named = {
            "algorithm": state["algorithm"] if kind is None else None,
            "env": None if given_env or self._acts_only else state["env"],
            "env_label": None if given_env or self._acts_only else state.get("env_label"),
            "config": remaining,
        }
        config_class = AlgorithmConfig if kind is None else kind.config_class
        wanted = wants(named, config_class)
        if self._trust and any(want.kind == "registered" for want in wanted):
            _import_modules([*wanted, *wants({"env": state["env"]})])
            wanted = wants(named, config_class)
        if kind is None and all(want.keys != ("algorithm",) for want in wanted):
            wanted.insert(0, Want(("algorithm",), (), "local", state["algorithm"]))
        self._grant(wanted, path, env_can_wait)
        if kind is None:
            kind = self._imported(state["algorithm"], path)
            self._grant(wants(named, kind.config_class), path, env_can_wait)
        file = Path(path) if Path(path).is_file() else find_checkpoint(path) / STATE_FILE
        return kind, self._settings(kind.config_class, stored, remaining, layers, file)

    def _grant(self, wanted: Sequence[Want], path: object, env_can_wait: bool) -> None:
        asked = "Policy" if self._acts_only else self._asked.__name__
        require_granted(wanted, path, asked=asked, trust=self._trust, env_can_wait=env_can_wait)
        require_found(wanted, path, asked, trust=self._trust)

    # ------------------------------------------------------------------------------------------- algorithm

    def _kind(self, name: str, path: object) -> type[Any] | None:
        """Return the class that a recorded name stands for, or None where only importing it would tell.

        The class that was asked reads what it has saved, and a class of the user's own all that fits its parts.
        """
        asked: type[Any] = self._asked
        if not is_shipped(asked):
            return asked
        kind: type[Any] | None = shipped(name) if name in SHIPPED else None
        if kind is not None and not issubclass(kind, asked):
            raise CheckpointError(
                f"{path} is a checkpoint of {name}, which {asked.__name__}.load cannot read; call load on the class"
                " that saved it."
            )
        return kind

    def _imported(self, name: str, path: object) -> type[Any]:
        try:
            kind = self._found(name, "algorithm")
        except ConfigError as error:
            raise CheckpointError(f"{path}: {error}") from error
        if not (isinstance(kind, type) and issubclass(kind, self._asked)):
            raise CheckpointError(f"{path}: `algorithm` is {name!r}, which is no {self._asked.__name__}.")
        return kind

    # ------------------------------------------------------------------------------------------- settings

    def _settings(
        self,
        config_class: type[AlgorithmConfig],
        stored: Mapping[str, Any],
        remaining: Mapping[str, Any],
        layers: Sequence[Mapping[str, Any]],
        file: Path,
    ) -> AlgorithmConfig:
        try:
            base = overridden(config_class(), self._decoded(remaining, config_class, ""))
            if not any(layers):
                base.validate()
        except AnyspaceError as error:
            raise CheckpointError(f"{file}: {error}") from error
        completed = [self._completed(layer, stored, config_class) for layer in layers]
        settings = overridden(base, *completed)
        given = given_keys(settings, *layers)
        settings = settings.fitted(given | base.chosen().keys())
        settings.validate()
        settings.require_effect(given)
        require_values(settings)
        return settings

    def _decoded(self, section: Mapping[str, Any], config_class: type, prefix: str) -> dict[str, Any]:
        nested = sections(config_class)
        return {
            key: self._decoded(value, nested[key], f"{prefix}{key}.")
            if key in nested and isinstance(value, dict)
            else from_plain(value, self._found, f"{prefix}{key}")
            for key, value in section.items()
        }

    def _found(self, name: str | None, place: str) -> Any:
        """Return the code of a name; every one was granted before, so that what is refused here was hidden."""
        if name is None or (not self._trust and Want((place,), (), "code", str(name)).needs_trust):
            raise ConfigError(f"config key `{place}` names {name!r}, which nobody has vouched for.")
        try:
            return import_name(name)
        except ConfigError as error:
            raise ConfigError(f"config key `{place}`: {error}") from error
        except Exception as error:
            raise ConfigError(
                f"config key `{place}`: {name!r} cannot be imported: {type(error).__name__}: {error}."
            ) from error

    def _left(self, recorded: Mapping[str, Any], given: Mapping[str, Any], config_class: type[Any]) -> dict[str, Any]:
        """Return recorded keys less those that are given anew, which need not be readable.

        Of options of one thing, which have the same `type` if they have one, those that are not given stay. Another
        dict takes the place of the recorded one. Where the recorded one holds code that the file cannot give and the
        caller hands over all of it, what is recorded beside that code stays.
        """
        left, nested = {key: value for key, value in recorded.items() if key not in given}, keys_of(config_class)
        for key in recorded.keys() & given.keys():
            ours, theirs = recorded[key], given[key]
            if not isinstance(ours, dict) or _is_marked(ours) or not isinstance(theirs, dict):
                continue
            if key in sections(config_class):
                left[key] = self._left(ours, theirs, sections(config_class)[key])
                continue
            stays = key in nested and (key != EXPLORATION or goes_with(config_class.own_exploration, ours, theirs))
            if stays or self._hands_over(ours, theirs, nested.get(key)):
                left[key] = without(ours, theirs)
        return left

    def _completed(
        self, given: Mapping[str, Any], recorded: Mapping[str, Any], config_class: type, prefix: str = ""
    ) -> dict[str, Any]:
        """Return a layer with the recorded items that stay beside those that it gives; see :meth:`_left`."""
        completed = dict(given)
        for key, rest in self._left(recorded, given, config_class).items():
            if key not in given:
                continue
            if key in sections(config_class):
                completed[key] = self._completed(given[key], recorded[key], sections(config_class)[key], f"{key}.")
            elif self._hands_over(recorded[key], given[key], keys_of(config_class).get(key)):
                below = from_plain(rest, self._found, f"{prefix}{key}")
                completed[key] = laid_over(below, given[key])
        return completed

    def _hands_over(self, recorded: dict[str, Any], given: dict[str, Any], config_class: type | None) -> bool:
        """Return whether a recorded dict holds code that has to be handed over, and another one hands over all of it.

        Args:
            recorded: as it is written.
            given: by the caller.
            config_class: as for :meth:`_lacks`.
        """
        lacks = self._lacks(recorded, config_class)
        return lacks and not self._lacks(without(recorded, given), config_class)

    def _lacks(self, value: Any, config_class: type | None) -> bool:
        """Return whether a recorded value holds code that has to be handed over.

        Args:
            value: as it is written.
            config_class: whose keys it has; None: it has keys of its own.
        """
        found = [*code_in(value, (), ()), *(() if config_class is None else names_in(value, config_class, ()))]
        return any(want.kind == "local" or (want.needs_trust and not self._trust) for want in found)


@contextmanager
def building(
    path: object, config_class: type[AlgorithmConfig], *layers: Mapping[str, Any], trust: bool
) -> Iterator[None]:
    """Say of an error that comes up when an algorithm is built which checkpoint it was built of.

    Whatever a configuration hides its names in, none is imported that nobody has vouched for.

    Args:
        path: the checkpoint's.
        config_class: of the algorithm.
        layers: keys that the caller laid over the recorded ones: the error may well be about them.
        trust: whether the user trusts the checkpoint.
    """
    changed = any(layers)
    given = {want.name for layer in layers for want in wants({"config": dict(layer)}, config_class)}

    def allowed(name: str) -> bool:
        return trust or name in given or not Want(("config",), (), "code", name).needs_trust

    try:
        with importing_only(allowed):
            yield
    except Exception as error:
        if changed or isinstance(error, CheckpointError):
            raise
        reason = error if isinstance(error, AnyspaceError) else f"{type(error).__name__}: {error}"
        raise CheckpointError(f"{path} holds what nothing can be built of: {reason}") from error


def _import_modules(wanted: Sequence[Want]) -> None:
    """Import the modules of code that is trusted: names may be registered there, as a model's beside its environment.

    What cannot be imported is told where it is needed.
    """
    for want in wanted:
        if want.kind == "code":
            with suppress(ConfigError):
                import_name(want.name)


def _require_use(settings: AlgorithmConfig, recorded: Mapping[str, Any], given: frozenset[str]) -> None:
    """Refuse keys that are given anew and say where a run began: what it has come to since takes their place."""
    for key in settings.of_beginnings:
        value = getattr(settings, key)
        if key in given and value != recorded.get(key, value):
            raise ConfigError(
                f"config key `{key}` is {value!r}, but it says where a run begins, which was at {recorded[key]!r}; one"
                " that goes on from a checkpoint has come further. Leave it out, or begin a new run: load_weights(path)"
                " gives it the weights of this one."
            )


def _is_marked(value: dict[str, Any]) -> bool:
    """Whether a written dict stands for something else."""
    return MARK in value or mark_of(value) is not None


def without(stored: Mapping[str, Any], changed: Mapping[str, Any]) -> dict[str, Any]:
    """Return recorded values less those that are changed, in nested dicts as well: they need not be readable."""
    kept = {key: value for key, value in stored.items() if key not in changed}
    for key in stored.keys() & changed.keys():
        if isinstance(stored[key], dict) and not _is_marked(stored[key]) and isinstance(changed[key], dict):
            kept[key] = without(stored[key], changed[key])
    return kept
