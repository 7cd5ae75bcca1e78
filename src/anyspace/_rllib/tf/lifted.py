"""TensorFlow as files of RLlib's old stack know it: written for Keras 2, and some for TensorFlow 1.

`tf` and `tf1` are what ``try_import_tf()`` of `anyspace.rllib` hands out. Where Keras is version 3, the functions of
`tf` also take its symbolic tensors, most of those of TensorFlow itself do, and some spellings of Keras 2 work:
importing this module is what makes them work. Where it is version 2, nothing is changed.
"""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
import tensorflow as tensorflow

from anyspace._rllib.tf.tf1 import TF1
from anyspace.models.tf.base import RUNNING
from anyspace.models.tf.held import is_keras_tensor

IS_KERAS_3 = hasattr(tensorflow.keras, "Operation")
"""Whether ``tf.keras`` is Keras 3."""

_MODULES = ("linalg", "math", "nn")
"""Modules whose functions take symbolic tensors as well."""


class Lifted:
    """A module of TensorFlow whose functions take Keras' symbolic tensors, by making an operation of Keras of each.

    Args:
        module: the module.
        fallback: has the names of TensorFlow 1 that it lacks, such as ``tf.log``; None: there is none.
    """

    def __init__(self, module: Any, fallback: TF1 | None = None):
        self._module, self._fallback = module, fallback

    def __getattr__(self, name: str) -> Any:
        if name == "layers" and self._fallback is not None:
            return self._fallback.layers
        found = sequence_mask if name == "sequence_mask" else getattr(self._module, name, None)
        if found is None and self._fallback is not None:
            found = getattr(self._fallback, name, None)
        if found is None:
            raise AttributeError(f"module {self._module.__name__!r} has no attribute {name!r}")
        if not IS_KERAS_3 or name == "keras":
            return found
        if isinstance(found, ModuleType):
            return Lifted(found) if name in _MODULES else found
        return lifted(found) if isinstance(found, FunctionType) else found

    def __dir__(self) -> list[str]:
        return dir(self._module)


def lifted(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function of tensors that takes Keras' symbolic ones as well."""
    keras = tensorflow.keras

    class Operation(keras.Operation):  # type: ignore[misc, name-defined]
        """The function, as a node between layers."""

        def call(self, *arguments: Any, **options: Any) -> Any:
            """Call it."""
            return function(*arguments, **options)

        def compute_output_spec(self, *arguments: Any, **options: Any) -> Any:
            """Return what it gives for symbolic tensors."""
            from keras.src import backend

            return backend.compute_output_spec(self.call, *arguments, **options)

    def call(*arguments: Any, **options: Any) -> Any:
        leaves = tensorflow.nest.flatten([list(arguments), options])
        if any(isinstance(leaf, keras.KerasTensor) for leaf in leaves):
            return Operation()(*arguments, **options)
        return function(*arguments, **options)

    return call


class _OfSymbolic(tensorflow.__internal__.dispatch.GlobalOpDispatcher):  # type: ignore[misc]
    """Lets functions of TensorFlow take symbolic tensors; it is asked where one of them could not."""

    def handle(self, op: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Return what ``op`` gives for symbolic tensors."""
        leaves = tensorflow.nest.flatten([list(args), dict(kwargs)])
        is_symbolic = any(isinstance(leaf, tensorflow.keras.KerasTensor) for leaf in leaves)
        return lifted(op)(*args, **kwargs) if is_symbolic else self.NOT_SUPPORTED


def sequence_mask(lengths: Any, maxlen: Any = None, dtype: Any = None, name: str | None = None) -> Any:
    """Return which steps are within ``lengths``, as ``tf.sequence_mask`` does.

    Without ``maxlen``, lengths of the sequences that a model is given are told from all steps that these have with
    their padding, which may be more than the longest length.
    """
    if maxlen is None and not IS_KERAS_3 and is_keras_tensor(lengths):
        # How many steps there are is asked when the model is called.
        return tensorflow.keras.layers.Lambda(lambda given: sequence_mask(given, None, dtype, name))(lengths)
    running = RUNNING.get()
    steps = None if running is None else running.sequences
    if maxlen is None and steps is not None and steps[1] > 1 and lengths.shape == steps[:1]:
        maxlen = steps[1]
    return tensorflow.sequence_mask(lengths, maxlen, dtype or tensorflow.bool, name)


class Shape(tuple[Any, ...]):
    """The shape of a symbolic tensor, as Keras 2 had it."""

    __slots__ = ()

    def as_list(self) -> list[Any]:
        """Return the lengths."""
        return list(self)


def _take_old_spellings() -> None:
    """Let Keras 3 take what files for Keras 2 write."""
    keras = tensorflow.keras
    _OfSymbolic().register()
    keras.KerasTensor.shape = property(lambda self: Shape(self._shape), lambda self, shape: _set_shape(self, shape))
    keras.KerasTensor.get_shape = lambda self: Shape(self._shape)

    call = keras.layers.RNN.__call__

    def renamed(self: Any, *arguments: Any, inputs: Any = None, **options: Any) -> Any:
        return call(self, *([] if inputs is None else [inputs]), *arguments, **options)

    keras.layers.RNN.__call__ = renamed
    for kind in (keras.layers.Dense, keras.layers.Conv2D, keras.layers.LSTM, keras.layers.GRU, keras.layers.Embedding):
        kind.__init__ = _with_whole_numbers(kind.__init__)
    keras.Input = keras.layers.Input = _with_shape_of_a_number(keras.layers.Input)
    for kind in (keras.layers.BatchNormalization, keras.layers.Dropout):
        kind.__call__ = _with_symbolic_training(kind.__call__)
    _take_state_in_calls()


def _take_state_in_calls() -> None:
    """Let models of Keras take ``model(inputs, state, seq_lens)``, of which Keras 2 used the inputs."""
    from keras.src.models.functional import Functional

    call, run = Functional.__call__, Functional.call

    def called(self: Any, inputs: Any, *rest: Any, **options: Any) -> Any:
        ignored = type(self).call is run and rest and isinstance(rest[0], list)
        return call(self, inputs, *(() if ignored else rest), **options)

    Functional.__call__ = called


def _with_symbolic_training(call: Callable[..., Any]) -> Callable[..., Any]:
    """Return the call of a layer that takes a symbolic ``training``, which models get as one of their inputs."""

    class Switched(tensorflow.keras.layers.Layer):  # type: ignore[misc]
        """The layer, in training where a tensor of one boolean says so."""

        def __init__(self, layer: Any):
            super().__init__()
            self.layer = layer

        def build(self, inputs_shape: Any, is_training_shape: Any) -> None:
            """Make the weights."""
            self.layer.build(inputs_shape)

        def compute_output_spec(self, inputs: Any, is_training: Any) -> Any:
            """Return what is like the inputs; traced here, statistics would leave their branch."""
            return tensorflow.keras.KerasTensor(inputs.shape, dtype=inputs.dtype)

        def call(self, inputs: Any, is_training: Any) -> Any:
            """Call the layer."""
            return tensorflow.cond(
                tensorflow.reshape(is_training, [-1])[0],
                lambda: call(self.layer, inputs, training=True),
                lambda: call(self.layer, inputs, training=False),
            )

    def called(self: Any, inputs: Any, *arguments: Any, training: Any = None, **options: Any) -> Any:
        if isinstance(training, tensorflow.keras.KerasTensor):
            return Switched(self)(inputs, training)
        return call(self, inputs, *arguments, **({} if training is None else {"training": training}), **options)

    return called


def _set_shape(tensor: Any, shape: Any) -> None:
    tensor._shape = shape


def _with_whole_numbers(construct: Callable[..., None]) -> Callable[..., None]:
    """Return a constructor that takes NumPy's integers, as ``Discrete.n`` is one."""

    def constructed(self: Any, *arguments: Any, **options: Any) -> None:
        construct(self, *map(_whole, arguments), **{name: _whole(value) for name, value in options.items()})

    # Keras reads the signature of the constructor that it calls; `tf1` reads that of the one beneath.
    vars(constructed)["old"] = construct
    return constructed


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, np.integer) else value


def _with_shape_of_a_number(make: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``Input`` that takes ``shape=3``."""

    def made(shape: Any = None, *arguments: Any, **options: Any) -> Any:
        return make((int(shape),) if isinstance(shape, int | np.integer) else shape, *arguments, **options)

    return made


if IS_KERAS_3:
    _take_old_spellings()

tf1 = TF1()
tf = Lifted(tensorflow, tf1)
