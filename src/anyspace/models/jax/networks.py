"""The built-in networks on JAX: those of `models/pure` on JAX's base class. NumPy runs them when acting."""

from __future__ import annotations

from anyspace.models.jax.base import JaxModelV2
from anyspace.models.pure import (
    attention,
    complex_input,
    dqn_model,
    fcnet,
    parametric,
    recurrent_models,
    sac_model,
    visionnet,
)
from anyspace.models.pure.autoregressive import attach_action_network

__all__ = [
    "AttentionWrapper",
    "ComplexInputNetwork",
    "DQNJaxModel",
    "FullyConnectedNetwork",
    "GTrXLNet",
    "ParametricActionsModel",
    "RecurrentNetwork",
    "RecurrentWrapper",
    "SACJaxModel",
    "VisionNetwork",
    "attach_action_network",
]


class FullyConnectedNetwork(fcnet.FullyConnectedNetwork, JaxModelV2):
    """See :class:`anyspace.models.pure.fcnet.FullyConnectedNetwork`."""


class VisionNetwork(visionnet.VisionNetwork, JaxModelV2):
    """See :class:`anyspace.models.pure.visionnet.VisionNetwork`."""


class ComplexInputNetwork(complex_input.ComplexInputNetwork, JaxModelV2):
    """See :class:`anyspace.models.pure.complex_input.ComplexInputNetwork`."""


class RecurrentNetwork(recurrent_models.RecurrentNetwork, JaxModelV2):
    """See :class:`anyspace.models.pure.recurrent_models.RecurrentNetwork`."""


class RecurrentWrapper(recurrent_models.RecurrentWrapper, JaxModelV2):
    """See :class:`anyspace.models.pure.recurrent_models.RecurrentWrapper`."""


class GTrXLNet(attention.GTrXLNet, JaxModelV2):
    """See :class:`anyspace.models.pure.attention.GTrXLNet`."""


class AttentionWrapper(attention.AttentionWrapper, JaxModelV2):
    """See :class:`anyspace.models.pure.attention.AttentionWrapper`."""


class ParametricActionsModel(parametric.ParametricActionsModel, JaxModelV2):
    """See :class:`anyspace.models.pure.parametric.ParametricActionsModel`."""


class DQNJaxModel(dqn_model.DQNModel, JaxModelV2):
    """See :class:`anyspace.models.pure.dqn_model.DQNModel`."""


class SACJaxModel(sac_model.SACModel, JaxModelV2):
    """See :class:`anyspace.models.pure.sac_model.SACModel`."""
