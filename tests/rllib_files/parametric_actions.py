"""Models of environments that say which actions are available: by a mask, and by embeddings as well."""

from gymnasium.spaces import Box, Dict

from anyspace.rllib.algorithms.dqn.distributional_q_tf_model import DistributionalQTFModel
from anyspace.rllib.algorithms.dqn.dqn_torch_model import DQNTorchModel
from anyspace.rllib.models.tf.fcnet import FullyConnectedNetwork
from anyspace.rllib.models.torch.fcnet import FullyConnectedNetwork as TorchFC
from anyspace.rllib.models.torch.torch_modelv2 import TorchModelV2
from anyspace.rllib.utils.framework import try_import_tf, try_import_torch
from anyspace.rllib.utils.torch_utils import FLOAT_MAX, FLOAT_MIN

tf1, tf, tfv = try_import_tf()
torch, nn = try_import_torch()


class ParametricActionsModel(DistributionalQTFModel):
    def __init__(self, obs_space, action_space, num_outputs, model_config, name, true_obs_shape=(3,), **kw):
        super(ParametricActionsModel, self).__init__(obs_space, action_space, num_outputs, model_config, name, **kw)
        self.action_embed_model = FullyConnectedNetwork(
            Box(-1, 1, shape=true_obs_shape), action_space, 2, model_config, name + "_action_embed"
        )


class TorchParametricActionsModel(DQNTorchModel):
    """Logits are the products of each action's embedding and of what the network makes of the observation."""

    def __init__(
        self,
        obs_space,
        action_space,
        num_outputs,
        model_config,
        name,
        true_obs_shape=(3,),
        action_embed_size=2,
        **kw,
    ):
        DQNTorchModel.__init__(self, obs_space, action_space, num_outputs, model_config, name, **kw)
        self.action_embed_model = TorchFC(
            Box(-1, 1, shape=true_obs_shape), action_space, action_embed_size, model_config, name + "_action_embed"
        )

    def forward(self, input_dict, state, seq_lens):
        avail_actions = input_dict["obs"]["avail_actions"]
        action_mask = input_dict["obs"]["action_mask"]
        action_embed, _ = self.action_embed_model({"obs": input_dict["obs"]["real_obs"]})
        # [B, 1, embed size] times [B, actions, embed size]
        intent_vector = torch.unsqueeze(action_embed, 1)
        action_logits = torch.sum(avail_actions * intent_vector, dim=2)
        inf_mask = torch.clamp(torch.log(action_mask), FLOAT_MIN, FLOAT_MAX)
        return action_logits + inf_mask, state

    def value_function(self):
        return self.action_embed_model.value_function()


class TorchActionMaskModel(TorchModelV2, nn.Module):
    """A dense network on the rest of the observation, whose forbidden logits are nearly minus infinity."""

    def __init__(self, obs_space, action_space, num_outputs, model_config, name, **kwargs):
        orig_space = getattr(obs_space, "original_space", obs_space)
        assert isinstance(orig_space, Dict)
        assert "action_mask" in orig_space.spaces
        assert "real_obs" in orig_space.spaces

        TorchModelV2.__init__(self, obs_space, action_space, num_outputs, model_config, name, **kwargs)
        nn.Module.__init__(self)
        self.internal_model = TorchFC(
            orig_space["real_obs"], action_space, num_outputs, model_config, name + "_internal"
        )
        self.no_masking = False
        if "no_masking" in model_config["custom_model_config"]:
            self.no_masking = model_config["custom_model_config"]["no_masking"]

    def forward(self, input_dict, state, seq_lens):
        action_mask = input_dict["obs"]["action_mask"]
        logits, _ = self.internal_model({"obs": input_dict["obs"]["real_obs"]})
        if self.no_masking:
            return logits, state
        inf_mask = torch.clamp(torch.log(action_mask), min=FLOAT_MIN)
        return logits + inf_mask, state

    def value_function(self):
        return self.internal_model.value_function()
