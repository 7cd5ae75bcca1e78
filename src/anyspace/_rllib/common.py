"""Types, decorators and frameworks, which nearly every file of RLlib's old stack imports."""

from __future__ import annotations

from collections.abc import Callable
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
            f"tf.{name}: there is no TensorFlow here. Ask `if tf:` first, and use PyTorch (try_import_torch), or"
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
    _absent("TensorFlow", error)
    return None, _NoTensorFlow(), None


def try_import_tfp(error: bool = False) -> None:
    """Return None: there is no TensorFlow Probability here.

    Raises:
        ImportError: ``error`` asks for one.
    """
    _absent("TensorFlow Probability", error)


def tf_function(tf_module: Any) -> Callable[[T], T]:
    """Return a decorator that leaves a function as it is: what calls it is compiled as a whole."""
    return _unchanged


def try_import_jax(error: bool = False) -> tuple[None, None]:
    """Return None for jax and for flax: models are PyTorch's.

    Raises:
        ImportError: ``error`` asks for one.
    """
    _absent("JAX", error)
    return None, None


def _absent(framework: str, error: bool) -> None:
    if error:
        raise ImportError(f"anyspace has no models of {framework}; use PyTorch (try_import_torch).")
