"""Two interfaces that are put around whatever model there is: Q values of all actions, and of one given action."""

from gymnasium.spaces import Box

from anyspace.rllib.models.tf.fcnet import FullyConnectedNetwork
from anyspace.rllib.models.tf.tf_modelv2 import TFModelV2
from anyspace.rllib.models.torch.fcnet import FullyConnectedNetwork as TorchFullyConnectedNetwork
from anyspace.rllib.models.torch.misc import SlimFC
from anyspace.rllib.models.torch.torch_modelv2 import TorchModelV2
from anyspace.rllib.utils.framework import try_import_tf, try_import_torch

tf1, tf, tfv = try_import_tf()
torch, nn = try_import_torch()


class DuelingQModel(TFModelV2):
    def __init__(self, obs_space, action_space, num_outputs, model_config, name):
        super(DuelingQModel, self).__init__(obs_space, action_space, None, model_config, name)
        underlying = tf.keras.layers.Input(shape=(self.num_outputs,))
        self.q_value_head = FullyConnectedNetwork(underlying, action_space, action_space.n, model_config, "q")


class TorchDuelingQModel(TorchModelV2):
    def __init__(self, obs_space, action_space, num_outputs, model_config, name):
        nn.Module.__init__(self)
        # num_outputs=None: no output layer, so that `self.num_outputs` is the width of the last layer.
        super(TorchDuelingQModel, self).__init__(obs_space, action_space, None, model_config, name)
        self.A = SlimFC(in_size=self.num_outputs, out_size=action_space.n)
        self.V = SlimFC(in_size=self.num_outputs, out_size=1)

    def get_q_values(self, underlying_output):
        v = self.V(underlying_output)
        a = self.A(underlying_output)
        advantages_mean = torch.mean(a, 1)
        advantages_centered = a - torch.unsqueeze(advantages_mean, 1)
        return v + advantages_centered


class TorchContActionQModel(TorchModelV2):
    def __init__(self, obs_space, action_space, num_outputs, model_config, name):
        nn.Module.__init__(self)
        super(TorchContActionQModel, self).__init__(obs_space, action_space, None, model_config, name)
        # The head takes the features and the action side by side, and gives one value.
        self.q_head_input_space = Box(-1.0, 1.0, shape=(self.num_outputs + action_space.shape[0],))
        self.q_head = TorchFullyConnectedNetwork(self.q_head_input_space, action_space, 1, model_config, "q_head")

    def get_single_q_value(self, underlying_output, action):
        input_ = torch.cat([underlying_output, action], dim=-1)
        q_value, _ = self.q_head({"obs": input_})
        return q_value


class TorchWideModel(TorchModelV2, nn.Module):
    """A custom model that has features where it is asked for no outputs."""

    def __init__(self, obs_space, action_space, num_outputs, model_config, name, width=24):
        nn.Module.__init__(self)
        super(TorchWideModel, self).__init__(obs_space, action_space, num_outputs, model_config, name)
        self.hidden = SlimFC(obs_space.shape[0], width, activation_fn="relu")
        self.logits = SlimFC(width, num_outputs) if num_outputs else None
        self.num_outputs = num_outputs or width

    def forward(self, input_dict, state, seq_lens):
        features = self.hidden(input_dict["obs_flat"])
        return (features if self.logits is None else self.logits(features)), state
