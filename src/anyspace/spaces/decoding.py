"""From samples of an action distribution to actions of the environment, and back.

This is the only place that asks which kind of space an action leaf has. To support another kind, register one
function with `_codec`.

Distributions work in a plain space: indices 0..n-1 for everything discrete (integer Boxes and bits too), numbers
centred on zero for float Boxes, where -1 and 1 stand for the bounds of a component that has both, and shares for
a Simplex.

Letters: B rows, d numbers in one leaf, N any number of leading batch dimensions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import singledispatch
from typing import Any, TypeAlias

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Box, Discrete, MultiBinary, MultiDiscrete

from anyspace import nesting, tree
from anyspace.maths.arrays import NumpyArray
from anyspace.maths.splitting import split_leaves
from anyspace.maths.xp import Array, Namespace, xp
from anyspace.spaces.kinds.registered import RegisteredSpace, equivalent
from anyspace.spaces.kinds.simplex import Simplex
from anyspace.spaces.refusal import unsupported_action


class _Index:
    """MultiDiscrete, MultiBinary and integer Box: an index per component, counted from its first value."""

    def __init__(self, first: Any, options: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.shape, self.dtype = shape, dtype.name
        self.options = tuple(int(count) for count in np.ravel(options))
        # int64 holds every sum; a narrow dtype such as int8 would overflow on the way.
        self._first = np.asarray(first).astype(np.int64)
        self._is_identity = self.dtype == "int64" and not self._first.any()
        self._rank = 1 + len(shape)

    def decode(self, raw: Array, normalize: bool, clip: bool) -> Array:
        if self._is_identity and isinstance(raw, np.ndarray) and raw.dtype == "int64" and raw.ndim == self._rank:
            return raw.copy()  # an environment may change its action, the sample stays as it was drawn
        ns = xp(raw)
        rows = _rows(ns, raw, self.shape)
        return ns.astype(ns.astype(rows, "int64") + ns.asarray(self._first, like=rows), self.dtype)

    def invert(self, action: Array, normalize: bool) -> Array:
        ns = xp(action)
        rows = _rows(ns, action, self.shape)
        return ns.astype(rows, "int64") - ns.asarray(self._first, like=rows)

    def unscaled(self, raw: NumpyArray) -> NumpyArray:
        return raw


class _Choice(_Index):
    """Discrete: one index; of a relaxed one-hot vector [B, n], that of the largest entry."""

    def decode(self, raw: Array, normalize: bool, clip: bool) -> Array:
        relaxed = len(raw.shape) == 2 and tuple(raw.shape[1:]) == self.options
        return super().decode(xp(raw).argmax(raw, axis=-1) if relaxed else raw, normalize, clip)


def centre_and_half(space: Box) -> tuple[NumpyArray, NumpyArray]:
    """Return the centre of the bounds of each component of a float Box, and half their distance: -1 and 1 are bounds.

    Components without both bounds have 0 and 1, those of equal bounds a half of 0.
    """
    scaled = space.bounded_below & space.bounded_above
    low = np.where(scaled, space.low.astype(np.float64), -1.0)
    high = np.where(scaled, space.high.astype(np.float64), 1.0)
    # Halved before they are added: high - low overflows for bounds near the largest float.
    return low / 2 + high / 2, high / 2 - low / 2


class _Real:
    """Float Box, component by component: scaled where both bounds are finite, else taken as it is."""

    options = ()

    def __init__(self, space: Box) -> None:
        self.shape, self.dtype = space.shape, space.dtype.name
        self._centre, self._half = centre_and_half(space)
        info: Any = np.finfo(space.dtype)
        self._low, self._high = np.maximum(space.low, info.min), np.minimum(space.high, info.max)
        self._scaled = space.bounded_below & space.bounded_above

    def decode(self, raw: Array, normalize: bool, clip: bool) -> Array:
        ns = xp(raw)
        values = _rows(ns, raw, self.shape)
        with np.errstate(over="ignore"):
            action = ns.astype(self._onto_bounds(values) if normalize else values, self.dtype)
        if not (normalize or clip):
            return ns.copy(action)  # an environment may change its action, the sample stays as it was drawn
        # Clipped after the cast, which may round over a bound.
        low, high = self._limits(ns.widest_float)
        return ns.clip(action, ns.asarray(low, like=action), ns.asarray(high, like=action))

    def unscaled(self, raw: NumpyArray) -> NumpyArray:
        rows = _rows(xp(raw), raw, self.shape)
        return np.asarray(rows * self._half + self._centre, np.float32)

    def _onto_bounds(self, values: Array) -> Array:
        """Return ``values`` with -1 and 1 taken to the bounds of the components that have both."""
        ns = xp(values)
        if ns.widest_float == "float64":
            return ns.affine(values, self._half, self._centre)
        # Beyond the bounds sums could overflow; what is not scaled keeps every number, infinite ones too.
        scaled = ns.affine(ns.clip(values, -1.0, 1.0), self._half, self._centre)
        return ns.where(ns.asarray(self._scaled, like=values), scaled, values)

    def _limits(self, widest_float: str) -> tuple[NumpyArray, NumpyArray]:
        """Return the bounds; of float64 in a framework without it, the nearest that it has inside of them."""
        if widest_float == "float64" or self._low.itemsize <= 4:
            return self._low, self._high
        info = np.finfo(widest_float)
        low, high = (np.clip(bound, info.min, info.max).astype(widest_float) for bound in (self._low, self._high))
        inner_low = np.where(low < self._low, np.nextafter(low, info.max), low)
        inner_high = np.where(high > self._high, np.nextafter(high, info.min), high)
        # Between bounds that lie closer together than two numbers there is none.
        none = inner_low > inner_high
        return np.where(none, low, inner_low), np.where(none, high, inner_high)

    def invert(self, action: Array, normalize: bool) -> Array:
        ns = xp(action)
        rows = _rows(ns, action, self.shape)
        if not normalize:
            return ns.astype(rows, "float32")
        distance = ns.astype(rows, "float64") - ns.asarray(self._centre, like=rows)
        return ns.astype(distance / ns.asarray(np.where(self._half > 0, self._half, 1.0), like=rows), "float32")


class _Shares:
    """Simplex: shares as they are. What rounding or exploration noise took off the simplex is put back on it."""

    options = ()

    def __init__(self, space: Simplex) -> None:
        self.shape, self.dtype = space.shape, space.dtype.name

    def decode(self, raw: Array, normalize: bool, clip: bool) -> Array:
        ns = xp(raw)
        return ns.astype(ns.shares(_rows(ns, raw, self.shape)), self.dtype)

    def invert(self, action: Array, normalize: bool) -> Array:
        ns = xp(action)
        return ns.astype(_rows(ns, action, self.shape), "float32")

    def unscaled(self, raw: NumpyArray) -> NumpyArray:
        return raw


_Codec: TypeAlias = _Index | _Real | _Shares

_PLAIN = (list, tuple, int, float)


def _rows(ns: Namespace, values: Array, shape: tuple[int, ...]) -> Array:
    """Shape [B, ...] into [B, *shape]: distributions may give the components of a leaf as one axis."""
    return ns.reshape(values, (*values.shape[:1], *shape))


def _as_array(values: Any) -> Array:
    """Return lists and numbers as an array of NumPy; arrays are of any framework."""
    return np.asarray(values) if isinstance(values, _PLAIN) else values


def _codecs(space: gym.Space[Any]) -> tree.Tree:
    """Return one codec per leaf of the space, nested as its actions are (dicts and tuples)."""
    return nesting.built(space, [_codec(leaf, path) for path, leaf in nesting.iter_leaves(space)])


@singledispatch
def _codec(space: gym.Space[Any], path: tree.Path) -> _Codec:
    """Return the codec of a leaf that sits at ``path`` in the action space."""
    raise unsupported_action(space, path)


@_codec.register(Discrete)
def _(space: Discrete[Any], path: tree.Path) -> _Codec:
    return _Choice(space.start, space.n, (), space.dtype)


@_codec.register(MultiDiscrete)
def _(space: MultiDiscrete[Any], path: tree.Path) -> _Codec:
    return _Index(space.start, space.nvec, space.shape, space.dtype)


@_codec.register(MultiBinary)
def _(space: MultiBinary, path: tree.Path) -> _Codec:
    return _Index(0, np.full(space.shape, 2), space.shape, space.dtype)


@_codec.register(Simplex)
def _(space: Simplex, path: tree.Path) -> _Codec:
    return _Shares(space)


@_codec.register(Box)
def _(space: Box, path: tree.Path) -> _Codec:
    if space.dtype.kind == "f":
        return _Real(space)
    if not space.is_bounded("both"):
        raise unsupported_action(space, path)
    # Python's integers: the span of an int64 Box does not fit an int64.
    spans = space.high.astype(object) - space.low.astype(object) + 1
    return _Index(space.low, spans, space.shape, space.dtype)


class Decoder:
    """Decodes samples for one action space; build it once where actions are needed often.

    Args:
        space: the action space.
        normalize: scale float components that have both bounds from [-1, 1] to them, and clip every component
            to its bounds.
        clip: clip to the bounds without scaling. With both off, float components reach the environment as
            they were drawn, inside their bounds or not: that is then the user's choice. Shares of a Simplex sum
            to one in any case.

    Raises:
        UnsupportedSpaceError: naming the place of the leaf, its space and what is supported.
    """

    def __init__(self, space: gym.Space[Any], *, normalize: bool = True, clip: bool = False) -> None:
        self._codecs = _codecs(equivalent(space))
        self._alone = not isinstance(self._codecs, dict | tuple)
        self._translate = _translator(space)
        self._normalize, self._clip = normalize, clip

    def __call__(self, action: tree.Tree) -> tree.Tree:
        """Return environment actions [B, *shape] in the space's dtypes, Dict as dict and Tuple as tuple.

        Actions are computed in float64. A framework without it (JAX outside of its x64 mode) gives float32 and int32
        in place of 64 bits; its numbers are within one step of their dtype of NumPy's, and inside the bounds too.

        Args:
            action: samples of any framework, nested like the space: indices or numbers [B, *shape] or [B, d] per
                leaf, for a Discrete also relaxed one-hot vectors [B, n].
        """

        if self._translate is not None:
            return self._translate(self._decoded(action))
        return self._decoded(action)

    def _decoded(self, action: tree.Tree) -> tree.Tree:
        if self._alone:
            alone: Array = self._codecs.decode(_as_array(action), self._normalize, self._clip)
            return alone

        def decoded(codec: _Codec, raw: Any) -> Array:
            return codec.decode(_as_array(raw), self._normalize, self._clip)

        return tree.map_leaves(decoded, self._codecs, action)


def _translator(space: gym.Space[Any]) -> Callable[[tree.Tree], tree.Tree] | None:
    """Return what makes own values [B] of stacked built-in ones where a registered class asks for it, else None."""
    decoders = {path: leaf.decoder() for path, leaf in nesting.iter_leaves(space) if isinstance(leaf, RegisteredSpace)}
    if not decoders:
        return None

    def translated(actions: tree.Tree) -> tree.Tree:
        parts = []
        for (path, leaf), values in zip(nesting.iter_leaves(space), nesting.values(space, actions), strict=True):
            if isinstance(leaf, RegisteredSpace):
                rows = len(tree.leaves(values)[0])
                values = tuple(map(decoders[path], one_by_one(leaf.equivalent, values, rows)))
            parts.append(values)
        return nesting.built(space, parts)

    return translated


def decode(space: gym.Space[Any], action: tree.Tree, *, normalize: bool = True, clip: bool = False) -> tree.Tree:
    """Turn stacked samples [B, *shape] into actions for a vector environment: `Decoder`, which says more, for one use.

    An example: of ``Discrete(3, start=5)`` the samples ``[0, 2]`` become ``[5, 7]``; of a Box from 0 to 10, ``[[0.0]]``
    becomes ``[[5.0]]``.
    """
    return Decoder(space, normalize=normalize, clip=clip)(action)


def one_by_one(space: gym.Space[Any], actions: tree.Tree, count: int) -> list[tree.Tree]:
    """Return ``count`` stacked environment actions apart: numbers for a Discrete, arrays for every other leaf.

    A Box of rank 0 also gives arrays, as its members are. A leaf of a registered class gives values of its own.
    """

    def rows(leaf: gym.Space[Any], values: Any) -> list[Any]:
        if isinstance(leaf, Discrete | RegisteredSpace):
            return [values[row] for row in range(count)]
        return [values[row, ...] for row in range(count)]

    return nesting.apart(rows, space, actions, count)


def normalize_action(space: gym.Space[Any], action: tree.Tree, *, normalize: bool = True) -> tree.Tree:
    """Turn stacked environment actions into what a distribution would have drawn: the inverse of `decode`.

    Args:
        space: the action space.
        action: environment actions [B, *shape] per leaf, nested like the space.
        normalize: whether `decode` scales float Boxes; False leaves their numbers as they are.

    Returns:
        int64 indices for discrete leaves; float32 for float Boxes, in [-1, 1] where a component has both
        bounds and untouched elsewhere, and for the shares of a Simplex. A component whose bounds are equal gives 0.
    """
    return tree.map_leaves(lambda codec, values: codec.invert(_as_array(values), normalize), _codecs(space), action)


def unscaled_samples(space: gym.Space[Any], samples: tree.Tree) -> tree.Tree:
    """Return samples in which -1 and 1 stand for bounds as samples that are the environment's numbers.

    Those beyond the bounds stay beyond them.

    Args:
        space: the action space.
        samples: NumPy arrays [B, *shape] per leaf, nested like the space.
    """
    return tree.map_leaves(lambda codec, values: codec.unscaled(values), _codecs(space), samples)


def options(space: gym.Space[Any], path: tree.Path = ()) -> tuple[int, ...]:
    """Return how many options each component of a leaf space has, in C order; none where it is continuous.

    Args:
        space: a space that is no Dict or Tuple.
        path: where it sits in the action space.

    Raises:
        UnsupportedSpaceError: naming the place of the leaf, its space and what is supported.
    """
    return _codec(space, path).options


def check_action_space(space: gym.Space[Any]) -> None:
    """Raise `UnsupportedSpaceError` for a space whose actions cannot be decoded, naming the leaf."""
    _codecs(space)


class ActionFlattener:
    """Puts the samples of one Tuple or Dict space side by side; build it once where samples come often.

    Args:
        space: the action space.
    """

    def __init__(self, space: gym.Space[Any]) -> None:
        self._codecs = None if nesting.is_leaf(space) else _codecs(space)
        self._is_discrete = all(isinstance(codec, _Index) for codec in tree.leaves(self._codecs))

    def __call__(self, actions: tree.Tree) -> Array:
        """Return samples [N, *shape] per leaf as [N, sum of d]; see `flatten_actions`."""
        if self._codecs is None:
            return actions
        columns = tree.leaves(tree.map_leaves(_columns, self._codecs, actions))
        ns = xp(columns[0])
        if not self._is_discrete:
            columns = [ns.astype(column, "float32") for column in columns]
        return ns.concatenate(columns, axis=-1)


def flatten_actions(space: gym.Space[Any], actions: tree.Tree) -> Array:
    """Put the samples of a Tuple or Dict space side by side: `ActionFlattener` for one use.

    An example: of ``Tuple([Discrete(3), Box(-1, 1, (2,))])`` the samples ``([2], [[0.5, -0.5]])`` of one row become
    ``[[2.0, 0.5, -0.5]]``.

    Args:
        space: the action space.
        actions: samples [N, *shape] per leaf, arrays of any framework, nested like the space.

    Returns:
        [N, sum of d]: leaves in the space's own key order, raveled; a Discrete leaf takes one column.
        Integers if every leaf is discrete, else float32. Samples of any other space come back as they are.
    """
    return ActionFlattener(space)(actions)


def unflatten_actions(space: gym.Space[Any], flat: Array) -> tree.Tree:
    """Undo `flatten_actions`: [N, sum of d] to samples [N, *shape] per leaf, int64 where it is discrete."""
    return flat if nesting.is_leaf(space) else nesting.built(space, split_leaves(space, flat))


def _columns(codec: _Codec, values: Array) -> Array:
    batch = values.shape[: len(values.shape) - len(codec.shape)]
    return xp(values).reshape(values, (*batch, math.prod(codec.shape)))
