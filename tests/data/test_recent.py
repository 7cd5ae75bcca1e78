from __future__ import annotations

import dataclasses
from contextlib import closing
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from anyspace import IMPALA
from anyspace.data.recent import Recent
from anyspace.data.trajectory import Trajectory
from anyspace.models.torch.runtime import TorchRuntime
from tests.support.hashes import PAIR, VECTOR, Sampled, sampled


def runtime(seed: int = 0) -> TorchRuntime:
    made = TorchRuntime("cpu")
    made.seed(seed)
    return made


@pytest.fixture(scope="module")
def some() -> list[Trajectory]:
    """Six trajectories."""
    settings = {"train_batch_size": 8, "seed": 0, "model": {"fcnet_hiddens": [4]}}
    with closing(IMPALA(sampled(VECTOR, spaces.Discrete(3)), settings, preset="none")) as algorithm:
        return [algorithm.fleet.gather(8) for _ in range(6)]


def drawn(recent: Recent, some: list[Trajectory], source: TorchRuntime) -> list[list[int]]:
    """Return which trajectories each new one brings, by their numbers."""
    numbers = {id(one.obs): number for number, one in enumerate(some)}
    return [[numbers[id(found.obs)] for found in recent.with_earlier(one, source)] for one in some]


@pytest.mark.parametrize(
    ("proportion", "counts"),
    [(0.0, [0] * 6), (0.5, [0, 1, 0, 1, 0, 1]), (1.0, [0, 1, 1, 1, 1, 1]), (2.5, [0, 3, 2, 3, 2, 3])],
)
def test_how_many_earlier_ones_come_beside_each_new_one(
    some: list[Trajectory], proportion: float, counts: list[int]
) -> None:
    found = drawn(Recent(9, proportion, in_checkpoints=False), some, runtime())
    assert [numbers[0] for numbers in found] == [*range(6)], "the new one comes first"
    assert [len(numbers) - 1 for numbers in found] == counts
    assert all(earlier < numbers[0] for numbers in found for earlier in numbers[1:])


def test_the_oldest_give_way(some: list[Trajectory]) -> None:
    recent = Recent(2, 2.0, in_checkpoints=False)
    found = drawn(recent, some, runtime())
    assert len(recent) == 2
    assert [sorted(numbers[1:]) for numbers in found[2:]] == [[0, 1], [1, 2], [2, 3], [3, 4]], "each once"


def test_what_is_drawn_depends_on_the_random_source_for_learning(some: list[Trajectory]) -> None:
    found = [drawn(Recent(9, 1.0, in_checkpoints=False), some, runtime(seed)) for seed in (1, 1, 2)]
    assert found[0] == found[1] != found[2]


def test_without_a_proportion_nothing_is_kept_and_nothing_drawn_at_random(some: list[Trajectory]) -> None:
    recent, source = Recent(9, 0.0, in_checkpoints=True), runtime()
    before = source.rng_state()
    drawn(recent, some, source)
    assert len(recent) == 0
    assert all((state == before[name]).all() for name, state in source.rng_state().items())


class Stacked(gym.wrappers.FrameStackObservation):
    def __init__(self) -> None:
        super().__init__(Sampled(spaces.Box(0, 255, (8, 8), np.uint8), spaces.Discrete(2)), 3)


LSTM = {"use_lstm": True, "lstm_cell_size": 4, "max_seq_len": 4}
ENVIRONMENTS: dict[str, tuple[Any, dict[str, Any]]] = {
    "plain": ("CartPole-v1", {}),
    "tuple action, lstm": (sampled(VECTOR, PAIR), {**LSTM, "lstm_use_prev_action": True}),
    "dict action": (sampled(VECTOR, spaces.Dict(a=spaces.Discrete(2), b=PAIR)), {}),
    "masked, gtrxl": (
        sampled(VECTOR, spaces.Discrete(4), masked=True),
        {"use_attention": True, "attention_dim": 4, "attention_memory_inference": 3, "attention_memory_training": 3},
    ),
    "stacked frames": (Stacked, {"conv_filters": [[4, 8, 1]]}),
}


def equal(one: Any, other: Any) -> None:
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            equal(one[key], other[key])
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for pair in zip(one, other, strict=True):
            equal(*pair)
    elif hasattr(one, "__dict__"):
        equal(vars(one), vars(other))
    else:
        np.testing.assert_array_equal(one, other)
        assert np.asarray(one).dtype == np.asarray(other).dtype


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_stored_rings_come_back_from_checkpoints(name: str, tmp_path: Path) -> None:
    env, model = ENVIRONMENTS[name]
    small = {"train_batch_size": 16, "num_envs_per_env_runner": 2, "rollout_fragment_length": "auto", "seed": 0}
    settings = {**small, "replay_proportion": 1.0, "store_buffer_in_checkpoints": True}
    settings["min_sample_timesteps_per_iteration"] = 1
    settings["model"] = {"fcnet_hiddens": [4], **model}
    with closing(IMPALA(env, settings, preset="none")) as algorithm:
        for _ in range(3):
            algorithm.train()
        algorithm.save(tmp_path)
        with closing(IMPALA.load(tmp_path, env=env)) as loaded:
            assert len(loaded.recent) == 3
            for one, other in zip(loaded.recent._kept, algorithm.recent._kept, strict=True):
                equal(one, other)
            loaded.train()


def test_portions_are_measured_by_all_that_they_hold(some: list[Trajectory], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anyspace.data.recent.PORTION", 30_000)
    plain, large = (Recent(9, 1.0, in_checkpoints=True) for _ in range(2))
    for recent, columns in ((plain, {}), (large, {"collected": {"depth": np.zeros((8, 1000))}})):
        given = [some[0], *(dataclasses.replace(one, **columns) for one in some[1:])]
        drawn(recent, given, runtime())
    assert [mark for _, mark in plain.since(None)] == [[6]]
    assert [mark for _, mark in large.since(None)] == [[2], [3], [4], [5], [6]], "each new one takes 64,000 bytes"


def test_a_ring_is_left_out_of_checkpoints_unless_asked_for(tmp_path: Path) -> None:
    settings = {"train_batch_size": 16, "replay_proportion": 0.5, "model": {"fcnet_hiddens": [4]}}
    settings["min_sample_timesteps_per_iteration"] = 1
    with closing(IMPALA("CartPole-v1", settings, rollout_fragment_length="auto", preset="none")) as algorithm:
        algorithm.train()
        algorithm.save(tmp_path)
        assert len(algorithm.recent) == 1
    with closing(IMPALA.load(tmp_path)) as loaded:
        assert len(loaded.recent) == 0
        loaded.train()
