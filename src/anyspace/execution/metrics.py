"""Numbers about training: gradient steps averaged and checked, the latest episodes summed up."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

import numpy as np

from anyspace.data.trajectory import Episode
from anyspace.errors import NonFiniteError
from anyspace.execution.learner import Result
from anyspace.maths.xp import Array
from anyspace.models.runtime import NumpyArray


def mean_results(results: list[Result], numpy: Callable[[Array], NumpyArray], iteration: int) -> dict[str, float]:
    """Return the means of what an iteration's gradient steps reported; of ``ratio_error`` the first step's value.

    Raises:
        NonFiniteError: a value is NaN or infinite; names the iteration, the step and the value.
    """
    table = {name: np.array([numpy(result[name]) for result in results]) for name in results[0]}
    finite = {name: np.isfinite(values) for name, values in table.items()}
    wrong = {name: int(np.argmin(fine)) for name, fine in finite.items() if not fine.all()}
    if wrong:
        first = min(wrong.values())
        name = "total_loss" if wrong.get("total_loss") == first else min(wrong, key=lambda key: wrong[key])
        raise NonFiniteError(
            f"iteration {iteration}, gradient step {first + 1} of {len(results)}: {name} is {table[name][first]}."
            " Lower `lr`, set `grad_clip`, or look at the scale of rewards and observations. Checkpoints saved so far"
            " are whole; this model is not."
        )
    means = {name: float(values.mean()) for name, values in table.items()}
    if "ratio_error" in table:
        means["ratio_error"] = float(table["ratio_error"][0])
    return means


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
