"""To which arguments gradients go, read off the operations of a trace."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.extend.core
import jax.numpy as jnp

from anyspace.maths.xp import Array


def reached_by(
    function: Callable[..., list[Array]], weights: dict[str, Array], *arguments: Any
) -> tuple[list[frozenset[str]], list[Array]]:
    """Return, for each array that a function gives, the names of the weights that get a gradient from it.

    The arrays of JAX that the function computes with, and that are none of its arguments, come as well.

    A gradient that does not depend on what comes back to the array is zero whatever the numbers are.

    Args:
        function: of the weights and the arguments.
        weights: by name.
        arguments: further ones.
    """
    operations, shapes = jax.make_jaxpr(function, return_shape=True)(weights, *arguments)

    def pulled(position: int) -> frozenset[str]:
        def gradient(back: Array, weights: dict[str, Array]) -> dict[str, Array]:
            def total(weights: dict[str, Array]) -> Array:
                return jnp.sum(function(weights, *arguments)[position] * back)

            found: dict[str, Array] = jax.grad(total)(weights)
            return found

        if not jnp.issubdtype(shapes[position].dtype, jnp.inexact):
            return frozenset()
        closed = jax.make_jaxpr(gradient)(jnp.ones(shapes[position].shape, shapes[position].dtype), weights)
        found = depending(closed.jaxpr, closed.jaxpr.invars[:1])
        return frozenset(name for name, reached in zip(sorted(weights), found, strict=True) if reached)

    return [pulled(position) for position in range(len(shapes))], [*_constants(operations)]


def _constants(operations: Any) -> Iterator[Array]:
    """Yield the arrays of JAX that a trace, and the functions that it calls, have from elsewhere."""
    yield from (one for one in operations.consts if isinstance(one, jax.Array))
    for equation in operations.jaxpr.eqns:
        for parameter in equation.params.values():
            for part in parameter if isinstance(parameter, tuple) else (parameter,):
                if isinstance(part, jax.extend.core.ClosedJaxpr):
                    yield from _constants(part)


def dependent(function: Callable[[Any], dict[str, Array]], argument: Any) -> dict[str, bool]:
    """Return, for each array that a function gives, whether it depends on the argument, arrays in a tree.

    What does not is constant whatever the numbers are.
    """
    closed, shapes = jax.make_jaxpr(function, return_shape=True)(argument)
    return dict(zip(sorted(shapes), depending(closed.jaxpr, closed.jaxpr.invars), strict=True))


def depending(operations: Any, inputs: Sequence[Any]) -> list[bool]:
    """Return whether each output of a trace depends on any of some of its inputs."""
    depend = {*inputs}
    for equation in operations.eqns:
        if any(not hasattr(one, "val") and one in depend for one in equation.invars):
            depend.update(equation.outvars)
    return [not hasattr(one, "val") and one in depend for one in operations.outvars]
