"""Models as users of TensorFlow write them, one of each kind."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from anyspace.models import TFModelV2


class Functional(TFModelV2):
    """A functional model of Keras, as the old page writes it."""

    def __init__(self, obs_space, action_space, num_outputs, model_config, name):
        super().__init__(obs_space, action_space, num_outputs, model_config, name)
        inputs = tf.keras.layers.Input(shape=obs_space.shape)
        hidden = tf.keras.layers.Dense(16, activation=tf.nn.tanh)(inputs)
        outputs = [tf.keras.layers.Dense(num_outputs)(hidden), tf.keras.layers.Dense(1)(hidden)]
        self.base_model = tf.keras.Model(inputs, outputs)

    def forward(self, input_dict, state, seq_lens):
        out, self._value_out = self.base_model(input_dict["obs"])
        return out, state

    def value_function(self):
        return tf.reshape(self._value_out, [-1])

    def metrics(self):
        return {"mean_value": tf.reduce_mean(self._value_out)}


class Normalised(TFModelV2):
    """Layers of Keras as attributes and in a list, batch normalisation and dropout among them."""

    def __init__(self, obs_space, action_space, num_outputs, model_config, name):
        super().__init__(obs_space, action_space, num_outputs, model_config, name)
        self.hidden = tf.keras.layers.Dense(16, activation="relu")
        self.norm = tf.keras.layers.BatchNormalization(momentum=0.9)
        self.dropout = tf.keras.layers.Dropout(0.1)
        self.heads = [tf.keras.layers.Dense(num_outputs), tf.keras.layers.Dense(1)]

    def forward(self, input_dict, state, seq_lens):
        training = input_dict["is_training"]
        x = self.norm(self.hidden(input_dict["obs_flat"]), training=training)
        self._features = self.dropout(x, training=training)
        return self.heads[0](self._features), state

    def value_function(self):
        return self.heads[1](self._features)[:, 0]


class Linear(tf.Module):
    """A layer without Keras."""

    def __init__(self, width_in: int, width_out: int):
        super().__init__()
        self.kernel = tf.Variable(tf.random.normal([width_in, width_out], stddev=0.1))
        self.bias = tf.Variable(tf.zeros([width_out]))

    def __call__(self, x: Any) -> Any:
        return x @ self.kernel + self.bias


class Plain(TFModelV2):
    """A module of TensorFlow and bare variables in a dict; one of them is frozen."""

    def __init__(self, obs_space, action_space, num_outputs, model_config, name):
        super().__init__(obs_space, action_space, num_outputs, model_config, name)
        self.hidden = Linear(obs_space.shape[0], 16)
        self.heads = {"logits": tf.Variable(np.zeros((16, num_outputs), np.float32))}
        self.scale = tf.Variable(1.0, trainable=False)
        self.value = Linear(16, 1)

    def forward(self, input_dict, state, seq_lens):
        self._features = tf.tanh(self.hidden(input_dict["obs_flat"])) * self.scale
        return self._features @ self.heads["logits"], state

    def value_function(self):
        return self.value(self._features)[:, 0]


class OnlyHeads(Functional):
    """Trains what it registers: not the hidden layer."""

    def __init__(self, obs_space, action_space, num_outputs, model_config, name):
        super().__init__(obs_space, action_space, num_outputs, model_config, name)
        self.register_variables(self.base_model.variables[2:])


class CallsPython(Functional):
    """Calls back into Python, which XLA does not do and a graph does."""

    def forward(self, input_dict, state, seq_lens):
        def doubled(x: Any) -> Any:
            return 2 * x

        out, state = super().forward(input_dict, state, seq_lens)
        return out + 0.0 * tf.ensure_shape(
            tf.py_function(doubled, [tf.stop_gradient(out)], tf.float32), out.shape
        ), state


class AsksForNumbers(Functional):
    """Branches on numbers, which no graph does."""

    def forward(self, input_dict, state, seq_lens):
        out, state = super().forward(input_dict, state, seq_lens)
        return (out if float(tf.reduce_sum(out)) > -1e9 else -out), state


class Steps(Functional):
    """Counts its passes."""

    steps = 0

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.steps = 0

    def forward(self, input_dict, state, seq_lens):
        self.steps += 1
        return super().forward(input_dict, state, seq_lens)


class CountsAndAsks(AsksForNumbers):
    """Counts its passes, where Python runs in each."""

    passes = 0

    def forward(self, input_dict, state, seq_lens):
        self.passes += 1
        return super().forward(input_dict, state, seq_lens)


class MakesVariables(TFModelV2):
    """Makes its layers anew in every pass."""

    def forward(self, input_dict, state, seq_lens):
        self.hidden = tf.keras.layers.Dense(self.num_outputs + 1)
        out = self.hidden(input_dict["obs_flat"])
        self._value_out = out[:, -1]
        return out[:, :-1], state

    def value_function(self):
        return self._value_out
