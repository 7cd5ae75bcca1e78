"""What masks of actions mean, for all formulas that take one."""

from __future__ import annotations

from anyspace.maths.limits import IMPOSSIBLE
from anyspace.maths.xp import Array, xp


def allowed_by(mask: Array, *, like: Array) -> Array:
    """Return which actions a mask ``[..., A]`` of booleans or 0/1 allows, as booleans of the framework of ``like``.

    A row that allows nothing counts as one that allows everything: final, padded and dummy rows look like that.
    """
    ns = xp(like)
    allowed = ns.holds(ns.asarray(mask, like=like))
    return allowed | ~ns.any(allowed, axis=-1, keepdims=True)


def left_by(logits: Array) -> Array:
    """Return which options the logits ``[..., A]`` of a model that masks by itself leave, as booleans.

    Such a model adds -inf, or the smallest number there is, to the others.
    """
    return logits > IMPOSSIBLE
