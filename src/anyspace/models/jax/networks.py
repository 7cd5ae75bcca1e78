"""The built-in networks on JAX: those of `models/pure` on JAX's base class. NumPy runs them when acting."""

from __future__ import annotations

from anyspace.models.jax.base import JaxModelV2
from anyspace.models.pure import fcnet
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
