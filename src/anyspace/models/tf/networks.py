"""The built-in networks on TensorFlow: those of `models/pure` on TensorFlow's base class. NumPy acts with them."""

from __future__ import annotations

from typing import Any, ClassVar

import tensorflow as tf

from anyspace.answers import Explains
from anyspace.maths.xp import Array
from anyspace.models.modelv2 import ModelV2, State
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
from anyspace.spaces.repeated_values import any_array
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


class _NoKeras(Explains):
    """Says what takes the place of the models of Keras that RLlib's networks had."""

    _foreign: ClassVar = {
        "base_model": (
            "The networks that algorithms build are no models of Keras: `variables()` are their weights. To have one,"
            " give {'custom_model': FullyConnectedNetwork} of anyspace.rllib.models.tf.fcnet, or the VisionNetwork"
            " beside it."
        ),
        "q_value_head": "get_q_value_distributions(features) runs it, and `variables(as_dict=True)` are its weights.",
        "state_value_head": "get_state_value(features) runs it, and `variables(as_dict=True)` are its weights.",
    }


class FullyConnectedNetwork(fcnet.FullyConnectedNetwork, TFModelV2, _NoKeras):
    """See :class:`anyspace.models.pure.fcnet.FullyConnectedNetwork`."""


class VisionNetwork(visionnet.VisionNetwork, TFModelV2, _NoKeras):
    """See :class:`anyspace.models.pure.visionnet.VisionNetwork`."""


class ComplexInputNetwork(complex_input.ComplexInputNetwork, TFModelV2, _NoKeras):
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


class DQNTFModel(dqn_model.DQNModel, TFModelV2, _NoKeras):
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
            self._has_run, width, rows = True, self.joint.width, any_array(output)
            assert rows is not None
            numbers = tf.zeros((rows.shape[0], width)) if width else None
            self.get_q_values(output, numbers)
            if self.twin_q_net is not None:
                self.get_twin_q_values(output, numbers)
        return output, state_out

    def policy_variables(self) -> list[Any]:
        """Return the variables of the policy."""
        return _variables(self.action_model)

    def q_variables(self) -> list[Any]:
        """Return the variables of the Q networks, first network first."""
        parts = (self.q_memory, self.q_net, self.twin_q_memory, self.twin_q_net)
        return [variable for part in parts for variable in _variables(part)]


def _variables(model: ModelV2 | None) -> list[Any]:
    return [*model.held().variables.values()] if isinstance(model, TFModelV2) else []
