"""Random observations and masks, with edges forced: bounds, extremes of dtypes, empty and full lists."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import (
    Box,
    Dict,
    Discrete,
    Graph,
    GraphInstance,
    MultiBinary,
    MultiDiscrete,
    OneOf,
    Sequence,
    Text,
    Tuple,
)
from gymnasium.vector.utils import create_empty_array

from anyspace.spaces import BoundedGraph, BoundedSequence, Repeated, Simplex, StackedFrames, Words
from tests.support.catalogue import stacked

LARGEST = 2.0**63
"""The largest float that environments observe: weighted sums of larger ones overflow in every network."""


APART: Any = object()


class Sampler:
    """Draws members of observation spaces; every third number is an edge.

    Args:
        rng: the source of randomness.
        max_len: longest length of Sequences and Graphs that say none.
        largest: the largest magnitude of floats.
    """

    def __init__(self, rng: np.random.Generator, max_len: int, largest: float = LARGEST) -> None:
        self.rng, self.max_len, self.largest = rng, max_len, largest

    def draw(self, space: gym.Space[Any], previous: Any = None) -> Any:
        """Return an observation.

        Args:
            space: its space.
            previous: the one before it in the episode; None: it is the first; `APART`: nothing ever comes before it,
                for it is an element of a list or an alternative.
        """
        match space:
            case Dict():
                return {key: self.draw(child, _part(previous, key)) for key, child in space.spaces.items()}
            case Tuple():
                return tuple(self.draw(child, _part(previous, i)) for i, child in enumerate(space.spaces))
            case StackedFrames() if previous is not APART:
                return self._moved_on(space, previous)
            case OneOf():
                which = self.rng.integers(len(space.spaces))
                return which, self.draw(space.spaces[which], APART)
            case Repeated():
                return self._repeated(space)
            case Sequence():
                elements = self._elements(space.feature_space, 0, self._longest(space))
                return together(space.feature_space, elements) if space.stack else tuple(elements)
            case Graph():
                return self._graph(space)
            case Text():
                length = self._length(space.min_length, space.max_length)
                return "".join(self.rng.choice(space.character_list, length))
            case Words():
                words = self.rng.choice(["other", *space.vocabulary], self._length(0, space.max_words))
                return " ".join(words)
        return self._leaf(space)

    def _leaf(self, space: gym.Space[Any]) -> Any:
        match space:
            case Discrete():
                index = self._integers(np.zeros((), np.int64), np.asarray(space.n - 1))
                return space.dtype.type(int(index) + int(space.start))
            case MultiDiscrete():
                indices = self._integers(np.zeros(space.shape, np.int64), space.nvec.astype(np.int64) - 1)
                return (indices + space.start.astype(np.int64)).astype(space.dtype)
            case MultiBinary():
                return self.rng.integers(2, size=space.shape, dtype=np.int8)
            case Simplex():
                shares = self.rng.dirichlet(np.ones(space.shape[-1]), space.shape[:-1])
                corner = np.eye(space.shape[-1])[self.rng.integers(space.shape[-1], size=space.shape[:-1])]
                return np.asarray(corner if self.rng.random() < 1 / 3 else shares, space.dtype)
        assert isinstance(space, Box)
        return self._box(space)

    def _box(self, space: Box) -> Any:
        if space.dtype.kind == "b":
            return self._integers(space.low.astype(np.int64), space.high.astype(np.int64)).astype(np.bool_)
        if space.dtype.kind != "f":
            return self._integers(space.low, space.high)
        limit = min(self.largest, float(np.finfo(min(space.dtype, np.dtype(np.float32))).max))
        low, high = (np.clip(bound.astype(np.float64), -limit, limit) for bound in (space.low, space.high))
        near = np.clip(self.rng.normal(size=space.shape), low, high)
        inside = np.clip(low / 2 + high / 2 + self.rng.uniform(-1, 1, space.shape) * (high / 2 - low / 2), low, high)
        edge = np.where(self.rng.random(space.shape) < 0.5, low, high)
        kind = self.rng.integers(3, size=space.shape)
        values = np.select([kind == 0, kind == 1], [near, inside], edge).astype(space.dtype)
        return np.asarray(np.clip(values, space.low, space.high), space.dtype)

    def _integers(self, low: Any, high: Any) -> Any:
        inside = self.rng.integers(low, high, dtype=low.dtype.type, endpoint=True)
        kind = self.rng.integers(6, size=low.shape)
        return np.asarray(np.select([kind == 0, kind == 1], [low, high], inside), low.dtype)

    def _moved_on(self, space: StackedFrames, previous: Any) -> Any:
        newest = self._box(space)[..., -space.shape[-1] // space.stack :]
        if previous is None:
            return np.concatenate([newest] * space.stack, axis=-1)
        return np.concatenate([previous[..., newest.shape[-1] :], newest], axis=-1)

    def _length(self, least: int, most: int) -> int:
        return int(self.rng.choice([least, most, self.rng.integers(least, most + 1)]))

    def _elements(self, space: gym.Space[Any], least: int, most: int) -> list[Any]:
        return [self.draw(space, APART) for _ in range(self._length(least, most))]

    def _repeated(self, space: Repeated) -> Any:
        elements = self._elements(space.child_space, 0, space.max_len)
        as_array = isinstance(space.child_space, Box) and elements and self.rng.random() < 0.5
        return np.stack(elements) if as_array else elements

    def _longest(self, space: gym.Space[Any]) -> int:
        return space.max_len if isinstance(space, BoundedSequence) else self.max_len

    def _graph(self, space: Graph) -> GraphInstance:
        bounded = isinstance(space, BoundedGraph)
        nodes = self._elements(space.node_space, 0, space.max_nodes if bounded else self.max_len)
        edges: list[Any] = []
        if nodes and space.edge_space is not None:
            edges = self._elements(space.edge_space, 0, space.max_edges if bounded else self.max_len)
        if not edges and (not nodes or space.edge_space is None or self.rng.random() < 0.5):
            return GraphInstance(together(space.node_space, nodes), None, None)
        links = self.rng.integers(len(nodes), size=(len(edges), 2), dtype=np.int32)
        return GraphInstance(together(space.node_space, nodes), together(space.edge_space, edges), links)


def samples(space: gym.Space[Any], count: int, seed: int) -> list[Any]:
    """Return members of an observation space in which everything has a longest length."""
    sampler = Sampler(np.random.default_rng(seed), max_len=0)
    return [sampler.draw(space) for _ in range(count)]


def _part(previous: Any, key: Any) -> Any:
    return previous if previous is None or previous is APART else previous[key]


def together(space: gym.Space[Any], elements: list[Any]) -> Any:
    """Stack the elements of a list, none at all included."""
    return stacked(space, elements) if elements else create_empty_array(space, n=0)


def leaf_spaces(space: gym.Space[Any]) -> list[gym.Space[Any]]:
    """Return the leaves of an action space, in its own order."""
    if isinstance(space, Dict | Tuple):
        children = space.spaces.values() if isinstance(space, Dict) else space.spaces
        return [leaf for child in children for leaf in leaf_spaces(child)]
    return [space]


def leaf_values(space: gym.Space[Any], action: Any) -> list[Any]:
    """Return the values of those leaves."""
    if isinstance(space, Dict | Tuple):
        keys: Any = space.spaces if isinstance(space, Dict) else range(len(space.spaces))
        return [value for key in keys for value in leaf_values(space[key], action[key])]
    return [action]


def option_counts(leaf: gym.Space[Any]) -> list[int]:
    """Return the number of options of every choice of a leaf; none where it is continuous."""
    match leaf:
        case Discrete():
            return [int(leaf.n)]
        case MultiDiscrete():
            return [int(count) for count in leaf.nvec.flat]
        case MultiBinary():
            return [2] * int(np.prod(leaf.shape))
        case Box() if leaf.dtype.kind != "f":
            return [int(high) - int(low) + 1 for low, high in zip(leaf.low.flat, leaf.high.flat, strict=True)]
    return []


def taken(leaf: gym.Space[Any], value: Any) -> list[int]:
    """Return which option was taken of every choice of a leaf, counted from 0."""
    match leaf:
        case Discrete() | MultiDiscrete():
            first = leaf.start
        case Box():
            first = leaf.low
        case _:
            first = np.zeros(leaf.shape, np.int8)
    return [int(one) - int(least) for one, least in zip(np.ravel(value), np.ravel(first), strict=True)]


def draw_mask(rng: np.random.Generator, counts: list[int]) -> list[Any]:
    """Return what is allowed, int8 [n] for each choice: one option for sure, sometimes no other."""
    masks = [(rng.random(count) < rng.choice([0, 0.5, 1])).astype(np.int8) for count in counts]
    for mask in masks:
        mask[rng.integers(len(mask))] = 1
    return masks


def nested_mask(space: gym.Space[Any], parts: Iterator[Any]) -> Any:
    """Nest the masks of every choice as the action is: one array for each leaf, an empty tuple for a continuous one."""
    match space:
        case Dict():
            return {key: nested_mask(child, parts) for key, child in space.spaces.items()}
        case Tuple():
            return tuple(nested_mask(child, parts) for child in space.spaces)
    found = [next(parts) for _ in option_counts(space)]
    return np.concatenate(found) if found else ()


def mask_space(space: gym.Space[Any]) -> gym.Space[Any]:
    """Return the space of `nested_mask`, its keys in another order than the action's."""
    match space:
        case Dict():
            return Dict([(key, mask_space(child)) for key, child in reversed(space.spaces.items())])
        case Tuple():
            return Tuple([mask_space(child) for child in space.spaces])
    width = sum(option_counts(space))
    return MultiBinary(width) if width else Tuple(())
