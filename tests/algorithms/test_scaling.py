"""Workers give what this process gives, and every key about them does something."""

from __future__ import annotations

import pickle
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass, replace
from importlib import util
from pathlib import Path
from typing import Any, Literal

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

from anyspace import APPO, BC, DQN, IMPALA, PPO, Algorithm
from anyspace.algorithms import ALGORITHMS
from anyspace.algorithms.ppo import PPOConfig
from anyspace.algorithms.scaling import explored
from anyspace.cli import main
from anyspace.data.rows import with_logp
from anyspace.errors import ConfigError, ObservationError
from anyspace.execution.checkpoint import read_state
from anyspace.execution.fleet import LocalFleet, WorkerEvaluator, WorkerFleet
from anyspace.execution.log import read_metrics
from anyspace.execution.run_files import steps_on_disk
from anyspace.execution.worker import Job, Worker
from anyspace.models.torch.runtime import TorchRuntime
from anyspace.policy.policy import Policy
from tests.execution.test_worker import Odd
from tests.support.hashes import CASES, every_other

SMALL: dict[str, Any] = {
    "train_batch_size": 16,
    "num_envs_per_env_runner": 2,
    "model": {"fcnet_hiddens": [4]},
    "seed": 1,
}
ONCE: dict[str, Any] = {"minibatch_size": None, "num_epochs": 1}
SHORT: dict[str, dict[str, Any]] = {
    **{name: {"min_sample_timesteps_per_iteration": 60} for name in ("A2C", "IMPALA", "APPO")},
    "DQN": {"min_sample_timesteps_per_iteration": 24, "num_steps_sampled_before_learning_starts": 8, "hiddens": [4]},
    "SAC": {"min_sample_timesteps_per_iteration": 24, "num_steps_sampled_before_learning_starts": 8},
}
SERIAL: dict[str, Any] = {"num_env_runners": 2, "fleet": "serial"}


def new(kind: type[Algorithm[Any]], env: Any, settings: dict[str, Any]) -> Algorithm[Any]:
    """Return an algorithm with plain defaults but for some settings."""
    return kind(env, {**SHORT.get(kind.__name__, {}), **settings}, preset="none")


def trained(name: str, env: Any, settings: dict[str, Any], iterations: int = 2) -> tuple[dict[str, Any], Any]:
    """Return the weights after some iterations, and the last result."""
    with closing(new(ALGORITHMS[name], env, settings)) as algorithm:
        for _ in range(iterations):
            result = algorithm.train()
        return algorithm.policy.weights(), result


def require_equal(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert one.keys() == other.keys()
    for name, array in one.items():
        np.testing.assert_array_equal(array, other[name], err_msg=name)


def is_equal(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(np.array_equal(array, other[name]) for name, array in one.items())


# ------------------------------------------------------------------------------------------- equality


@pytest.mark.parametrize("case", every_other(1))
def test_one_worker_gives_what_this_process_gives(case: str) -> None:
    name, env, settings = CASES[case]
    own = {"max_requests_in_flight_per_env_runner": 1} if name in ("IMPALA", "APPO") else {}
    (local, a), (serial, b) = (
        trained(name, env, {**settings, **more}) for more in ({}, {"num_env_runners": 1, "fleet": "serial", **own})
    )
    require_equal(local, serial)
    assert a["learner"] == b["learner"]
    assert a.get("episode_return_mean") == b.get("episode_return_mean")
    assert "fleet" not in a
    assert b["fleet"]["lag_max"] == 0


def test_several_workers_are_like_themselves_and_not_like_one() -> None:
    settings = {**SMALL, **ONCE}
    found = [trained("PPO", "CartPole-v1", {**settings, "num_env_runners": n, "fleet": "serial"})[0] for n in (3, 3, 1)]
    require_equal(found[0], found[1])
    assert not is_equal(found[0], found[2])


def test_steps_and_fragments_of_all_workers_count() -> None:
    with closing(new(PPO, "CartPole-v1", {**SMALL, **ONCE, **SERIAL, "rollout_fragment_length": 2})) as algorithm:
        trajectory = algorithm.fleet.gather(16)
        assert trajectory.valid.shape == (2, 8)
        assert trajectory.lanes[:, 0].tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
        algorithm.train()
        assert algorithm.counters.vector_steps == 4


@pytest.mark.parametrize("case", ["PPO", "APPO", "DQN", "SAC", "PPO, LSTM and scaled rewards"])
def test_arrays_that_nobody_may_write_to_can_be_learnt_from(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes out of Ray is read-only, and nothing changes for it."""
    do = Worker.do

    def frozen(worker: Worker, job: Job, version: int, weights: Any) -> Any:
        buffers: list[pickle.PickleBuffer] = []
        packed = pickle.dumps(do(worker, job, version, weights), protocol=5, buffer_callback=buffers.append)
        found = pickle.loads(packed, buffers=[bytes(buffer.raw()) for buffer in buffers])
        assert not found.trajectory.actions.flags.writeable
        return found

    name = case.split(",")[0]
    env, settings = (
        "Pendulum-v1" if name == "SAC" else "CartPole-v1",
        {**SMALL, "num_env_runners": 1, "fleet": "serial"},
    )
    if name == "PPO":
        settings |= ONCE
    if "LSTM" in case:
        settings |= {"normalize_rewards": True, "observation_filter": "MeanStdFilter"}
        settings["model"] = {"fcnet_hiddens": [4], "use_lstm": True, "lstm_cell_size": 4, "max_seq_len": 4}
    plain, _ = trained(name, env, settings)
    monkeypatch.setattr(Worker, "do", frozen)
    require_equal(plain, trained(name, env, settings)[0])


class Paid(Odd):
    """Pays the same rewards in each episode, whatever is done."""

    def step(self, action: Any) -> Any:
        obs, _, over, cut, infos = super().step(action)
        return obs, float(self.t % 5) ** 2, over, cut, infos


def test_rewards_of_two_workers_are_scaled_as_those_of_one_source_of_twice_the_width() -> None:
    found = []
    for workers, width in ((2, 2), (1, 4)):
        settings = {**SMALL, **ONCE, "fleet": "serial", "num_env_runners": workers, "num_envs_per_env_runner": width}
        with closing(new(PPO, Paid, {**settings, "normalize_rewards": True})) as algorithm:
            rewards = []
            for _ in range(3):
                trajectory = algorithm.fleet.gather(16)
                rewards.append(algorithm.rewards(trajectory).rewards)
            found.append((np.stack(rewards), algorithm.rewards.stat.n, float(algorithm.rewards.stat.std)))
    np.testing.assert_array_equal(found[0][0], found[1][0])
    assert found[0][1:] == found[1][1:]
    assert found[0][1] == 48


# --------------------------------------------------------------------------------------- asynchronous


def test_impala_learns_from_fragments_of_the_weights_before() -> None:
    settings = {**SMALL, **SERIAL, "train_batch_size": 20, "rollout_fragment_length": 5}
    with closing(new(IMPALA, "CartPole-v1", settings)) as algorithm:
        results = [algorithm.train()["fleet"] for _ in range(2)]
        assert results[1]["lag_mean"] == results[1]["lag_max"] == 1
        trajectory = algorithm.fleet.gather(20)
        assert trajectory.action_logp is not None
        assert {*trajectory.versions.tolist()} == {algorithm.policy.version - 1}


@pytest.mark.parametrize("name", ["APPO", "PPO", "A2C", "PG"])
def test_log_probabilities_are_those_of_the_weights_that_acted(name: str) -> None:
    settings = {**SMALL, **SERIAL, "train_batch_size": 20, "rollout_fragment_length": 5, "lr": 0.1}
    settings |= {"max_requests_in_flight_per_env_runner": 2, **(ONCE if name == "PPO" else {})}
    with closing(new(ALGORITHMS[name], "CartPole-v1", settings)) as algorithm:
        found = algorithm.fleet.gather(20)
        again = with_logp(algorithm.policy, replace(found, action_logp=None))
        np.testing.assert_allclose(found.action_logp[found.valid], again.action_logp[found.valid], atol=1e-6)
        for _ in range(3):
            algorithm.train()
        stale = algorithm.fleet.gather(20)
        changed = with_logp(algorithm.policy, replace(stale, action_logp=None))
        assert np.abs(stale.action_logp - changed.action_logp)[stale.valid].max() > 1e-3


@pytest.mark.parametrize("name", ["PPO", "A2C", "PG", "DQN", "SAC"])
def test_the_others_are_asynchronous_if_asked(name: str) -> None:
    extra = ONCE if name == "PPO" else {"rollout_fragment_length": 4} if name in ("DQN", "SAC") else {}
    settings = {**SMALL, **SERIAL, **extra, "max_requests_in_flight_per_env_runner": 2}
    _, result = trained(name, "CartPole-v1", settings, iterations=3)
    assert result["fleet"]["lag_mean"] >= 1
    _, result = trained(name, "CartPole-v1", {**settings, "max_requests_in_flight_per_env_runner": 1})
    assert result["fleet"]["lag_mean"] == 0


# ------------------------------------------------------------------------------------------------ keys


@pytest.mark.parametrize("value", [1, 3])
def test_broadcast_interval(value: int) -> None:
    settings = {**SMALL, **SERIAL, **ONCE, "broadcast_interval": value}
    with closing(new(PPO, "CartPole-v1", settings)) as algorithm:
        lags = [algorithm.train()["fleet"]["lag_mean"] for _ in range(5)]
    assert lags == ([0] * 5 if value == 1 else [0, 1, 2, 0, 1])


@pytest.mark.parametrize("value", [None, 1])
def test_max_lag(value: int | None) -> None:
    settings = {**SMALL, **SERIAL, "train_batch_size": 10, "rollout_fragment_length": 5, "max_lag": value}
    with closing(new(IMPALA, "CartPole-v1", {**settings, "max_requests_in_flight_per_env_runner": 4})) as algorithm:
        fleet = [algorithm.train()["fleet"] for _ in range(2)][-1]
    assert (fleet["lag_max"] <= 1) is (fleet["stale"] > 0) is (value == 1)


@pytest.mark.parametrize("interval", [1, 5])
@pytest.mark.parametrize("way", ["set", "load"])
def test_workers_act_with_weights_that_were_loaded(way: str, interval: int, tmp_path: Path) -> None:
    """Their version says nothing of weights that come from elsewhere: it may well be the present one."""
    settings = {**SMALL, **SERIAL, "train_batch_size": 20, "rollout_fragment_length": 5, "lr": 0.1}
    settings |= {"broadcast_interval": interval, "max_requests_in_flight_per_env_runner": 1}
    evaluating = {"evaluation_num_env_runners": 1, "evaluation_episodes": 1}
    with (
        closing(new(APPO, "CartPole-v1", {**settings, **evaluating})) as algorithm,
        closing(new(APPO, "CartPole-v1", {**settings, "seed": 2})) as another,
    ):
        for one in (algorithm, another):
            one.train()
        algorithm.fleet.gather(20)
        algorithm.evaluate()
        another.policy.version = algorithm.policy.version
        if way == "set":
            algorithm.set_weights(another.get_weights())
        else:
            another.save(tmp_path)
            algorithm.load_weights(tmp_path)
        found = algorithm.fleet.gather(20)
        assert {*found.versions.tolist()} == {algorithm.policy.version}
        algorithm.evaluate()
        fleet, evaluator = algorithm.fleet, algorithm.evaluator
        assert isinstance(fleet, WorkerFleet)
        assert isinstance(evaluator, WorkerEvaluator)
        for slot in [*fleet._dispatcher._slots, *evaluator._dispatcher._slots]:
            theirs = {**slot.worker.policy.weights(), "timestep": algorithm.policy.weights()["timestep"]}
            require_equal(theirs, algorithm.policy.weights())


def test_workers_evaluate_with_exploration_as_far_as_it_is() -> None:
    """Exploration moves on before the weights do: here there is nothing to learn from yet."""
    settings = {"num_steps_sampled_before_learning_starts": 1000, "train_batch_size": 8, "replay_capacity": 2000}
    evaluating = {"fleet": "serial", "evaluation_num_env_runners": 1, "evaluation_episodes": 1}
    with closing(new(DQN, "CartPole-v1", {**SMALL, **settings, **evaluating})) as algorithm:
        evaluator = algorithm.evaluator
        assert isinstance(evaluator, WorkerEvaluator)
        for _ in range(2):
            algorithm.train()
            algorithm.evaluate(explore=True)
            (slot,) = evaluator._dispatcher._slots
            assert slot.worker.policy.timestep == algorithm.policy.timestep
        assert algorithm.policy.version == 0 < algorithm.policy.timestep


def test_ctrl_c_while_one_is_closed_leaves_nobody_else_open(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    algorithm = new(PPO, "CartPole-v1", {**SMALL, **ONCE, **SERIAL, "evaluation_num_env_runners": 1})
    algorithm.train()
    monkeypatch.setattr(algorithm.evaluator, "close", interrupted)
    with pytest.raises(KeyboardInterrupt):
        algorithm.close()
    assert isinstance(algorithm.fleet, WorkerFleet)
    assert [slot.worker for slot in algorithm.fleet._dispatcher._slots] == [None, None]


def test_where_workers_are() -> None:
    with closing(new(PPO, "CartPole-v1", {**SMALL, **ONCE})) as algorithm:
        assert isinstance(algorithm.fleet, LocalFleet)
    with closing(new(PPO, "CartPole-v1", {**SMALL, **ONCE, **SERIAL})) as algorithm:
        assert isinstance(algorithm.fleet, WorkerFleet)


def test_evaluation_workers() -> None:
    returns = {}
    for workers in (0, 1, 2):
        serial = {"evaluation_num_env_runners": workers, "fleet": "serial"} if workers else {}
        with closing(new(PPO, "CartPole-v1", {**SMALL, **ONCE, **serial})) as algorithm:
            algorithm.train()
            returns[workers] = algorithm.evaluate(5)["returns"]
            assert isinstance(algorithm.evaluator, WorkerEvaluator) is bool(workers)
            assert isinstance(algorithm.fleet, LocalFleet)
    assert returns[0] == returns[1]
    assert len(returns[2]) == 5
    assert returns[2] != returns[0]


def test_an_evaluation_beside_training_is_reported_when_it_is_there() -> None:
    settings = {**SMALL, **ONCE, "evaluation_num_env_runners": 1, "fleet": "serial", "evaluate_every": 16}
    for beside in (False, True):
        more = {"evaluation_parallel_to_training": beside, "evaluation_episodes": 2}
        with closing(new(PPO, "CartPole-v1", {**settings, **more})) as algorithm:
            assert "evaluation" in algorithm.train()
    with closing(new(PPO, "CartPole-v1", {**settings, **more})) as algorithm:
        evaluator = algorithm.evaluator
        assert isinstance(evaluator, WorkerEvaluator)
        late: list[Any] = []
        transport = evaluator._dispatcher._transport
        ready = transport.ready
        transport.ready = lambda tickets, timeout: ready(tickets, timeout) if late else []
        assert "evaluation" not in algorithm.train()
        late.append(True)
        assert algorithm.train()["evaluation"]["episodes"] == 2


def test_a_run_waits_for_the_evaluation_that_is_under_way_at_its_end(tmp_path: Path) -> None:
    settings = {**SMALL, **ONCE, "evaluation_num_env_runners": 1, "fleet": "serial", "evaluate_every": 16}
    settings |= {"evaluation_parallel_to_training": True, "evaluation_episodes": 2}
    with closing(new(PPO, "CartPole-v1", settings)) as algorithm:
        assert isinstance(algorithm.evaluator, WorkerEvaluator)
        transport = algorithm.evaluator._dispatcher._transport
        ready = transport.ready
        transport.ready = lambda tickets, timeout: ready(tickets, timeout) if timeout else []
        seen: list[bool] = []
        result = algorithm.learn(
            32, out=tmp_path, progress=False, callback=lambda _, one: seen.append("evaluation" in one)
        )
        assert len(seen) > 1
        assert seen == [*[False] * (len(seen) - 1), True]
        assert result["evaluation"]["episodes"] == 2
        assert algorithm.counters.is_best
        assert algorithm.finish_evaluation() is None
    # Of the weights that were evaluated, those after the first iteration.
    assert 0 < (steps_on_disk(tmp_path / "best") or 0) <= 16 < (steps_on_disk(tmp_path / "checkpoint") or 0)


IDLE = [
    ({"sample_order": "ready"}, "no workers collect"),
    ({"max_requests_in_flight_per_env_runner": 2}, "no workers collect"),
    ({"broadcast_interval": 2}, "no workers collect"),
    ({"max_lag": 2}, "no fragment is older than"),
    ({**SERIAL, "max_lag": 2}, "no fragment is older than"),
    ({**SERIAL, "broadcast_interval": 5, "max_lag": 1}, "no fragment is older than"),
    ({"fleet": "serial"}, "there are no workers"),
    ({"sample_timeout_s": 5.0}, "no worker is on Ray"),
    ({**SERIAL, "sample_timeout_s": 5.0}, "no worker is on Ray"),
    ({**SERIAL, "restart_failed_env_runners": False}, "no worker is on Ray"),
    ({**SERIAL, "min_env_runners": 1}, "no worker is on Ray"),
    ({"evaluation_num_env_runners": 1, "min_env_runners": 1}, "no workers collect"),
    ({**SERIAL, "num_cpus_per_env_runner": 2.0}, "no worker is on Ray"),
    ({**SERIAL, "num_gpus_per_env_runner": 0.5}, "no worker is on Ray"),
    ({**SERIAL, "custom_resources_per_env_runner": {"camera": 1.0}}, "no worker is on Ray"),
    ({**SERIAL, "ray_address": "auto"}, "no worker is on Ray"),
    ({**SERIAL, "ray_runtime_env": {"pip": ["x"]}}, "no worker is on Ray"),
    ({**SERIAL, "evaluation_parallel_to_training": True}, "no workers evaluate"),
    ({**SERIAL, "max_requests_in_flight_per_env_runner": 2, "sample_order": "ready"}, "as they come anyway"),
]


@pytest.mark.parametrize(("settings", "reason"), IDLE)
def test_a_key_that_would_do_nothing_is_refused(settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        new(PPO, "CartPole-v1", {**SMALL, **ONCE, **settings})


def test_what_a_class_sets_for_workers_is_left_alone_without_them() -> None:
    @dataclass(frozen=True)
    class Config(PPOConfig):
        broadcast_interval: int = 2
        sample_order: Literal["workers", "ready"] = "ready"
        min_env_runners: int | None = 1
        evaluation_parallel_to_training: bool = True

    class Own(PPO):
        config_class = Config

    settings = {**SMALL, **ONCE, "exact_resume": True, "evaluate_every": 16, "evaluation_episodes": 1}
    with closing(Own("CartPole-v1", settings, preset="none")) as algorithm:
        assert "evaluation" in algorithm.train()
    with pytest.raises(ConfigError, match="`broadcast_interval` is 3, but it has no effect: no workers collect"):
        Own("CartPole-v1", {**settings, "broadcast_interval": 3}, preset="none")


@pytest.mark.parametrize("key", ["num_env_runners", "evaluation_num_env_runners"])
def test_a_vector_environment_that_is_there_cannot_be_multiplied(key: str) -> None:
    envs = gym.make_vec("CartPole-v1", num_envs=2)
    with closing(envs), pytest.raises(ConfigError, match=f"`{key}` is 2, but the environment is a vector environment"):
        new(PPO, envs, {**SMALL, **ONCE, key: 2, "fleet": "serial"})


def test_recorded_steps_have_no_workers() -> None:
    with pytest.raises(ConfigError, match="all steps come from `input`"):
        BC("CartPole-v1", input="nowhere.json", **SERIAL)


def test_without_ray_there_is_a_way_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    find = util.find_spec
    monkeypatch.setattr("anyspace.algorithms.scaling.find_spec", lambda name: None if name == "ray" else find(name))
    with pytest.raises(ConfigError, match=r"`num_env_runners` is 2, which needs Ray: pip install 'anyspace\[ray\]'"):
        new(PPO, "CartPole-v1", {**SMALL, **ONCE, "num_env_runners": 2})


def test_nothing_of_ray_is_imported_before_it_is_asked_for() -> None:
    code = (
        "import sys; from anyspace import PPO;"
        " algorithm = PPO('CartPole-v1', num_env_runners=1, fleet='serial', train_batch_size=16, preset='none',"
        " minibatch_size=16, num_epochs=1); algorithm.train(); algorithm.close(); assert 'ray' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_fragments_that_are_older_than_allowed_when_they_are_collected_are_refused() -> None:
    """They would all be dropped, and asked for again with the same weights."""
    with pytest.raises(ConfigError, match=r"`max_lag` is 1, but fragments are up to 2 versions old when"):
        new(IMPALA, "CartPole-v1", {**SERIAL, "broadcast_interval": 3, "max_lag": 1})


def test_what_a_worker_said_before_an_error_is_said(caplog: pytest.LogCaptureFixture) -> None:
    algorithm = new(
        PPO, Odd, {**SMALL, **ONCE, **SERIAL, "rollout_fragment_length": 1, "env_config": {"how": "large then nan"}}
    )
    with closing(algorithm), caplog.at_level("WARNING", "anyspace"), pytest.raises(ObservationError):
        algorithm.train()
    assert "expected a value in [-1.0, 1.0], got 2.0" in caplog.text


def test_the_command_line_has_the_keys(tmp_path: Path) -> None:
    words = ["--train-batch-size", "16", "--minibatch-size", "16", "--num-epochs", "1", "--model.fcnet-hiddens", "4"]
    words += ["--num-env-runners", "2", "--fleet", "serial", "--max-requests-in-flight-per-env-runner", "2"]
    words += ["--broadcast-interval", "2", "--evaluation-num-env-runners", "1", "--evaluation-parallel-to-training"]
    words += ["--preset", "none", "--evaluate", "0", "--no-progress", "--steps", "64", "--out", str(tmp_path / "run")]
    main(["train", "CartPole-v1", *words])
    config = read_state(tmp_path / "run")["config"]
    assert (config["num_env_runners"], config["fleet"], config["broadcast_interval"]) == (2, "serial", 2)
    assert config["evaluation_parallel_to_training"] is True
    assert max(float(row["fleet/lag_max"]) for row in read_metrics(tmp_path / "run" / "metrics.csv")) == 2


# ------------------------------------------------------------------------------------------ exact_resume


@pytest.mark.parametrize("name", ["PPO", "DQN"])
def test_a_run_with_workers_goes_on_exactly(name: str, tmp_path: Any) -> None:
    extra = ONCE if name == "PPO" else {}
    more = {"exact_resume": True, "observation_filter": "MeanStdFilter"}
    with closing(new(ALGORITHMS[name], "CartPole-v1", {**SMALL, **SERIAL, **extra, **more})) as algorithm:
        algorithm.train()
        algorithm.save(tmp_path / "saved")
        with closing(Algorithm.load(tmp_path / "saved")) as other:
            for one in (algorithm, other):
                one.train()
                one.train()
            require_equal(algorithm.policy.weights(), other.policy.weights())


def test_exact_resume_with_fragments_ahead_is_refused() -> None:
    with pytest.raises(ConfigError, match="`exact_resume`: fragments that workers collect ahead"):
        new(IMPALA, "CartPole-v1", {**SMALL, **SERIAL, "exact_resume": True})


EPSILONS: list[tuple[dict[str, Any], int, dict[str, float]]] = [
    ({"exploration_config": {"epsilon_timesteps": 100, "final_epsilon": 0.0}}, 0, {"epsilon": 0.7}),
    ({"exploration_config": {"epsilon_timesteps": 100, "final_epsilon": 0.0}}, 2, {"epsilon": 0.7}),
    ({"exploration_config": {"type": "PerWorkerEpsilonGreedy", "epsilon_timesteps": 100}}, 1, {"epsilon": 0.715}),
    ({"exploration_config": {"type": "PerWorkerEpsilonGreedy", "epsilon_timesteps": 100}}, 2, {}),
    (
        {"exploration_config": {"type": "ParameterNoise", "initial_stddev": 0.5, "random_timesteps": 0}},
        2,
        {"epsilon": 0.01},
    ),
    ({"exploration_config": {"type": "ParameterNoise", "random_timesteps": 0}}, 0, {"epsilon": 0.01, "stddev": 1.0}),
    ({"explore": False}, 0, {}),
]


@pytest.mark.parametrize(("settings", "workers", "expected"), EPSILONS, ids=str)
def test_what_exploring_comes_to_is_told_where_it_is_the_same_for_all(
    settings: dict[str, Any], workers: int, expected: dict[str, float]
) -> None:
    config = DQN.config_class(num_env_runners=workers, **settings)
    policy = Policy(Box(-1, 1, (2,)), Discrete(3), config, TorchRuntime("cpu"), DQN.plan(config))
    policy.at(30)
    assert explored(policy.exploration, config) == pytest.approx(expected)
