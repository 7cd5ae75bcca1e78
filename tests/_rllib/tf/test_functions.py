"""Functions of old files on TensorFlow: what those of PyTorch and NumPy return."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import tensorflow as tf
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Tuple

from anyspace import tree
from anyspace._rllib import arrays
from anyspace._rllib.tf import functions
from anyspace._rllib.torch import tensors as torch_functions
from anyspace.errors import UnsupportedSpaceError
from anyspace.tree import Tree

ROW = np.array([[0.5, -0.5]], np.float32)


@pytest.mark.parametrize(
    ("space", "inputs", "expected"),
    [
        (Dict({"a": Discrete(3), "b": Box(-1, 1, (2,))}), {"b": ROW, "a": np.array([2])}, [0, 0, 1, 0.5, -0.5]),
        (Tuple([MultiBinary(2), Discrete(2)]), (np.array([[0, 1]]), np.array([1])), [0, 1, 0, 1]),
        (Box(5, 7, (1,), np.int64), np.array([[6]]), [6]),
        (MultiDiscrete([[2, 3], [2, 2]]), np.array([[[1, 2], [0, 1]]]), [0, 1, 0, 0, 1, 1, 0, 0, 1]),
    ],
)
def test_inputs_side_by_side_are_those_of_other_frameworks(
    space: gym.Space[Any], inputs: Tree, expected: list[float]
) -> None:
    for framework in (functions, arrays):
        found = framework.flatten_inputs_to_1d_tensor(inputs, space)
        np.testing.assert_array_equal(found, [expected])
        assert found.dtype == np.float32
    tensors = tree.map_leaves(torch.as_tensor, inputs)
    assert torch_functions.flatten_inputs_to_1d_tensor(tensors, space).tolist() == [expected]


def test_steps_side_by_side_of_unknown_numbers() -> None:
    space = {"x": Box(-1, 1, (2, 2)), "d": Discrete(2)}
    signature = {"x": tf.TensorSpec([None, None, 2, 2]), "d": tf.TensorSpec([None, None], tf.int64)}
    traced = tf.function(
        lambda inputs: functions.flatten_inputs_to_1d_tensor(inputs, space, time_axis=True),
        input_signature=[signature],
    )
    found = traced({"x": tf.ones((2, 3, 2, 2)), "d": tf.zeros((2, 3), tf.int64)})
    assert found.numpy().tolist() == [[[1, 0, 1, 1, 1, 1]] * 3] * 2


def test_one_hot_is_of_choices() -> None:
    with pytest.raises(UnsupportedSpaceError, match=r"expected Discrete or MultiDiscrete, got MultiBinary"):
        functions.one_hot(tf.constant([[0, 1]]), MultiBinary(2))


@pytest.mark.parametrize("masked", [-np.inf, float(torch_functions.FLOAT_MIN), float(np.finfo(np.float32).min)])
def test_means_leave_out_what_is_masked(masked: float) -> None:
    numbers = [[1.0, masked], [3.0, 5.0]]
    assert functions.reduce_mean_ignore_inf(tf.constant(numbers), 1).numpy().tolist() == [1, 4]
    assert torch_functions.reduce_mean_ignore_inf(torch.tensor(numbers), 1).tolist() == [1, 4]
    for wrong in (np.inf, np.nan):
        assert not np.isfinite(functions.reduce_mean_ignore_inf(tf.constant([1.0, wrong])))
