"""Frame stacks in trajectories: the newest frame is stored, the stacks come back as the environment gave them."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from anyspace import PPO
from anyspace.algorithms.on_policy import gae, training_rows
from anyspace.data.collector import Collector
from anyspace.data.trajectory import Trajectory
from anyspace.data.vector import VectorSource
from anyspace.errors import ObservationError
from anyspace.maths.gather import Gathered
from anyspace.models.torch.runtime import TorchRuntime
from anyspace.policy.acting import Actor
from anyspace.policy.config import PolicyConfig
from anyspace.policy.policy import Policy
from anyspace.spaces.kinds.frames import StackedFrames

STACK, LONGEST = 4, 8


class Film(gym.Env[Any, Any]):
    """Two-channel frames, each filled with a number: 8 * episode + step, and that plus 100 in the second channel."""

    action_space = spaces.Discrete(2)

    def __init__(self, lengths: tuple[int, ...] = (3, 1, 7, 2, 5), side: int = 2):
        self.observation_space = spaces.Dict(
            {"film": StackedFrames(0, 255, (side, side, 2 * STACK), stack=STACK), "step": spaces.Discrete(LONGEST)}
        )
        self.lengths, self.side, self.episode = lengths, side, -1

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        self.episode, self.t = self.episode + 1, 0
        self.frames = [self._frame()] * STACK
        return self._obs(), {}

    def step(self, action: Any) -> Any:
        self.t += 1
        self.frames = [*self.frames[1:], self._frame()]
        return self._obs(), 1.0, self.t == self.lengths[self.episode % len(self.lengths)], False, {}

    def _frame(self) -> np.ndarray:
        number = (LONGEST * self.episode + self.t) % 96
        return np.full((self.side, self.side, 2), [number, number + 100], np.uint8)

    def _obs(self) -> Any:
        return {"film": np.concatenate(self.frames, axis=-1), "step": self.t}


def as_the_environment_gave_it(film: np.ndarray) -> np.ndarray:
    """Stacks [N, 8] by their newest frame: the frames of its episode before it, the first of them repeated."""
    newest = film[:, -2:-1].astype(int)
    step = newest % LONGEST
    numbers = newest - step + np.maximum(step - np.arange(STACK)[::-1], 0)
    return np.stack([numbers, numbers + 100], axis=-1).reshape(-1, 2 * STACK)


def policy(space: gym.Space[Any]) -> Policy:
    return Policy(space, Film.action_space, PolicyConfig(), TorchRuntime("cpu"))


def fragments(mode: AutoresetMode, lengths: tuple[int, ...], side: int = 2) -> list[Trajectory]:
    films = [Film(), Film((1, 2, 1)), Film((6, 4), side)]
    if side != 2:
        films = [Film(side=side) for _ in range(3)]
    vector = SyncVectorEnv([lambda film=film: film for film in films], autoreset_mode=mode)  # type: ignore[misc]
    collector = Collector(VectorSource(vector), policy(films[0].observation_space))
    return [collector.gather(length) for length in lengths]


def film_of(leaf: Any) -> np.ndarray:
    assert isinstance(leaf, Gathered)
    return leaf.put_together()[:, 0, 0]


@pytest.mark.parametrize("mode", list(AutoresetMode), ids=lambda mode: mode.name)
def test_stacks_come_back_as_the_environment_gave_them(mode: AutoresetMode) -> None:
    for trajectory in fragments(mode, (6, 1, 2, 9)):
        films = film_of(trajectory.all_obs()[0])
        np.testing.assert_array_equal(films, as_the_environment_gave_it(films))
        steps, width = trajectory.valid.shape
        stored = trajectory.obs[0][..., 0, 0, 0].reshape(-1)
        np.testing.assert_array_equal(films[: (steps + 1) * width, -2], stored)
        for t in range(steps):
            seen = trajectory.next_obs(t, np.arange(width))
            np.testing.assert_array_equal(seen[0][:, 0, 0], as_the_environment_gave_it(seen[0][:, 0, 0]))
            going_on = trajectory.valid[t]
            np.testing.assert_array_equal(seen[1][going_on], trajectory.obs[1][t][going_on] + 1)


def test_fragments_side_by_side_keep_their_own_past() -> None:
    parts = fragments(AutoresetMode.SAME_STEP, (4, 4, 4))
    joined = Trajectory.side_by_side(parts)
    films = film_of(joined.all_obs()[0])
    np.testing.assert_array_equal(films, as_the_environment_gave_it(films))
    assert len(films) == 5 * 9 + sum(len(part.final_obs.t) for part in parts)


def test_a_transition_costs_the_bytes_of_one_frame() -> None:
    steps, side = 64, 84
    (trajectory,) = fragments(AutoresetMode.SAME_STEP, (steps,), side)
    frame = side * side * 2
    assert trajectory.obs[0].nbytes == (steps + 1) * 3 * frame
    assert trajectory.earlier[0].nbytes == (STACK - 1) * 3 * frame
    assert sum(leaf.nbytes for leaf in trajectory.obs) / ((steps + 1) * 3) == frame + np.dtype(np.int64).itemsize


def test_training_sees_what_acting_saw(monkeypatch: pytest.MonkeyPatch) -> None:
    films = [Film() for _ in range(2)]
    vector = SyncVectorEnv([lambda film=film: film for film in films])  # type: ignore[misc]
    acting = policy(films[0].observation_space)
    seen: list[np.ndarray] = []

    class Spy(Actor):
        def __call__(self, leaves: Any, history: Any = None, **arguments: Any) -> Any:
            seen.append(np.array(leaves[0]))
            return super().__call__(leaves, history, **arguments)

    monkeypatch.setattr("anyspace.policy.pipeline.Actor", Spy)
    trajectory = Collector(VectorSource(vector), acting).gather(12)
    batch = training_rows(acting, trajectory, gae(gamma=0.9, lambda_=0.9))
    rows = np.concatenate(seen)[trajectory.valid.reshape(-1)]
    np.testing.assert_array_equal(batch["obs"][0].put_together().numpy(), rows)


def test_a_large_batch_is_evaluated_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    (trajectory,) = fragments(AutoresetMode.SAME_STEP, (10,))
    space = Film().observation_space
    whole = training_rows(policy(space), trajectory, gae(gamma=0.9, lambda_=0.9))
    monkeypatch.setattr("anyspace.data.rows.FEATURES_AT_A_TIME", 7 * policy(space).preprocessor.size)
    parts = training_rows(policy(space), trajectory, gae(gamma=0.9, lambda_=0.9))
    for name in ("action_logp", "action_dist_inputs", "vf_preds", "advantages"):
        np.testing.assert_allclose(whole[name].numpy(), parts[name].numpy(), atol=1e-6)


def test_ppo_learns_from_frame_stacks() -> None:
    algorithm = PPO(
        Film, train_batch_size=64, minibatch_size=16, num_epochs=2, num_envs_per_env_runner=2, seed=0, preset="none"
    )
    learner = algorithm.train()["learner"]
    assert np.isfinite([value for key, value in learner.items() if key != "model"]).all()


@pytest.mark.parametrize("when", ["reset", "step"])
def test_a_broken_promise_names_the_environment(when: str) -> None:
    class Blank(Film):
        """Fills the stack with zeros at a reset, or forgets the newest frame but one."""

        def reset(self, **arguments: Any) -> Any:
            obs, info = super().reset(**arguments)
            if when == "reset":
                obs["film"][..., :-2] = 0
            return obs, info

        def step(self, action: Any) -> Any:
            obs, *rest = super().step(action)
            if when == "step":
                obs["film"][..., 4:6] = 0
            return obs, *rest

    films = [Film((4,)), Film((5,)), Blank((3,))]
    for film in films:
        film.episode = 0
    vector = SyncVectorEnv([lambda film=film: film for film in films])  # type: ignore[misc]
    collector = Collector(VectorSource(vector), policy(films[0].observation_space))
    with pytest.raises(ObservationError, match=r"step \d, environment 2: its space is StackedFrames"):
        collector.gather(6)


def test_stacks_of_vectors_are_learnt_from() -> None:
    class Vectors(gym.Env[Any, Any]):
        observation_space = StackedFrames(-1, 1, (6,), np.float32, stack=3)
        action_space = spaces.Discrete(2)

        def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
            super().reset(seed=seed)
            self.frames = [self.np_random.uniform(-1, 1, 2).astype(np.float32)] * 3
            return np.concatenate(self.frames), {}

        def step(self, action: Any) -> Any:
            self.frames = [*self.frames[1:], self.np_random.uniform(-1, 1, 2).astype(np.float32)]
            return np.concatenate(self.frames), 1.0, bool(self.np_random.random() < 0.2), False, {}

    settings = {"train_batch_size": 32, "minibatch_size": 16, "num_epochs": 1, "model": {"fcnet_hiddens": [8]}}
    with closing(PPO(Vectors, settings, num_envs_per_env_runner=2, preset="none")) as algorithm:
        assert algorithm.policy.stacks == {0: 3}
        assert np.isfinite(algorithm.train()["learner"]["total_loss"])
