"""How an algorithm plays whole episodes apart from training: to be judged, or to be filmed."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from anyspace.algorithms.config import AlgorithmConfig
from anyspace.answers import answers
from anyspace.config import whole
from anyspace.data.seeds import evaluation_seed
from anyspace.errors import ConfigError
from anyspace.execution.counters import Counters
from anyspace.execution.evaluate import Evaluator, Request, summary
from anyspace.execution.film import Film
from anyspace.policy.policy import Policy


class Plays(ABC):
    """Plays episodes with a policy, on environments of its own."""

    policy: Policy
    config: AlgorithmConfig
    counters: Counters
    seed: int
    _evaluator: Evaluator | None

    @property
    @abstractmethod
    def evaluator(self) -> Evaluator:
        """Who plays; the environments start with the first use."""

    @answers("evaluate()")
    def evaluate(
        self,
        episodes: int | None = None,
        *,
        explore: bool = False,
        render: bool = False,
        progress: bool = False,
        seed: int | None = None,
    ) -> dict[str, Any]:
        """Play whole episodes on separate environments and return their statistics.

        Args:
            episodes: how many; None takes ``evaluation_episodes``.
            explore: sample actions instead of taking the deterministic ones.
            render: show them in a window.
            progress: show how many episodes are over.
            seed: of the environments, and of the actions that are sampled: the same one plays the same episodes again,
                and what training draws later stays the same. None takes one that goes by the algorithm's seed and its
                steps.

        Returns:
            Numbers over the episodes, and under ``returns`` and ``lengths`` a list with one for each episode.
        """
        return self._played(episodes, explore, seed, render=render, progress=progress)

    def record(
        self,
        path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        episodes: int = 1,
        *,
        explore: bool = False,
        progress: bool = False,
        seed: int | None = None,
    ) -> dict[str, Any]:
        """Film whole episodes, one after the other, and return their statistics as :meth:`evaluate` does.

        The environment needs Gymnasium's render mode "rgb_array"; no display is needed.

        Args:
            path: a file that ends in ``.mp4`` (``pip install 'anyspace[video]'``) or ``.gif``, or several of them.
            episodes: how many.
            explore: sample actions instead of taking the deterministic ones.
            progress: show how many episodes are over.
            seed: of the environment, and of the actions that are sampled; None takes one that goes by the algorithm's
                seed and its steps.

        Raises:
            ConfigError: the ending is of no known kind, what writes it is not installed, or the file cannot be
                written.
            EnvironmentSetupError: the environment draws no pictures; names the render modes that it has.
        """
        files = [Path(path)] if isinstance(path, str | os.PathLike) else [Path(one) for one in path]
        film = Film(files)
        film.require_room()
        with film:
            return self._played(episodes, explore, seed, film=film, progress=progress)

    def _played(
        self,
        episodes: int | None,
        explore: bool,
        seed: int | None,
        *,
        render: bool = False,
        film: Film | None = None,
        progress: bool = False,
    ) -> dict[str, Any]:
        add = None if film is None else film.add
        request = replace(self._request(episodes, seed), explore=explore, render=render, progress=progress, film=add)
        return summary(self.evaluator.evaluate(request)).as_dict()

    def _due_evaluation(self) -> dict[str, Any] | None:
        """Return the evaluation that is due; None while workers play it beside training."""
        if not self.config.evaluates_in_parallel:
            return self.evaluate()
        played = self.evaluator.beside(self._request())
        return None if played is None else summary(played).as_dict()

    @property
    def evaluates_beside(self) -> bool:
        """Whether workers play an evaluation beside training now; it is of the weights that it was begun with."""
        return self._evaluator is not None and self._evaluator.is_playing

    def finish_evaluation(self) -> dict[str, Any] | None:
        """Wait for the evaluation that workers play beside training, take it in and return it; None: there is none."""
        played = None if self._evaluator is None else self._evaluator.finish()
        if played is None:
            return None
        evaluation = summary(played).as_dict()
        self.counters.judge(evaluation)
        return evaluation

    def _request(self, episodes: int | None = None, seed: int | None = None) -> Request:
        episodes = self.config.evaluation_episodes if episodes is None else episodes
        expected = "evaluate() takes a whole number of episodes (of another environment: load(path, env=...))"
        episodes = whole(episodes, expected)
        if seed is None:
            seed = evaluation_seed(self.seed, self.counters.timesteps_total)
        elif whole(seed, "evaluate() takes a whole number as `seed`") < 0:
            raise ConfigError(f"evaluate(seed={seed}): a seed is not negative.")
        return Request(episodes, int(seed), longest=self.counters.latest.longest)
