"""Where the masks of a policy's actions come from, and who respects them."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from anyspace import nesting
from anyspace.errors import ModelError, UnsupportedSpaceError
from anyspace.maths.xp import Array, xp
from anyspace.spaces import ActionMasks, Encoder, LeafSpec
from anyspace.spaces.encoding import batch_shape

Bools = npt.NDArray[np.bool_]


class Masking:
    """Finds the mask that comes with an observation.

    A mask is a part of the observation, under ``key``, or comes with it in the environment's infos. Then it is one more
    leaf [N, A] after the leaves of the observation. In this form it goes through trajectories and losses.

    Attributes:
        layout: how a mask of the action space is laid out.
        width: A, the entries of one mask.
        key: the name of the mask in observations and infos.
        positions: which leaves of the observation make up the mask; empty where no mask is part of it.
        reads_infos: whether a mask in the infos is used.
        takes_mask: whether the action distribution can be given masks.

    Args:
        observation_space: the environment's observation space.
        action_space: the environment's action space.
        encoder: the encoder of the observations.
        key: the name of the mask; None looks for none.
        distribution: builds the action distribution.
        custom_model: whether the model is the user's own, which may respect masks by itself.

    Raises:
        UnsupportedSpaceError: there is a mask, but it does not fit the action space.
        ModelError: there is a mask, but neither model nor distribution respects it.
    """

    def __init__(
        self,
        observation_space: gym.Space[Any],
        action_space: gym.Space[Any],
        encoder: Encoder,
        *,
        key: str | None,
        distribution: Callable[..., Any],
        custom_model: bool,
    ):
        self.layout = ActionMasks(action_space)
        self.width = self.layout.width
        self.key = key or ""
        self.takes_mask = "mask" in inspect.signature(distribution).parameters and self.width > 0
        self._distribution, self._custom_model = distribution, custom_model
        self._specs = encoder.specs
        self.positions: list[int] = []
        if key is not None and nesting.has_part(observation_space, key):
            self.positions = self._in_observation(key, action_space)
            self.require_consumer()
        self.reads_infos = key is not None and self.width > 0 and not self.positions

    def _in_observation(self, key: str, action_space: gym.Space[Any]) -> list[int]:
        """Return which leaves of the observation make up the mask, in the order of the leaves of the action."""
        found = [i for i, leaf in enumerate(self._specs) if leaf.path[0] == key]
        widths = {i: math.prod(self._specs[i].shape) for i in found}
        if len(found) > 1:
            widths_of = [(path, ActionMasks(leaf).width) for path, leaf in nesting.iter_leaves(action_space)]
            parts = [
                ([i for i in found if self._specs[i].path[1 : 1 + len(path)] == path], width)
                for path, width in widths_of
                if width
            ]
            fit = all(sum(widths[i] for i in part) == width for part, width in parts)
            found = [i for part, _ in parts for i in part]
        else:
            fit = sum(widths.values()) == self.width > 0
        if not fit or len(found) < len(widths) or any(self._specs[i].repeats for i in found):
            raise UnsupportedSpaceError(
                f'obs["{key}"]: it holds {sum(widths.values())} values, but a mask of {action_space} has {self.width}:'
                " one for each choice, in one array or nested as the action is (spaces.ActionMasks has the layout)."
                " Give it these, or set config key `action_mask_key` to the mask's name, or to None if none is there."
            )
        return found

    def require_consumer(self) -> None:
        """Raise :class:`ModelError` if neither the distribution nor a model of the user respects masks."""
        if not self.takes_mask and not self._custom_model:
            name = getattr(self._distribution, "func", self._distribution)
            raise ModelError(
                f"a mask came, but {name.__name__} takes no `mask` and the default model does not respect one. Give the"
                " distribution's constructor a `mask` parameter, use a custom model that respects it, or set config key"
                " `action_mask_key` to None to go without."
            )

    def find(self, leaves: Sequence[Array]) -> Array | None:
        """Return the mask [N, A] among encoded leaves [N, ...] of any framework, booleans, or None."""
        if len(leaves) > len(self._specs):
            return leaves[len(self._specs)]
        if not self.positions:
            return None
        parts = [_flat(self._specs[i], leaves[i]) for i in self.positions]
        mask = parts[0] if len(parts) == 1 else xp(parts[0]).concatenate(parts, axis=-1)
        return mask != 0

    def given(self, mask: Any, info: dict[str, Any] | None, count: int, *, single: bool = False) -> Bools | None:
        """Return the mask [``count``, A] that a caller gave, by itself or in ``info``, or None.

        Args:
            mask: in any form that `ActionMasks.flatten` takes.
            info: read where ``mask`` is None and the observation holds none.
            count: of observations.
            single: there is one observation, and the mask has no axis of rows.

        Raises:
            ValueError: it does not fit the action space, or the number of observations.
            ModelError: neither model nor distribution respects it.
        """
        place = "mask"
        if mask is None and info is not None and self.reads_infos:
            mask, place = info.get(self.key), f"info[{self.key!r}]"
        if mask is None:
            return None
        rows = self.layout.flatten(mask, single=single, place=place)
        if len(rows) not in (1, count):
            raise ValueError(
                f"{place}: expected {count} rows, one for each observation, or one for all, got {len(rows)}."
            )
        self.require_consumer()
        return np.broadcast_to(rows, (count, self.width))

    def split(self, mask: Array) -> Any:
        """Return a mask [N, A] as the action distribution takes it."""
        return self.layout.split(mask)

    def observation(self, leaves: Sequence[Array]) -> Sequence[Array]:
        """Return the leaves of the observation alone."""
        return leaves[: len(self._specs)]

    def unusable(self, mask: Bools) -> Bools:
        """Return which of the masks [N, A] leave some part of the action without any choice, bool [N]."""
        return self.layout.empty_rows(mask.reshape(-1, self.width)).reshape(mask.shape[:-1])


def _flat(spec: LeafSpec, leaf: Array) -> Array:
    return xp(leaf).reshape(leaf, (*batch_shape(spec, leaf), math.prod(spec.shape)))
