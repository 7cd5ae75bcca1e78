"""The names of TensorFlow's side of RLlib's old stack: real where TensorFlow is installed, stand-ins where it is not.

TensorFlow is imported when one of its names is asked for.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from anyspace._rllib import refused, tensorflow_names
from anyspace.models import placeholders

_NETWORKS = "anyspace.models.tf"
_TF = "anyspace._rllib.tf"

_BY_MODULE = {
    f"{_NETWORKS}.base": "TFModelV2",
    f"{_NETWORKS}.networks": (
        "AttentionWrapper ComplexInputNetwork DistributionalQTFModel=DQNTFModel GTrXLNet LSTMWrapper=RecurrentWrapper"
        " RecurrentNetwork SACTFModel"
    ),
    f"{_TF}.keras_networks": "FullyConnectedNetwork VisionNetwork normc_initializer",
    f"{_TF}.dists": (
        "Beta Categorical Deterministic DiagGaussian Dirichlet GumbelSoftmax MultiActionDistribution MultiCategorical"
        " SlateMultiCategorical SquashedGaussian TFActionDistribution get_categorical_class_with_temperature"
    ),
    f"{_TF}.functions": tensorflow_names.FUNCTIONS,
    f"{_TF}.layers": f"{' '.join(tensorflow_names.LAYERS.values())} conv2d flatten get_activation_fn linear",
}
"""Module -> names in it; ``old=new`` where the name has changed."""

PLACES = {
    entry.partition("=")[0]: (home, entry.rpartition("=")[2])
    for home, names in _BY_MODULE.items()
    for entry in names.split()
}
"""Name -> module, and name there."""


def _imported(module: str) -> Any:
    """Import a module of TensorFlow's side, on Keras 2 where that is installed and nothing has chosen before."""
    if "tensorflow" not in sys.modules and find_spec("tf_keras") is not None:
        # TensorFlow reads it when it is imported.
        os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
    return import_module(module)


def is_installed() -> bool:
    """Return whether there is a TensorFlow to import."""
    return find_spec("tensorflow") is not None


def __getattr__(name: str) -> Any:
    """Return what a name stands for."""
    if name not in PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return named(name)


def named(name: str) -> Any:
    """Return what a name of `PLACES` stands for."""
    home, new = PLACES[name]
    if is_installed():
        return getattr(_imported(home), new)
    if home in (f"{_TF}.functions", f"{_TF}.layers") or name[0].islower():
        return refused.stand_in(name, "tensorflow")
    if home == f"{_TF}.dists":
        return placeholders.TFActionDistribution
    return placeholders.TFModelV2


class Lazy:
    """Stands for a module of TensorFlow's, which is imported when something of it is asked for.

    Args:
        name: of the module in ``anyspace._rllib.tf.lifted``: ``tf`` or ``tf1``.
    """

    def __init__(self, name: str):
        self._name = name

    def __getattr__(self, name: str) -> Any:
        return getattr(getattr(_imported(f"{_TF}.lifted"), self._name), name)

    def __dir__(self) -> list[str]:
        return dir(getattr(_imported(f"{_TF}.lifted"), self._name))


class Imported(tuple[Any, ...]):
    """What `try_import_tf` returns: three values, or as the oldest files take it, TensorFlow itself."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        return getattr(self[1], name)
