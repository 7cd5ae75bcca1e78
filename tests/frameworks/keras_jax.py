"""A second framework, Keras on JAX, by the seam alone: a model, a runtime, a learner, and PPO over them.

Nothing of the library is changed or patched for it. It leaves out what a dense model does not have: memory,
dropout, batch statistics, losses of its own.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any, TypeAlias, get_args

import gymnasium as gym
import jax
import jax.numpy as jnp
import keras
import numpy as np
import numpy.typing as npt

from anyspace.algorithms.ppo import PPO
from anyspace.errors import CheckpointError
from anyspace.execution.learner import Batch, Losses, Result
from anyspace.models.modelv2 import ModelV2, State
from anyspace.models.runtime import Layer, NumpyArray, RandomSource
from anyspace.policy.policy import Policy

Weights: TypeAlias = list[jax.Array]


class KerasModel(ModelV2):
    """Dense layers to the logits, and as many of their own to the value, which is computed when asked for."""

    framework = "jax"

    def __init__(
        self,
        obs_space: gym.Space[Any],
        action_space: gym.Space[Any],
        num_outputs: int,
        model_config: dict[str, Any],
        name: str = "keras_dense",
    ):
        super().__init__(obs_space, action_space, num_outputs, model_config, name)
        self.logits = self._stack("logits", num_outputs)
        self.value = self._stack("value", 1)

    def _stack(self, name: str, width_out: int) -> keras.Sequential:
        layers: list[keras.Layer] = [keras.Input(self.obs_space.shape)]
        for i, width in enumerate(self.model_config["fcnet_hiddens"]):
            activation = self.model_config["fcnet_activation"]
            layers.append(
                keras.layers.Dense(width, activation, kernel_initializer="orthogonal", name=f"{name}_hidden_{i}")
            )
        head = keras.initializers.Orthogonal(gain=0.01)
        layers.append(keras.layers.Dense(width_out, kernel_initializer=head, name=f"{name}_out"))
        return keras.Sequential(layers, name=name)

    def forward(self, input_dict: dict[str, Any], state: State, seq_lens: None) -> tuple[jax.Array, State]:
        self._obs = input_dict["obs_flat"]
        return self.logits(self._obs), state

    def value_function(self) -> jax.Array:
        return self.value(self._obs)[:, 0]

    @property
    def dense_layers(self) -> list[keras.layers.Dense]:
        """Those of the logits, then those of the value."""
        return [*self.logits.layers, *self.value.layers]

    @property
    def variables(self) -> list[keras.Variable]:
        """Every weight, all of them trainable, in the order of the layers."""
        return [variable for layer in self.dense_layers for variable in layer.trainable_variables]


class JaxRuntime:
    """Keras on JAX on the CPU; see :class:`anyspace.models.runtime.Runtime`.

    Nothing is recorded for gradients unless ``jax.grad`` asks for it, so there is no switch to set for acting.
    """

    framework = "jax"
    device = "cpu"

    def __init__(self) -> None:
        self.seed(0)

    @contextlib.contextmanager
    def initialising(self, seed: int) -> Iterator[None]:
        """Seed Python's ``random``, of which Keras' initialisers draw their seeds, and put it back afterwards."""
        before = random.getstate()
        random.seed(seed)
        yield
        random.setstate(before)

    def place(self, model: ModelV2) -> None:
        """Do nothing: Keras built the model on the CPU."""

    def asarray(self, array: NumpyArray) -> jax.Array:
        return jnp.asarray(array)

    def numpy(self, tensor: jax.Array) -> NumpyArray:
        return np.asarray(tensor)

    def threads_for(self, rows: int) -> AbstractContextManager[object]:
        """XLA chooses its own threads."""
        return contextlib.nullcontext()

    def compiled(self, model: ModelV2) -> None:
        """The model acts through Keras."""

    def acting(self) -> AbstractContextManager[object]:
        return contextlib.nullcontext()

    def no_grad(self) -> AbstractContextManager[object]:
        return contextlib.nullcontext()

    def seed(self, seed: int) -> None:
        names = get_args(RandomSource)
        self._keys = dict(zip(names, jax.random.split(jax.random.key(seed), len(names)), strict=True))

    def rng(self, source: RandomSource) -> jax.Array:
        """Return a key that was not used before."""
        self._keys[source], key = jax.random.split(self._keys[source])
        return key

    def own_randomness(self, source: RandomSource) -> AbstractContextManager[object]:
        """JAX has no global source."""
        return contextlib.nullcontext()

    def rng_state(self) -> dict[str, npt.NDArray[np.uint8]]:
        return {name: np.array(jax.random.key_data(key)).view(np.uint8) for name, key in self._keys.items()}

    def set_rng_state(self, state: Mapping[str, npt.NDArray[np.uint8]]) -> None:
        for name, data in state.items():
            self._keys[name] = jax.random.wrap_key_data(jnp.asarray(np.array(data).view(np.uint32)))

    def permutation(self, n: int) -> jax.Array:
        return jax.random.permutation(self.rng("learning"), n)

    def set_training(self, model: ModelV2, training: bool) -> None:
        """Do nothing: dense layers behave alike."""

    def parameters(self, model: ModelV2) -> dict[str, NumpyArray]:
        return {variable.path: np.array(variable.value) for variable in _keras(model).variables}

    def load_parameters(self, model: ModelV2, values: dict[str, NumpyArray]) -> None:
        own = {variable.path: tuple(variable.shape) for variable in _keras(model).variables}
        if own != {name: value.shape for name, value in values.items()}:
            raise CheckpointError(f"the weights do not fit the model, which has {own}.")
        for variable in _keras(model).variables:
            variable.assign(values[variable.path])

    def layers(self, model: ModelV2) -> list[Layer]:
        return [
            Layer(layer.name, type(layer).__name__, f"kernel {tuple(layer.kernel.shape)}", layer.count_params())
            for layer in _keras(model).dense_layers
        ]


class JaxLearner:
    """Adam in one compiled step; see :class:`anyspace.execution.learner.Learner`.

    The losses read more than weights and batch: the algorithm's coefficients, on whose values they branch,
    and the filter's statistics. Tracing makes constants of both, so they are part of what a compiled step is
    looked up by: new values trace anew.

    Args:
        policy: whose model learns.
        losses: the algorithm's.
        coefficients: returns those of the algorithm's numbers that change while training.
        learning_rate: the first one.
        grad_clip: the largest global norm of the gradients, or None.
        adam_epsilon: Adam's stabiliser.
    """

    def __init__(
        self,
        policy: Policy,
        losses: Losses,
        coefficients: Callable[[], dict[str, float]],
        *,
        learning_rate: float,
        grad_clip: float | None,
        adam_epsilon: float,
    ):
        self.policy = policy
        self.losses = losses
        self.coefficients = coefficients
        self.variables = _keras(policy.model).variables
        self.optimizer = keras.optimizers.Adam(
            learning_rate, epsilon=adam_epsilon, global_clipnorm=grad_clip, name="adam"
        )
        self.optimizer.build(self.variables)
        self._compiled = jax.jit(self._step, static_argnames="constants")

    def step(self, batch: Batch) -> Result:
        weights, slots, metrics = self._compiled(
            _values(self.variables), _values(self.optimizer.variables), batch, constants=self._constants()
        )
        _assign(self.variables, weights)
        _assign(self.optimizer.variables, slots)
        return metrics

    def gradients(self, weights: Weights, batch: Batch) -> tuple[Result, Weights]:
        """Return the metrics and the gradient of the loss at ``weights``, without a side effect on the model."""

        def total_loss(weights: Weights) -> tuple[jax.Array, Result]:
            with keras.StatelessScope(state_mapping=list(zip(self.variables, weights, strict=True))):
                losses, metrics = self.losses(self.policy, batch)
            (loss,) = losses.values()
            return loss, metrics

        (loss, metrics), gradients = jax.value_and_grad(total_loss, has_aux=True)(weights)
        norm = jnp.sqrt(sum(jnp.sum(gradient**2) for gradient in gradients))
        return {**metrics, "total_loss": loss, "grad_norm": norm}, gradients

    def _step(
        self, weights: Weights, slots: Weights, batch: Batch, constants: object
    ) -> tuple[Weights, Weights, Result]:
        metrics, gradients = self.gradients(weights, batch)
        weights, slots = self.optimizer.stateless_apply(slots, gradients, weights)
        return weights, slots, metrics

    def _constants(self) -> tuple[object, ...]:
        statistics = {name: value.tobytes() for name, value in self.policy.filter.state().items()}
        return (*self.coefficients().items(), *statistics.items())

    def set_learning_rate(self, learning_rate: float) -> None:
        self.optimizer.learning_rate = learning_rate

    def is_finite(self) -> bool:
        return all(bool(jnp.isfinite(weight).all()) for weight in _values(self.variables))

    def state(self) -> dict[str, NumpyArray]:
        return {variable.path: np.array(variable.value) for variable in self.optimizer.variables}

    def load_state(self, state: dict[str, NumpyArray]) -> None:
        _assign(self.optimizer.variables, [state[variable.path] for variable in self.optimizer.variables])


class JaxPPO(PPO):
    """PPO on JAX; the model comes as ``{"model": {"custom_model": KerasModel}}``."""

    def make_runtime(self) -> JaxRuntime:
        return JaxRuntime()

    def make_learner(self) -> JaxLearner:
        return JaxLearner(
            self.policy,
            self.losses,
            self.coefficients,
            learning_rate=self._learning_rate(0),
            grad_clip=self.config.grad_clip,
            adam_epsilon=self.config.adam_epsilon,
        )


def _keras(model: ModelV2) -> KerasModel:
    assert isinstance(model, KerasModel)
    return model


def _values(variables: list[keras.Variable]) -> Weights:
    return [variable.value for variable in variables]


def _assign(variables: list[keras.Variable], values: list[Any]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
