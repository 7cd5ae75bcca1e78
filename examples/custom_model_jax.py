"""A network of your own in JAX: dicts of arrays, or modules of Flax and Equinox in their place."""

from typing import Any

import jax
import jax.numpy as jnp

from anyspace import PPO
from anyspace.models import JaxModelV2


class TwoLayers(JaxModelV2):
    def __init__(
        self, obs_space: Any, action_space: Any, num_outputs: int, model_config: Any, name: str, width: int = 32
    ):
        super().__init__(obs_space, action_space, num_outputs, model_config, name)
        first, second = jax.random.split(jax.random.key(self.seed))
        size = obs_space.shape[0]
        self.hidden = {"w": jax.random.normal(first, (size, width)) / size**0.5, "b": jnp.zeros(width)}
        self.heads = {"w": 0.1 * jax.random.normal(second, (width, num_outputs + 1)), "b": jnp.zeros(num_outputs + 1)}

    def forward(self, input_dict: Any, state: Any, seq_lens: Any) -> tuple[jax.Array, Any]:
        features = jnp.tanh(input_dict["obs_flat"] @ self.hidden["w"] + self.hidden["b"])
        out = features @ self.heads["w"] + self.heads["b"]
        self._value = out[:, -1]
        return out[:, :-1], state

    def value_function(self) -> jax.Array:
        return self._value


def main(steps: int = 40_000) -> float:
    algo = PPO("CartPole-v1", framework="jax", model={"custom_model": TwoLayers}, seed=0)
    algo.learn(steps, progress=False)
    found = float(algo.evaluate(episodes=10)["episode_return_mean"])
    print(f"return: {found:.0f}")
    return found


if __name__ == "__main__":
    main()
