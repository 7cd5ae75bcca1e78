"""A network of your own in TensorFlow, of layers of Keras."""

from typing import Any

import tensorflow as tf

from anyspace import PPO
from anyspace.models import TFModelV2


class KerasModel(TFModelV2):
    def __init__(
        self, obs_space: Any, action_space: Any, num_outputs: int, model_config: Any, name: str, width: int = 32
    ):
        super().__init__(obs_space, action_space, num_outputs, model_config, name)
        inputs = tf.keras.layers.Input(shape=obs_space.shape)
        hidden = tf.keras.layers.Dense(width, activation="tanh")(inputs)
        outputs = [tf.keras.layers.Dense(num_outputs)(hidden), tf.keras.layers.Dense(1)(hidden)]
        self.base_model = tf.keras.Model(inputs, outputs)

    def forward(self, input_dict: Any, state: Any, seq_lens: Any) -> tuple[Any, Any]:
        out, self._value = self.base_model(input_dict["obs_flat"])
        return out, state

    def value_function(self) -> Any:
        return tf.reshape(self._value, [-1])


def main(steps: int = 40_000) -> float:
    algo = PPO("CartPole-v1", framework="tf", model={"custom_model": KerasModel}, seed=0)
    algo.learn(steps, progress=False)
    found = float(algo.evaluate(episodes=10)["episode_return_mean"])
    print(f"return: {found:.0f}")
    return found


if __name__ == "__main__":
    main()
