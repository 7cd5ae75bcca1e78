"""How an action is chosen from its distribution: explorations as objects, which may have a schedule and a state.

| name | exploring |
|---|---|
| StochasticSampling | samples the distribution |
| Random | random actions |
| EpsilonGreedy, PerWorkerEpsilonGreedy | the best action, and with a probability that falls a random one |
| SoftQ | samples softmax(values / temperature) |
| GaussianNoise, OrnsteinUhlenbeckNoise | the deterministic action with noise |
| ParameterNoise | what a network with noise on its weights would do |

Without exploring, all of them take the deterministic action. The config key `exploration_config` chooses one, as in
``{"type": "EpsilonGreedy", "epsilon_timesteps": 5000}``; a class of your own goes by ``package.module:Class``.
"""

from anyspace.policy.exploration.chosen import exploration_of, kind_of
from anyspace.policy.exploration.epsilon import EpsilonGreedy, PerWorkerEpsilonGreedy
from anyspace.policy.exploration.keywords import Factory
from anyspace.policy.exploration.noise import GaussianNoise, OrnsteinUhlenbeckNoise
from anyspace.policy.exploration.parameter_noise import ParameterNoise
from anyspace.policy.exploration.protocol import (
    ALONE,
    Exploration,
    PerturbingExploration,
    Place,
    ReportingExploration,
    StatefulExploration,
)
from anyspace.policy.exploration.sampling import Random, SoftQ, StochasticSampling

__all__ = [
    "ALONE",
    "EpsilonGreedy",
    "Exploration",
    "Factory",
    "GaussianNoise",
    "OrnsteinUhlenbeckNoise",
    "ParameterNoise",
    "PerWorkerEpsilonGreedy",
    "PerturbingExploration",
    "Place",
    "Random",
    "ReportingExploration",
    "SoftQ",
    "StatefulExploration",
    "StochasticSampling",
    "exploration_of",
    "kind_of",
]
