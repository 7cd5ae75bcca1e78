"""Vector environments that do something wrong, and what is said of them."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode

from anyspace.data.env_check import check_env


class Counting(gym.vector.VectorEnv[Any, Any, Any]):
    """Two environments that count to five and three; they reset in the step that ends an episode."""

    metadata: ClassVar[dict[str, Any]] = {"autoreset_mode": AutoresetMode.SAME_STEP}
    single_observation_space = spaces.Box(0, 5, (1,))
    single_action_space = spaces.Discrete(2)
    num_envs = 2
    lengths = np.array([5, 3])

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.t = np.zeros(2, np.int64)
        return self.look(), {}

    def look(self) -> Any:
        return self.t[:, None].astype(np.float32)

    def step(self, actions: Any) -> Any:
        self.t = self.t + 1
        done = self.t == self.lengths
        last, info = self.look(), {}
        self.t = np.where(done, 0, self.t)
        if done.any():
            info["final_obs"] = last
        return self.look(), np.ones(2), done & False, done, info


class NextStep(Counting):
    """As many steps, but an episode's end is followed by a step that only resets."""

    metadata: ClassVar[dict[str, Any]] = {"autoreset_mode": AutoresetMode.NEXT_STEP}

    def step(self, actions: Any) -> Any:
        over = self.t == self.lengths
        self.t = np.where(over, 0, self.t + 1)
        done = (self.t == self.lengths) & ~over
        return self.look(), np.where(over, 0.0, 1.0), done & False, done, {}


class SaysNothing(Counting):
    metadata: ClassVar[dict[str, Any]] = {}


class SaysNextStep(Counting):
    metadata: ClassVar[dict[str, Any]] = {"autoreset_mode": AutoresetMode.NEXT_STEP}


class ForgetsTheLast(Counting):
    def step(self, actions: Any) -> Any:
        *rest, _ = super().step(actions)
        return *rest, {}


class FirstAsLast(Counting):
    def step(self, actions: Any) -> Any:
        obs, *rest, info = super().step(actions)
        return obs, *rest, dict.fromkeys(info, obs)


class OneRow(Counting):
    def step(self, actions: Any) -> Any:
        obs, *rest = super().step(actions)
        return obs[:1], *rest


class LastOfTheEndedAlone(Counting):
    def step(self, actions: Any) -> Any:
        *rest, info = super().step(actions)
        return *rest, {key: last[:1] for key, last in info.items()}


class NoReward(Counting):
    def step(self, actions: Any) -> Any:
        obs, _, *rest = super().step(actions)
        return obs, np.array([1, np.nan]), *rest


class OutOfBounds(Counting):
    lengths = np.array([9, 8])


class Terminates(Counting):
    lengths = np.array([4, 4])

    def step(self, actions: Any) -> Any:
        obs, rewards, no, done, info = super().step(actions)
        return obs, rewards, done, no, info


class Remembers(Counting):
    seen = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.seen += 1
        return super().reset(seed=seed)

    def look(self) -> Any:
        return super().look() * (0.5 if self.seen > 1 else 1)


class MasksOfSteps(Counting):
    def step(self, actions: Any) -> Any:
        *rest, info = super().step(actions)
        return *rest, info | {"action_mask": self.mask()}

    def mask(self) -> Any:
        return np.ones((2, 2), np.bool_)


class Masked(MasksOfSteps):
    """Environment 1 may take action 1 alone."""

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return super().reset(seed=seed)[0], {"action_mask": self.mask()}

    def mask(self) -> Any:
        return np.array([[True, True], [False, True]])

    def step(self, actions: Any) -> Any:
        assert actions[1] == 1
        return super().step(actions)


class MaskOfResetAlone(Masked):
    def step(self, actions: Any) -> Any:
        return Counting.step(self, actions)


class ClosedMask(Masked):
    def mask(self) -> Any:
        return super().mask() & (self.t < 2)[:, None]

    def step(self, actions: Any) -> Any:
        return MasksOfSteps.step(self, actions)


@pytest.mark.parametrize("kind", [Counting, NextStep, Masked])
def test_nothing_is_found_where_nothing_is_wrong(kind: Any) -> None:
    found = check_env(kind(), steps=60)
    assert found.findings == []
    assert {*found.episodes} == {5, 3}
    assert (found.steps, {*found.returns}) == (60, {5.0, 3.0})
    assert found.masks == (60 if kind is Masked else 0)
    assert found.step_seconds > 0 < found.reset_seconds


@pytest.mark.parametrize("mode", [*AutoresetMode])
def test_gymnasium_s_own_are_fine(mode: AutoresetMode) -> None:
    make = [lambda: gym.make("CartPole-v1")] * 2
    assert check_env(gym.vector.SyncVectorEnv(make, autoreset_mode=mode), steps=200).findings == []


class RoundTrip(gym.Env[Any, Any]):
    """Ends where it began."""

    observation_space, action_space = spaces.Discrete(4), spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.at = 0
        return self.at, {}

    def step(self, action: Any) -> Any:
        self.at = (self.at + 1 + action) % 4
        return self.at, 0.0, self.at == 0, False, {}


def test_an_episode_may_end_where_the_next_begins() -> None:
    envs = gym.vector.SyncVectorEnv([RoundTrip] * 2, autoreset_mode=AutoresetMode.SAME_STEP)
    assert not [one for one in check_env(envs, steps=60).findings if "final_obs" in str(one)]


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (SaysNothing, "error, the vector environment: SaysNothing does not say how it resets itself"),
        (SaysNextStep, "warning, step 8: after an episode's end, a step ended another one or was worth something."),
        (ForgetsTheLast, "error, step 6: ForgetsTheLast resets environments in the step that ends an episode, but"),
        (FirstAsLast, "warning, 60 steps: infos['final_obs'] always was the next episode's first observation."),
        (OneRow, "error, step 2: obs: expected stacked observations [2, ...], one of each environment, got [1, ...]."),
        (LastOfTheEndedAlone, "error, step 6: infos['final_obs']: expected a row for each of 2 environments, got 1."),
        (NoReward, "error, step 2: environment 1: the reward is nan; a reward is a finite number."),
        (OutOfBounds, "warning, step 12: obs: expected a value in [0.0, 5.0], got 6.0"),
        (Terminates, "warning, 60 steps: each of 14 episodes ended with terminated=True after 4 steps."),
        (MasksOfSteps, "error, step 2: infos['action_mask'] holds a mask, but the infos of reset() held none"),
        (MaskOfResetAlone, "error, step 2: its info holds no 'action_mask', but masks come with every observation"),
        (ClosedMask, "error, step 4: the mask allows no action: action has [0, 0]."),
        (Remembers, "warning, step 2: on the same instance, reset(seed=0) and the same actions led to something else."),
    ],
)
def test_a_fault_is_found_and_explained(kind: Any, text: str) -> None:
    findings = [str(one) for one in check_env(kind(), steps=60).findings]
    assert [one for one in findings if text in one], findings
    assert len(findings) == 1, findings
