"""Workers that are actors of Ray: the only file that knows Ray."""

from __future__ import annotations

import dataclasses
import gc
import logging
import math
import os
import re
import socket
import sys
import time
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray import ObjectRef
from ray.exceptions import ObjectStoreFullError, OutOfDiskError, RayActorError, RayError, RayTaskError
from ray.runtime_env import RuntimeEnv

from anyspace.errors import ConfigError, WorkerError, nearest
from anyspace.execution.packing import Packed
from anyspace.execution.remote_worker import NOT_THERE, RemoteWorker, pickled
from anyspace.execution.stopping import kept_handlers
from anyspace.execution.transport import Outcome, WorkerGone
from anyspace.execution.worker import Job, Recipe

CLOSE_TIMEOUT = 5.0
"""Seconds in which workers may answer what is under way, and close their environments."""
FREE_TIMEOUT = 2.0
"""Seconds after which Ray has noticed that workers ended, and what they took is free."""


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What Ray sets aside for each worker."""

    cpus: float = 1.0
    gpus: float = 0.0
    custom: Mapping[str, float] = dataclasses.field(default_factory=dict)

    def named(self) -> dict[str, float]:
        """Return them by Ray's names."""
        return {"CPU": self.cpus, "GPU": self.gpus, **self.custom}


@dataclass(frozen=True, kw_only=True)
class Demand:
    """What an algorithm asks of Ray."""

    owner: object
    """Stands for the algorithm, whose transports are one demand together."""
    workers: int
    """How many it will have, of all kinds."""
    least: int
    """How many of them there has to be room for at once."""
    resources: Resources
    address: str | None = None
    """Of a cluster; `local`: one on this machine; None: that of ``RAY_ADDRESS``, else one on this machine."""
    runtime_env: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """What workers need on other machines."""

    def amounts(self, workers: int) -> dict[str, float]:
        """Return what some of the workers take together, by Ray's names."""
        return {name: workers * each for name, each in self.resources.named().items()}


class RayTransport:
    """Reaches actors; see :class:`anyspace.execution.transport.Transport`.

    Args:
        recipe: what workers are made of.
        demand: what the algorithm asks of Ray.

    Raises:
        ConfigError: there is no such cluster, it is too small, or something cannot be sent to workers.
    """

    def __init__(self, recipe: Recipe, demand: Demand):
        runtime_env = _runtime_env(demand.runtime_env)
        _connect(demand)
        self.demand = demand
        self._recipe = _put(pickled(recipe))
        _in_use.add(self)
        self._kind: Any = ray.remote(
            num_cpus=demand.resources.cpus,
            num_gpus=demand.resources.gpus,
            resources=dict(demand.resources.custom),
            # Ray's own restarts would play the same episodes again.
            max_restarts=0,
            max_task_retries=0,
            # Ray's server would keep a record of each request for its dashboard, and grow with them.
            enable_task_events=False,
            scheduling_strategy="SPREAD",
            runtime_env=runtime_env,
        )(RemoteWorker)

    def start(self, number: int, incarnation: int) -> tuple[Any, ObjectRef[Any]]:
        """Start an actor."""
        actor = self._kind.remote(number, incarnation)
        return actor, actor.build.remote(self._recipe)

    def publish(self, packed: Packed) -> ObjectRef[Any]:
        """Put weights into the object store, from where each machine takes them once."""
        return _put(packed)

    def request(self, worker: Any, job: Job, version: int, weights: ObjectRef[Any]) -> ObjectRef[Any]:
        """Ask an actor."""
        ticket: ObjectRef[Any] = worker.do.remote(job, version, weights)
        return ticket

    def ready(self, tickets: Sequence[ObjectRef[Any]], timeout: float) -> list[ObjectRef[Any]]:
        """Return the answers that are there."""
        if not tickets:
            time.sleep(timeout)
            return []
        found, _ = ray.wait(list(tickets), num_returns=1, timeout=timeout)
        if found:  # all that are there
            found, _ = ray.wait(list(tickets), num_returns=len(tickets), timeout=0)
        return list(found)

    def take(self, ticket: ObjectRef[Any]) -> Outcome:
        """Return an answer."""
        try:
            answer: Outcome = ray.get(ticket)
        except RayTaskError as error:  # not a user's: those come as values
            cause = error.as_instanceof_cause()
            if isinstance(cause, ObjectStoreFullError | OutOfDiskError):
                raise _full(cause) from None
            raise cause from None
        except (ObjectStoreFullError, OutOfDiskError) as error:
            raise _full(error) from error
        except RayError as error:
            if isinstance(error, RayActorError) and error.actor_init_failed:  # its constructor runs nothing of a user's
                raise WorkerError(
                    f"a worker cannot be made: {str(error).strip().splitlines()[-1]}. {NOT_THERE}"
                ) from None
            return WorkerGone(_reason(error))
        return answer

    def kill(self, worker: Any) -> None:
        """Kill an actor; one that is only out of reach would go on otherwise."""
        ray.kill(worker)

    def end(self, workers: Sequence[Any]) -> None:
        """Let actors close their environments, for some seconds, and kill them, also where Ctrl-C ends the wait."""
        try:
            closing = [worker.close.remote() for worker in workers]
            if closing:
                ray.wait(closing, num_returns=len(closing), timeout=CLOSE_TIMEOUT)
        finally:
            for worker in workers:
                ray.kill(worker)
            _in_use.discard(self)

    def room(self) -> str:
        """Return how many CPUs there are."""
        there, free = (resources().get("CPU", 0.0) for resources in (ray.cluster_resources, ray.available_resources))
        return f"Ray has {there:g} CPUs, of which {free:g} are free."

    def store(self) -> float:
        """Return how many bytes the object store of this machine holds."""
        return _store()


_in_use: weakref.WeakSet[RayTransport] = weakref.WeakSet()
_initialised: dict[str, str] = {}
"""What the Ray of this process is reached by, and the address that it was asked for by, where it was started here."""


def _connect(demand: Demand) -> None:
    """Use the Ray that is there, whoever has started it, or start one on this machine, which ends with the process."""
    if sys.platform == "win32":
        raise ConfigError(
            "`num_env_runners` needs Ray on Linux or macOS; on Windows set vectorization='async' instead."
        )
    address = demand.address or os.environ.get("RAY_ADDRESS") or "local"
    if address.startswith("ray://"):
        raise ConfigError(
            f"`ray_address` is {address!r}, which reaches a cluster from outside: all steps would cross that line. Run"
            " the program in the cluster, with `ray job submit` for one, and set ray_address='auto'."
        )
    if ray.is_initialized() and _unfit(demand):
        gc.collect()  # algorithms that nobody holds any more are closed
        if _here() in _initialised and not _in_use:
            ray.shutdown()  # it was started here for others, and nobody uses it any more
    if not ray.is_initialized():
        _initialise(address, demand)
    if wrong := _unfit(demand):
        raise ConfigError(wrong)
    is_shared = _initialised.get(_here()) != "local"
    if is_shared and all(one.owner is not demand.owner for one in _demands()):
        _tell_of_others(demand)


def _unfit(demand: Demand) -> str | None:
    """Return what is wrong with the Ray of this process."""
    return _elsewhere(demand.address) or _missing(demand)


def _here() -> str:
    address: str = ray.get_runtime_context().gcs_address
    return address


def _elsewhere(address: str | None) -> str | None:
    """Return what is wrong where the Ray of this process is not the one that ``address`` names."""
    here = _here()
    asked = _initialised.get(here)
    # A program that has initialised Ray itself knows which cluster `auto` is.
    if address in (None, here, asked) or (address == "auto" and asked != "local") or _spelt(address) == here:
        return None
    whose = "this program has initialised Ray" if asked is None else "an algorithm that is open uses a Ray"
    return (
        f"`ray_address` is {address!r}, but {whose} at {here}, and a process has one Ray. Leave `ray_address` out to"
        f" use that one, or {'call ray.shutdown()' if asked is None else 'close that algorithm'} first."
    )


def _spelt(address: str) -> str:
    """Return ``host:port`` with the number of the host."""
    host, _, port = address.rpartition(":")
    try:
        return f"{socket.gethostbyname(host)}:{port}"
    except OSError:
        return address


def _runtime_env(given: Mapping[str, Any]) -> RuntimeEnv | None:
    """Return what Ray makes of `ray_runtime_env`.

    Raises:
        ConfigError: Ray knows no such key, or refuses its value.
    """
    known = [name for name in sorted(RuntimeEnv.known_fields) if not name.startswith("_")]
    for name in given:
        if name not in known:
            hint = nearest(name, known)
            raise ConfigError(f"`ray_runtime_env` holds {name!r}.{hint} Ray knows: {', '.join(known)}.")
    try:
        return RuntimeEnv(**given) if given else None
    except (TypeError, ValueError) as error:
        raise ConfigError(f"`ray_runtime_env`: {error}") from error


def _initialise(address: str, demand: Demand) -> None:
    """Call ``ray.init``, and put back the handlers of signals that it replaces."""
    options: dict[str, Any] = {"address": address, "log_to_driver": False, "logging_level": logging.ERROR}
    if address == "local":
        cpus = max(os.cpu_count() or 1, math.ceil(demand.workers * demand.resources.cpus))
        custom = {name: each * demand.workers for name, each in demand.resources.custom.items()}
        options |= {"include_dashboard": False, "num_cpus": cpus, "resources": custom}
    try:
        with kept_handlers():
            ray.init(**options)
    except ConnectionError as error:
        raise ConfigError(f"`ray_address` is {address!r}, but no Ray answers there: {error}") from error
    except Exception as error:
        raise WorkerError(
            f"Ray does not start: {error} fleet='serial' runs the same workers in this process."
        ) from error
    _initialised.clear()
    _initialised[_here()] = address


def _missing(demand: Demand) -> str | None:
    """Return what the cluster lacks of what all workers take; they would wait for it for ever."""
    there, others = ray.cluster_resources(), [one for one in _demands() if one.owner is not demand.owner]
    for name, wanted in demand.amounts(demand.least).items():
        total, held = there.get(name, 0.0), sum(other.amounts(other.workers).get(name, 0.0) for other in others)
        if wanted > total - held + _ROUNDING:
            taken = f", of which other algorithms of this program hold {held:g}" if held else ""
            close = "close algorithms that you need no more, " if held else ""
            return (
                f"{demand.least} workers with {wanted / demand.least:g} {name} each need {wanted:g} {name}, but Ray"
                f" has {total:g}{taken}. Have fewer workers (`num_env_runners`), lower what each takes"
                f" (`{_KEYS.get(name, 'custom_resources_per_env_runner')}`), {close}or start Ray with more. Where a"
                " cluster grows by itself,"
                " `min_env_runners` says how many have to start at once."
            )
    return None


_ROUNDING = 1e-9
_KEYS = {"CPU": "num_cpus_per_env_runner", "GPU": "num_gpus_per_env_runner"}
"""By what each worker takes of it: the key that says how much."""


def _demands() -> list[Demand]:
    """Return what each algorithm of this process asks for, whether its workers have started or not."""
    return list({id(one.demand.owner): one.demand for one in _in_use}.values())


def _tell_of_others(demand: Demand) -> None:
    """Say at once that other programs of the cluster hold what workers will wait for."""
    until, wanted = time.monotonic() + FREE_TIMEOUT, demand.amounts(demand.least)
    while lacking := _lacking(wanted):
        if time.monotonic() > until:
            name, free = lacking
            logging.getLogger("anyspace").warning(
                f"{demand.least} workers take {wanted[name]:g} {name}, of which Ray has {free:g} free: other programs"
                " hold the rest, and workers wait for them."
            )
            return
        time.sleep(0.1)  # what has just ended is free in a moment


def _lacking(wanted: Mapping[str, float]) -> tuple[str, float] | None:
    """Return what there is too little of at present, and how much of it is free."""
    free = ray.available_resources()
    found = ((name, free.get(name, 0.0)) for name in wanted)
    return next(((name, here) for name, here in found if wanted[name] > here + _ROUNDING), None)


def _store() -> float:
    """Return how many bytes the object store of this machine holds."""
    node = ray.get_runtime_context().get_node_id()
    sizes = [one["Resources"].get("object_store_memory", 0.0) for one in ray.nodes() if one["NodeID"] == node]
    return float(sum(sizes))


def _put(value: Packed | bytes) -> ObjectRef[Any]:
    try:
        return ray.put(value)
    except (ObjectStoreFullError, OutOfDiskError) as error:
        raise _full(error) from error


def _full(error: Exception) -> WorkerError:
    """Return what to do about an object store that is full, and a disk that takes no more of it."""
    return WorkerError(
        f"Ray's object store is full ({_store() / 1e6:,.0f} MB on this machine), and so is the disk that takes what it"
        f" cannot hold. Give containers more /dev/shm (`--shm-size`), or lower `rollout_fragment_length`. Ray says:"
        f" {' '.join(str(error).split())[:300]}"
    )


def _reason(error: RayError) -> str:
    """Return how an actor died, in a sentence, of what Ray says on many lines."""
    told = " ".join(str(error).split())
    detail = _DETAIL.search(told)
    if detail is None:
        return f"{type(error).__name__}: {told[:200]}"
    silent = ", as one that is killed, runs out of memory or crashes" if "connection error" in detail[1] else ""
    return detail[1] + silent


_DETAIL = re.compile(r"exit detail: (.+?)\.? (?:Some common causes|$)")
