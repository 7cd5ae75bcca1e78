"""The built-in networks on JAX: those of `models/pure` on JAX's base class. NumPy runs them when acting."""

from __future__ import annotations

from anyspace.models.jax.base import JaxModelV2
from anyspace.models.pure import attention, complex_input, fcnet, recurrent_models, visionnet
from anyspace.models.pure.acting import acting_network
from anyspace.models.pure.dense import dense
from anyspace.models.runtime import CompiledForward


class FullyConnectedNetwork(fcnet.FullyConnectedNetwork, JaxModelV2):
    """See :class:`anyspace.models.pure.fcnet.FullyConnectedNetwork`."""

    def acting_pass(self) -> CompiledForward:
        """Return the layers, made once for a whole rollout."""
        if type(self) is not FullyConnectedNetwork:
            return super().acting_pass()
        layers = [*self.encoder.layers, *([] if self.logits is None else [self.logits])]
        return acting_network(dense(self.weights, layers), self.weights.get("log_std"))


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
