from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from anyspace.distributions import Deterministic, DiagGaussian
from tests.support.frameworks import Framework


def close(ours: Any, expected: Any, tolerance: float = 1e-5) -> None:
    np.testing.assert_allclose(np.asarray(ours), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.spec(136)
def test_diag_gaussian_golden(framework: Framework) -> None:
    inputs = framework.array([[0.5, -1.0, 0.0, 0.5]])
    dist = DiagGaussian(inputs)
    close(dist.logp(framework.array([[0.0, 0.0]])), [-2.646817])
    close(dist.entropy(), [3.337877])
    close(dist.kl(DiagGaussian(framework.array([[0.0, 0.0, 0.0, 0.0]]))), [0.984141])
    close(dist.deterministic_sample(), [[0.5, -1.0]])
    close(inputs, [[0.5, -1.0, 0.0, 0.5]])


@pytest.mark.spec(136)
def test_a_space_without_axes(framework: Framework) -> None:
    dist = DiagGaussian(framework.array([[0.5, 0.0], [1.0, 0.0], [2.0, 0.0]]), action_space=gym.spaces.Box(-1, 1, ()))
    expected = [-0.938939, -1.098939, -2.043939]
    close(dist.logp(framework.array([0.3, 0.4, 0.5])), expected)
    close(dist.logp(framework.array([[0.3], [0.4], [0.5]])), expected)
    actions = dist.sample(framework.rng(0))
    assert actions.shape == (3,)
    assert dist.sampled_action_logp().shape == (3,)
    assert dist.deterministic_sample().shape == (3,)
    close(dist.logp(actions), -0.5 * (np.asarray(actions) - [0.5, 1.0, 2.0]) ** 2 - 0.918939)


@pytest.mark.parametrize("shape", [None, (6,), (2, 3)])
def test_shapes(framework: Framework, shape: tuple[int, ...] | None) -> None:
    space = None if shape is None else gym.spaces.Box(-1, 1, shape)
    dist = DiagGaussian(framework.array(np.zeros((5, 12))), None, action_space=space)
    actions = dist.sample(framework.rng(0))
    assert actions.shape == dist.deterministic_sample().shape == (5, *(shape or (6,)))
    for result in (dist.logp(actions), dist.entropy(), dist.kl(dist)):
        assert isinstance(result, framework.kind)
        assert result.shape == (5,)
    close(dist.logp(actions), dist.logp(np.asarray(actions).reshape(5, 6)))


def test_the_density_integrates_to_one() -> None:
    grid = np.linspace(-12, 12, 4001)
    dist = DiagGaussian(np.tile([0.5, 0.3], (len(grid), 1)))
    close(np.exp(dist.logp(grid[:, None])).sum() * (grid[1] - grid[0]), 1.0, 1e-9)


def test_samples_have_mean_std_entropy_and_divergence(framework: Framework) -> None:
    rows, row, other = 40_000, [0.5, -1.0, 0.3, -0.7], [0.0, -0.5, 0.1, 0.2]
    dist, second = (DiagGaussian(framework.array(np.tile(part, (rows, 1)))) for part in (row, other))
    actions = np.asarray(dist.sample(framework.rng(0)))
    std = np.exp(row[2:])
    assert np.all(np.abs(actions.mean(0) - row[:2]) < 4 * std / rows**0.5)
    assert np.all(np.abs(actions.std(0) / std - 1.0) < 0.02)
    logp, other_logp = np.asarray(dist.logp(actions)), np.asarray(second.logp(actions))
    assert abs(-logp.mean() - float(dist.entropy()[0])) < 0.02
    assert abs((logp - other_logp).mean() - float(dist.kl(second)[0])) < 0.02
    close(dist.kl(dist), np.zeros(rows))


def test_log_std_is_limited_where_asked_for(framework: Framework) -> None:
    inputs = framework.array([[0.0, 0.0, -9.0, 9.0]])
    close(DiagGaussian(inputs, log_std_clip=2.0).log_std, [[-2.0, 2.0]])
    close(DiagGaussian(inputs).log_std, [[-9.0, 9.0]])


def test_noise_drawn_ahead_is_the_noise_of_sample(framework: Framework) -> None:
    inputs = framework.array(np.random.default_rng(0).normal(size=(5, 6)))
    for dist, width in ((DiagGaussian(inputs), 3), (Deterministic(inputs), 0)):
        assert dist.draw_noise(framework.rng(3), 7).shape == (7, 5, width)
        assert dist.noise_width == width
        ahead = dist.sample_from_noise(dist.draw_noise(framework.rng(3), 1)[0])
        assert np.array_equal(ahead, dist.sample(framework.rng(3)))


def test_samples_carry_no_gradient_and_logp_does() -> None:
    inputs = torch.zeros(2, 4, requires_grad=True)
    dist = DiagGaussian(inputs)
    assert not dist.sample().requires_grad
    assert dist.sampled_action_logp().requires_grad


@settings(max_examples=40, deadline=None)
@given(arrays(np.float64, (3, 4, 4), elements=st.floats(-5, 5)))
def test_torch_equals_numpy(data: np.ndarray) -> None:
    answers = []
    for convert in (np.asarray, torch.tensor):
        first, second = DiagGaussian(convert(data[0])), DiagGaussian(convert(data[1]))
        answers.append([first.logp(convert(data[2][:, :2])), first.entropy(), first.kl(second)])
    for numpys, torchs in zip(*answers, strict=True):
        close(torchs, numpys, 1e-9)


def test_required_output_shapes() -> None:
    for shape, size in (((), 1), ((3,), 3), ((2, 3), 6)):
        space = gym.spaces.Box(-1, 1, shape)
        assert DiagGaussian.required_model_output_shape(space, {}) == 2 * size
        assert Deterministic.required_model_output_shape(space, {}) == size


@pytest.mark.parametrize("build", [DiagGaussian, Deterministic])
def test_continuous_actions_cannot_be_masked(build: Any) -> None:
    build(np.zeros((1, 2)), None, mask=None)
    with pytest.raises(ValueError, match="mask"):
        build(np.zeros((1, 2)), None, mask=np.ones((1, 2)))


def test_a_gaussian_needs_two_halves() -> None:
    with pytest.raises(ValueError, match="log-std"):
        DiagGaussian(np.zeros((1, 3)))


@pytest.mark.spec(140)
def test_deterministic(framework: Framework) -> None:
    inputs = framework.array([[0.5, -1.0], [2.0, 3.0]])
    dist = Deterministic(inputs)
    assert np.array_equal(dist.sample(framework.rng(0)), inputs)
    assert np.array_equal(dist.deterministic_sample(), inputs)
    assert np.asarray(dist.sampled_action_logp()).tolist() == [0.0, 0.0]
    assert np.asarray(dist.logp(inputs)).tolist() == [0.0, 0.0]
    shaped = Deterministic(inputs, action_space=gym.spaces.Box(-1, 1, (1, 2)))
    assert shaped.deterministic_sample().shape == (2, 1, 2)


def test_deterministic_declares_what_it_lacks() -> None:
    dist = Deterministic(np.zeros((1, 2)))
    assert not Deterministic.has_entropy
    assert not Deterministic.has_kl
    with pytest.raises(NotImplementedError, match="Deterministic has no entropy"):
        dist.entropy()
    with pytest.raises(NotImplementedError, match="Deterministic has no kl"):
        dist.kl(dist)
    with pytest.raises(AssertionError, match="sample"):
        dist.sampled_action_logp()


def test_a_deterministic_action_carries_the_gradient_of_its_inputs() -> None:
    inputs = torch.zeros(2, 3, requires_grad=True)
    assert Deterministic(inputs).sample().requires_grad
