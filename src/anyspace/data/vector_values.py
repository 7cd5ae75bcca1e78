"""What vector environments have to be: open, with one number and one boolean for each environment in a step."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium.vector import VectorEnv

from anyspace.data.contract import described
from anyspace.data.trajectory import Bools, Floats
from anyspace.errors import EnvironmentSetupError

LARGEST = float(np.finfo(np.float32).max)
"""How large a reward may be."""


def checked(
    rewards: Any, terminated: Any, truncated: Any, shape: tuple[int, ...], name: str
) -> tuple[Floats, Bools, Bools]:
    """Return the rewards of a step as float32 [B], and its flags as booleans [B]; 0 and 1 are booleans.

    Args:
        rewards: numbers [B] or [B, 1].
        terminated: booleans [B] or [B, 1].
        truncated: booleans [B] or [B, 1].
        shape: (B,).
        name: of the vector environment, for messages.

    Raises:
        EnvironmentSetupError: they are something else, or a reward is too large for float32.
    """
    if not (type(rewards) is np.ndarray and rewards.shape == shape and rewards.dtype.kind in "fiub"):
        rewards = _numbers(rewards, shape, name)
    if not (type(terminated) is np.ndarray and terminated.dtype == np.bool_ and terminated.shape == shape):
        terminated = _flags(terminated, shape, name, "terminated")
    if not (type(truncated) is np.ndarray and truncated.dtype == np.bool_ and truncated.shape == shape):
        truncated = _flags(truncated, shape, name, "truncated")
    try:
        with np.errstate(over="raise"):
            return np.asarray(rewards, np.float32), terminated, truncated
    except FloatingPointError:
        (row,) = np.flatnonzero(np.isfinite(rewards) & (np.abs(rewards) > LARGEST))[:1]
        raise EnvironmentSetupError(f"environment {row}: {too_large(rewards[row])}") from None


def too_large(reward: float) -> str:
    """Say that a finite reward is too large to be kept."""
    return f"the reward is {reward}, but rewards are kept in float32, which holds none beyond {LARGEST:.3g}: scale it."


def _numbers(rewards: Any, shape: tuple[int, ...], name: str) -> npt.NDArray[Any]:
    array = _array(rewards)
    if array is not None and array.size == shape[0]:
        return array.reshape(shape)
    several = array is not None and array.ndim == 2 and array.shape[0] == shape[0]
    advice = " Weigh several objectives in a wrapper, as mo_gymnasium's LinearReward does." if several else ""
    raise EnvironmentSetupError(
        f"{name}.step() returned {described(rewards)} as its rewards, but they are one number for each of"
        f" {shape[0]} environments.{advice}"
    )


def _flags(flags: Any, shape: tuple[int, ...], name: str, flag: str) -> Bools:
    array = _array(flags)
    if array is not None and array.size == shape[0] and np.isin(array, (0, 1)).all():
        return array.reshape(shape).astype(np.bool_)
    raise EnvironmentSetupError(
        f"{name}.step() returned {described(flags)} as `{flag}`, but it is True or False for each of {shape[0]}"
        " environments."
    )


def _array(values: Any) -> npt.NDArray[Any] | None:
    """Return numbers as an array, None where they are none."""
    try:
        array = np.asarray(values)
    except Exception:  # NumPy fails at uneven lists, and frameworks at arrays that live on a device
        return None
    return array if array.dtype.kind in "biuf" else None


def require_open(envs: VectorEnv[Any, Any, Any]) -> None:
    """Raise :class:`EnvironmentSetupError` for a vector environment that is closed, such as one that a user gave."""
    if envs.unwrapped.closed:
        raise EnvironmentSetupError(
            f"the vector environment {type(envs.unwrapped).__name__} is closed: close() of an algorithm closes the one"
            " that was given, and no other can be made of it. Give what makes its environments, an id, a class or a"
            " function, or load the algorithm with a new one: Algorithm.load(path, env=...)."
        )
