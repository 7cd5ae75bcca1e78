"""Every key that SAC has beside PPO's has an effect; so have those of PPO's that reach SAC in a way of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from gymnasium import spaces

from anyspace import SAC
from anyspace.algorithms.ppo import PPOConfig
from anyspace.algorithms.sac import SACConfig
from anyspace.config import paths
from tests.support.hashes import PAIR, VECTOR, sampled
from tests.support.keys import fingerprint, trained

TESTS = Path(__file__).parent.parent
STEERING = sampled(VECTOR, spaces.Box(-3.0, 1.0, (2,)))
BOTH = sampled(VECTOR, PAIR)

SETTINGS: dict[str, Any] = {
    "seed": 1,
    "train_batch_size": 4,
    "replay_capacity": 40,
    "num_steps_sampled_before_learning_starts": 6,
    "min_sample_timesteps_per_iteration": 10,
    "lr": 1e-2,
    "tau": 0.1,
    "model.fcnet_hiddens": [4],
}
LSTM = {"model.use_lstm": True, "model.lstm_cell_size": 4, "model.max_seq_len": 3}
PRIORITIES = {"prioritized_replay": True, "lr": 0.1}

EFFECTS: dict[str, tuple[Any, dict[str, Any], Any, Any]] = {
    "policy_model_config": (STEERING, {}, {}, {"fcnet_hiddens": [5]}),
    "q_model_config": (STEERING, {}, {}, {"fcnet_hiddens": [5]}),
    "twin_q": (STEERING, {}, True, False),
    "initial_alpha": (STEERING, {}, 1.0, 0.1),
    "target_entropy": (BOTH, {}, "auto", {"discrete": 0.2, "continuous": -5.0}),
    "td_error_loss_fn": (STEERING, {}, "huber", "mse"),
    "actor_lr": (STEERING, {}, None, 1e-3),
    "critic_lr": (STEERING, {}, None, 1e-3),
    "alpha_lr": (STEERING, {}, None, 1e-3),
    "min_sample_timesteps_per_iteration": (STEERING, {}, 10, 12),
    "num_steps_sampled_before_learning_starts": (STEERING, {}, 6, 8),
    "training_intensity": (STEERING, {}, None, 2.0),
    "n_step": (STEERING, {}, 1, 3),
    "target_network_update_freq": (STEERING, {}, 0, 5),
    "tau": (STEERING, {}, 0.1, 0.5),
    "replay_capacity": (STEERING, {}, 12, 40),
    "prioritized_replay": (STEERING, {}, False, True),
    "prioritized_replay_alpha": (STEERING, PRIORITIES, 0.2, 1.0),
    "prioritized_replay_beta": (STEERING, PRIORITIES, 0.0, 1.0),
    "prioritized_replay_eps": (STEERING, PRIORITIES, 1e-6, 10.0),
    "replay_burn_in": (STEERING, LSTM, 0, 2),
    # Keys that PPO has as well, but that reach SAC's learner and networks in a way of their own.
    "lr": (STEERING, {}, 1e-3, 1e-2),
    "lr_schedule": (STEERING, {}, None, [(0, 0.0), (24, 1e-2)]),
    "adam_epsilon": (STEERING, {}, 1e-8, 1.0),
    "grad_clip": (STEERING, {}, None, 0.01),
    "gamma": (STEERING, {}, 0.5, 0.99),
    "train_batch_size": (STEERING, {}, 4, 6),
    "rollout_fragment_length": (STEERING, {}, 1, 4),
    "normalize_actions": (STEERING, {}, True, False),
    "clip_rewards": (STEERING, {}, 0.5, False),
    "model.fcnet_hiddens": (STEERING, {}, [4], [5]),
    "model.fcnet_activation": (STEERING, {}, "tanh", "relu"),
    "model.free_log_std": (STEERING, {}, False, True),
    "model.custom_action_dist": (STEERING, {}, None, "Beta"),
    "model.use_lstm": (STEERING, {}, False, True),
    "model.use_gru": (STEERING, {}, False, True),
    "model.max_seq_len": (STEERING, LSTM, 2, 3),
    "model.lstm_cell_size": (STEERING, LSTM, 3, 4),
    "model.lstm_use_prev_action": (STEERING, LSTM, False, True),
    "model.lstm_use_prev_reward": (STEERING, LSTM, False, True),
    "model.parametric_actions": (sampled(VECTOR, spaces.Discrete(3)), {}, None, "learned"),
}
"""By key: an environment, what is set beside the key, and two values that make a difference."""

SHOWN_BY = {"store_buffer_in_checkpoints": "algorithms/test_off_policy.py"}
"""Keys whose effect shows elsewhere, and the tests of it."""


def test_every_key_of_its_own_is_here() -> None:
    assert {*paths(SACConfig())} - {*paths(PPOConfig())} <= {*EFFECTS, *SHOWN_BY}
    assert {*EFFECTS, *SHOWN_BY} <= {*paths(SACConfig())}


@pytest.mark.parametrize("key", EFFECTS)
def test_a_key_has_an_effect(key: str) -> None:
    env, context, *values = EFFECTS[key]
    first, second = (fingerprint(SAC, env, {**SETTINGS, **context, key: value}) for value in values)
    assert first != second


def test_equal_settings_leave_the_same_behind() -> None:
    assert trained(SAC, BOTH, SETTINGS, 2) == trained(SAC, BOTH, SETTINGS, 2)


@pytest.mark.parametrize("key", SHOWN_BY)
def test_other_effects_have_tests(key: str) -> None:
    assert key in (TESTS / SHOWN_BY[key]).read_text()
