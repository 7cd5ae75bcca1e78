"""The masked network by which the parts of an action depend on the parts before them, over arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from anyspace.maths.xp import Array, xp
from anyspace.models.config import ModelConfig
from anyspace.models.masked_network import OUTPUT_SCALE, MaskedNetwork, sizes_for
from anyspace.models.modelv2 import ModelV2
from anyspace.models.pure.base import ArrayModel
from anyspace.models.pure.drawing import Drawing
from anyspace.models.pure.initializers import normc


class MaskedActionNetwork:
    """Parameters of all parts of an action, each made from the context and the encodings of the parts before it.

    Its weights are the model's, by names that begin with ``action_network``. NumPy arrays give an array of NumPy,
    whatever framework the weights are of.

    Args:
        model: adopts the weights.
        context: width C of the context.
        encodings: how many numbers encode each part, E together.
        parameters: how many numbers the distribution of each part takes, P together.
    """

    def __init__(self, model: ArrayModel, context: int, encodings: Sequence[int], parameters: Sequence[int]):
        masked = MaskedNetwork.of(context, encodings, parameters)
        self._model, self._masked = model, masked
        draw = Drawing(model.framework, model.model_config)
        draw.linear("action_network.context", masked.context, masked.hidden, 1.0)
        for part, mask, scale in (("actions", masked.of_actions, 1.0), ("output", masked.of_output, OUTPUT_SCALE)):
            weight = draw.filled(f"action_network.{part}.weight", mask.shape, normc)
            # What each output sees starts at norm ``scale``.
            norms = np.linalg.norm(weight * mask, axis=1, keepdims=True)
            weight *= scale / np.where(norms > 0, norms, 1.0)
        draw.value("action_network.bias", np.zeros(len(masked.of_output)))
        model.adopt(draw.weights)

    def __call__(self, context: Array, encoded: Array) -> Array:
        """Return the parameters ``[..., B, P]`` for contexts ``[B, C]`` and encoded actions ``[..., B, E]``."""
        ns, of_actions, of_output = xp(context), self._masked.of_actions, self._masked.of_output

        def kernel(name: str, mask: npt.NDArray[np.bool_] | None = None) -> Array:
            weight = self._of(f"{name}.weight", like=context)
            if mask is not None:
                weight = weight * ns.asarray(mask.astype(np.float32), like=context)
            return ns.swapaxes(weight, 0, 1)

        hidden = context @ kernel("context") + self._of("context.bias", like=context)
        hidden = ns.tanh(hidden + encoded @ kernel("actions", of_actions))
        return hidden @ kernel("output", of_output) + self._of("bias", like=context)

    def _of(self, name: str, *, like: Array) -> Array:
        """Return a weight as an array of the framework of ``like``."""
        weight = self._model.weights[f"action_network.{name}"]
        ns = xp(weight)
        return weight if ns is xp(like) else xp(like).asarray(ns.to_numpy(weight), like=like)


def attach_action_network(model: ModelV2, action_space: gym.Space[Any], config: ModelConfig) -> None:
    """Give a model the `MaskedActionNetwork` of an action space as ``action_network``, if it has none.

    Args:
        model: a model over arrays, or of a framework whose base class is one, that is built already; its
            ``num_outputs`` is the width of the context.
        action_space: the environment's, of two parts or more.
        config: the model configuration.

    Raises:
        ModelError: the model does not say how wide its output is.
        ConfigError: the actions have one part alone.
    """
    if isinstance(model, ArrayModel) and getattr(model, "action_network", None) is None:
        network = MaskedActionNetwork(model, *sizes_for(model, action_space, config))
        model.action_network = network
