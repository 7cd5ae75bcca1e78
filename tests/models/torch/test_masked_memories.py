"""Masks without embeddings, under every memory and for actions of several parts: what is forbidden is never done."""

from __future__ import annotations

from contextlib import closing

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Tuple

from anyspace import PPO
from tests.support.thinned import thinned

MEMORIES = {
    "none": {},
    "lstm": {"use_lstm": True, "max_seq_len": 5, "lstm_cell_size": 6, "lstm_use_prev_action": True},
    "gru": {"use_gru": True, "max_seq_len": 5, "lstm_cell_size": 6},
    "attention": {
        "use_attention": True,
        "max_seq_len": 5,
        "attention_dim": 6,
        "attention_head_dim": 4,
        "attention_memory_inference": 4,
        "attention_memory_training": 4,
        "attention_position_wise_mlp_dim": 4,
        "attention_use_n_prev_actions": 2,
    },
}
ACTIONS = {
    "discrete": Discrete(6, start=1),
    "multidiscrete": MultiDiscrete([3, 4, 2]),
    "tuple": Tuple((Discrete(4), Box(-1, 1, (2,)), MultiDiscrete([2, 3]))),
}
CHOICES = {"discrete": [6], "multidiscrete": [3, 4, 2], "tuple": [4, 2, 3]}


def chosen(kind, action):
    """Return the options that were taken, one of each choice, counted from 0."""
    if kind == "discrete":
        return [action - 1]
    return [action[0], *action[2]] if kind == "tuple" else list(action)


class Gates(gym.Env):
    """Opens some options of each choice in each step, at least one; to take a closed one is an error.

    A step earns 1 if the first choice is the lowest open option. Episodes last 3 to 11 steps.
    """

    def __init__(self, kind, in_info):
        self.kind, self.in_info, self.action_space = kind, in_info, ACTIONS[kind]
        state = Box(-1, 1, (3,), np.float32)
        self.observation_space = state if in_info else Dict(state=state, action_mask=MultiBinary(sum(CHOICES[kind])))
        self.steps = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.left = int(self.np_random.integers(3, 12))
        return self.draw()

    def draw(self):
        self.gates = [self.np_random.integers(0, 2, n).astype(np.int8) for n in CHOICES[self.kind]]
        for gate in self.gates:
            gate[self.np_random.integers(len(gate))] = 1
        state, mask = self.np_random.uniform(-1, 1, 3).astype(np.float32), np.concatenate(self.gates)
        return (state, {"action_mask": mask}) if self.in_info else ({"state": state, "action_mask": mask}, {})

    def step(self, action):
        taken = chosen(self.kind, action)
        if not all(gate[option] for gate, option in zip(self.gates, taken, strict=True)):
            raise ValueError(f"{action} is closed: {self.gates}")
        reward = float(taken[0] == self.gates[0].argmax())
        self.steps += 1
        self.left -= 1
        obs, info = self.draw()
        return obs, reward, self.left == 0, False, info


@pytest.mark.spec(164)
@thinned(2, memory=MEMORIES, kind=ACTIONS, in_info=[False, True])
def test_what_is_forbidden_is_never_done_and_losses_stay_finite(memory, kind, in_info):
    envs = []

    def make():
        envs.append(Gates(kind, in_info))
        return envs[-1]

    settings = {"num_envs_per_env_runner": 2, "train_batch_size": 128, "minibatch_size": 64, "num_epochs": 2, "seed": 0}
    model = {"fcnet_hiddens": [8], **MEMORIES[memory]}
    with closing(PPO(make, settings, model=model, lr=0.01, entropy_coeff=0.01, preset="none")) as algorithm:
        before = algorithm.policy.runtime.parameters(algorithm.policy.model)
        for _ in range(5):
            learner = algorithm.train()["learner"]
            assert np.isfinite([value for name, value in learner.items() if name != "model"]).all()
        after = algorithm.policy.runtime.parameters(algorithm.policy.model)
        assert all(np.isfinite(value).all() for value in after.values())
        assert any((before[name] != after[name]).any() for name in before)
        assert sum(env.steps for env in envs) >= 640
        algorithm.evaluate(10)
