"""One interface over every vector environment."""

from __future__ import annotations

import copy
import os
import signal
from contextlib import closing
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv
from gymnasium.spaces import Box, Dict, Discrete, Sequence, Tuple
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv
from gymnasium.vector.utils import batch_space
from gymnasium.wrappers import vector as vector_wrappers

from anyspace.data import environments
from anyspace.data.environments import EnvSpec, register_env
from anyspace.data.sources import make_separate_source, make_source
from anyspace.data.vector import Step, VectorSource
from anyspace.errors import EnvironmentSetupError, ObservationError
from anyspace.spaces import Repeated
from tests.support.environments import Dice, Samples, Script
from tests.support.scripted import KINDS, MODES, scripts, vector_env

every_mode = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)


def copied(step: Step) -> Step:
    """Return a step whose arrays no later step is written into."""
    return copy.deepcopy(step)


@every_mode
@pytest.mark.parametrize("kind", KINDS)
def test_every_way_to_reset_is_told_apart(mode: AutoresetMode, kind: str) -> None:
    """Environments 0, 1 and 2 begin with episodes of 3, 1 and 4 steps; 1 goes on with one of 4."""
    source = VectorSource(vector_env(mode, kind))
    assert (source.num_envs, source.mode) == (3, mode)
    first, _ = source.reset(seed=1)
    np.testing.assert_array_equal(first["where"], [[0, 0, 0], [1, 0, 0], [2, 0, 0]])
    actions = np.ones(3, np.int64)
    steps = [copied(source.step(actions)) for _ in range(3)]
    np.testing.assert_array_equal([step.truncated for step in steps], [[0, 1, 0], [0, 0, 0], [0, 0, 0]])
    np.testing.assert_array_equal([step.terminated for step in steps], [[0, 0, 0], [0, 0, 0], [1, 0, 0]])
    assert {array.dtype for step in steps for array in (step.terminated, step.truncated)} == {np.dtype(np.bool_)}
    assert steps[0].rewards.dtype == np.float32
    np.testing.assert_array_equal(steps[0].rewards, [0.5, 1.5, 2.5])
    if mode is AutoresetMode.NEXT_STEP:
        np.testing.assert_array_equal([step.ignored for step in steps], [[0, 0, 0], [0, 1, 0], [0, 0, 0]])
        assert all(len(step.ended) == 0 and step.final_obs is None for step in steps)
    else:
        assert not np.any([step.ignored for step in steps])
        assert [step.ended.tolist() for step in steps] == [[1], [], [0]]
        np.testing.assert_array_equal(steps[0].final_obs["where"], [[1, 0, 1]])
        np.testing.assert_array_equal(steps[2].final_obs["where"], [[0, 0, 3]])
        np.testing.assert_array_equal(steps[0].final_obs["last"], [1])
        np.testing.assert_array_equal(steps[2].obs["where"], [[0, 1, 0], [1, 1, 2], [2, 0, 3]])


@every_mode
def test_a_reset_forgets_that_an_episode_had_ended(mode: AutoresetMode) -> None:
    source = VectorSource(vector_env(mode))
    source.reset()
    source.step(np.zeros(3, np.int64))
    source.reset()
    assert not source.step(np.zeros(3, np.int64)).ignored.any()


@pytest.mark.parametrize("vectorization", ["sync", "async"])
def test_environments_may_write_every_observation_into_one_array(vectorization: Any) -> None:
    source = make_source(EnvSpec(Script, {"in_place": True}), 2, vectorization)
    try:
        source.reset()
        for _ in range(3):
            step = source.step(np.zeros(2, np.int64))
        np.testing.assert_array_equal(step.ended, [0, 1])
        np.testing.assert_array_equal(step.final_obs["where"], [[0, 0, 3]] * 2)
        np.testing.assert_array_equal(step.obs["where"], [[0, 1, 0]] * 2)
    finally:
        source.close()


class Shared(gym.Env[Any, Any]):
    """Counts the instances of it and its steps, in one place for all its instances."""

    observation_space, action_space = Box(0, 99, (2,)), Discrete(2)

    def __init__(self, place: Any, number: int) -> None:
        self.place, self.number = place, number

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        self.t = 0
        return self._look(), {}

    def _look(self) -> Any:
        self.place[:] = [self.number, self.t]
        return self.place

    def step(self, action: Any) -> Any:
        self.t += 1
        return self._look(), 0.0, self.t == 2, False, {}


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize(
    "place", [np.zeros(2, np.float32), np.zeros(2), [0.0, 0.0]], ids=["float32", "float64", "list"]
)
def test_all_environments_may_write_into_one_array(place: Any, given: bool) -> None:
    numbers = iter(range(4))

    def make() -> Shared:
        return Shared(place, next(numbers))

    envs = SyncVectorEnv([make, make], autoreset_mode=AutoresetMode.SAME_STEP) if given else make
    with closing(make_source(EnvSpec(envs), 2)) as source:
        np.testing.assert_array_equal(source.reset()[0], [[0, 0], [1, 0]])
        np.testing.assert_array_equal(source.step(np.zeros(2, np.int64)).obs, [[0, 1], [1, 1]])
        step = source.step(np.zeros(2, np.int64))
        np.testing.assert_array_equal(step.final_obs, [[0, 2], [1, 2]])
        np.testing.assert_array_equal(step.obs, [[0, 0], [1, 0]])


TWICE = r"environment 0: this Script was given out a second time.*`lambda: Script\(\.\.\.\)` does"


@pytest.mark.parametrize("given", [False, True])
def test_one_environment_does_not_stand_for_several(given: bool) -> None:
    one = Script()
    envs = SyncVectorEnv([lambda: one] * 2) if given else lambda: one
    with (
        closing(make_source(EnvSpec(envs), 2)) as source,
        pytest.raises(EnvironmentSetupError, match=TWICE),
    ):
        source.reset()


def test_training_and_evaluation_do_not_step_one_environment() -> None:
    one = Script()
    spec, action = EnvSpec(lambda: one), np.zeros(1, np.int64)
    with closing(make_source(spec, 1)):
        pass
    with closing(make_source(spec, 1)) as training:  # one that was closed is nobody's
        training.reset()
        training.step(action)
        with closing(make_separate_source(spec, 1)) as evaluation:
            evaluation.reset()
            for call in (lambda: training.step(action), training.reset):
                with pytest.raises(EnvironmentSetupError, match=TWICE):
                    call()


class Hearts(Script):
    """Tells of a life that is lost at the end of each episode, and means its own."""

    def step(self, action: Any) -> Any:
        obs, reward, terminated, truncated, info = super().step(action)
        return obs, reward, terminated, truncated, {**info, "life_lost": terminated or truncated}


@every_mode
def test_what_an_environment_says_of_lives_ends_its_game(mode: AutoresetMode) -> None:
    source = VectorSource(SyncVectorEnv([Hearts], autoreset_mode=mode))
    source.reset()
    steps = [source.step(np.zeros(1, np.int64)) for _ in range(8)]
    over = [bool((step.terminated | step.truncated)[0]) for step in steps]
    assert [bool(step.game_over[0]) for step in steps] == over
    assert any(over)


def test_processes_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same steps as in this process, registered names and wrappers too; Ctrl-C does not end them."""
    monkeypatch.setattr(environments, "_creators", {})
    register_env("told", lambda config: Script(**config))
    spec = EnvSpec("told", {"number": 4}, [gym.wrappers.RecordEpisodeStatistics])
    sources = [make_source(spec, 2, kind) for kind in ("async", "sync")]  # type: ignore[arg-type]
    try:
        envs: Any = sources[0].envs
        assert len({process.pid for process in envs.processes} | {os.getpid()}) == 3
        for source in sources:
            source.reset(seed=0)
        for process in envs.processes:
            os.kill(process.pid, signal.SIGINT)
        for action in (1, 0, 1, 1, 0):
            one, other = (source.step(np.full(2, action)) for source in sources)
            for name in ("where", "last"):
                np.testing.assert_array_equal(one.obs[name], other.obs[name])
            np.testing.assert_array_equal(one.rewards, other.rewards)
            np.testing.assert_array_equal(one.ended, other.ended)
            assert one.infos.keys() == other.infos.keys()
    finally:
        for source in sources:
            source.close()


def test_the_ids_own_vector_environment_is_taken_where_there_is_one() -> None:
    kinds = {
        kind: type(make_source(EnvSpec("CartPole-v1"), 2, kind).envs).__name__ for kind in ("auto", "native", "sync")
    }  # type: ignore[arg-type]
    assert kinds == {"auto": "CartPoleVectorEnv", "native": "CartPoleVectorEnv", "sync": "InTurn"}
    assert make_source(EnvSpec("CartPole-v1", {"sutton_barto_reward": True}), 2).reset()[0].shape == (2, 4)
    assert make_source(EnvSpec("CartPole-v1", {"max_episode_steps": 2}), 2).envs.max_episode_steps == 2  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "spec",
    [
        EnvSpec("MountainCar-v0"),
        EnvSpec(Script),
        EnvSpec("CartPole-v1", wrappers=[gym.wrappers.RecordEpisodeStatistics]),
    ],
    ids=["none of its own", "class", "wrapped"],
)
def test_there_may_be_none(spec: EnvSpec) -> None:
    assert isinstance(make_source(spec, 2).envs, SyncVectorEnv)
    with pytest.raises(EnvironmentSetupError, match="has no vector environment of its own"):
        make_source(spec, 2, "native")


def test_one_that_does_not_say_how_it_resets_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CartPoleVectorEnv, "metadata", {"render_modes": []})
    assert isinstance(make_source(EnvSpec("CartPole-v1"), 2).envs, SyncVectorEnv)
    with pytest.raises(EnvironmentSetupError, match="does not say how it resets itself: use vectorization='sync'"):
        make_source(EnvSpec("CartPole-v1"), 2, "native")


def test_a_registered_name_goes_before_an_id_with_a_vector_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environments, "_creators", {})
    register_env("CartPole-v1", Script)
    assert "where" in make_source(EnvSpec("CartPole-v1"), 2).reset()[0]


def test_seeds_differ_between_environments_and_repeat() -> None:
    def rolled(seed: int) -> list[list[float]]:
        source = make_source(EnvSpec(Dice), 4)
        source.reset(seed)
        return [source.step(np.zeros(4, np.int64)).rewards.tolist() for _ in range(8)]

    assert rolled(3) == rolled(3) != rolled(4)
    columns = list(zip(*rolled(3), strict=True))
    assert len(set(columns)) == 4


# --------------------------------------------------------------------------- vector environments as given


@every_mode
def test_a_given_vector_environment_is_used_itself(mode: AutoresetMode) -> None:
    envs = vector_env(mode, "own")
    assert make_source(EnvSpec(envs), 3).envs is envs


def test_what_does_not_go_with_a_given_vector_environment() -> None:
    envs = vector_env(AutoresetMode.SAME_STEP)
    with pytest.raises(EnvironmentSetupError, match="has 3 environments, but num_envs_per_env_runner is 2"):
        make_source(EnvSpec(envs), 2)
    with pytest.raises(EnvironmentSetupError, match="`wrappers` is for making single environments"):
        make_source(EnvSpec(envs, wrappers=[gym.Wrapper]), 3)
    with pytest.raises(EnvironmentSetupError, match="`env_config` is for making single environments"):
        make_source(EnvSpec(envs, {"number": 1}), 3)


def test_evaluation_gets_a_copy_of_a_given_vector_environment() -> None:
    envs = vector_env(AutoresetMode.SAME_STEP)
    training, other = make_source(EnvSpec(envs), 3), make_separate_source(EnvSpec(envs), 8)
    training.reset()
    training.step(np.zeros(3, np.int64))
    assert other.num_envs == 3
    other.reset()
    np.testing.assert_array_equal(training.step(np.zeros(3, np.int64)).obs["where"], [[0, 0, 2], [1, 1, 1], [2, 0, 2]])
    assert make_separate_source(EnvSpec(Script), 8).num_envs == 8


def test_evaluation_of_a_vector_environment_that_cannot_be_copied() -> None:
    envs = vector_env(AutoresetMode.SAME_STEP, "own")
    envs.lock = open(__file__)  # noqa: SIM115
    with envs.lock, pytest.raises(EnvironmentSetupError, match="ScriptVector cannot be copied"):
        make_separate_source(EnvSpec(envs), 3)


def made_async(kind: type[AsyncVectorEnv] = AsyncVectorEnv) -> AsyncVectorEnv:
    return kind([Script] * 2, autoreset_mode=AutoresetMode.SAME_STEP)


def test_evaluation_has_processes_of_its_own() -> None:
    wrapped = vector_wrappers.TransformReward(made_async(), lambda reward: reward + 1)
    with closing(make_source(EnvSpec(wrapped), 2)) as training:
        training.reset(0)
        with closing(make_separate_source(EnvSpec(wrapped), 2)) as other:
            other.reset(0)
            mine, theirs = training.step(np.zeros(2, np.int64)), other.step(np.zeros(2, np.int64))
            assert mine.rewards.tolist() == theirs.rewards.tolist()
            assert other.mode is AutoresetMode.SAME_STEP
        training.step(np.zeros(2, np.int64))


class OwnAsync(AsyncVectorEnv):
    """May start its processes in any way."""


def test_processes_of_other_classes_are_left_alone() -> None:
    with closing(make_source(EnvSpec(made_async(OwnAsync)), 2)) as training:
        training.reset(0)
        with pytest.raises(EnvironmentSetupError, match="OwnAsync cannot be copied"):
            make_separate_source(EnvSpec(training.envs), 2)
        training.step(np.zeros(2, np.int64))


@pytest.mark.parametrize("metadata", [{}, None])
def test_a_source_must_say_how_it_resets(metadata: Any) -> None:
    envs = vector_env(AutoresetMode.SAME_STEP, "own")
    envs.metadata = metadata
    with pytest.raises(EnvironmentSetupError, match=r"ScriptVector does not say how it resets.*autoreset_mode"):
        VectorSource(envs)


@pytest.mark.parametrize("kind", [SyncVectorEnv, AsyncVectorEnv])
def test_others_that_reset_themselves_otherwise_change_nothing(kind: Any) -> None:
    """Before Gymnasium 1.4 all vectors of an environment share its metadata, and AsyncVectorEnvs still do."""
    with closing(kind([Script] * 2, autoreset_mode=AutoresetMode.NEXT_STEP)) as envs:
        envs.metadata["autoreset_mode"] = AutoresetMode.SAME_STEP
        assert VectorSource(envs).mode is VectorSource(gym.vector.VectorWrapper(envs)).mode is AutoresetMode.NEXT_STEP


def test_a_same_step_source_must_hand_over_last_observations() -> None:
    class Forgets(SyncVectorEnv):
        def step(self, actions: Any) -> Any:
            *rest, infos = super().step(actions)
            infos.pop("final_obs", None)
            return *rest, infos

    makers: list[Any] = [lambda env=env: env for env in scripts()]
    source = VectorSource(Forgets(makers, autoreset_mode=AutoresetMode.SAME_STEP))
    source.reset()
    with pytest.raises(EnvironmentSetupError, match=r"Forgets .*'final_obs'"):
        source.step(np.zeros(3, np.int64))


def test_last_observations_come_in_a_row_for_each_environment() -> None:
    class EndedAlone(SyncVectorEnv):
        def step(self, actions: Any) -> Any:
            *rest, infos = super().step(actions)
            return *rest, infos | {"final_obs": infos["final_obs"][1:2]}

    makers: list[Any] = [lambda env=env: env for env in scripts()]
    source = VectorSource(EndedAlone(makers, autoreset_mode=AutoresetMode.SAME_STEP))
    source.reset()
    with pytest.raises(ObservationError, match=r"^infos\['final_obs'\]: expected a row for each of 3 env.* 1\."):
        source.step(np.zeros(3, np.int64))


@pytest.mark.parametrize(
    "space",
    [Tuple((Repeated(Box(0, 1, (2,)), 3), Discrete(2))), Sequence(Discrete(2))],
    ids=["lists", "lists without a longest length"],
)
def test_an_environments_own_error_is_not_taken_for_a_bad_observation(space: gym.Space[Any]) -> None:
    class Stuck(Samples):
        def step(self, action: Any) -> Any:
            raise RuntimeError("stuck")

    source = make_source(EnvSpec(lambda: Stuck(space, Discrete(2))), 2, "sync")
    source.reset(seed=0)
    with pytest.raises(RuntimeError, match=r"^stuck$"):
        source.step(np.zeros(2, np.int64))


class Slips(Samples):
    """Returns something else instead of its second observation."""

    def __init__(self, space: gym.Space[Any], instead: Any):
        super().__init__(space, Discrete(2))
        self.instead = instead

    def step(self, action: Any) -> Any:
        return self.instead, *super().step(action)[1:]


PICTURE = Dict(cam=Box(0, 255, (5, 6, 3), np.uint8), kind=Discrete(3))


@pytest.mark.parametrize(
    ("instead", "message"),
    [
        ({"cam": np.zeros((5, 6, 3)), "kind": 1}, r'obs\["cam"\]: expected uint8 for Box\(.*got float64'),
        ({"cam": np.full((5, 6, 3), 0.5), "kind": 1}, r'obs\["cam"\]: expected values that uint8 can hold exactly'),
        ({"cam": np.zeros((3, 5, 6), np.uint8), "kind": 1}, r'obs\["cam"\]: expected shape \[..., 5, 6, 3\]'),
        (
            {"cam": np.zeros((5, 6, 3), np.uint8)},
            r"obs: expected a dict with keys \['cam', 'kind'\], got keys \['cam'\]",
        ),
        ({"cam": None, "kind": 1}, r'obs\["cam"\]: expected numbers for Box\(.*got None'),
        (None, r"obs: expected a member of Dict\(.*got None"),
    ],
    ids=["floats", "fractions", "channels first", "missing key", "nothing in it", "nothing"],
)
@pytest.mark.parametrize("vectorization", ["sync", "async"])
@pytest.mark.filterwarnings("ignore:.*ERROR:UserWarning")
def test_what_does_not_fit_its_space_is_named(vectorization: Any, instead: Any, message: str) -> None:
    """Shared memory would take floats, and another shape of the same size, without a word."""
    source = make_source(EnvSpec(lambda: Slips(PICTURE, instead)), 1, vectorization)
    source.reset(seed=0)
    with closing(source), pytest.raises(ObservationError, match=rf"^environment 0: {message}"):
        source.step(np.zeros(1, np.int64))


@pytest.mark.parametrize("vectorization", ["sync", "async"])
@pytest.mark.filterwarnings("ignore:.*ERROR:UserWarning")
def test_a_key_too_many_is_refused_at_the_first_observation(vectorization: Any) -> None:
    class More(Samples):
        def reset(self, **arguments: Any) -> Any:
            obs, info = super().reset(**arguments)
            return {**obs, "debug": 1}, info

    source = make_source(EnvSpec(lambda: More(PICTURE, Discrete(2))), 1, vectorization)
    with closing(source), pytest.raises(ObservationError, match=r"got keys \['cam', 'kind', 'debug'\]"):
        source.reset(seed=0)


@pytest.mark.parametrize(
    ("instead", "message"),
    [
        ({"speed": 5.0}, r"obs: expected a dict with keys \['a', 'b'\], got keys \['a', 'b', 'speed'\]"),
        ({"b": (1, 2, 7)}, r'obs\["b"\]: expected a tuple of length 2, got 3'),
        ({"b": {0: 1, 1: 2}}, r'obs\["b"\]: expected a tuple of length 2, got dict'),
        ({"b": np.array([1, 2])}, r'obs\["b"\]: expected a tuple of length 2, got ndarray'),
    ],
    ids=["key", "part", "dict", "array"],
)
def test_what_is_too_much_is_refused_at_every_step(instead: Any, message: str) -> None:
    """Stacking would look up what it needs, and leave the rest without a word."""
    space, fine = Dict(a=Box(-1, 1, (2,)), b=Tuple([Discrete(3)] * 2)), {"a": np.zeros(2), "b": (1, 2)}
    source = make_source(EnvSpec(lambda: Slips(space, fine | instead)), 1)
    source.reset(seed=0)
    with pytest.raises(ObservationError, match=rf"^environment 0: {message}"):
        source.step(np.zeros(1, np.int64))


class ClearsItsArrays(VectorEnv[Any, Any, Any]):
    """Hands out its own arrays, and clears the rows that it resets."""

    metadata: ClassVar[dict[str, Any]] = {"autoreset_mode": AutoresetMode.DISABLED}

    def __init__(self) -> None:
        self.num_envs = 2
        self.single_observation_space, self.single_action_space = Box(0, 100, (1,)), Discrete(2)
        self.observation_space = batch_space(self.single_observation_space, 2)
        self.action_space = batch_space(self.single_action_space, 2)
        self.t, self.rewards = np.zeros(2, np.int64), np.zeros(2, np.float32)
        self.terminated, self.truncated = np.zeros(2, np.bool_), np.zeros(2, np.bool_)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        rows = np.ones(2, np.bool_) if options is None else options["reset_mask"]
        for own in (self.t, self.rewards, self.terminated, self.truncated):
            own[rows] = 0
        return self.t[:, None].astype(np.float32), {}

    def step(self, actions: Any) -> Any:
        self.t += 1
        self.rewards[:] = 10 * self.t
        self.terminated[:] = self.t >= [3, 5]
        return self.t[:, None].astype(np.float32), self.rewards, self.terminated, self.truncated, {}


def test_a_reset_that_clears_the_arrays_of_the_step_loses_nothing() -> None:
    source = VectorSource(ClearsItsArrays())
    source.reset(0)
    *_, step = [source.step(np.zeros(2, np.int64)) for _ in range(3)]
    assert (step.rewards.tolist(), step.terminated.tolist(), step.ended.tolist()) == ([30, 30], [True, False], [0])
    assert np.asarray(step.final_obs).tolist() == [[3]]
