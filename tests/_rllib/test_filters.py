"""Filters of the old stack: how workers exchange what they have seen, and the old names of statistics."""

from __future__ import annotations

import numpy as np
import pytest

from anyspace import spaces
from anyspace._rllib import filters
from anyspace._rllib.filters import MeanStdFilter, NoFilter, get_filter
from anyspace.errors import ConfigError
from anyspace.spaces import RunningStat


@pytest.mark.spec(43)
def test_exchanging_changes():
    a, b = MeanStdFilter(()), MeanStdFilter(())
    for x in (1.0, 2.0):
        a(x)
    b(10.0)
    a.apply_changes(b)
    assert (a.running_stats.n, a.running_stats.mean, a.buffer.n) == (3, pytest.approx(4.3333, abs=1e-4), 2)
    a.apply_changes(b, with_buffer=True)
    assert (a.running_stats.n, a.running_stats.mean, a.buffer.n) == (4, 5.75, 1)
    a.sync(b)
    assert (a.running_stats.n, a.running_stats.mean, a.buffer.n) == (1, 10, 1)
    b(20.0)
    assert (a.running_stats.n, a.buffer.n) == (1, 1)


def test_only_the_buffer_is_exchanged():
    a, b = MeanStdFilter(()), MeanStdFilter(())
    b.push(np.array([1.0, 2.0]))
    b.buffer = RunningStat(())
    b(30.0)
    a.apply_changes(b)
    assert (a.running_stats.n, a.running_stats.mean, a.buffer.n) == (1, 30, 0)


@pytest.mark.spec(42, 43)
def test_workers_share_what_each_has_seen():
    rows = np.random.default_rng(0).normal(3, 2, (12, 2))
    central, workers = MeanStdFilter((2,)), [MeanStdFilter((2,)), MeanStdFilter((2,))]
    for seen_before, (first, second) in ((0, (rows[:1], rows[1:6])), (6, (rows[6:10], rows[10:]))):
        for worker, batch in zip(workers, (first, second), strict=True):
            worker.push(batch)
            pulled = worker.copy()
            worker.buffer = RunningStat((2,))
            central.apply_changes(pulled)
        for worker in workers:
            worker.sync(central)
        everything = rows[: seen_before + len(first) + len(second)]
        for one in (central, *workers):
            assert (one.running_stats.n, one.buffer.n) == (len(everything), 0)
            np.testing.assert_allclose(one.running_stats.mean, everything.mean(0))
            np.testing.assert_allclose(one.running_stats.var, everything.var(0, ddof=1))


def test_copies_are_independent():
    filtered = MeanStdFilter((), clip=3.0)
    filtered.push(np.array([1.0, 2.0]))
    twin = filtered.copy()
    filtered(99.0)
    assert (twin.running_stats.n, twin.running_stats.mean, twin.buffer.n, twin.clip) == (2, 1.5, 2, 3.0)


def test_state_survives():
    filtered, twin = MeanStdFilter((3,)), MeanStdFilter((3,))
    filtered.push(np.ones((2, 3)))
    filtered.reset_buffer()
    filtered.push(np.zeros((1, 3)))
    twin.load_state(filtered.state())
    assert (twin.running_stats.n, twin.buffer.n) == (3, 1)


def test_no_filter_has_nothing_to_exchange():
    nothing = NoFilter((2,))
    nothing.sync(nothing.copy())
    nothing.apply_changes(nothing.as_serializable())
    nothing.reset_buffer()
    assert nothing.state() == {}


def test_filters_by_name():
    assert isinstance(get_filter("NoFilter", (2,)), NoFilter)
    made = get_filter("MeanStdFilter", (2,))
    assert isinstance(made, MeanStdFilter)
    assert made.clip is None
    assert type(get_filter(spaces.MeanStdFilter, (2,))) is spaces.MeanStdFilter
    with pytest.raises(ConfigError, match=r"observation_filter.*'MeanStd'"):
        get_filter("MeanStd", (2,))


def test_filters_count_as_filters():
    for filter_ in (NoFilter(), MeanStdFilter((2,)), filters.ConcurrentMeanStdFilter((2,))):
        assert isinstance(filter_, filters.Filter)
    for method, arguments in (
        ("apply_changes", (None,)),
        ("copy", ()),
        ("sync", (None,)),
        ("reset_buffer", ()),
        ("as_serializable", ()),
    ):
        with pytest.raises(NotImplementedError, match=rf"Filter must implement {method}\(\)"):
            getattr(filters.Filter(), method)(*arguments)


def test_statistics_by_their_old_names():
    one, two = filters.RunningStat(), filters.RunningStat()
    for value in (1.0, 3.0):
        one.push(value)
    two.push(8.0)
    one.update(two)
    assert (one.num_pushes, one.mean) == (3, 4.0)
    restored = filters.RunningStat.from_state(one.to_state())
    assert (restored.n, restored.mean, restored.var) == (3, 4.0, one.var)
    assert filters.RunningStat((2,)).shape == (2,)
