"""Atari environments: which ones are, the DeepMind wrappers one by one, and what is put around each."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any, Literal

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium.spaces import Box

from anyspace.errors import EnvironmentSetupError
from anyspace.spaces.kinds.atari import AtariPixels, AtariRam, opencv, shrink
from anyspace.spaces.kinds.frames import StackedFrames

Env = gym.Env[Any, Any]
Info = dict[str, Any]
Frame = npt.NDArray[Any]

NOOP_MAX = 30
"""Most no-ops after a reset."""
STACK = 4
"""Frames in a stack."""
SKIP = 4
"""Frames for which an action is held."""
# No environment says something else under it.
LIFE_LOST = "anyspace.life_lost"
"""Name of the info that says whether a step ended an episode with a life, while the game goes on."""


@dataclass(frozen=True)
class AtariOptions:
    """What is put around an Atari environment."""

    pref: Literal["deepmind", "rllib"] | None = "deepmind"
    """Wrappers around the pixels, or pixels as they come that the preprocessor scales; None leaves everything."""
    framestack: bool = True
    """deepmind: observe the last four frames instead of one."""
    dim: int = 84
    """Side of the pictures, in pixels."""
    grayscale: bool = False
    """rllib: pictures of one channel; the wrappers' always have one."""
    zero_mean: bool = True
    """rllib: features in [-1, 0.992] instead of [0, 1]."""


def is_atari(env: Env | gym.vector.VectorEnv[Any, Any, Any]) -> bool:
    """Whether an environment is ale_py's under all its wrappers; neither its id nor its shapes count."""
    ale_py = sys.modules.get("ale_py")  # nothing can be of its types before it is imported
    return ale_py is not None and isinstance(env.unwrapped, ale_py.AtariEnv | ale_py.AtariVectorEnv)


def prepare(env: Env, options: AtariOptions) -> Env:
    """Return an Atari environment with what its observations need around it; any other one as it is.

    ``deepmind`` puts :func:`wrap_deepmind` around a screen, RGB or gray. ``rllib`` only declares it as
    :class:`~anyspace.spaces.AtariPixels`, so that acting takes the raw screen, and both declare the console's
    memory as :class:`~anyspace.spaces.AtariRam`. Observations that wrappers have changed are left alone.
    """
    space = env.observation_space
    if options.pref is None or not is_atari(env) or space != env.unwrapped.observation_space:
        return env
    match space.shape:
        case (_,):
            return Declared(env, AtariRam())
        case ((_, _) | (_, _, 3)) as shape if options.pref == "rllib":
            pixels = AtariPixels(shape, dim=options.dim, grayscale=options.grayscale, zero_mean=options.zero_mean)
            return Declared(env, pixels)
        case (_, _) | (_, _, 3):
            return wrap_deepmind(env, dim=options.dim, framestack=options.framestack)
    return env


def wrap_deepmind(env: Env, *, dim: int = 84, framestack: bool = True, noops: int | None = None) -> Env:
    """Put the wrappers of DQN around an Atari environment (Mnih et al., 2015).

    In order: :class:`NoopReset` (two board games have no no-op); :class:`MaxAndSkip` where the environment itself
    repeats no action, as ``env_config={"frameskip": 1}`` asks (``ALE/...-v5`` ids repeat four times by themselves,
    without the maximum); :class:`EpisodicLife`; :class:`FireReset` where there is a FIRE; :class:`WarpFrame`;
    :class:`FrameStack`.

    Args:
        env: ale_py's, observing its screen, RGB or gray.
        dim: side of the pictures, in pixels.
        framestack: observe the last four frames [dim, dim, 4] instead of one [dim, dim, 1].
        noops: that many after each reset, instead of 1 to 30.
    """
    unwrapped: Any = env.unwrapped
    if has_noop(env):
        env = NoopReset(env, noops=noops)
    if unwrapped._frameskip == 1:
        env = MaxAndSkip(env)
    return wrap_game(env, dim=dim, framestack=framestack)


def wrap_game(env: Env, *, dim: int, framestack: bool) -> Env:
    """Put the outer wrappers, from :class:`EpisodicLife` on, around an environment that skips frames already."""
    env = EpisodicLife(env)
    if has_fire(env):
        env = FireReset(env)
    env = WarpFrame(env, dim)
    return FrameStack(env) if framestack else env


class Declared(gym.Wrapper[Any, Any, Any, Any]):
    """Declares another observation space for the observations as they are."""

    def __init__(self, env: Env, observation_space: gym.Space[Any]):
        super().__init__(env)
        self.observation_space = observation_space


class NoopReset(gym.Wrapper[Any, Any, Any, Any]):
    """Begins each episode with k ~ U{1..30} no-ops, drawn by the environment's generator.

    Args:
        env: its action 0 is NOOP.
        noop_max: most no-ops, at least 1.
        noops: that many instead of a draw.
    """

    def __init__(self, env: Env, noop_max: int = NOOP_MAX, noops: int | None = None):
        super().__init__(env)
        _require(has_noop(env), self, "action 0 to be NOOP")
        self.noop_max, self.noops = noop_max, noops

    @property
    def override_num_noops(self) -> int | None:
        """``noops`` by its old name, which may be set."""
        return self.noops

    @override_num_noops.setter
    def override_num_noops(self, noops: int | None) -> None:
        self.noops = noops

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[Any, Info]:
        """Start a new episode."""
        obs, info = self.env.reset(seed=seed, options=options)
        noops = int(self.np_random.integers(1, self.noop_max + 1)) if self.noops is None else self.noops
        for _ in range(noops):
            obs, _, terminated, truncated, info = self.env.step(_press(self, 0))
            if terminated or truncated:
                obs, info = self.env.reset(options=options)
        return obs, info


class MaxAndSkip(gym.Wrapper[Any, Any, Any, Any]):
    """Holds an action for ``skip`` frames, at least 2, sums their rewards and shows the maximum of the last two.

    The console draws some sprites in every other frame only. Where an episode ends before, these are the last two
    frames that there were.
    """

    def __init__(self, env: Env, skip: int = SKIP):
        super().__init__(env)
        assert isinstance(env.observation_space, Box)
        self.skip = skip
        self._latest = np.empty((2, *env.observation_space.shape), env.observation_space.dtype)

    def step(self, action: Any) -> tuple[Frame, float, bool, bool, Info]:
        """Step the environment up to ``skip`` times."""
        total, terminated, truncated, seen = 0.0, False, False, 0
        info: Info = {}
        while seen < self.skip and not (terminated or truncated):
            self._latest[seen % 2], reward, terminated, truncated, info = self.env.step(action)
            total += float(reward)
            seen += 1
        return self._latest[:seen].max(axis=0), total, terminated, truncated, info


class EpisodicLife(gym.Wrapper[Any, Any, Any, Any]):
    """Ends an episode with each life, so that dying counts; the game goes on in the next one.

    Every step's infos say under `LIFE_LOST` whether it ended that way, for reports are about games: their return
    and length are those of all the steps between two real resets. What the console pays in the frames that start
    the next life (here and in :class:`FireReset`) is in neither.

    Args:
        env: its infos hold ``lives``.
    """

    def __init__(self, env: Env):
        super().__init__(env)
        self._lives, self._life_lost = 0, False

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, Info]:
        """Step the environment; a life lost while others are left terminates."""
        obs, reward, terminated, truncated, info = self.env.step(action)
        lives = info["lives"]
        self._life_lost = 0 < lives < self._lives and not (terminated or truncated)
        self._lives = lives
        return obs, reward, terminated or self._life_lost, truncated, {**info, LIFE_LOST: self._life_lost}

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[Any, Info]:
        """Go on with action 0, a no-op, where the last step lost a life and no seed is given; else start a game."""
        over = True
        if self._life_lost and seed is None:
            obs, _, terminated, truncated, info = self.env.step(_press(self, 0))
            over = terminated or truncated
        if over:
            obs, info = self.env.reset(seed=seed, options=options)
        self._lives, self._life_lost = info["lives"], False
        return obs, info


class FireReset(gym.Wrapper[Any, Any, Any, Any]):
    """Begins each episode with actions 1 and 2, for games that wait for FIRE; one that ends in them is begun anew.

    Args:
        env: its action 1 is FIRE, and it has one more.
    """

    def __init__(self, env: Env):
        super().__init__(env)
        _require(has_fire(env), self, "action 1 to be FIRE, and one more")

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[Any, Info]:
        """Start a new episode."""
        obs, info = self.env.reset(seed=seed, options=options)
        for action in (1, 2):
            obs, _, terminated, truncated, info = self.env.step(_press(self, action))
            if terminated or truncated:
                obs, info = self.env.reset(options=options)
        return obs, info


class WarpFrame(gym.ObservationWrapper[Any, Any, Any]):
    """Shows frames in gray, shrunk by areas to [dim, dim, 1].

    RGB ones [H, W, 3] become 0.299 R + 0.587 G + 0.114 B; those [H, W] are gray already.
    """

    def __init__(self, env: Env, dim: int = 84):
        super().__init__(env)
        self.dim = dim
        self.observation_space = Box(0, 255, (dim, dim, 1), np.uint8)

    def observation(self, observation: Frame) -> Frame:
        """Return the small gray frame."""
        is_gray = observation.ndim == 2
        gray = observation if is_gray else opencv().cvtColor(observation, opencv().COLOR_RGB2GRAY)
        return shrink(gray, self.dim)[..., None]


class FrameStack(gym.Wrapper[Any, Any, Any, Any]):
    """Shows the last ``stack`` frames side by side along the last axis, newest last; a reset's fills all places."""

    def __init__(self, env: Env, stack: int = STACK):
        super().__init__(env)
        space = env.observation_space
        assert isinstance(space, Box)
        low, high = (np.concatenate([bound] * stack, axis=-1) for bound in (space.low, space.high))
        self.observation_space = StackedFrames(low, high, dtype=space.dtype, stack=stack)
        self.stack = stack
        self._stacked: Frame = np.zeros(self.observation_space.shape, space.dtype)

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[Frame, Info]:
        """Start a new episode."""
        frame, info = self.env.reset(seed=seed, options=options)
        self._stacked = np.concatenate([frame] * self.stack, axis=-1)
        return self._stacked, info

    def step(self, action: Any) -> tuple[Frame, Any, bool, bool, Info]:
        """Step the environment."""
        frame, reward, terminated, truncated, info = self.env.step(action)
        channels = frame.shape[-1]
        stacked = np.empty_like(self._stacked)
        # Each value moves to the place of the frame before: in the order of memory, all by the same distance.
        stacked.reshape(-1)[:-channels] = self._stacked.reshape(-1)[channels:]
        stacked[..., -channels:] = frame
        self._stacked = stacked
        return stacked, reward, terminated, truncated, info


class ClipReward(gym.RewardWrapper[Any, Any]):
    """Pays the sign of each reward. Not in the stack: ``clip_rewards`` clips what is learnt, not what is reported."""

    def reward(self, reward: Any) -> float:
        """Return -1, 0 or 1."""
        return float(np.sign(reward))


class NormalizedImage(gym.ObservationWrapper[Any, Any, Any]):
    """Shows bytes as ``x / 128 - 1``, float32. Not in the stack: images are scaled where models read them."""

    def __init__(self, env: Env):
        super().__init__(env)
        self.observation_space = Box(-1.0, 1.0, env.observation_space.shape, np.float32)

    def observation(self, observation: Frame) -> Frame:
        """Return the scaled image."""
        return observation.astype(np.float32) / 128 - 1


def _press(env: Env, action: int) -> Any:
    """Return one of the first three actions as ``env`` takes it: its number, or where the stick is and the button."""
    return action if isinstance(env.action_space, gym.spaces.Discrete) else _STICK[action].copy()


_STICK = np.array([(0, 0, 0), (0, 0, 1), (1, np.pi / 2, 0)], np.float32)
"""NOOP, FIRE and UP as ale_py's continuous actions: radius, angle, button."""


def _meanings(env: Env) -> list[str]:
    unwrapped: Any = env.unwrapped
    meanings: list[str] = unwrapped.get_action_meanings()
    return meanings


def has_noop(env: Env) -> bool:
    """Whether action 0 does nothing."""
    return _meanings(env)[0] == "NOOP"


def has_fire(env: Env) -> bool:
    """Whether action 1 is FIRE and there is one more to press after it."""
    return _meanings(env)[1:2] == ["FIRE"] and len(_meanings(env)) > 2


def _require(fits: bool, wrapper: gym.Wrapper[Any, Any, Any, Any], what: str) -> None:
    if not fits:
        raise EnvironmentSetupError(
            f"{type(wrapper).__name__} needs {what}, but the actions of {type(wrapper.unwrapped).__name__} are"
            f" {', '.join(_meanings(wrapper))}."
        )
