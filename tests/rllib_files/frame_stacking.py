"""A model that looks at the last observations, actions and rewards through views."""

from anyspace.rllib.models.modelv2 import ModelV2
from anyspace.rllib.models.torch.misc import SlimFC
from anyspace.rllib.models.torch.torch_modelv2 import TorchModelV2
from anyspace.rllib.policy.view_requirement import ViewRequirement
from anyspace.rllib.utils.annotations import override
from anyspace.rllib.utils.framework import try_import_torch
from anyspace.rllib.utils.torch_utils import one_hot as torch_one_hot

torch, nn = try_import_torch()


class TorchFrameStackingModel(TorchModelV2, nn.Module):
    def __init__(self, obs_space, action_space, num_outputs, model_config, name, num_frames=3):
        nn.Module.__init__(self)
        super(TorchFrameStackingModel, self).__init__(obs_space, action_space, None, model_config, name)

        self.num_frames = num_frames
        self.num_outputs = num_outputs

        assert len(obs_space.shape) == 1, "observations must be vectors"
        in_size = self.num_frames * (obs_space.shape[0] + action_space.n + 1)
        self.layer1 = SlimFC(in_size=in_size, out_size=256, activation_fn="relu")
        self.layer2 = SlimFC(in_size=256, out_size=256, activation_fn="relu")
        self.out = SlimFC(in_size=256, out_size=self.num_outputs, activation_fn="linear")
        self.values = SlimFC(in_size=256, out_size=1, activation_fn="linear")
        self._last_features = None

        self.view_requirements["prev_n_obs"] = ViewRequirement(
            data_col="obs", shift="-{}:0".format(num_frames - 1), space=obs_space
        )
        self.view_requirements["prev_n_rewards"] = ViewRequirement(
            data_col="rewards", shift="-{}:-1".format(self.num_frames)
        )
        self.view_requirements["prev_n_actions"] = ViewRequirement(
            data_col="actions", shift="-{}:-1".format(self.num_frames), space=self.action_space
        )

    def forward(self, input_dict, states, seq_lens):
        obs = torch.reshape(input_dict["prev_n_obs"], [-1, self.obs_space.shape[0] * self.num_frames])
        rewards = torch.reshape(input_dict["prev_n_rewards"], [-1, self.num_frames])
        actions = torch_one_hot(input_dict["prev_n_actions"], self.action_space)
        actions = torch.reshape(actions, [-1, self.num_frames * actions.shape[-1]])
        features = self.layer2(self.layer1(torch.cat([obs, actions, rewards], dim=-1)))
        self._last_features = features
        return self.out(features), []

    @override(ModelV2)
    def value_function(self):
        return torch.squeeze(self.values(self._last_features), -1)
