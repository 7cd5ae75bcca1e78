"""What a model asks to see beside the present observation.

One rule says what a look back or ahead finds outside the episode, in acting, training and bootstrapping alike: before
the episode the first observation stands in for observations, the model's initial state for states, and zeros for
everything else; after it there are zeros.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt
from gymnasium.spaces import Box

from anyspace.errors import ModelError
from anyspace.spaces import from_json, to_json

SOURCES = ("obs", "new_obs", "actions", "rewards", "terminateds", "truncateds")
"""Columns that views may read, beside the states ``state_out_i``."""

_RANGE = re.compile(r"(-?\d+):(-?\d+)(?::(\d+))?")


@dataclass
class ViewRequirement:
    """Declares that a column of the model's inputs at time t is another column at times t + shift.

    A model puts it into its ``view_requirements`` under the name of the column that it wants to see. One offset
    gives [N, ...]; several give [N, k, ...], in the order they were named.

    ``view_requirements["last_rewards"] = ViewRequirement("rewards", shift="-3:-1")`` gives the model at time t an
    ``input_dict["last_rewards"]`` of [N, 3]: the rewards of the steps t-3, t-2 and t-1. At t = 1 of an episode whose
    first reward was 5 this row is [0, 0, 5].

    Raises:
        ModelError: the shift cannot be read, or the space is none.
    """

    data_col: str | None = None
    """The column that is read: ``obs`` (preprocessed and filtered), ``new_obs`` (the observation after the step),
    ``actions`` (raw samples; nested ones flat, unless `_disable_action_flattening`), ``rewards`` (as the environment
    gave them), ``terminateds``, ``truncateds`` or ``state_out_i``. None: the view's own name."""
    space: gym.Space[Any] = field(default_factory=lambda: Box(-np.inf, np.inf, ()))
    """The space of the column's values, for readers of the model; nothing is checked against it."""
    shift: int | str | Sequence[int] | npt.NDArray[np.int64] = 0
    """An offset in steps, several, or a range ``"from:to"`` or ``"from:to:step"`` that includes its ends."""
    index: None = None
    """Accepted for old call sites."""
    batch_repeat_value: int = 1
    """Accepted for old call sites: views of states as ``state_in_i`` are taken once for every sequence."""
    used_for_compute_actions: bool = True
    """Whether the view is there when acting. Views of later steps must say False."""
    used_for_training: bool = True
    """Whether the view is there in training."""

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value.tolist() if isinstance(value, np.ndarray) else value)
        if name == "shift":
            self.__dict__.pop("offsets", None)

    def __post_init__(self) -> None:
        if self.space is None:
            self.space = Box(-np.inf, np.inf, ())
        if not isinstance(self.space, gym.Space):
            raise ModelError(
                f"ViewRequirement: the space is {self.space!r}, but expected is a space of Gymnasium. What lies outside"
                " an episode is zero, for an observation the first one; leave the space out."
            )
        if not self.offsets:
            raise ModelError(f"ViewRequirement: the shift {self.shift!r} names no step; give at least one offset.")

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        """The offsets in steps, in the order of their axis."""
        if isinstance(self.shift, str):
            found = _RANGE.fullmatch(self.shift.strip())
            if found is None or int(found[3] or 1) == 0:
                raise ModelError(
                    f"ViewRequirement: cannot read the shift {self.shift!r}; expected a number, a list of numbers,"
                    ' "from:to" as in "-3:-1", or "from:to:step".'
                )
            return tuple(range(int(found[1]), int(found[2]) + 1, int(found[3] or 1)))
        try:
            return tuple(map(operator.index, np.atleast_1d(self.shift)))
        except TypeError:
            raise ModelError(
                f"ViewRequirement: cannot read the shift {self.shift!r}; offsets are whole numbers of steps."
            ) from None

    @property
    def single(self) -> bool:
        """Whether there is one offset, and so no axis of them."""
        return len(self.offsets) == 1

    @property
    def shift_arr(self) -> npt.NDArray[np.int64]:
        """The offsets, by their old name."""
        return np.array(self.offsets)

    @property
    def shift_from(self) -> int | None:
        """The first offset of a range ``"from:to"``, or None."""
        return self.offsets[0] if isinstance(self.shift, str) else None

    @property
    def shift_to(self) -> int | None:
        """The last offset of a range ``"from:to"``, or None."""
        return self.offsets[-1] if isinstance(self.shift, str) else None

    @property
    def shift_step(self) -> int | None:
        """The steps between the offsets of a range, 1 in ``"from:to"``, or None."""
        found = _RANGE.fullmatch(self.shift.strip()) if isinstance(self.shift, str) else None
        return None if found is None else int(found[3] or 1)

    def to_dict(self) -> dict[str, Any]:
        """Return the view as a dict that JSON takes, for :meth:`from_dict`."""
        plain = {item.name: getattr(self, item.name) for item in fields(self)}
        plain["shift"] = self.shift if isinstance(self.shift, int | str) else list(self.offsets)
        return {**plain, "space": to_json(self.space)}

    @classmethod
    def from_dict(cls, d: Mapping[str, Any]) -> ViewRequirement:
        """Return the view that :meth:`to_dict` was called on."""
        return cls(**{**d, "space": None if d.get("space") is None else from_json(d["space"])})

    @property
    def lookback(self) -> int:
        """How many steps it looks back, at least 0."""
        return max(0, -min(self.offsets))
