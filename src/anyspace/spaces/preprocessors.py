"""Preprocessors: from an observation to the features and the flat vector that a model sees.

Preprocessing is steps that all spaces share: `encoding.Encoder` picks the leaves out of an observation,
`Preprocessor.expand` turns each into numbers, and `restore` nests or flattens them. The classes differ in name, and
in what they return.

Letters: N any number of leading batch dimensions, F slots of the flat vector.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box

from anyspace import nesting, tree
from anyspace.errors import ObservationError
from anyspace.maths.arrays import NumpyArray
from anyspace.maths.xp import Array, xp
from anyspace.spaces.encoding import Encoder
from anyspace.spaces.faults import find_fault
from anyspace.spaces.kinds.atari import AtariPixels, AtariRam
from anyspace.spaces.kinds.registered import equivalent
from anyspace.spaces.kinds.repeated import Repeated
from anyspace.spaces.leaves import LeafSpec, Node, Repeat, structure
from anyspace.spaces.restore import PreprocessedBox, cut, join, nest


class Preprocessor:
    """Flattens the observations of one space.

    Args:
        space: the environment's observation space.
        options: accepted for old call sites: a model configuration. The spaces of Atari carry its keys themselves.
        scale_images: divide pictures by 255. The spaces of Atari keep their own scale.

    Attributes:
        observation_space: the space of the results; ``observation_space.original_space`` is ``space``, with built-in
            spaces in place of registered classes.
        shape: shape of one result.
        size: F, the slots of the flat vector.
        is_identity: whether a stored observation, one vector of float32, is its flat vector already.
        is_array: whether an observation is one array, and no structure of several.
        encode: observations to a tuple of encoded leaves (`Encoder`).
        specs: the leaves of ``encode``, with the shift and scale of `expand`.

    Raises:
        UnsupportedSpaceError: naming the leaf that has no encoding.
    """

    def __init__(
        self, space: gym.Space[Any], options: Mapping[str, Any] | None = None, *, scale_images: bool = True
    ) -> None:
        self._space = space
        self.encode = Encoder(space)
        self.specs = tuple(spec if scale_images else _unscaled(spec) for spec in self.encode.specs)
        self.size = sum(spec.width for spec in self.specs)
        self.shape: tuple[int, ...] = (self.size,)
        first = self.specs[0]
        self.is_array = isinstance(self.encode.structure, LeafSpec)
        self.is_identity = (
            len(self.specs) == 1
            and not self.encode.ragged
            and first.kind == "real"
            and first.dtype == "float32"
            and len(first.shape) == 1
            and (first.shift, first.scale) == (0.0, 1.0)
        )
        self.observation_space: gym.Space[Any] = PreprocessedBox(equivalent(space), self.encode.structure, self.shape)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._space})"

    @property
    def preprocessors(self) -> list[Preprocessor]:
        """Those of the parts of a Dict, in the order of its keys, or of a Tuple; of other spaces none."""
        return [get_preprocessor(part) for part in (nesting.parts(self._space) or {}).values()]

    def transform(self, obs: tree.Tree) -> Any:
        """Return one observation as float32 [*shape]; every call is checked.

        A Box, a MultiBinary or a Simplex that is the whole observation passes as it is, pictures as bytes.

        Raises:
            ObservationError: the observation is not in the space; the text holds the observation, its dtype
                where the space is a Box, and the space.
        """
        return self._result(obs, self._checked(obs))

    def write(self, observation: tree.Tree, array: NumpyArray, offset: int) -> None:
        """Write the flat vector of an observation into ``array`` [F'], from position ``offset`` on."""
        array[offset : offset + self.size] = self.flatten(self._checked(observation))

    def check_shape(self, observation: tree.Tree) -> None:
        """Raise ObservationError, as `transform` does, for an observation that is not in the space."""
        self._checked(observation)

    def transform_batch(self, stacked: tree.Tree) -> Any:
        """Return stacked observations, as the `Encoder` takes them, as float32 [N, *shape].

        Structure, shapes and dtypes are checked; values are not (`faults.find_fault` does that).
        """
        return self._result(stacked, self.encode(stacked))

    def expand(self, leaves: Sequence[Array]) -> list[Array]:
        """Return the features [N, *feature shape] of encoded leaves [N, *shape], float32.

        Indices become one-hot, counts are taken as they are, real leaves shifted and scaled; what belongs to an
        element of a list or an alternative that is not there is zero. The leaves are arrays of any framework; the
        features are of the same.
        """
        presence = self.encode.presence(leaves)
        return [_feature(spec, leaf, there) for spec, leaf, there in zip(self.specs, leaves, presence, strict=True)]

    def restore(self, features: Sequence[Array]) -> tree.Tree:
        """Nest features, filtered or not, as the space is nested.

        A dict for a Dict, a list for a Tuple, the feature itself for a single leaf; the head of `spaces.restore`
        describes lists, graphs and alternatives.
        """
        return nest(self.encode.structure, iter(features))

    def flatten_features(self, features: Sequence[Array]) -> Array:
        """Return features [N, *feature shape], filtered or not, as one array [N, F]."""
        batch_dims = len(features[0].shape) - len(self.specs[0].feature_shape)
        return join(self.restore(features) if self.encode.ragged else features, batch_dims)

    def flatten(self, leaves: Sequence[Array]) -> Array:
        """Return encoded leaves [N, *shape] as one float32 array [N, F]."""
        return self.flatten_features(self.expand(leaves))

    def unflatten(self, flat: NumpyArray) -> tuple[NumpyArray, ...]:
        """Return the encoded leaves [N, *shape] of flat vectors [N, F]; undoes `flatten`.

        An index is the position of the largest entry of its one-hot vector, and 0 where all entries are 0. Whole
        numbers are rounded. Where `flatten` makes other vectors of the leaves, the vectors are of another space.
        """
        return tuple(map(_stored, self.specs, cut(self.encode.structure, flat)))

    def _result(self, obs: tree.Tree, leaves: Sequence[NumpyArray]) -> Any:
        """Return the result for raw observations whose encoded leaves are ``leaves``."""
        return self.flatten(leaves)

    def _checked(self, obs: tree.Tree) -> tuple[NumpyArray, ...]:
        """Return the encoded leaves [*shape] of one observation."""
        try:
            leaves = self.encode.single(obs)
            if fault := find_fault(self.encode, leaves):
                raise ObservationError(f"{fault}.")
        except ObservationError as error:
            dtype = f" (dtype {getattr(obs, 'dtype', None)})" if isinstance(self._space, Box) else ""
            raise ObservationError(
                f"{error} The whole observation was {obs!s:.400}{dtype}, its space is {self._space}."
            ) from error
        return leaves


class OneHotPreprocessor(Preprocessor):
    """Discrete and MultiDiscrete: one-hot vectors, one per component, side by side in C order."""


class TupleFlatteningPreprocessor(Preprocessor):
    """Tuple: the parts side by side, in order."""


class DictFlatteningPreprocessor(Preprocessor):
    """Dict: the parts side by side, in the space's own key order; values are looked up by key."""


class RepeatedValuesPreprocessor(Preprocessor):
    """Repeated: the length, then the elements, padded with zeros to the longest length."""


class PaddingPreprocessor(Preprocessor):
    """Text, Sequence, Graph and OneOf: what varies in size, padded with zeros to one size."""


class AtariRamPreprocessor(Preprocessor):
    """Atari's memory: ``(byte - 128) / 128``, in [-1, 0.9921875]."""


class GenericPixelPreprocessor(Preprocessor):
    """Atari's screen: cropped, shrunk and scaled as its space says, [dim, dim, 1 or 3]."""

    def __init__(
        self, space: gym.Space[Any], options: Mapping[str, Any] | None = None, *, scale_images: bool = True
    ) -> None:
        super().__init__(space, options, scale_images=scale_images)
        self.shape = self.specs[0].shape
        self.observation_space = PreprocessedBox(space, self.encode.structure, self.shape)

    def _result(self, obs: tree.Tree, leaves: Sequence[NumpyArray]) -> Any:
        return self.expand(leaves)[0]


class NoPreprocessor(Preprocessor):
    """Box, MultiBinary and Simplex: observations pass as the very objects they are, pictures with their bytes.

    `expand` alone turns them into features, and scales pictures.
    """

    def __init__(
        self, space: gym.Space[Any], options: Mapping[str, Any] | None = None, *, scale_images: bool = True
    ) -> None:
        super().__init__(space, options, scale_images=scale_images)
        self.shape = self.specs[0].shape
        self.observation_space = equivalent(space)

    def _result(self, obs: tree.Tree, leaves: Sequence[NumpyArray]) -> Any:
        return obs if self.observation_space is self._space else leaves[0]


def get_preprocessor(space: gym.Space[Any], scale_images: bool = True) -> Preprocessor:
    """Return the preprocessor for an observation space. A shape alone never makes it Atari's.

    Args:
        space: the environment's observation space.
        scale_images: divide pictures by 255 where they are parts of a Dict, a Tuple or a list.

    Raises:
        UnsupportedSpaceError: naming the leaf that has no encoding.
    """
    return _class(structure(space))(space, scale_images=scale_images)


def zero_absent(feature: Array, there: Array) -> Array:
    """Return features [N, *repeats, ...] with zeros where ``there`` [N, *repeats] is False."""
    ns = xp(feature)
    # In two axes: TensorFlow chooses among arrays of eight at most.
    elements = ns.reshape(feature, (math.prod(there.shape), math.prod(feature.shape[len(there.shape) :])))
    return ns.reshape(ns.where(ns.reshape(there, (-1, 1)), elements, 0.0), feature.shape)


def one_hot(spec: LeafSpec, leaf: Array, there: Array | None = None) -> Array:
    """Return the one-hot vectors [N, sum(nvec)] of an index leaf [N, *element shape]; zeros where it is not there.

    An example: of ``nvec`` (2, 3), the indices ``[1, 2]`` of one row become ``[0, 1, 0, 0, 1]``.
    """
    ns, largest = xp(leaf), max(spec.nvec, default=0)
    lead = tuple(leaf.shape[: len(leaf.shape) - len(spec.element_shape)])
    # PyTorch compares no wide unsigned integers, and spaces may well use them.
    components = ns.reshape(ns.astype(leaf, "int64"), (*lead, len(spec.nvec)))
    if there is not None:
        components = ns.where(there[..., None], components, -1)
    if all(n == largest for n in spec.nvec):
        return ns.reshape(ns.one_hot(components, largest), (*lead, sum(spec.nvec)))
    columns = [ns.one_hot(components[..., position], n) for position, n in enumerate(spec.nvec)]
    return ns.concatenate(columns, axis=-1)


def _class(node: Node) -> type[Preprocessor]:
    match node:
        case LeafSpec(space=AtariRam()):
            return AtariRamPreprocessor
        case LeafSpec(space=AtariPixels()):
            return GenericPixelPreprocessor
        case LeafSpec(kind="index"):
            return OneHotPreprocessor
        case LeafSpec():
            return NoPreprocessor
        case dict():
            return DictFlatteningPreprocessor
        case tuple():
            return TupleFlatteningPreprocessor
        case Repeat(space=Repeated()):
            return RepeatedValuesPreprocessor
        case _:
            return PaddingPreprocessor


def _unscaled(spec: LeafSpec) -> LeafSpec:
    return spec if spec.image is None or spec.warp is not None else replace(spec, scale=1.0)


def _feature(spec: LeafSpec, leaf: Array, there: Array | None) -> Array:
    """Return the features [N, *feature shape] of one encoded leaf; ``there`` [N, *repeats]: None means everywhere."""
    if spec.kind == "index":
        return one_hot(spec, leaf, there)
    feature = xp(leaf).astype(leaf, "float32")
    if spec.shift:
        feature = feature - spec.shift
    if spec.scale != 1:
        feature = feature * spec.scale
    # What is not there is stored as zero, and only a shift moves that.
    return feature if there is None or not spec.shift else zero_absent(feature, there)


def _stored(spec: LeafSpec, feature: NumpyArray) -> NumpyArray:
    """Return the encoded leaf [N, *shape] of its features [N, *feature shape]; undoes `_feature`."""
    if spec.kind == "index":
        ends = np.cumsum(spec.nvec)[:-1]
        indices = [part.argmax(axis=-1) for part in np.split(feature, ends, axis=-1)]
        batch = feature.shape[: feature.ndim - len(spec.feature_shape)]
        return np.stack(indices, axis=-1).astype(spec.dtype).reshape(*batch, *spec.shape)
    numbers = feature.astype(np.float64) / spec.scale + spec.shift
    if spec.dtype.kind in "iu":
        # Features are float32, which rounds the largest whole numbers up; the largest of int64 is no float64 either.
        lowest, highest = np.iinfo(spec.dtype).min, np.iinfo(spec.dtype).max
        top = float(highest) if int(float(highest)) == highest else np.nextafter(float(highest), 0)
        numbers = np.clip(np.rint(numbers), lowest, top)
    with np.errstate(over="ignore", invalid="ignore"):
        return numbers.astype(spec.dtype)
