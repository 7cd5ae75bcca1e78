"""Environments that show themselves: in a window, or as pictures for a film."""

from __future__ import annotations

import inspect
import math
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from anyspace.data.contract import close
from anyspace.data.env_context import takes_config
from anyspace.data.environments import Env, EnvSpec
from anyspace.errors import EnvironmentSetupError

Picture = npt.NDArray[np.uint8]
"""[height, width, 3], 0 to 255."""

USUAL_RATE = 30.0
"""Pictures per second where an environment does not say how quick it is."""


def shown(spec: EnvSpec) -> EnvSpec:
    """Return an environment as one that shows itself in a window, by Gymnasium's render mode "human".

    Raises:
        EnvironmentSetupError: it has no such mode, or none can be asked for; names the modes that it has.
    """
    return _rendering(spec, "human", "render=True", "draw a window in its step")


def pictured(spec: EnvSpec) -> EnvSpec:
    """Return an environment as one that draws pictures, by Gymnasium's render mode "rgb_array"; it needs no display.

    Raises:
        EnvironmentSetupError: it has no such mode, or none can be asked for; names the modes that it has.
    """
    if sys.platform == "linux" and not os.environ.keys() & {"DISPLAY", "WAYLAND_DISPLAY", "MUJOCO_GL"}:
        os.environ["MUJOCO_GL"] = "egl"  # MuJoCo draws without a display, but has to be told
    return _rendering(spec, "rgb_array", "a video", "return pictures [height, width, 3] of uint8 from its render()")


def filmed(spec: EnvSpec, add: Callable[[Picture, float], None]) -> EnvSpec:
    """Return an environment that hands over the pictures of its episodes: after each reset, and after each step.

    Args:
        spec: the environment.
        add: takes a picture, and how many of them are a second of the environment's time.

    Raises:
        EnvironmentSetupError: it draws no pictures; names the render modes that it has.
    """
    found = pictured(spec)
    return replace(found, wrappers=(*found.wrappers, lambda env: _Filmed(env, spec.name, add)))


class _Filmed(gym.Wrapper[Any, Any, Any, Any]):
    """Draws after each reset and step."""

    def __init__(self, env: Env, name: str, add: Callable[[Picture, float], None]):
        super().__init__(env)
        self._name, self._add = name, add
        # A vector environment begins one more episode after the last: its picture waits for a step.
        self._first: Picture | None = None
        told = env.metadata.get("render_fps")
        rate = float(told) if isinstance(told, int | float | np.integer | np.floating) else 0.0
        self._rate = rate if 0 < rate < math.inf else USUAL_RATE

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        returned = self.env.reset(seed=seed, options=options)
        self._first = self._picture()
        return returned

    def step(self, action: Any) -> Any:
        first, self._first = self._first, None
        if first is not None:
            self._add(first, self._rate)
        returned = self.env.step(action)
        self._add(self._picture(), self._rate)
        return returned

    def _picture(self) -> Picture:
        try:
            drawn: Any = self.env.render()
        except gym.error.DependencyNotInstalled as error:
            raise EnvironmentSetupError(f"{self._name} cannot draw itself: {error}") from error
        shape: tuple[int, ...] = drawn.shape if isinstance(drawn, np.ndarray) and drawn.size else ()
        if shape and drawn.dtype == np.uint8 and (len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3, 4))):
            # Gray, colour, or colour and how opaque it is.
            picture: Picture = np.broadcast_to(drawn.reshape(*shape[:2], -1)[..., :3], (*shape[:2], 3))
            return picture
        came = f"{drawn.dtype} of shape {drawn.shape}" if isinstance(drawn, np.ndarray) else repr(drawn)[:80]
        raise EnvironmentSetupError(
            f"{self._name}.render() returned {came}, but in the render mode 'rgb_array' it returns a picture: uint8 of"
            " shape (height, width, 3), 0 to 255; gray (height, width) and RGBA (height, width, 4) are taken as well."
        )


def _rendering(spec: EnvSpec, wanted: str, what: str, deed: str) -> EnvSpec:
    """Return an environment in a render mode.

    Args:
        spec: the environment.
        wanted: the mode.
        what: needs the mode, for messages.
        deed: of an author who adds the mode, for messages.
    """
    if isinstance(spec.env, gym.vector.VectorEnv):
        raise EnvironmentSetupError(
            f"{what} shows a single environment, but a vector environment was given; give a Gymnasium id, a class"
            " or a function to Algorithm.load(path, env=...)."
        )
    env = spec.make()
    modes, mode = list((env.metadata or {}).get("render_modes") or ()), env.render_mode
    by_gymnasium = not isinstance(spec.env, gym.Env) and spec.registered() is not None
    camera = _following_camera(env) if by_gymnasium else {}
    close(env)
    # Gymnasium puts a window around ids that give pictures.
    if wanted not in modes and not (wanted == "human" and by_gymnasium and "rgb_array" in modes):
        there = f"its render modes are {', '.join(map(repr, modes))}" if modes else "it has no render modes"
        raise EnvironmentSetupError(
            f"{what} needs the render mode {wanted!r}, which {spec.name} lacks: {there}. Add {wanted!r} to"
            f' metadata["render_modes"] of the environment, and {deed}.'
        )
    if isinstance(spec.env, gym.Env) and spec.env.spec is None:
        if mode == wanted:
            return spec
        raise EnvironmentSetupError(
            f"{what} needs an environment made with render_mode={wanted!r}, but the instance of {spec.name} was made"
            f" with {mode!r}; give its class, or an instance with that mode."
        )
    creator = None if isinstance(spec.env, gym.Env) else spec.creator()
    if creator is not None and not _takes_render_mode(creator, spec.env_config):
        if mode == wanted:
            return spec
        raise EnvironmentSetupError(
            f"{what} hands render_mode={wanted!r} to {spec.name}, which takes no `render_mode` (its render modes are"
            f" {', '.join(map(repr, modes))}); add the argument."
        )
    return replace(spec, env_config={**spec.env_config, **camera, "render_mode": wanted})


def _following_camera(env: Env) -> dict[str, str]:
    """Return the setting by which MuJoCo's camera follows a robot that would soon run out of the picture.

    It is Gymnasium's camera "track", which several of its robots have, but do not use unless they are asked to.
    """
    base: Any = env.unwrapped
    # Robots of other packages may take no such setting.
    if not type(base).__module__.startswith("gymnasium.envs.mujoco."):
        return {}
    if base.camera_name is not None or base.camera_id is not None:
        return {}
    cameras = {base.model.camera(number).name for number in range(base.model.ncam)}
    return {"camera_name": "track"} if "track" in cameras else {}


def _takes_render_mode(creator: Callable[..., Any], env_config: Mapping[str, Any]) -> bool:
    if takes_config(creator, env_config):
        return True
    parameters = inspect.signature(creator).parameters
    return "render_mode" in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())
