"""Data sets of Minari: recorded episodes of public tasks, and of your own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from anyspace.data.offline.json_lines import Columns
from anyspace.errors import ConfigError, nearest
from anyspace.spaces.serialize import Spaces

PREFIX = "minari:"
"""With what the name of a data set begins where a source of steps is named."""


class MinariEpisodes:
    """Reads the episodes of a data set, in random order and without end.

    Args:
        name: of the data set, without the prefix.
        seed: of the order.

    Attributes:
        spaces: of observations and of actions.

    Raises:
        ConfigError: Minari is not installed, there is no such data set on this machine, or it is empty.
    """

    def __init__(self, name: str, seed: int | None = None):
        self._name, self._data = name, _loaded(name)
        self.spaces: Spaces = (self._data.observation_space, self._data.action_space)
        if not self._data.total_episodes:
            raise ConfigError(f"the data set {name!r} of Minari holds no episode.")
        self.restart(seed)

    def restart(self, seed: int | None) -> None:
        """Begin anew with an episode that ``seed`` chooses."""
        self._rng = np.random.default_rng(seed)
        self._steps = self._endless()

    def next(self) -> tuple[str, Columns]:
        """Return the place of the next episode and its columns; its actions are the environment's."""
        return next(self._steps)

    def metrics(self) -> dict[str, float]:
        """Return nothing: no episode is left out."""
        return {}

    def _endless(self) -> Iterator[tuple[str, Columns]]:
        numbers = np.asarray(self._data.episode_indices)
        while True:
            for number in self._rng.permutation(numbers):
                (episode,) = self._data.iterate_episodes([int(number)])
                yield f"{PREFIX}{self._name}, episode {number}", _columns(episode)


def _columns(episode: Any) -> Columns:
    rows = len(episode.rewards)
    return {
        "obs": _rows(episode.observations, slice(0, rows)),
        "new_obs": _rows(episode.observations, slice(1, rows + 1)),
        "actions": episode.actions,
        "rewards": episode.rewards,
        "terminateds": episode.terminations,
        "truncateds": episode.truncations,
        "eps_id": np.full(rows, episode.id),
    }


def _rows(observations: Any, rows: slice) -> Any:
    """Return some of stacked observations; texts are listed one by one."""
    if isinstance(observations, dict):
        return {key: _rows(part, rows) for key, part in observations.items()}
    if isinstance(observations, tuple):
        return tuple(_rows(part, rows) for part in observations)
    return observations[rows]


def _loaded(name: str) -> Any:
    try:
        import minari
    except ImportError as error:
        raise ConfigError(
            f"{PREFIX}{name} takes Minari, which is not installed: `pip install 'anyspace[offline]'`."
        ) from error
    try:
        return minari.load_dataset(name)
    except (ValueError, FileNotFoundError) as error:
        there = sorted(minari.list_local_datasets())
        raise ConfigError(
            f"there is no data set {name!r} of Minari on this machine ({error}), which has"
            f" {', '.join(there) or 'none'}.{nearest(name, there)} `minari download` gets one, and `minari list"
            " remote` says which there are."
        ) from error
