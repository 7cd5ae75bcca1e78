"""The base class of models whose weights are arrays by name."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np

from anyspace.maths.xp import Array
from anyspace.models.modelv2 import ModelV2
from anyspace.models.runtime import NumpyArray


class ArrayModel(ModelV2):
    """A model whose weights are arrays by name: the built-in networks, on the base class of a framework.

    By itself it is a model of NumPy, which acts and does not learn. A framework's base class derives from it, has a
    ``framework`` and says how weights are held, by overriding :meth:`adopt`.

    Attributes:
        weights: the model's own weights by name; those of models within it are theirs.
    """

    framework = "pure"

    def __init__(
        self,
        obs_space: gym.Space[Any],
        action_space: gym.Space[Any],
        num_outputs: int | None,
        model_config: dict[str, Any],
        name: str = "default_model",
    ):
        super().__init__(obs_space, action_space, num_outputs, model_config, name)
        self.weights: dict[str, Array] = {}

    def adopt(self, weights: Mapping[str, NumpyArray]) -> None:
        """Add weights to the model, as they were drawn: float32 arrays by name.

        Constructors call it. It may be called again, with other names.
        """
        self.weights |= weights


def initial_randomness() -> np.random.Generator:
    """Return a source to draw initial weights from, seeded by Python's ``random``.

    ``Runtime.initialising`` seeds that, so that equal seeds give equal weights.
    """
    return np.random.default_rng(random.getrandbits(64))
