"""Functions of tensors with the signatures of the old stack; numbers are RLlib 2.40's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete, Tuple

from anyspace._rllib.torch.tensors import (
    FLOAT_MAX,
    FLOAT_MIN,
    add_time_dimension,
    convert_to_numpy,
    convert_to_tensor,
    convert_to_torch_tensor,
    copy_torch_tensors,
    explained_variance,
    flatten,
    flatten_inputs_to_1d_tensor,
    get_fold_unfold_fns,
    get_np_dtype,
    get_variable,
    huber_loss,
    l2_loss,
    one_hot,
    reduce_mean_ignore_inf,
    sequence_mask,
    softmax_cross_entropy_with_logits,
)
from anyspace.errors import ConfigError, UnsupportedSpaceError
from anyspace.spaces import RepeatedValues


def test_float_limits_leave_no_probability_and_stay_finite():
    logits = torch.zeros(1, 2) + torch.clamp(torch.log(torch.tensor([1.0, 0.0])), FLOAT_MIN, FLOAT_MAX)
    assert logits.isfinite().all()
    torch.testing.assert_close(logits.softmax(1), torch.tensor([[1.0, 0.0]]))


def test_one_hot_of_actions():
    wanted = torch.tensor([[[0, 0, 1]], [[1, 0, 0]]])
    assert torch.equal(one_hot(torch.tensor([[2], [0]]), Discrete(3)), wanted)
    actions = torch.tensor([[1, 2], [0, 0]], dtype=torch.int32)
    assert one_hot(actions, MultiDiscrete([2, 3])).tolist() == [[0, 1, 0, 0, 1], [1, 0, 1, 0, 0]]
    # A matrix of choices, row by row.
    matrix = one_hot(torch.tensor([[[0, 1], [1, 2]]]), MultiDiscrete([[2, 2], [2, 3]]))
    assert matrix.tolist() == [[1, 0, 0, 1, 0, 1, 0, 0, 1]]
    assert matrix.dtype is torch.int64
    with pytest.raises(UnsupportedSpaceError, match="one_hot: expected Discrete or MultiDiscrete"):
        one_hot(actions, Box(-1, 1, (2,)))


def test_sequence_masks():
    lengths = torch.tensor([2, 0, 3])
    wanted = torch.tensor([[True, True, False], [False] * 3, [True] * 3])
    torch.testing.assert_close(sequence_mask(lengths), wanted)
    torch.testing.assert_close(sequence_mask(lengths, time_major=True), wanted.T)
    assert sequence_mask(lengths, 5, torch.float32).shape == (3, 5)
    assert sequence_mask(lengths, 5, torch.float32).sum() == 5


def test_add_time_dimension():
    rows = torch.arange(12.0).reshape(6, 2)
    lens = torch.tensor([3, 2])
    torch.testing.assert_close(add_time_dimension(rows, seq_lens=lens, framework="torch"), rows.reshape(2, 3, 2))
    turned = rows.reshape(2, 3, 2).transpose(0, 1)
    torch.testing.assert_close(add_time_dimension(rows, seq_lens=lens, time_major=True), turned)
    assert add_time_dimension(rows, seq_lens=None).shape == (6, 1, 2)


def test_add_time_dimension_of_older_releases():
    rows = torch.arange(12.0).reshape(6, 2)
    turned = rows.reshape(2, 3, 2).transpose(0, 1)
    torch.testing.assert_close(add_time_dimension(rows, torch.tensor([3, 2]), "torch", True), turned)
    torch.testing.assert_close(add_time_dimension(rows, 3, "torch"), rows.reshape(2, 3, 2))
    torch.testing.assert_close(add_time_dimension(rows, max_seq_len=3, framework="torch", time_major=True), turned)
    array = add_time_dimension(rows.numpy(), seq_lens=[3, 2], framework="np", time_major=True)
    np.testing.assert_array_equal(array, turned.numpy())
    with pytest.raises(ConfigError, match="framework is 'jax'"):
        add_time_dimension(rows, seq_lens=torch.tensor([3, 2]), framework="jax")


def test_folding():
    fold, unfold = get_fold_unfold_fns(2, 3, "torch")
    folded = fold({"x": torch.arange(24).reshape(2, 3, 4), "y": None})
    assert folded["x"].shape == (6, 4)
    assert folded["y"] is None
    assert torch.equal(unfold(folded)["x"], torch.arange(24).reshape(2, 3, 4))
    with pytest.raises(ConfigError, match="framework is 'tf2'"):
        get_fold_unfold_fns(2, 3, "tf2")


def test_conversions_go_through_structures():
    structure = {"a": np.zeros(2), "b": [3, np.arange(2)], "c": RepeatedValues(np.ones((1, 2)), np.array([1]), 2)}
    tensors = convert_to_torch_tensor(structure)
    assert tensors["a"].dtype is torch.float32
    assert tensors["b"][0] == torch.tensor(3)
    assert isinstance(tensors["c"].values, torch.Tensor)
    arrays = convert_to_numpy({"x": torch.ones(2, dtype=torch.float64, requires_grad=True), "n": 7, "s": "text"})
    assert (arrays["x"].dtype, arrays["n"], arrays["s"]) == (np.float32, 7, "text")
    assert convert_to_numpy(torch.tensor(3.5)) == 3.5
    assert convert_to_numpy(torch.ones(2, dtype=torch.int64)).dtype == np.int32
    assert convert_to_numpy(torch.ones(2, dtype=torch.int64), reduce_type=False).dtype == np.int64
    assert convert_to_numpy(torch.ones(2, dtype=torch.bool)).dtype == np.bool_


def test_what_has_no_tensor_stays():
    infos, texts = np.array([{}], object), np.array(["a"])
    found = convert_to_torch_tensor({"none": None, "infos": infos, "texts": texts, "half": np.ones(2, np.float16)})
    assert found["none"] is None
    assert found["infos"] is infos
    assert found["texts"] is texts
    assert found["half"].dtype is torch.float16
    assert convert_to_torch_tensor([True, 3]) == [torch.tensor(True), torch.tensor(3)]
    frozen = np.ones(2, np.float32)
    frozen.setflags(write=False)
    assert convert_to_torch_tensor(frozen, "cpu", pin_memory=True).tolist() == [1, 1]
    lists = convert_to_torch_tensor(RepeatedValues(np.ones((1, 2)), np.array([1]), 2))
    assert isinstance(lists.lengths, np.ndarray)


def test_copies_of_tensors():
    original = {"x": torch.ones(2, requires_grad=True), "y": [3]}
    copy = copy_torch_tensors(original)
    assert not copy["x"].requires_grad
    assert copy["x"].data_ptr() != original["x"].data_ptr()
    assert copy["y"] == [3]
    assert copy_torch_tensors(original, "cpu")["x"].data_ptr() != original["x"].data_ptr()


def test_other_conversions():
    assert convert_to_tensor(np.ones(2), "torch").dtype is torch.float32
    with pytest.raises(ConfigError, match="framework is 'np'"):
        convert_to_tensor(np.ones(2), "np")
    assert get_variable(3.0) == 3.0
    variable = get_variable([1.0, 2.0], framework="torch", torch_tensor=True, dtype=np.float32, trainable=True)
    assert (variable.dtype, variable.requires_grad) == (torch.float32, True)
    assert get_variable(1, torch_tensor=True, dtype=torch.float64).dtype is torch.float64
    with pytest.raises(ConfigError, match="framework is 'tf'"):
        get_variable(1.0, framework="tf")
    assert get_np_dtype(torch.ones(1)) is np.float32
    assert get_np_dtype(np.ones(1)) == np.float64
    with pytest.raises(TypeError, match="got int"):
        get_np_dtype(3)
    assert flatten(torch.ones(2, 3, 4), "torch").shape == (2, 12)


def test_nested_inputs_side_by_side():
    """The numbers are those of RLlib's page."""
    inputs = {
        "b": torch.tensor([1, 3]),
        "a": (torch.tensor([[1.0, 2.0], [4.0, 5.0]]), torch.tensor([[[8.0], [7.0]], [[5.0], [4.0]]])),
    }
    kinds = {"b": Discrete(4), "a": Tuple([Box(-1, 10, (2,)), Box(-1, 10, (2, 1))])}
    wanted = [[1, 2, 8, 7, 0, 1, 0, 0], [4, 5, 5, 4, 0, 0, 0, 1]]
    assert flatten_inputs_to_1d_tensor(inputs, kinds).tolist() == wanted
    assert flatten_inputs_to_1d_tensor(inputs, Dict(kinds)).tolist() == wanted
    assert flatten_inputs_to_1d_tensor(inputs).tolist() == [[1, 2, 8, 7, 1], [4, 5, 5, 4, 3]]
    steps = {"m": torch.zeros(2, 3, 2), "x": torch.ones(2, 3)}
    found = flatten_inputs_to_1d_tensor(steps, {"m": MultiDiscrete([2, 3]), "x": Box(0, 1, ())}, time_axis=True)
    assert found.tolist() == [[[1, 0, 1, 0, 0, 1]] * 3] * 2


def test_losses_of_old_files():
    x = torch.tensor([[-3.0, 0.5], [0.0, 2.0]])
    assert huber_loss(x).tolist() == [[2.5, 0.125], [0, 1.5]]
    assert huber_loss(x, 2.0)[0, 0] == 4
    assert l2_loss(x) == pytest.approx((9 + 0.25 + 4) / 2)
    masked = torch.tensor([[1.0, FLOAT_MIN], [3.0, 5.0]])
    assert reduce_mean_ignore_inf(masked, 1).tolist() == [1, 4]
    assert reduce_mean_ignore_inf(masked) == 3
    lowest = torch.tensor([[1.0, -torch.inf], [3.0, 5.0]])
    assert reduce_mean_ignore_inf(lowest, 1).tolist() == [1, 4]
    labels = torch.tensor([[1.0, 0.0], [0.25, 0.75]])
    expected = [-torch.log_softmax(x[0], 0)[0], -(labels[1] * torch.log_softmax(x[1], 0)).sum()]
    torch.testing.assert_close(softmax_cross_entropy_with_logits(x, labels), torch.stack(expected))


def test_explained_variance_has_a_floor():
    y = torch.tensor([0.5, -1.0, 2.0])
    assert explained_variance(y, y) == pytest.approx(1.0)
    assert explained_variance(y, -10 * y) == -1.0
    assert explained_variance(y, torch.tensor([3.0, 0.25, -0.5])) == -1.0
    assert explained_variance(y, 0.5 * y) == pytest.approx(0.75, abs=1e-5)
    assert explained_variance(torch.ones(3), torch.ones(3)) == 1.0
