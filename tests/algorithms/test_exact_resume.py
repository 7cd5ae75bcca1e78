"""N iterations equal k, save, load, N - k, bit for bit: every algorithm, memory, filter and source of steps."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from anyspace import A2C, APPO, BC, DQN, IMPALA, MARWIL, PG, PPO, SAC, Algorithm
from anyspace.errors import CheckpointError, ConfigError
from anyspace.execution.log import flat_metrics
from tests.support.tasks import TMaze


class Noisy(gym.Env[Any, Any]):
    """Everything in it is random, lengths and infos too."""

    observation_space = spaces.Dict(position=spaces.Box(-1, 1, (2,), np.float32), kind=spaces.Discrete(3))
    action_space: Any = spaces.Discrete(3)

    def _obs(self) -> Any:
        return {"position": self.np_random.uniform(-1, 1, 2).astype(np.float32), "kind": self.np_random.integers(3)}

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.steps = 0
        return self._obs(), {}

    def step(self, action: Any) -> Any:
        self.steps += 1
        ends = self.np_random.random() < 0.15
        reward = float(self.np_random.normal() + np.sum(action))
        return self._obs(), reward, bool(ends), self.steps >= 9, {"luck": float(self.np_random.random())}


class Continuous(Noisy):
    action_space = spaces.Box(-2, 2, (2,), np.float32)


class Masked(Noisy):
    action_space = spaces.Discrete(4)

    def action_masks(self) -> Any:
        mask = self.np_random.random(4) < 0.5
        mask[self.np_random.integers(4)] = True
        return mask


class Parts(Noisy):
    action_space = spaces.Tuple([spaces.Discrete(2), spaces.Box(-1, 1, (2,)), spaces.MultiDiscrete([2, 3])])

    def step(self, action: Any) -> Any:
        return super().step(action[0])


SMALL: dict[str, Any] = {
    "num_envs_per_env_runner": 2,
    "seed": 3,
    "exact_resume": True,
    "model": {"fcnet_hiddens": [6]},
}
LSTM: dict[str, Any] = {"use_lstm": True, "lstm_cell_size": 4, "lstm_use_prev_action": True, "max_seq_len": 4}
GRU: dict[str, Any] = {"use_gru": True, "lstm_cell_size": 4, "lstm_use_prev_reward": True, "max_seq_len": 4}
GTRXL: dict[str, Any] = {
    "use_attention": True,
    "max_seq_len": 4,
    "attention_dim": 4,
    "attention_head_dim": 4,
    "attention_num_heads": 1,
    "attention_position_wise_mlp_dim": 4,
    "attention_memory_inference": 3,
    "attention_memory_training": 3,
}
ON_POLICY: dict[str, Any] = {"train_batch_size": 24, "minibatch_size": 8, "num_epochs": 2}
ONE_STEP: dict[str, Any] = {
    "train_batch_size": 24,
    "rollout_fragment_length": 6,
    "min_sample_timesteps_per_iteration": 24,
}
SCALED: dict[str, Any] = {"observation_filter": "MeanStdFilter", "normalize_rewards": True}
REPLAY: dict[str, Any] = {
    "train_batch_size": 4,
    "min_sample_timesteps_per_iteration": 30,
    "num_steps_sampled_before_learning_starts": 10,
    "replay_capacity": 70,
    "training_intensity": 1.0,
}

IN_TURN: dict[str, Any] = {"num_env_runners": 2, "fleet": "serial", "max_requests_in_flight_per_env_runner": 1}

CASES: dict[str, tuple[type[Algorithm[Any]], Any, dict[str, Any]]] = {
    "ppo, filter, scaled rewards": (PPO, Noisy, {**ON_POLICY, **SCALED}),
    "ppo, lstm, filter": (PPO, Noisy, {**ON_POLICY, **SCALED, "model": LSTM}),
    "ppo, gtrxl": (PPO, Noisy, {**ON_POLICY, "model": GTRXL}),
    "ppo, native": (PPO, "CartPole-v1", {**ON_POLICY, "evaluate_every": 24, "evaluation_episodes": 1}),
    "ppo, workers": (PPO, Noisy, {**ON_POLICY, **SCALED, **IN_TURN}),
    "appo, workers, lstm": (
        APPO,
        Noisy,
        {**ONE_STEP, "replay_proportion": 1.0, "model": LSTM, **IN_TURN},
    ),
    "dqn, workers": (DQN, Noisy, {**REPLAY, **IN_TURN}),
    "pg, whole episodes, gru": (PG, Noisy, {"train_batch_size": 24, **SCALED, "model": GRU}),
    "impala, gtrxl": (IMPALA, Noisy, {**ONE_STEP, "num_epochs": 2, "opt": "rmsprop", "model": GTRXL}),
    "appo, earlier batches": (APPO, Noisy, {**ONE_STEP, "replay_proportion": 1.5, "replay_buffer_num_slots": 3}),
    "appo, lstm": (APPO, Noisy, {**ONE_STEP, "replay_proportion": 1.0, "model": LSTM, "use_kl_loss": True}),
    "dqn, priorities": (DQN, Noisy, {**REPLAY, "n_step": 3, "observation_filter": "MeanStdFilter"}),
    "dqn, lstm": (DQN, TMaze, {**REPLAY, "replay_burn_in": 2, "model": LSTM}),
    "dqn, gtrxl, noisy": (DQN, Noisy, {**REPLAY, "noisy": True, "num_atoms": 3, "model": GTRXL}),
    "dqn, parameter noise": (
        DQN,
        Noisy,
        {**REPLAY, "exploration_config": {"type": "ParameterNoise", "random_timesteps": 20}},
    ),
    "sac": (SAC, Continuous, {**REPLAY, "prioritized_replay": True}),
    "sac, lstm, noise": (
        SAC,
        Continuous,
        {**REPLAY, "model": LSTM, "exploration_config": {"type": "OrnsteinUhlenbeckNoise", "random_timesteps": 20}},
    ),
    "a2c, microbatches, gru, masked": (A2C, Masked, {**ONE_STEP, **SCALED, "microbatch_size": 7, "model": GRU}),
    "appo, autoregressive": (
        APPO,
        Parts,
        {**ONE_STEP, "target_network_update_freq": 70, "tau": 0.3, "model": {"autoregressive_actions": True}},
    ),
    "sac, parts": (SAC, Parts, REPLAY),
    "sac, gru, masked, jax": (SAC, Masked, {**REPLAY, "model": GRU, "framework": "jax"}),
}


def made(name: str, **changes: Any) -> Algorithm[Any]:
    kind, env, settings = CASES[name]
    model = {**SMALL["model"], **settings.get("model", {})}
    return kind(env, {**SMALL, **settings, "model": model, **changes}, preset="none")


def without_times(result: Mapping[str, Any]) -> dict[str, float]:
    times = ("time_total_s", "time_this_iter_s", "time_collect_s", "steps_per_s")
    return {name: value for name, value in flat_metrics(result).items() if name.rpartition("/")[2] not in times}


def require_same(one: Any, other: Any, place: str = "") -> None:
    """Compare nested values, arrays by their bits."""
    assert type(one) is type(other), place
    if isinstance(one, dict):
        assert list(one) == list(other), place
        for key in one:
            if key != "time_total_s":
                require_same(one[key], other[key], f"{place}/{key}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), place
        for number, pair in enumerate(zip(one, other, strict=True)):
            require_same(*pair, f"{place}/{number}")
    elif isinstance(one, np.ndarray):
        assert (one.dtype, one.shape) == (other.dtype, other.shape), place
        assert one.tobytes() == other.tobytes(), place
    else:
        assert one == other, place


def everything(algorithm: Algorithm[Any]) -> Any:
    """All that an algorithm holds, portions of replay included."""
    state, tensors, _ = algorithm.completed(algorithm.snapshot(), exact=True)
    growing = {name: part for name, part in algorithm.parts().items() if hasattr(part, "since")}
    return state["parts"], tensors, {name: [*part.since(None)] for name, part in growing.items()}


RARE = {
    "dqn, gtrxl, noisy",
    "dqn, parameter noise",
    "sac, lstm, noise",
    "appo, earlier batches",
    "dqn, workers",
    "sac, gru, masked, jax",
}
"""What differs little from the other cases: left to `make fuzz`."""


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.fuzz] * (name in RARE)) for name in CASES])
def test_a_loaded_algorithm_goes_on_as_the_one_that_was_saved(name: str, tmp_path: Path) -> None:
    with closing(made(name)) as first:
        for _ in range(3):
            first.train()
        first.save(tmp_path)
        with closing(Algorithm.load(tmp_path, trust=True)) as second:
            require_same(everything(first), everything(second))
            for _ in range(2):
                require_same(without_times(first.train()), without_times(second.train()))
            require_same(everything(first), everything(second))
            if {"replay", "recent"} & first.parts().keys():
                require_grown(first, tmp_path)
                require_grown(second, tmp_path)


@pytest.mark.parametrize("capacity", [30, 300])
def test_replay_of_another_capacity_takes_what_fits(capacity: int, tmp_path: Path) -> None:
    with closing(made("sac", replay_capacity=100)) as first:
        for _ in range(3):
            first.train()
        first.save(tmp_path)
        with closing(Algorithm.load(tmp_path, trust=True, replay_capacity=capacity)) as second:
            ours, theirs = first.replay, second.replay  # type: ignore[attr-defined]
            assert len(theirs) == min(capacity, len(ours)) > 0
            lanes = np.repeat([0, 1], len(theirs) // 2)
            times = (ours._ring.counts[:, None] - 1 - np.arange(len(theirs) // 2)).ravel()
            rewards = [replay._ring.windows(lanes, times, 1).rewards for replay in (ours, theirs)]
            assert np.array_equal(*rewards)
            assert rewards[0].all(), "every one of them was written"
            second.train()
            second.save(tmp_path)
            with closing(Algorithm.load(tmp_path, trust=True)) as third:
                require_same(everything(second), everything(third))
        with pytest.raises(CheckpointError, match=r"replay: it holds steps of 2 environments, but there are 3 here"):
            Algorithm.load(tmp_path, trust=True, num_envs_per_env_runner=3)


def require_grown(algorithm: Algorithm[Any], folder: Path) -> None:
    """What is new is added to the files that are there."""
    algorithm.save(folder)
    with closing(Algorithm.load(folder, trust=True)) as loaded:
        require_same(everything(algorithm), everything(loaded))


OFFLINE: dict[str, tuple[type[Algorithm[Any]], dict[str, Any]]] = {
    "marwil": (MARWIL, {"normalize_rewards": True, "observation_filter": "MeanStdFilter"}),
    "marwil, lstm": (MARWIL, {"model": {"fcnet_hiddens": [4], **LSTM}}),
    "bc": (BC, {"minibatch_size": 10}),
}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("recorded")
    settings = {"train_batch_size": 40, "minibatch_size": 40, "num_epochs": 1, "output_max_file_size": 3000}
    with closing(PPO(Noisy, settings, preset="none", seed=1, output=str(folder))) as algorithm:
        for _ in range(4):
            algorithm.train()
    return str(folder)


@pytest.mark.parametrize(
    ("name", "mixed"),
    [("marwil", False), ("marwil, lstm", True), pytest.param("bc", False, marks=pytest.mark.fuzz)],
)
def test_recorded_steps_are_read_in_the_same_order(name: str, mixed: bool, recorded: str, tmp_path: Path) -> None:
    kind, settings = OFFLINE[name]
    source: Any = {recorded: 0.5, "sampler": 0.5} if mixed else recorded
    settings = {**SMALL, "train_batch_size": 30, "input": source, "num_epochs": 2, **settings}
    with closing(kind(Noisy, settings, preset="none")) as first:
        for _ in range(3):
            first.train()
        first.save(tmp_path)
        with closing(Algorithm.load(tmp_path, trust=True)) as second:
            for _ in range(4):
                require_same(without_times(first.train()), without_times(second.train()))
            require_same(everything(first), everything(second))


def test_episodes_that_are_cut_are_not_reported_and_not_done() -> None:
    """A cut makes no episode: steps and episodes are counted as in a run whose episodes go on."""
    with closing(made("dqn, priorities", min_sample_timesteps_per_iteration=6)) as algorithm:
        algorithm.train()
        before = algorithm.counters.episodes_total
        algorithm.restart_episodes()
        algorithm.train()
        ended = algorithm.counters.episodes_total - before
        ring = algorithm.replay._ring  # type: ignore[attr-defined]
        terminated, truncated = ring._flags[0], ring._flags[1]
        assert truncated.sum() + terminated.sum() == before + ended + 2, "both running episodes were truncated"
        assert sum(episode.length for episode in algorithm.counters.latest.episodes) <= algorithm.timesteps_total - 2


# --------------------------------------------------------------------------------------- what is refused


class Normalised(gym.wrappers.NormalizeReward):  # type: ignore[type-arg]
    def __init__(self) -> None:
        super().__init__(gym.make("CartPole-v1"))


def own_vector() -> Any:
    return gym.make_vec("CartPole-v1", num_envs=2, vectorization_mode="vector_entry_point")


@pytest.mark.parametrize(
    ("env", "changes", "message"),
    [
        ("CartPole-v1", {"num_env_runners": 2, "fleet": "serial", "sample_order": "ready"}, "fragments that workers"),
        (
            "CartPole-v1",
            {"evaluation_num_env_runners": 1, "fleet": "serial", "evaluation_parallel_to_training": True},
            "evaluations that workers play while training goes on are in no checkpoint",
        ),
        ("CartPole-v1", {"vectorization": "async"}, "may draw from random sources of those processes"),
        (Normalised, {}, "NormalizeReward|Normalised around the environment keeps running statistics"),
        (own_vector, {}, "nobody knows whether a reset with a seed puts all of it back"),
    ],
)
def test_what_cannot_be_put_back_is_refused(env: Any, changes: dict[str, Any], message: str) -> None:
    given = env() if env is own_vector else env
    with pytest.raises(ConfigError, match=message):
        PPO(given, {**ON_POLICY, **SMALL, **changes}, preset="none")


def test_what_workers_alone_remember_is_refused_at_once(tmp_path: Path) -> None:
    settings = {"num_env_runners": 2, "fleet": "serial", "exploration_config": {"type": "ParameterNoise"}}
    message = "with `num_env_runners`, what ParameterNoise remembers is in the workers, and in no checkpoint"
    with pytest.raises(ConfigError, match=message):
        DQN("CartPole-v1", {**SMALL, **settings}, preset="none")
    with closing(DQN("CartPole-v1", {**SMALL, **settings, "exact_resume": False}, preset="none")) as algorithm:
        algorithm.save(tmp_path)
    with pytest.raises((ConfigError, CheckpointError), match=message):
        Algorithm.load(tmp_path, exact_resume=True)
