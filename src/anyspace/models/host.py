"""What runtimes share whose arrays are NumPy's outside of compiled calls: random sources, conversions, acting."""

from __future__ import annotations

import contextlib
import json
import math
import pickle
import random
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from contextvars import ContextVar
from itertools import islice
from typing import Protocol, get_args

import numpy as np
import numpy.typing as npt

from anyspace.errors import CheckpointError, ModelError
from anyspace.maths.cell import Cell
from anyspace.maths.xp import Array
from anyspace.models.input_dict import InputDict
from anyspace.models.modelv2 import ModelV2
from anyspace.models.runtime import ACTING, Layer, NumpyArray, NumpyForward, RandomSource

Shape = tuple[int, ...]

Callback = Callable[[Callable[[], Mapping[str, NumpyArray]]], InputDict]
"""Has a function of the host called at every step of a compiled loop; gives the columns that it returns."""

CALLBACK: ContextVar[Callback | None] = ContextVar("callback", default=None)
"""What readers of recorded steps go through while a step is traced; None: none is."""


_BEGINS = b'{"bit_generator"'
"""How the state of a generator begins; that of PyTorch's may begin with any byte."""


Call = Callable[[Callable[[], list[NumpyArray]], list[NumpyArray]], Sequence[Array]]
"""Has a function of the host called at every step of what is compiled; takes it, and an example of what it returns."""


@contextlib.contextmanager
def calling_back(call: Call) -> Iterator[None]:
    """Let readers of recorded steps be asked at every step of what is traced within."""

    def ask(read: Callable[[], Mapping[str, NumpyArray]]) -> InputDict:
        # Readers that it asks in turn answer at once, as they do at later steps.
        with _callback(None):
            columns = {name: np.asarray(column) for name, column in read().items()}
        example = {name: column for name, column in columns.items() if column.dtype.kind in "biuf"}

        def again() -> list[NumpyArray]:
            batch = read()
            return [np.asarray(batch[name], example[name].dtype) for name in example]

        return InputDict(dict(zip(example, call(again, [*example.values()]), strict=True)))

    with _callback(ask):
        yield


@contextlib.contextmanager
def _callback(callback: Callback | None) -> Iterator[None]:
    token = CALLBACK.set(callback)
    try:
        yield
    finally:
        CALLBACK.reset(token)


class Held(Protocol):
    """What the attributes of a model hold."""

    @property
    def models(self) -> Sequence[ModelV2]:
        """The model, and the models in it."""


class HostModel(Protocol):
    """What such a runtime asks of a model of its framework."""

    @property
    def runs_in_numpy(self) -> bool:
        """Whether NumPy can run all of it, and is quick."""

    def acting_pass(self) -> NumpyForward | None:
        """Return one step as a NumPy function."""

    def has_batch_statistics(self) -> bool:
        """Return whether training passes take statistics of a batch."""

    def held(self) -> Held:
        """Return what the attributes hold."""


class HostRuntime:
    """The part of a runtime that deals with NumPy alone; see :class:`anyspace.models.runtime.Runtime`.

    Attributes:
        cells: every cell that was made; compiled calls take their values as arguments.
        generators: NumPy's generator of each random source.
        is_trial: whether passes are only tried: a framework then compiles nothing, and may return zeros.
    """

    def __init__(self) -> None:
        self.cells: list[Cell] = []
        self.is_trial = False
        self.seed(0)

    def own(self, model: ModelV2) -> HostModel:
        """Return a model as what the framework's runtime works with; raise ModelError if it is none of it."""
        raise NotImplementedError

    def in_a_pass(self) -> bool:
        """Return whether a pass is being compiled, or runs on arrays of the framework."""
        raise NotImplementedError

    def compiles(self, model: ModelV2) -> bool:
        """Return whether passes are compiled: outside of one, of models that NumPy cannot run, or runs slowly."""
        return not self.in_a_pass() and not self.own(model).runs_in_numpy

    def numpy_pass(self, model: ModelV2) -> NumpyForward | None:
        """Return the model's own pass where NumPy runs it."""
        own = self.own(model)
        return own.acting_pass() if own.runs_in_numpy else None

    def has_batch_statistics(self, model: ModelV2) -> bool:
        """Return whether the model takes statistics of a batch in training."""
        return any(self.own(one).has_batch_statistics() for one in self.own(model).held().models)

    @contextlib.contextmanager
    def initialising(self, seed: int) -> Iterator[None]:
        """Seed Python's ``random``, of which models draw their seeds, and put it back afterwards."""
        before = random.getstate()
        random.seed(seed)
        try:
            yield
        finally:
            random.setstate(before)

    def cell(self, value: float | NumpyArray) -> Cell:
        """Return a cell, which compiled calls take as an argument."""
        self.cells.append(Cell(value))
        return self.cells[-1]

    def asarray(self, array: NumpyArray) -> NumpyArray:
        """Return the array as it is."""
        return array

    def native(self, array: Array) -> Array:
        """Return the array as it is."""
        return array

    def numpy(self, tensor: Array) -> NumpyArray:
        """Return an array of the framework as NumPy's."""
        return np.asarray(tensor)

    def threads_for(self, rows: int) -> AbstractContextManager[object]:
        """Do nothing: the framework chooses its own threads."""
        return contextlib.nullcontext()

    @contextlib.contextmanager
    def acting(self) -> Iterator[None]:
        """Say that what runs acts, so that models leave out what acting does not need."""
        token = ACTING.set(True)
        try:
            yield
        finally:
            ACTING.reset(token)

    def explaining(self, where: str) -> AbstractContextManager[object]:
        """Do nothing: errors stay as they are."""
        return contextlib.nullcontext()

    def no_grad(self) -> AbstractContextManager[object]:
        """Do nothing: formulas stop gradients themselves."""
        return contextlib.nullcontext()

    @contextlib.contextmanager
    def trial(self) -> Iterator[None]:
        """Let passes be tried, so that shapes and errors show at once: nothing is compiled."""
        self.is_trial = True
        try:
            yield
        finally:
            self.is_trial = False

    def seed(self, seed: int) -> None:
        """Start a generator of NumPy for every source."""
        names = get_args(RandomSource)
        streams = np.random.SeedSequence(seed).spawn(len(names))
        self.generators = {name: np.random.default_rng(one) for name, one in zip(names, streams, strict=True)}

    def rng_state(self) -> dict[str, npt.NDArray[np.uint8]]:
        """Return the state of each generator as bytes."""
        return {
            name: np.frombuffer(json.dumps(generator.bit_generator.state).encode(), np.uint8)
            for name, generator in self.generators.items()
        }

    def set_rng_state(self, state: Mapping[str, npt.NDArray[np.uint8]]) -> None:
        """Restore generators. What another framework saved is left alone: its streams cannot go on here."""
        for name, generator in self.generators.items():
            data = state[name].tobytes() if name in state else b""
            if data.startswith(_BEGINS):
                generator.bit_generator.state = json.loads(data)

    def permutation(self, n: int) -> NumpyArray:
        """Return a random order of ``0..n-1``, int64 [n]."""
        return self.generators["learning"].permutation(n)


def layers_of(weights: Mapping[str, Shape]) -> list[Layer]:
    """Return the layers that hold weights, of which the shapes are given by name, in order."""
    by_layer: dict[str, dict[str, Shape]] = {}
    for name, shape in weights.items():
        # ``encoder.0.bias`` is ``bias`` of ``encoder.0``, and ``base_model/3`` is ``3`` of ``base_model``.
        at = max(name.rfind("."), name.rfind("/"))
        by_layer.setdefault(name[: max(at, 0)], {})[name[at + 1 :]] = shape
    return [
        Layer(
            layer or "(model)",
            "Layer",
            ", ".join(f"{part} {shape}" for part, shape in parts.items()),
            sum(map(math.prod, parts.values())),
        )
        for layer, parts in by_layer.items()
    ]


def for_a_file(array: NumpyArray) -> NumpyArray:
    """Return a copy that files can hold: float32 where NumPy has no type of its own, as for bfloat16."""
    return np.array(array, np.float32 if array.dtype.kind == "V" else None)


def require_fit(own: Mapping[str, Shape], came: Mapping[str, Shape]) -> None:
    """Require that weights fit a model.

    Args:
        own: the shapes of the model's, by name.
        came: those of the weights.

    Raises:
        CheckpointError: names or shapes differ.
    """
    if own == came:
        return
    every = own.keys() | came.keys()
    differing = sorted(name for name in every if own.get(name) != came.get(name))
    detail = "; ".join(
        f"{name}: the model has {own.get(name, 'none')}, the weights have {came.get(name, 'none')}"
        for name in differing[:4]
    )
    fits = came.items() <= own.items()
    advice = " Some alone are laid over the rest: set_weights({**get_weights(), **some})." if fits else ""
    raise CheckpointError(
        f"the weights do not fit the model ({len(differing)} of {len(every)} tensors differ): {detail}."
        f" Build the model with the configuration that the weights were trained with.{advice}"
    )


def require_none_late(name: str, before: Collection[str], after: Iterable[str]) -> None:
    """Require that a gradient step makes no weights: a checkpoint with them would fit no model that is built anew.

    Args:
        name: whose they are.
        before: the names of its weights before the first step.
        after: those after it.

    Raises:
        ModelError: there are more of them.
    """
    late = next((weight for weight in after if weight not in before), None)
    if late is not None:
        raise ModelError(
            f"{name} makes the weight `{late}` in a gradient step, too late for checkpoints: a model that is built anew"
            " would have none that it could be loaded into. Make it, or the layer that it is of, in the constructor."
        )


_MOST_PARTS = 100
"""How many parts of a list or a dict, and how many numbers of an array, are looked at: more are no counters."""

_SOURCES: Mapping[str, Callable[[], object]] = {
    "Python's random": random.getstate,
    "np.random": lambda: pickle.dumps(np.random.get_state(legacy=False)),
}
"""The global sources of random numbers, and what their states are read by."""


def once_in_a_trace(name: str, *, counter: str, draw: str, method: str = "forward()") -> str:
    """Say of what :func:`changed_in` named that a compiled pass would not do it again.

    Args:
        name: of an attribute, or of a source of random numbers.
        counter: what counts steps in the framework.
        draw: what draws random numbers there.
        method: of the model, which changes it.
    """
    once = "but Python in a compiled pass runs once, when it is compiled"
    if name in _SOURCES:
        return f"{method} draws from {name}, {once}, and every pass would have the same numbers: draw by {draw}."
    return (
        f"{name} changes with every {method}, {once}: keep what counts steps in {counter}, and draw random numbers by"
        f" {draw}."
    )


def plain_values(models: Iterable[ModelV2]) -> dict[str, object]:
    """Return what Python may change: numbers and texts in the attributes of models, and the sources of random numbers.

    Of lists, dicts and arrays of NumPy it is what is in them, unless they are large.
    """
    found: dict[str, object] = {name: state() for name, state in _SOURCES.items()}
    for model in models:
        found |= {f"{type(model).__name__}.{name}": _plain(value) for name, value in vars(model).items()}
    return found


def _plain(value: object) -> object:
    """Return what can be compared with a later value; None: nothing."""
    if isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.random.Generator | np.random.RandomState | random.Random):
        return pickle.dumps(value)
    if isinstance(value, np.ndarray) and value.dtype != object and value.size <= _MOST_PARTS:
        return value.tobytes()
    if isinstance(value, dict):
        return len(value), [_plain(part) for part in islice(value.values(), _MOST_PARTS)]
    if isinstance(value, list | tuple):
        return len(value), [_plain(part) for part in value[:_MOST_PARTS]]
    return len(value) if isinstance(value, set) else None


def changed_in(before: Mapping[str, object], after: Mapping[str, object]) -> str | None:
    """Return an attribute that a second pass, unlike a first one, leaves as something else, if there is one."""
    return next((name for name, value in after.items() if name in before and before[name] != value), None)
