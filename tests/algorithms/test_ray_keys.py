"""Keys about workers on Ray, with workers in this process that a stand-in for Ray's transport reaches."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import Any

import pytest

from anyspace import PPO
from anyspace.errors import ConfigError, WorkerError
from anyspace.execution.fleet import WARM_UP
from anyspace.execution.packing import Packed
from anyspace.execution.transport import Outcome, SerialTransport, WorkerGone
from anyspace.execution.worker import Fragment, Job, Recipe

pytest.importorskip("ray")

SMALL: dict[str, Any] = {
    "train_batch_size": 16,
    "minibatch_size": None,
    "num_epochs": 1,
    "num_envs_per_env_runner": 2,
    "num_env_runners": 2,
    "model": {"fcnet_hiddens": [4]},
    "seed": 1,
}


class Stand(SerialTransport):
    """Workers in this process, of which the first fragment may be lost, or the second worker slow, or hang at first."""

    dies = slow = hangs = False
    bytes = 1e9
    demand: Any = None

    def __init__(self, recipe: Recipe, demand: Any):
        super().__init__(recipe)
        type(self).demand = demand
        self._late: dict[Any, int] = {}

    def request(self, worker: Any, job: Job, version: int, weights: Packed) -> Any:
        ticket = super().request(worker, job, version, weights)
        if worker.number == 1:
            self._late[ticket] = 10**9 if self.hangs and not worker.incarnation else 3 * self.slow
        return ticket

    def ready(self, tickets: Sequence[Any], timeout: float) -> list[Any]:
        self._late = {ticket: left - 1 for ticket, left in self._late.items() if left}
        return [ticket for ticket in tickets if ticket not in self._late]

    def take(self, ticket: Any) -> Outcome:
        answer = super().take(ticket)
        if self.dies and isinstance(answer, Fragment):
            self.dies = False
            return WorkerGone("it was killed")
        return answer

    def store(self) -> float:
        return self.bytes


@pytest.fixture
def stand(monkeypatch: pytest.MonkeyPatch) -> type[Stand]:
    """Put the stand-in in the place of Ray's transport."""
    kind = type("Here", (Stand,), {})
    monkeypatch.setattr("anyspace.execution.ray_fleet.RayTransport", kind)
    return kind


def new(**settings: Any) -> PPO:
    return PPO("CartPole-v1", {**SMALL, **settings}, preset="none")


@pytest.mark.parametrize("value", [True, False])
def test_restart_failed_env_runners(stand: type[Stand], value: bool) -> None:
    stand.dies = True
    with closing(new(restart_failed_env_runners=value)) as algorithm:
        if value:
            assert algorithm.train()["fleet"]["restarts"] == 1
        else:
            with pytest.raises(WorkerError, match=r"died \(it was killed\), and `restart_failed_env_runners` is off"):
                algorithm.train()


@pytest.mark.parametrize("value", [0.2, 60.0])
def test_sample_timeout_s(stand: type[Stand], value: float) -> None:
    """The second worker hangs, or takes a while."""
    stand.hangs, stand.slow = value < 1, value > 1
    with closing(new(sample_timeout_s=value)) as algorithm:
        assert algorithm.train()["fleet"]["restarts"] == (value < 1)


@pytest.mark.parametrize("value", ["workers", "ready"])
def test_sample_order(stand: type[Stand], value: str) -> None:
    """The second worker is slow: it keeps its shares, or the first takes some of them over."""
    stand.slow = True
    with closing(new(sample_order=value, rollout_fragment_length=1)) as algorithm:
        workers = algorithm.fleet.gather(16).lanes[:, 0].tolist()
    assert len(workers) == 16
    assert workers.count(1) < 8 if value == "ready" else workers.count(1) == 8


@pytest.mark.parametrize(("value", "least"), [(None, 3), (1, 2)])
def test_min_env_runners(stand: type[Stand], value: int | None, least: int) -> None:
    """Workers that evaluate are needed in any case."""
    with closing(new(min_env_runners=value, evaluation_num_env_runners=1)) as algorithm:
        algorithm.fleet.gather(16)
    assert (stand.demand.workers, stand.demand.least) == (3, least)


def test_more_workers_at_once_than_there_are_are_refused() -> None:
    with pytest.raises(ConfigError, match="`min_env_runners` is 3, but there are 2 workers that collect"):
        new(min_env_runners=3)


def test_what_ray_is_asked_for(stand: type[Stand]) -> None:
    asked: dict[str, Any] = {
        "num_cpus_per_env_runner": 0.5,
        "num_gpus_per_env_runner": 0.25,
        "custom_resources_per_env_runner": {"camera": 1.0},
        "ray_address": "auto",
        "ray_runtime_env": {"env_vars": {"LICENCE": "1"}},
    }
    with closing(new(**asked, evaluation_num_env_runners=1, evaluation_episodes=1)) as algorithm:
        algorithm.fleet.gather(16)
        demand = stand.demand
        assert demand.amounts(demand.workers) == {"CPU": 1.5, "GPU": 0.75, "camera": 3.0}
        assert (demand.address, demand.runtime_env) == ("auto", {"env_vars": {"LICENCE": "1"}})
        algorithm.evaluate()
        assert stand.demand is not demand
        assert stand.demand.owner is demand.owner is algorithm.policy


def test_short_fragments_are_told_once(stand: type[Stand], caplog: pytest.LogCaptureFixture) -> None:
    with closing(new()) as algorithm, caplog.at_level("WARNING", "anyspace"):
        for _ in range(WARM_UP):
            algorithm.fleet.gather(16)
        assert not caplog.messages
        for _ in range(2):
            algorithm.fleet.gather(16)
    (told,) = caplog.messages
    assert told.startswith("workers take ")
    assert "one process (num_env_runners=0) is often as quick" in told


@pytest.mark.parametrize("size", [1e9, 1000.0])
def test_a_store_that_is_too_small_is_told(stand: type[Stand], size: float, caplog: pytest.LogCaptureFixture) -> None:
    stand.bytes = size
    with closing(new()) as algorithm, caplog.at_level("WARNING", "anyspace"):
        for _ in range(WARM_UP):
            algorithm.fleet.gather(16)
    assert len(caplog.messages) == (size == 1000.0)
    if caplog.messages:
        assert "2 fragments may be under way, of 0.0 MB each, but Ray's object store has 0 MB" in caplog.text
