"""What a TensorFlow model holds: variables in its attributes, wherever they come from, by the way to them.

A model may hold layers and models of Keras 3 or Keras 2, modules and variables of TensorFlow, dicts, lists and tuples
of these, weights that it adopted, and other models that hold such. The third variable of the layer ``self.base_model``
is ``base_model/2``; the weight ``logits.bias`` of the model ``self.base`` is ``base.logits.bias``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf

from anyspace.errors import ModelError
from anyspace.models.modelv2 import ModelV2

Variables = dict[str, Any]
"""Variables of TensorFlow by name."""

_NO_WEIGHTS = {"obs_space", "action_space", "model_config", "view_requirements", "_weights", "_last_output"}
"""Attributes of every model that hold no variables."""


@dataclass
class Held:
    """All that a model and the models in it hold."""

    models: list[ModelV2] = field(default_factory=list)
    """The model itself first, each once."""
    variables: Variables = field(default_factory=dict)
    """Each once, under the first way that leads to it."""
    parts: dict[str, Any] = field(default_factory=dict)
    """The layers and modules, by the way to them."""
    switches: dict[str, Any] = field(default_factory=dict)
    """What can be frozen and released: layers of Keras, each before what is in it, and variables of Keras 3."""
    all_adopted: bool = True
    """Whether there is no variable but those that models adopted."""
    _there: set[int] = field(default_factory=set)
    """Which variables are there, by their identity."""
    _frozen: set[int] = field(default_factory=set)
    """Which of them are frozen: they say so, or a layer that has them does."""

    def add(self, name: str, variable: Any) -> None:
        """Add a variable, as it is or as Keras 3 wraps it, unless it is there under another name.

        Raises:
            ModelError: there is another one of that name.
        """
        plain = plain_variable(variable)
        if id(plain) not in self._there:
            if name in self.variables:
                raise ModelError(
                    f"{type(self.models[0]).__name__} has two weights that are called `{name}`: rename a key."
                )
            self._there.add(id(plain))
            self.variables[name] = plain
            if is_keras_variable(variable):
                self.switches[name] = variable
            # What Keras 3 wraps stays as it was made when the layer is frozen, or released.
            self._frozen |= set() if variable.trainable else {id(plain)}

    def add_part(self, path: str, part: Any) -> None:
        """Add a layer or a module, and its variables."""
        self.parts[path] = part
        layers = [layer for layer in _with_layers_in(part) if hasattr(layer, "trainable")]
        self.switches.update({f"{path}#{number}": layer for number, layer in enumerate(layers)})
        for position, variable in enumerate(_variables(part)):
            self.add(f"{path}/{position}", variable)
        for layer in layers:
            # A layer that was frozen before it made its variables does not tell them, nor the layer around it.
            if not layer.trainable:
                self._frozen |= {id(plain_variable(variable)) for variable in _variables(layer)}

    def trained(self) -> Variables:
        """Return the variables that gradients move: those that are not frozen."""
        released = {name: one for name, one in self.variables.items() if id(one) not in self._frozen}
        # What is complex cannot be trained, and whoever wants to is told so.
        return {name: one for name, one in released.items() if one.dtype.is_floating or one.dtype.is_complex}

    @property
    def convolves(self) -> bool:
        """Whether there are kernels of convolutions over pictures."""
        return any(len(variable.shape) > 3 for variable in self.variables.values())

    def layers(self) -> Iterator[Any]:
        """Yield the layers and modules, and those within them."""
        for part in self.parts.values():
            yield from _with_layers_in(part)


def find(model: ModelV2, prefix: str = "", found: Held | None = None) -> Held:
    """Return all that a model holds.

    Raises:
        ModelError: it holds a module of another framework.
    """
    found = Held() if found is None else found
    found.models.append(model)
    for name, variable in vars(model).get("adopted", {}).items():
        found.add(f"{prefix}{name}", variable)
    for attribute, value in list(vars(model).items()):
        if attribute in _NO_WEIGHTS or attribute in ("adopted", "adopting", "registered"):
            continue
        _look(model, value, f"{prefix}{attribute}", found)
    for position, variable in enumerate(vars(model).get("registered", ())):
        found.all_adopted = False
        found.add(f"{prefix}registered/{position}", variable)
    return found


def _look(model: ModelV2, value: Any, path: str, found: Held) -> None:
    if isinstance(value, ModelV2):
        if all(value is not one for one in found.models):
            _require_own_framework(model, path, value)
            find(value, f"{path}.", found)
    elif isinstance(value, tf.Variable) or is_keras_variable(value):
        found.all_adopted = False
        found.add(path, value)
    elif is_layer(value) or isinstance(value, tf.Module):
        found.all_adopted = False
        found.add_part(path, value)
    elif isinstance(value, dict):
        for key, part in value.items():
            _look(model, part, f"{path}/{key}", found)
    elif isinstance(value, list | tuple):
        for position, part in enumerate(value):
            _look(model, part, f"{path}/{position}", found)
    else:
        _require_own_framework(model, path, value)


def _with_layers_in(part: Any) -> Iterator[Any]:
    """Yield a layer or a module, and those within it."""
    yield part
    if hasattr(part, "_flatten_layers"):
        yield from part._flatten_layers(include_self=False)
    else:
        yield from part.submodules


def _variables(part: Any) -> Any:
    """Return the variables of a layer or a module, as far as they are made."""
    # A model of Keras 2 raises where some are still to be made.
    is_unfinished = isinstance(part, tf.Module) and not is_layer(part) and not getattr(part, "built", True)
    return tf.Module.variables.fget(part) if is_unfinished else part.variables


def holds_variables(value: object) -> bool:
    """Return whether a value is a layer, a module or a variable."""
    return is_layer(value) or is_keras_variable(value) or isinstance(value, tf.Module | tf.Variable)


def is_layer(value: object) -> bool:
    """Return whether a value is a layer or a model of Keras 3; Keras is not imported to find out."""
    keras = sys.modules.get("keras")
    return keras is not None and isinstance(value, keras.layers.Layer)


def is_keras_variable(value: object) -> bool:
    """Return whether a value is a variable as Keras 3 wraps it."""
    keras = sys.modules.get("keras")
    return keras is not None and isinstance(value, keras.Variable)


def is_keras_tensor(value: object) -> bool:
    """Return whether a value is what Keras makes models of: a tensor without numbers."""
    # Keras 2 refuses to say it of what is NumPy's.
    is_numpy = isinstance(value, np.ndarray | np.generic)
    return hasattr(value, "shape") and not is_numpy and bool(tf.keras.backend.is_keras_tensor(value))


def plain_variable(variable: Any) -> Any:
    """Return TensorFlow's variable, where Keras 3 wraps it."""
    return variable.value if is_keras_variable(variable) else variable


def _require_own_framework(model: ModelV2, path: str, value: object) -> None:
    homes = {base.__module__.partition(".")[0] for base in type(value).__mro__}
    if homes & {"torch", "flax", "equinox", "jaxlib"} or (isinstance(value, ModelV2) and value.framework != "tf"):
        raise ModelError(
            f"{type(model).__name__}.{path.rpartition('.')[2]} is a {type(value).__name__}, which is of another"
            " framework and would not be trained; make it with tf.keras, tf.Module or tf.Variable."
        )
