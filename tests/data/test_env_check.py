"""Environments that do something wrong, and what is said of them."""

from __future__ import annotations

import random
import time
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import SyncVectorEnv
from gymnasium.wrappers import NormalizeReward, TransformReward

from anyspace.data.env_check import check_env
from anyspace.data.env_findings import EnvCheck
from anyspace.data.environments import EnvSpec
from anyspace.errors import ConfigError, EnvironmentSetupError
from tests.support.catalogue import ACTION_SPACES


class Good(gym.Env[Any, Any]):
    """Episodes of five steps; everything is as it should be."""

    observation_space = spaces.Dict(a=spaces.Discrete(3), b=spaces.Box(-1, 1, (2,)))
    action_space: Any = spaces.Discrete(4)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.t = 0
        return self.look(), {}

    def look(self) -> Any:
        return {"a": int(self.np_random.integers(3)), "b": self.np_random.uniform(-1, 1, 2).astype(np.float32)}

    def step(self, action: Any) -> Any:
        self.t += 1
        return self.look(), 1.0, False, self.t == 5, {}


class OutOfBounds(Good):
    def look(self) -> Any:
        return super().look() | {"b": np.array([0, self.t], np.float32)}


class OutsideIndex(Good):
    def look(self) -> Any:
        return super().look() | {"a": 3 if self.t == 2 else 0}


class ClosedMask(Good):
    def action_masks(self) -> Any:
        return np.full(4, self.t != 3)


class LongMask(Good):
    def step(self, action: Any) -> Any:
        *rest, info = super().step(action)
        return *rest, info | {"action_mask": np.ones(5)}


class MasksOfSteps(Good):
    def step(self, action: Any) -> Any:
        *rest, info = super().step(action)
        return *rest, info | {"action_mask": np.ones(4)}


class MaskOfResetAlone(Good):
    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return super().reset(seed=seed)[0], {"action_mask": np.ones(4)}


class MaskMissingOnce(MaskOfResetAlone):
    def step(self, action: Any) -> Any:
        *rest, over, info = super().step(action)
        return *rest, over, info if over or self.t == 3 else info | {"action_mask": np.ones(4)}


class ObservedMask(Good):
    """A mask in the observation, of as many entries as there are in ``mask``."""

    mask = np.float32([0.3, 1, 1, 1, 1])

    def __init__(self) -> None:
        parts = super().observation_space.spaces
        self.observation_space = spaces.Dict(**parts, action_mask=spaces.Box(0, 1, self.mask.shape))

    def look(self) -> Any:
        return super().look() | {"action_mask": self.mask}


class NoInfo(Good):
    def step(self, action: Any) -> Any:
        return *super().step(action)[:4], None


class ListAsInfo(Good):
    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return super().reset(seed=seed)[0], [1]


class MaskAsProperty(Good):
    @property
    def action_masks(self) -> Any:
        return np.ones(4)


class MaskOfPlayer(Good):
    def action_masks(self, player: int) -> Any:
        return np.ones(4)


class NoStep(Good):
    step = gym.Env.step


class SaysNothing(Good):
    def step(self, action: Any) -> Any:
        raise AssertionError


class OtherActions(Good):
    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        self.action_space = spaces.Discrete(5)
        return super().reset(seed=seed)


class NoReward(Good):
    def step(self, action: Any) -> Any:
        obs, _, *rest = super().step(action)
        return obs, float("nan"), *rest


class HugeReward(Good):
    def step(self, action: Any) -> Any:
        obs, _, *rest = super().step(action)
        return obs, 1e300, *rest


class HugeObservation(Good):
    observation_space = spaces.Dict(a=spaces.Discrete(3), b=spaces.Box(-np.inf, np.inf, (2,), np.float64))

    def look(self) -> Any:
        return super().look() | {"b": np.array([self.t, 1e300])}


class Endless(Good):
    def step(self, action: Any) -> Any:
        obs, reward, *_, info = super().step(action)
        return obs, reward, False, False, info


class Fails(Good):
    def step(self, action: Any) -> Any:
        return self.no_such_thing if action == 2 else super().step(action)  # type: ignore[attr-defined]


class OldStep(Good):
    def step(self, action: Any) -> Any:
        obs, reward, terminated, _, info = super().step(action)
        return obs, reward, terminated, info


class NoSeed(Good):
    def reset(self) -> Any:  # type: ignore[override]
        return super().reset()


class OwnRandomness(Good):
    def look(self) -> Any:
        return super().look() | {"b": np.full(2, random.random(), np.float32)}


class Remembers(Good):
    seen = 0

    def look(self) -> Any:
        self.seen += 1
        return super().look() | {"b": np.full(2, min(1, self.seen / 1e5), np.float32)}


class ChangesAction(Good):
    action_space = spaces.Box(-1, 1, (2,))

    def step(self, action: Any) -> Any:
        action *= 0.5
        return super().step(action)


class OtherSpaces(Good):
    count = 0

    def __init__(self) -> None:
        type(self).count += 1
        self.observation_space = spaces.Dict(a=spaces.Discrete(2 + self.count), b=spaces.Box(-1, 1, (2,)))


class OtherBounds(Good):
    """The spaces are spelt alike: of many numbers only the first and the last ones are."""

    count = 0

    def __init__(self) -> None:
        type(self).count += 1
        low = np.full(2000, -1, np.float32)
        low[1000] -= self.count
        self.observation_space = spaces.Dict(a=spaces.Discrete(3), b=spaces.Box(low, 1))

    def look(self) -> Any:
        return super().look() | {"b": np.zeros(2000, np.float32)}


class FailsToClose(Good):
    def close(self) -> None:
        raise OSError("the window is gone")


class SameObservation(Good):
    def look(self) -> Any:
        return {"a": 1, "b": np.zeros(2, np.float32)}


class Unpaid(Good):
    def step(self, action: Any) -> Any:
        obs, _, *rest = super().step(action)
        return obs, 0.0, *rest


class TerminatesInTime(Good):
    def step(self, action: Any) -> Any:
        obs, reward, _, over, info = super().step(action)
        return obs, reward, over, False, info


class ResetsItself(Good):
    def step(self, action: Any) -> Any:
        obs, *rest = super().step(action)
        return self.reset()[0] if rest[2] else obs, *rest


FAULTS = [
    (TerminatesInTime, "warning, 60 steps: each of 12 episodes ended with terminated=True after 5 steps."),
    (ResetsItself, "warning, step 5: step() calls reset() where an episode ends"),
    (SameObservation, "warning, 60 steps: reset() and step() returned the same observation every time"),
    (Unpaid, "warning, 60 steps: step() returned a reward of 0 every time."),
    (OutOfBounds, 'warning, step 2: obs["b"]: expected a value in [-1.0, 1.0], got 2.0 at component (1,)'),
    (OutsideIndex, 'error, step 2: obs["a"]: expected a value in 0..2, got 3'),
    (ClosedMask, "error, step 3: the mask allows no action: action has [0, 0, 0, 0]."),
    (LongMask, "error, step 1: info['action_mask']"),
    (MasksOfSteps, "error, step 1: info['action_mask'] holds a mask, but the infos of reset() held none"),
    (MaskOfResetAlone, "error, step 1: the info holds no 'action_mask', but masks come with every observation"),
    (MaskMissingOnce, "error, step 3: the info holds no 'action_mask', but masks come with every observation"),
    (ObservedMask, """error, its spaces: obs["action_mask"]: it holds 5 values, but a mask of Discrete(4) has 4"""),
    (NoInfo, "warning, step 1: NoInfo.step() returned None as its info, but an info is a dict."),
    (ListAsInfo, "warning, reset(): ListAsInfo.reset() returned a list of 1 values as its info"),
    (
        MaskAsProperty,
        "error, its spaces: MaskAsProperty.action_masks is an array of shape (4,) (float64), but it is to be a method",
    ),
    (
        MaskOfPlayer,
        "error, its spaces: MaskOfPlayer.action_masks takes arguments, but it is called without any before each action:"
        " write `def action_masks(self): return mask`.",
    ),
    (NoStep, "error, step 1: NoStep.step() is not defined: write `def step(self, action)`."),
    (SaysNothing, "error, step 1: AssertionError, in step() at test_env_check.py line "),
    (OtherActions, "warning, reset(): reset() changed the action space from Discrete(4) to Discrete(5)"),
    (NoReward, "error, step 1: the reward is nan; a reward is a finite number."),
    (HugeReward, "error, step 1: the reward is 1e+300, but rewards are kept in float32"),
    (HugeObservation, 'error, reset(): obs["b"]: expected numbers that float32'),
    (Endless, "warning, 60 steps: no episode has ended. If that is not by chance, put a limit around it"),
    (Fails, "'Fails' object has no attribute 'no_such_thing', in step() at test_env_check.py line "),
    (OldStep, "error, step 1: OldStep.step() returned a tuple of 4 values, but Gymnasium's step returns"),
    (NoSeed, "does not take what Gymnasium hands over: write `def reset(self, *, seed=None, options=None)`."),
    (
        OwnRandomness,
        "warning, reset(): on the same instance, reset(seed=0) and the same actions led to something else.",
    ),
    (Remembers, "warning, reset(): on the same instance, reset(seed=0)"),
    (ChangesAction, "warning, step 1: step() changes the action that it is handed"),
    (OtherSpaces, "error, its spaces: another instance has other spaces"),
    (OtherBounds, "error, its spaces: another instance has other spaces"),
    (FailsToClose, "warning, close(): OSError: the window is gone, in close() at test_env_check.py line "),
]


def checked(env: Any, **options: Any) -> EnvCheck:
    return check_env(EnvSpec(env, **options), steps=60)


def test_a_seed_is_not_negative() -> None:
    with pytest.raises(ConfigError, match=r"check_env\(seed=-1\): a seed is not negative"):
        check_env("CartPole-v1", seed=-1)


def test_nothing_is_found_where_nothing_is_wrong() -> None:
    found = checked(Good)
    assert found.findings == []
    assert (found.steps, found.episodes, found.returns, found.masks) == (60, [5] * 12, [5.0] * 12, 0)
    assert 0 < found.step_seconds < 1
    assert 0 < found.reset_seconds < 1


@pytest.mark.parametrize(("env", "text"), FAULTS, ids=[env.__name__ for env, _ in FAULTS])
def test_a_fault_is_found_and_explained(env: Any, text: str) -> None:
    found = checked(env)
    assert [str(one) for one in found.findings if text in str(one)], [str(one) for one in found.findings]
    assert len(found.findings) == 1, [str(one) for one in found.findings]
    assert bool(found.errors) == (found.findings[0].severity == "error")


def test_any_number_but_0_in_an_observed_mask_allows_as_in_training() -> None:
    class Fractions(ObservedMask):
        mask = np.float32([0.3, 0, 1, 0])

        def step(self, action: Any) -> Any:
            assert action in (0, 2)
            return super().step(action)

    found = checked(Fractions)
    assert (found.findings, found.masks) == ([], 60)


def test_the_same_fault_is_counted() -> None:
    (finding,) = checked(OutsideIndex).findings
    assert finding.count == 12
    assert str(finding).endswith("(12 times)")


def test_actions_respect_masks_and_are_members() -> None:
    class Masked(Good):
        def action_masks(self) -> Any:
            return np.arange(4) == self.t % 4

        def step(self, action: Any) -> Any:
            assert action == self.t % 4
            return super().step(action)

    found = checked(Masked)
    assert found.findings == []
    assert found.masks == 60


@pytest.mark.parametrize("name", ACTION_SPACES)
def test_actions_of_every_space_are_members(name: str) -> None:
    class Strict(Good):
        action_space = ACTION_SPACES[name]

        def step(self, action: Any) -> Any:
            assert self.action_space.contains(action), action
            return super().step(action)

    assert checked(Strict).findings == []


def test_a_space_that_is_not_supported_is_a_finding() -> None:
    class Texts(Good):
        observation_space = spaces.Dict(a=spaces.Sequence(spaces.Discrete(3)))

    (finding,) = checked(Texts).errors
    assert "max_len" in str(finding)


def test_what_cannot_be_made_is_an_error() -> None:
    with pytest.raises(EnvironmentSetupError, match="NoSuchThing"):
        checked("NoSuchThing-v0")


@pytest.mark.parametrize("env", ["CartPole-v1", "Pendulum-v1", "MountainCar-v0", "Acrobot-v1"])
def test_environments_of_gymnasium_are_fine(env: str) -> None:
    assert checked(env).findings == []


@pytest.mark.parametrize(
    "space",
    [
        spaces.Dict({f"joint{sign}{number}": spaces.Box(-1, 1, (2,)) for number in (1, 2)})
        if sign is not None
        else spaces.Tuple([spaces.Box(-1, 1, (2,)), spaces.Box(-1, 1, (2,))])
        for sign in ("", "-", None)
    ],
)
def test_faults_of_two_parts_are_two_findings(space: Any) -> None:
    class Joints(Good):
        observation_space = space

        def look(self) -> Any:
            far = np.full(2, 1.5 + self.t, np.float32)
            return (far, far) if isinstance(space, spaces.Tuple) else dict.fromkeys(space, far)

    assert [one.count > 1 for one in checked(Joints).findings] == [True, True]


def test_what_goes_wrong_in_the_repetition_is_told() -> None:
    class Once(Good):
        taken = 0

        def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
            if not hasattr(self, "t"):
                type(self).taken += 1
                if self.taken > 1:
                    raise OSError("address in use")
            return super().reset(seed=seed)

    (finding,) = checked(Once).findings
    assert str(finding).startswith("error, reset(), on another instance: OSError: address in use, in reset() at")


def test_the_step_that_differs_is_a_step_of_the_environment() -> None:
    class Differs(Good):
        total = 0

        def look(self) -> Any:
            self.total += 1
            return super().look() | {"a": int(self.total > 70)}

    (finding,) = checked(Differs).findings
    # 60 steps and 12 resets before it; the repetition's first five observations are before the seventieth.
    assert finding.first == "reset()"


def test_times_are_the_environments_own() -> None:
    class Waits(Good):
        def step(self, action: Any) -> Any:
            time.sleep(0.002)
            return super().step(action)

    found = checked(Waits)
    assert found.step_seconds > 0.002 > found.reset_seconds


def test_the_line_of_an_error_is_where_it_arose() -> None:
    class Tidies(Good):
        def step(self, action: Any) -> Any:
            try:
                raise OSError("gone")
            finally:
                self.t = 0

    (finding,) = checked(Tidies).findings
    line = Tidies.step.__code__.co_firstlineno + 2
    assert f"OSError: gone, in step() at test_env_check.py line {line}" in str(finding)


def test_the_line_of_an_error_is_in_the_environments_own_code() -> None:
    class Stacks(Good):
        def look(self) -> Any:
            return np.stack([np.zeros(2), np.zeros(3)])

    def scaled(env: Any) -> Any:
        return TransformReward(env, lambda reward: np.reshape(reward, (2,)))

    line = Stacks.look.__code__.co_firstlineno + 1
    assert f"same shape, in look() at test_env_check.py line {line}" in str(checked(Stacks).findings[0])
    line = scaled.__code__.co_firstlineno + 1
    assert f"in <lambda>() at test_env_check.py line {line}" in str(checked(Good, wrappers=[scaled]).findings[0])


def test_a_reset_whose_observation_fits_nothing_ends_the_check() -> None:
    class Wrong(Good):
        def look(self) -> Any:
            return {"a": "north", "b": None}

    assert checked(Wrong).steps == 0


def test_environments_are_closed_where_their_spaces_are_refused() -> None:
    closed = []

    class Texts(Good):
        observation_space = spaces.Dict(a=spaces.Sequence(spaces.Discrete(3)))

        def close(self) -> None:
            closed.append(self)

    checked(Texts)
    assert len(closed) == 2


def test_environments_are_closed_where_anything_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    closed, made = [], []

    class Single(Good):
        def __init__(self) -> None:
            super().__init__()
            made.append(self)
            if len(made) == 2:
                raise OSError("the only one is taken")

        def close(self) -> None:
            closed.append(self)

    with pytest.raises(OSError, match="the only one is taken"):
        checked(Single)
    assert closed == made[:1]

    def interrupted(*arguments: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr("anyspace.data.env_check._Probe.play", interrupted)
    with pytest.raises(KeyboardInterrupt):
        checked(Single)
    assert len(closed) == 3


@pytest.mark.parametrize("vector", [False, True])
def test_wrappers_with_statistics_are_named_where_two_plays_differ(vector: bool) -> None:
    def make() -> Any:
        return NormalizeReward(gym.make("CartPole-v1"))

    (finding,) = checked(SyncVectorEnv([make]) if vector else make).findings
    assert finding.what.startswith("NormalizeReward around the environment: the running statistics are not part of")
