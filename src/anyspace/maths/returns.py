"""Returns and advantages over time-major arrays: one reverse linear recurrence, and what rests on it.

Arrays are ``[T, ...]`` of any framework, usually ``[T, B]``; nothing is changed in place. Row t is one
transition: ``values`` is V(obs_t), ``next_values`` is V of the observation that this transition led to (the
last one of its episode where the episode ended, never the first one of the next). ``terminated`` marks
transitions after which there is nothing more to earn; ``done`` marks all on which an episode ends,
terminated or truncated, and must hold wherever ``terminated`` does. So truncation bootstraps from
``next_values``, termination does not, and nothing crosses the end of an episode. The last row is
bootstrapped in the same way. Flags are booleans or 0/1.
"""

from __future__ import annotations

from anyspace.maths.losses import ROUNDING, masked_mean
from anyspace.maths.xp import Array, xp

_LOOP_BELOW = 32
"""Under this many rows a plain loop costs less than doubling, which moves log2(T) times as much data."""


def reverse_recurrence(b: Array, a: Array, last: Array) -> Array:
    """Solve x_t = b_t + a_t x_{t+1} backwards from x_T = ``last``.

    Args:
        b: Added terms ``[T, ...]``, T >= 1.
        a: Factors, shaped like ``b``.
        last: The value after the last row ``[...]``.

    Returns:
        x ``[T, ...]``. Long inputs take log2(T) vectorised steps: after the step of stride k, each row covers
        the next 2k rows (Hillis and Steele, "Data parallel algorithms", 1986).
    """
    ns = xp(b)
    length = b.shape[0]
    if length < _LOOP_BELOW:
        x, rows = last, []
        for t in reversed(range(length)):
            x = b[t] + a[t] * x
            rows.append(x)
        return ns.stack(rows[::-1])
    x = ns.concatenate([b[:-1], (b[-1] + a[-1] * last)[None]])
    a = a[:-1]
    stride = 1
    while stride < length:
        # The last ``stride`` rows reach the end already; their factors are not needed again.
        x = ns.concatenate([x[:-stride] + a * x[stride:], x[-stride:]])
        a = a[:-stride] * a[stride:]
        stride *= 2
    return x


def discounted_cumsum(x: Array, gamma: float, last: Array | None = None) -> Array:
    """Discounted sums of later rewards: y_t = x_t + gamma y_{t+1}, from y_T = ``last`` (0 when None). ``[T, ...]``."""
    ns = xp(x)
    factors = ns.full(tuple(x.shape), gamma, like=x)
    return reverse_recurrence(ns.cast(x, like=factors), factors, factors[-1] * 0.0 if last is None else last)


def gae(
    rewards: Array,
    values: Array,
    next_values: Array,
    terminated: Array,
    done: Array,
    *,
    gamma: float,
    lambda_: float,
) -> tuple[Array, Array]:
    """Generalised advantage estimation: A_t = delta_t + gamma lambda A_{t+1}, cut where an episode ends.

    delta_t = r_t + gamma V(next_t) - V_t, without V(next_t) on termination. All arrays ``[T, ...]``.

    Returns:
        Advantages, and value targets A + V.

    Source: Schulman et al., "High-dimensional continuous control using generalized advantage estimation",
    2015, https://arxiv.org/abs/1506.02438.
    """
    ns = xp(rewards)
    deltas = rewards + gamma * ns.where(ns.holds(terminated), 0.0, next_values) - values
    factors = ns.where(ns.holds(done), 0.0, ns.full(tuple(deltas.shape), gamma * lambda_, like=deltas))
    advantages = reverse_recurrence(deltas, factors, factors[-1] * 0.0)
    return advantages, advantages + values


def lambda_returns(
    rewards: Array, next_values: Array, terminated: Array, done: Array, *, gamma: float, lambda_: float
) -> Array:
    """TD(lambda) targets: G_t = r_t + gamma ((1 - lambda) V(next_t) + lambda G_{t+1}). ``[T, ...]``.

    Where an episode is truncated, and on the last row, V(next_t) stands in for G_{t+1}; where it is
    terminated both are 0. Equal to the value targets of `gae` when ``next_values`` and ``values`` agree.

    Source: Sutton and Barto, "Reinforcement learning", 2nd edition, chapter 12.
    """
    ns = xp(rewards)
    bootstraps = ns.where(ns.holds(terminated), 0.0, next_values)
    decay = ns.where(ns.holds(done), 0.0, ns.full(tuple(rewards.shape), lambda_, like=rewards))
    return reverse_recurrence(rewards + gamma * (1.0 - decay) * bootstraps, gamma * decay, bootstraps[-1])


def n_step(rewards: Array, terminated: Array, done: Array, *, n: int, gamma: float) -> tuple[Array, Array, Array]:
    """Sum the next ``n`` rewards of each row, fewer where the episode or the array ends first. ``[T, ...]``.

    Returns:
        * returns: sum over j < m of gamma^j r_{t+j}, with m <= n the number of rewards that row t could take;
        * discounts: gamma^m, with the m of that very row, or 0 where the last of its transitions terminated;
        * steps: m, integers. The target of row t is ``returns + discounts * V(next_{t+m-1})``.

    Raises:
        ValueError: ``n`` is less than 1.

    Source: Sutton and Barto, "Reinforcement learning", 2nd edition, chapter 7.
    """
    if n < 1:
        raise ValueError(f"n_step needs n of at least 1, got n={n}.")
    ns = xp(rewards)
    cut = ns.holds(done)[:-1]
    first = ns.where(ns.holds(terminated), 0.0, ns.full(tuple(rewards.shape), gamma, like=rewards))
    ones = ns.astype(first * 0.0 + 1.0, "int64")
    returns, discounts, steps = rewards, first, ones
    for _ in range(n - 1):
        longer = ns.where(cut, rewards[:-1], rewards[:-1] + gamma * returns[1:])
        returns = ns.concatenate([longer, rewards[-1:]])
        discounts = ns.concatenate([ns.where(cut, first[:-1], gamma * discounts[1:]), first[-1:]])
        steps = ns.concatenate([ns.where(cut, ones[:-1], 1 + steps[1:]), ones[-1:]])
    return returns, discounts, steps


def vtrace(
    log_ratios: Array,
    rewards: Array,
    values: Array,
    next_values: Array,
    terminated: Array,
    done: Array,
    *,
    gamma: float,
    clip_rho: float = 1.0,
    clip_pg_rho: float = 1.0,
) -> tuple[Array, Array]:
    """V-trace: off-policy value targets and policy-gradient advantages. All arrays ``[T, ...]``.

    With rho = min(clip_rho, pi/mu), c = min(1, pi/mu) and gamma_t = gamma, or 0 on termination:

    * v_t - V_t = rho_t (r_t + gamma_t V(next_t) - V_t) + gamma_t c_t (v_{t+1} - V_{t+1}), the last term
      being 0 where an episode ends;
    * advantage_t = min(clip_pg_rho, pi/mu) (r_t + gamma_t v_{t+1} - V_t), V(next_t) standing in for v_{t+1}
      where an episode is truncated and on the last row.

    Args:
        log_ratios: log pi(a_t) - log mu(a_t): the learner's policy over the one that acted.
        rewards: See the module.
        values: See the module.
        next_values: See the module.
        terminated: See the module.
        done: See the module.
        gamma: Discount per step.
        clip_rho: Largest weight of a temporal difference; decides which policy's value is estimated.
        clip_pg_rho: Largest weight of an advantage.

    Returns:
        Value targets v and advantages; no gradient flows through either.

    Source: Espeholt et al., "IMPALA", 2018, equation 1 and section 4.2, https://arxiv.org/abs/1802.01561.
    """
    ns = xp(rewards)
    ratios = ns.exp(log_ratios)
    bootstraps = ns.where(ns.holds(terminated), 0.0, next_values)
    deltas = ns.clip(ratios, None, clip_rho) * (rewards + gamma * bootstraps - values)
    factors = ns.where(ns.holds(done), 0.0, gamma * ns.clip(ratios, None, 1.0))
    targets = values + reverse_recurrence(deltas, factors, factors[-1] * 0.0)
    continued = ns.where(ns.holds(done)[:-1], bootstraps[:-1], targets[1:])
    next_targets = ns.concatenate([continued, bootstraps[-1:]])
    advantages = ns.clip(ratios, None, clip_pg_rho) * (rewards + gamma * next_targets - values)
    return ns.stop_gradient(targets), ns.stop_gradient(advantages)


def explained_variance(targets: Array, predictions: Array, mask: Array | None = None) -> Array:
    """Share of the targets' variance that the predictions account for: 1 - Var(y - p) / Var(y), a scalar.

    1 is a perfect fit, 0 no better than a constant, negative worse. Targets without any variance, or with a deviation
    below a millionth of their mean, give 0: there is nothing to explain. Only rows where ``mask`` holds count.
    """
    ns = xp(targets)
    errors, mean = targets - predictions, masked_mean(targets, mask)
    variance = masked_mean((targets - mean) ** 2, mask)
    unexplained = masked_mean((errors - masked_mean(errors, mask)) ** 2, mask)
    varies = variance**0.5 > ROUNDING * ns.abs(mean)
    return ns.where(varies, 1.0 - unexplained / ns.where(varies, variance, 1.0), 0.0)
