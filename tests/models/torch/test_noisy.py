"""Noisy linear layers against noise drawn by hand."""

import math

import numpy as np
import pytest
import torch

from anyspace.models.torch.noisy import NoisyLinear
from tests.support.torch_nets import draw, shuffled


def source(seed=3):
    return torch.Generator().manual_seed(seed)


def test_a_pass_is_a_linear_map_of_perturbed_weights():
    layer, x = shuffled(NoisyLinear(4, 3, 0.5)), draw(5, 4)
    y = layer(x, source()).detach()
    rng = source()
    e_in, e_out = torch.randn(4, generator=rng).numpy(), torch.randn(3, generator=rng).numpy()
    w, b, s_w, s_b = (value.detach().numpy() for value in layer.parameters())
    squashed = [np.array([math.copysign(math.sqrt(abs(e)), e) for e in factor]) for factor in (e_in, e_out)]
    expected = x.numpy() @ (w + s_w * np.outer(squashed[1], squashed[0])).T + b + s_b * squashed[1]
    np.testing.assert_allclose(y, expected, atol=1e-5)


def test_noise_is_new_in_every_pass_and_shared_by_its_rows():
    layer, x = shuffled(NoisyLinear(4, 3, 0.5)), draw(1, 4).expand(6, 4)
    rng = source()
    first, second, again = layer(x, rng), layer(x, rng), layer(x, source())
    torch.testing.assert_close(first, first[:1].expand(6, 3))
    assert (first != second).any(dim=1).all()
    torch.testing.assert_close(first, again)


@pytest.mark.parametrize("training", [True, False])
def test_noise_is_there_in_both_modes_unless_it_is_left_out(training):
    layer, x = shuffled(NoisyLinear(4, 3, 0.5)).train(training), draw(5, 4)
    assert (layer(x) != layer(x)).any()
    torch.testing.assert_close(layer(x, False), x @ layer.weight.T + layer.bias)
    torch.testing.assert_close(layer(x, False), layer(x, False))


def test_mean_and_variance_over_the_noise():
    layer, x = shuffled(NoisyLinear(4, 3, 0.5)), draw(1, 4)
    rng = source()
    passes = torch.cat([layer(x, rng) for _ in range(10_000)]).detach().double()
    # f(e)^2 = |e|, whose mean is sqrt(2 / pi); f(e) itself has mean 0.
    half = math.sqrt(2 / math.pi)
    variance = half * (half * layer.sigma_weight**2 @ x[0] ** 2 + layer.sigma_bias**2)
    assert ((passes.mean(0) - layer(x, False)[0]).abs() < 5 * (variance / 10_000).sqrt()).all()
    torch.testing.assert_close(passes.var(0).float(), variance, rtol=0.1, atol=0)


@pytest.mark.parametrize("sigma0", [0.5, 2.0, 0.0])
def test_initial_weights_are_each_their_own(sigma0):
    torch.manual_seed(0)
    layer = NoisyLinear(100, 200, sigma0)
    bound = math.sqrt(6 / (100 + 200))
    assert bound * 0.99 < layer.weight.abs().max() <= bound
    assert layer.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.02)
    assert layer.weight.unique().numel() > 19_000
    assert layer.sigma_weight.abs().max() <= 0.1
    assert layer.sigma_weight.std().item() == pytest.approx(0.1 / math.sqrt(3), rel=0.02)
    torch.testing.assert_close(layer.sigma_bias, torch.full((200,), sigma0 / 10))
    assert not layer.bias.any()


def test_gradients_reach_weights_and_sizes():
    layer = NoisyLinear(4, 3, 0.5)
    layer(draw(5, 4)).square().sum().backward()
    assert len(list(layer.parameters())) == 4
    assert all(value.grad.all() for value in layer.parameters())
