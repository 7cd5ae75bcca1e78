"""Terms of the losses, elementwise over rows ``[N]`` (any shape will do), and the means that reduce them."""

from __future__ import annotations

from anyspace.maths.xp import Array, xp


def clipped_surrogate(ratio: Array, advantages: Array, clip_param: float) -> Array:
    """PPO's objective, to be maximised: min(A ratio, A clip(ratio, 1 - clip_param, 1 + clip_param)). ``[N]``.

    Source: Schulman et al., "Proximal policy optimization algorithms", 2017, equation 7,
    https://arxiv.org/abs/1707.06347.
    """
    ns = xp(ratio)
    fixed = ns.stop_gradient(ratio)
    clipped = ns.clip(fixed, 1.0 - clip_param, 1.0 + clip_param)
    # The clipped term is the smaller one only where the ratio is out of range, and there its slope is 0: choosing the
    # ratio instead of taking the minimum gives the same gradient in half the operations.
    return advantages * ns.where(advantages * fixed <= advantages * clipped, ratio, clipped)


def clipped_squared_error(values: Array, targets: Array, clip: float | None = None) -> Array:
    """Squared error, at most ``clip`` (None: no limit). ``[N]``.

    The limit is on the squared error, in squared units of return, not on how far a prediction moves; rows
    beyond it have no gradient.
    """
    squared = (values - targets) ** 2
    return squared if clip is None else xp(squared).clip(squared, None, clip)


def huber(errors: Array, delta: float = 1.0) -> Array:
    """Half the squared error up to ``delta``, linear beyond: e^2 / 2, or delta (|e| - delta / 2). ``[N]``.

    Source: Huber, "Robust estimation of a location parameter", 1964.
    """
    return xp(errors).huber(errors, delta)


def masked_mean(x: Array, mask: Array | None = None) -> Array:
    """Mean of ``x`` over the rows where ``mask`` (booleans or 0/1, same shape) holds: a scalar.

    It is 0 if no row holds. What ``x`` is elsewhere, NaN included, reaches neither the mean nor its
    gradient.
    """
    ns = xp(x)
    if mask is None:
        return ns.mean(x)
    held = ns.holds(ns.asarray(mask, like=x))
    # Counted in float32: an integer count would turn float32 sums of NumPy into float64.
    return ns.sum(ns.where(held, x, 0.0)) / ns.clip(ns.sum(ns.astype(held, "float32")), 1.0, None)


_SMALL = 2.0**-32
ROUNDING = 1e-6
"""Deviations below this share of a mean are nothing but the rounding of float32."""


def standardise(x: Array, mask: Array | None = None, epsilon: float = 1e-4) -> Array:
    """Shift and scale to mean 0 and standard deviation 1: (x - mean) / max(epsilon, std), shaped like ``x``.

    Statistics come from the rows where ``mask`` holds (std over N, not N - 1); other rows become 0. So do all where the
    deviation is below a millionth of the mean, which is what rounding makes of equal numbers.
    """
    ns = xp(x)
    mean = masked_mean(x, mask)
    centred = x - mean
    # A power of two changes no digit, and squares of 1e19 would be beyond float32.
    deviation = masked_mean((centred * _SMALL) ** 2, mask) ** 0.5 / _SMALL
    # Of equal numbers the rounding of their mean is all that is left.
    centred = ns.where(deviation > ROUNDING * ns.abs(mean), centred, 0.0)
    scaled = centred / ns.clip(deviation, epsilon, None)
    return scaled if mask is None else ns.where(ns.holds(ns.asarray(mask, like=x)), scaled, 0.0)
