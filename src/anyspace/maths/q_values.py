"""From the outputs of a Q network to the values of actions.

Letters: N rows (any leading dimensions will do), k choices that an action is made of, A options of them together
(actions, where there is one choice), Z atoms of a return's distribution; Z is 1 where a network puts out values.
"""

from __future__ import annotations

from anyspace.maths.branches import Branches
from anyspace.maths.xp import Array, xp


def branched_logits(branches: Branches, values: Array | None, advantages: Array, mask: Array | None) -> Array:
    """Put the outputs of heads together, branch by branch: `dueling` where there are values. ``[N, A, Z]``.

    Args:
        branches: how A options are those of several choices.
        values: V ``[N, Z]``; None: ``advantages`` are the logits themselves.
        advantages: A ``[N, A, Z]``.
        mask: ``[N, A]`` of booleans or 0/1, or None; what is forbidden counts as 0 and is out of means.
    """
    ns = xp(advantages)
    if values is None and mask is None:
        return advantages
    if values is None:
        allowed = branches.allowed(mask, like=advantages)
        return ns.where(branches.join(allowed)[..., None], advantages, 0.0)
    allowed = branches.allowed(mask, like=advantages)
    if branches.count == 1:
        return dueling(values, advantages, None if allowed is None else allowed[:, 0])
    return branches.join(dueling(values[:, None], branches.split(advantages), allowed))


def masked_values(branches: Branches, q: Array, mask: Array | None) -> Array:
    """Return the values of options ``[N, A]``, -inf where ``mask`` ``[N, A]`` forbids them; None forbids nothing."""
    if mask is None:
        return q
    return xp(q).where(branches.join(branches.allowed(mask, like=q)), q, -float("inf"))


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


def mean_log_probs(logits: Array) -> Array:
    """The logarithm of the mean of several distributions, log(1/k sum_i softmax(logits_i)). ``[N, Z]``.

    Args:
        logits: ``[N, k, Z]``, of k branches over one support.
    """
    ns = xp(logits)
    log_probs = ns.log_softmax(logits)
    if logits.shape[1] == 1:
        return log_probs[:, 0]
    largest = ns.stop_gradient(ns.max(log_probs, axis=1, keepdims=True))
    return ns.log(ns.mean(ns.exp(log_probs - largest), axis=1)) + largest[:, 0]


def projected(probs: Array, returns: Array, discounts: Array, support: Array) -> Array:
    """Bring the distribution of ``returns + discounts * z`` back onto the atoms of the support. ``[N, Z]``.

    Each atom moves to clip(returns + discounts * z, z_1, z_Z), and gives its two neighbours there shares of its
    probability, the nearer one more: atom i takes sum_j p_j max(0, 1 - |moved z_j - z_i| / distance). What falls onto
    an atom is that atom's alone.

    Args:
        probs: of the atoms ``[N, Z]``.
        returns: rewards so far ``[N]``.
        discounts: of what follows ``[N]``, 0 where nothing does.
        support: the returns that the atoms stand for ``[Z]``, evenly spaced and rising, Z at least 2.

    Source: Bellemare, Dabney & Munos, "A distributional perspective on reinforcement learning", 2017, algorithm 1,
    https://arxiv.org/abs/1707.06887.
    """
    ns, atoms = xp(probs), support.shape[0]
    moved = returns[:, None] + discounts[:, None] * support
    # In units of the distance between atoms, so that atom i lies at i.
    places = ns.clip((moved - support[0]) * ((atoms - 1) / (support[-1] - support[0])), 0.0, float(atoms - 1))
    atom = ns.cast(ns.arange(atoms, like=probs), like=probs)
    distances = ns.abs(places[:, None, :] - atom[:, None])  # [N, Z (to), Z (from)]
    return ns.sum(ns.clip(1.0 - distances, 0.0, None) * probs[:, None, :], axis=-1)


def cross_entropy(targets: Array, log_probs: Array) -> Array:
    """- sum over the atoms of p log q. ``[N]``.

    Args:
        targets: p ``[N, Z]``.
        log_probs: log q ``[N, Z]``.
    """
    return -xp(log_probs).sum(targets * log_probs, axis=-1)
