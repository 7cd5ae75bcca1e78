"""What the policy and the collector know of a framework: one protocol."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import Literal, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from anyspace.maths.arrays import Floats
from anyspace.maths.cell import Cell
from anyspace.maths.xp import Array
from anyspace.models.input_dict import InputDict
from anyspace.models.modelv2 import ModelV2
from anyspace.tree import Tree

NumpyArray = npt.NDArray[np.generic]

Device = Literal["auto", "cpu", "cuda", "mps"]
"""What the configuration key `device` may be; auto: what the framework takes by default."""

RandomSource = Literal["acting", "learning", "evaluation", "models that act", "models that evaluate"]
"""Who draws: collecting; gradient steps (shuffling, dropout, noisy layers, sampled entropies); all other acting; the
forward passes of users' models in collecting; those in other acting. Each has a stream of random numbers of its own, so
that one of them drawing more changes nothing for the others."""

NumpyForward = Callable[[InputDict, list[Floats]], tuple[Floats, list[Floats]]]
"""A model's ``forward`` and ``action_inputs`` for one step, in NumPy: inputs and states [N, ...] -> what the action
distribution takes [N, P], and the new states."""


ACTING: ContextVar[bool] = ContextVar("acting", default=False)
"""Whether what runs acts, within `Runtime.acting` of a framework whose passes are compiled: a model may leave out there
what acting does not need."""


class Layer(NamedTuple):
    """One layer of a model, for people to read."""

    name: str
    kind: str
    shape: str
    """Of its weights."""
    parameters: int


class Runtime(Protocol):
    """One framework on one device: conversion, randomness, gradient switches, parameters.

    What else a framework joins by: its namespace in ``maths/xp/``, a base class of models, its networks in
    ``models/networks.py``, a learner, and a line in ``execution/backends.py``.
    """

    framework: str
    device: str

    def initialising(self, seed: int) -> AbstractContextManager[object]:
        """Return a context in which models are built: initial weights depend on ``seed`` alone."""

    def cell(self, value: float | NumpyArray) -> Cell:
        """Return a new cell: a number, or an array, that losses read and that changes between gradient steps."""

    def place(self, model: ModelV2) -> None:
        """Settle the device by the first model that is placed, and move ``model`` there."""

    def asarray(self, array: NumpyArray) -> Array:
        """Return ``array`` as a tensor on the device, without a copy where the framework allows.

        A framework whose steps are compiled returns it as it is: outside of the compiled call all is NumPy's.
        """

    def native(self, array: Array) -> Array:
        """Return an array as code of users expects it: of the framework, where NumPy's will not do."""

    def numpy(self, tensor: Array) -> NumpyArray:
        """Return ``tensor`` as a NumPy array, without a copy where the framework allows."""

    def threads_for(self, rows: int) -> AbstractContextManager[object]:
        """Return the context of work on ``rows`` rows at a time: as many threads as serve the model best."""

    def numpy_pass(self, model: ModelV2) -> NumpyForward | None:
        """Return a NumPy function that equals ``model``'s pass when acting, if there is one that acts quicker.

        It must be asked for anew whenever weights may have changed.
        """

    def compiles(self, model: ModelV2) -> bool:
        """Return whether a pass through the model, here and now, is to be compiled: outside of a gradient step."""

    def compile(self, model: ModelV2, function: Callable[..., Tree]) -> Callable[..., Tree]:
        """Return ``function``, which runs the model on NumPy's arrays, compiled: from NumPy's arrays to NumPy's arrays.

        The model's weights, cells and random numbers are those of each call.
        """

    def acting(self) -> AbstractContextManager[object]:
        """Return a context in which nothing is recorded for gradients and results never meet a gradient.

        A framework whose passes are compiled sets `ACTING` in it.
        """

    def trial(self) -> AbstractContextManager[object]:
        """Return the context of passes whose shapes matter and whose numbers do not; nothing is recorded in it."""

    def no_grad(self) -> AbstractContextManager[object]:
        """Return a context in which nothing is recorded for gradients, but results may enter a loss later."""

    def seed(self, seed: int) -> None:
        """Restart every random source; their streams depend on ``seed`` and the source's name alone."""

    def rng(self, source: RandomSource, like: Array = None) -> object:
        """Return a source for the next draw: a ``torch.Generator``, a fresh JAX key; NumPy's for NumPy's arrays.

        Args:
            source: who draws.
            like: what a distribution was made of, where one draws; None: NumPy's arrays, or those of a trace.
        """

    def own_randomness(self, source: RandomSource) -> AbstractContextManager[object]:
        """Return a context in which draws from the framework's global source depend on ``source``.

        Layers such as dropout, distributions of users and those of the framework draw from the global source. Within
        such a context, another one of the same source does nothing.
        """

    def rng_state(self) -> dict[str, npt.NDArray[np.uint8]]:
        """Return the state of each random source as bytes, by its name."""

    def set_rng_state(self, state: Mapping[str, npt.NDArray[np.uint8]]) -> None:
        """Restore what :meth:`rng_state` returned; sources that ``state`` does not name stay as they are."""

    def permutation(self, n: int) -> Array:
        """Return a random order of ``0..n-1`` on the device, integers [n], drawn for learning."""

    def holders(self, model: ModelV2) -> frozenset[int]:
        """Return the ``id`` of each object that holds a weight of the model; models that share one share the weight."""

    def explaining(self, where: str) -> AbstractContextManager[object]:
        """Return a context in which what the framework refuses of traced code is said in a sentence.

        Args:
            where: whose code runs in it, as ``Squashed.logp()``.
        """

    def set_training(self, model: ModelV2, training: bool) -> None:
        """Switch layers that behave differently in training (batch normalisation, dropout)."""

    def has_batch_statistics(self, model: ModelV2) -> bool:
        """Return whether the model takes statistics of a batch in training, so that repeated rows would change them."""

    def trained(self, model: ModelV2) -> frozenset[str]:
        """Return the names of the parameters that gradient steps move: all that are not frozen."""

    def frozen(self, model: ModelV2) -> frozenset[str]:
        """Return the names of what is frozen: parameters, of Keras layers as well; in JAX nothing can be."""

    def freeze(self, model: ModelV2, names: frozenset[str]) -> None:
        """Freeze what :meth:`frozen` would name so, and release all else; names that the model lacks do nothing."""

    def narrow(self, model: ModelV2) -> frozenset[str]:
        """Return the names of those among the trained parameters that have fewer than 32 bits."""

    def reached(self, model: ModelV2, compute: Callable[[], Sequence[Array]]) -> list[frozenset[str]] | None:
        """Return to which parameters gradients go from each array that ``compute`` makes, frozen parameters among them.

        None: the framework cannot tell.

        Raises:
            ModelError: they go to a weight that the model does not hold, so that nothing would train or save it.
        """

    def parameters(self, model: ModelV2) -> dict[str, NumpyArray]:
        """Return copies of the model's parameters and buffers by name."""

    def load_parameters(self, model: ModelV2, values: dict[str, NumpyArray]) -> None:
        """Set parameters and buffers by name.

        Raises:
            CheckpointError: if names or shapes differ from the model's.
        """

    def layers(self, model: ModelV2) -> list[Layer]:
        """Return the layers that hold parameters, in order."""
