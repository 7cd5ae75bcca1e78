"""Between per-leaf features, the structure that models see and flat vectors.

A list is `RepeatedValues`, a Text one of one-hot characters. A Graph is a dict: its "nodes" are a list, and so are
its "edges" where the space has them, of dicts: the "features" of an edge and its "links", one-hot node positions of
its two ends side by side [2 * max_nodes]. A OneOf is a list: the one-hot choice, then every alternative, zero where
it is not chosen.

The flat vector holds the leaves in that order; of a list it holds the length and then one block for each of the
``max_len`` elements, zero beyond the length.

Letters: N any number of leading batch dimensions, F slots of the flat vector.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box

from anyspace import tree
from anyspace.maths.xp import Array, xp
from anyspace.spaces.leaves import GraphNode, LeafSpec, Node, Repeat, children, iter_specs, structure
from anyspace.spaces.repeated_values import RepeatedValues
from anyspace.tree import Tree

_TENSORLIBS = ("numpy", "torch", "tf", "tf2", None)
_MODULES = ("numpy", "torch", "tensorflow")


class PreprocessedBox(Box):
    """The space of preprocessed observations: every float32 array of a shape, (F,) where they are flat.

    Attributes:
        original_space: the space of the observations before.
        structure: its leaves, nested as it is.
    """

    def __init__(self, original_space: gym.Space[Any], structure: Node, shape: tuple[int, ...]) -> None:
        super().__init__(-np.inf, np.inf, shape, np.float32)
        self.original_space, self.structure = original_space, structure


def restore_original_dimensions(obs: Any, obs_space: gym.Space[Any], tensorlib: str | ModuleType | None = None) -> Tree:
    """Cut flat observations into the structure of the space that they were flattened from.

    Args:
        obs: [N, F] of any framework. Structured input comes back as it is.
        obs_space: the preprocessed space; its ``original_space`` gives the structure. Where that is a single leaf,
            or missing, ``obs`` comes back as it is.
        tensorlib: "numpy", "torch", "tf" or "tf2", or such a module, as old code passes it; the array itself decides.

    Returns:
        What `Preprocessor.restore` gives for the same observations.

    Raises:
        ValueError: the last dimension is not F, or ``tensorlib`` is unknown.
    """
    if not (tensorlib.__name__ in _MODULES if isinstance(tensorlib, ModuleType) else tensorlib in _TENSORLIBS):
        raise ValueError(f"tensorlib: expected one of {', '.join(map(repr, _TENSORLIBS))}, got {tensorlib!r}.")
    original = getattr(obs_space, "original_space", None)
    if original is None or isinstance(obs, dict | list | tuple | RepeatedValues):
        return obs
    node = structure_of(obs_space)
    if isinstance(node, LeafSpec):
        return obs
    size = _width(node, 0)
    if not obs.shape or obs.shape[-1] != size:
        raise ValueError(f"obs: expected flattened observations of shape [..., {size}], got {tuple(obs.shape)}.")
    return nest(node, cut(node, obs))


def structure_of(obs_space: gym.Space[Any]) -> Node:
    """Return the leaves of the observations that a model of ``obs_space`` sees, nested as they are.

    Args:
        obs_space: a preprocessed space, or without preprocessing the environment's.
    """
    if isinstance(obs_space, PreprocessedBox):
        return obs_space.structure
    return structure(getattr(obs_space, "original_space", obs_space))


def nest(node: Node, features: Iterator[Array]) -> Tree:
    """Take as many per-leaf features as ``node`` has leaves, and nest them as it is.

    Returns:
        A dict for a Dict, a list for a Tuple (as the documented restore function gives it), the feature itself for
        a leaf, and what the head of this file says for anything else.
    """
    match node:
        case LeafSpec():
            return next(features)
        case dict():
            return {key: nest(child, features) for key, child in node.items()}
        case Repeat():
            lengths = next(features)
            return RepeatedValues(nest(node.element, features), lengths, node.max_len)
        case GraphNode():
            return _graph(node, features)
        case _:
            return [nest(child, features) for child in children(node)]


def join(structured: Tree, batch_dims: int) -> Array:
    """Flatten structured arrays [N, ...] into one array [N, F].

    Args:
        structured: nested dicts, tuples and lists of arrays of one framework and dtype, and of RepeatedValues.
        batch_dims: how many dimensions N stands for.
    """
    columns: list[Array] = []
    for leaf in tree.leaves(structured):
        if isinstance(leaf, RepeatedValues):
            columns.append(leaf.lengths[..., None])
            if tree.leaves(leaf.values):
                columns.append(_rows(join(leaf.values, batch_dims + 1), batch_dims))
        else:
            columns.append(_rows(leaf, batch_dims))
    return columns[0] if len(columns) == 1 else xp(columns[0]).concatenate(columns, axis=-1)


def _rows(array: Array, batch_dims: int) -> Array:
    """Return an array [N, ...] as [N, width]."""
    shape = array.shape
    if len(shape) == batch_dims + 1:
        return array
    return xp(array).reshape(array, (*shape[:batch_dims], math.prod(shape[batch_dims:])))


def _graph(node: GraphNode, features: Iterator[Array]) -> dict[str, RepeatedValues]:
    graph = {"nodes": nest(node.nodes, features)}
    if node.edges is not None:
        edges = nest(node.edges, features)
        parts = dict(zip(("features", "links"), edges.values, strict=True))
        graph["edges"] = RepeatedValues(parts, edges.lengths, edges.max_len)
    return graph


def cut(node: Node, flat: Array, depth: int = 0) -> Iterator[Array]:
    """Yield the features [N, *feature shape] of a node's flat vectors, in the order of its leaves; undoes `join`.

    Args:
        node: the node.
        flat: its slots, [N, *longest lengths of the lists around it, width].
        depth: how many lists are around it.
    """
    ns, shape = xp(flat), tuple(flat.shape[:-1])
    match node:
        case LeafSpec():
            yield ns.reshape(flat, (*shape, *node.feature_shape[depth:]))
        case Repeat():
            yield flat[..., 0]
            block = (flat.shape[-1] - 1) // node.max_len
            yield from cut(node.element, ns.reshape(flat[..., 1:], (*shape, node.max_len, block)), depth + 1)
        case _:
            position = 0
            for child in children(node):
                width = _width(child, depth)
                yield from cut(child, flat[..., position : position + width], depth)
                position += width


def _width(node: Node, depth: int) -> int:
    """Return how many slots one node takes in the flat vector, inside ``depth`` lists."""
    return sum(math.prod(leaf.feature_shape[depth:]) for leaf in iter_specs(node))
