"""Rewards and flags of vector environments, which have to be one number and one boolean for each environment."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from anyspace.data.contract import described
from anyspace.data.trajectory import Bools, Floats
from anyspace.errors import EnvironmentSetupError


def rewards_of(rewards: Any, shape: tuple[int, ...], name: str) -> Floats:
    """Return the rewards of a step as float32 [B].

    Args:
        rewards: numbers [B] or [B, 1].
        shape: (B,).
        name: of the vector environment, for messages.

    Raises:
        EnvironmentSetupError: they are something else.
    """
    if type(rewards) is np.ndarray and rewards.shape == shape and rewards.dtype.kind in "fiub":
        return np.asarray(rewards, np.float32)
    array = _array(rewards)
    if array is None or array.size != shape[0]:
        several = array is not None and array.ndim == 2 and array.shape[0] == shape[0]
        advice = " Weigh several objectives in a wrapper, as mo_gymnasium's LinearReward does." if several else ""
        raise EnvironmentSetupError(
            f"{name}.step() returned {described(rewards)} as its rewards, but they are one number for each of"
            f" {shape[0]} environments.{advice}"
        )
    return array.reshape(shape).astype(np.float32)


def flags_of(flags: Any, shape: tuple[int, ...], name: str, flag: str) -> Bools:
    """Return ``terminated`` or ``truncated`` of a step as booleans [B]; 0 and 1 are booleans.

    Args:
        flags: booleans [B] or [B, 1].
        shape: (B,).
        name: of the vector environment, for messages.
        flag: which of the two.

    Raises:
        EnvironmentSetupError: they are something else.
    """
    if type(flags) is np.ndarray and flags.dtype == np.bool_ and flags.shape == shape:
        return flags
    array = _array(flags)
    if array is None or array.size != shape[0] or not np.isin(array, (0, 1)).all():
        raise EnvironmentSetupError(
            f"{name}.step() returned {described(flags)} as `{flag}`, but it is True or False for each of {shape[0]}"
            " environments."
        )
    return array.reshape(shape).astype(np.bool_)


def _array(values: Any) -> npt.NDArray[Any] | None:
    """Return numbers as an array, None where they are none."""
    try:
        array = np.asarray(values)
    except Exception:  # NumPy fails at uneven lists, and frameworks at arrays that live on a device
        return None
    return array if array.dtype.kind in "biuf" else None
