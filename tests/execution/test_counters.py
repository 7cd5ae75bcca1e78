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


def test_an_evaluation_is_due_after_just_as_many_steps() -> None:
    counters = Counters(3, 100)
    found = []
    for steps in (99, 100, 150, 200):
        counters.timesteps_total = steps
        found.append(counters.evaluation_due)
        if found[-1]:
            counters.judge({"episode_return_mean": 1.0})
    assert found == [False, True, False, True]


def best_at(rounds: list[list[float]], counters: Counters) -> list[int]:
    """Return after which rounds of episodes a counter says that the return is the best so far."""
    found = []
    for number, returns in enumerate(rounds):
        counters.latest.extend(Episode(total, 1) for total in returns)
        counters.judge(None)
        if counters.is_best:
            found.append(number)
    return found


@pytest.mark.parametrize(
    ("rounds", "best"),
    [
        ([[1.0], [0.9], [0.9], [0.9], [0.9]], [0, 2]),  # a first lucky episode does not stay the best
        ([[], [1.0], [2.0], [1.5], [0.0, 6.0], [0.0]], [1, 2, 3, 4]),
        ([[3.0, 3.0, 3.0], [0.0], [4.0, 4.0, 4.0]], [0, 2]),
        ([[1.0], [0.5]], [0]),  # fewer episodes than the window takes
    ],
)
def test_the_best_mean_is_one_of_a_full_window_where_there_is_one(rounds: list[list[float]], best: list[int]) -> None:
    assert best_at(rounds, Counters(3, None)) == best


def test_the_best_mean_is_remembered() -> None:
    counters, again = Counters(3, None), Counters(3, None)
    best_at([[5.0, 5.0, 5.0]], counters)
    again.load_state(counters.state())
    assert best_at([[4.0], [8.0]], again) == [1]


@pytest.mark.parametrize("every", [None, 100])
def test_a_best_return_of_the_other_kind_is_forgotten(every: int | None) -> None:
    """Evaluations are compared with evaluations, and training episodes with their like."""
    before = Counters(3, 100 if every is None else None)
    before.latest.extend(Episode(9.0, 1) for _ in range(3))
    before.judge({"episode_return_mean": 9.0})
    for after, goes_on in ((Counters(3, every), True), (Counters(3, before._every), False)):
        after.load_state(before.state())
        after.latest.extend(Episode(5.0, 1) for _ in range(3))
        after.judge({"episode_return_mean": 5.0})
        assert after.is_best == goes_on
