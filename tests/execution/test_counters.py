"""What counters say of the return that a run was to reach."""

from __future__ import annotations

import pytest

from anyspace.data.trajectory import Episode
from anyspace.execution.counters import Counters


@pytest.mark.parametrize(
    ("returns", "goal", "verdict"),
    [
        ([], 5, "goal not reached: no episode has ended yet (stop_return is 5)"),
        ([9, 9], 5, "goal not reached: stop_return (5) counts once 3 episodes have ended; 2 have"),
        ([1, 2, 4], 5, "goal not reached: the mean return over the latest 3 episodes is 2.33333 (stop_return is 5)"),
        ([1, 5, 5, 5.5], 5, "goal reached: the mean return over the latest 3 episodes is 5.16667 (stop_return is 5)"),
        ([4.99, 5, 5], 5, "goal not reached: the mean return over the latest 3 episodes is 4.99667 (stop_return is 5)"),
    ],
)
def test_the_verdict_of_training_episodes(returns: list[float], goal: float, verdict: str) -> None:
    counters = Counters(3, None)
    counters.latest.extend(Episode(total, 1) for total in returns)
    assert counters.verdict(goal) == verdict
    assert counters.reached(goal) == verdict.startswith("goal reached")


@pytest.mark.parametrize(
    ("evaluation", "verdict"),
    [
        (None, "goal not reached: there was no evaluation yet (stop_return is 0.5)"),
        (0.25, "goal not reached: the latest evaluation's mean return is 0.25 (stop_return is 0.5)"),
        (0.5, "goal reached: the latest evaluation's mean return is 0.5 (stop_return is 0.5)"),
    ],
)
def test_the_verdict_of_evaluations(evaluation: float | None, verdict: str) -> None:
    counters = Counters(3, 100)
    counters.latest.extend(Episode(9.0, 1) for _ in range(3))
    counters.judge(None if evaluation is None else {"episode_return_mean": evaluation})
    assert counters.verdict(0.5) == verdict
    assert counters.reached(0.5) == verdict.startswith("goal reached")
