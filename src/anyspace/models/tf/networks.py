"""The built-in networks on TensorFlow: those of `models/pure` on TensorFlow's base class. NumPy acts with them."""

from __future__ import annotations

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
from anyspace.models.tf.base import TFModelV2

__all__ = [
    "AttentionWrapper",
    "ComplexInputNetwork",
    "DQNTFModel",
    "FullyConnectedNetwork",
    "GTrXLNet",
    "ParametricActionsModel",
    "RecurrentNetwork",
    "RecurrentWrapper",
    "SACTFModel",
    "VisionNetwork",
    "attach_action_network",
]


class FullyConnectedNetwork(fcnet.FullyConnectedNetwork, TFModelV2):
    """See :class:`anyspace.models.pure.fcnet.FullyConnectedNetwork`."""


class VisionNetwork(visionnet.VisionNetwork, TFModelV2):
    """See :class:`anyspace.models.pure.visionnet.VisionNetwork`."""


class ComplexInputNetwork(complex_input.ComplexInputNetwork, TFModelV2):
    """See :class:`anyspace.models.pure.complex_input.ComplexInputNetwork`."""


class RecurrentNetwork(recurrent_models.RecurrentNetwork, TFModelV2):
    """See :class:`anyspace.models.pure.recurrent_models.RecurrentNetwork`."""


class RecurrentWrapper(recurrent_models.RecurrentWrapper, TFModelV2):
    """See :class:`anyspace.models.pure.recurrent_models.RecurrentWrapper`."""


class GTrXLNet(attention.GTrXLNet, TFModelV2):
    """See :class:`anyspace.models.pure.attention.GTrXLNet`."""


class AttentionWrapper(attention.AttentionWrapper, TFModelV2):
    """See :class:`anyspace.models.pure.attention.AttentionWrapper`."""


class ParametricActionsModel(parametric.ParametricActionsModel, TFModelV2):
    """See :class:`anyspace.models.pure.parametric.ParametricActionsModel`."""


class DQNTFModel(dqn_model.DQNModel, TFModelV2):
    """See :class:`anyspace.models.pure.dqn_model.DQNModel`."""


class SACTFModel(sac_model.SACModel, TFModelV2):
    """See :class:`anyspace.models.pure.sac_model.SACModel`."""
