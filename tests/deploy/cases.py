"""Policies that are exported in tests, and their steps beside each other."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from anyspace import nesting
from anyspace.deploy.step import NEXT, PolicyStep
from anyspace.models.config import ModelConfig
from anyspace.models.torch.runtime import TorchRuntime
from anyspace.policy.config import PolicyConfig
from anyspace.policy.policy import Policy
from tests.support.catalogue import ACTION_SPACES, OBSERVATION_SPACES
from tests.support.table import MEMORIES

SEEN_BEFORE: dict[str, dict[str, Any]] = {
    "none": {},
    "LSTM": {"lstm_use_prev_action": True, "lstm_use_prev_reward": True},
    "GRU": {"lstm_use_prev_action": True},
    "GTrXL": {"attention_use_n_prev_actions": 2, "attention_use_n_prev_rewards": 3},
}
"""What each memory is told of earlier steps."""


def small_policy(
    observation_space: gym.Space[Any], action_space: gym.Space[Any], memory: str = "none", **settings: Any
) -> Policy:
    """Return a policy with a tiny network, whose filter has seen observations."""
    model = {**MEMORIES[memory], **SEEN_BEFORE[memory], **settings.pop("model", {})}
    config = PolicyConfig(model=ModelConfig(**model), observation_filter="MeanStdFilter", **settings)
    policy = Policy(observation_space, action_space, config, TorchRuntime("cpu"), seed=3)
    encoded = [policy.encode.single(obs) for obs in observations(observation_space, 20)]
    policy.push([np.stack(parts) for parts in zip(*encoded, strict=True)])
    return policy


def observations(space: gym.Space[Any], count: int) -> list[Any]:
    """Return samples of a space; the space itself draws none."""
    own = copy.deepcopy(space)
    own.seed(7)
    return [own.sample() for _ in range(count)]


def pairs(kept: int) -> Iterator[Any]:
    """Yield every observation space with an action space and a memory in turn; all but each ``kept``th is for fuzz."""
    actions, memories = itertools.cycle(ACTION_SPACES), itertools.cycle(MEMORIES)
    # One action or memory more for every round, so that not the same ones meet.
    for number, (obs, action, memory) in enumerate(zip(OBSERVATION_SPACES, actions, memories, strict=False)):
        marks = [] if number % kept == 0 else [pytest.mark.fuzz]
        yield pytest.param(obs, action, memory, id=f"{obs} - {action} - {memory}", marks=marks)


def play(policy: Policy, step: PolicyStep, run: Callable[[dict[str, Any]], dict[str, Any]], steps: int) -> None:
    """Take two episodes with a policy and with its step, and compare actions, types and memory."""
    memory = {port.name: port.zeros() for port in step.memory}
    rng, state = np.random.default_rng(1), None
    for t, obs in enumerate(observations(policy.observation_space, steps)):
        begins, reward = t in (0, steps // 2), np.float32(rng.normal())
        state = None if begins else state
        options: Any = {"prev_reward": reward} if policy.views.depth.get("rewards") and not begins else {}
        given = {**step.observation([leaf[None] for leaf in policy.encode.single(obs)]), **memory}
        beside = {"is_first": np.array([begins]), "prev_reward": reward[None]}
        given |= {port.name: beside[port.name] for port in step.inputs if port.name in beside}
        assert given.keys() == {port.name for port in step.inputs}
        found = run(given)
        answer = policy.compute_single_action(obs, state, **options)
        action, state = answer if policy.views.remembers else (answer, None)
        for port, expected in zip(step.outputs, nesting.values(policy.action_space, action), strict=False):
            got = np.asarray(found[port.name])
            assert (got.shape, got.dtype.name) == (port.shape, port.dtype)
            np.testing.assert_allclose(got[0], expected, rtol=1e-4, atol=1e-4, err_msg=f"step {t}: {port.name}")
        memory = {name: np.asarray(found[NEXT + name]) for name in memory}
        for port in step.memory:
            if port.source.startswith("state_out_"):
                latest = memory[port.name][0, -1] if port.steps > 1 else memory[port.name][0]
                own = state.acted.state_out[int(port.source[-1])][0]
                np.testing.assert_allclose(latest, own, rtol=1e-4, atol=1e-5)
