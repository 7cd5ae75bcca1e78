from itertools import permutations, product
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Discrete, MultiBinary, MultiDiscrete

from anyspace.distributions import Bernoulli, Categorical, GumbelSoftmax, MultiCategorical, SlateMultiCategorical
from anyspace.distributions.choices import places_of_slates
from tests.support.frameworks import Framework


def close(ours: Any, expected: Any, tolerance: float = 1e-5) -> None:
    np.testing.assert_allclose(np.asarray(ours), expected, rtol=tolerance, atol=tolerance)


# ---------------------------------------------------------------------------------------------- bits


def test_bits_have_their_probabilities(framework: Framework) -> None:
    logits, others = np.array([[0.5, -1.0, 3.0]]), np.array([[0.0, 2.0, 1.0]])
    p, q = (1 / (1 + np.exp(-part)) for part in (logits, others))
    dist, other = (Bernoulli(framework.array(part)) for part in (logits, others))
    for bits in product([0, 1], repeat=3):
        expected = np.log(np.where(np.array(bits), p, 1 - p)).sum(-1)
        close(dist.logp(framework.array([bits], np.int64)), expected)
    close(dist.multi_entropy(), -(p * np.log(p) + (1 - p) * np.log(1 - p)))
    close(dist.entropy(), np.asarray(dist.multi_entropy()).sum(-1))
    close(dist.multi_kl(other), p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q)))
    close(dist.kl(other), np.asarray(dist.multi_kl(other)).sum(-1))
    assert np.asarray(dist.deterministic_sample()).tolist() == [[1, 0, 1]]
    assert np.asarray(Bernoulli(framework.array([[0.0]])).deterministic_sample()).tolist() == [[0]]
    assert Bernoulli.has_entropy
    assert Bernoulli.has_kl


def test_bits_are_drawn_with_their_probabilities(framework: Framework) -> None:
    rows, logits = 40_000, np.array([0.5, -2.0, 4.0])
    bits = np.asarray(Bernoulli(framework.array(np.tile(logits, (rows, 1)))).sample(framework.rng(0)))
    p = 1 / (1 + np.exp(-logits))
    assert set(np.unique(bits)) == {0, 1}
    assert np.all(np.abs(bits.mean(0) - p) < 4 * np.sqrt(p * (1 - p) / rows))
    assert abs(np.corrcoef(bits[:, 0], bits[:, 1])[0, 1]) < 0.02


def test_masked_bits(framework: Framework) -> None:
    # Free, only 0, only 1, and neither, which counts as free.
    mask = framework.array(np.tile([1, 1, 1, 0, 0, 1, 0, 0], (200, 1)))
    dist = Bernoulli(framework.array(np.tile([0.0, 9.0, -9.0, 0.0], (200, 1))), mask=mask)
    close(dist.multi_entropy()[0], [np.log(2), 0.0, 0.0, np.log(2)])
    noise = dist.draw_noise(framework.rng(0), 5)
    for bits in (*(dist.sample_from_noise(row) for row in noise), dist.deterministic_sample()):
        assert set(np.unique(np.asarray(bits)[:, 1])) == {0}
        assert set(np.unique(np.asarray(bits)[:, 2])) == {1}
    assert set(np.unique(np.asarray(dist.sample(framework.rng(1)))[:, [0, 3]])) == {0, 1}
    close(dist.sampled_action_logp(), np.full(200, 2 * np.log(0.5)))
    assert np.asarray(dist.logp(np.tile([0, 1, 1, 0], (200, 1))))[0] == -np.inf


@pytest.mark.parametrize("shape", [(6,), (2, 3)], ids=str)
@pytest.mark.parametrize("batch", [(5,), (2, 5)], ids=str)
def test_shapes_of_bits(framework: Framework, shape: tuple[int, ...], batch: tuple[int, ...]) -> None:
    space = MultiBinary(shape)
    assert Bernoulli.required_model_output_shape(space, {}) == 6
    mask = framework.array(np.ones((*batch, 12)), bool)
    dist = Bernoulli(framework.array(np.zeros((*batch, 6))), None, mask=mask, action_space=space)
    bits = dist.sample(framework.rng(0))
    assert bits.shape == dist.deterministic_sample().shape == (*batch, *shape)
    assert isinstance(bits, framework.kind)
    assert "int" in str(bits.dtype)
    close(dist.logp(bits), np.full(batch, 6 * np.log(0.5)))
    close(dist.logp(np.asarray(bits).reshape((*batch, 6))), dist.logp(bits))
    assert dist.draw_noise(framework.rng(0), 3).shape == (3, *batch, dist.noise_width)
    assert np.array_equal(Bernoulli(dist.inputs).sample(framework.rng(0)), np.asarray(bits).reshape((*batch, 6)))


def test_bits_of_extreme_logits_stay_finite() -> None:
    inputs = torch.tensor([[1e4, -1e4, 0.0]], requires_grad=True)
    dist = Bernoulli(inputs)
    (dist.logp([[1, 0, 1]]) + dist.entropy() + dist.kl(Bernoulli(torch.zeros(1, 3)))).sum().backward()
    assert torch.isfinite(inputs.grad).all()


# -------------------------------------------------------------------------------------------- slates

SLATES = list(permutations(range(4), 2))
SPACE = MultiDiscrete([4, 4])


def test_a_slate_is_one_choice(framework: Framework) -> None:
    logits = np.random.default_rng(0).normal(size=(3, len(SLATES)))
    dist = SlateMultiCategorical(framework.array(logits), action_space=SPACE)
    assert SlateMultiCategorical.required_model_output_shape(SPACE, {}) == 12
    reference = Categorical(logits)
    for index, slate in enumerate(SLATES):
        close(dist.logp(framework.array([slate] * 3, np.int64)), reference.logp([index] * 3))
    assert np.asarray(dist.logp([[0, 0], [3, 3], [9, 9]])).tolist() == [-np.inf] * 3
    close(dist.entropy(), reference.entropy())
    close(dist.kl(dist), np.zeros(3))
    best = [list(SLATES[index]) for index in logits.argmax(-1)]
    assert np.asarray(dist.deterministic_sample()).tolist() == best


@pytest.mark.parametrize(("candidates", "size", "count"), [(4, 2, 12), (5, 3, 60), (100_000, 4, 300)])
def test_slates_are_found_in_their_table(framework: Framework, candidates: int, size: int, count: int) -> None:
    rng = np.random.default_rng(0)
    table = rng.integers(0, candidates, (4 * count, size))
    table = rng.permutation(np.unique(table, axis=0))[:count]
    asked = np.concatenate([table[rng.permutation(len(table))], rng.integers(-1, candidates + 2, (200, size))])
    same = (asked[:, None] == table).all(-1)
    index, exists = places_of_slates(framework.array(asked, np.int64), table, candidates)
    np.testing.assert_array_equal(exists, same.any(-1))
    np.testing.assert_array_equal(np.asarray(index)[same.any(-1)], same.argmax(-1)[same.any(-1)])


def test_slates_are_drawn_with_their_probabilities(framework: Framework) -> None:
    rows, logits = 40_000, np.linspace(-1, 1, 12)
    dist = SlateMultiCategorical(framework.array(np.tile(logits, (rows, 1))), action_space=SPACE, temperature=2.0)
    slates = np.asarray(dist.sample(framework.rng(0)))
    assert slates.shape == (rows, 2)
    p = np.exp(logits / 2) / np.exp(logits / 2).sum()
    counts = np.array([(slates == slate).all(-1).sum() for slate in SLATES])
    assert counts.sum() == rows
    assert np.all(np.abs(counts / rows - p) < 4 * np.sqrt(p * (1 - p) / rows))
    close(np.asarray(dist.sampled_action_logp())[:5], np.log(p)[[SLATES.index(tuple(s)) for s in slates[:5].tolist()]])


def test_given_slates(framework: Framework) -> None:
    given = np.array([[0, 0, 1], [2, 1, 0]])
    dist = SlateMultiCategorical(
        framework.array(np.zeros((2, 5, 2))), action_space=MultiDiscrete([3] * 3), all_slates=given
    )
    slates = np.asarray(dist.sample(framework.rng(0)))
    assert slates.shape == (2, 5, 3)
    assert {tuple(slate) for slate in slates.reshape(-1, 3).tolist()} <= {(0, 0, 1), (2, 1, 0)}
    close(dist.sampled_action_logp(), np.full((2, 5), np.log(0.5)))


def test_masked_candidates(framework: Framework) -> None:
    # The first row may not put candidate 2 first or 0 second; the second row leaves no slate at all.
    mask = framework.array([[1, 1, 0, 1, 0, 1, 1, 1], [1, 0, 0, 0, 1, 0, 0, 0]])
    dist = SlateMultiCategorical(framework.array(np.zeros((2, 12))), action_space=SPACE, mask=mask)
    allowed = [slate for slate in SLATES if slate[0] != 2 and slate[1] != 0]
    close(dist.entropy(), [np.log(len(allowed)), np.log(12)])
    samples = np.stack([np.asarray(dist.sample_from_noise(row)) for row in dist.draw_noise(framework.rng(0), 100)])
    assert {tuple(slate) for slate in samples[:, 0].tolist()} <= set(allowed)
    assert np.asarray(dist.logp([[2, 1], [2, 1]])).tolist() == pytest.approx([-np.inf, -np.log(12)])


def test_slates_carry_gradients_and_leave_their_inputs_alone() -> None:
    inputs = torch.zeros(2, 12, requires_grad=True)
    dist = SlateMultiCategorical(inputs, action_space=SPACE)
    dist.sample()
    dist.logp([[0, 1], [0, 0]])[0].backward()
    expected = torch.full((2, 12), -1 / 12)
    expected[0, 0] += 1
    expected[1] = 0
    torch.testing.assert_close(inputs.grad, expected)
    assert not inputs.detach().any()


def test_misused_slates_are_refused() -> None:
    for space in (MultiDiscrete([3, 4]), MultiDiscrete([[3, 3]]), Discrete(3)):
        with pytest.raises(AssertionError, match=r"needs a MultiDiscrete\(\[n\] \* k\)"):
            SlateMultiCategorical(np.zeros((1, 6)), action_space=space)
    with pytest.raises(ValueError, match=r"7 inputs per row need slates of shape \(7, 2\), got \(12, 2\)"):
        SlateMultiCategorical(np.zeros((1, 7)), action_space=SPACE)
    with pytest.raises(AssertionError, match="temperature"):
        SlateMultiCategorical(np.zeros((1, 12)), action_space=SPACE, temperature=0.0)


# ------------------------------------------------------------------------------------------- relaxed


@pytest.mark.spec(140)
def test_relaxed_samples_sum_to_one(framework: Framework) -> None:
    logits = np.random.default_rng(0).normal(size=(4, 5, 3))
    for temperature in (0.1, 1.0, 10.0):
        dist = GumbelSoftmax(framework.array(logits), temperature=temperature)
        shares = np.asarray(dist.sample(framework.rng(0)))
        assert shares.shape == (4, 5, 3)
        assert (shares >= 0).all()
        close(shares.sum(-1), np.ones((4, 5)))
        close(dist.deterministic_sample(), np.exp(logits) / np.exp(logits).sum(-1, keepdims=True))


@pytest.mark.spec(140)
def test_relaxed_samples_are_differentiable() -> None:
    inputs = torch.tensor([[0.5, -1.0, 0.2]], dtype=torch.float64, requires_grad=True)
    noise = GumbelSoftmax(inputs).draw_noise(torch.Generator().manual_seed(0), 1)[0]

    def shares(inputs: torch.Tensor) -> torch.Tensor:
        return GumbelSoftmax(inputs, temperature=0.7).sample_from_noise(noise)

    assert torch.autograd.gradcheck(shares, inputs)
    assert torch.autograd.grad(shares(inputs)[0, 0], inputs)[0].abs().min() > 1e-3


def test_the_largest_share_is_a_categorical_sample(framework: Framework) -> None:
    rows, logits = 40_000, np.array([0.5, 2.0, -1.0])
    p = np.exp(logits) / np.exp(logits).sum()
    for temperature in (0.1, 5.0):
        dist = GumbelSoftmax(framework.array(np.tile(logits, (rows, 1))), temperature=temperature)
        shares = np.asarray(dist.sample(framework.rng(0)))
        counts = np.bincount(shares.argmax(-1), minlength=3)
        assert np.all(np.abs(counts / rows - p) < 4 * np.sqrt(p * (1 - p) / rows))
        assert (shares.max(-1).mean() > 0.9) == (temperature < 1)


def test_likelihood_of_relaxed_and_whole_actions(framework: Framework) -> None:
    logits = np.array([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]])
    dist, whole = GumbelSoftmax(framework.array(logits), temperature=0.3), Categorical(logits)
    close(dist.logp(framework.array([2, 0], np.int64)), whole.logp([2, 0]))
    close(dist.logp([[2], [0]]), whole.logp([2, 0]))
    close(dist.logp(framework.array([[0, 0, 1], [1, 0, 0]])), whole.logp([2, 0]))
    shares = np.array([[0.2, 0.3, 0.5], [0.1, 0.1, 0.8]])
    close(dist.logp(framework.array(shares)), (shares * whole.log_probs).sum(-1))
    dist.sample(framework.rng(0))
    assert dist.sampled_action_logp().shape == (2,)


def test_masked_relaxed_actions(framework: Framework) -> None:
    mask = framework.array([[1, 0, 1], [0, 0, 0]], bool)
    dist = GumbelSoftmax(framework.array([[0.0, 50.0, 1.0], [0.0, 0.0, 0.0]]), mask=mask)
    for shares in (dist.sample(framework.rng(0)), dist.deterministic_sample()):
        assert np.asarray(shares)[0, 1] == 0.0
        assert (np.asarray(shares)[1] > 0.0).all()
        assert np.isfinite(np.asarray(dist.logp(shares))).all()


def test_what_a_relaxed_choice_is_not() -> None:
    assert GumbelSoftmax.required_model_output_shape(Discrete(5, start=2), {}) == 5
    assert not GumbelSoftmax.has_entropy
    assert not GumbelSoftmax.has_kl
    even = GumbelSoftmax(np.full((1, 2), -3.4e38, np.float32), temperature=0.5).sample(np.random.default_rng(0))
    assert even.sum() == pytest.approx(1.0)
    for temperature in (0.0, -1.0, float("nan")):
        with pytest.raises(AssertionError, match="GumbelSoftmax needs a temperature above 0"):
            GumbelSoftmax(np.zeros((1, 2)), temperature=temperature)


# ---------------------------------------------------------------------------------------------- noise


def test_noise_drawn_ahead_is_the_noise_of_sample(framework: Framework) -> None:
    logits = framework.array(np.random.default_rng(0).normal(size=(5, 12)))
    for dist in (Bernoulli(logits), SlateMultiCategorical(logits, action_space=SPACE), GumbelSoftmax(logits)):
        assert dist.draw_noise(framework.rng(3), 7).shape == (7, 5, dist.noise_width)
        ahead = np.asarray(dist.sample_from_noise(dist.draw_noise(framework.rng(3), 1)[0]))
        assert np.array_equal(ahead, dist.sample(framework.rng(3)))


def test_bits_are_choices_of_two() -> None:
    """Checked against the distribution that writes them out."""
    rng = np.random.default_rng(0)
    logits, mask = rng.normal(size=(6, 3)), rng.random((6, 6)) < 0.6
    pairs = np.stack([np.zeros_like(logits), logits], -1).reshape(6, 6)
    dist, reference = Bernoulli(logits, mask=mask), MultiCategorical(pairs, mask=mask, input_lens=[2, 2, 2])
    close(dist.multi_entropy(), reference.multi_entropy())
    bits = reference.deterministic_sample()
    assert np.array_equal(dist.deterministic_sample(), bits)
    close(dist.logp(bits), reference.logp(bits))
