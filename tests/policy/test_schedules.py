import logging

import numpy as np
import pytest

from anyspace.errors import ConfigError
from anyspace.execution.counters import Counters
from anyspace.policy.schedules import PiecewiseSchedule, require_schedule, scheduled

RUN = Counters(100, None)


def test_a_schedule_is_linear_between_its_endpoints():
    schedule = PiecewiseSchedule([(0, 1.0), (10_000, 0.02)], "epsilon")
    np.testing.assert_allclose([schedule(step) for step in (0, 5000, 9999, 10_000)], [1.0, 0.51, 0.020098, 0.02])
    assert isinstance(schedule(3), float)


def test_a_schedule_is_constant_outside_its_endpoints():
    schedule = PiecewiseSchedule([(100, 2.0), (200, 4.0), (300, 0.0)], "lr_schedule")
    assert [schedule(step) for step in (-5, 0, 100, 150, 200, 250, 300, 10**9)] == [2, 2, 2, 3, 4, 2, 0, 0]


def test_a_constant_is_a_schedule():
    assert [scheduled(0.5, None, "lr_schedule", RUN)(step) for step in (0, 10**6)] == [0.5, 0.5]
    assert scheduled(0.5, [(0, 1.0)], "lr_schedule", RUN)(7) == 1.0


def test_a_falling_schedule_goes_by_what_the_run_is_asked_for(caplog):
    run = Counters(100, None)
    schedule = scheduled(0.5, "linear", "lr_schedule", run)
    assert schedule(0) == 0.5
    assert not caplog.records, "learn() may be what comes next"
    assert [schedule(step) for step in (10**6, 10**6)] == [0.5, 0.5]  # Nobody has said how many steps there are to be.
    (record,) = caplog.records
    assert "only learn() says where that is: with train() alone the value stays 0.5" in record.getMessage()
    caplog.clear()
    run.total_steps = 1000
    assert [schedule(step) for step in (0, 250, 500, 999)] == pytest.approx([0.5, 0.375, 0.25, 0.0005])
    run.total_steps = 2000
    assert schedule(1000) == 0.25
    assert not caplog.records
    with caplog.at_level(logging.WARNING):
        assert [schedule(2000), schedule(2001)] == [0, 0]
    (record,) = caplog.records
    assert "`lr_schedule` is 'linear', and the run has had the 2,000 steps" in record.getMessage()


@pytest.mark.parametrize(
    ("endpoints", "reason"),
    [
        ([], "a schedule needs at least one"),
        ([(0, 1.0), (0, 2.0)], "the steps of a schedule must rise"),
        ([(5, 1.0), (3, 2.0)], "the steps of a schedule must rise"),
        ([(0, 1.0), (float("nan"), 2.0)], "the steps and values of a schedule must be finite"),
        ([(0, 1.0), (5, -0.1)], "the values of a schedule must not be negative"),
        ([(0, float("nan"))], "the steps and values of a schedule must be finite"),
        ([(0, 1.0), (float("inf"), 0.0)], "the steps and values of a schedule must be finite"),
        ([(0, float("inf"))], "the steps and values of a schedule must be finite"),
    ],
)
def test_other_endpoints_are_refused(endpoints, reason):
    with pytest.raises(ConfigError, match=rf"config key `lr_schedule` is .*, but {reason}"):
        require_schedule(endpoints, "lr_schedule")
