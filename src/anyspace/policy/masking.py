"""Where the masks of a policy's actions come from, and who respects them."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeVar

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from anyspace import nesting
from anyspace.errors import ModelError, ObservationError, UnsupportedSpaceError
from anyspace.maths.arrays import Bools
from anyspace.maths.xp import Array, xp
from anyspace.spaces import ActionMasks, Encoder, LeafSpec
from anyspace.spaces.encoding import batch_shape

L = TypeVar("L")

MaskOrigin = Literal["observation", "infos", "method", "none"]
"""Where masks come from: a part of the observation, the infos, a method ``action_masks()``, or nowhere."""

ORIGINS: tuple[MaskOrigin, ...] = ("none", "observation", "infos", "method")
"""All of them; checkpoints hold positions in it."""

HAND_OVER: dict[MaskOrigin, str] = {
    "method": "the environment's method action_masks() gives. Hand over `{name}=env.action_masks()` (of a vector"
    ' environment `{name}=envs.call("action_masks")`)',
    "infos": "the environment's infos hold. Hand over `info=info`, as reset() and step() return it",
}
"""What an error says of masks that the observation does not hold, by their origin; ``{name}`` is the argument's."""


class Masking:
    """Finds the mask that comes with an observation.

    A mask is a part of the observation, under ``key``, or comes with it in the environment's infos. Then it is one more
    leaf [N, A] after the leaves of the observation. In this form it goes through trajectories and losses.

    Attributes:
        layout: how a mask of the action space is laid out.
        width: A, the entries of one mask.
        key: the name of the mask in observations and infos.
        positions: which leaves of the observation make up the mask; empty where no mask is part of it.
        shown: which leaves of the observation the model sees; None: all of them.
        reads_infos: whether a mask in the infos is used.
        takes_mask: whether the action distribution can be given masks.
        origin: where the masks come from that the policy was trained with; None: nobody has said so yet.
        ask: tells the origin where that is None and somebody can know: an algorithm whose environments are there.
        overlooked: what was told of something in the environment that looks like a mask and is not read.

    Args:
        observation_space: the environment's observation space.
        action_space: the environment's action space.
        encoder: the encoder of the observations.
        key: the name of the mask; None looks for none.
        distribution: builds the action distribution.
        custom_model: whether the model is the user's own, which may respect masks by itself.
        is_feature: whether the model sees the mask as a part of the observation. Where the observation holds nothing
            else, it does in any case.

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
        is_feature: bool = True,
    ):
        self.layout = ActionMasks(action_space)
        self.width = self.layout.width
        self.key = key or ""
        self.takes_mask = "mask" in inspect.signature(distribution).parameters and self.width > 0
        self._distribution, self._custom_model = distribution, custom_model
        self._specs = encoder.specs
        self.positions: list[int] = []
        self.shown: list[int] | None = None
        if key is not None and nesting.has_part(observation_space, key):
            self.positions = self._in_observation(key, action_space)
            self.require_consumer()
            others = [i for i, leaf in enumerate(self._specs) if leaf.path[0] != key]
            if not is_feature and any(self._specs[i].width for i in others):
                self.shown = others
        self.reads_infos = key is not None and self.width > 0 and not self.positions
        self.origin: MaskOrigin | None = None if self.reads_infos else "observation" if self.positions else "none"
        self.ask: Callable[[], MaskOrigin] | None = None
        self.overlooked: str | None = None

    def seen_space(self, observation_space: gym.Space[Any], *, keep: bool = False) -> gym.Space[Any]:
        """Return the space of what the model sees of an observation.

        Without the mask that is a Dict of the other parts, or the only other part by itself unless it has parts again:
        of ``Dict(observations=Box(0, 255, (84, 84, 3), uint8), action_mask=MultiBinary(5))`` it is the picture.

        Args:
            observation_space: the environment's.
            keep: leave the only other part in its Dict, for a model that asks for it by name.
        """
        if self.shown is None:
            return observation_space
        rest = [(key, part) for key, part in (nesting.parts(observation_space) or {}).items() if key != self.key]
        is_alone = len(rest) == 1 and nesting.is_leaf(rest[0][1]) and not keep
        return rest[0][1] if is_alone else spaces.Dict(rest)

    def trained_with(self, origin: MaskOrigin) -> None:
        """Take in where the masks of a rollout come from; one without masks does not undo what one with them said."""
        if self.reads_infos and (self.origin is None or origin != "none"):
            self.origin, self.ask = origin, None

    def found_origin(self) -> MaskOrigin | None:
        """Return where masks come from, after asking who may know; None: nobody knows."""
        if self.origin is None and self.ask is not None:
            self.origin, self.ask = self.ask(), None
        return self.origin

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
        return xp(mask).holds(mask)

    def given(self, mask: Any, info: Any, count: int, *, single: bool = False, name: str = "mask") -> Bools | None:
        """Return the mask [``count``, A] that a caller gave, by itself or in ``info``, or None.

        Args:
            mask: in any form that `ActionMasks.flatten` takes; False allows everything.
            info: read where ``mask`` is None and the observation holds none: of one environment, or for several of them
                what a vector environment gives, or a list of one info each.
            count: of observations.
            single: there is one observation, and the mask has no axis of rows.
            name: what callers call ``mask``, for messages.

        Raises:
            ObservationError: the mask does not fit the action space, or the number of observations; or the policy was
                trained with masks, and neither ``mask`` nor ``info`` holds one.
            ModelError: neither model nor distribution respects it.
        """
        if mask is False:
            has_masks = bool(self.positions) or self.reads_infos
            return np.ones((count, self.width), np.bool_) if has_masks else None
        rows, place = None, name
        try:
            if mask is not None:
                rows = self.layout.flatten(mask, single=single, place=name)
            elif self.reads_infos and info is not None:
                rows, place = self._in_infos(info, count, single), f"info[{self.key!r}]"
        except ValueError as error:
            raise error if isinstance(error, ObservationError) else ObservationError(str(error)) from error
        if rows is None:
            self._require_handed_over(info, name)
            return None
        if len(rows) not in (1, count):
            raise ObservationError(
                f"{place}: expected {count} rows, one for each observation, or one for all, got {len(rows)}."
            )
        self.require_consumer()
        return np.broadcast_to(rows, (count, self.width))

    def _in_infos(self, info: Any, count: int, single: bool) -> Bools | None:
        """Return the masks [N, A] that infos hold, or None where no info holds one."""
        key, place = self.key, f"info[{self.key!r}]"
        if isinstance(info, Mapping):
            if key not in info:
                return None
            rows = self.layout.flatten(info[key], single=single, place=place)
            there = np.broadcast_to(True if single else info.get(f"_{key}", True), (len(rows),))
        elif (
            not single and isinstance(info, list | tuple | np.ndarray) and all(isinstance(one, Mapping) for one in info)
        ):
            if len(info) != count:
                raise ObservationError(f"info: expected {count} infos, one for each observation, got {len(info)}.")
            there = np.array([key in one for one in info])
            rows = np.concatenate(
                [
                    self.layout.flatten(one.get(key), single=True, place=f"info[{i}][{key!r}]")
                    for i, one in enumerate(info)
                ]
            )
        else:
            wanted = "a dict" if single else "the dict of a vector environment, or a list of dicts"
            raise ObservationError(f"info: expected {wanted}, what the environment returned, got {info!r:.80}.")
        if not there.any():
            return None
        if not there.all():
            raise ObservationError(
                f"info: that of observation {there.argmin()} holds no {key!r}, but masks come with every observation or"
                " with none; give all ones where everything is allowed."
            )
        return rows

    def _require_handed_over(self, info: Any, name: str) -> None:
        """Raise :class:`ObservationError` if the policy was trained with masks that the observation does not hold."""
        origin = self.found_origin()
        if origin not in HAND_OVER:
            return
        came = "none came" if info is None else f"`info` holds no {self.key!r}"
        raise ObservationError(
            f"{name}: {came}, but this policy is trained with the masks that {HAND_OVER[origin].format(name=name)}; or"
            f" `{name}=False` to act without a mask on purpose, which may choose what is forbidden."
        )

    def split(self, mask: Array) -> Any:
        """Return a mask [N, A] as the action distribution takes it."""
        return self.layout.split(mask)

    def observation(self, leaves: Sequence[Array]) -> Sequence[Array]:
        """Return the leaves of the observation alone."""
        return leaves[: len(self._specs)]

    def of_model(self, leaves: Sequence[L]) -> Sequence[L]:
        """Return which of the leaves of the observation, or of values for each of them, are the model's to see."""
        return leaves if self.shown is None else [leaves[i] for i in self.shown]

    def unusable(self, mask: Bools) -> Bools:
        """Return which of the masks [N, A] leave some part of the action without any choice, bool [N]."""
        return self.layout.empty_rows(mask.reshape(-1, self.width)).reshape(mask.shape[:-1])


def _flat(spec: LeafSpec, leaf: Array) -> Array:
    return xp(leaf).reshape(leaf, (*batch_shape(spec, leaf), math.prod(spec.shape)))
