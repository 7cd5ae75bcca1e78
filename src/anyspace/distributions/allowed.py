"""What masks of actions mean, for all formulas that take one."""

from __future__ import annotations

from anyspace.maths.xp import Array, xp


def allowed_by(mask: Array, *, like: Array) -> Array:
    """Return which actions a mask ``[..., A]`` of booleans or 0/1 allows, as booleans of the framework of ``like``.

    A row that allows nothing counts as one that allows everything: final, padded and dummy rows look like that.
    """
    ns = xp(like)
    allowed = ns.holds(ns.asarray(mask, like=like))
    return allowed | ~ns.any(allowed, axis=-1, keepdims=True)
