"""Workers that are actors of Ray: they give what workers in this process give, and may die. One Ray for all tests."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from anyspace import Algorithm, register_env
from anyspace.algorithms import ALGORITHMS
from anyspace.distributions import Categorical
from anyspace.errors import ConfigError, ObservationError, WorkerError
from anyspace.execution.evaluate import Request
from anyspace.execution.stopping import kept_handlers
from anyspace.models import ModelCatalog
from anyspace.models.torch import TorchModelV2
from tests.data.test_env_calls import Level
from tests.execution.test_worker import Odd, Stubborn
from tests.support.hashes import CASES

ray = pytest.importorskip("ray")

SMALL: dict[str, Any] = {
    "train_batch_size": 16,
    "num_envs_per_env_runner": 2,
    "model": {"fcnet_hiddens": [4]},
    "seed": 1,
    "num_env_runners": 1,
}
ONCE: dict[str, Any] = {"minibatch_size": None, "num_epochs": 1}


pytestmark = pytest.mark.xdist_group("ray")


@pytest.fixture(scope="module", autouse=True)
def one_ray() -> Iterator[None]:
    """Start Ray once, with room for four workers, and end it; later tests find the handlers of signals as they were."""
    with kept_handlers():
        ray.init(address="local", num_cpus=4, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        yield
        ray.shutdown()


def new(env: Any, settings: dict[str, Any], name: str = "PPO") -> Algorithm[Any]:
    return ALGORITHMS[name](env, {**SMALL, **(ONCE if name == "PPO" else {}), **settings}, preset="none")


def processes(algorithm: Algorithm[Any]) -> list[int]:
    """Return the processes of an algorithm's workers; building again is what they answer for it."""
    fleet: Any = algorithm.fleet
    transport = fleet._dispatcher._transport
    workers = [slot.worker for slot in fleet._dispatcher._slots]
    return [built.process for built in ray.get([one.build.remote(transport._recipe) for one in workers])]


BESIDE: dict[str, Any] = {
    "evaluation_num_env_runners": 1,
    "evaluation_parallel_to_training": True,
    "evaluate_every": 1,
    "evaluation_episodes": 2,
}


def require_evaluated(algorithm: Algorithm[Any], results: list[dict[str, Any]]) -> None:
    """Wait for an evaluation beside training; one that is asked for plays what this process would."""
    late = algorithm.finish_evaluation()
    assert late is not None or any("evaluation" in one for one in results)
    evaluator: Any = algorithm.evaluator
    played = evaluator._local.evaluate(Request(episodes=3, seed=5))
    assert algorithm.evaluate(3, seed=5)["returns"] == [one.total_reward for one in played]


@pytest.mark.parametrize("case", ["lstm", pytest.param("DQN, parameter noise", marks=pytest.mark.ray)])
def test_they_give_what_workers_in_this_process_give(case: str) -> None:
    name, env, settings = CASES[case]
    if name == "DQN":
        settings = {**settings, "rollout_fragment_length": 8}
    weights = []
    for fleet in ("serial", "ray"):
        more = {"num_env_runners": 2, "fleet": fleet, "observation_filter": "MeanStdFilter"}
        if case == "lstm":
            more |= BESIDE
        with closing(ALGORITHMS[name](env, {**settings, **more}, preset="none")) as algorithm:
            results = [algorithm.train() for _ in range(2)]
            weights.append(algorithm.policy.weights())
            if case == "lstm":
                require_evaluated(algorithm, results)
    for key, array in weights[0].items():
        np.testing.assert_array_equal(array, weights[1][key], err_msg=key)


class Small(TorchModelV2):
    """A model that workers have to be told of."""

    def __init__(self, obs_space: Any, action_space: Any, num_outputs: int, model_config: Any, name: str):
        import torch

        super().__init__(obs_space, action_space, num_outputs, model_config, name)
        self.out = torch.nn.Linear(2, num_outputs + 1)

    def forward(self, input_dict: Any, state: Any, seq_lens: Any) -> Any:
        self.found = self.out(input_dict["obs_flat"])
        return self.found[:, 1:], state

    def value_function(self) -> Any:
        return self.found[:, 0]


class Ends(Odd):
    """Ends its process, is killed, hangs or raises at a step, everywhere or in the first incarnation alone."""

    def __init__(self, how: str, mark: str = "", at: int = 3):
        super().__init__(how, at)
        self.mark = mark

    def step(self, action: Any) -> Any:
        if self.t == self.at - 1 and (not self.mark or not os.path.exists(self.mark)):
            if self.mark:
                open(self.mark, "w").close()
            if self.how == "exits":
                os._exit(7)
            if self.how == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.how == "hangs":
                time.sleep(1000)
            if self.how == "stubborn":
                raise Stubborn("stuck", "rust")
        return super().step(action)


class Loud(Categorical):
    """A distribution that workers have to be told of."""


def test_who_is_killed_in_a_fragment_is_replaced_and_an_initialised_ray_left_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Environment, model and distribution go by names that workers have to be told of."""
    mark = str(tmp_path / "mark")
    gym.register("ToldToWorkers-v0", entry_point=lambda: Ends("killed", mark))
    ModelCatalog.register_custom_model("told to workers", Small)
    ModelCatalog.register_custom_action_dist("told to workers", Loud)
    model = {"custom_model": "told to workers", "custom_action_dist": "told to workers"}
    algorithm = new("ToldToWorkers-v0", {"num_env_runners": 2, "model": model})
    with closing(algorithm), caplog.at_level("WARNING", "anyspace"):
        handler = signal.getsignal(signal.SIGTERM)
        result = algorithm.train()
        assert (result["fleet"]["restarts"], result["timesteps_this_iter"]) == (1, 16)
        # Ray does not always know how it died.
        died = r"(Worker .*, as one that is killed, runs out of memory|ActorDiedError: The actor died unexpectedly)"
        assert re.search(rf"worker [01] is replaced: {died}", caplog.text)
        assert sorted(algorithm.fleet.gather(16).lanes[:, 1].tolist()) == [0, 0, 1, 1]
        assert signal.getsignal(signal.SIGTERM) is handler
    gym.registry.pop("ToldToWorkers-v0")
    assert ray.is_initialized()


@pytest.mark.ray
def test_environments_of_workers_are_called() -> None:
    with closing(new(Level, {}, "A2C")) as algorithm:
        algorithm.call_envs("set_level", 5.0)
        assert set(np.unique(algorithm.fleet.gather(8).rewards).tolist()) == {5.0}


@pytest.mark.ray
def test_a_worker_that_hangs_is_replaced(tmp_path: Any) -> None:
    register_env("hangs", lambda: Ends("hangs", str(tmp_path / "mark")))
    with closing(new("hangs", {"sample_timeout_s": 2.0})) as algorithm:
        assert algorithm.train()["fleet"]["restarts"] == 1


@pytest.mark.ray
def test_an_error_of_the_library_is_the_original_one() -> None:
    algorithm = new(Odd, {"env_config": {"how": "nan"}})
    with closing(algorithm), pytest.raises(ObservationError, match="worker 0, step 3, environment 0"):
        algorithm.train()


def test_an_error_that_cannot_be_sent_is_told_as_it_was() -> None:
    algorithm = new(lambda: Ends("stubborn"), {})
    with closing(algorithm), pytest.raises(RuntimeError, match="Stubborn: stuck because rust") as caught:
        algorithm.train()
    assert any("In worker 0:\nTraceback" in note for note in caught.value.__notes__)


class Refuses(Odd):
    """Cannot be made, or not be reset, in a process of Ray's."""

    def __init__(self, where: str):
        super().__init__()
        self.where = where
        self._refuse("made")

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        self._refuse("reset")
        return super().reset(seed=seed, options=options)

    def _refuse(self, where: str) -> None:
        if where == self.where and ray.get_runtime_context().worker.mode != 0:
            raise OSError("no licence")


@pytest.mark.ray
@pytest.mark.parametrize("where", ["made", "reset"])
def test_an_error_before_the_first_step_is_the_original_one(where: str) -> None:
    algorithm = new(Refuses, {"env_config": {"where": where}})
    with closing(algorithm), pytest.raises(OSError, match="no licence") as caught:
        algorithm.train()
    assert any("In worker 0:\nTraceback" in note for note in caught.value.__notes__)


class Closes(Odd):
    """Leaves a file when it is closed, with what its process was told."""

    def __init__(self, file: Path):
        super().__init__()
        self.file = file

    def close(self) -> None:
        with self.file.open("a") as file:
            file.write(os.environ.get("TOLD", ""))


def test_environments_are_closed(tmp_path: Path) -> None:
    """The environment is an instance, of which workers have copies; `ray_runtime_env` reaches them."""
    environment = {"env_vars": {"TOLD": "everything"}}
    algorithm = new(Closes(tmp_path / "closed"), {"num_env_runners": 1, "ray_runtime_env": environment})
    algorithm.train()
    algorithm.close()
    assert (tmp_path / "closed").read_text() == 2 * "everything"


@pytest.mark.parametrize(
    "name", ["IMPALA", pytest.param("DQN", marks=pytest.mark.ray), pytest.param("SAC", marks=pytest.mark.ray)]
)
def test_workers_go_on_while_the_learner_learns(name: str) -> None:
    settings: dict[str, Any] = {"max_requests_in_flight_per_env_runner": 2, "rollout_fragment_length": 8}
    settings |= {"min_sample_timesteps_per_iteration": 64, "train_batch_size": 16}
    if name != "IMPALA":
        settings |= {"num_steps_sampled_before_learning_starts": 16}
    with closing(new("Pendulum-v1" if name == "SAC" else "CartPole-v1", settings, name)) as algorithm:
        algorithm.train()
        fleet = algorithm.train()["fleet"]
    assert fleet["lag_max"] >= 1
    assert fleet["requests"] >= 1


def test_a_cluster_that_is_too_small_is_told_before_anything_starts() -> None:
    algorithm = new("CartPole-v1", {"num_env_runners": 9, "num_cpus_per_env_runner": 0.5})
    with closing(algorithm), pytest.raises(ConfigError, match=r"9 workers with 0\.5 CPU each need 4\.5 CPU"):
        algorithm.train()
    algorithm = new("CartPole-v1", {"num_env_runners": 9})
    with closing(algorithm), pytest.raises(ConfigError, match="9 workers with 1 CPU each need 9 CPU, but Ray has 4"):
        algorithm.train()
    algorithm = new("CartPole-v1", {"custom_resources_per_env_runner": {"camera": 1.0}})
    with closing(algorithm), pytest.raises(ConfigError, match="need 1 camera, but Ray has 0"):
        algorithm.train()
    algorithm = new("CartPole-v1", {"num_gpus_per_env_runner": 100.0})
    with closing(algorithm), pytest.raises(ConfigError, match="need 100 GPU, but Ray has"):
        algorithm.train()


def test_what_cannot_be_sent_is_named() -> None:
    lock = __import__("threading").Lock()

    def made() -> Any:
        return Odd() if lock else None

    algorithm = new(made, {})
    with closing(algorithm), pytest.raises(ConfigError, match="the environment cannot be sent to workers"):
        algorithm.train()


@pytest.mark.ray
def test_a_run_with_workers_goes_on_exactly(tmp_path: Path) -> None:
    settings = {"num_env_runners": 2, "exact_resume": True, "observation_filter": "MeanStdFilter"}
    with closing(new("CartPole-v1", settings)) as algorithm:
        algorithm.train()
        algorithm.save(tmp_path / "saved")
        with closing(Algorithm.load(tmp_path / "saved")) as other:
            for one in (algorithm, other):
                one.train()
                one.train()
            for name, array in algorithm.policy.weights().items():
                np.testing.assert_array_equal(array, other.policy.weights()[name], err_msg=name)


def children(process: int) -> list[int]:
    """Return the processes that a process has started."""
    return [int(number) for number in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


@pytest.mark.ray
def test_environments_in_processes_end_with_the_worker_that_is_killed() -> None:
    with closing(new("CartPole-v1", {"vectorization": "async"})) as algorithm:
        algorithm.train()
        (worker,) = processes(algorithm)
        environments = children(worker)
        assert len(environments) >= 2
        os.kill(worker, signal.SIGKILL)
        assert algorithm.train()["fleet"]["restarts"] == 1
        until = time.monotonic() + 20
        while any(Path(f"/proc/{one}").exists() for one in environments) and time.monotonic() < until:
            time.sleep(0.2)
        assert not [one for one in environments if Path(f"/proc/{one}").exists()]


@pytest.mark.ray
def test_death_in_every_fragment_ends_the_run() -> None:
    algorithm = new(lambda: Ends("exits"), {"num_env_runners": 2})
    with closing(algorithm), pytest.raises(WorkerError, match="4 times in a row without a fragment in between"):
        algorithm.train()


@pytest.mark.ray
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("workers", [1, 3])
def test_every_case_is_the_same_on_ray(case: str, workers: int) -> None:
    name, env, settings = CASES[case]
    own = {"max_requests_in_flight_per_env_runner": 1} if name in ("IMPALA", "APPO") else {}
    weights = []
    for fleet in ("serial", "ray"):
        more = {"num_env_runners": workers, "fleet": fleet, **own}
        with closing(ALGORITHMS[name](env, {**settings, **more}, preset="none")) as algorithm:
            for _ in range(3):
                algorithm.train()
            weights.append(algorithm.policy.weights())
    for key, array in weights[0].items():
        np.testing.assert_array_equal(array, weights[1][key], err_msg=key)


@pytest.mark.ray
def test_impala_learns_although_workers_are_killed() -> None:
    settings = {"num_env_runners": 2, "num_envs_per_env_runner": 4, "model": {"fcnet_hiddens": [64]}, "lr": 2e-3}
    settings |= {"train_batch_size": 500, "rollout_fragment_length": 50, "entropy_coeff": 0.005}
    with closing(new("CartPole-v1", settings, "IMPALA")) as algorithm:
        restarts, killed, began = 0.0, 0, time.monotonic()
        best, evaluated = 0.0, 200_000  # returns swing, and which weights the run ends with depends on the machine
        while killed < 10 or best < 450:
            assert killed < 10 or algorithm.timesteps_total < 500_000, f"the best return is {best}"
            fleet = algorithm.train()["fleet"]
            restarts += fleet["restarts"]
            if time.monotonic() - began > 6 * (killed + 1) and killed < 10:
                os.kill(processes(algorithm)[killed % 2], signal.SIGKILL)
                killed += 1
            if algorithm.timesteps_total >= evaluated:
                best = max(best, algorithm.evaluate(20)["episode_return_mean"])
                evaluated += 25_000
        assert restarts >= 9
