"""From the outputs of a Q network to the values of actions.

Letters: N rows (any leading dimensions will do), A actions, Z atoms of a return's distribution; Z is 1 where a network
puts out values themselves.
"""

from __future__ import annotations

from anyspace.maths.xp import Array, xp


def dueling(values: Array, advantages: Array, allowed: Array | None = None) -> Array:
    """V + A - the mean of A over the actions. ``[N, A, Z]``.

    Source: Wang et al., "Dueling network architectures for deep reinforcement learning", 2016, equation 9,
    https://arxiv.org/abs/1511.06581; atom by atom for distributions.

    Args:
        values: V ``[N, Z]``.
        advantages: A ``[N, A, Z]``.
        allowed: Booleans ``[N, A]``, at least one to a row; None allows all. The mean leaves forbidden actions out,
            and their own advantages count as 0: whatever they are, NaN included, reaches neither result nor gradient.
    """
    ns = xp(advantages)
    if allowed is None:
        return values[..., None, :] + advantages - ns.mean(advantages, axis=-2, keepdims=True)
    held = ns.where(allowed[..., None], advantages, 0.0)
    counts = ns.sum(ns.astype(allowed, "float32"), axis=-1)[..., None, None]
    return values[..., None, :] + held - ns.sum(held, axis=-2, keepdims=True) / counts


def expected_values(logits: Array, support: Array) -> Array:
    """The means of distributions over the atoms of a support: sum of z softmax(logits). ``[N, A]``.

    Source: Bellemare, Dabney & Munos, "A distributional perspective on reinforcement learning", 2017, section 4.

    Args:
        logits: ``[N, A, Z]``.
        support: the returns that the atoms stand for ``[Z]``.
    """
    ns = xp(logits)
    return ns.sum(support * ns.exp(ns.log_softmax(logits)), axis=-1)
