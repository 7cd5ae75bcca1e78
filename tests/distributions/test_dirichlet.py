import math
from typing import Any

import jax
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from anyspace.distributions import Beta, Dirichlet
from anyspace.spaces import Simplex
from tests.support.frameworks import Framework

ROW = [0.0, 1.0, -1.0]


def close(ours: Any, expected: Any, tolerance: float = 1e-5) -> None:
    np.testing.assert_allclose(np.asarray(ours), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.spec(139)
def test_dirichlet_golden(framework: Framework) -> None:
    dist = Dirichlet(framework.array([ROW]))
    close(dist.logp(framework.array([[0.2, 0.5, 0.3]])), [0.138712])
    close(dist.entropy(), [-2.33941])
    close(dist.deterministic_sample(), [np.exp(ROW) / np.exp(ROW).sum()])
    close(dist.kl(dist), [0.0])


def test_the_density_integrates_to_one() -> None:
    points = (np.arange(400) + 0.5) / 400
    first, second = (part.ravel() for part in np.meshgrid(points, points))
    inside = first + second < 1
    shares = np.stack([first, second, 1 - first - second], -1)[inside]
    dist = Dirichlet(np.tile([0.5, 1.0, 0.7], (len(shares), 1)))
    close(np.exp(dist.logp(shares)).sum() / 400**2, 1.0, 2e-3)


def test_two_shares_are_a_beta_distribution() -> None:
    inputs = np.array([[0.5, -1.0, 0.0, 0.5]])
    alpha, beta = np.split(1 + np.log1p(np.exp(inputs)), 2, axis=1)
    shares = np.array([[0.2, 0.7]])
    pairs = [Dirichlet(np.log(np.stack([alpha[:, i], beta[:, i]], -1))) for i in range(2)]
    values = [np.stack([shares[:, i], 1 - shares[:, i]], -1) for i in range(2)]
    close(sum(pair.logp(value) for pair, value in zip(pairs, values, strict=True)), Beta(inputs).logp(shares))
    close(sum(pair.entropy() for pair in pairs), Beta(inputs).entropy())


@pytest.mark.parametrize("row", [[0.0, 1.0, -1.0], [-4.0, -5.0, -4.5], [5.0, 2.0, -3.0]], ids=["even", "rare", "sharp"])
def test_samples_have_the_moments_of_the_distribution(framework: Framework, row: list[float]) -> None:
    rows, concentration = 40_000, np.exp(row)
    mean, total = concentration / concentration.sum(), concentration.sum()
    std = np.sqrt(mean * (1 - mean) / (total + 1))
    shares = np.asarray(Dirichlet(framework.array(np.tile(row, (rows, 1)))).sample(framework.rng(0)))
    assert (np.abs(shares.mean(0) - mean) < 4.5 * std / rows**0.5 + 1e-6).all()
    assert (np.abs(shares.std(0) - std) < 0.03 * std + 1e-3).all()


def test_entropy_and_divergence_are_means_over_samples() -> None:
    ours, others = (Dirichlet(np.tile(row, (40_000, 1))) for row in ([0.5, 1.0, 0.2], [1.0, 0.0, -0.5]))
    shares = ours.sample(np.random.default_rng(0))
    logp = ours.logp(shares)
    assert abs(-logp.mean() - ours.entropy()[0]) < 0.02
    assert abs((logp - others.logp(shares)).mean() - ours.kl(others)[0]) < 0.02


def test_rows_of_a_space_are_separate_wholes(framework: Framework) -> None:
    inputs, others = np.random.default_rng(0).normal(size=(2, 5, 6))
    space = Simplex((2, 3))
    assert Dirichlet.required_model_output_shape(space, {}) == 6
    ours, other = (Dirichlet(framework.array(part), action_space=space) for part in (inputs, others))
    actions = ours.sample(framework.rng(0))
    assert actions.shape == ours.deterministic_sample().shape == (5, 2, 3)
    close(np.asarray(actions).sum(-1), np.ones((5, 2)))
    values = np.asarray(actions)
    mine, theirs = ([Dirichlet(part[:, :3]), Dirichlet(part[:, 3:])] for part in (inputs, others))
    expected = sum(row.logp(values[:, i]) for i, row in enumerate(mine))
    close(ours.logp(actions), expected, 1e-4)
    close(ours.logp(values.reshape(5, 6)), expected, 1e-4)
    close(ours.entropy(), sum(row.entropy() for row in mine), 1e-4)
    close(ours.kl(other), sum(a.kl(b) for a, b in zip(mine, theirs, strict=True)), 1e-4)


@pytest.mark.parametrize("size", [1.0, 10.0, 1000.0])
def test_samples_are_shares_and_likely(framework: Framework, size: float) -> None:
    inputs = framework.array(size * np.random.default_rng(0).standard_normal((3, 500, 4)))
    dist = Dirichlet(inputs)
    for actions in (dist.sample(framework.rng(0)), dist.deterministic_sample()):
        assert isinstance(actions, framework.kind)
        shares = np.asarray(actions)
        assert shares.dtype == np.float32
        assert shares.shape == (3, 500, 4)
        assert (shares > 0).all()
        close(shares.sum(-1), np.ones((3, 500)))
        assert np.isfinite(np.asarray(dist.logp(actions))).all()
        assert dist.logp(actions).dtype == inputs.dtype
    for answer in (dist.entropy(), dist.kl(dist)):
        assert np.isfinite(np.asarray(answer)).all()
        assert answer.shape == (3, 500)


def test_one_share_is_the_whole(framework: Framework) -> None:
    dist = Dirichlet(framework.array([[0.3], [-2.0]]))
    assert np.asarray(dist.sample(framework.rng(0))).tolist() == [[1.0], [1.0]]
    close(dist.sampled_action_logp(), [0.0, 0.0])
    close(dist.entropy(), [0.0, 0.0])


def test_shares_of_zero_count_as_the_smallest(framework: Framework) -> None:
    dist = Dirichlet(framework.array([ROW]))
    close(dist.logp([[0.0, 0.4, 0.6]]), dist.logp([[1e-7, 0.4, 0.6]]))
    close(dist.logp([[0.4, 1.0, 0.6]]), dist.logp([[0.2, 0.5, 0.3]]))


def test_large_concentrations_lose_no_precision() -> None:
    """In float32 the terms of these log-densities, up to 1e7, would be off by 1."""
    inputs = np.array([[13.0, 12.5, 12.0]])
    exact = Dirichlet(inputs)
    shares = exact.sample(np.random.default_rng(0)).astype(np.float32)
    for narrow in (inputs.astype(np.float32), torch.tensor(inputs, dtype=torch.float32)):
        close(Dirichlet(narrow).logp(shares), exact.logp(shares), 1e-3)
        close(Dirichlet(narrow).entropy(), exact.entropy(), 1e-5)


def textbook(ours: np.ndarray, others: np.ndarray, shares: np.ndarray) -> list[np.ndarray]:
    """Log-density, entropy and divergence as they are written down, with 40 digits."""
    mpmath = pytest.importorskip("mpmath")

    def log_beta(row: list[Any]) -> Any:
        return sum(map(mpmath.loggamma, row)) - mpmath.loggamma(sum(row))

    found = []
    with mpmath.workdps(40):
        for rows in zip(ours, others, shares, strict=True):
            a, b, p = ([mpmath.mpf(float(number)) for number in row] for row in rows)
            slopes = [mpmath.digamma(number) - mpmath.digamma(sum(a)) for number in a]
            logp = sum((x - 1) * mpmath.log(y / sum(p)) for x, y in zip(a, p, strict=True)) - log_beta(a)
            entropy = log_beta(a) - sum((x - 1) * slope for x, slope in zip(a, slopes, strict=True))
            kl = log_beta(b) - log_beta(a) + sum((x - y) * s for x, y, s in zip(a, b, slopes, strict=True))
            found.append([float(entropy), float(logp), float(kl)])
    return [*np.array(found).T]


@pytest.mark.parametrize("level", [-13.0, -3.0, 0.0, 2.1, 5.0, 8.0, 11.0, 13.5])
def test_float32_is_as_good_as_the_textbook_with_forty_digits(level: float) -> None:
    """JAX has no float64: what cancels there has to be cancelled by hand."""
    random = np.random.default_rng(0)
    inputs = np.clip(level + random.normal(0, 0.3, (20, 4)), -13.8, 13.8).astype(np.float32)
    others = np.clip(inputs + random.normal(0, 0.003, inputs.shape), -13.8, 13.8).astype(np.float32)
    shares = np.maximum(Dirichlet(inputs).sample(random), 1e-6).astype(np.float32)
    exact = textbook(*(np.exp(part.astype(np.float64)) + 1e-7 for part in (inputs, others)), shares)
    for convert, tolerance in ((np.asarray, 1e-6), (jax.numpy.asarray, 2e-4)):
        ours = Dirichlet(convert(inputs))
        found = [ours.entropy(), ours.logp(convert(shares)), ours.kl(Dirichlet(convert(others)))]
        for mine, theirs in zip(found, exact, strict=True):
            close(mine, theirs, tolerance)


def test_draws_come_from_the_source_step_by_step(framework: Framework) -> None:
    dist = Dirichlet(framework.array(np.zeros((5, 6))))
    assert dist.draw_noise(framework.rng(3), 7) is None
    first = np.asarray(dist.sample(framework.rng(3)))
    assert np.array_equal(first, dist.sample(framework.rng(3)))
    assert not np.array_equal(first, dist.sample(framework.rng(4)))
    assert len(np.unique(first)) == first.size


def test_gradients_are_those_of_finite_differences() -> None:
    inputs = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    other = Dirichlet(torch.randn(3, 4, dtype=torch.float64))
    shares = torch.rand(3, 4, dtype=torch.float64) + 0.1

    def everything(inputs: torch.Tensor) -> list[torch.Tensor]:
        dist = Dirichlet(inputs)
        return [dist.logp(shares), dist.entropy(), dist.kl(other), other.kl(dist)]

    assert torch.autograd.gradcheck(everything, inputs)


def test_samples_carry_the_gradient_of_the_inputs() -> None:
    """Its mean over many draws is the derivative of the mean share."""
    rows, row = 40_000, [0.3, -0.5, 1.0]
    weights = np.array([1.0, 2.0, 4.0], np.float32)
    mean = np.exp(row) / np.exp(row).sum()
    expected = mean * (weights - mean @ weights)
    inputs = torch.tensor(row, requires_grad=True)
    shares = Dirichlet(inputs.expand(rows, 3)).sample(torch.Generator().manual_seed(0))
    (gradient,) = torch.autograd.grad((shares @ torch.tensor(weights)).mean(), inputs)
    close(gradient, expected, 1e-2)

    def value(inputs: jax.Array) -> jax.Array:
        return (Dirichlet(inputs).sample(jax.random.key(0)) @ weights).mean()

    gradients = jax.jit(jax.grad(value))(jax.numpy.tile(np.array(row, np.float32), (rows, 1)))
    close(np.asarray(gradients).sum(0), expected, 1e-2)


def test_gradients_stay_finite_at_the_ends() -> None:
    inputs = torch.tensor([[40.0, -40.0, 0.0], [-40.0, -40.0, -40.0]], requires_grad=True)
    dist = Dirichlet(inputs)
    actions, logp = dist.sample_logp(torch.Generator().manual_seed(0))
    (actions[:, 0].sum() + logp.sum() + dist.entropy().sum() + dist.kl(Dirichlet(torch.zeros(2, 3))).sum()).backward()
    assert torch.isfinite(inputs.grad).all()


@settings(max_examples=40, deadline=None)
@given(arrays(np.float64, (2, 4, 3), elements=st.floats(-5, 5)), arrays(np.float64, (4, 3), elements=st.floats(0, 1)))
def test_torch_equals_numpy(data: np.ndarray, shares: np.ndarray) -> None:
    answers = []
    for convert in (np.asarray, torch.tensor):
        first, second = (Dirichlet(convert(part)) for part in data)
        answers.append([first.logp(convert(shares)), first.entropy(), first.kl(second), first.deterministic_sample()])
    for numpys, torchs in zip(*answers, strict=True):
        close(torchs, numpys, 1e-8)


def test_shares_cannot_be_masked() -> None:
    assert math.isclose(float(Dirichlet(np.zeros((1, 3)), None, mask=None).entropy()[0]), -math.log(2))
    with pytest.raises(ValueError, match="mask"):
        Dirichlet(np.zeros((1, 3)), None, mask=np.ones((1, 3)))


@pytest.mark.parametrize("shape", [(3,), (2, 4)])
def test_the_largest_entropy_is_that_of_even_shares(shape: tuple[int, ...]) -> None:
    even = Dirichlet(np.zeros((1, math.prod(shape))), action_space=Simplex(shape))
    assert even.largest_entropy == pytest.approx(float(even.entropy()[0]))
    assert float(Dirichlet(even.inputs + 0.1, action_space=Simplex(shape)).entropy()[0]) < even.largest_entropy
