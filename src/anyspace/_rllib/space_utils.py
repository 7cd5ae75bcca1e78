"""`utils.spaces` of RLlib's old stack: nested spaces, batches of their values, and actions between them.

The parts of dicts are taken in the order of their sorted keys, as RLlib did, where values are put side by side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from anyspace import nesting, tree
from anyspace.spaces.decoding import centre_and_half
from anyspace.tree import Tree

Space = gym.Space[Any]


class BatchedNdArray(np.ndarray[Any, Any]):
    """An array [N, ...] of rows, which `batch` joins instead of stacking.

    Args:
        input_array: the rows.
    """

    def __new__(cls, input_array: Any) -> BatchedNdArray:
        """Return a view of the array."""
        return np.asarray(input_array).view(cls)


class FlexDict(spaces.Dict):
    """A Dict space to which parts can be added later: ``space["key"] = Box(-1, 1, (4,))``.

    Args:
        spaces: the parts by key.
        spaces_kwargs: the same as keywords; one of both.
    """

    def __init__(self, spaces: Mapping[str, Space] | None = None, **spaces_kwargs: Space):
        if spaces is not None and spaces_kwargs:
            raise AssertionError("FlexDict takes a dict of spaces or keywords, not both.")
        super().__init__(dict(spaces_kwargs if spaces is None else spaces))

    def __setitem__(self, key: str, value: Space) -> None:
        if not isinstance(value, gym.Space):
            raise AssertionError(f"FlexDict[{key!r}] takes a Space, got {value!r}.")
        self.spaces[key] = value

    def __repr__(self) -> str:
        return f"FlexDict({', '.join(f'{key}:{space}' for key, space in self.spaces.items())})"


# ------------------------------------------------------------------------------------------------ spaces


def get_original_space(space: Space) -> Space:
    """Return the space whose preprocessing gave this one, or the space itself."""
    original: Space | None = getattr(space, "original_space", None)
    return space if original is None else get_original_space(original)


def is_composite_space(space: Space) -> bool:
    """Return whether a space is a Dict, Graph, Sequence or Tuple."""
    return type(space) in (spaces.Dict, spaces.Graph, spaces.Sequence, spaces.Tuple)


def to_jsonable_if_needed(sample: Any, space: Space) -> Any:
    """Return a value of a composite space as JSON takes it; of any other space, the value."""
    return space.to_jsonable([sample]) if is_composite_space(space) else sample


def from_jsonable_if_needed(sample: Any, space: Space) -> Any:
    """Undo `to_jsonable_if_needed`."""
    return space.from_jsonable(sample)[0] if is_composite_space(space) else sample


def flatten_space(space: Space) -> list[Space]:
    """Return the spaces within a Dict or Tuple that are neither, Dicts in the order of their sorted keys."""
    return tree.leaves_by_key(get_base_struct_from_space(space))


def get_base_struct_from_space(space: Space) -> Tree:
    """Return a Dict as a dict and a Tuple as a tuple of spaces; any other space as it is."""
    return nesting.unwrapped(space)


def get_dummy_batch_for_space(
    space: Tree,
    batch_size: int = 32,
    *,
    fill_value: float | Literal["random"] = 0.0,
    time_size: int | None = None,
    time_major: bool = False,
    one_hot_discrete: bool = False,
) -> Any:
    """Return values for a space, nested like it: arrays [batch_size, ...], or [batch_size, time_size, ...].

    Args:
        space: a space, or nested dicts and tuples of spaces.
        batch_size: rows; 0: one value, without an axis of rows.
        fill_value: what all numbers are; "random": samples of the space.
        time_size: steps; None: no axis of time.
        time_major: the axis of time comes first.
        one_hot_discrete: vectors of as many numbers as Discrete and MultiDiscrete have options, instead of indices.

    Raises:
        ValueError: there are steps and no rows.
    """
    if time_size is not None and (batch_size < 1 or time_size < 1):
        raise ValueError("get_dummy_batch_for_space: with time_size, both sizes have to be at least 1.")
    lead: tuple[int, ...] = (batch_size,) if batch_size else ()
    if time_size is not None:
        lead = (time_size, batch_size) if time_major else (batch_size, time_size)

    def dummy(leaf: Space) -> npt.NDArray[Any]:
        leaf = _choices(leaf) if one_hot_discrete else leaf
        if fill_value == "random":
            samples = np.array([leaf.sample() for _ in range(int(np.prod(lead)))], dtype=leaf.dtype)
            return samples.reshape((*lead, *samples.shape[1:]))
        return np.full((*lead, *(leaf.shape or ())), fill_value, leaf.dtype)

    return tree.map_leaves(dummy, nesting.unwrapped(space))


def _choices(space: Space) -> Space:
    match space:
        case spaces.Discrete():
            return spaces.Box(0.0, 1.0, (int(space.n),))
        case spaces.MultiDiscrete():
            return spaces.Box(0.0, 1.0, (int(space.nvec.sum()),))
    return space


# ----------------------------------------------------------------------------------------------- batches


def flatten_to_single_ndarray(input_: Tree) -> Any:
    """Return all numbers of a nested list, tuple or dict of arrays as one array [F]; an array as it is."""
    if not isinstance(input_, list | tuple | dict):
        return input_
    return np.concatenate([np.reshape(leaf, -1) for leaf in tree.leaves_by_key(input_)])


def batch(
    list_of_structs: Sequence[Tree], *, individual_items_already_have_batch_dim: bool | Literal["auto"] = False
) -> Tree:
    """Return equally nested values as one, nested like them, of arrays [N, ...]; undoes `unbatch`.

    Args:
        list_of_structs: the values, N of them.
        individual_items_already_have_batch_dim: their arrays are rows already, and are joined; "auto": where they are
            of `BatchedNdArray`.

    Raises:
        ValueError: the list is empty.
    """
    if not list_of_structs:
        raise ValueError("batch: the list is empty.")
    joins = individual_items_already_have_batch_dim
    if joins == "auto":
        joins = isinstance(tree.leaves_by_key(list_of_structs[0])[0], BatchedNdArray)

    def together(*leaves: Any) -> npt.NDArray[Any]:
        return np.concatenate(leaves, axis=0) if joins else np.stack(leaves, axis=0)

    return tree.map_leaves(together, *list_of_structs)


def unbatch(batches_struct: Tree) -> list[Tree]:
    """Return nested arrays [N, ...] as N values nested like them."""
    rows = range(len(tree.leaves(batches_struct)[0]))
    return [tree.map_leaves(lambda leaf, row=row: leaf[row], batches_struct) for row in rows]


# ----------------------------------------------------------------------------------------------- actions


def clip_action(action: Tree, action_space: Tree) -> Tree:
    """Return actions with the numbers of every Box within its bounds.

    Args:
        action: nested like the space, arrays [..., *shape].
        action_space: a space, or nested dicts and tuples of spaces.
    """

    def clipped(space: Space, value: Any) -> Any:
        match space:
            case spaces.Box():
                return np.clip(value, space.low, space.high)
        return value

    return _with_spaces(clipped, action_space, action)


def unsquash_action(action: Tree, action_space_struct: Tree) -> Tree:
    """Return actions of a policy as its environment takes them.

    The numbers of bounded float Boxes go from [-1, 1] to the bounds, which undoes `normalize_action`. The options of
    bounded integer Boxes, which a policy counts from 0, begin at the lower bound: `normalize_action` leaves these.

    Args:
        action: nested like the space, arrays [..., *shape].
        action_space_struct: a space, or nested dicts and tuples of spaces.
    """

    def unsquashed(space: Space, value: Any) -> Any:
        match space:
            case spaces.Box() if space.is_bounded("both"):
                if space.dtype.kind == "f":
                    centre, half = centre_and_half(space)
                    return np.clip(np.asarray(value * half + centre, space.dtype), space.low, space.high)
                return space.low + value
        return value

    return _with_spaces(unsquashed, action_space_struct, action)


def normalize_action(action: Tree, action_space_struct: Tree) -> Tree:
    """Return an environment's actions with the numbers of bounded float Boxes moved from their bounds to [-1, 1].

    A component whose bounds are equal gives 0.

    Args:
        action: nested like the space, arrays [..., *shape].
        action_space_struct: a space, or nested dicts and tuples of spaces.
    """

    def normalised(space: Space, value: Any) -> Any:
        match space:
            case spaces.Box() if space.dtype.kind == "f" and space.is_bounded("both"):
                centre, half = centre_and_half(space)
                return np.asarray((value - centre) / np.where(half > 0, half, 1.0), space.dtype)
        return value

    return _with_spaces(normalised, action_space_struct, action)


def convert_element_to_space_type(element: Tree, sampled_element: Tree) -> Tree:
    """Return a value with the dtypes of another one of its space: numbers as arrays where that has arrays.

    Args:
        element: the value.
        sampled_element: a sample of the space, nested alike.

    Raises:
        ValueError: a number came where an array with axes is expected.
    """

    def converted(given: Any, sample: Any) -> Any:
        if not isinstance(sample, np.ndarray):
            whole = isinstance(sample, int | np.integer) and isinstance(given, float) and given.is_integer()
            return int(given) if whole else given
        if sample.shape and not isinstance(given, np.ndarray):
            raise ValueError(f"expected an array of shape {sample.shape}, got {given!r}.")
        return np.asarray(given, sample.dtype)

    return tree.map_leaves(converted, element, sampled_element)


def _with_spaces(function: Any, action_space: Tree, action: Tree) -> Tree:
    return tree.map_leaves(lambda value, space: function(space, value), action, nesting.unwrapped(action_space))
