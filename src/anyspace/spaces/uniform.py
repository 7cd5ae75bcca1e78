"""Raw actions drawn evenly from an action space, whatever a model says.

Letters: B rows, W random numbers that one action takes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from anyspace import nesting
from anyspace.maths.branches import Branches
from anyspace.maths.splitting import split_last
from anyspace.maths.xp import Array, Namespace, xp
from anyspace.spaces.decoding import check_action_space, options
from anyspace.spaces.kinds.parts import with_parts
from anyspace.spaces.kinds.simplex import Simplex
from anyspace.tree import Path, Tree

Leaf = Callable[[Array, Array | None], Array]
"""Gumbel noise [B, w] and which options are allowed [B, w] -> raw actions [B, *shape]."""

_LARGEST = float(np.finfo(np.float32).max)
_LOGISTIC_DEVIATION = math.pi / math.sqrt(3)


def raw_space(action_space: gym.Space[Any], *, normalize: bool) -> gym.Space[Any]:
    """Return the space of raw actions, which is what distributions draw from and trajectories hold.

    It is the action space but for float Boxes: a component with both bounds lies between -1 and 1.

    Args:
        action_space: of built-in spaces.
        normalize: whether decoding scales; False leaves the bounds of the space.
    """

    def replaced(part: gym.Space[Any], path: Path = ()) -> gym.Space[Any]:
        match part:
            case Simplex():
                return part
            case spaces.Box() if normalize and part.dtype.kind == "f":
                scaled = part.bounded_below & part.bounded_above
                low, high = np.where(scaled, -1, part.low), np.where(scaled, 1, part.high)
                return spaces.Box(low.astype(part.dtype), high.astype(part.dtype), dtype=part.dtype.type)
        return with_parts(part, replaced, path)

    return replaced(action_space)


class UniformActions:
    """Draws every leaf by itself: options that are allowed with equal probability, numbers evenly between their bounds.

    A number with one bound is an exponential distance of mean 1 from it, one without bounds is logistic with mean 0 and
    deviation 1; shares of a Simplex are uniform on it.

    Attributes:
        width: W.

    Args:
        space: of raw actions, see :func:`raw_space`.

    Raises:
        UnsupportedSpaceError: naming the leaf that has no decoding.
    """

    def __init__(self, space: gym.Space[Any]) -> None:
        check_action_space(space)
        self._space = space
        drawn = [_leaf(leaf, path) for path, leaf in nesting.iter_leaves(space)]
        self._leaves = [draw for draw, _ in drawn]
        self._widths = [width for _, width in drawn]
        self.width = sum(self._widths)
        self._alone = nesting.is_leaf(space)

    def __call__(self, noise: Array, masks: Sequence[Array | None] | Array | None) -> Tree:
        """Return raw actions.

        Args:
            noise: [B, W] of the Gumbel distribution.
            masks: what is allowed, as the action distribution takes it: [B, w] of a leaf or None; of a Tuple or Dict a
                list of one per leaf, or None.
        """
        if self._alone:
            return self._leaves[0](noise, masks)
        given = [None] * len(self._leaves) if masks is None else masks
        rows = zip(self._leaves, split_last(noise, self._widths), given, strict=True)
        return nesting.built(self._space, [draw(part, mask) for draw, part, mask in rows])


def _leaf(space: gym.Space[Any], path: Path) -> tuple[Leaf, int]:
    """Return what draws a leaf, and how many numbers it takes."""
    shape = tuple(space.shape or ())
    if counts := options(space, path):
        return _of_options(counts, shape), sum(counts)
    match space:
        case Simplex():
            return _shares(shape), math.prod(shape)
        case spaces.Box():
            return _of_box(space), math.prod(shape)
    return lambda noise, _: xp(noise).reshape(noise, (noise.shape[0], *shape)), 0


def _of_options(counts: tuple[int, ...], shape: tuple[int, ...]) -> Leaf:
    branches = Branches(counts)

    def draw(noise: Array, mask: Array | None) -> Array:
        ns = xp(noise)
        if mask is not None:
            allowed = branches.join(branches.allowed(mask, like=noise))
            noise = ns.where(allowed, noise, -float("inf"))
        if branches.count == 1:
            return ns.reshape(ns.argmax(noise, axis=-1), (noise.shape[0], *shape))
        return ns.reshape(branches.argmax(noise), (noise.shape[0], *shape))

    return draw


def _shares(shape: tuple[int, ...]) -> Leaf:
    def draw(noise: Array, _: Array | None) -> Array:
        ns = xp(noise)
        waits = ns.reshape(ns.exp(-noise), (noise.shape[0], *shape))
        return waits / ns.sum(waits, axis=-1, keepdims=True)

    return draw


def _of_box(space: spaces.Box) -> Leaf:
    below, above = space.bounded_below, space.bounded_above
    # Where there is no bound, any number does.
    finite = (np.where(np.isfinite(bound), bound, 0).astype(np.float64) for bound in (space.low, space.high))
    low, high = (np.clip(bound, -_LARGEST, _LARGEST).astype(np.float32) for bound in finite)

    def draw(noise: Array, _: Array | None) -> Array:
        ns = xp(noise)
        waits = ns.reshape(ns.exp(-noise), (noise.shape[0], *space.shape))  # exponential, so its own exp() is even
        even = ns.exp(-waits)
        found = _logistic(ns, waits, even)
        finite_low, finite_high = (_placed(ns, bound, noise) for bound in (low, high))
        found = ns.where(ns.asarray(below, like=noise), finite_low + waits, found)
        found = ns.where(ns.asarray(above & ~below, like=noise), finite_high - waits, found)
        # Clipped, for rounding may step over a bound, where both are the same for one.
        inside = ns.clip(finite_low * (1.0 - even) + finite_high * even, finite_low, finite_high)
        return ns.where(ns.asarray(below & above, like=noise), inside, found)

    return draw


def _logistic(ns: Namespace, waits: Array, even: Array) -> Array:
    """Return log(u / (1 - u)) of u = ``even`` = exp(-``waits``), of deviation 1."""
    return (-waits - ns.log1p(-ns.clip(even, None, 1.0 - 1e-6))) / _LOGISTIC_DEVIATION


def _placed(ns: Namespace, numbers: Any, like: Array) -> Array:
    return ns.cast(np.asarray(numbers, np.float32), like=like)


def float_components(space: gym.Space[Any]) -> list[tuple[Path, spaces.Box]]:
    """Return the leaves of an action space that are float Boxes and no Simplex, with their paths."""
    found = []
    for path, leaf in nesting.iter_leaves(space):
        match leaf:
            case spaces.Box() if not options(leaf, path) and leaf.dtype.kind == "f":
                found.append((path, leaf))
    return found
