"""Trajectories by hand: two environments, four steps, one final observation."""

from __future__ import annotations

import numpy as np

from anyspace.data.trajectory import Episode, FinalObs, Trajectory


def made(offset: int = 0) -> Trajectory:
    """Observations are 10 t + b + offset; environment 1 ended at t = 1 with 99 and began anew at 21."""
    steps, width = 4, 2
    obs = 10 * np.arange(steps + 1)[:, None] + np.arange(width) + offset
    truncated, valid = np.zeros((2, steps, width), np.bool_)
    truncated[1, 1] = True
    valid[:] = True
    valid[3, 0] = False
    return Trajectory(
        obs=[obs, np.stack([obs, -obs], axis=-1)],
        actions={"a": obs[:-1] % 3, "b": (obs[:-1, :, None] / 2,)},
        rewards=np.full((steps, width), 1 + offset, np.float32),
        terminated=np.zeros((steps, width), np.bool_),
        truncated=truncated,
        valid=valid,
        final_obs=FinalObs(np.array([1]), np.array([1]), [np.array([99 + offset]), np.array([[99, -99]])]),
        episodes=[Episode(2.0 + offset, 2)],
        infos={"x": (1.0 + offset, 4)},
    )


def test_next_obs_is_the_last_of_an_episode_and_not_the_first_of_the_next() -> None:
    trajectory = made()
    plain, pairs = trajectory.next_obs(np.array([0, 1, 1, 2]), np.array([1, 1, 0, 1]))
    np.testing.assert_array_equal(plain, [11, 99, 20, 31])
    np.testing.assert_array_equal(pairs, [[11, -11], [99, -99], [20, -20], [31, -31]])


def test_next_obs_of_the_last_step_is_the_observation_after_the_fragment() -> None:
    trajectory = made()
    np.testing.assert_array_equal(trajectory.next_obs(3, 0)[0], [40])
    np.testing.assert_array_equal(trajectory.next_obs(3, np.array([0, 1]))[0], [40, 41])


def test_next_obs_writes_into_nothing() -> None:
    trajectory = made()
    for leaf in trajectory.next_obs(np.array([1, 2]), np.array([1, 1])):
        leaf[:] = 7
    np.testing.assert_array_equal(trajectory.obs[0], made().obs[0])
    np.testing.assert_array_equal(trajectory.final_obs.leaves[0], [99])


def test_all_obs_are_in_time_order_and_then_the_final_ones() -> None:
    plain, pairs = made().all_obs()
    np.testing.assert_array_equal(plain, [0, 1, 10, 11, 20, 21, 30, 31, 40, 41, 99])
    np.testing.assert_array_equal(pairs, np.stack([plain, -plain], axis=1))
    without = made()
    without.final_obs = FinalObs.none(without.obs, lead=2)
    assert [leaf.shape for leaf in without.all_obs()] == [(10,), (10, 2)]
    assert without.next_obs(1, 1)[0] == [21]


def test_steps_and_ends() -> None:
    trajectory = made()
    assert trajectory.num_steps == 7
    np.testing.assert_array_equal(np.argwhere(trajectory.done), [[1, 1]])
    trajectory.terminated[2, 0] = True
    np.testing.assert_array_equal(np.argwhere(trajectory.done), [[1, 1], [2, 0]])


def test_side_by_side() -> None:
    parts = [made(), made(1000), made(2000)]
    joined = Trajectory.side_by_side(parts)
    assert joined.valid.shape == (4, 6)
    assert joined.num_steps == 21
    np.testing.assert_array_equal(joined.obs[0][2], [20, 21, 1020, 1021, 2020, 2021])
    np.testing.assert_array_equal(joined.actions["b"][0][3, :, 0], [15, 15.5, 515, 515.5, 1015, 1015.5])
    np.testing.assert_array_equal(joined.rewards[0], [1, 1, 1001, 1001, 2001, 2001])
    np.testing.assert_array_equal(np.argwhere(joined.truncated), [[1, 1], [1, 3], [1, 5]])
    np.testing.assert_array_equal(np.argwhere(~joined.valid), [[3, 0], [3, 2], [3, 4]])
    np.testing.assert_array_equal(joined.next_obs(1, np.arange(6))[0], [20, 99, 1020, 1099, 2020, 2099])
    np.testing.assert_array_equal(joined.all_obs()[0][-3:], [99, 1099, 2099])
    assert [episode.total_reward for episode in joined.episodes] == [2, 1002, 2002]
    assert joined.infos == {"x": (3003.0, 12)}


def test_one_part_stays_itself() -> None:
    part = made()
    assert Trajectory.side_by_side([part]) is part


def test_infos_that_only_one_part_has_are_kept() -> None:
    parts = [made(), made()]
    parts[1].infos = {"y": (5.0, 1)}
    assert Trajectory.side_by_side(parts).infos == {"x": (1.0, 4), "y": (5.0, 1)}
