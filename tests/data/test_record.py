"""What is written down of steps while a trajectory is collected."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from anyspace.data.collector import Collector
from anyspace.data.environments import EnvSpec
from anyspace.data.record import Record
from anyspace.data.sources import make_source
from anyspace.data.stepping import Stepping
from anyspace.data.vector import VectorSource
from tests.support.environments import ENDS, Script
from tests.support.scripted import MODES, collector, known_policy, lived, vector_env

every_mode = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)


def recorded(mode: AutoresetMode, steps: int, room: int) -> Record:
    """A record of the known policy's steps."""
    policy = known_policy()
    stepping = Stepping(VectorSource(vector_env(mode)), policy)
    stepping.reset(0)
    record = Record(stepping.leaves, stepping.history.windows, room, policy.stacks)
    with policy.acting() as act:
        for _ in range(steps):
            acted = stepping.act(act, explore=False)
            stepped = stepping.step(acted)
            record.add(acted.raw, stepped, stepped.step.ignored)
    return record


def test_buffers_grow_with_a_long_episode() -> None:
    source = make_source(EnvSpec(Script, {"ends": ((50, "truncated"),)}), 2)
    trajectory = Collector(source, known_policy()).gather_episodes(1, explore=False)
    assert trajectory.valid.shape == (50, 2)
    assert trajectory.valid.all()
    np.testing.assert_array_equal(trajectory.obs[0][:50, 0, 2], np.arange(50))
    np.testing.assert_array_equal(trajectory.next_obs(49, 0)[0], [[0, 0, 50]])


@every_mode
@pytest.mark.parametrize("room", [1, 3, 13, 40])
def test_what_is_recorded_does_not_depend_on_the_room(mode: AutoresetMode, room: int) -> None:
    begins, lanes = np.ones(3, np.bool_), np.zeros((3, 3), np.int64)
    record = recorded(mode, 13, room)
    trajectory = record.trajectory(begins, lanes, version=7)
    expected = collector(mode).gather(13, explore=False)
    for name in ("rewards", "terminated", "truncated", "valid", "actions"):
        np.testing.assert_array_equal(getattr(trajectory, name), getattr(expected, name))
    for mine, theirs in zip(trajectory.obs, expected.obs, strict=True):
        assert mine.shape == theirs.shape
        np.testing.assert_array_equal(mine, theirs)
    for mine, theirs in zip(trajectory.final_obs.leaves, expected.final_obs.leaves, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    np.testing.assert_array_equal(trajectory.final_obs.t, expected.final_obs.t)
    np.testing.assert_array_equal(trajectory.final_obs.b, expected.final_obs.b)
    assert trajectory.versions.tolist() == [7, 7, 7]
    assert record.t == 13


@every_mode
def test_observations_on_which_an_action_counts(mode: AutoresetMode) -> None:
    record = recorded(mode, 9, 9)
    trajectory = record.trajectory(np.ones(3, np.bool_), np.zeros((3, 3), np.int64), 0)
    np.testing.assert_array_equal(record.used(now=False), trajectory.valid)
    used = record.used(now=True)
    assert used.shape == (10, 3)
    np.testing.assert_array_equal(used[:-1], trajectory.valid)
    # Where a step is spent on a reset, nothing is done on the last observation of an episode.
    over = trajectory.done[-1] if mode is AutoresetMode.NEXT_STEP else np.zeros(3, np.bool_)
    np.testing.assert_array_equal(used[-1], ~over)


@every_mode
def test_infos_are_averaged_over_the_steps_that_gave_them(mode: AutoresetMode) -> None:
    trajectory = collector(mode).gather(20, explore=False)
    expected = [step for b in range(3) for step in lived(b, int(trajectory.valid[:, b].sum()))]
    ends = [step for step in expected if step["terminated"] or step["truncated"]]
    times = [step["obs"]["where"][2] for step in expected]
    assert trajectory.infos == {
        "t": (sum(times), len(times)),
        "is_success": (sum(step["terminated"] for step in ends), len(ends)),
    }


@every_mode
def test_infos_without_masks(mode: AutoresetMode) -> None:
    trajectory = collector(mode, "own").gather(20, explore=False)
    times = [step["obs"]["where"][2] for b in range(3) for step in lived(b, int(trajectory.valid[:, b].sum()))]
    assert trajectory.infos == {"t": (sum(times), len(times))}


def test_other_infos_are_left_out() -> None:
    class Talks(Script):
        def step(self, action: Any) -> Any:
            *rest, _ = super().step(action)
            return *rest, {"_hidden": 1, "name": "x", "vector": np.ones(2), "deep": {"t": 1}, "mixed": [1], "n": 2}

    trajectory = Collector(make_source(EnvSpec(Talks), 2), known_policy()).gather(4)
    assert trajectory.infos == {"n": (16, 8)}


def test_what_is_recorded_is_not_overwritten_by_later_steps() -> None:
    """An environment may hand out the same arrays again and again."""
    source = VectorSource(vector_env(AutoresetMode.SAME_STEP, "own"))
    trajectory = Collector(source, known_policy()).gather(4, explore=False)
    np.testing.assert_array_equal(trajectory.rewards[:, 2] - trajectory.actions[:, 2] / 2, [2, 12, 22, 32])
    assert trajectory.truncated[:, 2].tolist() == [False, False, False, True]
    assert ENDS[2] == (4, "truncated")
