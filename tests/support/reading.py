"""Encoded observations read back by a slow path of its own, which shares nothing with the library."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Dict, Discrete, Graph, MultiDiscrete, OneOf, Text, Tuple
from gymnasium.spaces import Sequence as Sequences

from anyspace.spaces import Repeated, Words

Raw = Any


def leaf_count(space: gym.Space[Any]) -> int:
    """Return how many leaves a space has."""
    match space:
        case Dict():
            return sum(map(leaf_count, space.spaces.values()))
        case Tuple():
            return sum(map(leaf_count, space.spaces))
        case OneOf():
            return 1 + sum(map(leaf_count, space.spaces))
        case Repeated():
            return 1 + leaf_count(space.child_space)
        case Sequences():
            return 1 + leaf_count(space.feature_space)
        case Text() | Words():
            return 2
        case Graph():
            edges = 0 if space.edge_space is None else 2 + leaf_count(space.edge_space)
            return 1 + leaf_count(space.node_space) + edges
    return 1


class Reader:
    """Reads raw observations out of encoded leaves [N, ...] and notes what it read.

    Attributes:
        touched: for each leaf which of its elements have been read, booleans [N, *repeats].
    """

    def __init__(self, leaves: Sequence[np.ndarray], element_ranks: Sequence[int]) -> None:
        self.leaves = leaves
        self.touched = [
            np.zeros(leaf.shape[: leaf.ndim - rank], bool) for leaf, rank in zip(leaves, element_ranks, strict=True)
        ]

    def read(self, space: gym.Space[Any], at: tuple[int, ...], leaf: int = 0) -> Raw:
        """Return an observation: dicts, tuples and lists of arrays; lists for all that varies in length.

        Args:
            space: the space.
            at: its row and, in lists, element numbers.
            leaf: the first of its leaves.
        """
        match space:
            case Dict():
                values = self._parts(space.spaces.values(), at, leaf)
                return dict(zip(space.spaces, values, strict=True))
            case Tuple():
                return tuple(self._parts(space.spaces, at, leaf))
            case OneOf():
                which = int(self._value(at, leaf))
                first = leaf + 1 + sum(map(leaf_count, space.spaces[:which]))
                return which, self.read(space.spaces[which], at, first)
            case Repeated():
                return self._list(space.child_space, at, leaf)
            case Sequences():
                return self._list(space.feature_space, at, leaf)
            case Text():
                numbers = [self._value((*at, i), leaf + 1) for i in range(self._value(at, leaf))]
                return "".join(space.character_list[number] for number in numbers)
            case Words():
                numbers = [self._value((*at, i), leaf + 1) for i in range(self._value(at, leaf))]
                return [space.vocabulary[number - 1] if number else None for number in numbers]
            case Graph():
                return self._graph(space, at, leaf)
        value = self._value(at, leaf)
        return value.astype(np.int64) + space.start if isinstance(space, Discrete | MultiDiscrete) else value

    def _value(self, at: tuple[int, ...], leaf: int) -> Any:
        self.touched[leaf][at] = True
        return self.leaves[leaf][at]

    def _parts(self, spaces: Any, at: tuple[int, ...], leaf: int) -> list[Raw]:
        values = []
        for space in spaces:
            values.append(self.read(space, at, leaf))
            leaf += leaf_count(space)
        return values

    def _list(self, space: gym.Space[Any], at: tuple[int, ...], leaf: int) -> list[Raw]:
        return [self.read(space, (*at, number), leaf + 1) for number in range(self._value(at, leaf))]

    def _graph(self, space: Graph, at: tuple[int, ...], leaf: int) -> list[Raw]:
        graph = [self._list(space.node_space, at, leaf)]
        if space.edge_space is not None:
            leaf += 1 + leaf_count(space.node_space)
            graph.append(self._list(space.edge_space, at, leaf))
            links = leaf + 1 + leaf_count(space.edge_space)
            graph.append([self._value((*at, number), links) for number in range(len(graph[1]))])
        return graph


def plain(space: gym.Space[Any], obs: Raw) -> Raw:
    """Return a raw observation in the form in which `Reader.read` gives it."""
    match space:
        case Dict():
            return {key: plain(child, obs[key]) for key, child in space.spaces.items()}
        case Tuple():
            return tuple(plain(child, part) for child, part in zip(space.spaces, obs, strict=True))
        case OneOf():
            return int(obs[0]), plain(space.spaces[obs[0]], obs[1])
        case Repeated():
            return [plain(space.child_space, element) for element in obs]
        case Sequences():
            return [plain(space.feature_space, one) for one in (rows(space.feature_space, obs) if space.stack else obs)]
        case Text():
            return obs
        case Words():
            return [word if word in space.vocabulary else None for word in obs.split()]
        case Graph():
            return _plain_graph(space, obs)
    return np.asarray(obs, np.float32 if space.dtype == np.float64 else None)


def rows(space: gym.Space[Any], stacked: Any) -> list[Raw]:
    """Take stacked observations apart."""
    if isinstance(space, Dict):
        parts = [rows(child, stacked[key]) for key, child in space.spaces.items()]
        return [dict(zip(space.spaces, row, strict=True)) for row in zip(*parts, strict=True)]
    if isinstance(space, Tuple):
        return list(zip(*(rows(child, part) for child, part in zip(space.spaces, stacked, strict=True)), strict=True))
    return list(stacked)


def _plain_graph(space: Graph, graph: Any) -> list[Raw]:
    nodes = [plain(space.node_space, node) for node in rows(space.node_space, graph.nodes)]
    if space.edge_space is None:
        return [nodes]
    if graph.edges is None:
        return [nodes, [], []]
    edges = [plain(space.edge_space, edge) for edge in rows(space.edge_space, graph.edges)]
    return [nodes, edges, [np.asarray(link) for link in graph.edge_links]]


def assert_same(one: Raw, other: Raw) -> None:
    """Assert that two observations in `plain` form are the same."""
    if isinstance(other, dict):
        assert list(one) == list(other)
        one, other = list(one.values()), list(other.values())
    if isinstance(other, list | tuple):
        assert len(one) == len(other)
        for part, expected in zip(one, other, strict=True):
            assert_same(part, expected)
    else:
        np.testing.assert_array_equal(one, other)
