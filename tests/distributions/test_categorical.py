import copy
from typing import Any

import gymnasium as gym
import jax
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from anyspace.distributions import ActionDistribution, Categorical, MultiCategorical
from anyspace.maths import xp
from tests.support.frameworks import Framework

MASKED = -3.4e38
"""The logit by which models mask themselves."""


def close(ours: Any, expected: Any, tolerance: float = 1e-5) -> None:
    np.testing.assert_allclose(np.asarray(ours), expected, rtol=tolerance, atol=tolerance)


def softmax(logits: Any) -> np.ndarray:
    weights = np.exp(logits - np.max(logits, axis=-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


@pytest.mark.spec(134)
def test_categorical_golden(framework: Framework) -> None:
    logits = framework.array([[1, 2, 3]])
    dist = Categorical(logits)
    two = framework.array([2], np.int64)
    close(dist.logp(two), [-0.407606])
    close(dist.entropy(), [0.832395])
    close(dist.kl(Categorical(framework.array([[3, 2, 1]]))), [1.150421])
    close(dist.multi_entropy(), [0.832395])
    close(dist.multi_kl(Categorical(framework.array([[3, 2, 1]]))), [1.150421])
    close(Categorical(logits, temperature=0.5).logp(two), [-0.142931])
    assert np.asarray(dist.deterministic_sample()).tolist() == [2]


@pytest.mark.spec(134)
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("temperature", [0.5, 1.0])
def test_the_caller_s_arrays_are_left_alone(framework: Framework, temperature: float, masked: bool) -> None:
    logits, mask = framework.array([[1, 2, 3]]), framework.array([[1, 0, 1]], bool)
    before = copy.deepcopy(np.asarray(logits)), copy.deepcopy(np.asarray(mask))
    dist = Categorical(logits, mask=mask if masked else None, temperature=temperature)
    dist.sample(framework.rng(0))
    dist.deterministic_sample()
    first = [np.asarray(answer).copy() for answer in (dist.sampled_action_logp(), dist.entropy(), dist.kl(dist))]
    again = [np.asarray(answer).copy() for answer in (dist.sampled_action_logp(), dist.entropy(), dist.kl(dist))]
    assert np.array_equal(np.asarray(logits), before[0])
    assert np.array_equal(np.asarray(mask), before[1])
    assert all(map(np.array_equal, first, again))


@pytest.mark.spec(134)
@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan")])
def test_temperature_must_be_positive(temperature: float) -> None:
    with pytest.raises(AssertionError, match="temperature"):
        Categorical(np.zeros((1, 2)), temperature=temperature)


def test_results_are_native_and_have_one_value_per_row(framework: Framework) -> None:
    dist = Categorical(framework.array(np.zeros((4, 3))))
    actions = dist.sample(framework.rng(0))
    for result in (actions, dist.sampled_action_logp(), dist.entropy(), dist.kl(dist)):
        assert isinstance(result, framework.kind)
        assert result.shape == (4,)
    assert np.asarray(actions).dtype == (np.int32 if framework.name == "jax" else np.int64)
    assert np.array_equal(dist.logp(actions), dist.logp(np.asarray(actions)[:, None].astype(np.float32)))


def test_probabilities_sum_to_one(framework: Framework) -> None:
    logits = np.random.default_rng(0).normal(0, 5, (6, 4))
    dist = Categorical(framework.array(logits), mask=framework.array(logits > -4, bool))
    total = sum(np.exp(np.asarray(dist.logp(np.full(6, action)))) for action in range(4))
    close(total, np.ones(6))


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_sampling_frequencies(framework: Framework, temperature: float, masked: bool) -> None:
    row, allowed, rows = np.array([0.5, 2.0, -1.0, 1.0]), np.array([1, 0, 1, 1]), 40_000
    mask = framework.array(np.tile(allowed, (rows, 1)), bool) if masked else None
    dist = Categorical(framework.array(np.tile(row, (rows, 1))), mask=mask, temperature=temperature)
    counts = np.bincount(np.asarray(dist.sample(framework.rng(0))), minlength=4)
    expected = softmax(np.where(allowed, row, -np.inf) / temperature if masked else row / temperature)
    assert np.all(np.abs(counts / rows - expected) <= 4 * np.sqrt(expected * (1 - expected) / rows))


def test_entropy_and_kl_are_means_over_the_actions() -> None:
    rng = np.random.default_rng(0)
    p, q = softmax(rng.normal(size=(2, 5, 4)))
    ours, others = Categorical(np.log(p) + 7.0), Categorical(np.log(q) - 3.0)
    close(ours.entropy(), -(p * np.log(p)).sum(-1), 1e-9)
    close(ours.kl(others), (p * np.log(p / q)).sum(-1), 1e-9)
    close(ours.kl(ours), np.zeros(5), 1e-9)


@pytest.mark.parametrize("elsewhere", [1e30, MASKED])
def test_masked_actions_do_not_exist(framework: Framework, elsewhere: float) -> None:
    logits = framework.array([[elsewhere, 1.0, 3.0, elsewhere], [1.0, MASKED, MASKED, 2.0]])
    mask = framework.array([[0, 1, 1, 0], [0, 1, 1, 0]])
    dist = Categorical(logits, mask=mask)
    remaining = softmax([[1.0, 3.0], [0.0, 0.0]])
    for action, expected in enumerate(remaining.T, start=1):
        close(np.exp(np.asarray(dist.logp([action, action]))), expected)
    assert np.exp(np.asarray(dist.logp([0, 3]))).tolist() == [0.0, 0.0]
    close(dist.entropy(), -(remaining * np.log(remaining)).sum(-1))
    assert np.asarray(dist.deterministic_sample()).tolist() == [2, 1]
    noise = dist.draw_noise(framework.rng(0), 100)
    samples = np.stack([np.asarray(dist.sample_from_noise(row)) for row in noise])
    assert set(np.unique(samples)) <= {1, 2}


@pytest.mark.spec(134)
def test_logits_of_models_that_mask_themselves(framework: Framework) -> None:
    dist = Categorical(framework.array([[MASKED, 1.0, 1e30, MASKED], [MASKED] * 4]))
    close(dist.entropy(), [0.0, np.log(4)])
    close(dist.kl(dist), [0.0, 0.0])
    close(np.exp(np.asarray(dist.logp([0, 3]))), [0.0, 0.25])
    free = Categorical(framework.array([[0.0, 0.0, 0.0, 0.0], [0.0] * 4]))
    close(dist.kl(free), [np.log(4), 0.0])
    close(free.kl(dist), [np.inf, 0.0])


def test_a_row_that_masks_itself_stays_uniform_at_any_temperature(framework: Framework) -> None:
    dist = Categorical(framework.array([[MASKED] * 4]), temperature=0.5)
    close(dist.entropy(), [np.log(4)])


def test_kl_between_masks(framework: Framework) -> None:
    logits = framework.array([[1.0, 2.0, 3.0]])
    both = Categorical(logits, mask=framework.array([[1, 1, 0]], bool))
    free = Categorical(logits)
    assert np.asarray(free.kl(both)).tolist() == [np.inf]
    assert np.asarray(both.kl(both)).tolist() == [0.0]
    p, q = softmax([1.0, 2.0]), softmax([1.0, 2.0, 3.0])[:2]
    close(both.kl(free), [(p * np.log(p / q)).sum()])


def test_a_row_that_allows_nothing_allows_everything(framework: Framework) -> None:
    logits = framework.array([[1.0, 2.0, 3.0]])
    dist, free = Categorical(logits, mask=framework.array([[0, 0, 0]], bool)), Categorical(logits)
    close(dist.entropy(), free.entropy())
    close(dist.logp([0]), free.logp([0]))


def gradients(logits: Any, mask: Any) -> np.ndarray:
    """Gradient of everything a loss asks of a masked distribution, with torch and JAX; they must agree."""

    def loss(inputs: Any) -> Any:
        dist, old = Categorical(inputs, mask=mask), Categorical(logits, mask=mask)
        return (dist.logp([1, 2]) + dist.entropy() + old.kl(dist) + dist.kl(old)).sum()

    inputs = torch.tensor(logits, requires_grad=True)
    logits, numpy_logits = torch.tensor(logits), logits
    loss(inputs).backward()
    logits = jax.numpy.asarray(numpy_logits)
    close(jax.grad(loss)(logits), inputs.grad)
    return np.asarray(inputs.grad)


@pytest.mark.parametrize("elsewhere", [1e30, MASKED, float("nan")])
def test_masked_actions_have_no_gradient(elsewhere: float) -> None:
    logits = np.array([[elsewhere, 1.0, 3.0], [0.5, elsewhere, 2.0]], np.float32)
    mask = np.array([[0, 1, 1], [1, 0, 1]], bool)
    gradient = gradients(logits, mask)
    assert np.isfinite(gradient).all()
    assert np.array_equal(gradient[~mask], [0.0, 0.0])
    assert gradient[mask].all()


def test_self_masked_logits_have_no_gradient() -> None:
    logits = np.array([[MASKED, 1.0, 3.0], [0.5, MASKED, 2.0]], np.float32)
    gradient = gradients(logits, None)
    assert np.isfinite(gradient).all()
    assert np.array_equal(gradient[[0, 1], [0, 1]], [0.0, 0.0])


def test_gradients_are_those_of_finite_differences() -> None:
    inputs = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    other, mask = torch.randn(3, 4, dtype=torch.float64), torch.tensor([[1, 1, 0, 1]] * 3)

    def everything(inputs: torch.Tensor) -> list[torch.Tensor]:
        dist, reference = Categorical(inputs, mask=mask, temperature=2.0), Categorical(other, mask=mask)
        return [dist.logp([0, 1, 3]), dist.entropy(), dist.kl(reference), reference.kl(dist)]

    assert torch.autograd.gradcheck(everything, inputs)


@settings(max_examples=50, deadline=None)
@given(
    arrays(np.float64, (2, 3, 4), elements=st.floats(-1e3, 1e3)),
    arrays(np.bool_, (3, 4)),
    st.floats(0.1, 10.0),
)
def test_torch_equals_numpy(logits: np.ndarray, mask: np.ndarray, temperature: float) -> None:
    answers = []
    for convert in (np.asarray, torch.tensor):
        first, second = (Categorical(convert(part), mask=convert(mask), temperature=temperature) for part in logits)
        answers.append([first.logp([0, 1, 2]), first.entropy(), first.kl(second), first.deterministic_sample()])
    for numpys, torchs in zip(*answers, strict=True):
        close(torchs, numpys, 1e-9)


def test_noise_drawn_ahead_is_the_noise_of_sample(framework: Framework) -> None:
    logits = framework.array(np.random.default_rng(0).normal(size=(5, 3)))
    for dist in (
        Categorical(logits),
        MultiCategorical(logits, input_lens=[2, 1]),
        MultiCategorical(logits, input_lens=[1, 1, 1]),
    ):
        noise = dist.draw_noise(framework.rng(3), 1)
        assert noise.shape == (1, 5, dist.noise_width)
        assert dist.draw_noise(framework.rng(3), 7).shape == (7, 5, dist.noise_width)
        ahead = dist.sample_from_noise(noise[0])
        assert np.array_equal(ahead, dist.sample(framework.rng(3)))


def test_temperature_can_be_another_default() -> None:
    class Cold(Categorical):
        def __init__(self, inputs: Any, model: Any = None, *, mask: Any = None) -> None:
            super().__init__(inputs, model, mask=mask, temperature=0.5)

    close(Cold(np.array([[1.0, 2.0, 3.0]])).logp([2]), [-0.142931])


def test_required_output_shapes() -> None:
    shape_of = MultiCategorical.required_model_output_shape
    assert Categorical.required_model_output_shape(gym.spaces.Discrete(5, start=2), {}) == 5
    assert shape_of(gym.spaces.MultiDiscrete([2, 3]), {}) == 5
    assert shape_of(gym.spaces.MultiDiscrete([[2, 3], [4, 5]]), {}) == 14
    assert shape_of(gym.spaces.Box(-1, 3, (2, 2), np.int32), {}) == 20
    low, high = np.array([0, -2], np.int8), np.array([1, 100], np.int8)
    assert shape_of(gym.spaces.Box(low, high, dtype=np.int8), {}) == 105
    assert type(Categorical.required_model_output_shape(gym.spaces.Discrete(np.int64(5)), {})) is int


@pytest.mark.spec(135)
def test_multi_categorical_golden(framework: Framework) -> None:
    dist = MultiCategorical(framework.array([[1, 2, 0, 1, 2]]), None, input_lens=[2, 3])
    close(dist.logp(framework.array([[1, 2]], np.int64)), [-0.720868])
    close(dist.logp([framework.array([1], np.int64), framework.array([2], np.int64)]), [-0.720868])
    close(dist.multi_entropy(), [[0.582203, 0.832395]])
    close(dist.entropy(), [0.582203 + 0.832395])
    assert np.asarray(dist.deterministic_sample()).tolist() == [[1, 2]]


@pytest.mark.spec(135)
@pytest.mark.parametrize(
    "space",
    [
        gym.spaces.Box(-1, 1, (2, 2), np.int32),
        gym.spaces.MultiDiscrete([[3, 3], [3, 3]]),
        gym.spaces.MultiDiscrete([[3, 2], [4, 3]]),
        gym.spaces.Box(0, 11, (), np.int32),
    ],
)
def test_samples_have_the_shape_of_the_space(framework: Framework, space: Any) -> None:
    lens = space.nvec.ravel() if hasattr(space, "nvec") else (space.high - space.low + 1).ravel()
    dist = MultiCategorical(
        framework.array(np.random.default_rng(0).normal(size=(5, 12))), input_lens=lens, action_space=space
    )
    actions = dist.sample(framework.rng(0))
    assert actions.shape == (5, *space.shape)
    assert dist.deterministic_sample().shape == (5, *space.shape)
    assert np.asarray(actions).min() >= 0
    assert np.all(np.asarray(actions).reshape(5, -1) < lens)
    flat = xp(actions).reshape(actions, (5, -1))
    close(dist.logp(actions), dist.logp(flat))
    close(dist.logp(actions), dist.logp([flat[:, i] for i in range(len(lens))]))


@pytest.mark.parametrize("lens", [(3, 3, 3), (2, 4, 3)])
def test_components_are_independent_categoricals(framework: Framework, lens: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    logits, others = rng.normal(size=(2, 6, 9))
    mask = rng.random((6, 9)) < 0.7
    cuts = np.cumsum(lens)[:-1]

    def singles(inputs: np.ndarray) -> list[Categorical]:
        parts = zip(np.split(inputs, cuts, -1), np.split(mask, cuts, -1), strict=True)
        return [Categorical(part, mask=m) for part, m in parts]

    dist, other = (
        MultiCategorical(framework.array(part), mask=framework.array(mask, bool), input_lens=lens)
        for part in (logits, others)
    )
    mine, theirs = singles(logits), singles(others)
    actions = np.asarray(dist.deterministic_sample())
    close(dist.logp(actions), sum(np.asarray(part.logp(actions[:, i])) for i, part in enumerate(mine)))
    close(dist.multi_entropy(), np.stack([np.asarray(part.entropy()) for part in mine], -1))
    close(dist.entropy(), np.asarray(dist.multi_entropy()).sum(-1))
    divergences = np.stack([np.asarray(a.kl(b)) for a, b in zip(mine, theirs, strict=True)], -1)
    close(dist.multi_kl(other), divergences)
    close(dist.kl(other), divergences.sum(-1))
    samples = np.stack([np.asarray(dist.sample_from_noise(n)) for n in dist.draw_noise(framework.rng(0), 20)])
    for i, allowed in enumerate(np.split(mask, cuts, -1)):
        allowed = allowed | ~allowed.any(-1, keepdims=True)
        assert allowed[np.arange(6), samples[..., i]].all()


def test_lengths_must_cover_the_inputs() -> None:
    for lens in ([2, 2], [2, 4]):
        with pytest.raises(ValueError, match="5"):
            MultiCategorical(np.zeros((1, 5)), input_lens=lens)


def test_a_sample_s_logp_needs_a_sample(framework: Framework) -> None:
    dist = Categorical(framework.array([[1, 2, 3]]))
    with pytest.raises(AssertionError, match="sample"):
        dist.sampled_action_logp()
    actions = dist.sample(framework.rng(0))
    assert np.array_equal(dist.sampled_action_logp(), dist.logp(actions))


class Coin(ActionDistribution):
    """A distribution as users write one."""

    @staticmethod
    def required_model_output_shape(action_space: Any, model_config: Any) -> int:
        return 7

    def __init__(self, inputs: Any, model: Any) -> None:
        super().__init__(inputs, model)

    def sample(self) -> Any:  # type: ignore[override]
        self.last_sample = np.ones(len(self.inputs), np.int64)
        return self.last_sample

    def logp(self, actions: Any) -> Any:
        return np.log(np.full(len(actions), 0.5))


def test_a_user_s_distribution() -> None:
    model = object()
    dist = Coin(np.zeros((2, 7)), model)
    assert dist.model is model
    assert dist.mask is None
    assert not Coin.sample_takes_rng
    assert not Coin.has_entropy
    assert not Coin.has_kl
    assert dist.draw_noise(None, 3) is None
    assert dist.sample().tolist() == [1, 1]
    close(dist.sampled_action_logp(), [-np.log(2)] * 2)
    for missing in (dist.entropy, dist.multi_entropy, dist.deterministic_sample):
        with pytest.raises(NotImplementedError, match="Coin has no"):
            missing()
    with pytest.raises(NotImplementedError, match="kl"):
        dist.kl(dist)
    with pytest.raises(NotImplementedError, match="kl"):
        dist.multi_kl(dist)


def test_an_empty_distribution_says_what_is_missing() -> None:
    class Empty(ActionDistribution):
        pass

    dist = Empty(np.zeros((1, 1)))
    with pytest.raises(NotImplementedError, match="required_model_output_shape"):
        Empty.required_model_output_shape(None, None)
    with pytest.raises(NotImplementedError, match=r"Empty has no sample\(\)"):
        dist.sample()
    with pytest.raises(NotImplementedError, match="sample_from_noise"):
        dist.sample_from_noise(np.zeros((1, 1)))
    with pytest.raises(NotImplementedError, match="logp"):
        dist.logp(np.zeros(1))


def test_replacing_sample_turns_noise_ahead_off() -> None:
    class Careful(Categorical):
        def sample(self, rng: Any = None) -> Any:
            return super().sample(rng) * 0

    class Scaled(Careful):
        def sample_from_noise(self, noise: Any) -> Any:
            return super().sample_from_noise(noise * 2.0)

    assert Careful(np.zeros((2, 3))).draw_noise(None, 1) is None
    assert Careful(np.zeros((2, 3))).sample().tolist() == [0, 0]
    assert Scaled(np.zeros((2, 3))).draw_noise(None, 4).shape == (4, 2, 3)


def test_a_draw_comes_with_its_likelihood(framework: Framework) -> None:
    dist = Categorical(framework.array([[1.0, 2.0, 3.0]] * 4))
    actions, logp = dist.sample_logp(framework.rng(0))
    assert np.array_equal(actions, dist.sample(framework.rng(0)))
    close(logp, dist.logp(actions))
    coin = Coin(np.zeros((2, 7)), None)
    actions, logp = coin.sample_logp()
    assert (actions.tolist(), logp.tolist()) == ([1, 1], [np.log(0.5)] * 2)


def test_probabilities_are_there_to_be_read(framework: Framework) -> None:
    dist = Categorical(framework.array([[1.0, 2.0, 3.0]]), mask=framework.array([[1, 0, 1]]), temperature=2.0)
    expected = softmax(np.array([0.5, -np.inf, 1.5]))
    close(dist.probs, [expected])
    with np.errstate(divide="ignore"):
        close(dist.log_probs, [np.log(expected)])


def test_a_class_may_declare_that_it_has_no_entropy() -> None:
    class Refusing(Categorical):
        has_entropy = False

    assert Categorical.has_entropy
    assert Categorical.has_kl
    assert not Refusing.has_entropy
    assert Refusing.has_kl
