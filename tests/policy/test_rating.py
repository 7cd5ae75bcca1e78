"""Values, log-probabilities and entropies of raw observations, against formulas in NumPy and what acting does."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete, MultiDiscrete, Tuple

from anyspace import DQN, PPO, SAC, Policy
from anyspace.errors import ObservationError
from tests.support.tasks import Echo

N = 6
OBS = np.random.default_rng(0).uniform(-1, 1, (N, 4)).astype(np.float32)


def made(action_space: gym.Space[Any], kind: Any = PPO, framework: str = "torch", **model: Any) -> Policy:
    class Still(gym.Env[Any, Any]):
        observation_space = Box(-1, 1, (4,), np.float32)

        def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
            super().reset(seed=seed)
            return OBS[0], {}

        def step(self, action: Any) -> Any:
            return OBS[0], 0.0, False, False, {}

    Still.action_space = action_space
    settings = {"framework": framework, "model": {"fcnet_hiddens": [8], **model}}
    policy: Policy = kind(Still, settings, preset="none", seed=0).policy
    return policy


def log_softmax(x: Any) -> Any:
    return x - np.log(np.exp(x).sum(axis=-1, keepdims=True))


@pytest.mark.parametrize("framework", ["torch", "jax", "tf"])
def test_actions_of_every_kind_against_their_formulas(framework: str) -> None:
    policy = made(Tuple([Discrete(3, start=5), Box(-2, 4, (2,), np.float32)]), framework=framework)
    kinds = np.array([5, 6, 7, 7, 6, 5])
    numbers = np.random.default_rng(1).uniform(-2, 4, (N, 2)).astype(np.float32)
    inputs = policy.runtime.numpy(policy.get_distribution(OBS).inputs)
    logits, mean, log_std = inputs[:, :3], inputs[:, 3:5], inputs[:, 5:]
    z = ((numbers - 1) / 3 - mean) / np.exp(log_std)  # -1 and 1 are the bounds
    logp = log_softmax(logits)[np.arange(N), kinds - 5]
    logp = logp + (-0.5 * z**2 - log_std - 0.5 * np.log(2 * np.pi)).sum(axis=1)
    entropy = -(np.exp(log_softmax(logits)) * log_softmax(logits)).sum(axis=1)
    entropy = entropy + (log_std + 0.5 * np.log(2 * np.pi * np.e)).sum(axis=1)
    found = policy.evaluate_actions(OBS, (kinds, numbers))
    np.testing.assert_allclose(found.logp, logp, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found.entropy, entropy, rtol=1e-5)
    np.testing.assert_array_equal(found.values, policy.predict_values(OBS))
    assert found.values is not None
    assert found.values.shape == (N,)
    one = policy.evaluate_actions(OBS[:1], (kinds[:1], numbers[:1]))
    np.testing.assert_allclose(one.logp, logp[:1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("framework", ["torch", "jax", "tf"])
def test_actions_may_be_tensors_and_lists(framework: str) -> None:
    policy = made(Tuple([Discrete(3), Box(-2, 4, (2,), np.float32)]), framework=framework)
    kinds, numbers = np.arange(N) % 3, np.zeros((N, 2), np.float32)
    expected = policy.evaluate_actions(OBS, (kinds, numbers)).logp
    for actions in ((torch.from_numpy(kinds), torch.from_numpy(numbers)), (kinds.tolist(), numbers.tolist())):
        np.testing.assert_array_equal(policy.evaluate_actions(OBS, actions).logp, expected)


@pytest.mark.parametrize("framework", ["torch", "jax", "tf"])
@pytest.mark.parametrize(
    "memory",
    [
        {"use_lstm": True, "lstm_cell_size": 8},
        {"use_attention": True, "attention_dim": 8, "attention_num_heads": 1, "attention_head_dim": 8},
    ],
)
def test_what_came_before_counts(framework: str, memory: dict[str, Any]) -> None:
    policy = made(Discrete(3), framework=framework, max_seq_len=4, **memory)
    actions, state = policy.compute_actions(OBS[::-1])
    found = policy.evaluate_actions(OBS, actions, state)
    assert found.values is not None
    assert not np.allclose(found.values, policy.predict_values(OBS))
    # What acting chooses from the same state is what is likeliest.
    chosen, _ = policy.compute_actions(OBS, state)
    inputs = policy.runtime.numpy(policy.get_distribution(OBS, state).inputs)
    np.testing.assert_array_equal(inputs.argmax(axis=1), chosen)
    np.testing.assert_allclose(found.logp, log_softmax(inputs)[np.arange(N), actions], rtol=1e-4, atol=1e-6)


def test_asking_changes_nothing_that_is_learnt_or_drawn_from_to_act() -> None:
    policy = made(Box(-1, 1, (2,), np.float32))
    before = {name: array.copy() for name, array in policy.state().items()}
    policy.evaluate_actions(OBS, np.zeros((N, 2), np.float32))
    after = policy.state()
    changed = [name for name in before if not np.array_equal(before[name], after[name])]
    assert changed in ([], ["rng/models that evaluate"])


@pytest.mark.parametrize("given", [False, True])
def test_masks(given: bool) -> None:
    policy = PPO(Echo, {"model": {"fcnet_hiddens": [8]}}, preset="none", seed=0).policy
    observation, _ = Echo().reset(seed=0)
    stacked = {name: np.stack([value] * 2) for name, value in observation.items()}
    mask = stacked["action_mask"].astype(bool)
    if given:  # takes precedence over the observation's
        mask = np.eye(2, Echo.OPTIONS, dtype=bool)
    rated = [
        policy.evaluate_actions(stacked, np.full(2, action), **({"mask": mask} if given else {}))
        for action in range(Echo.OPTIONS)
    ]
    probabilities = np.exp([one.logp for one in rated])
    np.testing.assert_allclose(probabilities.sum(axis=0), 1, rtol=1e-5)
    assert (probabilities.T[~mask] < 1e-6).all()


def test_the_best_value_of_an_action_is_that_of_the_observation() -> None:
    policy = made(Discrete(3), DQN)
    q = policy.runtime.numpy(policy.get_distribution(OBS).inputs)
    np.testing.assert_allclose(policy.predict_values(OBS), q.max(axis=1), rtol=1e-5)


def test_a_model_without_values_of_observations() -> None:
    policy = made(Box(-1, 1, (2,), np.float32), SAC)
    found = policy.evaluate_actions(OBS, np.zeros((N, 2), np.float32))
    assert found.values is None
    assert found.entropy is None
    assert np.isfinite(found.logp).all()
    with pytest.raises(NotImplementedError, match=r"SACTorchModel has no value_function\(\)"):
        policy.predict_values(OBS)


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        ([[0, 1]] * 5, "expected 6, one for each observation, got 5"),
        ([[0, 1]] * 5 + [[0, 4]], r"action: row 5.*"),
        ([[0, 1, 2]] * 6, r"action"),
    ],
)
def test_actions_that_are_none(actions: Any, message: str) -> None:
    policy = made(MultiDiscrete([3, 4]))
    with pytest.raises(ObservationError, match=message):
        policy.evaluate_actions(OBS, np.array(actions))


@pytest.mark.parametrize(
    ("space", "actions"),
    [(Discrete(2), 0), (Box(-1, 1, (2,)), [0.1, 0.2]), (Tuple([Discrete(2), Discrete(3)]), (0, 1))],
)
def test_an_action_that_is_not_stacked(space: gym.Space[Any], actions: Any) -> None:
    """Two numbers of one action are not the actions of two observations."""
    with pytest.raises(ObservationError, match="actions: expected 2, one for each observation, got one that is not"):
        made(space).evaluate_actions(OBS[:2], actions)


def test_an_observation_that_is_not_stacked() -> None:
    with pytest.raises(ObservationError, match=r"observations, stacked \[N, ...\], got one. Stack it alone"):
        made(Discrete(3)).predict_values(OBS[0])
