"""The fully connected network: the default model of flat observations."""

from __future__ import annotations

from typing import Any

import gymnasium as gym

from anyspace.maths.xp import Array, xp
from anyspace.models.architecture import fully_connected, width_of_array
from anyspace.models.input_dict import of_network
from anyspace.models.pure.acting import acting_network
from anyspace.models.pure.actor_critic import ActorCritic
from anyspace.models.pure.base import in_numpy
from anyspace.models.pure.dense import dense
from anyspace.models.pure.drawing import Drawing
from anyspace.models.pure.encoders import DenseStack
from anyspace.models.runtime import NumpyForward


class FullyConnectedNetwork(ActorCritic):
    """Dense layers, then linear logits and a linear value; see :class:`ActorCritic`.

    The hidden sizes are ``fcnet_hiddens + post_fcnet_hiddens``, all with the activation of the first of them. With
    ``num_outputs=None`` the output is the last hidden layer.
    """

    encoder: DenseStack

    def _read_space(self, obs_space: gym.Space[Any]) -> None:
        self._width_in = width_of_array(self, obs_space)

    def _new_encoder(self, draw: Drawing, name: str, resized: int | None) -> DenseStack:
        return DenseStack(draw, name, fully_connected(self._width_in, self.model_config, resized))

    def forward_pass(self) -> NumpyForward:
        """Return the layers alone, made once."""
        p = in_numpy(self.weights)
        return acting_network(
            dense(p, [*self.encoder.layers, *([self.logits] if self.logits else [])]), p.get("log_std")
        )

    def _network_input(self, input_dict: dict[str, Any]) -> Array:
        return flat_input(input_dict)


def flat_input(input_dict: dict[str, Any]) -> Array:
    """Return flat observations as floats [N, F]."""
    flat = of_network(input_dict, "obs_flat")
    ns = xp(flat)
    return ns.reshape(ns.astype(flat, "float32"), (flat.shape[0], -1))
