"""Cells hold numbers that change between gradient steps, and a compiled step takes them for arguments."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest
import torch

from anyspace.maths.cell import Cell
from anyspace.models.torch.runtime import TorchRuntime
from tests.support.frameworks import Framework


def test_a_number_is_kept_as_float64() -> None:
    cell = Cell(1)
    assert (float(cell), cell.host.dtype, cell.host.shape) == (1.0, np.float64, ())
    cell.assign(np.float32(0.1))
    assert (float(cell), cell.host.dtype) == (float(np.float32(0.1)), np.float64)
    assert cell.value == cell.host


def test_an_array_is_kept_as_it_is() -> None:
    given = np.array([1, 2], np.float32)
    cell = Cell(given)
    given[:] = 7
    assert (cell.host.dtype, cell.host.tolist()) == (np.float32, [1, 2])


def test_a_value_is_placed_once_and_anew_after_it_changed(framework: Framework) -> None:
    placed: list[Any] = []

    def place(host: Any) -> Any:
        placed.append(host.tolist())
        return framework.array(host)

    cell = Cell(np.array([1.0, 2.0]), place)
    assert placed == [], "nobody has read it yet"
    first = cell.value
    assert isinstance(first, framework.kind)
    assert cell.value is first
    cell.assign(np.array([3.0, 4.0]))
    assert np.asarray(cell.value).tolist() == [3, 4]
    assert np.asarray(first).tolist() == [1, 2], "what was read before stays"
    assert placed == [[1, 2], [3, 4]]


def test_a_bound_argument_is_read_instead() -> None:
    cell = Cell(2.0)
    argument = torch.tensor(5.0)
    cell.bind(argument)
    assert cell.value is argument
    cell.assign(3.0)
    assert cell.value is argument
    assert float(cell) == 3, "the host's value is the truth"
    cell.bind(None)
    assert cell.value == 3


def test_a_compiled_step_is_not_compiled_anew() -> None:
    cell, traces = Cell(2.0, jax.numpy.asarray), []

    @jax.jit
    def step(argument: Any, x: Any) -> Any:
        traces.append(1)
        cell.bind(argument)
        try:
            return cell.value * x
        finally:
            cell.bind(None)

    for value in (2.0, 3.0, 4.5):
        cell.assign(value)
        assert float(step(cell.value, 2.0)) == 2 * value
    assert len(traces) == 1


@pytest.mark.parametrize("value", [0.3, np.array([[1.5, 2.5]], np.float32)], ids=["number", "array"])
def test_a_restored_cell_has_the_same_value(value: Any) -> None:
    cell, other = Cell(value), Cell(np.zeros_like(value))
    state = cell.state()
    cell.assign(np.zeros_like(value))
    other.value  # noqa: B018
    other.load_state(state)
    for found in (other.host, other.value):
        assert found.dtype == np.asarray(value).dtype
        np.testing.assert_array_equal(found, value)


def test_pytorch_reads_numbers_and_tensors() -> None:
    runtime = TorchRuntime("cpu")
    number, array = runtime.cell(0.5), runtime.cell(np.array([2.0, 3.0], np.float32))
    with runtime.acting():
        assert type(number.value) is float
        assert torch.equal(array.value, torch.tensor([2.0, 3.0]))
    weights = torch.ones(2, requires_grad=True)
    (weights * array.value * number.value).sum().backward()
    assert weights.grad is not None
    assert weights.grad.tolist() == [1, 1.5], "first read while acting, it serves gradients all the same"
