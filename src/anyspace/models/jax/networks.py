"""The built-in networks on JAX: those of `models/pure` on JAX's base class. NumPy runs them when acting."""

from __future__ import annotations

from anyspace.models.jax.base import JaxModelV2
from anyspace.models.pure import fcnet


class FullyConnectedNetwork(fcnet.FullyConnectedNetwork, JaxModelV2):
    """See :class:`anyspace.models.pure.fcnet.FullyConnectedNetwork`."""
