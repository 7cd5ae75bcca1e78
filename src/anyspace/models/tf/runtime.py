"""The TensorFlow runtime: compiled passes, random sources, variables. Outside of such calls all arrays are NumPy's."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import tensorflow as tf

from anyspace import tree
from anyspace.errors import ConfigError, ModelError
from anyspace.maths.xp import Array
from anyspace.models.host import HostRuntime, for_a_file, layers_of, require_fit
from anyspace.models.modelv2 import ModelV2
from anyspace.models.runtime import Device, Layer, NumpyArray, RandomSource
from anyspace.models.tf.base import SEEDS, Seeds, TFModelV2, as_tensor, tf_base
from anyspace.models.tf.held import holds_variables
from anyspace.models.tf.ways import AS_A_GRAPH, Way, Ways, one_line
from anyspace.models.whereabouts import ways_to
from anyspace.tree import Tree

_LOG = logging.getLogger("anyspace")

_FOR_KERAS_2 = (
    "written for Keras 2: pip install --no-deps tf_keras, and set TF_USE_LEGACY_KERAS=1 before TensorFlow is imported."
)


class TFRuntime(HostRuntime):
    """TensorFlow on one device; see :class:`anyspace.models.runtime.Runtime`.

    Args:
        device: ``auto`` is TensorFlow's default device.

    Attributes:
        ways: how passes and gradient steps run.

    Raises:
        ConfigError: TensorFlow has no such device.
    """

    framework = "tf"

    def __init__(self, device: Device = "auto"):
        super().__init__()
        gpus = tf.config.list_physical_devices("GPU")
        if device == "mps" or (device == "cuda" and not gpus):
            raise ConfigError(f"config key `device` is {device!r}, but TensorFlow finds no such device; use 'auto'.")
        self.device: str = "cuda" if gpus and device != "cpu" else "cpu"
        self.ways = Ways()
        self._drawing: RandomSource | None = None
        self._draws_at_once = False

    # ---------------------------------------------------------------------------- models and passes

    def own(self, model: ModelV2) -> TFModelV2:
        """Return a model as one of TensorFlow."""
        return tf_base(model)

    def in_a_pass(self) -> bool:
        """Return whether a pass or a step runs on tensors."""
        return SEEDS.get() is not None

    @contextlib.contextmanager
    def initialising(self, seed: int) -> Iterator[None]:
        """Seed Python's ``random``, from which networks draw, and put it back; seed TensorFlow's global source."""
        tf.random.set_seed(seed)
        try:
            with super().initialising(seed), self.on_device():
                yield
        except (AttributeError, TypeError, ValueError) as error:
            if not _is_of_keras(error):
                raise
            raise ModelError(f"Keras refuses the model: {one_line(error)} If the file was {_FOR_KERAS_2}") from error

    def on_device(self) -> AbstractContextManager[object]:
        """Return a context whose variables and operations are on the device."""
        device: AbstractContextManager[object] = tf.device("/GPU:0" if self.device == "cuda" else "/CPU:0")
        return device

    def place(self, model: ModelV2) -> None:
        """Require that the model is TensorFlow's; its variables are where they were made."""
        tf_base(model)

    def compile(self, model: ModelV2, function: Callable[..., Tree]) -> Callable[..., Tree]:
        """Return ``function`` in the quickest way that its code allows; variables are those of each call."""
        own = tf_base(model)

        def on_tensors(cells: Any, seed: Array, *arrays: Any) -> Any:
            with self.recording(cells, seed), own.bound():
                return function(*arrays)

        ways: dict[RandomSource, Way] = {}

        def run(*arrays: Any) -> Any:
            source = self._drawing or "evaluation"
            if source not in ways:
                # Where a graph draws from the global source, evaluating would move what training draws next.
                # XLA compiles a pass longer than a graph of it takes for thousands of calls.
                ways[source] = Way(on_tensors, self.ways, type(own).__name__, AS_A_GRAPH)
            values = tensors((self.cell_values(), self.seeds(1, source)[0], *arrays))
            with self.on_device():
                found = own.tried(lambda: on_tensors(*values)) if self.is_trial else ways[source](*values)
                return arrays_of(found)

        return run

    @contextlib.contextmanager
    def recording(self, cells: Sequence[Array], seed: Array) -> Iterator[None]:
        """Let cells have these values and draws come from this seed, as long as a pass runs on tensors."""
        for cell, value in zip(self.cells, cells, strict=True):
            cell.bind(value)
        if not tf.executing_eagerly():
            # This seeds what the graph draws from the global source, and nothing else.
            tf.random.set_seed(self.ways.start)
        token = SEEDS.set(Seeds(seed))
        try:
            yield
        finally:
            SEEDS.reset(token)
            for cell in self.cells:
                cell.bind(None)

    def cell_values(self) -> list[NumpyArray]:
        """Return the present value of every cell; numbers are float32, as losses are."""
        return [cell.host if cell.host.ndim else cell.host.astype(np.float32) for cell in self.cells]

    def asarray(self, array: NumpyArray) -> Array:
        """Return the array as it is; in a pass that runs on tensors as one of them."""
        return tf.convert_to_tensor(array) if self.in_a_pass() else array

    def numpy(self, tensor: Array) -> Any:
        """Return a tensor as NumPy's array; one of a graph comes back as it is."""
        return tensor if tf.is_symbolic_tensor(tensor) else np.asarray(tensor)

    def native(self, array: Array) -> Array:
        """Return a tensor, for a distribution of the user's, which may draw from TensorFlow's global source."""
        self._draws_at_once |= not self.in_a_pass()
        return as_tensor(array)

    # ------------------------------------------------------------------------------------ randomness

    def rng(self, source: RandomSource, like: Array = None) -> np.random.Generator | Array:
        """Return NumPy's generator; in a pass on tensors, and for tensors, a seed that was not used before."""
        seeds = SEEDS.get()
        if seeds is not None:
            return seeds.fresh()
        return tf.constant(self.seeds(1, source)[0]) if tf.is_tensor(like) else self.generators[source]

    def seeds(self, count: int, source: RandomSource = "learning") -> NumpyArray:
        """Draw the seeds of steps or passes, int32 [count, 2]."""
        return self.generators[source].integers(2**31, size=(count, 2), dtype=np.int32)

    @contextlib.contextmanager
    def own_randomness(self, source: RandomSource) -> Iterator[None]:
        """Let the seeds of passes come from ``source``, and TensorFlow's global source start from it.

        A graph starts its own draws when it is made, and goes on; what draws at once starts anew in every context.
        """
        (before, start), self._drawing = (self._drawing, self.ways.start), source
        if source != before and not self.in_a_pass():
            self.ways.start = int(self.generators[source].integers(2**31))
            if self.ways.eager or self._draws_at_once:
                # Elsewhere not: TensorFlow forgets what is ready to run, and optimises every graph anew, for a second.
                tf.random.set_seed(self.ways.start)
        try:
            yield
        finally:
            self._drawing, self.ways.start = before, start

    # ------------------------------------------------------------------------------------ parameters

    def set_training(self, model: ModelV2, training: bool) -> None:
        """Say it to the models; layers are told by their argument ``training``."""
        tf_base(model).set_training(training)

    def holders(self, model: ModelV2) -> frozenset[int]:
        """Return the ids of the variables that are trained."""
        return frozenset(map(id, tf_base(model).trained().values()))

    def trained(self, model: ModelV2) -> frozenset[str]:
        """Return the names of the variables that gradient steps move."""
        return frozenset(tf_base(model).trained())

    def frozen(self, model: ModelV2) -> frozenset[str]:
        """Return the names of the layers, and of Keras 3's variables, that say that they are not trainable."""
        return frozenset(name for name, one in tf_base(model).held().switches.items() if not one.trainable)

    def freeze(self, model: ModelV2, names: frozenset[str]) -> None:
        """Say it to the layers, which pass it on to those in them, and to variables that differ from their layer."""
        for name, one in tf_base(model).held().switches.items():
            if one.trainable == (name in names):
                one.trainable = name not in names

    def narrow(self, model: ModelV2) -> frozenset[str]:
        """Return the names of the trained variables of fewer than 32 bits."""
        return frozenset(name for name, one in tf_base(model).trained().items() if one.dtype.size < 4)

    def reached(self, model: ModelV2, compute: Callable[[], Sequence[Array]]) -> list[frozenset[str]]:
        """Return to which variables gradients go, by a pass that is recorded."""
        own = tf_base(model)
        variables = {name: one for name, one in own.held().variables.items() if one.dtype.is_floating}
        found: list[set[int]] = []
        with self.on_device(), tf.GradientTape(persistent=True) as tape:
            for variable in variables.values():
                tape.watch(variable)
            with self.recording(tensors(self.cell_values()), tf.zeros(2, tf.int32)), own.bound():
                results = [tf.convert_to_tensor(array) for array in compute()]
        held = {id(one) for one in own.held().variables.values()}
        outside = [one for one in tape.watched_variables() if id(one) not in held]
        for array in results:
            sources = [*variables.values(), *outside]
            gradients = tape.gradient(array, sources) if array.dtype.is_floating else []
            pairs = zip(sources, gradients, strict=False)
            found.append({id(one) for one, gradient in pairs if gradient is not None})
        # What stands behind tf.stop_gradient is not to be trained.
        _require_none(own, [one for one in outside if any(id(one) in ids for ids in found)])
        return [frozenset(name for name, one in variables.items() if id(one) in ids) for ids in found]

    def parameters(self, model: ModelV2) -> dict[str, NumpyArray]:
        """Return copies of all variables by name."""
        return {name: for_a_file(variable.numpy()) for name, variable in tf_base(model).held().variables.items()}

    def load_parameters(self, model: ModelV2, values: dict[str, NumpyArray]) -> None:
        """Set all variables by name; see the protocol."""
        own = tf_base(model)
        variables = own.held().variables
        shapes = {name: tuple(variable.shape) for name, variable in variables.items()}
        require_fit(shapes, {name: value.shape for name, value in values.items()})
        for name, variable in variables.items():
            variable.assign(values[name].astype(variable.dtype.as_numpy_dtype))
        own.synchronise()

    def layers(self, model: ModelV2) -> list[Layer]:
        """Return what holds variables, in order."""
        return layers_of({name: tuple(one.shape) for name, one in tf_base(model).held().variables.items()})


def _require_none(model: TFModelV2, outside: Sequence[Any]) -> None:
    """Require that there are no variables that a pass would train, and that the model does not hold.

    Of those that the model does not lead to it is only told: they may be of a layer of Keras that is frozen, which a
    variable does not say.

    Args:
        model: whose pass it is.
        outside: variables that it does not hold, and that its results have gradients in.

    Raises:
        ModelError: it leads to one that is not frozen.
    """
    name, ways = type(model).__name__, ways_to(model, outside)
    for variable in outside:
        way = ways.get(id(variable))
        if way is not None and not any(map(_is_frozen, way.holders)):
            where = f"{name}.{way.path.removesuffix('._value')}, of shape {tuple(variable.shape)},"
            raise ModelError(f"{name} computes with {where} which is {_NOT_FOUND}. {_HOLD}")
    unnamed = [variable for variable in outside if id(variable) not in ways]
    if unnamed:
        first, more = unnamed[0], f" and {len(unnamed) - 1} more" if len(unnamed) > 1 else ""
        _LOG.warning(
            f"{name}, or its action distribution, computes with the variable {first.name}, of shape"
            f" {tuple(first.shape)},{more}: {_NOT_FOUND}. If it is frozen, this is fine. {_HOLD}"
        )


_NOT_FOUND = "not found among its variables, and so neither trained nor saved"
_HOLD = (
    "Let the model hold layers, modules and variables as attributes of its own, or in dicts, lists and tuples there;"
    " what is to stay as it is, hold as an attribute, and freeze it by trainable=False."
)


def _is_frozen(holder: object) -> bool:
    return holds_variables(holder) and getattr(holder, "trainable", True) is False


def _is_of_keras(error: Exception) -> bool:
    """Return whether Keras 3 raised an error."""
    trace = error.__traceback__
    while trace is not None:
        if f"{os.sep}keras{os.sep}src{os.sep}" in trace.tb_frame.f_code.co_filename:
            return True
        trace = trace.tb_next
    return False


def tensors(arrays: Tree) -> Tree:
    """Return NumPy's arrays as tensors, float64 as float32: TensorFlow does not mix them."""
    return tf.nest.map_structure(_tensor, arrays)


def _tensor(array: Any) -> Any:
    if isinstance(array, np.ndarray | np.generic) and array.dtype == np.float64:
        array = array.astype(np.float32)
    return tf.convert_to_tensor(array) if isinstance(array, np.ndarray | np.generic | float) else array


def arrays_of(found: Tree) -> Tree:
    """Return tensors as NumPy's arrays."""
    return tree.map_leaves(lambda leaf: leaf.numpy() if isinstance(leaf, tf.Tensor) else leaf, found)
