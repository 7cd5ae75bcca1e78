"""What observations are as flat vectors: a reference, value by value, that shares no code with the library."""

from __future__ import annotations

import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete, OneOf, Text, Tuple
from gymnasium.vector.utils import batch_space, iterate

from anyspace.spaces.kinds.atari import AtariPixels, AtariRam
from anyspace.spaces.kinds.bounded import BoundedGraph, BoundedSequence
from anyspace.spaces.kinds.repeated import Repeated
from anyspace.spaces.kinds.words import Words


def flattened(space, obs):
    """Return one observation as a list of numbers."""
    match space:
        case Dict():
            return [slot for key, child in space.spaces.items() for slot in flattened(child, obs[key])]
        case Tuple():
            return [slot for child, part in zip(space.spaces, obs, strict=True) for slot in flattened(child, part)]
        case Discrete():
            return one_hot(int(obs) - int(space.start), space.n)
        case MultiDiscrete():
            triples = zip(space.nvec.ravel(), space.start.ravel(), np.ravel(obs), strict=True)
            return [slot for n, start, value in triples for slot in one_hot(int(value) - int(start), n)]
        case OneOf():
            options = [
                flattened(child, obs[1]) if i == obs[0] else [0.0] * width(child)
                for i, child in enumerate(space.spaces)
            ]
            return one_hot(obs[0], len(space.spaces)) + [slot for option in options for slot in option]
        case BoundedGraph():
            return graph(space, obs)
        case Text() | BoundedSequence() | Repeated():
            longest = space.max_length if isinstance(space, Text) else space.max_len
            blocks = [flattened(child, element) for child, element in elements(space, obs)]
            return padded(blocks, longest, (width(space) - 1) // longest)
        case Words():
            blocks = [flattened(child, number) for child, number in elements(space, obs)]
            return padded(blocks, space.max_words, 1 + len(space.vocabulary))
        case AtariPixels():
            pixels = space.warp(obs[None]).ravel().astype(np.float64)
            return list((pixels - 128) / 128 if space.zero_mean else pixels / 255)
        case AtariRam():
            return list((obs.astype(np.float64) - 128) / 128)
    scale = 255 if is_picture(space) else 1
    return [float(np.float32(value)) / scale for value in np.ravel(obs)]


def one_hot(index, n):
    return [float(index == i) for i in range(n)]


def elements(space, obs):
    """The spaces and values of the elements of a list."""
    match space:
        case Text():
            return [(Discrete(len(space.character_list)), space.character_index(character)) for character in obs]
        case Words():
            known = ("", *space.vocabulary)
            return [(Discrete(len(known)), known.index(word) if word in known else 0) for word in obs.split()]
        case BoundedSequence(stack=True):
            return [(space.feature_space, element) for element in unstacked(space.feature_space, obs)]
        case BoundedSequence():
            return [(space.feature_space, element) for element in obs]
    return [(space.child_space, element) for element in obs]


def unstacked(space, values):
    """Iterate over the members of a space that Gymnasium stacked."""
    return iterate(batch_space(space, 1), values)


def padded(blocks, max_len, width):
    """Lay a list out: its length, its elements one by one, zeros."""
    slots = [float(len(blocks)), *(slot for block in blocks for slot in block)]
    return slots + [0.0] * (1 + max_len * width - len(slots))


def graph(space, obs):
    nodes = [flattened(space.node_space, node) for node in unstacked(space.node_space, obs.nodes)]
    flat = padded(nodes, space.max_nodes, width(space.node_space))
    if space.edge_space is None:
        return flat
    edges = [] if obs.edges is None else zip(unstacked(space.edge_space, obs.edges), obs.edge_links, strict=True)
    blocks = [
        [*flattened(space.edge_space, edge), *(slot for end in ends for slot in one_hot(end, space.max_nodes))]
        for edge, ends in edges
    ]
    return flat + padded(blocks, space.max_edges, width(space.edge_space) + 2 * space.max_nodes)


def width(space):
    """How many slots a space takes."""
    match space:
        case Dict() | Tuple():
            children = space.spaces.values() if isinstance(space, Dict) else space.spaces
            return sum(map(width, children))
        case OneOf():
            return len(space.spaces) + sum(map(width, space.spaces))
        case Discrete():
            return int(space.n)
        case MultiDiscrete():
            return int(space.nvec.sum())
        case Text():
            return 1 + space.max_length * len(space.character_list)
        case Words():
            return 1 + space.max_words * (1 + len(space.vocabulary))
        case BoundedSequence():
            return 1 + space.max_len * width(space.feature_space)
        case Repeated():
            return 1 + space.max_len * width(space.child_space)
        case BoundedGraph(edge_space=None):
            return 1 + space.max_nodes * width(space.node_space)
        case BoundedGraph():
            edge = width(space.edge_space) + 2 * space.max_nodes
            return 2 + space.max_nodes * width(space.node_space) + space.max_edges * edge
    return int(np.prod(getattr(space, "stored_shape", space.shape)))


def is_picture(space):
    if not isinstance(space, Box) or space.dtype != np.uint8 or (space.low != 0).any() or (space.high != 255).any():
        return False
    return len(space.shape) in (3, 4) or (len(space.shape) == 2 and min(space.shape) > 7)
