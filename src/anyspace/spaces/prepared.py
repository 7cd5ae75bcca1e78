"""What an environment's spaces are taken for: parts left out, classes of somebody's own, longest lengths."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as Listing
from typing import Any

import gymnasium as gym
from gymnasium.spaces import Graph, Sequence

from anyspace import tree
from anyspace.errors import ConfigError, nearest
from anyspace.spaces.kinds.bounded import BoundedGraph, BoundedSequence
from anyspace.spaces.kinds.ignored import IgnoredPart, PartialDict, ignoring
from anyspace.spaces.kinds.parts import iter_parts, with_parts
from anyspace.spaces.kinds.registered import RegisteredSpace, known_observations


def prepared(
    space: gym.Space[Any], *, max_len: int | Mapping[str, int] | None = None, ignore: Listing[str] = ()
) -> gym.Space[Any]:
    """Return an observation space as everything here takes it; what was prepared already comes back as it is.

    Args:
        space: the environment's.
        max_len: longest length of Sequences and Graphs without one (`bounded`).
        ignore: parts to leave out (`ignoring`).

    Raises:
        ConfigError: a place is none of the space.
        UnsupportedSpaceError: what a registered class stands for cannot be used (`known_observations`).
    """
    return bounded(known_observations(ignoring(space, ignore)), max_len)


def describe_readings(space: gym.Space[Any], root: str) -> list[str]:
    """Return a sentence for each part of a prepared space that is translated or left out; ``root``: obs or action."""
    found = []
    for path, part in iter_parts(space):
        if isinstance(part, RegisteredSpace):
            found.append(f"{tree.place(root, path)} is of the registered class {part.name}, for {part.equivalent}")
        elif isinstance(part, PartialDict):
            found += [f"{tree.place(root, (*path, key))} is left out" for key in sorted(part.ignored, key=str)]
        elif isinstance(part, IgnoredPart):
            found.append(f"{tree.place(root, path)} is left out")
    return found


def bounded(space: gym.Space[Any], max_len: int | Mapping[str, int] | None) -> gym.Space[Any]:
    """Return ``space`` with a longest length for its Sequences and Graphs; itself where there is nothing to do.

    Args:
        space: an observation space.
        max_len: the longest length of every Sequence and Graph that has none yet, or one for each place, such as
            ``{'obs["items"]': 20, 'obs["map"].nodes': 9, 'obs["map"].edges': 30}``; what is inside the elements of
            a list is at ``obs["players"][...]["items"]``. Places that are left out stay as they are, and so does
            everything where it is None. A place that has this very length already may be named: what this
            function returned comes back as it is.

    Raises:
        ConfigError: a place is not that of a Sequence or Graph without a longest length, or of a Graph's nodes and
            edges only one has been given.
        ValueError: a length is below 1.
    """
    if max_len is None:
        return space
    lengths = _Lengths(max_len)
    result = _bounded(space, lengths, ())
    if unknown := [place for place in lengths.named if place not in lengths.places and place not in lengths.kept]:
        known = ", ".join(lengths.places) or "none"
        raise ConfigError(
            f"max_len: {unknown[0]!r} is no place of a Sequence or Graph without a longest length."
            f"{nearest(unknown[0], lengths.places)} Such places here: {known}."
        )
    return result


class _Lengths:
    """The lengths that were asked for, the places that were looked up, and those that had what was asked for."""

    def __init__(self, max_len: int | Mapping[str, int]) -> None:
        self.everywhere = max_len if isinstance(max_len, int) else None
        self.named: Mapping[str, int] = {} if isinstance(max_len, int) else max_len
        self.places: list[str] = []
        self.kept: set[str] = set()

    def keep(self, path: tree.Path, max_len: int) -> None:
        place = tree.place("obs", path)
        if self.named.get(place) == max_len:
            self.kept.add(place)

    def at(self, path: tree.Path) -> int | None:
        place = tree.place("obs", path)
        self.places.append(place)
        return self.named.get(place, self.everywhere)


def _bounded(space: gym.Space[Any], lengths: _Lengths, path: tree.Path) -> gym.Space[Any]:
    space = with_parts(space, lambda part, at: _bounded(part, lengths, at), path)
    match space:
        case BoundedSequence():
            lengths.keep(path, space.max_len)
        case Sequence():
            max_len = lengths.at(path)
            return space if max_len is None else BoundedSequence(space.feature_space, max_len, space.stack)
        case Graph():
            return _bounded_graph(space, lengths, path)
    return space


def _bounded_graph(space: Graph, lengths: _Lengths, path: tree.Path) -> Graph:
    nodes, edges = (*path, tree.Part("nodes")), (*path, tree.Part("edges"))
    if isinstance(space, BoundedGraph):
        lengths.keep(nodes, space.max_nodes)
        lengths.keep(edges, space.max_edges)
        return space
    max_nodes, max_edges = lengths.at(nodes), 0 if space.edge_space is None else lengths.at(edges)
    if max_nodes is None and not max_edges:
        return space
    if max_nodes is None or max_edges is None:
        given, missing = (nodes, edges) if max_edges is None else (edges, nodes)
        raise ConfigError(
            f"max_len: {tree.place('obs', given)} has a longest length, but {tree.place('obs', missing)} has none;"
            " a graph needs both."
        )
    return BoundedGraph(space.node_space, space.edge_space, max_nodes=max_nodes, max_edges=max_edges)
