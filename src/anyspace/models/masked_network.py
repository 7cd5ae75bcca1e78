"""The masked network by which the parts of an action depend on the parts before them: which weights see what.

Letters: C width of the context, D parts, H hidden units, E numbers that encode all parts, P parameters of all parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

from anyspace.errors import ModelError
from anyspace.maths.arrays import Bools
from anyspace.models.action_dists import action_parts
from anyspace.models.config import ModelConfig
from anyspace.models.modelv2 import ModelV2

LEAST_PER_PART = 8
"""Hidden units that each part has at least, however narrow the context is."""

OUTPUT_SCALE = 0.01
"""Norm of the weights to each parameter at first, so that the first policy is nearly uniform."""


class MaskedNetwork(NamedTuple):
    """Which units see which parts of an action.

    One hidden layer of tanh units, as many as the context is wide or `LEAST_PER_PART` for each part. Every unit sees
    the context and the parts before some part m, m = 0 .. D-1 in turn; the parameters of part d are made from the units
    with m <= d (Germain et al., MADE: masked autoencoder for distribution estimation, 2015).
    """

    context: int
    """C."""
    of_actions: Bools
    """[H, E]: which encodings a unit sees."""
    of_output: Bools
    """[P, H]: which units a parameter is made from."""

    @property
    def hidden(self) -> int:
        """H."""
        return len(self.of_actions)

    @classmethod
    def of(cls, context: int, encodings: Sequence[int], parameters: Sequence[int]) -> MaskedNetwork:
        """Return the network for a context of width C.

        Args:
            context: C.
            encodings: how many numbers encode each part, E together.
            parameters: how many numbers the distribution of each part takes, P together.
        """
        parts = np.arange(len(encodings))
        hidden = max(context, LEAST_PER_PART * len(encodings))
        seen = np.arange(hidden) % len(encodings)
        encoded, wanted = (np.repeat(parts, widths) for widths in (encodings, parameters))
        return cls(context, encoded < seen[:, None], seen <= wanted[:, None])


def sizes_for(model: ModelV2, action_space: gym.Space[Any], config: ModelConfig) -> tuple[int, list[int], list[int]]:
    """Return the arguments of :meth:`MaskedNetwork.of` for a model that is built already; its outputs are the context.

    Raises:
        ModelError: the model does not say how wide its output is.
        ConfigError: the actions have one part alone.
    """
    if not model.num_outputs:
        raise ModelError(
            f"{type(model).__name__}.num_outputs is {model.num_outputs!r} after it was built, but"
            " `autoregressive_actions` needs the width of its output. Set `self.num_outputs` to it."
        )
    parts = action_parts(action_space, config).parts
    return model.num_outputs, [part.encoding for part in parts], [part.parameters for part in parts]
