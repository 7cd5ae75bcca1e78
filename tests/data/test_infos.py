"""Infos may hold anything: they are stacked whatever they are, and numbers are collected as what they are."""

from __future__ import annotations

import threading
from contextlib import closing
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import RecordEpisodeStatistics

from anyspace import PPO
from anyspace.data import infos as info_numbers
from anyspace.data.collector import Collector
from anyspace.data.environments import EnvSpec
from anyspace.data.infos import add_info, listed, numbers
from anyspace.data.sources import make_source
from anyspace.data.trajectory import Trajectory
from anyspace.data.vector import VectorSource
from anyspace.errors import ConfigError, ObservationError
from tests.support.environments import Script
from tests.support.scripted import known_policy, vector_env

EVERYBODY = np.ones(2, np.bool_)


def stacked(*infos: dict[Any, Any]) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    for number, info in enumerate(infos):
        add_info(len(infos), found, info, number)
    return found


def told(values: dict[Any, Any], key: Any) -> dict[int, float]:
    rows, found = numbers(values, key, EVERYBODY)
    return dict(zip(rows.tolist(), found.tolist(), strict=True))


# ------------------------------------------------------------------------------------------- stacking


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (0, 0.75, {0: 0.0, 1: 0.75}),
        (0.75, 1, {0: 0.75, 1: 1.0}),
        (True, 3, {0: 1.0, 1: 3.0}),
        (np.float32(0.5), 0.25, {0: 0.5, 1: 0.25}),
        (np.int8(100), 300, {0: 100.0, 1: 300.0}),
        (1, 2**70, {0: 1.0, 1: 2.0**70}),
        (2**70, 1, {0: 2.0**70, 1: 1.0}),
        (np.array(1.5), 2.0, {0: 1.5, 1: 2.0}),
        (np.bool_(True), np.bool_(False), {0: 1.0, 1: 0.0}),
        (1, "text", {0: 1.0}),
        ("text", 1, {1: 1.0}),
        (None, 2.0, {1: 2.0}),
        (1.0, {"a": 5.0}, {0: 1.0}),
        ({"a": 5.0}, 1.0, {1: 1.0}),
        (1.0, np.ones(3), {0: 1.0}),
        (np.ones(3), 1.0, {1: 1.0}),
        (float("nan"), 1.0, {1: 1.0}),
        (1j, 1.0, {1: 1.0}),
        (10**400, 1.0, {1: 1.0}),
        ([1], [1, 2], {}),
    ],
)
def test_numbers_stay_what_they_are_beside_anything(first: Any, second: Any, expected: dict[int, float]) -> None:
    assert told(stacked({"x": first}, {"x": second}), "x") == expected


def test_arrays_of_other_shapes_and_types_are_kept_whole() -> None:
    for first, second in (
        (np.zeros((3, 2)), np.ones((1, 2))),
        (np.zeros(2, np.int64), np.full(2, 0.5)),
        (np.zeros(2), [1, 2, 3]),
    ):
        values = stacked({"x": first}, {"x": second})["x"]
        assert values.dtype == np.object_
        np.testing.assert_array_equal(values[0], first)
        np.testing.assert_array_equal(values[1], second)


def test_what_fits_is_stacked_as_gymnasium_stacks_it() -> None:
    infos = [
        {
            "a": 1.5,
            "b": 2,
            "c": True,
            "d": np.float32(1),
            "e": np.ones((2, 2)),
            "f": "x",
            "g": {"h": 1.0, "i": {"j": 2}},
        },
        {"a": 2.5, "b": 3, "d": np.float32(2), "e": np.zeros((2, 2)), "f": "y", "g": {"i": {"j": 3}}},
    ]
    theirs: Any = {}
    envs = SyncVectorEnv([Script, Script])
    for number, info in enumerate(infos):
        theirs = envs._add_info(theirs, info, number)

    def equal(mine: Any, other: Any) -> None:
        assert mine.keys() == other.keys()
        for key, value in mine.items():
            if isinstance(value, dict):
                equal(value, other[key])
            else:
                assert value.dtype == other[key].dtype
                np.testing.assert_array_equal(value, other[key])

    equal(stacked(*infos), theirs)


def test_keys_of_every_kind() -> None:
    infos = stacked({0: 1.0, (2, 3): 4.0, None: 5}, {"0": 2.0, 0: 3.0})
    assert told(infos, 0) == {0: 1.0, 1: 3.0}
    assert told(infos, "0") == {1: 2.0}
    assert told(infos, (2, 3)) == {0: 4.0}
    assert told(infos, None) == {0: 5.0}


def test_a_key_like_the_mask_of_another_one() -> None:
    for infos in (
        stacked({"x": 1.0, "_x": "hidden"}, {"_x": 3.0, "x": 2.0}),
        stacked({"x": 1.0}, {"_x": 3.0, "x": 2.0}),
        stacked({"_x": 7.0, "x": 1.0}, {"x": 2.0}),
    ):
        assert told(infos, "x") == {0: 1.0, 1: 2.0}
    assert told(stacked({"_x": 7.0}, {"x": 2.0}), "x") == {1: 2.0}


def test_infos_in_a_list() -> None:
    assert told(listed(2, [{"x": 1}, {"x": 0.5}]), "x") == {0: 1.0, 1: 0.5}
    assert listed(2, None) == {}
    assert listed(2, [None, "x"]) == {}


# -------------------------------------------------------------------------------------------- sources


class Talks(gym.Env[Any, Any]):
    """Says ``infos[(number + t) % n]`` in step t; episodes of three steps."""

    observation_space, action_space = Box(-1, 1, (1,)), Discrete(2)

    def __init__(self, infos: list[Any], number: int = 0):
        self.infos, self.number, self.t = infos, number, 0

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.t = 0
        return np.zeros(1, np.float32), self._info()

    def step(self, action: Any) -> Any:
        self.t += 1
        return np.zeros(1, np.float32), 1.0, False, self.t == 3, self._info()

    def _info(self) -> Any:
        return self.infos[(self.number + self.t) % len(self.infos)]


ANYTHING: list[dict[Any, Any]] = [
    {"x": 0, "path": np.zeros((2, 2)), "hits": [1], 0: 1.0, 1: {"y": 2.0}, (2, 3): 4.0, "_x": 1, "n": None},
    {"x": 0.75, "path": np.zeros((4, 2)), "hits": [], "0": 2.0, "n": np.float32(2), "nan": np.nan, "1": "text"},
    {"x": "text", "path": None, "object": object, "deep": {"a": {"b": [1, {2: 3}]}, 5: None}, "episode": 3},
    {"x": np.array(0.5), "deep": 1.0, "huge": 10**400, "bytes": b"abc", "empty": np.zeros(0), "episode": {"r": 1}},
    {},
]


def sources() -> list[Any]:
    def single(number: int) -> gym.Env[Any, Any]:
        return Talks(ANYTHING, number)

    def given(mode: AutoresetMode) -> VectorSource:
        makers: list[Any] = [lambda number=number: single(number) for number in range(3)]
        return VectorSource(SyncVectorEnv(makers, autoreset_mode=mode))

    def recorded(mode: AutoresetMode) -> VectorSource:
        infos = [{key: value for key, value in info.items() if key != "episode"} for info in ANYTHING]
        makers: list[Any] = [lambda number=number: Talks(infos, number) for number in range(3)]
        envs = SyncVectorEnv(makers, autoreset_mode=mode)
        return VectorSource(gym.wrappers.vector.RecordEpisodeStatistics(envs))

    def made(vectorization: Any) -> VectorSource:
        counter = iter(range(100))
        return make_source(EnvSpec(lambda: single(next(counter) % 3)), 3, vectorization)

    each: list[Any] = [pytest.param(lambda kind=kind: made(kind), id=kind) for kind in ("sync", "async")]
    each += [pytest.param(lambda mode=mode: given(mode), id=mode.name) for mode in AutoresetMode]
    return [*each, pytest.param(lambda: recorded(AutoresetMode.NEXT_STEP), id="wrapped")]


@pytest.mark.parametrize("make", sources())
def test_infos_never_end_a_run(make: Any) -> None:
    with closing(make()) as source:
        source.reset(0)
        for _ in range(12):
            step = source.step(np.zeros(3, np.int64))
            assert isinstance(step.infos, dict)


@pytest.mark.parametrize("vectorization", ["sync", "async"])
def test_numbers_of_a_run_are_what_environments_gave(vectorization: Any) -> None:
    """A vector environment of Gymnasium's would say that 0.75 beside an integer is 0."""
    config = {"train_batch_size": 12, "minibatch_size": 6, "num_epochs": 1, "num_envs_per_env_runner": 1}
    algo = PPO(lambda: Talks(ANYTHING), {**config, "vectorization": vectorization})
    try:
        result = algo.train()
    finally:
        algo.close()
    # Steps 1, 2 and 3 of four episodes give the infos 1, 2 and 3: x is 0.75, a text and 0.5.
    assert result["env"] == {"x": 0.625, "0": 2.0, "n": 2.0, "deep": 1.0, "episode": 3.0}
    assert result["episode"] == {"x": 0.5, "deep": 1.0}


def test_an_integer_in_one_environment_beside_a_fraction_in_another() -> None:
    counter = iter([0, 0.75] * 10)

    class Two(Talks):
        def __init__(self) -> None:
            super().__init__([{"x": next(counter)}])

    for source in (
        make_source(EnvSpec(Two), 2),
        VectorSource(SyncVectorEnv([Two, Two])),
    ):
        source.reset(0)
        assert told(source.step(np.zeros(2, np.int64)).infos, "x") == {0: 0.0, 1: 0.75}


def test_what_cannot_be_sent_between_processes_is_left_out() -> None:
    class Locked(Talks):
        def _info(self) -> Any:
            return {"x": 1.0, "lock": threading.Lock(), "deep": {"lock": threading.Lock(), "y": 2.0}, "f": lambda: 0}

    with closing(make_source(EnvSpec(lambda: Locked([])), 2, "async")) as source:
        assert set(source.reset(0)[1]) == {"x", "_x", "deep", "_deep"}
        infos = source.step(np.zeros(2, np.int64)).infos
        assert told(infos, "x") == {0: 1.0, 1: 1.0}
        assert told(infos["deep"], "y") == {0: 2.0, 1: 2.0}


# -------------------------------------------------------------------------- figures of whole episodes


class Counts(Talks):
    """Counts what it served: 1, 2, 3; says at the end whether it was enough."""

    def __init__(self) -> None:
        super().__init__([])

    def _info(self) -> Any:
        return {"served": self.t, **({"is_success": self.t > 2} if self.t == 3 else {})}


SMALL = {"train_batch_size": 12, "minibatch_size": 6, "num_epochs": 1, "num_envs_per_env_runner": 2, "seed": 0}


def test_the_value_at_the_last_step_of_episodes() -> None:
    result = PPO(Counts, SMALL).train()
    assert result["env"] == {"served": 2.0, "is_success": 1.0}
    assert result["episode"] == {"served": 3.0, "is_success": 1.0}


def test_figures_of_episodes_go_on_over_iterations_and_checkpoints(tmp_path: Any) -> None:
    algo = PPO(Counts, {**SMALL, "train_batch_size": 4, "minibatch_size": 4})
    assert "episode" not in algo.train()
    assert algo.train()["episode"]["served"] == 3.0
    algo.save(tmp_path)
    loaded = PPO.load(tmp_path, env=Counts)
    assert "episode" in loaded.train()
    assert loaded.counters.latest.episodes[0].infos == {"served": 3.0, "is_success": 1.0}


def test_infinite_numbers_are_none(
    tmp_path: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(info_numbers, "_TOLD", set())

    class Lost(Counts):
        def _info(self) -> Any:
            return {"distance": np.inf if self.t == 3 else 2.0, **super()._info()}

    algo = PPO(Lost, SMALL)
    result = algo.train()
    assert (result["env"]["distance"], result["episode"]["served"]) == (2.0, 3.0)
    told = [record.message for record in caplog.records if "'distance'" in record.message]
    assert [message.split(". ")[0] for message in told] == ["environment 0: the number 'distance' of its info is inf"]
    algo.save(tmp_path)
    assert PPO.load(tmp_path, env=Lost).counters.latest.infos() == result["episode"]


def test_statistics_of_wrappers_are_infos() -> None:
    result = PPO(Counts, {**SMALL, "wrappers": [RecordEpisodeStatistics]}).train()
    assert result["episode"]["served"] == 3.0


# ------------------------------------------------------------------------------- columns of every step


class Costs(Counts):
    """Every step costs the number of the step."""

    def _info(self) -> Any:
        return {"cost": float(self.t), "speed": self.t / 2}


class Safe(PPO):
    """Keeps what it is shown."""

    seen: Trajectory
    rows: Any

    def updates(self, policy: Any, trajectory: Trajectory) -> Any:
        Safe.seen = trajectory
        return super().updates(policy, trajectory)

    def losses(self, policy: Any, batch: Any) -> Any:
        Safe.rows = {name: batch[name] for name in ("cost", "speed")}
        return super().losses(policy, batch)


def test_columns_of_infos_reach_updates_and_losses() -> None:
    Safe(Costs, {**SMALL, "collect_infos": ["cost", "speed"], "minibatch_size": 12}).train()
    costs = Safe.seen.collected["cost"]
    np.testing.assert_array_equal(costs, [[1, 1], [2, 2], [3, 3]] * 2)
    assert costs.dtype == np.float32
    np.testing.assert_array_equal(Safe.seen.collected["speed"], costs / 2)
    assert sorted(Safe.rows["cost"].tolist()) == sorted(costs.reshape(-1).tolist())
    np.testing.assert_array_equal(Safe.rows["speed"], Safe.rows["cost"] / 2)


@pytest.mark.parametrize("mode", AutoresetMode)
def test_columns_of_infos_in_every_mode(mode: AutoresetMode) -> None:
    """The script's info t is the number of the step in its episode, and -1000 of a reset."""
    trajectory = Collector(VectorSource(vector_env(mode)), known_policy(), collect=["t"]).gather(9)
    valid = trajectory.valid
    assert (trajectory.collected["t"][~valid] == 0).all()
    total, count = trajectory.infos["t"]
    assert (trajectory.collected["t"][valid].sum(), valid.sum()) == (total, count)


def test_columns_of_whole_episodes_and_of_several_fragments() -> None:
    source = make_source(EnvSpec(Script, {"ends": ((5, "truncated"),)}), 2)
    trajectory = Collector(source, known_policy(), collect=["t"]).gather_episodes(1)
    np.testing.assert_array_equal(trajectory.collected["t"][:, 0], np.arange(5))
    joined = Trajectory.side_by_side([trajectory, trajectory])
    np.testing.assert_array_equal(joined.collected["t"], np.tile(np.arange(5)[:, None], 4))


@pytest.mark.parametrize("value", [None, "text", np.nan, np.inf, -np.inf, 1e300, {}])
def test_a_step_that_lacks_the_number_is_named(value: Any) -> None:
    class Once(Costs):
        def _info(self) -> Any:
            return {"cost": value if self.t == 2 else 1.0}

    with pytest.raises(ObservationError, match=r"step 2, environment 0: its info holds no finite number 'cost'"):
        PPO(Once, {**SMALL, "collect_infos": ["cost"]}).train()


def test_a_number_that_no_step_gives_is_named() -> None:
    with pytest.raises(ObservationError, match="step 1, environment 0: its info holds no finite number 'price'"):
        PPO(Costs, {**SMALL, "collect_infos": ["price"]}).train()


def test_a_column_that_batches_have_already_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"`collect_infos` is \['advantages'\].*rename the info"):
        PPO(Costs, {**SMALL, "collect_infos": ["cost", "advantages"]})


def test_a_dict_beside_another_value_stays_what_its_environment_gave() -> None:
    infos: dict[str, Any] = {}
    add_info(3, infos, {"x": {"a": 1, "b": {"c": 2.0}}}, 0)
    add_info(3, infos, {"x": {"a": 3}}, 1)
    add_info(3, infos, {"x": 5}, 2)
    assert infos["x"].tolist() == [{"a": 1, "b": {"c": 2.0}}, {"a": 3}, 5]
