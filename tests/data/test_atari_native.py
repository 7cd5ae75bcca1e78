"""The fast way to play Atari games shows and pays what the wrappers do."""

from __future__ import annotations

from typing import Any

import ale_py
import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from anyspace.data.atari import AtariOptions, wrap_deepmind
from anyspace.data.atari_native import Console, ConsoleVector, is_console, native_envs, native_settings
from anyspace.data.environments import EnvSpec
from anyspace.data.sources import make_source
from anyspace.data.vector import VectorSource

gym.register_envs(ale_py)

B = 2


def settings_of(name: str, **env_config: Any) -> dict[str, Any]:
    found = native_settings(gym.spec(f"ALE/{name}-v5"), {"repeat_action_probability": 0.0, **env_config})
    assert found is not None
    return found


def both(name: str, options: AtariOptions, **env_config: Any) -> tuple[VectorSource, VectorSource]:
    """The wrappers and the fast way, without no-ops."""
    settings = settings_of(name, **env_config)

    def wrapped() -> gym.Env[Any, Any]:
        env = gym.make(f"ALE/{name}-v5", disable_env_checker=True, **settings)
        return wrap_deepmind(env, dim=options.dim, framestack=options.framestack, noops=0)

    slow = SyncVectorEnv([wrapped] * B, copy=False, autoreset_mode=AutoresetMode.SAME_STEP)
    return VectorSource(slow), VectorSource(native_envs(settings, options, B, noops=0))


@pytest.mark.parametrize(
    ("name", "options", "env_config", "steps", "ends"),
    [
        ("Breakout", AtariOptions(), {"frameskip": 1}, 300, {"lives", "games"}),
        (
            "Freeway",
            AtariOptions(dim=42, framestack=False),
            {"frameskip": 1, "max_num_frames_per_episode": 203},
            60,
            {"cut"},
        ),
        ("AirRaid", AtariOptions(), {"frameskip": 4}, 60, set()),
        ("Qbert", AtariOptions(), {"frameskip": 4, "full_action_space": True}, 60, set()),
        ("Pong", AtariOptions(), {"frameskip": 3, "max_num_frames_per_episode": 201}, 80, {"cut"}),
        ("Breakout", AtariOptions(), {"frameskip": 1, "continuous": True}, 100, {"lives"}),
        *(
            pytest.param(name, AtariOptions(), settings, steps, ends, marks=pytest.mark.fuzz)
            for name, settings, steps, ends in [
                ("Breakout", {"frameskip": 1}, 1000, {"lives", "games"}),
                ("SpaceInvaders", {"frameskip": 1}, 1000, {"lives", "games"}),
                ("AirRaid", {"frameskip": 4}, 1000, {"games"}),
                ("Qbert", {"frameskip": 4, "full_action_space": True}, 400, {"lives", "games"}),
            ]
        ),
    ],
    ids=[
        *("breakout", "no fire", "tall screen", "no maximum", "frames left over", "continuous"),
        *("breakout for long", "space invaders", "tall screen for long", "no maximum for long"),
    ],
)
def test_both_ways_show_and_pay_the_same(
    name: str, options: AtariOptions, env_config: dict[str, Any], steps: int, ends: set[str]
) -> None:
    """Every pixel is equal, except in the newest frame of a game's last observation."""
    slow, fast = both(name, options, **env_config)
    assert slow.observation_space == fast.observation_space
    assert slow.action_space == fast.action_space
    expected, came = (source.reset(seed=1)[0] for source in (slow, fast))
    np.testing.assert_array_equal(expected, came)
    slow.envs.action_space.seed(0)
    seen = set()
    for _ in range(steps):
        actions = slow.envs.action_space.sample()
        expected, came = slow.step(actions), fast.step(actions)
        for part in ("obs", "rewards", "terminated", "truncated", "ended", "life_lost"):
            np.testing.assert_array_equal(getattr(expected, part), getattr(came, part), err_msg=part)
        if not len(expected.ended):
            continue
        lost = expected.life_lost[expected.ended]
        np.testing.assert_array_equal(expected.final_obs[lost], came.final_obs[lost])
        np.testing.assert_array_equal(expected.final_obs[..., :-1], came.final_obs[..., :-1])
        np.testing.assert_array_equal(expected.infos["lives"], came.infos["lives"])
        seen |= {"lives"} if lost.any() else set()
        seen |= {"games"} if (expected.terminated & ~expected.life_lost).any() else set()
        seen |= {"cut"} if expected.truncated.any() else set()
    assert seen >= ends


def test_the_first_frames_of_games_vary() -> None:
    """0 to 30 frames without an action, drawn anew for each game and each environment."""
    fast = VectorSource(native_envs(settings_of("Freeway", frameskip=1), AtariOptions(framestack=False), 4))
    starts = [frame.tobytes() for _ in range(6) for frame in fast.reset()[0]]
    assert len(set(starts)) > 6
    still = VectorSource(native_envs(settings_of("Freeway", frameskip=1), AtariOptions(framestack=False), 4, noops=0))
    assert len({frame.tobytes() for _ in range(3) for frame in still.reset()[0]}) == 1


def test_seeds_repeat() -> None:
    """Sticky actions and no-ops included."""

    def played(seed: int) -> list[np.ndarray]:
        fast = VectorSource(native_envs(settings_of("Pong", repeat_action_probability=0.25), AtariOptions(), 2))
        obs = [fast.reset(seed)[0].copy()]
        return obs + [fast.step(np.full(2, action)).obs.copy() for action in (2, 3, 2, 2, 3, 3) * 5]

    first, second, other = played(3), played(3), played(4)
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)
    assert not np.array_equal(first[-1][0], first[-1][1]), "environments are seeded apart"


def test_an_interrupted_step_is_not_mixed_up_with_the_next() -> None:
    fast = native_envs(settings_of("Breakout", frameskip=1), AtariOptions(), 2, noops=0)
    first = fast.reset(seed=0)[0].copy()
    for env in fast.envs:
        env.unwrapped.start(1)  # type: ignore[attr-defined]
    np.testing.assert_array_equal(fast.reset(seed=0)[0], first)
    assert fast.step(np.zeros(2, np.int64))[0].shape == (2, 84, 84, 4)


def test_a_console_alone() -> None:
    console = Console(settings_of("Breakout", frameskip=1), draw_noops=False)
    obs, info = console.reset(seed=0)
    assert obs in console.observation_space
    assert info == {"lives": 5}
    assert console.get_action_meanings() == ["NOOP", "FIRE", "RIGHT", "LEFT"]
    obs, reward, terminated, truncated, info = console.step(1)
    assert obs in console.observation_space
    assert (reward, terminated, truncated, info) == (0.0, False, False, {"lives": 5})


@pytest.mark.parametrize(
    "env_config",
    [
        {"mode": 4},
        {"difficulty": 1},
        {"obs_type": "ram"},
        {"frameskip": (2, 5)},
        {"max_num_frames_per_episode": None},
        {"max_episode_steps": 10},
        {"render_mode": "rgb_array"},
        {"sound_obs": True},
    ],
    ids=str,
)
def test_settings_that_only_single_environments_know(env_config: dict[str, Any]) -> None:
    assert native_settings(gym.spec("ALE/Breakout-v5"), env_config) is None
    source = make_source(EnvSpec("ALE/Breakout-v5", env_config), 2)
    assert not isinstance(source.envs, ConsoleVector)
    source.reset(0)
    assert source.step(np.zeros(2, np.int64)).rewards.shape == (2,)


@pytest.mark.parametrize(
    ("spec", "native"),
    [
        (EnvSpec("ALE/Breakout-v5"), True),
        (EnvSpec("ALE/Breakout-v5", {"frameskip": 1, "full_action_space": True}), True),
        (EnvSpec("BreakoutNoFrameskip-v4"), True),
        (EnvSpec("Breakout-v4"), False),
        (EnvSpec("ALE/Breakout-v5", wrappers=[gym.wrappers.RecordEpisodeStatistics]), False),
        (EnvSpec("ALE/Breakout-v5", atari=AtariOptions("rllib")), False),
        (EnvSpec("ALE/Breakout-v5", atari=AtariOptions(None)), False),
    ],
    ids=["id", "settings", "old id", "frameskip by chance", "wrapped", "rllib", "switched off"],
)
def test_where_the_fast_way_is_taken(spec: EnvSpec, native: bool) -> None:
    source, single = make_source(spec, 2), make_source(spec, 2, "sync")
    assert isinstance(source.envs, ConsoleVector) is native
    assert source.observation_space == single.observation_space
    assert source.action_space == single.action_space
    assert source.is_atari
    assert is_console(gym.spec(str(spec.env)))


def test_what_is_no_atari_goes_its_own_way() -> None:
    assert not is_console(gym.spec("CartPole-v1"))
