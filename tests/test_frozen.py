import copy
import pickle
from dataclasses import FrozenInstanceError, dataclass, replace

import pytest

from anyspace.algorithms.config import AlgorithmConfig
from anyspace.algorithms.dqn import DQNConfig
from anyspace.algorithms.ppo import PPOConfig


@dataclass(frozen=True)
class Mine(PPOConfig):
    """PPO's keys and one more."""

    epsilon: float = 0.2
    """Above 0."""


@pytest.mark.parametrize("config", [AlgorithmConfig(), PPOConfig(), DQNConfig(), Mine(epsilon=0.1)])
def test_a_key_that_is_set_says_what_to_do(config: AlgorithmConfig) -> None:
    with pytest.raises(FrozenInstanceError, match=r"Config\.lr|Mine\.lr") as caught:
        config.lr = 1  # type: ignore[misc]
    text = str(caught.value)
    assert "Give lr=1 when you build it" in text
    assert "load(path, lr=1)" in text
    with pytest.raises(FrozenInstanceError, match=r"ModelConfig\.use_lstm .* Give model={'use_lstm': True} when"):
        config.model.use_lstm = True  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError, match=r"has no key 'lrr', and none can be set\. Did you mean 'lr'"):
        config.lrr = 1  # type: ignore[attr-defined]
    with pytest.raises(FrozenInstanceError, match="lr cannot be deleted"):
        del config.lr


def test_a_long_value_is_left_out() -> None:
    with pytest.raises(FrozenInstanceError, match=r"Give env_config=\.\.\. when"):
        PPOConfig().env_config = {"names": ["a"] * 100}  # type: ignore[misc]


def test_copies_are_equal() -> None:
    mine = Mine(epsilon=0.1)
    assert pickle.loads(pickle.dumps(mine)) == copy.deepcopy(mine) == copy.copy(mine) == mine
    assert replace(mine, epsilon=0.3).epsilon == 0.3
    assert mine != Mine()
