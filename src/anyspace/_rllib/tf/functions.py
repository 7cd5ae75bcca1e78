"""Functions of RLlib's ``utils.tf_utils`` that files of the old stack use.

Letters: B rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import tensorflow as tf
from gymnasium import spaces

from anyspace import tree
from anyspace._rllib import side_by_side
from anyspace.errors import UnsupportedSpaceError
from anyspace.maths.xp import Array, xp
from anyspace.tree import Tree


def explained_variance(y: Array, pred: Array) -> Array:
    """Return the share of the variance of ``y`` [B] that predictions account for, at least -1."""
    variance = tf.math.reduce_variance(y, axis=[0])
    unexplained = tf.math.reduce_variance(y - pred, axis=[0])
    return tf.maximum(-1.0, 1.0 - unexplained / (variance + 1e-6))


def flatten_inputs_to_1d_tensor(inputs: Tree, spaces_struct: Tree | None = None, time_axis: bool = False) -> Array:
    """Return nested inputs [B, ...] side by side, float32 [B, F]; [B, T, ...] as [B, T, F] with ``time_axis``.

    Args:
        inputs: nested arrays, indices where the space is Discrete or MultiDiscrete.
        spaces_struct: the space, or its leaves nested like the inputs: Discrete and MultiDiscrete become one-hot. None
            takes all numbers as they are. Parts of dicts are taken in the order of their sorted keys.
        time_axis: whether a second axis is one of time.
    """
    axes = 2 if time_axis else 1

    def flat(part: Any) -> Array:
        array = tf.cast(part, tf.float32)
        width = int(np.prod(array.shape[axes:]))
        return tf.reshape(array, tf.concat([tf.shape(array)[:axes], [width]], 0))

    return tf.concat([flat(part) for part in side_by_side.parts(inputs, spaces_struct, one_hot)], -1)


def get_gpu_devices() -> list[str]:
    """Return the names of the devices that are no CPU."""
    return [one.name for one in tf.config.list_physical_devices() if "CPU" not in one.device_type]


def huber_loss(x: Array, delta: float = 1.0) -> Array:
    """Return x^2 / 2 where |x| is at most ``delta``, and delta (|x| - delta / 2) beyond."""
    x = tf.convert_to_tensor(x)
    return xp(x).huber(x, delta)


def l2_loss(x: Array) -> Array:
    """Return half the sum of squares."""
    return 0.5 * tf.reduce_sum(tf.square(x))


def symlog(x: Array) -> Array:
    """Return sign(x) log(|x| + 1)."""
    return tf.sign(x) * tf.math.log(tf.abs(x) + 1)


def inverse_symlog(y: Array) -> Array:
    """Undo `symlog`."""
    return tf.sign(y) * (tf.exp(tf.abs(y)) - 1)


def two_hot(
    value: Array, num_buckets: int = 255, lower_bound: float = -20.0, upper_bound: float = 20.0, dtype: Any = None
) -> Array:
    """Return numbers [B] as weights of the two buckets beside each, [B, ``num_buckets``]."""
    value = tf.cast(value, dtype or tf.float32)
    places = (tf.clip_by_value(value, lower_bound, upper_bound) - lower_bound) / (upper_bound - lower_bound)
    places = places[:, None] * (num_buckets - 1)
    return tf.maximum(0.0, 1.0 - tf.abs(places - tf.range(num_buckets, dtype=places.dtype)))


def minimize_and_clip(
    optimizer: Any, objective: Callable[[], Array], var_list: Sequence[Any], clip_val: float = 10.0
) -> list[tuple[Array, Any]]:
    """Return the gradients of an objective, each clipped to a norm of ``clip_val``, beside their variables.

    Args:
        optimizer: accepted for old call sites; ``optimizer.apply_gradients`` takes what is returned.
        objective: a function of no arguments, which is recorded.
        var_list: the variables.
        clip_val: the largest norm; None does not clip.
    """
    with tf.GradientTape() as tape:
        loss = objective()
    gradients = tape.gradient(loss, var_list)
    return [
        (gradient if clip_val is None else tf.clip_by_norm(gradient, clip_val), variable)
        for gradient, variable in zip(gradients, var_list, strict=True)
        if gradient is not None
    ]


def one_hot(x: Array, space: gym.Space[Any]) -> Array:
    """Return actions [...] of a Discrete one-hot, float32 [..., n]; [..., *shape] of a MultiDiscrete as [..., sum(n)].

    Args:
        x: indices counted from 0, as models and losses see actions.
        space: the action space.

    Raises:
        UnsupportedSpaceError: the space is neither.
    """
    choices = tf.cast(x, tf.int64)
    match space:
        case spaces.Discrete():
            return tf.one_hot(choices, int(space.n), dtype=tf.float32)
        case spaces.MultiDiscrete():
            components = [(choices[(..., *place)], int(n)) for place, n in np.ndenumerate(space.nvec)]
            return tf.concat([tf.one_hot(component, n, dtype=tf.float32) for component, n in components], -1)
    raise UnsupportedSpaceError(f"one_hot: expected Discrete or MultiDiscrete, got {space}.")


def reduce_mean_ignore_inf(x: Array, axis: int | None = None) -> Array:
    """Return the mean over ``axis``, or over everything, of what is above -3.4e38: masked actions have less."""
    there = ~(x <= -3.4e38)  # of NaN as well: it shows in the mean
    numbers = tf.where(there, x, tf.zeros_like(x))
    return tf.reduce_sum(numbers, axis) / tf.reduce_sum(tf.cast(there, x.dtype), axis)


def zero_logps_from_actions(actions: Tree) -> Array:
    """Return zeros [B]."""
    first = tree.leaves(actions)[0]
    return tf.zeros(tf.shape(first)[:1], tf.float32)
