"""Types, decorators and frameworks, which nearly every file of RLlib's old stack imports."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NoReturn, TypeVar

from anyspace._rllib import tensorflow
from anyspace.models.placeholders import TFModelV2

T = TypeVar("T")

# ---------------------------------------------------------------------------------------------- typing

TensorType = Any
"""An array of any framework; the other names of arrays and nested arrays mean the same."""
DictType = dict[str, Any]
"""Configurations and weights by name."""
Name = str
"""Of policies and agents."""


# ------------------------------------------------------------------------------------------ decorators


def override(parent_cls: type) -> Callable[[T], T]:
    """Return a decorator that leaves a method as it is; readers see whose method it replaces."""
    return _unchanged


def _unchanged(function: T) -> T:
    return function


def is_overridden(obj: Any) -> bool:
    """Return whether a method is not one that `OverrideToImplementCustomLogic` marks; nothing is marked here: True."""
    return True


def api(obj: Any = None, *, stability: str = "stable") -> Any:
    """Return the marked class or function unchanged. It may have arguments, as in ``@PublicAPI(stability="beta")``."""
    return api if obj is None else obj


# ------------------------------------------------------------------------------------------ frameworks


class _NoTensorFlow:
    """Stands for the module: false, with the names by which files derive classes at import."""

    class keras:
        """Stands for the module of this name."""

        Model = TFModelV2

    def __bool__(self) -> bool:
        return False

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(
            f"tf.{name}: TensorFlow is not installed. Ask `if tf:` first, and use PyTorch (try_import_torch), or"
            " pip install 'anyspace[tf]'."
        )


def try_import_tf(error: bool = False) -> tuple[Any, ...]:
    """Return ``tf1, tf, tfv``: TensorFlow as old files know it, which is imported when something of it is used.

    Where it is not installed these are None, a ``tf`` that is false, and None. Classes can be derived from its
    ``tf.keras.Model``; building one is an error that says so.

    Raises:
        ImportError: it is not installed, and ``error`` asks for this error.
    """
    if tensorflow.is_installed():
        return tensorflow.Imported((tensorflow.Lazy("tf1"), tensorflow.Lazy("tf"), 2))
    if error:
        raise ImportError("TensorFlow is not installed: pip install 'anyspace[tf]', or use PyTorch (try_import_torch).")
    return None, _NoTensorFlow(), None


def try_import_tfp(error: bool = False) -> None:
    """Return None: nothing here is of TensorFlow Probability.

    Raises:
        ImportError: ``error`` asks for one.
    """
    if error:
        raise ImportError("anyspace works without TensorFlow Probability; take the classes of anyspace.distributions.")


def tf_function(tf_module: Any) -> Callable[[T], T]:
    """Return a decorator that leaves a function as it is: what calls it is compiled as a whole."""
    return _unchanged


def try_import_jax(error: bool = False) -> tuple[Any, Any]:
    """Return ``jax, flax``, each None where it is not installed.

    Raises:
        ImportError: one of them is not installed, and ``error`` asks for this error.
    """
    names = ("jax", "flax")
    absent = [name for name in names if find_spec(name) is None]
    if error and absent:
        raise ImportError(
            f"not installed: {' and '.join(absent)}. JAX comes with pip install 'anyspace[jax]', flax with pip install"
            " flax; or use PyTorch (try_import_torch)."
        )
    jax, flax = (None if name in absent else import_module(name) for name in names)
    return jax, flax
