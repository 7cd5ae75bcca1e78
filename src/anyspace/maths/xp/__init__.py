"""The array namespace of an array: one spelling, NumPy's, for NumPy, PyTorch, JAX and TensorFlow.

Formulas of this library are written once over ``xp(x)``; NumPy is then the oracle of the tests and the other
frameworks run the very same lines. A framework is imported only when an array of it turns up.

To support another framework, write a file with its ``NAMESPACE`` and name it in `_FILES`.
"""

from __future__ import annotations

from importlib import import_module

from anyspace.maths.xp.base import Array, Axis, Namespace, Rng

__all__ = ["Array", "Axis", "Namespace", "Rng", "xp"]

_FILES = {"numpy": "numpy", "torch": "torch", "jax": "jax", "jaxlib": "jax", "tensorflow": "tensorflow"}
"""Which file of this folder serves the arrays whose type comes from a package."""

_BY_TYPE: dict[type, Namespace] = {}


def xp(x: Array) -> Namespace:
    """Return the namespace of the framework that ``x`` is an array of.

    Raises:
        TypeError: ``x`` is no array of a supported framework.
    """
    namespace = _BY_TYPE.get(type(x))
    return _resolve(x) if namespace is None else namespace


def _resolve(x: Array) -> Namespace:
    for base in type(x).__mro__:
        file = _FILES.get(base.__module__.partition(".")[0])
        if file is not None:
            namespace: Namespace = import_module(f"{__name__}.{file}").NAMESPACE
            if isinstance(x, namespace.array_type):
                _BY_TYPE[type(x)] = namespace
                return namespace
    kind = f"{type(x).__module__}.{type(x).__qualname__}"
    raise TypeError(f"Expected an array of NumPy, PyTorch, JAX or TensorFlow, got {kind}: {x!r:.80}")
