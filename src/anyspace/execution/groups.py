"""Groups of parameters: how what one loss trains is moved."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from anyspace.errors import ConfigError

Optimiser = Literal["adam", "rmsprop", "sgd"]

GROUP_METRICS = ("grad_norm", "lr")
"""What is reported of each group; see :func:`metric_name`."""


@dataclass(frozen=True)
class Group:
    """How the parameters that one loss trains are moved.

    Which parameters they are says the model (``ModelV2.group_of``); by default all belong to the first group.
    """

    lr: Callable[[int], float]
    """Learning rate by the number of sampled environment steps."""
    optimiser: Optimiser = "adam"
    """Adam (Kingma and Ba, 2015), RMSProp (Tieleman and Hinton, 2012) or plain gradient descent."""
    grad_clip: float | None = None
    """Largest global norm of the group's gradients; None does not clip."""
    epsilon: float = 1e-8
    """Stabiliser of Adam and RMSProp, above 0."""
    decay: float = 0.99
    """RMSProp's share of the old squared gradients, in [0, 1)."""
    momentum: float = 0.0
    """Of RMSProp and plain gradient descent, in [0, 1)."""

    def __post_init__(self) -> None:
        if not callable(self.lr):
            raise ConfigError(
                f"Group(lr=...) takes a function of the number of sampled steps, but {self.lr!r} came: write"
                f" `lambda steps: {self.lr!r}`; super().groups() holds one that goes by `lr_schedule`."
            )
        known, clip = get_args(Optimiser), self.grad_clip
        self._require(
            self.optimiser in known, "optimiser", f"it is {', '.join(map(repr, known[:-1]))} or {known[-1]!r}"
        )
        self._require(clip is None or _is_above(clip), "grad_clip", "it must be above 0; None does not clip")
        self._require(_is_above(self.epsilon), "epsilon", "it must be above 0")
        for name in ("decay", "momentum"):
            value = getattr(self, name)
            self._require(isinstance(value, int | float) and 0 <= value < 1, name, "it lies in [0, 1)")

    def _require(self, holds: bool, name: str, expected: str) -> None:
        if not holds:
            raise ConfigError(f"Group({name}={getattr(self, name)!r}): {expected}.")

    @property
    def kinds(self) -> list[str]:
        """What the optimiser keeps of each number, as PyTorch names it."""
        if self.optimiser == "adam":
            return ["exp_avg", "exp_avg_sq"]
        return ["momentum"] * bool(self.momentum) + ["square_avg"] * (self.optimiser == "rmsprop")

    def rate(self, name: str, timestep: int) -> float:
        """Return the learning rate at ``timestep`` sampled environment steps, a finite number of at least 0.

        Args:
            name: the group's, for messages.
            timestep: how many steps were sampled.

        Raises:
            ConfigError: ``lr`` returned something else.
        """
        rate: object = self.lr(timestep)
        if isinstance(rate, bool) or not isinstance(rate, int | float | np.number):
            raise ConfigError(
                f"the learning rate of the group {name!r} must be a plain number, but Group(lr=...) returned"
                f" {rate!r} at {timestep} sampled steps."
            )
        if not 0 <= rate < math.inf:
            raise ConfigError(
                f"the learning rate of the group {name!r} must be a finite number of at least 0, but Group(lr=...)"
                f" returned {rate!r} at {timestep} sampled steps."
            )
        return float(rate)


class Rated:
    """The base of learners: groups, and the learning rate of each.

    Args:
        groups: by name.
    """

    def __init__(self, groups: Mapping[str, Group]):
        self.groups = dict(groups)
        self._rates: dict[str, float] = {}

    def at(self, timestep: int) -> None:
        """Take in how many environment steps were sampled so far."""
        self._rates = {name: group.rate(name, timestep) for name, group in self.groups.items()}

    def learning_rates(self) -> dict[str, float]:
        """Return the present learning rate of each group."""
        return dict(self._rates)


def metric_name(kind: str, group: str, groups: Collection[str]) -> str:
    """Return what a number of a group is reported as: ``lr``, and of several groups ``lr_critic``."""
    return kind if len(groups) == 1 else f"{kind}_{group}"


def _is_above(value: object) -> bool:
    return isinstance(value, int | float) and value > 0
