"""Whether an environment can show itself is known before an episode is played."""

from __future__ import annotations

import os
import sys
from typing import Any, ClassVar

import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import SyncVectorEnv

from anyspace import PPO
from anyspace.data.environments import EnvSpec
from anyspace.data.rendering import filmed, pictured, shown
from anyspace.errors import EnvironmentSetupError
from tests.support.environments import Samples


class Pictures(Samples):
    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array", "ansi"]}  # type: ignore[misc]

    def __init__(self, render_mode: str | None = None):
        super().__init__(Box(-1, 1, (1,)), Discrete(2))
        self.render_mode = render_mode


class Window(Pictures):
    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["human", "rgb_array"]}  # type: ignore[misc]
    shown: ClassVar[list[str | None]] = []

    def step(self, action: Any) -> Any:
        self.shown.append(self.render_mode)
        return super().step(action)


class Takes(Window):
    def __init__(self) -> None:
        super().__init__()


@pytest.mark.parametrize(
    ("env", "message"),
    [
        (Pictures, "needs the render mode 'human', which Pictures lacks: its render modes are 'rgb_array', 'ansi'"),
        (lambda: Samples(Box(-1, 1, (1,)), Discrete(2)), "lacks: it has no render modes"),
        (Takes, "Takes, which takes no `render_mode`.*'human', 'rgb_array'"),
        (lambda: Window(), "which takes no `render_mode`"),
        (Window(), "the instance of Window was made with None"),
        (SyncVectorEnv([Window]), "a vector environment was given"),
    ],
)
def test_what_cannot_be_shown_is_refused(env: Any, message: str) -> None:
    with pytest.raises(EnvironmentSetupError, match=f"render=True.*{message}"):
        PPO(env).evaluate(1, render=True)


@pytest.mark.parametrize(
    "env", [Window, lambda render_mode=None: Window(render_mode), lambda config: Window(config.get("render_mode"))]
)
def test_what_has_a_window_is_shown(env: Any) -> None:
    Window.shown.clear()
    algo = PPO(Window)
    algo._env_spec = EnvSpec(env)
    algo.evaluate(1, render=True)
    assert Window.shown == ["human"] * 2


def test_an_instance_with_a_window_and_an_id_with_pictures() -> None:
    spec = EnvSpec(Window("human"))
    assert shown(spec) is spec
    assert shown(EnvSpec("CartPole-v1")).env_config == {"render_mode": "human"}


class Always(Window):
    def __init__(self) -> None:
        super().__init__("human")


@pytest.mark.parametrize("env", [Always, Always.__qualname__])
def test_a_class_that_has_the_mode_by_itself_is_shown_as_it_is(env: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = EnvSpec(f"{__name__}:{env}" if isinstance(env, str) else env)
    assert shown(spec) is spec


def test_a_path_of_a_class_without_the_argument_is_refused_like_the_class() -> None:
    with pytest.raises(EnvironmentSetupError, match=r"Takes, which takes no `render_mode`.*add the argument"):
        shown(EnvSpec(f"{__name__}:Takes"))


@pytest.mark.parametrize(
    ("display", "before", "after"), [(None, None, "egl"), (":0", None, None), (None, "osmesa", "osmesa")]
)
def test_mujoco_is_told_to_draw_without_a_display(
    monkeypatch: pytest.MonkeyPatch, display: str | None, before: str | None, after: str | None
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    for name, value in (("DISPLAY", display), ("WAYLAND_DISPLAY", None), ("MUJOCO_GL", before)):
        monkeypatch.setenv(name, value or "")  # so that what was there comes back
        if value is None:
            monkeypatch.delenv(name)
    pictured(EnvSpec("CartPole-v1"))
    assert os.environ.get("MUJOCO_GL") == after


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 1), (2, 3, 3), (2, 3, 4)])
def test_gray_and_transparent_pictures_are_taken(shape: tuple[int, ...]) -> None:
    drawn = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)

    class Draws(Pictures):
        def render(self) -> Any:
            return drawn

    found: list[Any] = []
    env = filmed(EnvSpec(Draws), lambda picture, number: found.append(picture)).make()
    env.reset()
    env.step(env.action_space.sample())
    colours = drawn[..., :3] if len(shape) == 3 else drawn[..., None]
    np.testing.assert_array_equal(found[0], np.broadcast_to(colours, (2, 3, 3)))


@pytest.mark.parametrize(
    ("told", "rate"),
    [(5, 5.0), (np.float32(5), 5.0), (np.int64(5), 5.0), (np.inf, 30.0), (np.nan, 30.0), (0, 30.0), (None, 30.0)],
)
def test_pictures_per_second_are_what_the_environment_says(told: Any, rate: float) -> None:
    class Told(Pictures):
        metadata: ClassVar[dict[str, Any]] = {**Pictures.metadata, "render_fps": told}

        def render(self) -> Any:
            return np.zeros((2, 2, 3), np.uint8)

    found: list[float] = []
    env = filmed(EnvSpec(Told), lambda picture, number: found.append(number)).make()
    env.reset()
    env.step(env.action_space.sample())
    assert set(found) == {rate}
