import math
from typing import Any

import gymnasium as gym
import jax
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from anyspace.distributions import Beta, SquashedGaussian
from tests.support.frameworks import Framework

BOTH = pytest.mark.parametrize("build", [SquashedGaussian, Beta])
BOUNDS = pytest.mark.parametrize(("low", "high"), [(-1.0, 1.0), (0.0, 1.0), (-2.0, 2.0), (3.0, 3.5), (-40.0, 5.0)])
LOW, HIGH = np.array([-3.0, 0.5]), np.array([1.0, 0.75])
ROW = [0.5, -1.0, 0.0, 0.5]
TRAPEZOID = np.trapezoid if hasattr(np, "trapezoid") else np.trapz


def close(ours: Any, expected: Any, tolerance: float = 1e-5) -> None:
    np.testing.assert_allclose(np.asarray(ours), expected, rtol=tolerance, atol=tolerance)


def inner_grid(low: float, high: float, points: int = 20_001) -> np.ndarray:
    """Points between the bounds, closer to each other near them."""
    return low + (high - low) * (0.5 - 0.5 * np.cos(np.linspace(1e-3, math.pi - 1e-3, points)))


@pytest.mark.spec(137)
def test_squashed_gaussian_golden(framework: Framework) -> None:
    dist = SquashedGaussian(framework.array([ROW]))
    close(dist.logp(framework.array([[0.2, -0.3]])), [-2.334626])
    close(dist.deterministic_sample(), [[0.462117, -0.761594]])


@pytest.mark.spec(138)
def test_beta_golden(framework: Framework) -> None:
    dist = Beta(framework.array([ROW]))
    close(dist.logp(framework.array([[0.2, 0.7]])), [-0.413851])
    close(dist.deterministic_sample(), [[0.538303, 0.399491]])


@pytest.mark.spec(137, 138)
@BOTH
@BOUNDS
def test_densities_integrate_to_one_between_the_bounds(build: Any, low: float, high: float) -> None:
    grid = inner_grid(low, high)
    for row in ([0.3, -0.4], [1.5, 0.2], [-1.0, 0.5]):
        dist = build(np.tile(row, (len(grid), 1)), low=low, high=high)
        close(TRAPEZOID(np.exp(dist.logp(grid[:, None])), grid), 1.0, 2e-3)


@pytest.mark.spec(137, 138)
@BOTH
def test_bounds_of_each_component_count(framework: Framework, build: Any) -> None:
    inputs = framework.array([ROW, [1.0, 0.2, 0.3, -0.4]])
    shares = np.array([[0.2, 0.7], [0.9, 0.4]])
    unit = build(inputs, low=0.0, high=1.0)
    dist = build(inputs, low=LOW, high=HIGH)
    actions = framework.array(LOW + shares * (HIGH - LOW))
    close(dist.logp(actions), np.asarray(unit.logp(framework.array(shares))) - np.log(HIGH - LOW).sum())
    close(dist.deterministic_sample(), LOW + np.asarray(unit.deterministic_sample()) * (HIGH - LOW))
    space = gym.spaces.Box(0, 1, (1, 2))
    shaped = build(inputs, low=LOW[None], high=HIGH[None], action_space=space)
    assert shaped.sample(framework.rng(0)).shape == (2, 1, 2)
    close(shaped.logp(framework.array(np.asarray(actions)[:, None])), dist.logp(actions))


@BOTH
@pytest.mark.parametrize("size", [0.0, 3.0, 50.0])
def test_samples_lie_between_the_bounds_and_are_likely(framework: Framework, build: Any, size: float) -> None:
    inputs = framework.array(size * np.random.default_rng(0).standard_normal((5000, 4)))
    for low, high in ((-1.0, 1.0), (LOW, HIGH), (1000.0, 1000.001)):
        dist = build(inputs, low=low, high=high)
        for actions in (dist.sample(framework.rng(0)), dist.deterministic_sample()):
            values = np.asarray(actions)
            assert (values >= np.float32(low)).all()
            assert (values <= np.float32(high)).all()
            assert np.isfinite(np.asarray(dist.logp(actions))).all()
    unit = np.asarray(build(inputs, low=-1.0, high=1.0).sample(framework.rng(1)))
    assert (np.abs(unit) < 1.0).all()


def test_an_action_on_or_beyond_a_bound_counts_as_just_inside(framework: Framework) -> None:
    for build in (SquashedGaussian, Beta):
        dist = build(framework.array([ROW]), low=0.0, high=1.0)
        close(dist.logp([[0.0, 1.0]]), dist.logp([[-3.0, 5.0]]))
        close(dist.logp([[0.0, 1.0]]), dist.logp([[5e-7, 1.0 - 5e-7]]), 1e-2)


def test_squashed_samples_are_distributed_as_squashed_normal_ones(framework: Framework) -> None:
    rows, mean, std = 40_000, 0.4, 0.8
    inputs = framework.array(np.tile([mean, math.log(std)], (rows, 1)))
    samples = np.asarray(SquashedGaussian(inputs, low=0.0, high=10.0).sample(framework.rng(0)))[:, 0]
    for raw in (-1.0, 0.0, 0.5, 1.5):
        expected = 0.5 * (1.0 + math.erf((raw - mean) / (std * math.sqrt(2.0))))
        share = (samples < 5.0 * (math.tanh(raw) + 1.0)).mean()
        assert abs(share - expected) < 4 * math.sqrt(expected * (1 - expected) / rows)


def test_beta_samples_have_the_moments_of_the_distribution(framework: Framework) -> None:
    rows = 40_000
    dist = Beta(framework.array(np.tile([0.5, -3.0, 2.0, -14.0], (rows, 1))), low=[-1.0, 2.0], high=[1.0, 3.0])
    alpha, beta = (np.asarray(part[0]) for part in dist._parameters)
    mean, total = alpha / (alpha + beta), alpha + beta
    std = np.sqrt(mean * (1 - mean) / (total + 1))
    shares = (np.asarray(dist.sample(framework.rng(0))) - [-1.0, 2.0]) / [2.0, 1.0]
    assert (np.abs(shares.mean(0) - mean) < 4 * std / rows**0.5).all()
    assert (np.abs(shares.std(0) / std - 1) < 0.02).all()


@pytest.mark.spec(138)
@BOUNDS
def test_beta_entropy_and_divergence_are_integrals(low: float, high: float) -> None:
    grid = inner_grid(low, high)
    ours, others = (Beta(np.tile(row, (len(grid), 1)), low=low, high=high) for row in ([0.5, -0.3], [-1.0, 1.2]))
    logp, other_logp = ours.logp(grid[:, None]), others.logp(grid[:, None])
    close(ours.entropy()[0], -TRAPEZOID(np.exp(logp) * logp, grid), 2e-3)
    close(ours.kl(others)[0], TRAPEZOID(np.exp(logp) * (logp - other_logp), grid), 2e-3)


@pytest.mark.spec(138)
def test_beta_entropy_and_divergence_are_sums_over_components(framework: Framework) -> None:
    inputs, others = np.random.default_rng(0).normal(size=(2, 5, 6))
    ours, other = (Beta(framework.array(part), low=-2.0, high=2.0) for part in (inputs, others))
    singles = [[Beta(part[:, [i, i + 3]], low=-2.0, high=2.0) for i in range(3)] for part in (inputs, others)]
    assert ours.entropy().shape == ours.kl(other).shape == (5,)
    close(ours.entropy(), sum(part.entropy() for part in singles[0]))
    close(ours.kl(other), sum(a.kl(b) for a, b in zip(*singles, strict=True)))
    close(ours.kl(ours), np.zeros(5))


def test_squashing_leaves_the_divergence_of_the_normal_distributions(framework: Framework) -> None:
    mine, theirs = framework.array([ROW]), framework.array([[0.0, 0.0, 0.0, 0.0]])
    for low, high in ((-1.0, 1.0), (-5.0, 20.0)):
        squashed = SquashedGaussian(mine, low=low, high=high)
        close(squashed.kl(SquashedGaussian(theirs, low=low, high=high)), [0.984141])
    assert SquashedGaussian.has_kl


def test_squashed_gaussians_have_no_entropy() -> None:
    assert not SquashedGaussian.has_entropy
    with pytest.raises(NotImplementedError, match="SquashedGaussian has no entropy"):
        SquashedGaussian(np.zeros((1, 2))).entropy()
    assert Beta.has_entropy
    assert Beta.has_kl


def test_log_standard_deviations_are_limited(framework: Framework) -> None:
    clipped = SquashedGaussian(framework.array([[0.0, 0.0, -9.0, 9.0]]))
    limits = SquashedGaussian(framework.array([[0.0, 0.0, -5.0, 2.0]]))
    close(clipped.logp([[0.001, 0.3]]), limits.logp([[0.001, 0.3]]))
    wider = SquashedGaussian(framework.array([[0.0, 0.0, -4.5, 2.0]]))
    assert abs(float(clipped.logp([[0.001, 0.3]])[0]) - float(wider.logp([[0.001, 0.3]])[0])) > 0.1


def test_inputs_of_beta_are_limited(framework: Framework) -> None:
    far, edge = (Beta(framework.array([[-size, size]])) for size in (1e6, 13.815511))
    close(far.logp([[0.3]]), edge.logp([[0.3]]))


def test_a_draw_and_its_density_agree(framework: Framework) -> None:
    inputs = framework.array(np.random.default_rng(0).normal(size=(200, 6)))
    dist = SquashedGaussian(inputs, low=-1.0, high=3.0)
    actions, logp = dist.sample_logp(framework.rng(0))
    assert np.array_equal(actions, dist.sample(framework.rng(0)))
    inside = (np.abs(np.asarray(actions) - 1.0) < 1.99).all(1)
    close(np.asarray(logp)[inside], np.asarray(dist.logp(actions))[inside], 1e-3)
    beta = Beta(inputs)
    actions, logp = beta.sample_logp(framework.rng(0))
    close(logp, beta.logp(actions))


def test_the_density_of_a_draw_is_exact_where_tanh_is_flat() -> None:
    """There -log(1 - tanh(u)^2) is 2 |u| - 2 log 2, which float32 loses if it takes tanh first."""
    dist = SquashedGaussian(torch.tensor([[30.0, -5.0]]))
    _, logp = dist.sample_logp(torch.Generator().manual_seed(0))
    noise = dist.standard_noise(torch.Generator().manual_seed(0), 1)[0]
    raw = 30.0 + math.exp(-5.0) * noise.double()
    gaussian = -0.5 * noise.double() ** 2 + 5.0 - 0.5 * math.log(2 * math.pi)
    expected = (gaussian + 2 * raw - 2 * math.log(2))[:, 0].float()
    torch.testing.assert_close(logp, expected)


@BOTH
@pytest.mark.parametrize("shape", [None, (), (2, 2)], ids=str)
def test_shapes(framework: Framework, build: Any, shape: tuple[int, ...] | None) -> None:
    space = None if shape is None else gym.spaces.Box(-1, 1, shape)
    size = 5 if shape is None else math.prod(shape)
    assert space is None or build.required_model_output_shape(space, {}) == 2 * size
    batch = (3, 4)
    dist = build(framework.array(np.zeros((*batch, 2 * size))), None, action_space=space)
    actions = dist.sample(framework.rng(0))
    assert actions.shape == dist.deterministic_sample().shape == (*batch, *((5,) if shape is None else shape))
    assert isinstance(actions, framework.kind)
    assert dist.logp(actions).shape == dist.kl(dist).shape == batch
    close(dist.logp(actions), dist.logp(np.asarray(actions).reshape((*batch, size))))


def test_noise_of_squashed_gaussians_is_drawn_ahead(framework: Framework) -> None:
    dist = SquashedGaussian(framework.array(np.random.default_rng(0).normal(size=(5, 6))))
    assert dist.draw_noise(framework.rng(3), 7).shape == (7, 5, dist.noise_width)
    ahead = dist.sample_from_noise(dist.draw_noise(framework.rng(3), 1)[0])
    assert np.array_equal(ahead, dist.sample(framework.rng(3)))


def test_beta_is_sampled_step_by_step_from_its_source(framework: Framework) -> None:
    dist = Beta(framework.array(np.zeros((5, 6))))
    assert dist.draw_noise(framework.rng(3), 7) is None
    first = np.asarray(dist.sample(framework.rng(3)))
    assert np.array_equal(first, dist.sample(framework.rng(3)))
    assert not np.array_equal(first, dist.sample(framework.rng(4)))
    assert len(np.unique(first)) == first.size


@BOTH
def test_nothing_is_mutated(framework: Framework, build: Any) -> None:
    data = np.array([[20.0, -1.0, -20.0, 0.5]], np.float32)
    inputs = framework.array(data)
    dist = build(inputs)
    actions = np.asarray(dist.sample(framework.rng(0))).copy()
    before = np.asarray(dist.sampled_action_logp()).copy()
    dist.logp([[0.1, 0.2]])
    dist.kl(dist)
    assert np.array_equal(np.asarray(inputs), data)
    assert np.array_equal(np.asarray(dist.last_sample), actions)
    assert np.array_equal(np.asarray(dist.sampled_action_logp()), before)


@BOTH
def test_gradients_are_those_of_finite_differences(build: Any) -> None:
    inputs = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    other, actions = torch.randn(3, 4, dtype=torch.float64), 0.1 + 0.8 * torch.rand(3, 2, dtype=torch.float64)

    def everything(inputs: torch.Tensor) -> list[torch.Tensor]:
        dist, reference = build(inputs, low=0.0, high=1.0), build(other, low=0.0, high=1.0)
        answers = [dist.logp(actions), dist.kl(reference), reference.kl(dist)]
        return [*answers, dist.entropy()] if build is Beta else answers

    assert torch.autograd.gradcheck(everything, inputs)


@BOTH
def test_samples_carry_the_gradient_of_the_inputs(build: Any) -> None:
    """Its mean over many draws is the derivative of the mean action."""
    rows = 40_000

    def mean_action(row: torch.Tensor) -> torch.Tensor:
        return build(row.expand(rows, 2)).sample(torch.Generator().manual_seed(0)).mean()

    row = torch.tensor([0.3, -0.5], requires_grad=True)
    (gradient,) = torch.autograd.grad(mean_action(row), row)
    steps = 0.05 * torch.eye(2)
    differences = [(mean_action(row + step) - mean_action(row - step)) / 0.1 for step in steps]
    close(gradient, torch.stack(differences).detach(), 1e-2)

    inputs = jax.numpy.array(np.tile([0.3, -0.5], (rows, 1)), "float32")
    jaxs = jax.jit(jax.grad(lambda inputs: build(inputs).sample(jax.random.key(0)).mean()))(inputs)
    close(np.asarray(jaxs).sum(0), gradient, 1e-2)


@BOTH
def test_gradients_stay_finite_at_the_ends(build: Any) -> None:
    inputs = torch.tensor([[40.0, -40.0, 40.0, -40.0], [-40.0, 40.0, -40.0, 40.0]], requires_grad=True)
    dist = build(inputs)
    actions, logp = dist.sample_logp(torch.Generator().manual_seed(0))
    (actions.sum() + logp.sum() + dist.logp([[0.0, 1.0], [0.5, 0.5]]).sum() + dist.kl(dist).sum()).backward()
    assert torch.isfinite(inputs.grad).all()


@settings(max_examples=40, deadline=None)
@given(arrays(np.float64, (2, 4, 4), elements=st.floats(-5, 5)), arrays(np.float64, (4, 2), elements=st.floats(0, 1)))
def test_torch_equals_numpy(data: np.ndarray, actions: np.ndarray) -> None:
    for build in (SquashedGaussian, Beta):
        answers = []
        for convert in (np.asarray, torch.tensor):
            first, second = (build(convert(part), low=-0.5, high=1.5) for part in data)
            answers.append([first.logp(convert(actions)), first.kl(second), first.deterministic_sample()])
        for numpys, torchs in zip(*answers, strict=True):
            close(torchs, numpys, 1e-9)


@BOTH
def test_misuse_is_refused(build: Any) -> None:
    with pytest.raises(ValueError, match="mask"):
        build(np.zeros((1, 2)), None, mask=np.ones((1, 2)))
    with pytest.raises(ValueError, match=r"two numbers per action value, got inputs of shape \(1, 3\)"):
        build(np.zeros((1, 3)))
    for low, high in ((1.0, 1.0), ([0.0, 2.0], 1.0), (0.0, float("nan"))):
        with pytest.raises(AssertionError, match="low < high"):
            build(np.zeros((1, 4)), low=low, high=high)


@BOTH
def test_no_rows_at_all(build: Any) -> None:
    for inputs in (np.zeros((0, 4), np.float32), torch.zeros(0, 4), jax.numpy.zeros((0, 4))):
        made = build(inputs)
        assert made.logp(made.deterministic_sample()).shape == (0,)


@pytest.mark.parametrize("build", [Beta, SquashedGaussian])
def test_the_largest_entropy_is_that_of_the_uniform_distribution(build: Any) -> None:
    uniform = Beta(np.full((1, 4), -20.0), low=-1.0, high=[1.0, 3.0])
    assert uniform.largest_entropy == pytest.approx(math.log(2.0) + math.log(4.0))
    assert uniform.entropy()[0] == pytest.approx(uniform.largest_entropy, abs=1e-4)
    assert build(np.zeros((1, 6)), low=0.0, high=0.5).largest_entropy == pytest.approx(-3 * math.log(2.0))
