"""Trajectories by hand: two environments, four steps, one final observation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from anyspace.algorithms.on_policy import gae, training_rows
from anyspace.data.collector import Collector
from anyspace.data.trajectory import Episode, FinalObs, Trajectory
from anyspace.data.vector import VectorSource
from anyspace.models import ModelConfig
from anyspace.models.torch.runtime import TorchRuntime
from anyspace.policy.config import PolicyConfig
from anyspace.policy.policy import Policy
from tests.support.environments import Script
from tests.support.scripted import MODES, vector_env


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
        begins=np.array([True, False]),
        lanes=np.array([[0, 0, 0], [0, 0, 1]]),
        versions=np.array([3, 3]),
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


def cut(trajectory: Trajectory, steps: int) -> Trajectory:
    """The first steps of :func:`made`, at least two of them."""
    return replace(
        trajectory,
        obs=[leaf[: steps + 1] for leaf in trajectory.obs],
        actions={"a": trajectory.actions["a"][:steps], "b": (trajectory.actions["b"][0][:steps],)},
        rewards=trajectory.rewards[:steps],
        terminated=trajectory.terminated[:steps],
        truncated=trajectory.truncated[:steps],
        valid=trajectory.valid[:steps],
        action_logp=None if trajectory.action_logp is None else trajectory.action_logp[:steps],
    )


def test_a_shorter_trajectory_is_filled_up_with_rows_that_are_not_valid() -> None:
    parts = [cut(made(), 2), made(1000), cut(made(2000), 3)]
    joined = Trajectory.side_by_side(parts)
    assert joined.valid.shape == (4, 6)
    np.testing.assert_array_equal(joined.valid.sum(0), [2, 2, 3, 4, 3, 3])
    assert not joined.valid[2:, :2].any()
    assert not joined.valid[3:, 4:].any()
    assert not joined.rewards[~joined.valid][:4].any()
    np.testing.assert_array_equal(np.argwhere(joined.done), [[1, 1], [1, 3], [1, 5]])
    np.testing.assert_array_equal(joined.obs[0][:3, :2], parts[0].obs[0])
    for b in range(6):
        part, own = parts[b // 2], b % 2
        for t in np.flatnonzero(part.valid[:, own]):
            for mine, theirs in zip(joined.next_obs(t, b), part.next_obs(t, own), strict=True):
                np.testing.assert_array_equal(mine, theirs)
    assert joined.num_steps == sum(part.num_steps for part in parts)


def test_what_side_by_side_keeps_of_each_column() -> None:
    parts = [made(), made(1000)]
    parts[1].begins, parts[1].lanes = np.array([False, True]), np.array([[1, 2, 0], [1, 2, 1]])
    parts[1].versions = np.array([4, 4])
    for part in parts:
        part.action_logp = -part.rewards
        part.reward_moments = np.arange(6.0).reshape(2, 3)
    joined = Trajectory.side_by_side(parts)
    assert joined.begins.tolist() == [True, False, False, True]
    assert joined.lanes.tolist() == [[0, 0, 0], [0, 0, 1], [1, 2, 0], [1, 2, 1]]
    assert joined.versions.tolist() == [3, 3, 4, 4]
    assert joined.action_logp is not None
    np.testing.assert_array_equal(joined.action_logp, -joined.rewards)
    assert joined.reward_moments is not None
    np.testing.assert_array_equal(joined.reward_moments, [[0, 1, 2], [3, 4, 5]] * 2)


def test_log_probabilities_and_moments_are_there_for_all_columns_or_for_none() -> None:
    parts = [made(), made()]
    parts[0].action_logp, parts[0].reward_moments = -parts[0].rewards, np.zeros((2, 3))
    joined = Trajectory.side_by_side(parts)
    assert joined.action_logp is None
    assert joined.reward_moments is None


def test_when_the_episode_of_each_observation_began() -> None:
    """The example of the docstring: the second of three steps ends an episode within the step."""
    trajectory = replace(
        made(),
        obs=[np.arange(4.0)[:, None]],
        valid=np.ones((3, 1), np.bool_),
        final_obs=FinalObs(np.array([1]), np.array([0]), [np.array([9.0])]),
        begins=np.array([False]),
    )
    assert trajectory.firsts().tolist() == [-1, -1, 2, 2, -1]
    assert replace(trajectory, begins=np.array([True])).firsts().tolist() == [0, 0, 2, 2, 0]
    assert trajectory.restarts()[:, 0].tolist() == [False, True, False]


def test_an_ignored_action_leads_to_the_first_observation_of_an_episode() -> None:
    trajectory = made()
    np.testing.assert_array_equal(np.argwhere(trajectory.restarts()), [[1, 1], [3, 0]])
    # Environment 0 begins with the trajectory and anew with the last observation, environment 1 anew at t = 2.
    assert trajectory.firsts()[:-1].reshape(5, 2).tolist() == [[0, -1], [0, -1], [0, 2], [0, 2], [4, 2]]
    assert trajectory.firsts()[-1] == -1


def policy(**model: Any) -> Policy:
    config = PolicyConfig(model=ModelConfig(fcnet_hiddens=[6], **model))
    return Policy(Script.observation_space, Script.action_space, config, TorchRuntime("cpu"))


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
def test_columns_tell_where_episodes_begin_and_which_environments_they_are(mode: AutoresetMode) -> None:
    collector = Collector(VectorSource(vector_env(mode)), policy(), worker=(2, 1))
    before = collector.gather(1)
    assert before.begins.all()
    for steps in (2, 1, 1, 3, 4, 1):
        trajectory = collector.gather(steps)
        np.testing.assert_array_equal(trajectory.begins, trajectory.obs[0][0, :, 2] == 0)
        assert trajectory.lanes.tolist() == [[2, 1, 0], [2, 1, 1], [2, 1, 2]]
        assert trajectory.versions.tolist() == [0, 0, 0]
        assert trajectory.action_logp is None, "the learner's own weights acted and sampled"
    collector.restart()
    assert collector.gather(2).begins.all()
    assert collector.gather_episodes(3).begins.all()


@pytest.mark.parametrize("model", [{}, {"use_lstm": True, "lstm_cell_size": 4, "max_seq_len": 3}], ids=["flat", "lstm"])
@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
def test_training_rows_of_unequal_lengths_are_those_of_the_parts(mode: AutoresetMode, model: dict[str, Any]) -> None:
    collector, estimate = Collector(VectorSource(vector_env(mode)), policy(**model)), gae(gamma=0.9, lambda_=0.8)
    parts = [collector.gather(steps) for steps in (2, 7, 4)]
    joined = Trajectory.side_by_side(parts)
    together = training_rows(collector.policy, joined, estimate)
    each = [training_rows(collector.policy, part, estimate) for part in parts]

    def ordered(trajectory: Trajectory, column: Any) -> np.ndarray:
        t, b = np.nonzero(trajectory.valid)  # rows of models with states come environment by environment
        return np.asarray(column)[slice(None) if model else np.lexsort((t, b))]

    for name in ("actions", "action_logp", "action_dist_inputs", "vf_preds", "advantages", "value_targets"):
        alone = [ordered(part, batch[name]) for part, batch in zip(parts, each, strict=True)]
        np.testing.assert_allclose(ordered(joined, together[name]), np.concatenate(alone), rtol=1e-4, atol=1e-5)
    assert len(together["actions"]) == sum(part.num_steps for part in parts)
