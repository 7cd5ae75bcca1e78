"""The names of TensorFlow's side of RLlib's old stack: real where TensorFlow is installed, stand-ins where it is not.

TensorFlow is imported when one of its names is asked for.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from anyspace._rllib import refused
from anyspace.models import placeholders

_TF = "anyspace.models.tf"

_HOMES = {
    f"{_TF}.base": "TFModelV2",
    f"{_TF}.recurrent": "RecurrentNetwork",
    f"{_TF}.keras_networks": "FullyConnectedNetwork VisionNetwork normc_initializer",
    f"{_TF}.compat_dists": "TFActionDistribution",
    f"{_TF}.compat_functions": (
        "explained_variance flatten_inputs_to_1d_tensor get_gpu_devices huber_loss inverse_symlog l2_loss"
        " minimize_and_clip one_hot reduce_mean_ignore_inf symlog two_hot zero_logps_from_actions"
    ),
    "anyspace.distributions": (
        "Beta Categorical Deterministic DiagGaussian Dirichlet GumbelSoftmax MultiActionDistribution MultiCategorical"
        " SlateMultiCategorical SquashedGaussian"
    ),
}
"""Module -> names in it."""

HOMES = {name: home for home, names in _HOMES.items() for name in names.split()}
"""Name -> module."""

_NETWORKS = [
    "AttentionWrapper",
    "ComplexInputNetwork",
    "DistributionalQTFModel",
    "GTrXLNet",
    "LSTMWrapper",
    "SACTFModel",
], name)
