"""The three ways to write parametric actions as custom models, for users to copy.

All of them mask themselves: they add a term to their logits that is 0 for an open action and -3.4e38 for a closed
one. The policy masks as well, without being asked, so that only models which run elsewhere too need that term.
"""

from __future__ import annotations

from contextlib import closing

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict
from torch import nn

from anyspace import PPO
from anyspace.models import FullyConnectedNetwork, TorchModelV2
from tests.support.tasks import ParametricCartPole
from tests.support.thinned import thinned

FLOAT_MIN = -3.4e38


class ActionMaskModel(TorchModelV2, nn.Module):
    """Masks alone: a network on the observation's part ``observations``, whose logits the ``action_mask`` shuts off."""

    def __init__(self, obs_space, action_space, num_outputs, model_config, name, *, no_masking=False):
        parts = obs_space.original_space
        assert isinstance(parts, Dict)
        assert {"action_mask", "observations"} <= set(parts.spaces)
        TorchModelV2.__init__(self, obs_space, action_space, num_outputs, model_config, name)
        nn.Module.__init__(self)
        self.no_masking = no_masking
        self.network = FullyConnectedNetwork(
            parts["observations"], action_space, num_outputs, model_config, name + "_network"
        )

    def forward(self, input_dict, state, seq_lens):
        logits, _ = self.network({"obs": input_dict["obs"]["observations"]})
        if self.no_masking:
            return logits, state
        inf_mask = torch.clamp(torch.log(input_dict["obs"]["action_mask"]), min=FLOAT_MIN)
        return logits + inf_mask, state

    def value_function(self):
        return self.network.value_function()


class ParametricActionsModel(TorchModelV2, nn.Module):
    """Given embeddings and masks, as on RLlib's page on models, for PyTorch."""

    def __init__(
        self,
        obs_space,
        action_space,
        num_outputs,
        model_config,
        name,
        true_obs_shape=(4,),
        action_embed_size=2,
    ):
        TorchModelV2.__init__(self, obs_space, action_space, num_outputs, model_config, name)
        nn.Module.__init__(self)
        self.action_embed_model = FullyConnectedNetwork(
            Box(-1, 1, shape=true_obs_shape), action_space, action_embed_size, model_config, name + "_action_embed"
        )

    def forward(self, input_dict, state, seq_lens):
        # Extract the available actions tensor from the observation.
        avail_actions = input_dict["obs"]["avail_actions"]
        action_mask = input_dict["obs"]["action_mask"]

        # Compute the predicted action embedding.
        action_embed, _ = self.action_embed_model({"obs": input_dict["obs"]["cart"]})

        # Expand the model output to [BATCH, 1, EMBED_SIZE]; avail_actions are [BATCH, MAX_ACTIONS, EMBED_SIZE].
        intent_vector = torch.unsqueeze(action_embed, 1)

        # Batch dot product => shape of logits is [BATCH, MAX_ACTIONS].
        action_logits = torch.sum(avail_actions * intent_vector, dim=2)

        # Mask out invalid actions.
        inf_mask = torch.clamp(torch.log(action_mask), min=FLOAT_MIN)
        return action_logits + inf_mask, state

    def value_function(self):
        return self.action_embed_model.value_function()


class LearnedEmbeddingsModel(TorchModelV2, nn.Module):
    """Learnt embeddings and masks: ids from 1 look up an open action's embedding, id 0 that of all closed ones."""

    def __init__(self, obs_space, action_space, num_outputs, model_config, name, action_embed_size=2):
        TorchModelV2.__init__(self, obs_space, action_space, num_outputs, model_config, name)
        nn.Module.__init__(self)
        cart = obs_space.original_space["cart"]
        self.intent = FullyConnectedNetwork(cart, action_space, action_embed_size, model_config, name + "_intent")
        self.embeddings = nn.Embedding(num_outputs + 1, action_embed_size)

    def forward(self, input_dict, state, seq_lens):
        mask = input_dict["obs"]["valid_avail_actions_mask"]
        ids = torch.arange(1, mask.shape[1] + 1) * mask.long()
        intent, _ = self.intent({"obs": input_dict["obs"]["cart"]})
        logits = (self.embeddings(ids) * intent[:, None]).sum(dim=2)
        return logits + torch.clamp(torch.log(mask), min=FLOAT_MIN), state

    def value_function(self):
        return self.intent.value_function()


# ---------------------------------------------------------------------------------------------------------------------


class Renamed(gym.ObservationWrapper):
    """Parametric CartPole with other names for the parts of its observation."""

    def __init__(self, embedded=False, **names):
        super().__init__(ParametricCartPole(embedded))
        self.names = names
        self.observation_space = Dict(self.observation(dict(self.env.observation_space.items())))

    def observation(self, observation):
        return {self.names.get(key, key): part for key, part in observation.items()}


def mask_and_observations():
    return Renamed(cart="observations")


EXAMPLES = {
    "mask": (ActionMaskModel, mask_and_observations, "action_mask"),
    "given embeddings": (ParametricActionsModel, lambda: Renamed(embedded=True), "action_mask"),
    "learnt embeddings": (
        LearnedEmbeddingsModel,
        lambda: Renamed(action_mask="valid_avail_actions_mask"),
        "valid_avail_actions_mask",
    ),
}
SMALL = {"train_batch_size": 256, "minibatch_size": 64, "num_epochs": 3, "lr": 3e-3, "entropy_coeff": 0.01, "seed": 0}


def train(env, model, mask_key):
    """Train two iterations in environments to which a closed action is an error; losses have to stay finite."""
    config = {"fcnet_hiddens": [16], **model}
    with closing(PPO(env, SMALL, model=config, action_mask_key=mask_key, preset="none")) as algorithm:
        before = algorithm.policy.runtime.parameters(algorithm.policy.model)
        for _ in range(2):
            learner = algorithm.train()["learner"]
            assert np.isfinite([value for name, value in learner.items() if name != "model"]).all()
        after = algorithm.policy.runtime.parameters(algorithm.policy.model)
        assert all(np.isfinite(value).all() for value in after.values())
        assert all((before[name] != after[name]).any() for name in before)
        algorithm.evaluate(3)
        algorithm.evaluate(3, explore=True)


@pytest.mark.spec(164)
@thinned(2, example=EXAMPLES, who=["model and policy", "model alone"], vf_share_layers=[True, False])
def test_the_examples_train_and_take_no_closed_action(example, who, vf_share_layers):
    model, env, mask_key = EXAMPLES[example]
    config = {"custom_model": model, "vf_share_layers": vf_share_layers}
    train(env, config, mask_key if who == "model and policy" else None)


def test_the_policy_masks_a_model_that_does_not():
    config = {"custom_model": ActionMaskModel, "custom_model_config": {"no_masking": True}}
    train(mask_and_observations, config, "action_mask")
    with pytest.raises(ValueError, match=r"slot \d is closed"):
        train(mask_and_observations, config, None)


def test_the_mask_model_wants_both_parts():
    with pytest.raises(AssertionError):
        PPO(ParametricCartPole, SMALL, model={"custom_model": ActionMaskModel}, preset="none")
