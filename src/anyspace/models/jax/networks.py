"""The built-in networks on JAX: those of `models/pure` on JAX's base class. NumPy runs them when acting."""

from __future__ import annotations

import numpy as np

from anyspace.models.input_dict import InputDict
from anyspace.models.jax.base import JaxModelV2, jax_base
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
from anyspace.models.pure.acting import acting_memory
from anyspace.models.pure.autoregressive import attach_action_network
from anyspace.models.pure.dense import dense
from anyspace.models.pure.recurrent import gru, lstm
from anyspace.models.runtime import CompiledForward, Floats

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

    def acting_pass(self) -> CompiledForward:
        """Return the memory on what its base makes of the inputs, made once for a whole rollout."""
        if type(self) is not RecurrentWrapper or self.logits is None:
            return super().acting_pass()
        beneath, previous = jax_base(self.base).acting_pass(), self.previous
        cell = (gru if self.model_config["use_gru"] else lstm)(self.weights, "rnn")

        def features(inputs: InputDict) -> Floats:
            seen, _ = beneath(inputs, [])
            return np.concatenate([seen, previous(inputs)], axis=1) if previous.width else seen

        return acting_memory(features, cell, dense(self.weights, [self.logits]), self.weights.get("log_std"))


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
