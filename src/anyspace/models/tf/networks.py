"""The built-in networks on TensorFlow: those of `models/pure` on TensorFlow's base class. NumPy acts with them."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from anyspace import tree
from anyspace.maths.xp import Array
from anyspace.models.modelv2 import State
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
from anyspace.tree import Tree

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

    _has_run = False

    def forward(self, input_dict: dict[str, Any], state: State, seq_lens: Array | None) -> tuple[Tree, State]:
        """Return ``(what the other methods take as model_out, the policy's new states)``.

        The first pass runs the Q networks too: layers of Keras make their weights when they are first called.
        """
        output, state_out = super().forward(input_dict, state, seq_lens)
        if not (self._has_run or self.runs_in_numpy) and (self.q_memory is None or "q" in output):
            self._has_run, width = True, self.joint.width
            numbers = tf.zeros((tree.leaves(output)[0].shape[0], width)) if width else None
            self.get_q_values(output, numbers)
            if self.twin_q_net is not None:
                self.get_twin_q_values(output, numbers)
        return output, state_out
