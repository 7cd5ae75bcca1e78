"""Pure functions of arrays, written once for NumPy, PyTorch, JAX and TensorFlow; no modules, no state."""

from anyspace.maths.losses import clipped_squared_error, clipped_surrogate, masked_mean, standardise
from anyspace.maths.returns import (
    discounted_cumsum,
    explained_variance,
    gae,
    lambda_returns,
    n_step,
    reverse_recurrence,
    vtrace,
)
from anyspace.maths.xp import Array, Namespace, Rng, xp

__all__ = [
    "Array",
    "Namespace",
    "Rng",
    "clipped_squared_error",
    "clipped_surrogate",
    "discounted_cumsum",
    "explained_variance",
    "gae",
    "lambda_returns",
    "masked_mean",
    "n_step",
    "reverse_recurrence",
    "standardise",
    "vtrace",
    "xp",
]
