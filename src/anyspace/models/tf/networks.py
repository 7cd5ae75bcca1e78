"""The built-in networks on TensorFlow: those of `anyspace.models.pure`, on variables."""

from __future__ import annotations

from anyspace.models.pure import fcnet
from anyspace.models.tf.base import TFModelV2


class FullyConnectedNetwork(fcnet.FullyConnectedNetwork, TFModelV2):
    """Dense layers; see :class:`anyspace.models.pure.fcnet.FullyConnectedNetwork`."""
