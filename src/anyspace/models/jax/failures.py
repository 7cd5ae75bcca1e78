"""Errors that JAX raises within a trace, in one sentence for the author of the model or the loss."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import jax

from anyspace.errors import ModelError

_DYNAMIC = (jax.errors.NonConcreteBooleanIndexError,)
_NUMPY = (jax.errors.TracerArrayConversionError,)
_BRANCH = (jax.errors.TracerBoolConversionError,)
_SIZE = (jax.errors.TracerIntegerConversionError, jax.errors.ConcretizationTypeError)


@contextlib.contextmanager
def explained(name: str) -> Iterator[None]:
    """Say in one sentence what JAX refuses.

    Args:
        name: whose code is traced, for messages.

    Raises:
        ModelError: in place of JAX's own error, which is its cause.
    """
    try:
        yield
    except jax.errors.JAXTypeError as error:
        raise ModelError(f"{name}: {_reason(error)}") from error
    except jax.errors.JAXIndexError as error:
        raise ModelError(f"{name}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    if isinstance(error, jax.errors.UnexpectedTracerError):
        return (
            "an array of an earlier pass is used again, which was kept outside of the model (in a global, or in an"
            " object that the model holds) or by jax.jit around a method that reads arrays of `self`: keep arrays of a"
            " pass on `self`, and only for that pass; passes are compiled anyway, so leave jax.jit out, or hand over as"
            " arguments what its function reads."
        )
    if isinstance(error, _DYNAMIC):
        return (
            "an array is picked from by booleans, so that the shape would depend on numbers, but a compiled step has"
            " fixed shapes: use jnp.where(condition, x, y)."
        )
    if isinstance(error, _NUMPY):
        return "NumPy, or float() or int(), is applied to an array of JAX within a compiled pass: use jax.numpy."
    if isinstance(error, _BRANCH):
        return (
            "Python branches on the numbers of an array (`if`, `while`, `and`, `max`), which a compiled pass cannot:"
            " use jnp.where or jax.lax.cond."
        )
    if isinstance(error, _SIZE):
        return (
            "Python needs the value of a number that a compiled pass does not know (as an `if`, a size, range() or"
            " float() does): shapes have to be fixed, and numbers to stay arrays of jax.numpy."
        )
    return " ".join(str(error).partition("\n")[0].split())
