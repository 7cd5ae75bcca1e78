"""What is written comes back: of every space, with every reset of environments, across files, in whole episodes."""

from __future__ import annotations

import copy
import itertools
import json
import os
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, Tuple
from hypothesis import given, settings
from hypothesis import strategies as st

from anyspace import PPO, tree
from anyspace.data.offline import episode_lines
from anyspace.data.offline.columns import ColumnReader
from anyspace.data.offline.files import JsonLines, find_files
from anyspace.data.offline.recording import Recording
from anyspace.data.offline.trajectories import TrajectoryWriter
from anyspace.data.trajectory import Trajectory
from anyspace.maths.gather import Gathered
from tests.support.catalogue import ACTION_SPACES, OBSERVATION_SPACES, UNSTACKED
from tests.support.environments import Script

SMALL = {"train_batch_size": 24, "minibatch_size": 24, "num_epochs": 1, "seed": 1}
VECTOR, CHOICE = Box(-1, 1, (2,)), Discrete(3)


def recorded(env: Any, folder: Path, steps: int = 24, **config: Any) -> tuple[PPO, Trajectory]:
    """Write a trajectory of a new policy in an environment."""
    algorithm = PPO(env, {"model": {"fcnet_hiddens": [4]}, **SMALL, **config}, preset="none")
    trajectory = algorithm.fleet.gather(steps)
    writer = TrajectoryWriter(folder, algorithm.policy)
    writer.write(trajectory)
    writer.close()
    algorithm.close()
    return algorithm, trajectory


def read(algorithm: PPO, folder: Path, **options: Any) -> Recording:
    """Return what the lines of a folder hold, joined in order."""
    reader = ColumnReader(algorithm.policy, **options)
    lines = JsonLines(find_files(str(folder)), wanted=reader.wanted)
    found = [vars(reader(columns, place)) for place, columns in (lines.next() for _ in lines_of(folder))]
    return Recording(**tree.map_leaves(lambda *leaves: np.concatenate(leaves), *found))


def lines_of(folder: Path) -> list[dict[str, Any]]:
    """Return the lines of the only file of a folder, or none where there is no file."""
    return [json.loads(line) for file in folder.glob("output-*.json") for line in file.read_text().splitlines()]


def expected(trajectory: Trajectory, b: int) -> dict[str, Any]:
    """Return the valid steps of one environment."""
    t = np.flatnonzero(trajectory.valid[:, b])
    stored = [leaf.put_together() if isinstance(leaf, Gathered) else leaf for leaf in trajectory.all_obs()]
    return {
        "obs": [leaf[t * trajectory.valid.shape[1] + b] for leaf in stored],
        "actions": tree.map_leaves(lambda leaf: leaf[t, b], trajectory.actions),
        "rewards": trajectory.rewards[t, b],
        "terminated": trajectory.terminated[t, b],
        "done": trajectory.done[t, b],
        "next": trajectory.next_obs(t, np.full(len(t), b)),
    }


def require_equal(recording: Recording, wanted: dict[str, Any]) -> None:
    for leaf, other in zip(recording.obs, wanted["obs"], strict=True):
        assert leaf.dtype == other.dtype
        np.testing.assert_array_equal(leaf, other)
    pairs = zip(tree.leaves(recording.actions), tree.leaves(wanted["actions"]), strict=True)
    for leaf, other in pairs:
        np.testing.assert_array_equal(leaf, other)
    np.testing.assert_array_equal(recording.rewards, wanted["rewards"])
    np.testing.assert_array_equal(recording.terminated, wanted["terminated"])
    over = wanted["done"].copy()
    over[-1] = True
    np.testing.assert_array_equal(recording.terminated | recording.truncated, over)
    for leaf, other in zip(recording.final_obs, wanted["next"], strict=True):
        np.testing.assert_array_equal(leaf, other[over])


class Drawn(gym.Env[Any, Any]):
    """Observations are samples, rewards random numbers, episodes of five steps."""

    def __init__(self, observation_space: gym.Space[Any] = VECTOR, action_space: gym.Space[Any] = CHOICE):
        self.observation_space, self.action_space = copy.deepcopy(observation_space), action_space

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        self.t = 0
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> Any:
        self.t += 1
        reward = float(self.np_random.normal())
        return self.observation_space.sample(), reward, self.t == 5 and reward > 0, self.t == 5, {}


def drawn(*spaces: gym.Space[Any]) -> Callable[[], Drawn]:
    return lambda: Drawn(*spaces)


def groups(spaces: dict[str, gym.Space[Any]], size: int) -> list[dict[str, gym.Space[Any]]]:
    """Return the spaces, several together: what is built for each test takes longer than the test."""
    return [dict(list(spaces.items())[first : first + size]) for first in range(0, len(spaces), size)]


OBSERVATIONS = {name: OBSERVATION_SPACES[name] for name in UNSTACKED}
ALONE = [
    "box float64",
    "box uint8",
    "discrete start",
    "image",
    "multibinary 2d",
    "simplex 2d float64",
    "text",
    "one of",
]


@pytest.mark.spec(148)
@pytest.mark.parametrize("group", groups(OBSERVATIONS, 10))
def test_observations_of_every_space_come_back(group, tmp_path):
    algorithm, trajectory = recorded(drawn(Dict([*group.items()])), tmp_path)
    recording = read(algorithm, tmp_path)
    require_equal(recording, expected(trajectory, 0))


@pytest.mark.parametrize("name", ALONE)
def test_observations_of_one_part_come_back(name, tmp_path):
    algorithm, trajectory = recorded(drawn(OBSERVATION_SPACES[name]), tmp_path)
    recording = read(algorithm, tmp_path)
    require_equal(recording, expected(trajectory, 0))


@pytest.mark.spec(148)
@pytest.mark.parametrize("group", groups(ACTION_SPACES, 8))
def test_actions_of_every_space_come_back(group, tmp_path):
    algorithm, trajectory = recorded(drawn(VECTOR, Tuple([*group.values()])), tmp_path)
    recording = read(algorithm, tmp_path)
    require_equal(recording, expected(trajectory, 0))


@pytest.mark.parametrize("name", ["box uneven bounds", "box int rank 0", "multidiscrete 2d start", "simplex"])
def test_actions_of_one_part_come_back(name, tmp_path):
    algorithm, trajectory = recorded(drawn(VECTOR, ACTION_SPACES[name]), tmp_path)
    recording = read(algorithm, tmp_path)
    require_equal(recording, expected(trajectory, 0))


@given(
    names=st.lists(st.sampled_from(UNSTACKED), min_size=1, max_size=4),
    action=st.sampled_from([*ACTION_SPACES]),
    seed=st.integers(0, 100),
)
@settings(deadline=None, max_examples=10)
def test_mixtures_of_spaces_come_back(names, action, seed, tmp_path_factory):
    folder = tmp_path_factory.mktemp("recorded")
    space = Tuple([OBSERVATION_SPACES[name] for name in names])
    algorithm, trajectory = recorded(drawn(space, ACTION_SPACES[action]), folder, seed=seed)
    recording = read(algorithm, folder)
    require_equal(recording, expected(trajectory, 0))


@pytest.mark.parametrize("steps", [2, 8, 22])
def test_lines_hold_whole_episodes_however_short_the_trajectories_are(steps, tmp_path):
    made = itertools.count()
    algorithm = PPO(lambda: Script(next(made)), preset="none", num_envs_per_env_runner=2, **SMALL)
    with closing(algorithm):
        writer = TrajectoryWriter(tmp_path, algorithm.policy)
        trajectories = [algorithm.fleet.gather(steps) for _ in range(44 // steps)]
        for trajectory in trajectories:
            writer.write(trajectory)
        lines = lines_of(tmp_path)
        assert lines
        assert all(line["terminateds"][-1] or line["truncateds"][-1] for line in lines)
        writer.close()
        writer.close()  # nothing is written twice
    lines = lines_of(tmp_path)
    assert all(line["type"] == "SampleBatch" for line in lines)
    assert all(len({*line["unroll_id"]}) == 1 for line in lines)
    assert len({line["unroll_id"][0] for line in lines}) == len(lines)
    for b, number in enumerate(sorted({line["obs"]['obs["where"]'][0][0] for line in lines})):
        mine = [line for line in lines if line["obs"]['obs["where"]'][0][0] == number]
        steps = [s for a in mine for s in zip(a["eps_id"], a["t"], a["obs"]['obs["where"]'], strict=True)]
        ids = [eps_id for eps_id, _, _ in steps]
        assert [t for _, t, _ in steps] == [where[2] for _, _, where in steps]
        episodes = {where[1]: eps_id for eps_id, _, where in steps}
        assert [episodes[where[1]] for _, _, where in steps] == ids
        assert len(set(ids)) == len(episodes) > 4
        rewards = [expected(trajectory, b)["rewards"] for trajectory in trajectories]
        np.testing.assert_array_equal(np.concatenate([line["rewards"] for line in mine]), np.concatenate(rewards))


def one_step_at_a_time(folder: Path, count: int) -> tuple[PPO, TrajectoryWriter, list[Trajectory]]:
    """Return trajectories of one step, all of one long episode, and who is to write them."""
    algorithm = PPO(lambda: Script(ends=((100, "terminated"),)), preset="none", **SMALL)
    return algorithm, TrajectoryWriter(folder, algorithm.policy), [algorithm.fleet.gather(1) for _ in range(count)]


def times_of(folder: Path) -> list[list[int]]:
    return [line["t"] for line in lines_of(folder)]


def test_steps_that_do_not_go_on_end_their_line(tmp_path):
    algorithm, writer, steps = one_step_at_a_time(tmp_path, 12)
    for trajectory in steps[:3]:
        writer.write(trajectory)
    for trajectory in steps[5:7]:  # of a worker that was replaced, or of which steps in between were dropped
        writer.write(replace(trajectory, lanes=np.array([[0, 1, 0]])))
    assert times_of(tmp_path) == [[0, 1, 2]]
    algorithm.fleet.restart()
    writer.write(algorithm.fleet.gather(1))
    assert times_of(tmp_path) == [[0, 1, 2], [0, 1]]
    writer.close()
    algorithm.close()
    assert times_of(tmp_path) == [[0, 1, 2], [0, 1], [0]]
    assert len({line["eps_id"][0] for line in lines_of(tmp_path)}) == 3


@pytest.mark.parametrize("bound", [{"MOST_STEPS": 4}, {"MOST_BYTES": 200}, {"MOST_BYTES_IN_ALL": 200}])
def test_an_episode_that_takes_too_much_room_is_written_in_pieces(bound, tmp_path, monkeypatch):
    for name, value in bound.items():
        monkeypatch.setattr(episode_lines, name, value)
    algorithm, writer, steps = one_step_at_a_time(tmp_path, 10)
    for trajectory in steps:
        writer.write(trajectory)
    assert times_of(tmp_path) == [[0, 1, 2, 3], [4, 5, 6, 7]]
    writer.close()
    algorithm.close()
    assert times_of(tmp_path) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert len({line["eps_id"][0] for line in lines_of(tmp_path)}) == 1


def test_a_writer_that_is_deleted_writes_what_is_left(tmp_path):
    algorithm, writer, steps = one_step_at_a_time(tmp_path, 3)
    for trajectory in steps:
        writer.write(trajectory)
    algorithm.close()
    assert not lines_of(tmp_path)
    del writer
    assert times_of(tmp_path) == [[0, 1, 2]]


def test_a_process_that_was_forked_writes_its_own_steps_alone(tmp_path, monkeypatch):
    algorithm, writer, steps = one_step_at_a_time(tmp_path, 4)
    writer.write(steps[0])
    with monkeypatch.context() as patch:
        patch.setattr(os, "getpid", lambda: -1)
        writer.close()
        assert not lines_of(tmp_path)
        writer.write(steps[1])
        writer.close()
    writer.write(steps[2])
    algorithm.close()
    writer.close()
    lines = lines_of(tmp_path)
    assert sorted(line["rewards"] for line in lines) == sorted(one.rewards[:, 0].tolist() for one in steps[1:3])
    assert len({line["eps_id"][0] for line in lines}) == len([*tmp_path.glob("output-*")]) == 2


def test_frame_stacks_are_written_whole(tmp_path):
    from anyspace.spaces import StackedFrames

    class Frames(gym.Env[Any, Any]):
        observation_space, action_space = StackedFrames(0, 255, (4, 4, 3), stack=3), Discrete(2)

        def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
            super().reset(seed=seed)
            self.stack = np.full((4, 4, 3), 1, np.uint8)
            return self.stack, {}

        def step(self, action: Any) -> Any:
            self.stack = np.concatenate([self.stack[..., 1:], self.stack[..., -1:] + 1], axis=-1)
            return self.stack, 1.0, self.stack[0, 0, -1] > 6, False, {}

    algorithm, trajectory = recorded(Frames, tmp_path)
    recording = read(algorithm, tmp_path)
    require_equal(recording, expected(trajectory, 0))
    assert recording.obs[0][3, 0, 0].tolist() == [2, 3, 4]


def test_masks_and_infos_are_columns(tmp_path):
    class Masked(gym.Env[Any, Any]):
        observation_space, action_space = VECTOR, CHOICE

        def _info(self) -> dict[str, Any]:
            mask = np.ones(3, np.int8)
            mask[self.t % 3] = 0
            return {"action_mask": mask, "cost": 0.5 * self.t}

        def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
            self.t = 0
            return np.zeros(2, np.float32), self._info()

        def step(self, action: Any) -> Any:
            self.t += 1
            return np.zeros(2, np.float32), 1.0, self.t == 5, False, self._info()

    algorithm, trajectory = recorded(Masked, tmp_path, collect_infos=["cost"])
    recording = read(algorithm, tmp_path, collect=["cost"])
    require_equal(recording, {**expected(trajectory, 0), "next": recorded_next(trajectory)})
    np.testing.assert_array_equal(recording.obs[1][:3], [[0, 1, 1], [1, 0, 1], [1, 1, 0]])
    np.testing.assert_array_equal(recording.collected["cost"], trajectory.collected["cost"][:, 0])


def recorded_next(trajectory: Trajectory) -> list[Any]:
    """Return the observations that steps led to, with masks that allow everything: those are not recorded."""
    t = np.arange(len(trajectory.valid))
    obs, mask = trajectory.next_obs(t, np.zeros(len(t), np.int64))
    return [obs, np.ones_like(mask)]


def test_files_hold_samples_whatever_the_settings_were(tmp_path):
    space = Tuple((Box(-2, 6, (1,)), Discrete(2, start=3)))
    plain, _ = recorded(drawn(VECTOR, space), tmp_path / "plain", normalize_actions=False)
    scaled = PPO(drawn(VECTOR, space), preset="none", **SMALL)
    with closing(scaled):
        as_plain, as_scaled = read(plain, tmp_path / "plain"), read(scaled, tmp_path / "plain")
    np.testing.assert_array_equal(as_plain.actions[1], as_scaled.actions[1])
    assert (np.abs(as_scaled.actions[0]) > 1).any()
    np.testing.assert_allclose(as_plain.actions[0], 4 * as_scaled.actions[0] + 2, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "space",
    [
        Box(0, 2**64 - 1, (2,), np.uint64),
        Dict(empty=Box(0, 1, (0, 4)), large=Box(0, 2**64 - 1, (2,), np.uint64)),
    ],
)
def test_whole_numbers_beyond_int64_and_empty_parts_come_back(tmp_path: Path, space: gym.Space[Any]) -> None:
    class Large(gym.Env[Any, Any]):
        observation_space, action_space = space, CHOICE

        def seen(self) -> Any:
            large = np.array([2**63 + 1, 5], np.uint64)
            return {"empty": np.zeros((0, 4), np.float32), "large": large} if isinstance(space, Dict) else large

        def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
            super().reset(seed=seed)
            return self.seen(), {}

        def step(self, action: Any) -> Any:
            return self.seen(), 0.0, False, False, {}

    algorithm, trajectory = recorded(Large, tmp_path, 3)
    found = read(algorithm, tmp_path)
    for mine, theirs in zip(found.obs, trajectory.obs, strict=True):
        np.testing.assert_array_equal(mine, theirs[:3, 0])
