"""How far training has come, and how well it does."""

from __future__ import annotations

from typing import Any

from anyspace.data.trajectory import Episode, Trajectory
from anyspace.execution.metrics import EpisodeWindow

NAMES = ("training_iteration", "timesteps_total", "vector_steps", "episodes_total", "time_total_s")


class Counters:
    """Counts steps and episodes, keeps the latest returns and knows the best one.

    The return that counts is the latest evaluation's where there are evaluations, else the mean of the latest
    training episodes. The first mean over a full window of them is the best so far whatever came before: that of a
    few episodes may be high by luck.

    Attributes:
        training_iteration: iterations so far.
        timesteps_total: environment steps so far.
        vector_steps: steps of the vector environment so far.
        episodes_total: episodes that have ended.
        time_total_s: seconds spent in training.
        total_steps: environment steps that the latest `learn` asked for, from the beginning; None: there was none.
        latest: the latest training episodes.
        new: the training episodes that ended in the latest iteration.
        is_best: whether the latest iteration brought the highest return so far.

    Args:
        window: how many of the latest training episodes count.
        evaluate_every: steps between evaluations; None: there are none.
    """

    def __init__(self, window: int, evaluate_every: int | None):
        self.training_iteration = self.timesteps_total = self.vector_steps = self.episodes_total = 0
        self.time_total_s = 0.0
        self.total_steps: int | None = None
        self.latest = EpisodeWindow(window)
        self.new: list[Episode] = []
        self.is_best = False
        self._every = evaluate_every
        self._evaluated_at = 0
        self._latest_evaluation: float | None = None
        self._best_return: float | None = None
        self._was_full = False

    def count(self, trajectory: Trajectory, num_envs: int) -> None:
        """Add a trajectory that was learnt from, collected in ``num_envs`` environments."""
        self.timesteps_total += trajectory.num_steps
        self.vector_steps += trajectory.valid.size // num_envs
        self.episodes_total += len(trajectory.episodes)
        self.latest.extend(trajectory.episodes)
        self.new += trajectory.episodes

    @property
    def evaluation_due(self) -> bool:
        """Whether enough steps have passed since the latest evaluation."""
        return self._every is not None and self.timesteps_total - self._evaluated_at >= self._every

    def judge(self, evaluation: dict[str, Any] | None) -> None:
        """Take in the evaluation of this iteration, if there was one, and settle whether it is the best so far."""
        if evaluation is not None:
            self._evaluated_at = self.timesteps_total
            self._latest_evaluation = evaluation["episode_return_mean"]
        if self._every is None:
            score = self.latest.mean_return
            if self.latest.is_full and not self._was_full:
                self._was_full, self._best_return = True, None
        else:
            score = None if evaluation is None else self._latest_evaluation
        self.is_best = score is not None and (self._best_return is None or score > self._best_return)
        if self.is_best:
            self._best_return = score

    def reached(self, goal: float) -> bool:
        """Whether the return has reached ``goal``; that of training episodes counts once the window is full."""
        if self._every is not None:
            return self._latest_evaluation is not None and self._latest_evaluation >= goal
        mean = self.latest.mean_return
        return self.latest.is_full and mean is not None and mean >= goal

    def verdict(self, goal: float) -> str:
        """Say in a sentence whether the return has reached ``goal``."""
        if self._every is not None:
            mean, whose = self._latest_evaluation, "the latest evaluation's mean return"
            missing = "there was no evaluation yet"
        else:
            count, size = len(self.latest.episodes), self.latest.episodes.maxlen
            mean, whose = self.latest.mean_return, f"the mean return over the latest {count} episodes"
            missing = "no episode has ended yet"
            if mean is not None and not self.latest.is_full:
                return f"goal not reached: stop_return ({goal:g}) counts once {size} episodes have ended; {count} have"
        if mean is None:
            return f"goal not reached: {missing} (stop_return is {goal:g})"
        return f"goal {'' if self.reached(goal) else 'not '}reached: {whose} is {mean:.6g} (stop_return is {goal:g})"

    def state(self) -> dict[str, Any]:
        """Return everything as JSON can hold it."""
        return {
            "counters": {name: getattr(self, name) for name in NAMES},
            "total_steps": self.total_steps,
            "evaluated_at": self._evaluated_at,
            "latest_evaluation": self._latest_evaluation,
            "best_return": self._best_return,
            "best_is_evaluation": self._every is not None,
            "latest_episodes": [list(episode) for episode in self.latest.episodes],
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned; what is younger than the rest may be missing.

        These are ``latest_evaluation``, ``total_steps`` and ``best_is_evaluation``.

        Raises:
            ValueError: a number is missing or is none.
        """
        counters, episodes = state.get("counters"), state.get("latest_episodes")
        if not isinstance(counters, dict) or not isinstance(episodes, list):
            raise ValueError("`counters` is to be an object, and `latest_episodes` a list")
        for name in NAMES:
            setattr(self, name, _number(counters, name, whole=name != "time_total_s"))
        self.total_steps = _number(state, "total_steps", whole=True) if state.get("total_steps") else None
        self._evaluated_at = _number(state, "evaluated_at", whole=True)
        self._best_return, self._latest_evaluation = (
            None if state.get(name) is None else _number(state, name) for name in ("best_return", "latest_evaluation")
        )
        if state.get("best_is_evaluation", self._every is not None) != (self._every is not None):
            self._best_return = None  # evaluations are best among evaluations, and training episodes among their like
        self.latest.episodes.clear()
        self.latest.extend(_episode(episode) for episode in episodes)
        self._was_full = self.latest.is_full


def _number(values: dict[str, Any], name: str, *, whole: bool = False) -> Any:
    value = values.get(name)
    if isinstance(value, bool) or not isinstance(value, int if whole else int | float) or (whole and value < 0):
        spelt = "a whole number of at least 0" if whole else "a number"
        raise ValueError(f"`{name}` is {value!r}; it is to be {spelt}")
    return value


def _episode(entries: Any) -> Episode:
    is_one = isinstance(entries, list) and 2 <= len(entries) <= len(Episode._fields)
    if not is_one or not all(isinstance(entry, int | float) and not isinstance(entry, bool) for entry in entries[:2]):
        raise ValueError(f"`latest_episodes` holds {entries!r}; an episode is {', '.join(Episode._fields)}")
    return Episode(*entries)
