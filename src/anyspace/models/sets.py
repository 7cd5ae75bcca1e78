"""Lists, texts and graphs of any length as vectors of one width, in any framework.

Every element goes through the same dense layer, and the results are pooled: the mean and the largest of each feature
over the elements that are there, and their number. The padding beyond the length of a list changes nothing, whatever
finite numbers it holds. A list has an order, so each position shifts its elements in a way of its own, learnt with the
rest; a graph has none.

Letters: N rows, L longest length, V most nodes, M most edges, E width of an element, F features.
"""

from __future__ import annotations

from collections.abc import Callable

from anyspace.maths.xp import Array, xp
from anyspace.spaces.leaves import LeafSpec
from anyspace.spaces.preprocessors import one_hot
from anyspace.spaces.repeated_values import RepeatedValues, map_arrays
from anyspace.tree import Tree

Function = Callable[[Array], Array]


def elements(encode: Callable[[Tree], Array], width: int, lists: RepeatedValues) -> Array:
    """Return the features [N, L, width] of every element of lists, padding included; elements without any have a 1.

    Args:
        encode: elements [N L, ...] -> features [N L, width].
        width: of them; 0: there are none, and it is not called.
        lists: with lengths [N].
    """
    ns, shape = xp(lists.lengths), (lists.lengths.shape[0], lists.max_len)
    if not width:
        return ns.full((*shape, 1), 1.0, like=ns.astype(lists.lengths, "float32"))

    def rows(array: Array) -> Array:
        return xp(array).reshape(array, (shape[0] * shape[1], *array.shape[2:]))

    return ns.reshape(encode(map_arrays(rows, lists.values)), (*shape, width))


def present(lists: RepeatedValues) -> Array:
    """Return which elements of lists are there: booleans [N, L]."""
    ns = xp(lists.lengths)
    positions = ns.astype(ns.arange(lists.max_len, like=lists.lengths), "float32")
    return positions < ns.astype(lists.lengths, "float32")[:, None]


def pooled(x: Array, there: Array) -> Array:
    """Pool the elements that are there; where there are none, everything is 0.

    Two elements [1, 4] and [3, 2] of a list that may hold four give [2, 3, 3, 4, 0.5].

    Args:
        x: [N, L, E].
        there: booleans [N, L].

    Returns:
        [N, 2 E + 1]: means, largest values, and the share of L that is there.
    """
    ns = xp(x)
    count = ns.sum(ns.astype(there, "float32"), axis=1, keepdims=True)
    mean = ns.sum(_only(x, there), axis=1) / ns.clip(count, 1.0, None)
    largest = ns.max(ns.where(there[..., None], x, -float("inf")), axis=1)
    return ns.concatenate([mean, ns.where(count > 0, largest, 0.0), count / there.shape[1]], axis=1)


def messages_and_updates(
    embedded: Array, features: Array, ends: Array, drawn: Array, of_edge: Function, of_node: Function
) -> tuple[Array, Array]:
    """Return what edges say, of themselves and of the nodes at their ends, and nodes that have heard it.

    Args:
        embedded: nodes [N, V, E].
        features: of edges [N, M, width].
        ends: of edges, one-hot [N, M, 2, V]; see :func:`ends_of`.
        drawn: which edges are there, booleans [N, M].
        of_edge: [N, M, width + 2 E] -> messages [N, M, E].
        of_node: [N, V, 2 E] -> nodes [N, V, E].

    Returns:
        Messages [N, M, E], and nodes [N, V, E], which hear the mean of the messages that lead to them.
    """
    ns, (rows, edges, _, nodes) = xp(embedded), ends.shape
    # One product for all edges of a graph: one for each edge would copy the nodes for every edge.
    seen = ns.reshape(ends, (rows, 2 * edges, nodes)) @ embedded
    seen = ns.reshape(seen, (rows, edges, 2 * embedded.shape[2]))
    messages = of_edge(ns.concatenate([features, seen], axis=2))
    into = ns.swapaxes(_only(ends[:, :, 1], drawn), 1, 2)  # [N, V, M]
    incoming = into @ messages / ns.clip(ns.sum(into, axis=2, keepdims=True), 1.0, None)
    return messages, of_node(ns.concatenate([embedded, incoming], axis=2))


def ends_of(leaf: LeafSpec, links: Array) -> Array:
    """Return the ends of edges, one-hot [N, M, 2, V]: where they come from, where they lead.

    Args:
        leaf: of the links.
        links: [N, M, 2], or one-hot already.
    """
    hots = links if is_float(links) else one_hot(leaf, links)
    ns, (rows, edges) = xp(hots), links.shape[:2]
    return ns.reshape(ns.astype(hots, "float32"), (rows, edges, 2, -1))


def is_float(x: Array) -> bool:
    """Return whether an array is one of floats: a preprocessor has made one-hot what had indices."""
    return "float" in str(x.dtype)


def _only(x: Array, there: Array) -> Array:
    """Return elements [N, L, F] with zeros where ``there`` [N, L] is False."""
    return xp(x).where(there[..., None], x, 0.0)
