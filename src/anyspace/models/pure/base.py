"""The base class of models whose weights are arrays by name."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Mapping
from typing import Any, Self

import gymnasium as gym
import numpy as np

from anyspace.maths.arrays import Floats
from anyspace.maths.xp import Array, Rng, xp
from anyspace.models.input_dict import InputDict
from anyspace.models.modelv2 import ModelV2
from anyspace.models.runtime import NumpyArray, NumpyForward


class ArrayModel(ModelV2):
    """A model whose weights are arrays by name: the built-in networks, on the base class of a framework.

    By itself it is a model of NumPy, which acts and does not learn. A framework's base class derives from it, has a
    ``framework`` and says how weights are held, by overriding :meth:`adopt`.

    Attributes:
        weights: the model's own weights by name; those of models within it are theirs.
        action_network: where dependent parts of actions have one (`autoregressive_actions`).
    """

    framework = "pure"
    action_network: Callable[[Array, Array], Array]

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

    def frozen(self) -> Self:
        """Return the model for acting in NumPy: a copy with the weights as they are, in NumPy's arrays.

        What is made of weights alone may be made once in it.
        """
        model = copy.copy(self)
        model.weights = in_numpy(self.weights)
        for name, part in vars(self).items():
            if isinstance(part, ArrayModel):
                setattr(model, name, part.frozen())
        return model

    def acting_pass(self) -> NumpyForward | None:
        """Return ``forward`` and ``action_inputs`` of a built-in network for one step, in NumPy.

        It has to be asked for anew whenever weights may have changed. None: it explores by noise in its layers.
        """
        return self.forward_pass()

    def forward_pass(self) -> NumpyForward:
        """Return ``forward`` of a built-in network for one step, in NumPy; see :meth:`acting_pass`.

        A class overrides it where more can be made of weights once, or a pass left out.
        """
        model = self.frozen()

        def forward(inputs: InputDict, state: list[Floats]) -> tuple[Floats, list[Floats]]:
            lens = np.ones(len(state[0]), np.int32) if state else None
            if lens is not None:
                inputs.add_states(state, lens)
            # Observations near the largest float overflow as quietly as they do in other frameworks.
            with np.errstate(over="ignore", invalid="ignore"):
                return model(inputs, state, lens)

        return forward

    def random_source(self) -> Rng:
        """Return a source for the draws of a training pass, the framework's own; a new one in every call."""
        return None


def is_norm(arrays: Mapping[str, Array], name: str) -> bool:
    """Return whether a weight of a built-in network is a layer norm's: its ``weight`` is a vector.

    Args:
        arrays: all weights by name.
        name: of the one that is asked for.
    """
    weight = arrays.get(f"{name.rpartition('.')[0]}.weight")
    return weight is not None and len(weight.shape) == 1


def in_numpy(weights: Mapping[str, Array]) -> dict[str, Floats]:
    """Return weights of any framework as arrays of NumPy, which may share their memory."""
    return {name: xp(value).to_numpy(value) for name, value in weights.items()}


def initial_randomness() -> np.random.Generator:
    """Return a source to draw initial weights from, seeded by Python's ``random``.

    ``Runtime.initialising`` seeds that, so that equal seeds give equal weights.
    """
    return np.random.default_rng(random.getrandbits(64))
