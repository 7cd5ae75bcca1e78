"""Preprocessors: from an observation to the flat vector that a model sees (spec 2.2 to 2.4).

Preprocessing is two steps that all spaces share: `encoding.Encoder` picks the leaves out of an observation,
`Preprocessor.expand` turns each into numbers. The classes differ in name, and in what passes untouched.

Letters: N any number of leading batch dimensions, F slots of the flat vector.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete, Tuple

from anyspace import tree
from anyspace.errors import ObservationError
from anyspace.maths.xp import Array, xp
from anyspace.spaces.encoding import Encoder, LeafSpec, batch_shape
from anyspace.spaces.faults import find_fault


class FlatBox(Box):
    """The space of flattened observations: every float32 vector of F slots.

    Attributes:
        original_space: the space that the observations were flattened from.
    """

    def __init__(self, original_space: gym.Space[Any], size: int) -> None:
        super().__init__(-np.inf, np.inf, (size,), np.float32)
        self.original_space = original_space


class Preprocessor:
    """Flattens the observations of one space.

    Args:
        space: the environment's observation space.

    Attributes:
        observation_space: the space of the results; ``observation_space.original_space`` is ``space``.
        shape: shape of one result.
        size: F, the slots of the flat vector.
        encode: observations to a tuple of encoded leaves (`Encoder`).

    Raises:
        UnsupportedSpaceError: naming the leaf that has no encoding.
    """

    def __init__(self, space: gym.Space[Any]) -> None:
        self._space = space
        self.encode = Encoder(space)
        self.size = sum(leaf.width for leaf in self.encode.specs)
        self.shape: tuple[int, ...] = (self.size,)
        self.observation_space: gym.Space[Any] = FlatBox(space, self.size)

    def transform(self, obs: tree.Tree) -> Any:
        """Return one observation as a float32 vector [F]; every call is checked.

        Raises:
            ObservationError: the observation is not in the space; the text holds the observation, its dtype
                where the space is a Box, and the space.
        """
        try:
            self._require_single(obs)
        except ObservationError as error:
            dtype = getattr(obs, "dtype", None) if isinstance(self._space, Box) else None
            raise ObservationError(
                f"{error} The whole observation was {obs} (dtype {dtype}), its space is {self._space}."
            ) from error
        return self.transform_batch(obs)

    def transform_batch(self, stacked: tree.Tree) -> Any:
        """Return stacked observations, nested as the space is with leaves [N, ...], as float32 [N, F].

        Structure, shapes and dtypes are checked; values are not (`faults.find_fault` does that).
        """
        return self.flatten(self.encode(stacked))

    def expand(self, leaves: Sequence[Array]) -> list[Array]:
        """Return the features [N, *feature shape] of encoded leaves [N, *shape], float32, indices one-hot.

        The leaves are arrays of any framework; the features are of the same.
        """
        return [_feature(spec, leaf) for spec, leaf in zip(self.encode.specs, leaves, strict=True)]

    def flatten(self, leaves: Sequence[Array]) -> Array:
        """Return encoded leaves [N, *shape] as one float32 array [N, F]."""
        columns = [
            feature.reshape((*batch_shape(spec, leaf), spec.width))
            for spec, leaf, feature in zip(self.encode.specs, leaves, self.expand(leaves), strict=True)
        ]
        return columns[0] if len(columns) == 1 else xp(columns[0]).concatenate(columns, axis=-1)

    def _require_single(self, obs: tree.Tree) -> None:
        specs, leaves = self.encode.specs, self.encode(obs)
        if batch := batch_shape(specs[0], leaves[0]):
            raise ObservationError(f"obs: expected a single observation, got a batch of shape {batch}.")
        if fault := find_fault(specs, leaves):
            raise ObservationError(f"{fault}.")


class OneHotPreprocessor(Preprocessor):
    """Discrete and MultiDiscrete: one-hot vectors, those of a MultiDiscrete side by side in C order."""


class TupleFlatteningPreprocessor(Preprocessor):
    """Tuple: the parts side by side, in order."""


class DictFlatteningPreprocessor(Preprocessor):
    """Dict: the parts side by side, in the space's own key order; values are looked up by key."""


class NoPreprocessor(Preprocessor):
    """Box and MultiBinary: observations pass as the very objects they are."""

    def __init__(self, space: gym.Space[Any]) -> None:
        super().__init__(space)
        self.shape = self.encode.specs[0].shape
        self.observation_space = space

    def transform_batch(self, stacked: tree.Tree) -> Any:
        """Return ``stacked`` itself."""
        return stacked


_PREPROCESSORS: tuple[tuple[Any, type[Preprocessor]], ...] = (
    (Discrete | MultiDiscrete, OneHotPreprocessor),
    (Tuple, TupleFlatteningPreprocessor),
    (Dict, DictFlatteningPreprocessor),
)


def get_preprocessor(space: gym.Space[Any]) -> Preprocessor:
    """Return the preprocessor for an observation space (spec 2.2; a shape alone never means Atari).

    Raises:
        UnsupportedSpaceError: naming the leaf that has no encoding.
    """
    for kind, preprocessor in _PREPROCESSORS:
        if isinstance(space, kind):
            return preprocessor(space)
    return NoPreprocessor(space)


def _feature(spec: LeafSpec, leaf: Array) -> Array:
    ns = xp(leaf)
    if spec.kind != "index":
        return ns.astype(leaf, "float32")
    batch, largest = batch_shape(spec, leaf), max(spec.nvec, default=0)
    # PyTorch compares no wide unsigned integers, and spaces may well use them.
    components = ns.astype(leaf, "int64").reshape((*batch, len(spec.nvec)))
    if all(n == largest for n in spec.nvec):
        return ns.one_hot(components, largest).reshape((*batch, spec.width))
    columns = [ns.one_hot(components[..., position], n) for position, n in enumerate(spec.nvec)]
    return ns.concatenate(columns, axis=-1)
