"""An environment that shows itself in a window."""

from __future__ import annotations

import inspect
from dataclasses import replace

import gymnasium as gym

from anyspace.data.environments import EnvSpec, takes_config
from anyspace.errors import EnvironmentSetupError


def shown(spec: EnvSpec) -> EnvSpec:
    """Return an environment as one that shows itself in a window, by Gymnasium's render mode "human".

    Raises:
        EnvironmentSetupError: it has no such mode, or none can be asked for; names the modes that it has.
    """
    if isinstance(spec.env, gym.vector.VectorEnv):
        raise EnvironmentSetupError(
            "render=True shows a single environment, but a vector environment was given; give a Gymnasium id, a class"
            " or a function to Algorithm.load(path, env=...)."
        )
    env = spec.make()
    modes, mode = list(env.metadata.get("render_modes") or ()), env.render_mode
    env.close()
    by_gymnasium = not isinstance(spec.env, gym.Env) and spec.registered() is not None
    # Gymnasium puts a window around ids that give pictures.
    if "human" not in modes and not (by_gymnasium and "rgb_array" in modes):
        there = f"its render modes are {', '.join(map(repr, modes))}" if modes else "it has no render modes"
        raise EnvironmentSetupError(
            f"render=True needs the render mode 'human', which {spec.name} lacks: {there}. Add 'human' to"
            ' metadata["render_modes"] of the environment, and draw a window in its step.'
        )
    if isinstance(spec.env, gym.Env) and spec.env.spec is None:
        if mode == "human":
            return spec
        raise EnvironmentSetupError(
            f"render=True needs an environment made with render_mode='human', but the instance of {spec.name} was made"
            f" with {mode!r}; give its class, or an instance with that mode."
        )
    if callable(spec.env) and not _takes_render_mode(spec):
        raise EnvironmentSetupError(
            f"render=True hands render_mode='human' to {spec.name}, which takes no `render_mode` (its render modes are"
            f" {', '.join(map(repr, modes))}); add the argument."
        )
    return replace(spec, env_config={**spec.env_config, "render_mode": "human"})


def _takes_render_mode(spec: EnvSpec) -> bool:
    assert callable(spec.env)
    if takes_config(spec.env):
        return True
    parameters = inspect.signature(spec.env).parameters
    return "render_mode" in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())
