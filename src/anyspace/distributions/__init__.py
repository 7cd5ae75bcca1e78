"""Action distributions, written once for NumPy, PyTorch and JAX."""

from anyspace.distributions.base import ActionDistribution
from anyspace.distributions.categorical import Categorical, MultiCategorical
from anyspace.distributions.continuous import Deterministic, DiagGaussian
from anyspace.distributions.multi import MultiActionDistribution

__all__ = [
    "ActionDistribution",
    "Categorical",
    "Deterministic",
    "DiagGaussian",
    "MultiActionDistribution",
    "MultiCategorical",
]
