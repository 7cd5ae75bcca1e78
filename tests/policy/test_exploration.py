import torch
from gymnasium.spaces import Discrete

from anyspace.distributions import ActionDistribution
from anyspace.policy.exploration import StochasticSampling


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
