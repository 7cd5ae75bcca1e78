"""Several independent choices taken as one: joint options, and expectations over them.

Letters: N rows (any leading dimensions will do), k choices of n_i options each, K = n_1 ... n_k joint options.

Joint options are numbered as NumPy numbers the entries of an array ``[n_1, ..., n_k]`` in C order: of a choice of 2 and
one of 3 options, joint option 5 is option 1 of the first and option 2 of the second.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

from anyspace.maths.limits import IMPOSSIBLE
from anyspace.maths.xp import Array, xp


def joint_log_probs(parts: Sequence[Array]) -> Array:
    """Log-probabilities of all joint options ``[N, K]``: sums of one entry of each part.

    Args:
        parts: Log-probabilities of each choice ``[N, n_i]``, at least one.
    """

    def outer(before: Array, part: Array) -> Array:
        joint = before[..., :, None] + part[..., None, :]
        return xp(joint).reshape(joint, (*part.shape[:-1], -1))

    return reduce(outer, parts)


def joint_index(options: Array, counts: Sequence[int]) -> Array:
    """Number ``[N]`` of the joint option that ``options`` ``[N, k]``, integers, are together.

    Args:
        options: One option of each choice.
        counts: n_i of each choice, at least one.
    """
    index = options[..., 0]
    for choice, count in enumerate(counts[1:], start=1):
        index = index * count + options[..., choice]
    return index


def at(values: Array, index: Array) -> Array:
    """What ``values`` ``[N, K]`` hold for the joint options ``index``, integers ``[N]``: ``[N]``."""
    if values.shape[-1] == 1:
        return values[..., 0]
    return xp(values).take_along_axis(values, index[..., None], axis=-1)[..., 0]


def expectation(log_probs: Array, values: Array) -> Array:
    """Sum of p x over the options ``[N]``; options of probability 0 count for nothing, whatever their values are.

    Neither their values, NaN included, nor their log-probabilities get a gradient.

    Args:
        log_probs: ``[N, K]``.
        values: x ``[N, K]``.
    """
    ns = xp(log_probs)
    return ns.sum(ns.exp(log_probs) * ns.where(log_probs > IMPOSSIBLE, values, 0.0), axis=-1)


def log_count(log_probs: Array) -> Array:
    """Logarithm of the number of options that are not masked ``[N]``: the greatest entropy that a row can have.

    Args:
        log_probs: ``[N, K]``, below -1e30 where a mask forbids.
    """
    ns = xp(log_probs)
    return ns.log(ns.sum(ns.cast(log_probs > IMPOSSIBLE, like=log_probs), axis=-1))
