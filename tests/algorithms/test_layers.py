from __future__ import annotations

from typing import Any

import pytest

from anyspace.algorithms.dqn import DQNConfig
from anyspace.algorithms.layers import overridden
from anyspace.algorithms.sac import SACConfig
from anyspace.policy.exploration import EpsilonGreedy, SoftQ

SECOND = {"sub_exploration": {"type": "EpsilonGreedy", "final_epsilon": 0.1}}
OTHER = {"sub_exploration": {"type": "PerWorkerEpsilonGreedy"}}


@pytest.mark.parametrize(
    ("below", "above", "expected"),
    [
        ({"final_epsilon": 0.1}, {"epsilon_timesteps": 5}, {"final_epsilon": 0.1, "epsilon_timesteps": 5}),
        ({"final_epsilon": 0.1}, {"type": "EpsilonGreedy"}, {"final_epsilon": 0.1, "type": "EpsilonGreedy"}),
        ({"final_epsilon": 0.1}, {"type": EpsilonGreedy}, {"final_epsilon": 0.1, "type": EpsilonGreedy}),
        ({"final_epsilon": 0.1}, {"type": "SoftQ"}, {"type": "SoftQ"}),
        ({"type": SoftQ, "temperature": 2}, {"type": "SoftQ"}, {"type": "SoftQ", "temperature": 2}),
        ({"type": "SoftQ"}, {"temperature": 2}, {"type": "SoftQ", "temperature": 2}),
        ({"type": "SoftQ", "temperature": 2}, {"type": "EpsilonGreedy"}, {"type": "EpsilonGreedy"}),
        ({"final_epsilon": 0.1}, {"epsilon_schedule": [(0, 1.0)]}, {"epsilon_schedule": [(0, 1.0)]}),
        ({"epsilon_schedule": [(0, 1.0)]}, {"final_epsilon": 0.1}, {"final_epsilon": 0.1}),
        (SECOND, OTHER, OTHER),
        (
            SECOND,
            {"sub_exploration": {"initial_epsilon": 1.0}},
            {"sub_exploration": {"type": "EpsilonGreedy", "final_epsilon": 0.1, "initial_epsilon": 1.0}},
        ),
    ],
    ids=str,
)
def test_options_of_one_exploration_are_laid_over_each_other(
    below: dict[str, Any], above: dict[str, Any], expected: dict[str, Any]
) -> None:
    found = overridden(DQNConfig(), {"exploration_config": below}, {"exploration_config": above})
    assert found.exploration_config == expected


def test_keys_of_one_network_are_laid_over_each_other_and_other_dicts_replace() -> None:
    below: dict[str, Any] = {"q_model_config": {"fcnet_hiddens": [4]}, "env_config": {"a": 1}}
    found = overridden(SACConfig(), below, {"q_model_config": {"fcnet_activation": "tanh"}, "env_config": {"b": 2}})
    assert isinstance(found, SACConfig)
    assert found.q_model_config == {"fcnet_hiddens": [4], "fcnet_activation": "tanh"}
    assert found.env_config == {"b": 2}
