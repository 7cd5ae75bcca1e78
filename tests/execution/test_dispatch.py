"""Whom a dispatcher asks for what, and what it does about workers that die, hang or fail: on a clock of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anyspace.errors import WorkerError
from anyspace.execution.dispatch import FIRST_PAUSES, MOST_DEATHS, START_TIMEOUT, Dispatcher
from anyspace.execution.evaluate import Request
from anyspace.execution.worker import Fragment, Gather, Play, Start
from benchmarks.fleet_simulation import World, run
from tests.support.simulated import Clock, Fate, Mishap, SimulatedTransport

JOB = Gather(5, Start(0, 0, 0), 0)
WEIGHTS = np.zeros(4, np.uint8)
TIMEOUT = 60.0


class Case:
    """A dispatcher over simulated workers, and what it told."""

    def __init__(self, workers: int, fate: Callable[[int, int, int], Fate], **options: Any):
        self.clock, self.told = Clock(), list[str]()
        self.transport = SimulatedTransport(self.clock, fate)
        self.dispatcher = Dispatcher(
            self.transport,
            workers,
            clock=self.clock,
            timeout=options.pop("timeout", TIMEOUT),
            tell=self.told.append,
            **options,
        )
        self.version = 0
        self.workers = workers

    def shares(self, rounds: int = 1, **options: Any) -> list[int]:
        """Return which workers the fragments of a synchronous gathering are of."""
        self.dispatcher.publish(self.version, WEIGHTS)
        found = self.dispatcher.shares([[JOB] * rounds] * self.workers, self.version, **options)
        self.version += 1
        return [one.worker for one in found]

    def stream(self, steps: int = 20) -> list[int]:
        """Return which workers the fragments of an asynchronous gathering are of."""
        self.dispatcher.publish(self.version, WEIGHTS)
        found = self.dispatcher.stream(JOB, steps, 10, self.version)
        self.version += 1
        return [one.worker for one in found]


def steady(number: int, incarnation: int, count: int) -> Fate:
    return Fate(1.0 + number)


def at(number: int, count: int, fate: Fate, incarnation: int = 0) -> Callable[[int, int, int], Fate]:
    """Return fates that are steady but for one answer."""
    return lambda *which: fate if which == (number, incarnation, count) else steady(*which)


# --------------------------------------------------------------------------------------- without faults


def test_shares_come_in_the_order_of_workers_whoever_was_quick() -> None:
    case = Case(3, lambda number, *_: Fate(3.0 - number))
    assert case.shares(rounds=2) == [0, 0, 1, 1, 2, 2]
    assert case.transport.most_open == 1
    assert case.clock.now == 3 * 3  # it is built, and then gathers twice
    assert case.dispatcher.tally.lags == [0] * 6


def test_in_any_order_quick_workers_take_over_shares_of_slow_ones() -> None:
    case = Case(2, lambda number, incarnation, count: Fate(0.0 if count < 0 else 1.0 + 9 * number))
    assert case.shares(rounds=5, any_order=True) == [0] * 9 + [1]
    assert case.clock.now == 10.0
    slow = Case(2, lambda number, incarnation, count: Fate(0.0 if count < 0 else 1.0 + 9 * number))
    assert slow.shares(rounds=5) == [0] * 5 + [1] * 5
    assert slow.clock.now == 50.0


def test_a_stream_takes_what_is_ready_first() -> None:
    case = Case(2, lambda number, incarnation, count: Fate(0.0 if count < 0 else 1.0 + 2.5 * number), most=2)
    assert case.stream(50) == [0, 0, 0, 1, 0]
    assert case.transport.most_open == 2
    assert case.clock.now == 4.0


def test_while_the_learner_learns_workers_answer_the_requests_that_are_left() -> None:
    case = Case(2, lambda number, incarnation, count: Fate(0.0 if count < 0 else 1.0), most=2)
    for _ in range(4):
        case.stream(20)
        case.clock.now += 1.0
    waited = case.dispatcher.tally.waited
    assert waited == 1.0  # for the first fragments
    assert case.dispatcher.tally.lags[2:] == [1] * 6


def test_with_one_request_everybody_waits_for_the_learner() -> None:
    case = Case(2, lambda number, incarnation, count: Fate(0.0 if count < 0 else 1.0), most=1)
    for _ in range(4):
        case.stream(20)
        case.clock.now += 1.0
    assert case.dispatcher.tally.waited == 4.0
    assert case.dispatcher.tally.lags == [0] * 8


def test_fragments_that_are_too_old_are_dropped_and_counted() -> None:
    case = Case(4, lambda number, incarnation, count: Fate(0.0 if count < 0 else 1.0), most=2, max_lag=1)
    for _ in range(10):
        case.stream(10)
    tally = case.dispatcher.tally
    assert max(tally.lags) == 1
    assert tally.stale > 0
    assert len(case.transport.taken) == len(tally.lags) + tally.stale
    free = Case(4, lambda number, incarnation, count: Fate(0.0 if count < 0 else 1.0), most=2)
    for _ in range(10):
        free.stream(10)
    assert max(free.dispatcher.tally.lags) > 1
    assert free.dispatcher.tally.stale == 0


def test_a_worker_whose_answer_waits_to_be_taken_does_not_hang() -> None:
    """The learner is slow, and takes one fragment at a time."""
    case = Case(4, lambda number, incarnation, count: Fate(0.0 if count < 0 else 1.0), most=2)
    for _ in range(20):
        case.stream(10)
        case.clock.now += 2 * TIMEOUT
    tally = case.dispatcher.tally
    assert (tally.restarts, tally.lost, len(tally.lags)) == (0, 0, 20)


def test_a_replacement_that_waits_to_be_noticed_has_started() -> None:
    case = Case(4, at(3, 0, Fate(0.5, "dies")), most=2)
    for _ in range(8):
        case.stream(10)
        case.clock.now += 400.0
    assert case.dispatcher.tally.restarts == 1


def test_playing_several_episodes_may_take_as_many_times_as_long() -> None:
    case = Case(1, lambda number, incarnation, count: Fate(0.0 if count < 0 else 3.5 * TIMEOUT))
    case.dispatcher.publish(0, WEIGHTS)
    play = Play(Request(episodes=4, seed=0), 0)
    case.dispatcher.shares([[play]], 0)
    assert case.dispatcher.tally.restarts == 0
    with pytest.raises(WorkerError, match="lower `evaluation_episodes`"):
        case.dispatcher.shares([[Play(Request(episodes=3, seed=0), 0)]], 0)


def test_where_the_learner_is_slower_fewer_requests_are_under_way() -> None:
    lags = {}
    for adapts in (False, True):
        case = Case(64, lambda number, incarnation, count: Fate(0.0 if count < 0 else 1.0), most=2, adapts=adapts)
        for _ in range(300):
            case.stream(100)
            case.clock.now += 1.0
        lags[adapts] = np.mean(case.dispatcher.tally.lags[-500:])
    assert lags[False] > 10
    assert lags[True] < 4


def test_where_workers_are_slower_as_many_requests_as_possible_are_under_way() -> None:
    case = Case(4, lambda number, incarnation, count: Fate(0.0 if count < 0 else 1.0), most=2, adapts=True)
    for _ in range(50):
        case.stream(100)
        case.clock.now += 0.1
    busy = len(case.transport.taken) / 4 / case.clock.now
    assert busy > 0.95


# ------------------------------------------------------------------------------------------ with faults


@pytest.mark.parametrize("how", ["dies", "lost", "hangs"])
def test_who_dies_in_a_fragment_is_replaced_at_once_and_asked_again(how: Any) -> None:
    case = Case(2, at(1, 0, Fate(1.5, how)))
    assert case.shares() == [0, 1]
    tally = case.dispatcher.tally
    assert (tally.restarts, tally.lost, tally.stale, case.transport.kills) == (1, 1, 0, 1)
    died_at = 2 + 1.5 if how != "hangs" else 2 + TIMEOUT
    assert died_at + 4 <= case.clock.now <= died_at + 4 + 2  # the next one is built and gathers
    assert [sentence.split(":")[0] for sentence in case.told] == ["worker 1 is replaced"]


def test_nobody_waits_for_a_worker_that_is_being_replaced() -> None:
    case = Case(
        3,
        lambda number, incarnation, count: (
            Fate(20.0 * incarnation)
            if count < 0
            else Fate(1.0, "dies" if (number, incarnation, count) == (0, 0, 3) else "done")
        ),
        most=2,
    )
    ends = []
    for _ in range(12):
        case.stream(30)
        ends.append(case.clock.now)
    assert max(np.diff(ends)) <= 2.0
    assert case.dispatcher.tally.restarts == 1


def test_a_worker_that_dies_before_it_is_built_gets_pauses_that_grow() -> None:
    starts = []

    def fate(number: int, incarnation: int, count: int) -> Fate:
        if count < 0:
            starts.append(case.clock.now)
        return Fate(0.0, "dies" if count < 0 and incarnation < 4 else "done")

    case = Case(1, fate)
    assert case.shares() == [0]
    np.testing.assert_allclose(np.diff(starts), FIRST_PAUSES[1:], atol=0.01)


def test_one_that_never_gets_built_ends_the_run() -> None:
    case = Case(2, lambda number, incarnation, count: Fate(1.0, "dies" if number and count < 0 else "done"))
    with pytest.raises(WorkerError, match=rf"worker 1 died \(it died\), {len(FIRST_PAUSES)} times in a row without"):
        case.shares()
    assert case.clock.now < 25


def test_one_that_dies_in_every_fragment_ends_the_run_soon() -> None:
    case = Case(2, lambda number, incarnation, count: Fate(1.0, "dies" if number and count >= 0 else "done"))
    with pytest.raises(WorkerError, match=rf"worker 1 died \(it died\), {MOST_DEATHS} times in a row without"):
        case.shares()
    assert case.clock.now <= 2 * MOST_DEATHS
    assert case.dispatcher.tally.restarts == MOST_DEATHS - 1


def test_one_that_dies_now_and_then_does_not() -> None:
    case = Case(1, lambda number, incarnation, count: Fate(1.0, "dies" if count == 1 else "done"))
    for _ in range(3 * MOST_DEATHS):
        assert case.shares() == [0]


def test_nobody_is_replaced_where_that_is_switched_off() -> None:
    case = Case(1, at(0, 0, Fate(1.0, "dies")), restarts=False)
    with pytest.raises(WorkerError, match="`restart_failed_env_runners` is off"):
        case.shares()


def test_a_request_that_waits_behind_others_does_not_hang() -> None:
    case = Case(1, lambda number, incarnation, count: Fate(0.0 if count < 0 else 50.0), most=3)
    for _ in range(3):
        case.stream(10)
    assert case.dispatcher.tally.restarts == 0


def test_one_that_hangs_is_found_while_others_deliver() -> None:
    case = Case(3, lambda n, i, c: Fate(0.5, "hangs" if (n, i, c) == (2, 0, 4) else "done"), most=2)
    for _ in range(200):
        case.stream(20)
    assert case.dispatcher.tally.restarts == 1


def test_one_that_is_never_started_is_told_and_ends_the_run() -> None:
    case = Case(2, lambda number, incarnation, count: Fate(1.0, "hangs" if number and count < 0 else "done"))
    with pytest.raises(WorkerError, match=r"worker 1 has not started for 300 s\. There is room\."):
        case.shares()
    assert START_TIMEOUT <= case.clock.now < START_TIMEOUT + 5
    assert case.told[0] == "1 of 2 workers have not started yet. There is room."
    assert 5 <= len(case.told) <= START_TIMEOUT / 30


def test_the_others_do_not_wait_for_workers_that_may_start_late() -> None:
    """One starts after a thousand seconds, the other never; the requests that wait for it hold nobody back."""
    fates = {1: Fate(1000.0), 2: Fate(0.0, "hangs")}
    case = Case(
        3, lambda n, _, count: fates.get(n, Fate(0.0)) if count < 0 else Fate(1.0), most=2, adapts=True, least=1
    )
    first = [case.stream(20) for _ in range(450)]
    assert {number for found in first for number in found} == {0}
    assert case.clock.now == 900.0
    later = [case.stream(20) for _ in range(200)]
    assert {number for found in later for number in found} == {0, 1}
    assert max(case.dispatcher.tally.lags[-100:]) <= 2
    assert case.dispatcher.tally.restarts == 0


@pytest.mark.parametrize("count", [-1, 0])
def test_what_a_user_s_code_raises_comes_up_at_once(count: int) -> None:
    case = Case(2, at(1, count, Fate(1.0, "raises")))
    with pytest.raises(Mishap, match="over") as caught:
        case.shares()
    assert caught.value.__notes__ == ["In worker 1:\n"]
    assert case.dispatcher.tally.restarts == 0


def test_after_an_error_leftovers_of_the_gathering_are_not_learnt_from() -> None:
    case = Case(2, lambda n, i, c: Fate(0.0 if c < 0 else 1.0 + n, "raises" if (n, c) == (0, 0) else "done"))
    with pytest.raises(Mishap):
        case.shares()
    assert case.shares() == [0, 1]
    tally = case.dispatcher.tally
    assert (tally.stale, len(tally.lags)) == (1, 2)


def test_an_error_of_a_gathering_that_was_given_up_is_not_raised_again() -> None:
    def fate(number: int, incarnation: int, count: int) -> Fate:
        return Fate(0.0 if count < 0 else 1.0 + number, "raises" if count == 0 else "done")

    for streams in (False, True):
        case = Case(3, fate)
        gather = case.stream if streams else case.shares
        with pytest.raises(Mishap):
            gather()
        assert len(gather()) >= 2
        assert case.dispatcher.tally.stale == 0


def test_closing_ends_all_workers() -> None:
    case = Case(3, steady)
    case.shares()
    case.dispatcher.close()
    assert case.transport.kills == 3


# --------------------------------------------------------------------------------------- random schedules


HOWS = st.sampled_from(["done"] * 12 + ["dies", "hangs", "lost", "raises"])


@st.composite
def cases(draw: st.DrawFn) -> tuple[Case, bool, int]:
    workers, most = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    seconds = st.floats(0.0, 100.0) if draw(st.booleans()) else st.floats(0.1, 2.0)
    drawn: dict[tuple[int, int, int], Fate] = {}

    def fate(*which: int) -> Fate:
        key = (which[0], which[1], which[2])
        if key not in drawn:
            drawn[key] = Fate(draw(seconds), draw(HOWS))
        return drawn[key]

    options = {"adapts": draw(st.booleans()), "max_lag": draw(st.sampled_from([None, 1, 2]))}
    return Case(workers, fate, most=most, **options), draw(st.booleans()), most


def require_nothing_lost(case: Case, streams: bool, most: int, data: st.DataObject) -> None:
    """Gather some times: each fragment that arrived is learnt from once, or counted."""
    learnt = 0
    for _ in range(6):
        try:
            learnt += len(case.stream(data.draw(st.integers(1, 60))) if streams else case.shares(rounds=2))
        except (Mishap, WorkerError):
            continue
        case.clock.now += data.draw(st.floats(0.0, 3.0))
        assert case.dispatcher.tally.stale + learnt == len(case.transport.taken)
    tally = case.dispatcher.tally
    assert learnt + tally.stale == len(case.transport.taken)
    assert len(set(case.transport.taken)) == len(case.transport.taken)
    assert case.transport.most_open <= (most if streams else 1)
    assert tally.restarts <= case.transport.kills
    assert tally.waited <= case.clock.now


@settings(max_examples=60, deadline=None)
@given(cases(), st.data())
def test_whatever_happens_no_fragment_is_lost_unseen(drawn: tuple[Case, bool, int], data: st.DataObject) -> None:
    require_nothing_lost(*drawn, data)


@pytest.mark.fuzz
@settings(max_examples=10_000, deadline=None)
@given(cases(), st.data())
def test_whatever_happens_at_length(drawn: tuple[Case, bool, int], data: st.DataObject) -> None:
    require_nothing_lost(*drawn, data)


def test_fragments_are_what_they_are() -> None:
    case = Case(1, steady)
    case.dispatcher.publish(0, WEIGHTS)
    (found,) = case.dispatcher.shares([[JOB]], 0)
    assert isinstance(found, Fragment)
    assert found.steps == 10


def test_with_128_workers_the_learner_is_full_and_fragments_are_young() -> None:
    """As in docs/scaling.md: the learner takes 36,364 rows a second at most."""
    found = run(World(), 128, 100, most=2, adapts=True)
    assert found["rows"] >= 0.9 * 36_364
    assert found["p99"] <= 15
