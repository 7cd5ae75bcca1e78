"""Models as users write them for JAX: with Flax NNX, with Equinox, with dicts of arrays."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from anyspace.models import FullyConnectedNetwork, JaxModelV2
from anyspace.models.modelv2 import State
from anyspace.models.networks import network

Array = Any


class NnxModel(JaxModelV2):
    """Modules of Flax NNX."""

    def __init__(self, obs_space: Any, action_space: Any, num_outputs: Any, model_config: Any, name: str):
        super().__init__(obs_space, action_space, num_outputs, model_config, name)
        rngs = nnx.Rngs(self.seed)
        self.hidden = nnx.Linear(obs_space.shape[0], 16, rngs=rngs)
        self.logits = nnx.Linear(16, num_outputs, rngs=rngs)
        self.value = nnx.Linear(16, 1, rngs=rngs)

    def forward(self, input_dict: Any, state: State, seq_lens: Any) -> tuple[Array, State]:
        self._features = self.features(input_dict["obs"])
        return self.logits(self._features), state

    def features(self, obs: Array) -> Array:
        return jnp.tanh(self.hidden(obs))

    def value_function(self) -> Array:
        return self.value(self._features)[:, 0]


class NnxNorm(NnxModel):
    """With batch normalisation."""

    def __init__(self, *arguments: Any):
        super().__init__(*arguments)
        self.norm = nnx.BatchNorm(16, momentum=0.9, rngs=nnx.Rngs(0))

    def features(self, obs: Array) -> Array:
        return jnp.tanh(self.norm(self.hidden(obs)))


class NnxDropout(NnxModel):
    """With dropout."""

    def __init__(self, *arguments: Any):
        super().__init__(*arguments)
        self.drop = nnx.Dropout(0.5, rngs=nnx.Rngs(0))

    def features(self, obs: Array) -> Array:
        return self.drop(super().features(obs))


class EquinoxModel(JaxModelV2):
    """A network of Equinox, with batch normalisation, whose state `forward` assigns anew."""

    def __init__(self, obs_space: Any, action_space: Any, num_outputs: Any, model_config: Any, name: str):
        super().__init__(obs_space, action_space, num_outputs, model_config, name)
        first, second, third = jax.random.split(jax.random.key(self.seed), 3)
        self.body = eqx.nn.MLP(obs_space.shape[0], 16, 16, 1, activation=jnp.tanh, key=first)
        self.norm, self.state = eqx.nn.make_with_state(eqx.nn.BatchNorm)(16, axis_name="rows", mode="batch")
        self.heads = {"logits": eqx.nn.Linear(16, num_outputs, key=second), "value": eqx.nn.Linear(16, 1, key=third)}

    def forward(self, input_dict: Any, state: State, seq_lens: Any) -> tuple[Array, State]:
        features = jax.vmap(self.body)(input_dict["obs"])
        normed = jax.vmap(self.norm, axis_name="rows", in_axes=(0, None), out_axes=(0, None))
        self._features, self.state = normed(features, self.state)
        return jax.vmap(self.heads["logits"])(self._features), state

    def value_function(self) -> Array:
        return jax.vmap(self.heads["value"])(self._features)[:, 0]


class DictLSTM(JaxModelV2):
    """An LSTM of plain arrays, in either order of rows."""

    def __init__(self, obs_space: Any, action_space: Any, num_outputs: Any, model_config: Any, name: str):
        super().__init__(obs_space, action_space, num_outputs, model_config, name)
        keys = iter(jax.random.split(jax.random.key(self.seed), 4))
        self.width = model_config["lstm_cell_size"]

        def uniform(rows: int, columns: int, limit: float) -> Array:
            return jax.random.uniform(next(keys), (rows, columns), minval=-limit, maxval=limit)

        self.cell = {
            "input": uniform(obs_space.shape[0], 4 * self.width, 0.5),
            "hidden": uniform(self.width, 4 * self.width, 0.25),
            "bias": jnp.zeros(4 * self.width),
        }
        self.heads = [uniform(self.width, num_outputs, 0.1), uniform(self.width, 1, 0.1)]

    def get_initial_state(self) -> State:
        return [np.zeros(self.width, np.float32), np.zeros(self.width, np.float32)]

    def forward(self, input_dict: Any, state: State, seq_lens: Any) -> tuple[Array, State]:
        gates = input_dict["obs_flat"] @ self.cell["input"] + self.cell["bias"]
        gates = jnp.moveaxis(gates.reshape(len(seq_lens), -1, 4 * self.width), 0, 1)
        inside = jnp.arange(len(gates))[:, None, None] < jnp.asarray(seq_lens)[:, None]
        (hidden, cell), out = jax.lax.scan(self.step, tuple(state), (gates, inside))
        out = out if self.is_time_major() else jnp.moveaxis(out, 0, 1)
        self._remembered = out.reshape(-1, self.width)
        return self._remembered @ self.heads[0], [hidden, cell]

    def step(self, state: tuple[Array, Array], inputs: tuple[Array, Array]) -> tuple[tuple[Array, Array], Array]:
        (hidden, cell), (gates, inside) = state, inputs
        entry, keep, new, out = jnp.split(gates + hidden @ self.cell["hidden"], 4, axis=1)
        new_cell = jax.nn.sigmoid(keep) * cell + jax.nn.sigmoid(entry) * jnp.tanh(new)
        new_hidden = jax.nn.sigmoid(out) * jnp.tanh(new_cell)
        hidden, cell = jnp.where(inside, new_hidden, hidden), jnp.where(inside, new_cell, cell)
        return (hidden, cell), hidden

    def value_function(self) -> Array:
        return (self._remembered @ self.heads[1])[:, 0]


class Holder(JaxModelV2):
    """A built-in network within a model, and a network of NNX for the value."""

    def __init__(self, obs_space: Any, action_space: Any, num_outputs: Any, model_config: Any, name: str):
        super().__init__(obs_space, action_space, num_outputs, model_config, name)
        dense = network("dense", "jax")
        assert dense is not FullyConnectedNetwork
        self.policy = dense(obs_space, action_space, num_outputs, model_config, "policy")
        self.critics = [NnxModel(obs_space, action_space, 1, model_config, "critic")]

    def forward(self, input_dict: Any, state: State, seq_lens: Any) -> tuple[Array, State]:
        self._value = self.critics[0](input_dict, state, seq_lens)[0]
        return self.policy(input_dict, state, seq_lens)

    def value_function(self) -> Array:
        return self._value[:, 0]
