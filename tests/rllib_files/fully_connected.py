"""A dense model around the built-in one, in a file that has a Keras model as well."""

import numpy as np

from anyspace.rllib.models.tf.fcnet import FullyConnectedNetwork
from anyspace.rllib.models.tf.misc import normc_initializer
from anyspace.rllib.models.tf.tf_modelv2 import TFModelV2
from anyspace.rllib.models.torch.fcnet import FullyConnectedNetwork as TorchFC
from anyspace.rllib.models.torch.torch_modelv2 import TorchModelV2
from anyspace.rllib.utils.annotations import override
from anyspace.rllib.utils.framework import try_import_tf, try_import_torch

tf1, tf, tfv = try_import_tf()
torch, nn = try_import_torch()


class KerasDenseModel(TFModelV2):
    def __init__(self, obs_space, action_space, num_outputs, model_config, name):
        super(KerasDenseModel, self).__init__(obs_space, action_space, num_outputs, model_config, name)
        observations = tf.keras.layers.Input(shape=(int(np.prod(obs_space.shape)),), name="observations")
        hidden = tf.keras.layers.Dense(
            32, name="hidden", activation=tf.nn.tanh, kernel_initializer=normc_initializer(1.0)
        )(observations)
        outputs = tf.keras.layers.Dense(num_outputs, name="logits")(hidden)
        values = tf.keras.layers.Dense(1, name="value")(hidden)
        self.base_model = tf.keras.Model(observations, [outputs, values])

    @override(TFModelV2)
    def forward(self, input_dict, state, seq_lens):
        outputs, self._values = self.base_model(input_dict["obs"])
        return outputs, state

    def value_function(self):
        return tf.reshape(self._values, [-1])


class KerasWrapper(FullyConnectedNetwork):
    def metrics(self):
        return {"weights": tf.constant(1.0)}


class TorchDenseModel(TorchModelV2, nn.Module):
    def __init__(self, obs_space, action_space, num_outputs, model_config, name):
        TorchModelV2.__init__(self, obs_space, action_space, num_outputs, model_config, name)
        nn.Module.__init__(self)
        self.torch_sub_model = TorchFC(obs_space, action_space, num_outputs, model_config, name)

    @override(TorchModelV2)
    def forward(self, input_dict, state, seq_lens):
        input_dict["obs"] = input_dict["obs"].float()
        fc_out, _ = self.torch_sub_model(input_dict, state, seq_lens)
        return fc_out, []

    @override(TorchModelV2)
    def value_function(self):
        return torch.reshape(self.torch_sub_model.value_function(), [-1])
