"""What algorithms share that learn from recorded steps: keys, where the steps come from, no need of an environment."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from anyspace.algorithms.algorithm import Algorithm
from anyspace.algorithms.config import AlgorithmConfig
from anyspace.algorithms.presets import Preset
from anyspace.config import require
from anyspace.data.environments import EnvLike
from anyspace.data.offline.columns import ColumnReader
from anyspace.data.offline.files import JsonLines, find_files
from anyspace.data.offline.minari_episodes import PREFIX, MinariEpisodes
from anyspace.data.offline.spaces_file import read_spaces, require_same
from anyspace.data.rewards import ReturnMoments
from anyspace.errors import ConfigError
from anyspace.execution.file_fleet import FileFleet, MixedFleet, require_shares
from anyspace.spaces.serialize import Spaces

if TYPE_CHECKING:
    from anyspace.execution.fleet import Fleet

SAMPLER = "sampler"
"""The source of steps that the policy takes itself."""

_GIVE_ONE = "give one (env=..., or on the command line after `train`)"


@dataclass(frozen=True)
class OfflineConfig(AlgorithmConfig):
    """The keys of algorithms that learn from recorded steps."""

    input: str | os.PathLike[str] | list[str | os.PathLike[str]] | dict[str, float] | None = None
    """Where steps come from: a folder, file or pattern of JSON files, or a list of these; ``minari:ID``, a data set of
    Minari; ``sampler``, the policy's own steps in the environment; or such sources with their probabilities, which sum
    to 1: ``{"recorded": 0.7, "sampler": 0.3}``, of which each round takes one."""
    actions_in_input_normalized: bool = True
    """Actions in JSON files are samples, where -1 and 1 stand for bounds; False: they are the environment's."""
    unpack_input: bool = False
    """Read packed columns, compressed pickles, of which arrays of NumPy alone are accepted; needs lz4."""
    input_max_bad_lines: int = 100
    """Lines in a row without steps that are left out of files before that is an error, at least 0."""
    train_batch_size: int = 2000
    """Steps that are read before learning, at least 1; lines and episodes are taken whole."""
    minibatch_size: int | None = None
    """Rows per gradient step, at least 1; None takes all that were read."""
    num_epochs: int = 1
    """Passes over the steps that were read, at least 1."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.input, os.PathLike | list):
            texts = _texts(self.input if isinstance(self.input, list) else [self.input])
            object.__setattr__(self, "input", texts if isinstance(self.input, list) else texts[0])

    @property
    def has_files(self) -> bool:
        """Whether steps are written to files, or read from some."""
        return super().has_files or self.sources.keys() != {SAMPLER}

    def validate(self) -> None:
        """Raise :class:`ConfigError` for the first key that is out of range, contradictory or not built."""
        super().validate()
        if not self.input:
            raise ConfigError(
                "config key `input` is missing: recorded steps are learnt from. Give a folder or files of JSON, as"
                " input='DIR' (on the command line --input DIR), `minari:ID`, or 'sampler' for the policy's own steps."
            )
        self._require_sources()
        if self.num_env_runners and not self.acts_while_training:
            raise ConfigError(
                f"config key `num_env_runners` is {self.num_env_runners}, but all steps come from `input`, which this"
                " process reads; leave it out, or mix in steps of an environment by 'sampler'."
            )
        for key in ("train_batch_size", "minibatch_size", "num_epochs"):
            value = getattr(self, key)
            require(value is None or value >= 1, key, value, "it must be at least 1")
        bad = self.input_max_bad_lines
        require(bad >= 0, "input_max_bad_lines", bad, "it must not be negative")
        if self.stop_return is not None and self.evaluate_every is None and not self.acts_while_training:
            raise ConfigError(
                "`stop_return` takes returns, which recorded steps do not have: set `evaluate_every` too."
            )

    def _require_sources(self) -> None:
        """Raise :class:`ConfigError` for sources that are not read, or not in this form."""
        if isinstance(self.input, dict):
            require_shares(self.input)
        if isinstance(self.input, list):
            other = [one for one in _texts(self.input) if one == SAMPLER or one.startswith(PREFIX)]
            shares = dict.fromkeys(_texts(self.input), round(1 / len(self.input), 3))
            form = f"{shares}, with probabilities that sum to 1" if len(shares) > 1 else repr(*shares)
            require(not other, "input", self.input, f"a list is of files alone: give {form}")
        for name in self.sources:
            if (name == "dataset" or name.startswith("d4rl")) and not Path(name).exists():
                raise ConfigError(
                    f"config key `input` is {name!r}, but data sets of Ray and of D4RL are not read: give JSON files,"
                    " as docs/offline.md says, or a data set of Minari, where D4RL's are: 'minari:D4RL/pen/human-v2'."
                )

    def without_effect(self) -> dict[str, str]:
        """Return the keys that have no effect beside the others as they are, each with the reason."""
        idle = super().without_effect()
        if not self.acts_while_training:
            idle |= dict.fromkeys(_OF_STEPS, f"no steps are taken to learn from (`input` has no '{SAMPLER}')")
        if all(isinstance(one, str) and (one == SAMPLER or one.startswith(PREFIX)) for one in self.sources.values()):
            idle |= dict.fromkeys(_OF_FILES, "no JSON files are read (`input`)")
        return idle

    def short(self) -> Self:
        """Return these settings for one short iteration: two steps of each environment."""
        steps = 2 * self.num_envs_per_env_runner
        return dataclasses.replace(self.without_workers(), train_batch_size=steps, minibatch_size=None, num_epochs=1)

    @property
    def steps_per_round(self) -> int:
        """Steps that are read before learning."""
        return self.train_batch_size

    @property
    def rows_per_step(self) -> int:
        """How many rows a gradient step takes."""
        return self.minibatch_size or self.train_batch_size

    @property
    def acts_while_training(self) -> bool:
        """Whether the policy's own steps are among those that are learnt from."""
        return SAMPLER in self.sources

    @property
    def sources(self) -> dict[str, str | list[str]]:
        """The single sources of ``input``, by name."""
        if isinstance(self.input, list):
            files = _texts(self.input)
            return {", ".join(files): files}
        given = [] if self.input is None else self.input if isinstance(self.input, dict) else [self.input]
        return {name: name for name in _texts(given)}

    def recorded_spaces(self) -> Spaces | None:
        """Return the spaces of the recorded steps to learn from.

        Raises:
            ConfigError: no source says of which spaces its steps are, or two of them disagree.
        """
        self.validate()
        found: Spaces | None = None
        for name, source in self.sources.items():
            spaces = None if source == SAMPLER else _spaces_of(source)
            if found is not None and spaces is not None:
                require_same(found, spaces, "the first source of `input`", name)
            found = found or spaces
        if SAMPLER in self.sources:
            raise ConfigError(f"'{SAMPLER}' in `input` takes steps in an environment: {_GIVE_ONE}.")
        if found is None:
            raise ConfigError(
                f"an environment is needed, for no source of `input` names its spaces: {_GIVE_ONE}, or write the spaces"
                " beside the files by anyspace.data.offline.write_spaces."
            )
        return found


_OF_ENVIRONMENTS = (
    *("evaluate_every", "evaluation_episodes", "evaluation_max_episode_steps"),
    *("env_config", "wrappers", "vectorization", "num_envs_per_env_runner"),
)
"""Keys that mean nothing without an environment."""

_OF_STEPS = ("rollout_fragment_length", "explore", "exploration_config")
"""Keys of the steps that the policy takes itself."""

_OF_FILES = ("actions_in_input_normalized", "unpack_input", "input_max_bad_lines")
"""Keys of JSON files."""

C = TypeVar("C", bound=OfflineConfig)


class Offline(Algorithm[C]):
    """Learns from recorded steps, in place of an environment's or mixed with them.

    Where the recorded steps say of which spaces they are, no environment is needed. One that is given is evaluated in.
    """

    def __init__(
        self,
        env: EnvLike | None = None,
        config: Mapping[str, Any] | AlgorithmConfig | None = None,
        *,
        preset: str | Preset | None = None,
        **overrides: Any,
    ):
        super().__init__(env, config, preset=preset, **overrides)
        try:
            _ = self.fleet  # which reads the first steps, so that those of other spaces are found now
        except BaseException:
            self.close()
            raise

    def setup(self) -> None:
        """Refuse keys about an environment where there is none."""
        super().setup()
        idle = [key for key in _OF_ENVIRONMENTS if key in self._given and not self.has_environment]
        if idle:
            raise ConfigError(f"`{idle[0]}` is given, but there is no environment, which it is about: give one, too.")

    @property
    def learns_values(self) -> bool:
        """Whether rewards, ends and next observations are learnt from."""
        return True

    def new_fleet(self, seed: int) -> Fleet:
        """Return what reads recorded steps, in an order by ``seed``, and steps environments where that is asked."""
        sources = self.config.sources
        fleets = {name: self._fleet_of(source, seed + i) for i, (name, source) in enumerate(sources.items())}
        if isinstance(self.config.input, dict):
            return MixedFleet(fleets, self.config.input, seed)
        return next(iter(fleets.values()))

    def _fleet_of(self, source: str | list[str], seed: int) -> Fleet:
        if source == SAMPLER:
            return super().new_fleet(seed)
        config, policy = self.config, self.policy
        episodes = _minaris(source, seed)
        reader = ColumnReader(
            policy,
            normalized=config.actions_in_input_normalized and episodes is None,
            needs_values=self.learns_values,
            collect=config.collect_infos,
        )
        returns = ReturnMoments(1, self.rewards.clip, config.gamma) if self.rewards.normalize else None
        if episodes is not None:
            return FileFleet(policy, episodes, reader, returns)
        files = find_files(source, self._here)
        recorded = read_spaces({file.parent for file in files})
        if recorded is not None:
            # Bounds of observations may differ, for values are checked one by one; those of actions say what -1 means.
            own = (policy.observation_space, policy.env_action_space)
            require_same(own, (own[0], recorded[1]), "the environment", f"the steps in {source}")
        lines = JsonLines(
            files,
            seed,
            unpacks=config.unpack_input,
            wanted=reader.wanted,
            most_bad_lines=config.input_max_bad_lines,
        )
        return FileFleet(policy, lines, reader, returns)


def _texts(paths: Iterable[str | os.PathLike[str]]) -> list[str]:
    return [os.fspath(path) for path in paths]


def _minaris(source: str | list[str], seed: int | None = None) -> MinariEpisodes | None:
    is_minaris = isinstance(source, str) and source.startswith(PREFIX)
    return MinariEpisodes(str(source).removeprefix(PREFIX), seed) if is_minaris else None


def _spaces_of(source: str | list[str]) -> Spaces | None:
    episodes = _minaris(source)
    if episodes is not None:
        return episodes.spaces
    return read_spaces({Path(file).parent for file in find_files(source)})
