"""Samples with their log-probability: right values, and gradients along the path of the sample."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

from anyspace._rllib.torch.dists import (
    TorchBernoulli,
    TorchCategorical,
    TorchDiagGaussian,
    TorchDistributionWrapper,
    TorchMultiCategorical,
)
from anyspace.distributions import (
    Bernoulli,
    Beta,
    Categorical,
    Deterministic,
    DiagGaussian,
    Dirichlet,
    MultiActionDistribution,
    MultiCategorical,
    SquashedGaussian,
)
from anyspace.spaces import Simplex
from tests.support.frameworks import Framework

SHARES = Simplex((3,))
CONTINUOUS: dict[str, tuple[Callable[..., Any], list[float]]] = {
    "DiagGaussian": (DiagGaussian, [0.3, -0.4, -0.5, 0.2]),
    "limited DiagGaussian": (partial(DiagGaussian, log_std_clip=0.3), [0.3, -0.4, -0.2, 0.2]),
    "SquashedGaussian": (SquashedGaussian, [0.3, -0.4, -0.5, 0.2]),
    "stretched SquashedGaussian": (partial(SquashedGaussian, low=[-3.0, 0.0], high=1.5), [0.3, -0.4, -0.5, 0.2]),
    "Beta": (Beta, [0.3, -0.4, -0.5, 0.2]),
    "Dirichlet": (partial(Dirichlet, action_space=SHARES), [0.3, 1.2, 0.7]),
    "Deterministic": (Deterministic, [0.3, -0.4]),
}
every = pytest.mark.parametrize("name", CONTINUOUS)


def close(ours: Any, expected: Any, tolerance: float = 1e-5) -> None:
    np.testing.assert_allclose(np.asarray(ours), np.asarray(expected), rtol=tolerance, atol=tolerance)


@every
def test_the_log_density_is_that_of_the_sample(framework: Framework, name: str) -> None:
    build, row = CONTINUOUS[name]
    dist = build(framework.array([row] * 5))
    actions, logp = dist.sample_logp(framework.rng(3))
    assert logp.shape == (5,)
    assert actions.shape == dist.deterministic_sample().shape
    close(logp, dist.logp(actions), 2e-4)


@every
def test_means_of_gradients_are_the_derivatives_of_means(name: str) -> None:
    """Of E[f(x)] and of the entropy E[-log p(x)], by central differences of a great many draws."""
    build, row = CONTINUOUS[name]
    rows = 60_000

    def means(inputs: torch.Tensor) -> torch.Tensor:
        actions, logp = build(inputs.expand(rows, len(row))).sample_logp(torch.Generator().manual_seed(0))
        weights = torch.tensor([1.0, 2.0, -1.0][: actions.shape[1]], dtype=torch.float64)
        return torch.stack([(actions.double() @ weights).mean(), -logp.double().mean()])

    inputs = torch.tensor(row, dtype=torch.float64, requires_grad=True)
    found = [torch.autograd.grad(mean, inputs, retain_graph=True, allow_unused=True)[0] for mean in means(inputs)]
    gradient = torch.stack([torch.zeros_like(inputs) if one is None else one for one in found])
    steps = 0.1 * torch.eye(len(row), dtype=torch.float64)
    with torch.no_grad():
        differences = torch.stack([(means(inputs + step) - means(inputs - step)) / 0.2 for step in steps], dim=1)
    close(gradient, differences, 4e-2)
    assert name == "Deterministic" or gradient.abs().max() > 0.1


def test_sampling_for_a_rollout_has_no_gradient() -> None:
    inputs = torch.zeros(2, 4, requires_grad=True)
    assert not DiagGaussian(inputs).sample(torch.Generator().manual_seed(0)).requires_grad


class Halved(DiagGaussian):
    """Draws in a way of its own."""

    def sample(self, rng: Any = None) -> Any:
        return self._as_actions(0.5 * self.mean)


class Tempered(SquashedGaussian):
    """Scores in a way of its own."""

    def logp(self, actions: Any) -> Any:
        return 0.5 * super().logp(actions)


def test_classes_that_draw_or_score_by_themselves_are_asked() -> None:
    actions, logp = Halved(np.ones((2, 4))).sample_logp()
    close(actions, np.full((2, 2), 0.5))
    close(logp, DiagGaussian(np.ones((2, 4))).logp(actions))
    tempered = Tempered(np.ones((2, 4)))
    actions, logp = tempered.sample_logp(np.random.default_rng(0))
    close(logp, 0.5 * SquashedGaussian(np.ones((2, 4))).logp(actions), 1e-3)


class ScoredGaussian(DiagGaussian):
    """Scores in a way of its own."""

    def logp(self, actions: Any) -> Any:
        return super().logp(actions) - 1.0


class ScoredTorchGaussian(TorchDiagGaussian):
    """Scores in a way of its own."""

    def logp(self, actions: Any) -> Any:
        return super().logp(actions) - 1.0


class Wrapped(TorchDistributionWrapper):
    """Says what it wraps, and nothing else."""

    def __init__(self, inputs: Any, model: Any = None):
        super().__init__(inputs, model)
        mean, log_std = self.inputs.chunk(2, dim=-1)
        self.dist = torch.distributions.Independent(torch.distributions.Normal(mean, log_std.exp()), 1)


class Redrawn(DiagGaussian):
    """Draws in a way of its own, and says along which path."""

    def sample(self, rng: Any = None) -> Any:
        return self.path_sample(rng).detach()

    def path_sample(self, rng: Any = None) -> Any:
        return 0.5 * super().path_sample(rng)


@pytest.mark.parametrize("kind", [ScoredGaussian, ScoredTorchGaussian, Tempered, Wrapped, Redrawn])
def test_samples_carry_gradients_whatever_a_class_overrides(kind: Any) -> None:
    """Of classes of their own, and as a part of an action."""
    inputs = torch.full((3, 4), 0.3, requires_grad=True)
    whole = {"child_distributions": [kind], "input_lens": [4], "action_space": spaces.Tuple([spaces.Box(-1, 1, (2,))])}
    for dist in (kind(inputs), MultiActionDistribution(inputs, **whole)):
        for actions in (dist.path_sample(), dist.sample_logp()[0]):
            (leaf,) = actions if isinstance(actions, tuple) else (actions,)
            (gradient,) = torch.autograd.grad(leaf.sum(), inputs, retain_graph=True)
            assert gradient.all()
        close(dist.sampled_action_logp().detach(), dist.logp(dist.last_sample).detach())
    assert not DiagGaussian(inputs).sample().requires_grad


# ---------------------------------------------------------------------------------------- of parts

SPACE = spaces.Tuple((spaces.Discrete(3), spaces.Box(-1, 1, (2,)), SHARES, spaces.MultiBinary(2)))


def parts(inputs: Any, **given: Any) -> MultiActionDistribution:
    children = [Categorical, SquashedGaussian, partial(Dirichlet, action_space=SHARES), Bernoulli]
    return MultiActionDistribution(
        inputs, child_distributions=children, input_lens=[3, 4, 3, 2], action_space=SPACE, **given
    )


def test_a_sample_of_parts(framework: Framework) -> None:
    dist = parts(framework.array(0.3 * np.random.default_rng(0).normal(size=(5, 12))))
    actions, logp = dist.sample_logp(framework.rng(1))
    close(logp, dist.logp(actions), 2e-4)
    assert dist.last_sample is actions


def test_gradients_of_parts_reach_their_own_inputs() -> None:
    inputs = torch.zeros(4, 12, requires_grad=True)
    actions, _ = parts(inputs).sample_logp(torch.Generator().manual_seed(0))
    (gradient,) = torch.autograd.grad((actions[1] ** 2).sum() + (actions[2] ** 2).sum(), inputs)
    assert gradient[:, 3:10].any(dim=0).all()
    assert not gradient[:, :3].any()
    assert not gradient[:, 10:].any()


# ------------------------------------------------------------------------------- of options of choices


def test_options_of_every_choice(framework: Framework) -> None:
    logits = np.random.default_rng(0).normal(size=(2, 7))
    uneven = MultiCategorical(framework.array(logits), input_lens=[3, 4])
    assert [part.shape for part in uneven.option_log_probs()] == [(2, 3), (2, 4)]
    even = MultiCategorical(framework.array(logits[:, :6]), input_lens=[3, 3])
    bits = Bernoulli(framework.array(logits[:, :2]))
    for dist, cut in ((uneven, [3]), (even, [3])):
        width = dist.inputs.shape[1]
        for log_probs, part in zip(dist.option_log_probs(), np.split(logits[:, :width], cut, 1), strict=True):
            close(log_probs, part - np.log(np.exp(part).sum(1, keepdims=True)))
    for bit, log_probs in enumerate(bits.option_log_probs()):
        ones = 1 / (1 + np.exp(-logits[:, bit]))
        close(np.exp(np.asarray(log_probs)), np.stack([1 - ones, ones], 1))
    close(Categorical(framework.array(logits)).option_log_probs()[0], Categorical(logits).log_probs)
    assert DiagGaussian(framework.array(logits[:, :4])).option_log_probs() == []


def test_options_of_parts_and_masks(framework: Framework) -> None:
    mask = [framework.array([[1, 0, 1]] * 2), None, None, framework.array([[1, 0, 1, 1]] * 2)]
    dist = parts(framework.array(np.zeros((2, 12))), mask=mask)
    found = [np.exp(np.asarray(log_probs))[0].tolist() for log_probs in dist.option_log_probs()]
    assert found == [pytest.approx([0.5, 0, 0.5]), pytest.approx([1, 0]), pytest.approx([0.5, 0.5])]


@pytest.mark.parametrize(
    ("build", "old"),
    [
        (Categorical, TorchCategorical),
        (partial(MultiCategorical, input_lens=[3, 2]), partial(TorchMultiCategorical, model=None, input_lens=[3, 2])),
        (Bernoulli, TorchBernoulli),
    ],
    ids=["one", "several", "bits"],
)
def test_options_of_old_files(build: Any, old: Any) -> None:
    inputs = torch.randn(4, 5, generator=torch.Generator().manual_seed(0))
    for theirs, ours in zip(old(inputs).option_log_probs(), build(inputs).option_log_probs(), strict=True):
        torch.testing.assert_close(theirs, ours)
