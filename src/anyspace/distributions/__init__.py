"""Action distributions, written once for NumPy, PyTorch, JAX and TensorFlow."""

from anyspace.distributions.autoregressive import AutoregressiveActions
from anyspace.distributions.base import ActionDistribution
from anyspace.distributions.bounded import Beta, SquashedGaussian
from anyspace.distributions.categorical import Categorical, MultiCategorical
from anyspace.distributions.choices import Bernoulli, GumbelSoftmax, SlateMultiCategorical
from anyspace.distributions.continuous import Deterministic, DiagGaussian
from anyspace.distributions.dirichlet import Dirichlet
from anyspace.distributions.multi import MultiActionDistribution

__all__ = [
    "ActionDistribution",
    "AutoregressiveActions",
    "Bernoulli",
    "Beta",
    "Categorical",
    "Deterministic",
    "DiagGaussian",
    "Dirichlet",
    "GumbelSoftmax",
    "MultiActionDistribution",
    "MultiCategorical",
    "SlateMultiCategorical",
    "SquashedGaussian",
]
