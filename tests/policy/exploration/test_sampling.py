import torch
from gymnasium.spaces import Discrete

from anyspace.distributions import ActionDistribution, Categorical, DiagGaussian
from anyspace.policy.exploration import ALONE, Place, StochasticSampling


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
