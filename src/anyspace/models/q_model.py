"""What Q-learning asks of a model, whatever its framework."""

from __future__ import annotations

from typing import Any, cast

import gymnasium as gym

from anyspace.models.catalog import ModelCatalog, custom_class
from anyspace.models.config import ModelConfig
from anyspace.models.modelv2 import ModelV2
from anyspace.models.networks import network
from anyspace.models.q_networks import QNetworks, width_of_features


def q_model(model: ModelV2) -> QNetworks:
    """Return a model that :func:`build_q_model` built, as what it is."""
    return cast(QNetworks, model)


def build_q_model(
    obs_space: gym.Space[Any],
    action_space: gym.Space[Any],
    num_outputs: int,
    model_config: ModelConfig,
    framework: str,
    **heads: Any,
) -> ModelV2:
    """Return the model that the catalogue has for the spaces, with heads for the values of actions on top.

    Args:
        obs_space: as for ``ModelCatalog.get_model_v2``.
        action_space: as for ``ModelCatalog.get_model_v2``.
        num_outputs: as for ``ModelCatalog.get_model_v2``.
        model_config: as for ``ModelCatalog.get_model_v2``.
        framework: as for ``ModelCatalog.get_model_v2``.
        heads: keyword arguments of the framework's class for the role "q values".
    """
    interface, custom = network("q values", framework), model_config.custom_model
    if custom is not None and issubclass(custom_class(custom, framework), interface):
        # A class of one's own with heads puts out what they take, as wide as RLlib has it.
        num_outputs = width_of_features(model_config.fcnet_hiddens) if heads["q_hiddens"] else num_outputs
    model = ModelCatalog.get_model_v2(
        obs_space, action_space, num_outputs, model_config, framework, model_interface=interface, **heads
    )
    q_model(model).learns_values = True
    return model
