from dataclasses import dataclass
from functools import partial

import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

from anyspace.config import merge
from anyspace.errors import ConfigError
from anyspace.models.torch.runtime import TorchRuntime
from anyspace.policy.config import PolicyConfig
from anyspace.policy.exploration import (
    ALONE,
    EpsilonGreedy,
    GaussianNoise,
    OrnsteinUhlenbeckNoise,
    ParameterNoise,
    PerWorkerEpsilonGreedy,
    Place,
    Random,
    SoftQ,
    StochasticSampling,
    exploration_of,
)
from anyspace.policy.exploration.chosen import NOT_OFFERED
from anyspace.policy.policy import Policy

THREE, BOX = Discrete(3), Box(-1, 1, (2,))


class Mine(StochasticSampling):
    """An exploration of a user's."""

    def __init__(self, action_space, place=ALONE, **settings):
        super().__init__(action_space, place)
        self.settings = settings


@dataclass(eq=False, kw_only=True)
class Shy(StochasticSampling):
    """One with a keyword of its own."""

    mood: "Unknown" = None  # noqa: F821


@pytest.mark.parametrize(
    "kind",
    [
        StochasticSampling,
        Random,
        EpsilonGreedy,
        PerWorkerEpsilonGreedy,
        SoftQ,
        GaussianNoise,
        OrnsteinUhlenbeckNoise,
        ParameterNoise,
    ],
)
def test_short_names(kind):
    space = BOX if kind in (GaussianNoise, OrnsteinUhlenbeckNoise) else THREE
    made = exploration_of(StochasticSampling, {"type": kind.__name__}, space, Place(1, 3))
    assert type(made) is kind
    assert (made.action_space, made.place) == (space, Place(1, 3))


def test_paths_and_classes():
    for given in (f"{__name__}:Mine", f"{__name__}.Mine", Mine):
        made = exploration_of(StochasticSampling, {"type": given, "anything": 3}, THREE, ALONE)
        assert type(made).__name__ == "Mine"
        assert made.settings == {"anything": 3}


def test_keywords_are_laid_over_the_algorithms_own():
    default = partial(EpsilonGreedy, final_epsilon=0.02, epsilon_timesteps=100)
    for config in ({"epsilon_timesteps": 10}, {"type": "EpsilonGreedy", "epsilon_timesteps": 10}):
        made = exploration_of(default, config, THREE, ALONE)
        made.at(10)
        assert made.epsilon == pytest.approx(0.02)
    made = exploration_of(default, {"type": "SoftQ", "temperature": 3.0}, THREE, ALONE)
    assert made.temperature == 3.0


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"type": "EpsilonGreed"}, r"'EpsilonGreed', which is unknown. Did you mean 'EpsilonGreedy'"),
        ({"type": "nowhere.to:Be"}, "cannot be imported"),
        ({"type": 3}, "must be a class of explorations, but is 3"),
        ({"epsilon_timestep": 3}, r"'epsilon_timestep', which EpsilonGreedy does not take.* 'epsilon_timesteps'"),
        ({"exploration_fraction": 0.1}, r"does not take\. It is `epsilon_timesteps` here, in environment steps"),
        ({"exploration_final_eps": 0.1}, r"does not take\. It is `final_epsilon` here, the same number\. It takes"),
        ({"type": "Random", "exploration_final_eps": 0.1}, r"Random does not take\. It takes: nothing\."),
        ({"type": "Random", "temperature": 1.0}, r"'temperature', which Random does not take. It takes: nothing."),
        ({"initial_epsilon": 2.0}, "`initial_epsilon` is 2.0"),
        ({"final_epsilon": 2.0}, "`final_epsilon` is 2.0"),
        ({"epsilon_timesteps": "5000"}, r"`epsilon_timesteps` takes int, but '5000' \(str\) came"),
        ({"epsilon_schedule": [0, 1]}, r"`epsilon_schedule` takes list.* or None, but \[0, 1\]"),
        ({"epsilon_schedule": [(0, 2.0)]}, r"`epsilon_schedule` is \[\(0.0, 2.0\)\], but a probability"),
        ({"epsilon_schedule": [(0, 1)], "final_epsilon": 0.1}, "has `epsilon_schedule` and `final_epsilon`, but"),
        ({"type": "SoftQ", "temperature": float("inf")}, "`temperature` is inf, but it must be a finite number"),
        ({"type": Shy, "random_timesteps": 0.5}, "`random_timesteps` takes int, but 0.5"),
    ],
)
def test_mistakes_are_named(config, message):
    with pytest.raises(ConfigError, match=message):
        exploration_of(partial(EpsilonGreedy, final_epsilon=0.02), config, THREE, ALONE)


@pytest.mark.parametrize("key", ["initial_scale", "final_scale"])
def test_each_number_goes_by_its_own_name(key):
    with pytest.raises(ConfigError, match=f"`{key}` is -1.0, but a scale is at least 0"):
        exploration_of(GaussianNoise, {key: -1}, BOX, ALONE)


def test_keywords_are_settled_and_those_of_a_user_are_their_own():
    made = exploration_of(EpsilonGreedy, {"epsilon_schedule": [[0, 1], [10, 0]]}, THREE, ALONE)
    assert made.epsilon_schedule == [(0.0, 1.0), (10.0, 0.0)]
    shy = exploration_of(Shy, {"mood": ["any", "thing"]}, THREE, ALONE)
    assert shy.mood == ["any", "thing"]


@pytest.mark.parametrize("name", NOT_OFFERED)
def test_what_is_not_offered_says_what_to_do(name):
    with pytest.raises(ConfigError, match=f"is of type '{name}': {NOT_OFFERED[name][:20]}"):
        exploration_of(StochasticSampling, {"type": name}, THREE, ALONE)


def test_a_policy_explores_as_configured_and_remembers():
    def policy(settings, **more):
        config = merge(PolicyConfig(), {"exploration_config": settings, "model": {"fcnet_hiddens": [4]}, **more})
        return Policy(BOX, Box(-2, 6, (1,)), config, TorchRuntime("cpu"), seed=1)

    settings = {"type": "OrnsteinUhlenbeckNoise", "random_timesteps": 0}
    made, other = policy(settings), policy(settings)
    assert made.exploration.action_space == Box(-1, 1, (1,))
    assert policy(settings, normalize_actions=False).exploration.action_space == Box(-2, 6, (1,))
    with made.acting("acting") as act:
        act.draw_noise(made.new_distribution(3), 5)
    assert made.state()["exploration/x"].shape == (3, 1)
    other.load_state(made.state())
    np.testing.assert_array_equal(other.state()["exploration/x"], made.state()["exploration/x"])
    plain = policy({})
    assert not [name for name in plain.state() if name.startswith("exploration")]
    plain.load_state(made.state())
