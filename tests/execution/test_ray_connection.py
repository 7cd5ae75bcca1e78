"""Which Ray workers are on, and what is said before any starts: with a stand-in for Ray, which starts nothing."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from anyspace import PPO
from anyspace.errors import ConfigError, WorkerError

pytest.importorskip("ray")

from ray.exceptions import ObjectStoreFullError, RayActorError

from anyspace.execution import ray_fleet
from anyspace.execution.ray_fleet import Demand, RayTransport, Resources


class Ray:
    """Ray as far as connecting goes."""

    def __init__(self) -> None:
        self.address, self.inits, self.taken = "", list[dict[str, Any]](), 0.0
        self.cluster, self.handler = 8.0, signal.SIG_DFL

    def is_initialized(self) -> bool:
        return bool(self.address)

    def init(self, address: str, num_cpus: float | None = None, **options: Any) -> None:
        assert not self.address
        if address == "nobody:1":
            raise ConnectionError("timed out")
        self.inits.append({"address": address, "num_cpus": num_cpus, **options})
        self.cluster = 8.0 if num_cpus is None else num_cpus
        self.address = f"10.0.0.{len(self.inits)}:6379"
        signal.signal(signal.SIGTERM, signal.SIG_IGN)

    def shutdown(self) -> None:
        self.address = ""

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": self.cluster}

    def available_resources(self) -> dict[str, float]:
        return {"CPU": self.cluster - self.taken}

    def get_runtime_context(self) -> Any:
        return SimpleNamespace(gcs_address=self.address)


class Open:
    """A transport that is in use."""

    itself: Open

    def __init__(self, demand: Demand):
        self.demand = demand


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ray]:
    """Put a stand-in in the place of Ray, on a machine with two cores."""
    fake = Ray()
    monkeypatch.setattr(ray_fleet, "ray", fake)
    monkeypatch.setattr(ray_fleet, "_initialised", {})
    monkeypatch.setattr(ray_fleet, "FREE_TIMEOUT", 0.0)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    yield fake
    ray_fleet._in_use.clear()


def connect(workers: int = 2, owner: object = None, least: int | None = None, **more: Any) -> Open:
    """Connect an algorithm with some workers, and keep it open as long as the result is."""
    demand = Demand(owner=owner or object(), workers=workers, least=least or workers, resources=Resources(), **more)
    ray_fleet._connect(demand)
    transport: Any = Open(demand)
    ray_fleet._in_use.add(transport)
    return transport


def test_a_ray_on_this_machine_has_room_for_all_workers_and_leaves_signals_alone(there: Ray) -> None:
    handler = signal.getsignal(signal.SIGTERM)
    first = connect(4)
    assert there.inits[0]["num_cpus"] == 4
    assert signal.getsignal(signal.SIGTERM) is handler
    del first
    connect(1)
    assert len(there.inits) == 1
    connect(6)  # nobody uses the first one any more
    assert [one["num_cpus"] for one in there.inits] == [4, 6]


def test_other_algorithms_keep_what_their_workers_take(there: Ray) -> None:
    open_one = connect(2)
    with pytest.raises(ConfigError, match=r"but Ray has 2, of which other algorithms of this program hold 2. .* close"):
        connect(2)
    # Its evaluation workers are part of what it asked for.
    connect(2, owner=open_one.demand.owner)
    del open_one
    connect(2)


def test_algorithms_that_nobody_holds_any_more_hold_nothing(there: Ray) -> None:
    """An algorithm refers to itself, and so does its transport here."""
    lost = connect(2)
    lost.itself = lost
    del lost
    connect(2)


@pytest.mark.parametrize("address", [None, "local"])
def test_a_cluster_by_the_environment_unless_this_machine_is_asked_for(
    there: Ray, monkeypatch: pytest.MonkeyPatch, address: str | None
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "head:6379")
    connect(4, address=address)
    assert (there.inits[0]["address"], there.inits[0]["num_cpus"]) == (("local", 4) if address else ("head:6379", None))


def test_an_address_is_not_ignored_where_ray_is_there(there: Ray) -> None:
    open_one = connect()
    with pytest.raises(ConfigError, match=r"'auto', but an algorithm that is open uses a Ray at 10\.0\.0\.1:6379"):
        connect(address="auto")
    del open_one
    cluster = connect(address="auto")
    assert [one["address"] for one in there.inits] == ["local", "auto"]
    for address in (None, "auto", "10.0.0.2:6379"):
        connect(address=address)
    with pytest.raises(ConfigError, match="'local', but an algorithm that is open uses"):
        connect(address="local")
    assert cluster.demand.address == "auto"


def test_a_ray_of_the_program_is_left_alone(there: Ray) -> None:
    there.address, there.cluster = "10.1.1.1:6379", 4.0
    for address in (None, "auto", "10.1.1.1:6379"):
        connect(address=address)
    for address in ("local", "10.9.9.9:6379"):
        with pytest.raises(ConfigError, match=rf"'{address}', but this program has initialised Ray at 10.1.1.1:6379"):
            connect(address=address)
    with pytest.raises(ConfigError, match="9 workers with 1 CPU each need 9 CPU, but Ray has 4"):
        connect(9)
    connect(9, least=4)  # the cluster may grow
    assert there.address == "10.1.1.1:6379"
    assert not there.inits


def test_what_other_programs_hold_is_told_at_once(there: Ray, caplog: pytest.LogCaptureFixture) -> None:
    there.address, there.taken = "10.1.1.1:6379", 7.0
    with caplog.at_level("WARNING", "anyspace"):
        open_one = connect(2)
        connect(2, owner=open_one.demand.owner)
    assert caplog.messages == [
        "2 workers take 2 CPU, of which Ray has 1 free: other programs hold the rest, and workers wait for them."
    ]


def test_nobody_answers(there: Ray) -> None:
    with pytest.raises(ConfigError, match="`ray_address` is 'nobody:1', but no Ray answers there: timed out"):
        connect(address="nobody:1")
    with pytest.raises(ConfigError, match="'ray://head:10001', which reaches a cluster from outside"):
        connect(address="ray://head:10001")


def raises(error: BaseException) -> Any:
    """Return a function that raises an error, whatever it is given."""

    def function(*_: Any, **__: Any) -> None:
        raise error

    return function


@pytest.fixture
def transport(there: Ray) -> RayTransport:
    """Return a transport that is connected to nothing."""
    made = RayTransport.__new__(RayTransport)
    ray_fleet._in_use.add(made)
    return made


def test_ctrl_c_while_workers_close_ends_them_all_the_same(there: Any, transport: RayTransport) -> None:
    killed: list[Any] = []
    there.wait, there.kill = raises(KeyboardInterrupt()), killed.append
    workers = [SimpleNamespace(close=SimpleNamespace(remote=object)) for _ in range(2)]
    with pytest.raises(KeyboardInterrupt):
        transport.end(workers)
    assert killed == workers
    assert transport not in ray_fleet._in_use


class NotMade(RayActorError):
    """What Ray says where this library is missing on a machine."""

    actor_init_failed = True

    def __str__(self) -> str:
        return "an error was raised in its creation task\n  ...\nModuleNotFoundError: No module named 'anyspace'"


def test_a_worker_that_cannot_be_made_ends_the_run_at_once(there: Any, transport: RayTransport) -> None:
    there.get = raises(NotMade())
    with pytest.raises(WorkerError, match=r"cannot be made: ModuleNotFoundError: .* install it on every machine"):
        transport.take(None)


def test_a_store_that_is_full_is_told_with_its_size(there: Any, transport: RayTransport) -> None:
    there.put = raises(ObjectStoreFullError("no room"))
    there.get_runtime_context = lambda: SimpleNamespace(get_node_id=lambda: "here")
    there.nodes = lambda: [
        {"NodeID": name, "Resources": {"object_store_memory": size}} for name, size in (("here", 8e7), ("there", 1e9))
    ]
    with pytest.raises(WorkerError, match=r"object store is full \(80 MB on this machine\)"):
        transport.publish(np.zeros(4, np.uint8))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"pips": ["x"]}, r"`ray_runtime_env` holds 'pips'. Did you mean 'pip'\?.* Ray knows: conda, "),
        ({"env_vars": {"A": 1}}, r"`ray_runtime_env`: .*env_vars"),
    ],
)
def test_what_ray_does_not_know_of_its_environments_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ray_fleet._runtime_env(given)


def test_resources_with_a_key_of_their_own_are_no_custom_ones() -> None:
    with pytest.raises(ConfigError, match="there is a key for it: `num_gpus_per_env_runner`"):
        PPO("CartPole-v1", num_env_runners=1, custom_resources_per_env_runner={"GPU": 1}, preset="none")
