"""Nested values side by side: what `flatten_inputs_to_1d_tensor` is in each of the frameworks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gymnasium import spaces

from anyspace import nesting, tree
from anyspace.maths.xp import Array
from anyspace.tree import Tree


def parts(inputs: Tree, spaces_struct: Tree | None, one_hot: Callable[[Any, Any], Array]) -> list[Any]:
    """Return the leaves of nested values in the order of sorted keys, choices as one-hot vectors.

    Args:
        inputs: nested arrays, indices where the space is Discrete or MultiDiscrete.
        spaces_struct: the space, or its leaves nested like the inputs; None takes all numbers as they are.
        one_hot: what makes one-hot vectors of the indices of a Discrete or MultiDiscrete.
    """
    leaves = tree.leaves_by_key(inputs)
    if spaces_struct is None:
        return leaves

    def part(leaf: Any, space: Any) -> Any:
        match space:
            case spaces.Discrete() | spaces.MultiDiscrete():
                return one_hot(leaf, space)
        return leaf

    kinds = tree.leaves_by_key(nesting.unwrapped(spaces_struct))
    return [part(leaf, space) for leaf, space in zip(leaves, kinds, strict=True)]
