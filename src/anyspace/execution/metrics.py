"""Numbers about training: gradient steps averaged and checked, the latest episodes summed up."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from anyspace.answers import Explains
from anyspace.data.trajectory import Episode
from anyspace.errors import NonFiniteError, nearest
from anyspace.execution.learner import Result, Steps, as_numpy
from anyspace.foreign_names import RESULT
from anyspace.maths.xp import Array, xp
from anyspace.models.runtime import NumpyArray

Doubles = npt.NDArray[np.float64]

_NOWHERE = [-1]
"""The place of a number that some step reported, nobody knows which."""


def mean_results(results: Sequence[Result], numpy: Callable[[Array], NumpyArray], iteration: int) -> dict[str, float]:
    """Return the means of what an iteration's gradient steps reported, by name; nothing if there was no step.

    A number that only some steps report is averaged over those.

    Raises:
        NonFiniteError: a value is NaN or infinite; names the iteration, the step and the value.
    """
    reported: dict[str, list[tuple[Sequence[int], Array | float]]] = {}
    count = 0
    for result in results:
        lengths = {name: (*getattr(value, "shape", ()), 1)[0] for name, value in result.metrics.items()}
        before, count = count, count + max(lengths.values(), default=1)
        for name, value in result.metrics.items():
            is_whole = before + lengths[name] == count  # else nobody knows which of the steps reported it
            places = range(before, count) if is_whole else _NOWHERE * lengths[name]
            reported.setdefault(name, []).append((places, value))
    table = {name: _fetched([value for _, value in parts], numpy) for name, parts in reported.items()}
    wrong: dict[str, tuple[int, float]] = {}
    for name, values in table.items():
        if not (finite := np.isfinite(values)).all():
            first = int(finite.argmin())
            places = [place for places, _ in reported[name] for place in places]
            wrong[name] = places[first], float(values[first])
    if wrong:
        name = min(wrong, key=lambda name: (wrong[name][0] < 0, wrong[name][0], name != "total_loss"))
        place, value = wrong[name]
        where = "" if place < 0 else f", gradient step {place + 1} of {count}"
        raise NonFiniteError(
            f"iteration {iteration}{where}: {name} is {value}."
            " Lower `lr`, set `grad_clip`, or look at the scale of rewards and observations. Checkpoints saved so far"
            " are whole; this model is not."
        )
    return {name: float(np.mean(values)) for name, values in table.items()}


def _fetched(values: Sequence[Array | float], numpy: Callable[[Array], NumpyArray]) -> Doubles:
    """Return what all results report under a name side by side; scalars of a device come at once, as each one waits."""
    if all(getattr(value, "shape", None) == () and not isinstance(value, np.generic) for value in values):
        return np.asarray(numpy(xp(values[0]).stack(values)), np.float64)
    return np.concatenate([np.atleast_1d(as_numpy(value, numpy)).astype(np.float64) for value in values])


def of_one_step(result: Result, steps: Steps, numpy: Callable[[Array], NumpyArray]) -> Result:
    """Return what parts of one gradient step report as numbers of the step.

    Losses are sums over rows, so that the step's is that of its parts; what else is reported is averaged over rows.

    Args:
        result: of ``steps``, [S] each, or [1] where all rows were taken at once.
        steps: whose gradients were summed.
        numpy: turns a tensor into an array.
    """
    sequences = steps.rows.get("sequences")
    lens = steps.counted * (1 if sequences is None else sequences.lens[steps.order])
    rows = lens.sum(axis=1).astype(np.float64)
    metrics: dict[str, Array] = {}
    for name, value in result.metrics.items():
        numbers = np.atleast_1d(as_numpy(value, numpy)).astype(np.float64)
        weights = rows if len(numbers) == len(rows) else None
        number = numbers.sum() if name == "total_loss" else np.average(numbers, weights=weights)
        metrics[name] = np.array([number])
    return replace(result, metrics=metrics)


class TrainingResult(Explains, dict[str, Any]):
    """The numbers of an iteration by name; a name that other libraries use says what the number is called here."""

    _foreign = RESULT

    def __missing__(self, name: object) -> Any:
        called = _CALLED.get(str(name))
        advice = nearest(str(name), self) if called is None else f" It is called {called!r} here."
        raise KeyError(f"the result has no {name!r}.{advice} It has: {', '.join(self)}.")


_CALLED = {
    "episode_reward_mean": "episode_return_mean",
    "episode_reward_min": "episode_return_min",
    "episode_reward_max": "episode_return_max",
    "num_env_steps_sampled": "timesteps_total",
    "num_env_steps_sampled_lifetime": "timesteps_total",
    "agent_timesteps_total": "timesteps_total",
    "info": "learner",
    "learners": "learner",
    "rollout/ep_rew_mean": "episode_return_mean",
    "rollout/ep_len_mean": "episode_len_mean",
    "time/fps": "steps_per_s",
    "time/total_timesteps": "timesteps_total",
}
"""What numbers of other libraries' results are called here."""


def mean_by_name(given: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the mean of each number over those that have it."""
    names = dict.fromkeys(name for one in given for name in one)
    return {name: float(np.mean([one[name] for one in given if name in one])) for name in names}


class EpisodeWindow:
    """The latest episodes.

    Args:
        size: how many are kept.
    """

    def __init__(self, size: int):
        self.episodes: deque[Episode] = deque(maxlen=size)

    def extend(self, episodes: Iterable[Episode]) -> None:
        """Add finished episodes; the oldest ones make room."""
        self.episodes.extend(episodes)

    @property
    def is_full(self) -> bool:
        """Whether as many episodes as the window holds have ended."""
        return len(self.episodes) == self.episodes.maxlen

    @property
    def mean_return(self) -> float | None:
        """Mean return, or None before the first episode has ended."""
        return float(np.mean([episode.total_reward for episode in self.episodes])) if self.episodes else None

    @property
    def longest(self) -> int:
        """Steps of the longest episode; 0 before the first one has ended."""
        return max((episode.length for episode in self.episodes), default=0)

    def infos(self) -> dict[str, float]:
        """Return the mean over the episodes that gave it of each number among the infos of last steps."""
        return mean_by_name([episode.infos for episode in self.episodes])

    def statistics(self) -> dict[str, float]:
        """Return mean, lowest and highest return and the mean length; nothing before the first episode has ended."""
        mean = self.mean_return
        if mean is None:
            return {}
        returns = [episode.total_reward for episode in self.episodes]
        return {
            "episode_return_mean": mean,
            "episode_return_min": min(returns),
            "episode_return_max": max(returns),
            "episode_len_mean": float(np.mean([episode.length for episode in self.episodes])),
        }
