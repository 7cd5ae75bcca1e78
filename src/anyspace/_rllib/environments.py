"""What environment files of RLlib's old stack import: contexts, wrappers, environments of dm_env."""

from __future__ import annotations

import importlib
import logging
import math
from collections.abc import Iterator, Mapping
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from anyspace.data import atari
from anyspace.errors import EnvironmentSetupError

Env = gym.Env[Any, Any]
Wrapper = gym.Wrapper[Any, Any, Any, Any]
Info = dict[str, Any]

_LOG = logging.getLogger("anyspace")


class TaskSettableEnv(gym.Env[Any, Any]):
    """Base of environments whose task can be set. Nothing here sets tasks: call `set_task` in a wrapper of your own."""

    def sample_tasks(self, n_tasks: int) -> list[Any]:
        """Return ``n_tasks`` tasks."""
        raise NotImplementedError(f"{type(self).__name__} must implement sample_tasks()")

    def set_task(self, task: Any) -> None:
        """Set the task of the episodes that follow."""
        raise NotImplementedError(f"{type(self).__name__} must implement set_task()")

    def get_task(self) -> Any:
        """Return the present task."""
        raise NotImplementedError(f"{type(self).__name__} must implement get_task()")


class TooManyResetAttemptsException(Exception):
    """An environment failed in every attempt to reset it.

    Args:
        max_attempts: how often it was tried.
    """

    def __init__(self, max_attempts: int):
        super().__init__(f"the environment failed in {max_attempts} attempts to reset it, one after the other.")


class ResetOnExceptionWrapper(gym.Wrapper[Any, Any, Any, Any]):
    """Truncates the episode in which an environment raises, and resets it; the reset's observation is the last one.

    The info of such a step has ``"__terminated__": True``, and the exception is logged.

    Args:
        env: any environment.
        max_reset_attempts: how often a reset is tried.
    """

    def __init__(self, env: Env, max_reset_attempts: int = 5):
        super().__init__(env)
        self.max_reset_attempts = max_reset_attempts

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[Any, Info]:
        """Reset the environment.

        Raises:
            TooManyResetAttemptsException: every attempt failed.
        """
        for _ in range(self.max_reset_attempts):
            try:
                return self.env.reset(seed=seed, options=options)
            except Exception:
                _LOG.exception("the environment failed in reset(); it is tried again")
        raise TooManyResetAttemptsException(self.max_reset_attempts)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, Info]:
        """Step the environment, or reset it where that fails."""
        try:
            return self.env.step(action)
        except Exception:
            _LOG.exception("the environment failed in step(); its episode is truncated")
            obs, info = self.reset()
            return obs, 0.0, False, True, {**info, "__terminated__": True}


# ------------------------------------------------------------------------------------------------- Atari


def is_atari(env: Env | str) -> bool:
    """Return whether an environment is ale_py's, or an id is one of them."""
    return env.startswith(("ALE/", "ale_py:")) if isinstance(env, str) else atari.is_atari(env)


def wrap_deepmind(env: Env, dim: int = 84, framestack: bool = True, noframeskip: bool = False) -> Env:
    """Put the wrappers of DQN around an Atari environment (`anyspace.data.atari.wrap_deepmind`).

    Args:
        env: ale_py's.
        dim: side of the pictures, in pixels.
        framestack: observe the last four frames instead of one.
        noframeskip: accepted for old call sites; the environment itself knows whether it skips frames.
    """
    return atari.wrap_deepmind(env, dim=dim, framestack=framestack)


def wrap_atari_for_new_api_stack(env: Env, dim: int = 64, frameskip: int = 4, framestack: int | None = None) -> Env:
    """Put wrappers around an Atari environment that show pictures in [-1, 1].

    Args:
        env: ale_py's.
        dim: side of the pictures, in pixels.
        frameskip: for how many frames an action is held; 1 for environments that hold it themselves.
        framestack: how many frames are observed; None: one.
    """
    env = gym.wrappers.TimeLimit(env, max_episode_steps=108_000)
    env = atari.NormalizedImage(atari.WarpFrame(env, dim))
    env = atari.MaxAndSkip(env, frameskip) if frameskip > 1 else env
    env = atari.EpisodicLife(atari.NoopReset(env))
    env = atari.FireReset(env) if atari.has_fire(env) else env
    return FrameStack(env, framestack) if framestack else env


def get_wrapper_by_cls(env: Env, cls: type) -> Any:
    """Return the outermost wrapper of a class around an environment, or None."""
    while not isinstance(env, cls):
        if not isinstance(env, gym.Wrapper):
            return None
        env = env.env
    return env


class FrameStack(atari.FrameStack):
    """Shows the last ``k`` frames side by side; see `anyspace.data.atari.FrameStack`."""

    def __init__(self, env: Env, k: int):
        super().__init__(env, k)
        self.k = k


class FrameStackTrajectoryView(gym.ObservationWrapper[Any, Any, Any]):
    """Shows pictures [H, W, 1] as [H, W], for models that stack them by views."""

    def __init__(self, env: Env):
        super().__init__(env)
        space = env.observation_space
        assert (space.shape or ())[2:] == (1,), f"expected pictures [H, W, 1], got {space}"
        assert space.shape is not None
        self.observation_space = spaces.Box(0, 255, space.shape[:2], np.uint8)

    def observation(self, observation: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the picture without its axis of channels."""
        return observation[..., 0]


class MonitorEnv(gym.Wrapper[Any, Any, Any, Any]):
    """Remembers the return and length of every episode that another one followed."""

    def __init__(self, env: Env):
        super().__init__(env)
        self._rewards: list[float] | None = None
        self._returns: list[float] = []
        self._lengths: list[int] = []
        self._told = 0
        self._steps = 0

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[Any, Info]:
        """Start a new episode."""
        start = self.env.reset(seed=seed, options=options)
        if self._rewards is not None:
            self._returns.append(sum(self._rewards))
            self._lengths.append(len(self._rewards))
        self._rewards = []
        return start

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, Info]:
        """Step the environment."""
        result = self.env.step(action)
        assert self._rewards is not None, "call reset() first"
        self._rewards.append(float(result[1]))
        self._steps += 1
        return result

    def get_episode_rewards(self) -> list[float]:
        """Return the return of each episode."""
        return self._returns

    def get_episode_lengths(self) -> list[int]:
        """Return the length of each episode."""
        return self._lengths

    def get_total_steps(self) -> int:
        """Return how many steps were taken in all."""
        return self._steps

    def next_episode_results(self) -> Iterator[tuple[float, int]]:
        """Go through the return and length of the episodes that this method has not yet given."""
        told, self._told = self._told, len(self._returns)
        yield from list(zip(self._returns, self._lengths, strict=True))[told:]


# ------------------------------------------------------------------------------------------------ dm_env


class DMEnv(gym.Env[Any, Any]):
    """An environment of dm_env: its specs as spaces, dicts of them as a Dict.

    ``reset(seed=)`` seeds the environment's ``random_state``, or the ``random`` of its task. Where there is neither, a
    warning says that its episodes do not depend on the seed.

    Args:
        dm_env: the environment.
    """

    def __init__(self, dm_env: Any):
        self._env, self._warned = dm_env, False
        self.action_space = _space_of(dm_env.action_spec())
        self.observation_space = _space_of(dm_env.observation_spec())

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[Any, Info]:
        """Start a new episode."""
        super().reset(seed=seed)
        if seed is not None and not _seed(self._env, seed) and not self._warned:
            self._warned = True
            _LOG.warning(
                f"DMEnv: {type(self._env).__name__} has neither `random_state` nor `task.random`, NumPy's RandomState,"
                " so that its episodes do not depend on the seed. Give it one."
            )
        return self._env.reset().observation, {}

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, Info]:
        """Step the environment; an episode that ends with a discount above 0 is truncated."""
        return _stepped(self._env, action)


class DMCEnv(gym.Env[Any, Any]):
    """An environment of dm_control's suite, with actions in [-1, 1].

    Args:
        domain_name: as ``suite.load`` takes it, and so the next three.
        task_name: see ``domain_name``.
        task_kwargs: see ``domain_name``.
        visualize_reward: see ``domain_name``.
        from_pixels: observe pictures; False: all observations side by side.
        height: of the pictures.
        width: of the pictures.
        camera_id: of the pictures.
        frame_skip: for how many steps an action is held; their rewards are added up.
        environment_kwargs: as ``suite.load`` takes it.
        channels_first: pictures are [3, H, W] instead of [H, W, 3].
        preprocess: pictures are floats in [-0.5, 0.5] instead of bytes.

    Raises:
        EnvironmentSetupError: dm_control is not installed.
    """

    def __init__(
        self,
        domain_name: str,
        task_name: str,
        task_kwargs: Info | None = None,
        visualize_reward: bool = False,
        from_pixels: bool = False,
        height: int = 64,
        width: int = 64,
        camera_id: int = 0,
        frame_skip: int = 2,
        environment_kwargs: Info | None = None,
        channels_first: bool = True,
        preprocess: bool = True,
    ):
        try:
            suite = importlib.import_module("dm_control.suite")
        except ImportError as error:
            raise EnvironmentSetupError(f"DMCEnv needs dm_control ({error}): pip install dm_control.") from error
        self._env = suite.load(
            domain_name=domain_name,
            task_name=task_name,
            task_kwargs=task_kwargs,
            visualize_reward=visualize_reward,
            environment_kwargs=environment_kwargs,
        )
        self._pixels, self._skip = from_pixels, frame_skip
        self._channels_first, self._floats = channels_first, preprocess
        self._camera = {"height": height, "width": width, "camera_id": camera_id}
        actions = self._env.action_spec()
        self._low, self._high = np.asarray(actions.minimum), np.asarray(actions.maximum)
        self.action_space = spaces.Box(-1.0, 1.0, actions.shape)
        specs = self._env.observation_spec().values()
        size = sum(math.prod(spec.shape) for spec in specs)
        self.observation_space = spaces.Box(-np.inf, np.inf, (size,))
        if from_pixels:
            shape = (3, height, width) if channels_first else (height, width, 3)
            bounded = spaces.Box(-0.5, 0.5, shape) if preprocess else spaces.Box(0, 255, shape, np.uint8)
            self.observation_space = bounded

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[Any, Info]:
        """Start a new episode; a seed goes to the random source of the task."""
        super().reset(seed=seed)
        if seed is not None:
            _seed(self._env, seed)
        return self._observed(self._env.reset().observation), {}

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, Info]:
        """Hold an action in [-1, 1]; the end of the suite's episodes is a truncation."""
        scaled = self._low + (np.asarray(action, np.float64) + 1) / 2 * (self._high - self._low)
        total = 0.0
        for _ in range(self._skip):
            obs, reward, terminated, truncated, info = _stepped(self._env, scaled)
            total += reward
            if terminated or truncated:
                break
        return self._observed(obs), total, terminated, truncated, info

    def render(self) -> Any:
        """Return a picture [H, W, 3] of the camera."""
        return self._env.physics.render(**self._camera)

    def _observed(self, observation: Mapping[str, Any]) -> npt.NDArray[Any]:
        if not self._pixels:
            return np.concatenate([np.ravel(part) for part in observation.values()]).astype(np.float32)
        picture = np.asarray(self.render())
        picture = picture.transpose(2, 0, 1) if self._channels_first else picture
        return (picture / 255.0 - 0.5).astype(np.float32) if self._floats else picture.copy()


def _seed(env: Any, seed: int) -> bool:
    """Seed what an environment of dm_env draws from; return whether there is such a source."""
    for holder, name in ((env, "random_state"), (getattr(env, "task", None), "random")):
        source = getattr(holder, name, None)
        if isinstance(source, np.random.RandomState):
            source.seed(np.random.SeedSequence(seed).generate_state(4))
            return True
    return False


def _stepped(env: Any, action: Any) -> tuple[Any, float, bool, bool, Info]:
    step = env.step(action)
    ended, more = bool(step.last()), step.discount is None or step.discount > 0
    return step.observation, float(step.reward or 0.0), ended and not more, ended and more, {"discount": step.discount}


def _space_of(spec: Any) -> gym.Space[Any]:
    """Return the space of a spec: an array, a bounded array, a number of choices, or a dict of specs."""
    if isinstance(spec, Mapping):
        return spaces.Dict({name: _space_of(part) for name, part in spec.items()})
    if hasattr(spec, "num_values"):
        return spaces.Discrete(int(spec.num_values))
    low, high = getattr(spec, "minimum", -np.inf), getattr(spec, "maximum", np.inf)
    bottom, top = (np.broadcast_to(bound, spec.shape).astype(spec.dtype) for bound in (low, high))
    box: gym.Space[Any] = spaces.Box(bottom, top, dtype=spec.dtype)
    return box
