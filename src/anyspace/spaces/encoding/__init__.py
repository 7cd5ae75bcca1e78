"""Observations as flat tuples of arrays, one per leaf of the space.

What varies in length is padded with zeros to its longest length, beside a count; `spaces.leaves` says how spaces
become leaves, the files of this folder how values are brought there.

Letters: N stands for any number of leading batch dimensions, such as [T, B].
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import gymnasium as gym

from anyspace import tree
from anyspace.errors import ObservationError, UnsupportedSpaceError
from anyspace.maths.arrays import NumpyArray
from anyspace.maths.xp import Array, xp
from anyspace.spaces.encoding.leaf import Slots
from anyspace.spaces.encoding.misfit import Misfit
from anyspace.spaces.encoding.nested import Reading, node_encoder, special_parts
from anyspace.spaces.kinds.registered import RegisteredSpace
from anyspace.spaces.leaves import Choice, LeafSpec, Node, Repeat, children, iter_specs, structure
from anyspace.spaces.refusal import OBSERVATIONS


class Encoder:
    """Encodes the observations of one space; build it once where observations come often.

    Args:
        space: the observation space. Its structure is read here, once.
        clip: clip finite numbers to the bounds of their Box; else they stay as they are.

    Attributes:
        structure: the leaves, nested as the space is.
        specs: the leaves in the order of their arrays.
        ragged: whether anything in the space may be there or not: elements of lists, alternatives.

    Raises:
        UnsupportedSpaceError: a leaf has no encoding, or the space has nothing to observe.
    """

    def __init__(self, space: gym.Space[Any], *, clip: bool = False) -> None:
        self.structure = structure(space)
        self.specs: tuple[LeafSpec, ...] = tuple(iter_specs(self.structure))
        self.ragged = _ragged(self.structure)
        if not any(leaf.width for leaf in self.specs):
            raise UnsupportedSpaceError(f"obs: {space} holds no value to observe. Supported: {OBSERVATIONS}.")
        special = special_parts(space)
        self._by_row = self.ragged or any(isinstance(part, RegisteredSpace) for part in special.values())
        self._encode = node_encoder(self.structure, Reading(special, clip))

    def __call__(self, stacked: tree.Tree, where: Callable[[int], str] = "row {}".format) -> tuple[NumpyArray, ...]:
        """Return one array [N, *shape] per leaf, in the space's own key order.

        An array that needs no conversion is returned itself, not copied.

        Args:
            stacked: observations as vector environments give them: a dict or tuple of arrays [N, ...], or one
                array, and a tuple or list of N raw values wherever something varies in length; N is then one
                dimension, otherwise any number, none of them included. Dicts are read by key; lists pass for tuples
                and arrays.
            where: spells the position of the row that an error is about, where that is known.

        Raises:
            ObservationError: the structure, a shape or an element type does not fit the space. Values are not
                looked at, except where they decide what is there; `faults.find_fault` does that.
        """
        encoded: list[NumpyArray] = []
        try:
            self._encode(stacked, True, None, encoded)
        except Misfit as misfit:
            raise misfit.error(where) from misfit.__cause__
        if len(encoded) > 1:
            self._require_one_batch_shape(encoded)
        return tuple(encoded)

    def rows(
        self, stacked: tree.Tree, count: int, where: Callable[[int], str] = "row {}".format
    ) -> tuple[NumpyArray, ...]:
        """Return one array [count, *shape] per leaf of ``count`` stacked observations.

        Arguments and errors are those of a call.

        Raises:
            ObservationError: there are more or fewer observations, or they are no stack of single ones.
        """
        leaves, first = self(stacked, where), self.specs[0]
        if leaves[0].shape != (count, *first.shape):
            batch = ", ".join(map(str, batch_shape(first, leaves[0])))
            came = f"[{batch}, ...]" if batch else "a single one"
            raise ObservationError(
                f"obs: expected stacked observations [{count}, ...], one of each environment, got {came}. Let the first"
                " axis of every part count the environments."
            )
        return leaves

    def single(self, obs: tree.Tree) -> tuple[NumpyArray, ...]:
        """Return one array [*shape] per leaf of a single observation.

        Raises:
            ObservationError: the structure, a shape or an element type does not fit the space.
        """
        encoded: list[NumpyArray] = []
        try:
            if self._by_row:
                self._encode([obs], False, Slots.whole(1), encoded)
                return tuple(leaf[0] for leaf in encoded)
            self._encode(obs, True, None, encoded)
            for spec, leaf in zip(self.specs, encoded, strict=True):
                if batch := batch_shape(spec, leaf):
                    single = f"expected a single observation, of shape {spec.raw_shape} for {spec.space}"
                    raise Misfit(spec.path, f"{single}, got a batch of shape {(*batch, *spec.raw_shape)}")
        except Misfit as misfit:
            raise misfit.error() from misfit.__cause__
        return tuple(encoded)

    def either(
        self, obs: tree.Tree, where: Callable[[int], str] = "row {}".format
    ) -> tuple[tuple[NumpyArray, ...], bool]:
        """Return the arrays of one observation, or of several that are stacked, and whether it is one, by its shapes.

        Raises:
            ObservationError: it is neither; the error speaks of one observation.
        """
        if not self._by_row:
            leaves = self(obs, where)
            return leaves, not batch_shape(self.specs[0], leaves[0])
        try:
            return self.single(obs), True
        except ObservationError as error:
            try:
                return self(obs, where), False
            except (ObservationError, ValueError, TypeError):
                raise error from None

    def with_starts(self, leaves: Sequence[NumpyArray]) -> tuple[NumpyArray, ...]:
        """Return encoded leaves as an exported file takes them: indices count from the `start` of their space, int64.

        All other leaves stay as they are. An index that is not there, as beyond a list's length, is `start` itself.

        Args:
            leaves: of this encoder, [N, *shape].
        """
        pairs = zip(self.specs, leaves, strict=True)
        return tuple(leaf + spec.first if any(spec.start) else leaf for spec, leaf in pairs)

    def presence(self, leaves: Sequence[Array]) -> list[Array | None]:
        """Return which elements of each leaf are there: booleans [N, *repeats]; None for what always is.

        An element of a list is there if its position is below the list's length, an alternative if it was chosen,
        and both only if the list or alternative around them is there. Leaves of one element share one array.

        Args:
            leaves: encoded leaves [N, *shape], arrays of one framework.
        """
        if not self.ragged:
            return [None] * len(self.specs)
        return list(_presence(self.structure, iter(leaves), None))

    def _require_one_batch_shape(self, leaves: Sequence[NumpyArray]) -> None:
        batch_shapes = [batch_shape(spec, leaf) for spec, leaf in zip(self.specs, leaves, strict=True)]
        if batch_shapes.count(batch_shapes[0]) != len(batch_shapes):
            listing = ", ".join(f"{spec.place()} {shape}" for spec, shape in zip(self.specs, batch_shapes, strict=True))
            raise ObservationError(f"obs: expected the same batch shape in every leaf, got {listing}.")


def spec(space: gym.Space[Any]) -> tuple[LeafSpec, ...]:
    """Return the leaves of an observation space, depth-first in the space's own key order.

    Raises:
        UnsupportedSpaceError: naming the place of the leaf, its space and what is supported.
    """
    return Encoder(space).specs


def encode(space: gym.Space[Any], stacked: tree.Tree) -> tuple[NumpyArray, ...]:
    """Encode stacked observations of ``space``: `Encoder` for one use."""
    return Encoder(space)(stacked)


def batch_shape(spec: LeafSpec, leaf: Any) -> tuple[int, ...]:
    """Return the leading dimensions N of an encoded leaf [N, *shape] of any framework."""
    return tuple(leaf.shape[: len(leaf.shape) - len(spec.shape)])


def _ragged(node: Node) -> bool:
    return isinstance(node, Repeat | Choice) or any(map(_ragged, children(node)))


def _presence(node: Node, leaves: Iterator[Array], around: Array | None) -> Iterator[Array | None]:
    """Yield the presence of each leaf of ``node``; ``around`` is the presence of the list or alternative around it."""
    match node:
        case LeafSpec():
            next(leaves)
            yield around
        case Repeat():
            yield around
            count = next(leaves)[..., None]
            # A list that is not there has length 0, so the presence of what is around it need not be asked.
            yield from _presence(node.element, leaves, xp(count).arange(node.max_len, like=count) < count)
        case Choice():
            yield around
            which = next(leaves)
            for position, option in enumerate(node.options):
                here = which == position
                yield from _presence(option, leaves, here if around is None else around & here)
        case _:
            for child in children(node):
                yield from _presence(child, leaves, around)
