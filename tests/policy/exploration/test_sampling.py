import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete, MultiBinary

from anyspace.distributions import ActionDistribution, Bernoulli, Categorical, DiagGaussian
from anyspace.errors import ConfigError
from anyspace.policy.exploration import ALONE, Place, Random, SoftQ, StochasticSampling


class Told(ActionDistribution):
    """Answers with the name of what was called."""

    def sample(self, rng):
        return ("sample", rng)

    def sample_from_noise(self, noise):
        return ("noise", noise)

    def deterministic_sample(self):
        return "deterministic"


class Bare(Told):
    def sample(self):
        return "sample"


class OnlyOnes(ActionDistribution):
    def sample(self):
        return torch.ones(len(self.inputs), dtype=torch.int64)


def test_sampling_when_exploring_and_the_deterministic_action_otherwise():
    choose = StochasticSampling(Discrete(2)).choose
    told, bare = Told(torch.zeros(1, 2)), Bare(torch.zeros(1, 2))
    assert choose(told, explore=True, rng="source", noise=None) == ("sample", "source")
    assert choose(bare, explore=True, rng="source", noise=None) == "sample"
    assert choose(told, explore=True, rng=None, noise="row") == ("noise", "row")
    for distribution in (told, bare):
        assert choose(distribution, explore=False, rng="source", noise="row") == "deterministic"


def test_noise_is_the_distributions_own():
    sampling = StochasticSampling(Discrete(2))
    for kind, inputs, width in ((Categorical, torch.randn(5, 4), 4), (DiagGaussian, torch.randn(5, 6), 3)):
        distribution = kind(inputs)
        noise = sampling.draw(distribution, torch.Generator().manual_seed(3), 7)
        assert noise.shape == (7, 5, width)
        assert torch.equal(noise, distribution.draw_noise(torch.Generator().manual_seed(3), 7))
        raw = sampling.choose(distribution, explore=True, rng=None, noise=noise[2])
        assert torch.equal(raw, distribution.sample_from_noise(noise[2]))


def test_what_cannot_be_drawn_ahead_is_not():
    # Who replaces `sample` is sampled step by step, or the noise would pass that by.
    assert StochasticSampling(Discrete(2)).draw(Bare(torch.zeros(3, 2)), torch.Generator(), 4) is None


def test_neither_place_nor_time_makes_a_difference_to_samples():
    distribution, found = Categorical(torch.zeros(100, 4)), []
    for place, timestep in ((ALONE, 0), (Place(0, 1), 10**6), (Place(3, 5), 7)):
        sampling = StochasticSampling(Discrete(4), place)
        sampling.at(timestep)
        rng = torch.Generator().manual_seed(1)
        found.append(sampling.choose(distribution, explore=True, rng=rng, noise=None))
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])
    assert len(found[0].unique()) == 4
    assert ALONE == (0, 1)


@pytest.mark.spec(146)
def test_the_first_steps_can_be_random():
    sampling = StochasticSampling(Discrete(4), random_timesteps=10)
    certain = Categorical(torch.tensor([[0.0, 99.0, 0.0, 0.0]] * 500))
    noise = sampling.draw(Categorical(torch.zeros(5, 4)), torch.Generator().manual_seed(0), 4)
    assert noise.shape == (4, 5, 5 + 4)
    five = Categorical(certain.inputs[:5])
    taken = torch.stack([sampling.choose(five, explore=True, rng=None, noise=row) for row in noise])
    assert (taken[2:] == 1).all()
    assert (taken[:2] != 1).any()
    spread = sampling.choose(certain, explore=True, rng=torch.Generator().manual_seed(0), noise=None)
    np.testing.assert_allclose(np.bincount(spread) / 500, 0.25, atol=0.08)
    assert (sampling.choose(certain, explore=False, rng=None, noise=None) == 1).all()
    sampling.at(10)
    assert (sampling.choose(certain, explore=True, rng=torch.Generator(), noise=None) == 1).all()
    assert sampling.draw(five, torch.Generator(), 4).shape == (4, 5, 4)


def test_several_processes_take_the_random_first_steps_together():
    """Of the 16 random steps each of two processes with five rows takes 8: the first round, and part of the next."""
    sampling = StochasticSampling(Discrete(4), Place(1, 2), random_timesteps=16)
    five = Categorical(torch.tensor([[0.0, 99.0, 0.0, 0.0]] * 5))
    noise = sampling.draw(five, torch.Generator().manual_seed(0), 4)
    assert (noise[..., 0] < 0).sum(1).tolist() == [5, 3, 0, 0]


def test_random_first_steps_of_what_cannot_be_drawn_ahead():
    sampling = StochasticSampling(Discrete(2), random_timesteps=4)
    bare = OnlyOnes(torch.zeros(200, 2))
    assert sampling.draw(bare, torch.Generator(), 4) is None
    assert set(sampling.choose(bare, explore=True, rng=torch.Generator(), noise=None).tolist()) == {0, 1}
    sampling.at(4)
    assert set(sampling.choose(bare, explore=True, rng=torch.Generator(), noise=None).tolist()) == {1}


@pytest.mark.spec(146)
def test_random_actions_and_the_deterministic_one():
    exploration, mask = Random(Discrete(3)), torch.tensor([[1, 0, 1]] * 900, dtype=torch.bool)
    distribution = Categorical(torch.tensor([[0.0, 9.0, 1.0]] * 900), mask=mask)
    taken = exploration.choose(distribution, explore=True, rng=torch.Generator().manual_seed(0), noise=None)
    np.testing.assert_allclose(np.bincount(taken) / 900, [0.5, 0, 0.5], atol=0.06)
    assert (exploration.choose(distribution, explore=False, rng=None, noise=None) == 2).all()


@pytest.mark.spec(146)
@pytest.mark.parametrize("ahead", [False, True])
@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_soft_q_samples_by_values(temperature, ahead):
    values = torch.tensor([[0.0, 1.0, 0.5]] * 6000)
    exploration, rng = SoftQ(Discrete(3), temperature=temperature), torch.Generator().manual_seed(0)
    distribution = Categorical(values)
    noise = exploration.draw(distribution, rng, 1)[0] if ahead else None
    taken = exploration.choose(distribution, explore=True, rng=rng, noise=noise)
    expected = torch.softmax(values[0] / temperature, 0)
    np.testing.assert_allclose(np.bincount(taken) / 6000, expected, atol=0.025)
    assert (exploration.choose(distribution, explore=False, rng=None, noise=noise) == 1).all()
    bits = SoftQ(MultiBinary(1), temperature=temperature)
    ones = bits.choose(Bernoulli(torch.full((6000, 1), 1.0)), explore=True, rng=rng, noise=None).float().mean()
    assert float(ones) == pytest.approx(1 / (1 + np.exp(-1 / temperature)), abs=0.025)


def test_soft_q_is_for_options():
    with pytest.raises(ConfigError, match="has continuous parts; take StochasticSampling"):
        SoftQ(Box(-1, 1, (2,)))
    with pytest.raises(ConfigError, match="`temperature` is 0"):
        SoftQ(Discrete(2), temperature=0)
    with pytest.raises(ConfigError, match="Bare draws no noise ahead"):
        SoftQ(Discrete(2)).choose(Bare(torch.zeros(3, 2)), explore=True, rng=torch.Generator(), noise=None)
