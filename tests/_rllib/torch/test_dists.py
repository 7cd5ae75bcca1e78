"""Distributions around ``torch.distributions``: the built-in densities, and the effect of what sub-classes set."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete
from torch import distributions as td

from anyspace import distributions
from anyspace._rllib.torch import dists as old
from anyspace.models.catalog import ModelCatalog
from anyspace.spaces import Simplex

ROWS = 5
PLANE = Box(-1.0, 1.0, (2,))


def inputs(width: int, seed: int = 0) -> torch.Tensor:
    return torch.randn((ROWS, width), generator=torch.Generator().manual_seed(seed), requires_grad=True)


def pair(name: str, width: int, **extras: Any) -> tuple[Any, Any]:
    """Return what makes a distribution of this file, and the built-in one that it has to equal."""
    return partial(getattr(old, f"Torch{name}"), **extras), partial(getattr(distributions, name), **extras)


KINDS = {
    "Categorical": (4, {}, torch.tensor([0, 1, 2, 3, 3])),
    "MultiCategorical": (
        5,
        {"model": None, "input_lens": [2, 3]},
        torch.tensor([[0, 2], [1, 1], [0, 0], [1, 2], [1, 0]]),
    ),
    "SlateMultiCategorical": (
        6,
        {"action_space": MultiDiscrete([3, 3])},
        torch.tensor([[0, 1], [2, 1], [1, 2]] * 2)[:5],
    ),
    "Bernoulli": (3, {"action_space": MultiBinary(3)}, torch.tensor([[0, 1, 0], [1, 1, 1]] * 3)[:5]),
    "DiagGaussian": (4, {"log_std_clip": 0.5}, torch.linspace(-2, 2, 10).view(5, 2)),
    "SquashedGaussian": (4, {"low": -2.0, "high": [1.0, 3.0]}, torch.linspace(-1.9, 0.9, 10).view(5, 2)),
    "Beta": (4, {"low": [0.0, -1.0], "high": 2.0}, torch.linspace(0.1, 1.9, 10).view(5, 2)),
    "Deterministic": (2, {}, torch.zeros(5, 2)),
    "Dirichlet": (4, {"action_space": Simplex((2, 2))}, torch.full((5, 2, 2), 0.5) + torch.tensor([0.1, -0.1])),
}


@pytest.mark.parametrize("name", KINDS)
def test_they_equal_the_built_in_ones(name: str) -> None:
    width, extras, actions = KINDS[name]
    mine, theirs = pair(name, width, **extras)
    made, wanted = mine(inputs(width)), theirs(inputs(width))
    other, wanted_other = mine(inputs(width, 1)), theirs(inputs(width, 1))
    assert isinstance(made, old.TorchDistributionWrapper)
    assert (made.has_entropy, made.has_kl, made.depends_on_model) == (wanted.has_entropy, wanted.has_kl, False)
    torch.testing.assert_close(made.logp(actions), wanted.logp(actions), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(made.deterministic_sample(), wanted.deterministic_sample())
    if made.has_entropy:
        torch.testing.assert_close(made.entropy(), wanted.entropy(), atol=1e-5, rtol=1e-5)
    if made.has_kl:
        torch.testing.assert_close(made.kl(other), wanted.kl(wanted_other), atol=1e-5, rtol=1e-4)
    assert made.sample().shape == wanted.sample().shape
    torch.testing.assert_close(made.sampled_action_logp(), wanted.logp(made.last_sample), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", KINDS)
def test_arrays_become_tensors(name: str) -> None:
    width, extras, actions = KINDS[name]
    mine, _ = pair(name, width, **extras)
    made = mine(inputs(width).detach().numpy())
    assert all(isinstance(x, torch.Tensor) for x in (made.inputs, made.sample(), made.logp(actions.numpy())))


@pytest.mark.parametrize("name", ["Categorical", "MultiCategorical", "SlateMultiCategorical", "Bernoulli"])
def test_masked_options_have_no_probability_and_no_gradient(name: str) -> None:
    width, extras, _ = KINDS[name]
    mine, theirs = pair(name, width, **extras)
    entries = {"Bernoulli": 2 * width}.get(name, width)
    mask = torch.ones(ROWS, entries)
    mask[:, 0] = 0
    mask[0] = 0  # allows everything
    values = inputs(width)
    made, wanted = mine(values, mask=mask), theirs(inputs(width), mask=mask)
    torch.testing.assert_close(made.entropy(), wanted.entropy())
    torch.testing.assert_close(
        made.kl(mine(inputs(width, 1), mask=mask)), wanted.kl(theirs(inputs(width, 1), mask=mask))
    )
    torch.testing.assert_close(made.deterministic_sample(), wanted.deterministic_sample())
    for _ in range(20):
        assert (wanted.logp(made.sample()) > -1e30).all()
    (gradient,) = torch.autograd.grad((made.entropy() + made.kl(mine(inputs(width, 1), mask=mask))).sum(), values)
    assert gradient.isfinite().all()
    if name != "SlateMultiCategorical":
        assert not gradient[1:, 0].any()


@pytest.mark.parametrize("row", [[0.5, -3.4e38], [-3.4e38, -3.4e38], [1.0, 2.0]])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_options_that_a_model_masks_itself(row: list[float], temperature: float) -> None:
    space = MultiDiscrete([2])
    of_class = old.get_torch_categorical_class_with_temperature(temperature)
    for build in (
        lambda inputs: old.TorchCategorical(inputs, None, temperature),
        lambda inputs: old.TorchSlateMultiCategorical(inputs, None, temperature, space),
        of_class,
    ):
        inputs = torch.tensor([row], requires_grad=True)
        dist, reference = build(inputs), distributions.Categorical(torch.tensor([row]), temperature=temperature)
        ours = dist.option_log_probs()[0].exp().detach()
        torch.testing.assert_close(ours, reference.probs)
        (gradient,) = torch.autograd.grad(dist.kl(build(torch.zeros(1, 2))) + dist.entropy(), inputs)
        assert gradient.isfinite().all()


def test_temperature() -> None:
    values = inputs(4)
    kept = values.detach().clone()
    for made in (
        old.TorchCategorical(values, None, 2.0),
        old.get_torch_categorical_class_with_temperature(2.0)(values),
    ):
        torch.testing.assert_close(made.dist.logits, (kept / 2).log_softmax(dim=-1))
    assert torch.equal(values, kept)
    with pytest.raises(AssertionError, match="temperature above 0"):
        old.TorchCategorical(values, None, 0.0)
    relaxed = old.TorchGumbelSoftmax(values, None, 0.5)
    assert relaxed.temperature == 0.5
    assert not relaxed.depends_on_model


def test_parts_under_their_old_names() -> None:
    gaussian, squashed = old.TorchDiagGaussian(inputs(4)), old.TorchSquashedGaussian(inputs(4))
    assert torch.equal(gaussian.log_std, inputs(4)[:, 2:])
    assert torch.equal(squashed.mean, inputs(4)[:, :2])
    assert torch.equal(squashed.std, squashed.dist.scale)
    assert [choice.logits.shape[1] for choice in old.TorchMultiCategorical(inputs(5), None, [2, 3]).cats] == [2, 3]
    beta = old.TorchBeta(inputs(4), None, 0.0, 1.0)
    assert torch.equal(beta.inputs[:, :2], beta.dist.concentration1)
    assert torch.equal(beta.inputs[:, 2:], beta.dist.concentration0)
    assert old.TorchDirichlet(inputs(3)).dist.concentration.shape == (5, 3)


class Narrow(old.TorchDiagGaussian):
    """Deviations of 1e-3, whatever the model says."""

    def __init__(self, inputs: Any, model: Any = None):
        super().__init__(inputs, model)
        self.dist = td.Normal(self.dist.mean, torch.full_like(self.dist.mean, 1e-3))


class Uniform(old.TorchMultiCategorical):
    """The first choice replaced, in the list itself."""

    def __init__(self, inputs: Any, model: Any = None):
        super().__init__(inputs, model, [2, 3])
        self.cats[0] = td.Categorical(logits=torch.tensor([[50.0, -50.0]]).expand(len(self.inputs), 2))


class Past(old.TorchBeta):
    """Sets everything itself, past the constructor of TorchBeta."""

    def __init__(self, inputs: Any, model: Any = None, low: float = 0.0, high: float = 1.0):
        old.TorchDistributionWrapper.__init__(self, inputs, model)
        self.inputs = torch.nn.functional.softplus(self.inputs) + 2.0
        self.low, self.high = low, high
        alpha, beta = torch.chunk(self.inputs, 2, dim=-1)
        self.dist = td.Beta(alpha, beta)


class Sigmoid(old.TorchSquashedGaussian):
    """Squashed by another function."""

    def _squash(self, raw_values: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(raw_values)

    def _unsquash(self, values: torch.Tensor) -> torch.Tensor:
        return torch.logit(values)


def test_what_a_sub_class_sets_is_what_samples_and_scores() -> None:
    narrow = Narrow(inputs(4))
    assert (narrow.sample() - narrow.dist.mean).abs().max() < 0.01
    torch.testing.assert_close(narrow.logp(narrow.last_sample), narrow.dist.log_prob(narrow.last_sample).sum(-1))
    torch.testing.assert_close(narrow.entropy(), narrow.dist.entropy().sum(-1))
    torch.testing.assert_close(narrow.kl(narrow), torch.zeros(5))

    uniform = Uniform(inputs(5))
    assert not uniform.sample()[:, 0].any()
    assert not uniform.deterministic_sample()[:, 0].any()
    torch.testing.assert_close(uniform.entropy(), uniform.cats[1].entropy(), atol=1e-6, rtol=0)

    past, actions = Past(inputs(4)), torch.rand(5, 2) * 0.8 + 0.1
    torch.testing.assert_close(past.logp(actions), past.dist.log_prob(actions).sum(-1))
    torch.testing.assert_close(past.deterministic_sample(), past.dist.mean)
    torch.testing.assert_close(past.entropy(), past.dist.entropy().sum(-1))

    sigmoid = Sigmoid(inputs(4))
    torch.testing.assert_close(sigmoid.deterministic_sample(), sigmoid.mean.sigmoid())
    assert ((sigmoid.sample() > 0) & (sigmoid.sample() < 1)).all()


class Doubled(old.TorchSquashedGaussian):
    """With an entropy of its own."""

    def entropy(self) -> torch.Tensor:
        return 2 * self.std.log().sum(-1)


class Silent(old.TorchSquashedGaussian):
    """Overrides nothing that concerns the entropy."""


def test_a_sub_class_has_an_entropy_where_it_gives_one() -> None:
    assert Doubled.has_entropy
    assert not Silent.has_entropy
    with pytest.raises(ValueError, match="no entropy in closed form"):
        Silent(inputs(4)).entropy()


class Parts(old.TorchMultiActionDistribution):
    """Reads the parts of its children."""

    def entropy(self) -> torch.Tensor:
        return sum(child.dist.entropy().reshape(len(self.inputs), -1).sum(-1) for child in self.children)


def test_children_of_several_parts_are_wrappers_as_well() -> None:
    space = Dict(a=Discrete(3), b=PLANE, c=MultiDiscrete([2, 2]))
    factory, size = ModelCatalog.get_action_dist(space, {"custom_action_dist": old.TorchMultiActionDistribution})
    made = factory(inputs(size), None)
    wanted = ModelCatalog.get_action_dist(space)[0](inputs(size), None)
    assert [type(child).__name__ for child in made.children] == [
        "TorchCategorical",
        "TorchDiagGaussian",
        "TorchMultiCategorical",
    ]
    torch.testing.assert_close(made.logp(made.sample()), wanted.logp(made.last_sample))
    torch.testing.assert_close(made.entropy(), wanted.entropy())
    parts = partial(Parts, action_space=Dict(a=Discrete(3), b=PLANE))
    found = parts(
        inputs(7), None, child_distributions=[distributions.Categorical, distributions.DiagGaussian], input_lens=[3, 4]
    )
    assert found.entropy().shape == (5,)
