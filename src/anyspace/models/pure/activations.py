"""Activations by the names that a configuration may give them, over array namespaces."""

from __future__ import annotations

import math
from collections.abc import Callable

from anyspace.errors import ConfigError, nearest
from anyspace.importing import import_path, is_path
from anyspace.maths.xp import Array, Namespace, xp
from anyspace.models.config import ActivationSpec

Function = Callable[[Array], Array]
"""An array to an array of the same shape."""

Activation = Callable[[Namespace], Function]
"""Makes the function of a framework."""


def sigmoid(ns: Namespace, x: Array) -> Array:
    """Return 1 / (1 + exp(-x)) as half of a tanh: σ(x) = tanh(x / 2) / 2 + 1/2, which never overflows."""
    return ns.tanh(x * 0.5) * 0.5 + 0.5


def tanh(ns: Namespace) -> Function:
    """Return the hyperbolic tangent of a framework."""
    return ns.tanh


def relu(ns: Namespace) -> Function:
    """Return max(x, 0) of a framework."""
    return ns.relu


def _exponential(scale: float, alpha: float) -> Activation:
    """Return scale * (x where x > 0, else alpha (exp(x) - 1)): ELU and SELU."""

    def of(ns: Namespace) -> Function:
        # Of what is above 0 the exponential is not taken: where it overflows, a gradient would be NaN.
        return lambda x: scale * (ns.relu(x) + alpha * (ns.exp(-ns.relu(-x)) - 1.0))

    return of


def _leaky(slope: float) -> Activation:
    """Return x where it is above 0, else ``slope`` x."""
    return lambda ns: lambda x: ns.relu(x) - slope * ns.relu(-x)


def _relu6(ns: Namespace, x: Array) -> Array:
    return ns.clip(x, 0.0, 6.0)


def _hard_swish(ns: Namespace) -> Function:
    """Return x relu6(x + 3) / 6. Howard et al., "Searching for MobileNetV3", 2019."""
    return lambda x: x * _relu6(ns, x + 3.0) / 6.0


def _gelu(ns: Namespace) -> Function:
    """Return x times the share of normal draws below x. Hendrycks and Gimpel, "Gaussian error linear units", 2016."""
    return lambda x: x * (0.5 + 0.5 * ns.erf(x * math.sqrt(0.5)))


_SELU = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717
"""Scale and alpha. Klambauer et al., "Self-normalizing neural networks", 2017."""

_NAMED: dict[str, Activation | None] = {
    "linear": None,
    "identity": lambda ns: lambda x: x,
    "tanh": tanh,
    "relu": relu,
    "elu": _exponential(1.0, 1.0),
    "selu": _exponential(*_SELU),
    "celu": _exponential(1.0, 1.0),
    "exponential": lambda ns: ns.exp,
    "gelu": _gelu,
    "hardsigmoid": lambda ns: lambda x: _relu6(ns, x + 3.0) / 6.0,
    "hardsilu": _hard_swish,
    "hardswish": _hard_swish,
    "hardtanh": lambda ns: lambda x: ns.clip(x, -1.0, 1.0),
    "leakyrelu": _leaky(0.01),
    "logsigmoid": lambda ns: lambda x: -ns.softplus(-x),
    "logsoftmax": lambda ns: ns.log_softmax,
    "mish": lambda ns: lambda x: x * ns.tanh(ns.softplus(x)),
    "relu6": lambda ns: lambda x: _relu6(ns, x),
    "sigmoid": lambda ns: lambda x: sigmoid(ns, x),
    "silu": lambda ns: lambda x: x * sigmoid(ns, x),
    "softmax": lambda ns: ns.softmax,
    "softplus": lambda ns: ns.softplus,
    "softsign": lambda ns: lambda x: x / (1.0 + ns.abs(x)),
    "swish": lambda ns: lambda x: x * sigmoid(ns, x),
}
"""By name, in small letters and without underscores."""

_OF_FRAMEWORK: dict[tuple[str, str], Activation] = {("tf", "leaky_relu"): _leaky(0.2)}
"""What a framework has another function of, by its name there."""


def activation(name: ActivationSpec | None, framework: str) -> Activation | None:
    """Return an activation; None for ``None`` and ``"linear"``.

    Args:
        name: a name, such as "relu", or as PyTorch spells it ("LeakyReLU"); the path of a function of the framework, or
            the function itself, such as ``jax.nn.squareplus``. Such a function is given NumPy's arrays when acting.
        framework: whose networks it is for. TensorFlow's "leaky_relu" has the slope 0.2 that it has in ``tf.nn``.

    Raises:
        ConfigError: there is none of the name, or a class of a framework is given.
    """
    if name is None:
        return None
    if isinstance(name, str) and is_path(name):
        name = import_path(name)
    if isinstance(name, str) and (of_framework := _OF_FRAMEWORK.get((framework, name.lower()))) is not None:
        return of_framework
    if isinstance(name, str) and (key := name.lower().replace("_", "")) in _NAMED:
        return _NAMED[key]
    if callable(name) and not isinstance(name, type):
        return lambda ns: _own(name)
    wanted = nearest(str(name), _NAMED) or f" There are {', '.join(_NAMED)}."
    raise ConfigError(f"Unknown activation ({name}) for framework={framework}!{wanted}")


def _own(function: Function) -> Function:
    """Return a user's function, whose result is an array of the framework that the input is of."""
    return lambda x: xp(x).asarray(function(x), like=x)
