"""Workers that are actors of Ray: the only file that knows Ray."""

from __future__ import annotations

import dataclasses
import logging
import math
import os
import pickle
import re
import sys
import time
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray import ObjectRef, cloudpickle
from ray.exceptions import RayError, RayTaskError

from anyspace.errors import ConfigError, WorkerError
from anyspace.execution.packing import Packed
from anyspace.execution.stopping import kept_handlers
from anyspace.execution.transport import Gone, Outcome
from anyspace.execution.worker import Built, Episodes, Failure, Fragment, Job, Names, Recipe, Worker, failure

CLOSE_TIMEOUT = 5.0
"""Seconds in which workers may answer what is under way, and close their environments."""


@dataclass(frozen=True)
class Resources:
    """What Ray sets aside for each worker."""

    cpus: float = 1.0
    gpus: float = 0.0
    custom: Mapping[str, float] = dataclasses.field(default_factory=dict)


class Actor:
    """A worker in a process of its own. Nothing of a user's runs in its constructor, and errors are values.

    Ray runs the calls of one caller in order, so that requests may be sent before the worker is built.

    Args:
        number: of the worker.
        incarnation: how often it was replaced.
    """

    def __init__(self, number: int, incarnation: int):
        self._number, self._incarnation = number, incarnation
        self._built: Worker | Failure | None = None

    def build(self, packed: bytes) -> Built | Failure:
        """Build the worker of a pickled recipe."""
        try:
            recipe, names = pickle.loads(packed)
            names.adopt()
            self._built = Worker(recipe, self._number, self._incarnation)
        except Exception as error:
            self._built = failure(self._number, error)
            return self._built
        return Built(os.getpid())

    def do(self, job: Job, version: int, weights: Packed) -> Fragment | Episodes | Failure:
        """Answer a request."""
        if not isinstance(self._built, Worker):
            assert self._built is not None
            return self._built
        try:
            return self._built.do(job, version, weights)
        except Exception as error:
            return failure(self._number, error, self._built.warnings)

    def close(self) -> None:
        """Close the environments."""
        if isinstance(self._built, Worker):
            self._built.close()


class RayTransport:
    """Reaches actors; see :class:`anyspace.execution.transport.Transport`.

    Args:
        recipe: what workers are made of.
        resources: what is set aside for each.
        runtime_env: what they need on other machines.
    """

    def __init__(self, recipe: Recipe, resources: Resources, runtime_env: Mapping[str, Any]):
        self._recipe = ray.put(_pickled(recipe))
        _in_use.add(self)
        self._kind: Any = ray.remote(
            num_cpus=resources.cpus,
            num_gpus=resources.gpus,
            resources=dict(resources.custom),
            # Ray's own restarts would play the same episodes again.
            max_restarts=0,
            max_task_retries=0,
            scheduling_strategy="SPREAD",
            runtime_env=dict(runtime_env) or None,
        )(Actor)

    def start(self, number: int, incarnation: int) -> tuple[Any, ObjectRef[Any]]:
        """Start an actor."""
        actor = self._kind.remote(number, incarnation)
        return actor, actor.build.remote(self._recipe)

    def publish(self, packed: Packed) -> ObjectRef[Any]:
        """Put weights into the object store, from where each machine takes them once."""
        return ray.put(packed)

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
            raise error.as_instanceof_cause() from None
        except RayError as error:
            return Gone(_reason(error))
        return answer

    def kill(self, worker: Any) -> None:
        """Kill an actor; one that is only out of reach would go on otherwise."""
        ray.kill(worker)

    def end(self, workers: Sequence[Any]) -> None:
        """Let actors close their environments, for some seconds, and kill them."""
        closing = [worker.close.remote() for worker in workers]
        if closing:
            ray.wait(closing, num_returns=len(closing), timeout=CLOSE_TIMEOUT)
        for worker in workers:
            ray.kill(worker)
        _in_use.discard(self)

    def room(self) -> str:
        """Return how many CPUs there are."""
        there, free = (resources().get("CPU", 0.0) for resources in (ray.cluster_resources, ray.available_resources))
        return f"Ray has {there:g} CPUs, of which {free:g} are free."


def ray_transport(
    recipe: Recipe, workers: int, resources: Resources, address: str | None, runtime_env: Mapping[str, Any]
) -> RayTransport:
    """Return a transport, after connecting to Ray.

    Args:
        recipe: what workers are made of.
        workers: how many there will be, of all kinds.
        resources: what is set aside for each.
        address: of a cluster; None: that of ``RAY_ADDRESS``, else one on this machine.
        runtime_env: what workers need on other machines.

    Raises:
        ConfigError: there is no such cluster, it is too small, or something cannot be sent to workers.
    """
    _connect(workers, resources, address)
    return RayTransport(recipe, resources, runtime_env)


def _connect(workers: int, resources: Resources, address: str | None) -> None:
    """Use the Ray that is there, whoever has started it, or start one on this machine, which ends with the process."""
    if sys.platform == "win32":
        raise ConfigError(
            "`num_env_runners` needs Ray on Linux or macOS; on Windows set vectorization='async' instead."
        )
    address = address or os.environ.get("RAY_ADDRESS")
    if address is not None and address.startswith("ray://"):
        raise ConfigError(
            f"`ray_address` is {address!r}, which reaches a cluster from outside: all steps would cross that line. Run"
            " the program in the cluster, with `ray job submit` for one, and set ray_address='auto'."
        )
    if ray.is_initialized() and _ours and not _in_use and _missing(workers, resources):
        ray.shutdown()  # it was started here for fewer workers, and nobody uses it any more
    if not ray.is_initialized():
        quiet: dict[str, Any] = {"include_dashboard": False, "log_to_driver": False, "logging_level": logging.ERROR}
        if address is not None:
            del quiet["include_dashboard"]
        else:
            cpus = max(os.cpu_count() or 1, math.ceil(workers * resources.cpus))
            custom = {name: each * workers for name, each in resources.custom.items()}
            quiet |= {"address": "local", "num_cpus": cpus, "resources": custom}
        _initialise(address, quiet)
        _ours[:] = [True] if address is None else []
    if (missing := _missing(workers, resources)) is not None:
        raise ConfigError(missing)


_ours: list[bool] = []
"""Not empty where the Ray of this process was started here."""
_in_use: weakref.WeakSet[RayTransport] = weakref.WeakSet()


def _initialise(address: str | None, options: dict[str, Any]) -> None:
    """Call ``ray.init``, and put back the handlers of signals that it replaces."""
    try:
        with kept_handlers():
            ray.init(**({"address": address} if address is not None else {}), **options)
    except ConnectionError as error:
        raise ConfigError(f"`ray_address` is {address!r}, but no Ray answers there: {error}") from error
    except Exception as error:
        raise WorkerError(
            f"Ray does not start: {error} fleet='serial' runs the same workers in this process."
        ) from error


def _missing(workers: int, resources: Resources) -> str | None:
    """Return what the cluster lacks of what all workers take; they would wait for it for ever."""
    there = ray.cluster_resources()
    wanted = {"CPU": resources.cpus, "GPU": resources.gpus, **resources.custom}
    for name, each in wanted.items():
        if each * workers > there.get(name, 0.0) + 1e-9:
            return (
                f"{workers} workers with {each:g} {name} each need {each * workers:g} {name}, but Ray has"
                f" {there.get(name, 0.0):g}. Have fewer workers (`num_env_runners`), lower what each takes"
                " (`num_cpus_per_env_runner`), close algorithms that you need no more, or start Ray with more."
            )
    return None


def _pickled(recipe: Recipe) -> bytes:
    """Return a recipe and the names that it goes by as bytes."""
    names = Names.here()
    try:
        packed: bytes = cloudpickle.dumps((recipe, names))
    except Exception as error:
        parts: dict[str, object] = {**vars(recipe), **vars(names)}
        raise ConfigError(
            f"{_unsendable(parts) or 'the environment'} cannot be sent to workers ({type(error).__name__}: {error})."
            " Give a function or a class that makes it there, in place of the thing itself."
        ) from error
    return packed


def _unsendable(parts: Mapping[str, object]) -> str | None:
    for name, part in parts.items():
        try:
            cloudpickle.dumps(part)
        except Exception:
            return {"spec": "the environment", "config": "the configuration"}.get(name, name)
    return None


def _reason(error: RayError) -> str:
    """Return how an actor died, in a sentence, of what Ray says on many lines."""
    told = " ".join(str(error).split())
    detail = _DETAIL.search(told)
    return detail[1] if detail else f"{type(error).__name__}: {told[:200]}"


_DETAIL = re.compile(r"exit detail: (.+?)\.? (?:Some common causes|$)")
