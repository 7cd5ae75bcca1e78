import jax
import numpy as np
import pytest
import torch

from anyspace.maths import clipped_squared_error, clipped_surrogate, masked_mean, standardise
from anyspace.maths.losses import huber
from tests.support.frameworks import Framework


def test_clipped_surrogate_takes_the_smaller_of_both(framework: Framework) -> None:
    ratio = framework.array([0.5, 1.0, 1.5, 0.5, 1.0, 1.5])
    advantages = framework.array([2, 2, 2, -2, -2, -2])
    surrogate = clipped_surrogate(ratio, advantages, 0.3)
    np.testing.assert_allclose(np.asarray(surrogate), [1.0, 2.0, 2.6, -1.4, -2.0, -3.0], rtol=1e-6)


def test_clipped_surrogate_has_no_gradient_where_clipping_wins() -> None:
    ratio = torch.tensor([0.5, 1.0, 1.5, 0.5, 1.0, 1.5], requires_grad=True)
    advantages = torch.tensor([2.0, 2.0, 2.0, -2.0, -2.0, -2.0])
    clipped_surrogate(ratio, advantages, 0.3).sum().backward()
    assert ratio.grad is not None
    assert ratio.grad.tolist() == [2.0, 2.0, 0.0, 0.0, -2.0, -2.0]


def test_clipped_squared_error_limits_the_error_itself(framework: Framework) -> None:
    values, targets = framework.array([1, 2, 3]), framework.array([2, 5, -1])
    assert np.asarray(clipped_squared_error(values, targets, 10.0)).tolist() == [1.0, 9.0, 10.0]
    assert np.asarray(clipped_squared_error(values, targets)).tolist() == [1.0, 9.0, 16.0]


def test_masked_mean(framework: Framework) -> None:
    x = framework.array([[1, 2], [6, np.nan]])
    mask = framework.array([[1, 1], [1, 0]], bool)
    assert masked_mean(x, mask) == 3.0
    assert masked_mean(x, framework.array([[1, 1], [1, 0]])) == 3.0
    assert masked_mean(x, framework.array([[0, 0], [0, 0]], bool)) == 0.0
    assert masked_mean(x[0]) == 1.5
    # NumPy before 2 takes a scalar of float32 to float64.
    kind = np.clip(np.float32(1), 1.0, None).dtype if framework.name == "numpy" else np.float32
    assert np.asarray(masked_mean(x, mask)).dtype == kind


def test_masked_out_rows_reach_no_gradient() -> None:
    x = torch.tensor([1.0, torch.nan, 3.0], requires_grad=True)
    masked_mean(x**2, torch.tensor([True, False, True])).backward()
    assert x.grad is not None
    assert x.grad[[0, 2]].tolist() == [1.0, 3.0]
    gradient = jax.grad(lambda x: masked_mean(x, jax.numpy.array([1, 0, 1])))(jax.numpy.ones(3))
    np.testing.assert_allclose(gradient, [0.5, 0.0, 0.5])


def test_standardise(framework: Framework) -> None:
    data = np.random.default_rng(0).normal(3.0, 5.0, 50)
    scaled = np.asarray(standardise(framework.array(data)))
    np.testing.assert_allclose(scaled, (data - data.mean()) / data.std(), rtol=1e-4, atol=1e-5)
    mask = np.arange(50) < 40
    scaled = np.asarray(standardise(framework.array(data), framework.array(mask, bool)))
    expected = (data[:40] - data[:40].mean()) / data[:40].std()
    np.testing.assert_allclose(scaled[:40], expected, rtol=1e-4, atol=1e-5)
    assert not scaled[40:].any()


@pytest.mark.parametrize(("epsilon", "expected"), [(1e-4, 0.1), (1e-5, 1.0)])
def test_standardise_divides_by_epsilon_at_least(epsilon: float, expected: float) -> None:
    x = np.array([1.0 - 1e-5, 1.0 + 1e-5])
    np.testing.assert_allclose(standardise(x, epsilon=epsilon), [-expected, expected], rtol=1e-5)


def test_standardise_of_values_whose_squares_are_beyond_float32(framework: Framework) -> None:
    data = np.array([-3e20, 1e20, 2e20, 0.0], np.float32)
    scaled = np.asarray(standardise(framework.array(data)))
    np.testing.assert_allclose(scaled, (data / 1e20 - 0.0) / np.sqrt(3.5), rtol=1e-5, atol=1e-6)


def test_standardise_of_equal_values_is_zero(framework: Framework) -> None:
    assert not np.asarray(standardise(framework.array([2, 2, 2]))).any()


def test_huber_is_quadratic_and_then_linear(framework: Framework) -> None:
    np.testing.assert_allclose(np.asarray(huber(framework.array([0.5, -2.0, 0.0, 1.0]))), [0.125, 1.5, 0, 0.5])
    np.testing.assert_allclose(np.asarray(huber(framework.array([1.0, -5.0]), 2.0)), [0.5, 8.0])


def test_the_slope_of_huber_is_the_error_up_to_delta() -> None:
    errors = torch.tensor([0.5, -2.0, 0.0, 3.0], requires_grad=True)
    huber(errors).sum().backward()
    assert errors.grad is not None
    assert errors.grad.tolist() == [0.5, -1.0, 0.0, 1.0]


@pytest.mark.parametrize("value", [123.4, 12345.678, 3e7])
def test_standardise_of_equal_values_that_a_mean_rounds_is_zero(framework: Framework, value: float) -> None:
    found = standardise(framework.array(np.full(1000, value, np.float32)))
    np.testing.assert_allclose(np.asarray(found), 0.0, atol=1e-3)
