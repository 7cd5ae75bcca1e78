"""The variables and layers that code of TensorFlow 1 makes by name in ``forward``, kept by the model that runs.

In version 2 ``tf1.get_variable`` makes a new variable at every call, and ``tf1.layers`` is gone: nothing would be
trained. Here the first pass makes them, and later passes find them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from inspect import signature
from itertools import chain, count
from typing import Any
from weakref import WeakKeyDictionary

import tensorflow as tf

from anyspace.errors import ModelError
from anyspace.maths.xp import Array
from anyspace.models.tf.base import RUNNING, Pass


class Store:
    """What one model made by name, as one of its passes sees it.

    Attributes:
        made: variables and layers by the path of their scope and their name; an attribute of the model holds this dict.
    """

    def __init__(self, made: dict[str, Any]):
        self.made = made
        self._open: list[tuple[str, set[str]]] = [("", set())]
        """The paths of the scopes that are open, and the names that were taken in each since it was opened."""

    def get(self, name: str | None, kind: str, make: Callable[[], Any]) -> Any:
        """Return what has the name, or make it; without a name, by the number of its kind in this scope."""
        key = self.path(name, kind)
        if key not in self.made:
            with tf.init_scope():
                self.made[key] = make()
        return self.made[key]

    def path(self, name: str | None, default: str) -> str:
        """Return the path of a name within the innermost scope; None: ``default``, ``default_1``, and so on."""
        within, taken = self._open[-1]
        if name is None:
            numbered = (f"{default}_{number}" for number in count(1))
            name = next(one for one in chain([default], numbered) if one not in taken)
        taken.add(name)
        return f"{within}/{name}" if within and name else within or name

    @contextlib.contextmanager
    def scope(self, path: str) -> Iterator[None]:
        """Open the scope of a path; names within it are counted anew."""
        self._open.append((path, set()))
        try:
            yield
        finally:
            self._open.pop()


_NOBODYS = Store({})
"""For calls outside of a model's pass."""

_stores: WeakKeyDictionary[Pass, Store] = WeakKeyDictionary()
"""Those of passes that run: each counts anew what has no name."""


def store() -> Store:
    """Return the store of the pass that runs."""
    running = RUNNING.get()
    if running is None:
        return _NOBODYS
    if running not in _stores:
        _stores[running] = Store(vars(running.model).setdefault("tf1", {}))
    return _stores[running]


_INSTEAD = {
    "regularizer": "add what it returns to the losses in custom_loss().",
    "constraint": "apply it to the weights in forward().",
    "initializer": "give it to each get_variable().",
    "collections": "all variables are found again, those with `trainable=False` are not trained; leave it out.",
}
"""What to do in the place of a keyword, by the last word of its name."""

_OF_NO_EFFECT = {"auxiliary_name_scope", "caching_device", "fused", "use_resource", "validate_shape", "values"}
"""Keywords that change nothing here, whatever they are."""

_TO_LEAVE_OUT = {
    "adjustment",
    "aggregation",
    "custom_getter",
    "data_format",
    "dtype",
    "partitioner",
    "renorm",
    "renorm_clipping",
    "renorm_momentum",
    "synchronization",
    "virtual_batch_size",
}


def _require_none(function: str, others: Mapping[str, Any]) -> None:
    """Require that keywords of TensorFlow 1 that a function does not follow here ask for nothing.

    Raises:
        ModelError: one does, or there is none of its name.
    """
    for name, value in others.items():
        instead = _INSTEAD.get(name.rpartition("_")[2])
        if instead is None and name not in _OF_NO_EFFECT | _TO_LEAVE_OUT:
            raise ModelError(f"tf1.{function}() has no keyword {name!r}; came {value!r}.")
        if name not in _OF_NO_EFFECT and value is not None and value is not False:
            raise ModelError(
                f"tf1.{function}({name}={value!r}): it is not followed here, and has to be None;"
                f" {instead or 'leave it out.'}"
            )


_LAYERS = {
    "average_pooling1d": "AveragePooling1D",
    "average_pooling2d": "AveragePooling2D",
    "batch_normalization": "BatchNormalization",
    "conv1d": "Conv1D",
    "conv2d": "Conv2D",
    "conv2d_transpose": "Conv2DTranspose",
    "dense": "Dense",
    "dropout": "Dropout",
    "flatten": "Flatten",
    "max_pooling1d": "MaxPooling1D",
    "max_pooling2d": "MaxPooling2D",
    "separable_conv2d": "SeparableConv2D",
}
"""What a function of ``tf1.layers`` is called among the layers of Keras, which take the same arguments."""

_ADDED = ("_regularizer", "_constraint")
"""How keywords end that Keras takes, but leaves to its own way of training."""


class Layers:
    """``tf1.layers``: each function makes its layer once for each name.

    Further keywords of TensorFlow 1, such as ``kernel_regularizer``, are accepted where they are None.
    """

    def __getattr__(self, kind: str) -> Callable[..., Array]:
        if kind not in _LAYERS:
            raise AttributeError(
                f"tf1.layers.{kind}: there are {', '.join(_LAYERS)}. Make another layer with tf.keras, in the"
                " constructor."
            )
        return partial(_of_layer, kind)


def _of_layer(
    kind: str,
    inputs: Array,
    *arguments: Any,
    training: Any = None,
    trainable: bool = True,
    name: str | None = None,
    reuse: Any = None,
    **options: Any,
) -> Array:
    """Return what the layer of a name makes of inputs; ``reuse`` is always so here.

    Raises:
        ModelError: a keyword is given that is not followed here.
    """
    make = getattr(tf.keras.layers, _LAYERS[kind])
    taken = signature(vars(make.__init__).get("old", make.__init__)).parameters
    others = [key for key in options if key not in taken or key.endswith(_ADDED)]
    _require_none(f"layers.{kind}", {key: options.pop(key) for key in others})
    layer = store().get(name, kind, lambda: make(*arguments, trainable=trainable, **options))
    return layer(inputs) if training is None else layer(inputs, training=training)


class Scope:
    """``tf1.VariableScope``: a name to put others beneath.

    Args:
        reuse: accepted for old call sites: what has a name is always found again.
        name: of the scope, with the names of those around it: ``outer/inner``.
    """

    def __init__(self, reuse: Any = None, name: str = ""):
        self.name = name


class TF1:
    """``tf1``: the functions of ``tf.compat.v1``, and those that keep what they make by name.

    Attributes:
        layers: see `Layers`.
        VariableScope: see `Scope`.
    """

    layers = Layers()
    VariableScope = Scope

    def __getattr__(self, name: str) -> Any:
        return getattr(tf.compat.v1, name)

    @staticmethod
    @contextlib.contextmanager
    def variable_scope(
        name_or_scope: str | Scope | None,
        default_name: str | None = None,
        values: Any = None,
        *,
        reuse: Any = None,
        **others: Any,
    ) -> Iterator[Scope]:
        """Put the names of what is made within beneath another one; ``reuse`` is always so here.

        A name goes beneath the scopes that are open, a `Scope` is opened wherever it was. With None the name is
        ``default_name``, or where this scope has it already ``default_name_1``, and so on.

        Raises:
            ModelError: there is no name, or a keyword is given that is not followed here.
        """
        _require_none("variable_scope", others)
        if name_or_scope is None and default_name is None:
            raise ModelError("tf1.variable_scope() has no name: give a name, or None and default_name.")
        made = store()
        given = name_or_scope
        path = given.name if isinstance(given, Scope) else made.path(given, default_name or "")
        with made.scope(path):
            yield Scope(name=path)

    @staticmethod
    def get_variable(
        name: str,
        shape: Any = None,
        dtype: Any = tf.float32,
        initializer: Any = None,
        regularizer: Any = None,
        trainable: bool | None = True,
        **others: Any,
    ) -> Any:
        """Return the variable of a name, made when it is first asked for.

        Raises:
            ModelError: a keyword is given that is not followed here.
        """
        _require_none("get_variable", {"regularizer": regularizer, **others})

        def make() -> Any:
            start = initializer or tf.keras.initializers.GlorotUniform()
            value = start(shape, dtype) if callable(start) else start
            return tf.Variable(value, trainable=trainable is not False, name=name)

        return store().get(name, "variable", make)

    @staticmethod
    def get_collection(key: Any, scope: str | None = None) -> list[Any]:
        """Return the variables that were made by name: all, or those to be trained; there are no update operations.

        Raises:
            ModelError: another collection is asked for.
        """
        keys = tf.compat.v1.GraphKeys
        if key == keys.UPDATE_OPS:
            return []
        if key not in (keys.GLOBAL_VARIABLES, keys.TRAINABLE_VARIABLES):
            raise ModelError(f"tf1.get_collection({key!r}): collections are of variables, trained ones or all, here.")
        found: list[Any] = []
        for name, one in store().made.items():
            if name.startswith(scope or ""):
                found += [one] if isinstance(one, tf.Variable) else one.variables
        return found if key == keys.GLOBAL_VARIABLES else [one for one in found if one.trainable]
