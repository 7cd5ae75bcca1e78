"""Atari the fast way: each console in a thread of ale_py's vector environment, the wrappers around it.

Emulation and the maximum over frames, three quarters of the work, happen in ale_py, without Python's lock and side
by side. The rest stays with the wrappers of :mod:`anyspace.data.atari`, because ale_py decides otherwise: it begins
a new game after each lost life, presses FIRE for one frame, begins a stack with black frames, and its gray is off
by up to 37 levels where sprites of two colours flicker.

So observations, rewards and ends are the wrappers' own, but for two things. Where ``frameskip`` is 1, the no-ops
after a reset are U{0..30} instead of U{1..30}. And ale_py takes no picture of a game that is over: its last
observation shows a frame from before.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from anyspace.data.atari import NOOP_MAX, SKIP, AtariOptions, Env, Frame, Info, NoopReset, has_noop, wrap_game
from anyspace.importing import importable_name

_UNDERSTOOD = {
    "game",
    "frameskip",
    "repeat_action_probability",
    "full_action_space",
    "continuous",
    "continuous_action_threshold",
    "max_num_frames_per_episode",
}


def is_console(registered: gym.envs.registration.EnvSpec) -> bool:
    """Whether an id of Gymnasium's makes an environment of ale_py's."""
    ale_py = sys.modules.get("ale_py")
    return ale_py is not None and registered.entry_point == importable_name(ale_py.AtariEnv)


def native_settings(registered: gym.envs.registration.EnvSpec, env_config: Info) -> Info | None:
    """Return what ale_py's vector environment needs to play an id of ale_py's.

    None where the id is made with settings or wrappers that its vector environment lacks.
    """
    if registered.additional_wrappers or registered.max_episode_steps is not None:
        return None
    settings = {**registered.kwargs, **env_config}
    fits = settings.keys() <= _UNDERSTOOD and None not in settings.values()
    return settings if fits and isinstance(settings["frameskip"], int) else None


def native_envs(settings: Info, options: AtariOptions, num_envs: int, noops: int | None = None) -> ConsoleVector:
    """Return ``num_envs`` consoles with what :func:`anyspace.data.atari.wrap_deepmind` puts around each.

    Args:
        settings: as :func:`native_settings` returns them.
        options: side of the pictures and whether they are stacked.
        num_envs: how many, at least 1.
        noops: 0 for none after a reset; None draws them.
    """
    return ConsoleVector([functools.partial(_wrapped, settings, options, noops)] * num_envs)


class ConsoleVector(SyncVectorEnv):  # generic in Gymnasium 1.4 only
    """Environments over one :class:`Console` each, which all play on while the first is waited for."""

    def __init__(self, makers: Sequence[Callable[[], Env]]):
        super().__init__(makers, copy=False, autoreset_mode=AutoresetMode.SAME_STEP)

    def step(self, actions: Any) -> Any:
        """Step every environment."""
        for env, action in zip(self.envs, actions, strict=True):
            env.unwrapped.start(action)  # type: ignore[attr-defined]
        return super().step(actions)


class Console(gym.Env[Frame, Any]):
    """One game of ale_py's, played in a thread of its own; it shows the RGB screen, and ``lives`` in its infos.

    Args:
        settings: as :func:`native_settings` returns them. A ``frameskip`` of 1 is what
            :class:`~anyspace.data.atari.MaxAndSkip` makes of it: 4, and the maximum over the last two frames.
        draw_noops: begin each game with 0 to 30 frames without an action.
    """

    metadata: ClassVar[Info] = {"render_modes": [], "atari": True}  # type: ignore[misc]

    def __init__(self, settings: Info, draw_noops: bool):
        import ale_py

        single = ale_py.AtariEnv(**settings)
        assert isinstance(single.observation_space, Box)
        self.observation_space, self.action_space = single.observation_space, single.action_space
        self._meanings: list[str] = single.get_action_meanings()
        height, width, _ = single.observation_space.shape
        one_by_one = settings["frameskip"] == 1
        self._game = ale_py.AtariVectorEnv(
            num_envs=1,
            num_threads=1,
            **{**settings, "frameskip": SKIP if one_by_one else settings["frameskip"]},
            maxpool=one_by_one,
            img_height=height,
            img_width=width,
            grayscale=False,
            stack_num=1,
            noop_max=NOOP_MAX + 1 if draw_noops else 1,
            reward_clipping=False,
            use_fire_reset=False,
        )
        self._started = False

    def get_action_meanings(self) -> list[str]:
        """Return what each action presses."""
        return self._meanings

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[Frame, Info]:
        """Start a new game."""
        super().reset(seed=seed)
        if self._started:  # and not waited for: something interrupted the others' step
            self._game.recv()
            self._started = False
        obs, infos = self._game.reset(seed=None if seed is None else int(self.np_random.integers(2**31)))
        return obs[0, 0], {"lives": int(infos["lives"][0])}

    def start(self, action: Any) -> None:
        """Begin a step, for :meth:`step` to wait for."""
        self._game.send(np.asarray(action)[None])
        self._started = True

    def step(self, action: Any) -> tuple[Frame, float, bool, bool, Info]:
        """Wait for the step that was begun; where none was, play one."""
        if not self._started:
            self.start(action)
        self._started = False
        obs, rewards, terminated, truncated, infos = self._game.recv()
        info = {"lives": int(infos["lives"][0])}
        return obs[0, 0], float(rewards[0]), bool(terminated[0]), bool(truncated[0]), info


def _wrapped(settings: Info, options: AtariOptions, noops: int | None) -> Env:
    one_by_one = settings["frameskip"] == 1  # then no-ops are single frames, which ale_py alone can play
    console: Env = Console(settings, draw_noops=one_by_one and noops is None)
    if not one_by_one and has_noop(console):
        console = NoopReset(console, noops=noops)
    return wrap_game(console, dim=options.dim, framestack=options.framestack)
