"""A worker in a process of its own: from bytes to a worker there, and errors as values. It knows no Ray."""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping

import cloudpickle

from anyspace.errors import ConfigError
from anyspace.execution.packing import Packed
from anyspace.execution.worker import Built, Episodes, Failure, Fragment, Job, Names, Recipe, Worker, failure


class RemoteWorker:
    """A worker in a process of its own. Nothing of a user's runs in its constructor, and errors are values.

    The calls of one caller run in order, so that requests may be sent before the worker is built.

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
            self._built = failure(self._number, _with_advice(error))
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
            return failure(self._number, _with_advice(error), self._built.warnings)

    def close(self) -> None:
        """Close the environments."""
        if isinstance(self._built, Worker):
            self._built.close()


NOT_THERE = (
    "Workers import what your program imports: install it on every machine, or set for one"
    " ray_runtime_env={'pip': ['PACKAGE'], 'working_dir': '.'}."
)
"""What to do about a module that this program finds and a worker does not."""


def _with_advice(error: Exception) -> Exception:
    """Return an error; one about a module that a worker lacks with what to do about it."""
    if isinstance(error, ModuleNotFoundError):
        error.add_note(NOT_THERE)
    return error


def pickled(recipe: Recipe) -> bytes:
    """Return a recipe, and the names that it goes by, as :meth:`RemoteWorker.build` takes them.

    Raises:
        ConfigError: a part cannot be sent to another process; names it.
    """
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
