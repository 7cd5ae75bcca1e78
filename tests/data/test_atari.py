"""The DeepMind wrappers one by one, and what is put around Atari environments."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from ale_py import AtariEnv, AtariVectorEnv
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from anyspace import PPO
from anyspace.data import environments
from anyspace.data.atari import (
    LIFE_LOST,
    AtariOptions,
    ClipReward,
    EpisodicLife,
    FireReset,
    FrameStack,
    MaxAndSkip,
    NoopReset,
    NormalizedImage,
    WarpFrame,
    is_atari,
    wrap_deepmind,
)
from anyspace.data.environments import EnvSpec
from anyspace.data.sources import make_source
from anyspace.data.vector import VectorSource
from anyspace.errors import EnvironmentSetupError
from anyspace.spaces.encoding import spec
from anyspace.spaces.kinds.atari import AtariPixels, AtariRam
from anyspace.spaces.kinds.frames import StackedFrames

MEANINGS = ("NOOP", "FIRE", "UP", "DOWN")


class Fake(gym.Env[Any, Any]):
    """Games of told lengths and lives; frame t of a game shows t in one pixel and 10 minus t in another.

    Args:
        length: frames of a game.
        dies: frames, counted from 1, after which a life is lost; there are three.
        how: whether a game ends by "terminated" or "truncated".
        meanings: of the actions.
        in_place: write every frame into the same array.
    """

    observation_space = Box(0, 255, (2, 1), np.uint8)

    def __init__(
        self,
        length: int = 100,
        dies: tuple[int, ...] = (),
        how: str = "terminated",
        meanings: tuple[str, ...] = MEANINGS,
        in_place: bool = False,
    ):
        self.length, self.dies, self.how, self.meanings, self.in_place = length, dies, how, meanings, in_place
        self.action_space = Discrete(len(meanings))
        self.game, self.t = -1, 0
        self.pressed: list[Any] = []
        self._frame = np.zeros((2, 1), np.uint8)

    def get_action_meanings(self) -> list[str]:
        return list(self.meanings)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.game, self.t = self.game + 1, 0
        self.pressed = []
        return self._seen(), self._info()

    def step(self, action: Any) -> Any:
        self.pressed.append(action)
        self.t += 1
        over = self.t >= self.length
        reward = float(10 * self.t)
        return self._seen(), reward, over and self.how == "terminated", over and self.how == "truncated", self._info()

    def _seen(self) -> np.ndarray:
        if not self.in_place:
            self._frame = np.zeros((2, 1), np.uint8)
        self._frame[:, 0] = self.t, max(10 - self.t, 0)
        return self._frame

    def _info(self) -> dict[str, Any]:
        return {"lives": 3 - sum(self.t >= frame for frame in self.dies), "game": self.game}


# ------------------------------------------------------------------------------------------ one by one


@pytest.mark.spec(20)
def test_no_ops_are_uniform_in_1_to_30() -> None:
    fake = Fake()
    env = NoopReset(fake)
    env.reset(seed=5)
    counts = np.zeros(31, np.int64)
    for _ in range(1000):
        obs, info = env.reset()
        assert set(fake.pressed) == {0}
        assert (obs[0, 0], info["game"]) == (len(fake.pressed), fake.game)
        counts[len(fake.pressed)] += 1
    assert counts[0] == 0
    # Chi-squared of 30 cells: 57.1 is exceeded once in 700 draws.
    assert ((counts[1:] - 1000 / 30) ** 2 / (1000 / 30)).sum() < 57.1


def test_no_ops_follow_the_seed() -> None:
    def drawn(seed: int) -> list[int]:
        fake = Fake()
        env = NoopReset(fake)
        env.reset(seed=seed)
        found = [len(fake.pressed)]
        for _ in range(5):
            env.reset()
            found.append(len(fake.pressed))
        return found

    assert drawn(3) == drawn(3) != drawn(4)


def test_a_fixed_number_of_no_ops_and_a_game_that_ends_in_them() -> None:
    fake = Fake()
    assert [NoopReset(fake, noops=k).reset()[0][0, 0] for k in (0, 7)] == [0, 7]
    short = Fake(length=4)
    old = NoopReset(fake)
    old.override_num_noops = 3
    assert (old.reset()[0][0, 0], old.override_num_noops) == (3, 3)
    obs, info = NoopReset(short, noops=6).reset()
    assert (obs[0, 0], info["game"]) == (2, 1), "two of the six are played in the next game"


@pytest.mark.spec(21)
@pytest.mark.parametrize("in_place", [False, True])
def test_an_action_is_held_for_four_frames(in_place: bool) -> None:
    fake = Fake(in_place=in_place)
    env = MaxAndSkip(fake)
    env.reset()
    obs, reward, terminated, truncated, _ = env.step(3)
    assert fake.pressed == [3] * 4
    assert (reward, terminated, truncated) == (10 + 20 + 30 + 40, False, False)
    assert obs.tolist() == [[4], [7]], "the maximum of frames 3 and 4: 4 of (3, 4) and 7 of (7, 6)"
    again, *_ = env.step(1)
    assert again.tolist() == [[8], [3]]
    assert obs.tolist() == [[4], [7]], "what was handed out does not change"


@pytest.mark.parametrize("how", ["terminated", "truncated"])
@pytest.mark.parametrize(("length", "expected"), [(5, [[5], [5]]), (6, [[6], [5]]), (7, [[7], [4]])])
def test_a_game_that_ends_while_an_action_is_held(length: int, expected: list[list[int]], how: str) -> None:
    """Nothing of the frames before is left: 5 alone, 5 and 6, 6 and 7."""
    fake = Fake(length, how=how)
    env = MaxAndSkip(fake)
    env.reset()
    env.step(0)
    obs, reward, terminated, truncated, _ = env.step(0)
    assert obs.tolist() == expected
    assert reward == 10 * sum(range(5, length + 1))
    assert (terminated, truncated) == (how == "terminated", how == "truncated")


@pytest.mark.spec(22)
def test_a_lost_life_terminates_and_the_game_goes_on() -> None:
    fake = Fake(length=9, dies=(3, 7))
    env = EpisodicLife(fake)
    env.reset()
    ends = [env.step(1)[2:4] for _ in range(3)]
    assert ends == [(False, False), (False, False), (True, False)]
    obs, info = env.reset()
    assert (obs[0, 0], info["game"], fake.pressed) == (4, 0, [1, 1, 1, 0]), "one no-op, no new game"
    told = [env.step(1) for _ in range(3)]
    assert [(step[2], step[4][LIFE_LOST]) for step in told] == [(False, False), (False, False), (True, True)]
    env.reset()
    _, _, terminated, _, info = env.step(1)
    assert (fake.t, terminated, info[LIFE_LOST]) == (9, True, False)
    obs, info = env.reset()
    assert (obs[0, 0], info["game"]) == (0, 1), "the game was over: a new one"


def test_the_last_life_ends_the_game_by_itself() -> None:
    """Some games count to 0 some frames before they end: that is not yet the end of an episode."""
    env = EpisodicLife(Fake(length=5, dies=(2, 2, 2)))
    env.reset()
    told = [env.step(0) for _ in range(5)]
    assert [(step[2], step[4][LIFE_LOST]) for step in told] == [(False, False)] * 4 + [(True, False)]


@pytest.mark.parametrize(
    ("arguments", "steps", "seed"),
    [
        ({"length": 3, "dies": (3,)}, 3, None),
        ({"length": 3, "how": "truncated"}, 3, None),
        ({"dies": (3,)}, 2, None),
        ({"dies": (3,)}, 3, 7),
        ({"length": 4, "dies": (3,)}, 3, None),
    ],
    ids=["game over", "truncated", "in the middle", "seed", "over in the no-op"],
)
def test_what_starts_a_new_game(arguments: dict[str, Any], steps: int, seed: int | None) -> None:
    fake = Fake(**arguments)
    env = EpisodicLife(fake)
    env.reset()
    for _ in range(steps):
        env.step(0)
    obs, info = env.reset(seed=seed)
    assert (obs[0, 0], info["game"]) == (0, 1)


def test_fire_and_the_action_after_it_begin_an_episode() -> None:
    fake = Fake()
    obs, info = FireReset(fake).reset()
    assert (fake.pressed, obs[0, 0], info["game"]) == ([1, 2], 2, 0)


@pytest.mark.parametrize(("length", "pressed", "games"), [(1, [], 3), (2, [], 2)])
def test_a_game_that_ends_while_it_is_fired(length: int, pressed: list[int], games: int) -> None:
    fake = Fake(length=length)
    obs, _ = FireReset(fake).reset()
    assert (fake.pressed, fake.game + 1, obs[0, 0]) == (pressed, games, 0)


@pytest.mark.parametrize(
    ("wrapper", "meanings", "message"),
    [
        (NoopReset, ("FIRE", "UP"), "NoopReset needs action 0 to be NOOP, but the actions of Fake are FIRE, UP"),
        (FireReset, ("NOOP", "UP", "DOWN"), "FireReset needs action 1 to be FIRE, and one more, but .* NOOP, UP, DOWN"),
        (FireReset, ("NOOP", "FIRE"), "FireReset needs action 1 to be FIRE, and one more, but .* NOOP, FIRE"),
    ],
)
def test_wrappers_say_which_actions_they_need(wrapper: Any, meanings: tuple[str, ...], message: str) -> None:
    with pytest.raises(EnvironmentSetupError, match=message):
        wrapper(Fake(meanings=meanings))


class Screen(gym.Env[Any, Any]):
    """Shows one RGB screen."""

    observation_space = Box(0, 255, (210, 160, 3), np.uint8)
    action_space = Discrete(2)

    def __init__(self, screen: np.ndarray):
        self.screen = screen

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        return self.screen, {}

    def step(self, action: Any) -> Any:
        return self.screen, 0.0, False, False, {}


@pytest.mark.parametrize("dim", [84, 42])
def test_a_warped_frame_is_gray_and_small(dim: int) -> None:
    screen = np.random.default_rng(0).integers(0, 256, (210, 160, 3), dtype=np.uint8)
    env = WarpFrame(Screen(screen), dim)
    obs, _ = env.reset()
    assert env.observation_space == Box(0, 255, (dim, dim, 1), np.uint8)
    assert (obs.shape, obs.dtype) == ((dim, dim, 1), np.uint8)
    gray = screen @ np.array([0.299, 0.587, 0.114])
    rows, columns = (np.arange(dim + 1) * size / dim for size in (210, 160))
    # Areas by the integral of the picture, which is linear between whole coordinates.
    integral = np.pad(gray.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    at_rows = np.stack([np.interp(rows, np.arange(211), column) for column in integral.T], axis=1)
    at = np.stack([np.interp(columns, np.arange(161), row) for row in at_rows])
    means = np.diff(np.diff(at, axis=0), axis=1) / (210 / dim * 160 / dim)
    np.testing.assert_allclose(obs[..., 0], means, atol=1.01)


@pytest.mark.spec(24)
@pytest.mark.parametrize("in_place", [False, True])
def test_a_stack_begins_with_one_frame_four_times_and_moves_on_by_one(in_place: bool) -> None:
    env = FrameStack(Fake(in_place=in_place))
    assert env.observation_space == StackedFrames(0, 255, (2, 4), stack=4)
    first, _ = env.reset()
    seen = [first, *(env.step(0)[0] for _ in range(5))]
    assert [obs[0].tolist() for obs in seen] == [
        [0, 0, 0, 0],
        [0, 0, 0, 1],
        [0, 0, 1, 2],
        [0, 1, 2, 3],
        [1, 2, 3, 4],
        [2, 3, 4, 5],
    ]
    assert seen[4][1].tolist() == [9, 8, 7, 6]
    assert env.reset()[0].tolist() == [[0] * 4, [10] * 4]


def test_frames_of_several_channels_are_stacked_whole() -> None:
    screen = np.random.default_rng(0).integers(0, 256, (210, 160, 3), dtype=np.uint8)
    source = Screen(screen)
    env = FrameStack(source, stack=2)
    np.testing.assert_array_equal(env.reset()[0], np.concatenate([screen, screen], axis=-1))
    source.screen = screen + 1
    np.testing.assert_array_equal(env.step(0)[0], np.concatenate([screen, screen + 1], axis=-1))


def test_wrappers_that_are_not_in_the_stack() -> None:
    env = ClipReward(Fake())
    env.reset()
    assert env.step(0)[1] == 1.0
    assert [env.reward(value) for value in (-7, 0.0, 0.2)] == [-1, 0, 1]
    normalized = NormalizedImage(Fake(length=1000))
    normalized.unwrapped.t = 191  # type: ignore[attr-defined]
    obs, *_ = normalized.step(0)
    assert obs.dtype == np.float32
    assert obs[:, 0].tolist() == [192 / 128 - 1, -1.0]
    assert obs in normalized.observation_space


# -------------------------------------------------------------------------------------- the whole stack


def layers(env: gym.Env[Any, Any]) -> list[str]:
    """The wrappers of ours, innermost first."""
    found = []
    while isinstance(env, gym.Wrapper):
        found.append(type(env))
        env = env.env
    return [kind.__name__ for kind in reversed(found) if kind.__module__ == "anyspace.data.atari"]


STACK = ["NoopReset", "MaxAndSkip", "EpisodicLife", "FireReset", "WarpFrame", "FrameStack"]


@pytest.mark.spec(19)
def test_breakout_gets_the_deepmind_stack() -> None:
    env = EnvSpec("ALE/Breakout-v5", {"frameskip": 1}).make()
    assert layers(env) == STACK
    assert env.observation_space == StackedFrames(0, 255, (84, 84, 4), stack=4)
    obs, _ = env.reset(seed=0)
    assert (obs.shape, obs.dtype) == ((84, 84, 4), np.uint8)
    assert 0 < obs.max() <= 255


@pytest.mark.spec(23)
def test_fire_is_pressed_only_where_it_exists() -> None:
    assert "FireReset" in layers(EnvSpec("ALE/Pong-v5").make())
    freeway = EnvSpec("ALE/Freeway-v5").make()
    assert freeway.unwrapped.get_action_meanings() == ["NOOP", "UP", "DOWN"]  # type: ignore[attr-defined]
    assert "FireReset" not in layers(freeway)


@pytest.mark.parametrize(
    ("env_config", "skips"),
    [({}, False), ({"frameskip": 4}, False), ({"frameskip": 1}, True), ({"frameskip": (2, 5)}, False)],
)
def test_frames_are_not_skipped_twice(env_config: dict[str, Any], skips: bool) -> None:
    assert ("MaxAndSkip" in layers(EnvSpec("ALE/Pong-v5", env_config).make())) is skips


@pytest.mark.spec(25)
def test_without_frame_stacks() -> None:
    env = EnvSpec("ALE/Breakout-v5", {"frameskip": 1}, atari=AtariOptions(framestack=False, dim=42)).make()
    assert layers(env) == STACK[:-1]
    assert env.observation_space == Box(0, 255, (42, 42, 1), np.uint8)
    assert EnvSpec("ALE/Breakout-v5", atari=AtariOptions(framestack=False)).make().reset()[0].shape == (84, 84, 1)


def played_in_gray_and_in_color(options: AtariOptions) -> list[list[np.ndarray]]:
    """What both screens show of the same 30 steps, as it is stored."""
    found = []
    for kind in ("grayscale", "rgb"):
        settings = {"frameskip": 1, "obs_type": kind, "repeat_action_probability": 0.0}
        env = EnvSpec("ALE/Breakout-v5", settings, atari=options).make()
        seen = [env.reset(seed=0)[0], *(env.step(action)[0] for action in (1, 2, 2, 3, 0) * 6)]
        found.append([spec(env.observation_space)[0].warp(obs) for obs in seen] if options.pref == "rllib" else seen)
    return found


def test_a_gray_screen_gets_the_deepmind_stack() -> None:
    """The console weighs its colours by itself, which differs by rounding."""
    assert layers(EnvSpec("ALE/Breakout-v5", {"frameskip": 1, "obs_type": "grayscale"}).make()) == STACK
    gray, color = played_in_gray_and_in_color(AtariOptions())
    assert {obs.shape for obs in gray} == {(84, 84, 4)}
    np.testing.assert_allclose(np.array(gray, int), np.array(color, int), atol=2)


def test_a_gray_screen_gets_the_pipeline_of_rllib() -> None:
    """Gray is the mean of the colours there, not what the console shows."""
    options = AtariOptions("rllib", dim=42)
    env = EnvSpec("ALE/Breakout-v5", {"obs_type": "grayscale"}, atari=options).make()
    assert env.observation_space == AtariPixels((210, 160), dim=42)
    gray, color = played_in_gray_and_in_color(options)
    assert {obs.shape for obs in gray} == {(42, 42, 1)}
    weighed = np.array(color) @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(np.array(gray)[..., 0], weighed, atol=2)


def test_a_game_without_a_no_op() -> None:
    env = EnvSpec("ALE/Backgammon-v5", {"frameskip": 1}).make()
    assert layers(env) == ["MaxAndSkip", "EpisodicLife", "WarpFrame", "FrameStack"]
    env.reset(seed=0)
    assert env.step(0)[0].shape == (84, 84, 4)


def test_continuous_actions() -> None:
    env = EnvSpec("ALE/Breakout-v5", {"frameskip": 1, "continuous": True}).make()
    assert layers(env) == STACK
    env.reset(seed=0)
    assert env.step(env.action_space.sample())[0].shape == (84, 84, 4)
    frames = []
    for kind in ({"continuous": True}, {"full_action_space": True}):
        stick = AtariEnv("breakout", frameskip=1, repeat_action_probability=0.0, **kind)  # type: ignore[arg-type]
        frames.append(wrap_deepmind(stick, noops=3).reset(seed=0)[0])
    np.testing.assert_array_equal(*frames)


# --------------------------------------------------------------------------------------- what is Atari


def test_the_pipeline_of_rllib_leaves_the_screen_as_it_is() -> None:
    options = AtariOptions("rllib", dim=42, grayscale=True, zero_mean=False)
    env = EnvSpec("ALE/Breakout-v5", atari=options).make()
    assert env.observation_space == AtariPixels(dim=42, grayscale=True, zero_mean=False)
    assert layers(env) == ["Declared"]
    obs, _ = env.reset(seed=0)
    assert obs.shape == (210, 160, 3)
    tall = EnvSpec("ALE/AirRaid-v5", atari=options).make()
    assert tall.observation_space == AtariPixels((250, 160, 3), dim=42, grayscale=True, zero_mean=False)


@pytest.mark.parametrize("pref", ["deepmind", "rllib"])
def test_memory_is_declared(pref: Any) -> None:
    env = EnvSpec("ALE/Breakout-v5", {"obs_type": "ram"}, atari=AtariOptions(pref)).make()
    assert env.observation_space == AtariRam()
    assert env.reset(seed=0)[0] in env.observation_space


class Lookalike(Screen):
    """No Atari, whatever its shapes."""

    def __init__(self, shape: tuple[int, ...] = (210, 160, 3)):
        self.observation_space = Box(0, 255, shape, np.uint8)
        super().__init__(self.observation_space.sample())


@pytest.mark.spec(34)
@pytest.mark.parametrize("shape", [(128,), (210, 160, 3)], ids=str)
@pytest.mark.parametrize("pref", ["deepmind", "rllib"])
def test_a_shape_does_not_make_an_environment_atari(shape: tuple[int, ...], pref: Any) -> None:
    env = EnvSpec(Lookalike, {"shape": shape}, atari=AtariOptions(pref)).make()
    assert type(env) is Lookalike
    assert not is_atari(env)


def test_an_id_does_not_make_an_environment_atari(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environments, "_creators", {"ALE/Pong-v5": Lookalike})
    assert type(EnvSpec("ALE/Pong-v5").make()) is Lookalike
    assert not make_source(EnvSpec("ALE/Pong-v5"), 1).is_atari


def halved(env: Any) -> Any:
    return gym.wrappers.TransformObservation(env, lambda obs: obs[::2], Box(0, 255, (105, 160, 3), np.uint8))


@pytest.mark.parametrize(
    "spec",
    [
        EnvSpec("ALE/Breakout-v5", atari=AtariOptions(None)),
        EnvSpec("ALE/Breakout-v5", {"obs_type": "ram"}, atari=AtariOptions(None)),
        EnvSpec("ALE/Breakout-v5", {"sound_obs": True}),
        EnvSpec("ALE/Breakout-v5", wrappers=[halved]),
        EnvSpec("ALE/Breakout-v5", wrappers=[halved], atari=AtariOptions("rllib")),
    ],
    ids=["switched off", "memory, switched off", "sound", "wrapped", "wrapped, rllib"],
)
def test_what_is_left_alone(spec: EnvSpec) -> None:
    env = spec.make()
    assert layers(env) == []
    assert is_atari(env)


@pytest.mark.parametrize(
    "env",
    [
        AtariEnv,
        lambda: AtariEnv("breakout", frameskip=1),
        "BreakoutNoFrameskip-v4",
    ],
    ids=["class", "function", "old id"],
)
def test_however_it_is_given(env: Any) -> None:
    config = {"game": "breakout", "frameskip": 1} if env is AtariEnv else {}
    made = EnvSpec(env, config).make()
    assert layers(made) == STACK
    made.reset(seed=0)
    assert made.step(0)[0].shape == (84, 84, 4)


@pytest.mark.parametrize("made", [False, True], ids=["built", "made"])
def test_an_instance_is_copied_and_wrapped(made: bool) -> None:
    env = gym.make("ALE/Breakout-v5", frameskip=1) if made else AtariEnv("breakout", frameskip=1)
    copied = EnvSpec(env).make()
    assert copied.unwrapped is not env.unwrapped
    assert layers(copied) == STACK
    copied.reset(seed=0)
    assert copied.step(0)[0].shape == (84, 84, 4)


def test_wrappers_that_keep_the_screen_go_inside() -> None:
    spec = EnvSpec("ALE/Breakout-v5", {"frameskip": 1}, [gym.wrappers.RecordEpisodeStatistics])
    env = spec.make()
    assert layers(env) == STACK
    assert env.has_wrapper_attr("return_queue")


@pytest.mark.parametrize("vectorization", ["native", "sync", "async"])
@pytest.mark.parametrize("pref", ["deepmind", "rllib", None])
def test_sources_know_that_they_are_atari(vectorization: Any, pref: Any) -> None:
    spec = EnvSpec("ALE/Breakout-v5", {"obs_type": "ram"} if pref is None else {}, atari=AtariOptions(pref))
    if vectorization == "native" and pref != "deepmind":
        with pytest.raises(EnvironmentSetupError, match="ALE/Breakout-v5 has no vector environment of its own that"):
            make_source(spec, 2, vectorization)
        return
    source = make_source(spec, 2, vectorization)
    try:
        assert source.is_atari
        assert source.reset(0)[0].shape == (2, *source.observation_space.shape)  # type: ignore[misc]
    finally:
        source.close()


def test_a_given_vector_environment_is_atari_too() -> None:
    assert VectorSource(AtariVectorEnv("breakout", 2)).is_atari
    assert not make_source(EnvSpec("CartPole-v1"), 2).is_atari
    assert not make_source(EnvSpec("CartPole-v1"), 2, "sync").is_atari


def test_an_id_brings_its_package_in() -> None:
    code = (
        "import sys\n"
        "from anyspace.data.environments import EnvSpec\n"
        "assert 'ale_py' not in sys.modules\n"
        "print(EnvSpec('ALE/Pong-v5').make().observation_space.shape)"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "(84, 84, 4)"


@pytest.mark.parametrize("vectorization", ["auto", "sync"])
def test_without_the_package(monkeypatch: pytest.MonkeyPatch, vectorization: Any) -> None:
    others = {name: spec for name, spec in gym.registry.items() if not name.startswith("ALE/")}
    monkeypatch.setattr(gym.envs.registration, "registry", others)
    monkeypatch.setattr(gym, "registry", others)
    monkeypatch.setitem(sys.modules, "ale_py", None)
    with pytest.raises(EnvironmentSetupError, match=r"'ALE/Pong-v5' is an Atari.*pip install 'anyspace\[atari\]'"):
        make_source(EnvSpec("ALE/Pong-v5"), 1, vectorization)
    assert not is_atari(gym.make("CartPole-v1"))


def test_an_unknown_game_names_the_nearest() -> None:
    with pytest.raises(EnvironmentSetupError, match=r"'ALE/Pnog-v5'.* Did you mean .*'ALE/Pong-v5'"):
        EnvSpec("ALE/Pnog-v5").make()


# -------------------------------------------------------------------------------------- lives and games


@pytest.mark.parametrize("mode", list(AutoresetMode), ids=lambda mode: mode.name)
def test_sources_tell_lost_lives_from_finished_games(mode: AutoresetMode) -> None:
    """Both games lose a life in frames 2 and 5; one is over in frame 8, the other is cut in frame 5."""
    envs = [EpisodicLife(Fake(8, (2, 5))), EpisodicLife(Fake(5, (2, 5), "truncated"))]
    source = VectorSource(SyncVectorEnv([lambda env=env: env for env in envs], autoreset_mode=mode))  # type: ignore[misc]
    source.reset()
    steps = [source.step(np.zeros(2, np.int64)) for _ in range(7)]
    valid = ~np.array([step.ignored for step in steps])
    ends = np.array([(step.terminated | step.truncated) for step in steps])
    lost = np.array([step.life_lost for step in steps])
    assert not lost[~ends].any()
    assert [lost[:, b][ends[:, b] & valid[:, b]].tolist() for b in range(2)] == [
        [True, True, False][: 2 if mode is AutoresetMode.NEXT_STEP else 3],
        [True, False, True] if mode is not AutoresetMode.NEXT_STEP else [True, False],
    ]


def test_an_algorithm_passes_its_configuration_on() -> None:
    model = {"dim": 42, "grayscale": True, "zero_mean": False, "fcnet_hiddens": [4]}
    settings: dict[str, Any] = {"train_batch_size": 8, "minibatch_size": 8, "env_config": {"obs_type": "ram"}}
    spec = PPO("ALE/Breakout-v5", {**settings, "model": model, "preprocessor_pref": "rllib"}, preset="none").env_spec
    assert spec.atari == AtariOptions("rllib", dim=42, grayscale=True, zero_mean=False)
    small: dict[str, Any] = {**settings, "model": {"fcnet_hiddens": [4], "framestack": False}}
    assert PPO("ALE/Breakout-v5", small, preset="none").env_spec.atari == AtariOptions(framestack=False)
