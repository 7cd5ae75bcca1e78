"""Where draws outside of compiled passes come from."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.spaces import Box

from anyspace.config import merge
from anyspace.distributions import ActionDistribution
from anyspace.errors import ModelError
from anyspace.models.jax.runtime import JaxRuntime
from anyspace.policy.config import PolicyConfig
from anyspace.policy.policy import Policy

OBS, ACTIONS = Box(-1, 1, (3,)), Box(-1, 1, (2,))


class Gaussian(ActionDistribution):
    """Functions of JAX alone, as its users write them."""

    def __init__(self, inputs: Any, model: Any) -> None:
        super().__init__(inputs, model)
        self.mean, self.log_std = jnp.split(inputs, 2, -1)

    @staticmethod
    def required_model_output_shape(action_space: Any, model_config: Any) -> int:
        return 2 * int(action_space.shape[0])

    def sample(self, rng: Any = None) -> Any:
        self.last_sample = self.mean + jnp.exp(self.log_std) * jax.random.normal(rng, self.mean.shape)
        return self.last_sample

    def deterministic_sample(self) -> Any:
        return self.mean

    def logp(self, actions: Any) -> Any:
        return jnp.sum(-0.5 * ((actions - self.mean) / jnp.exp(self.log_std)) ** 2 - self.log_std - 0.919, -1)

    def entropy(self) -> Any:
        return jnp.sum(self.log_std + 1.419, -1)


def policy_with(distribution: Any, **exploration: Any) -> Policy:
    keys: dict[str, Any] = {"exploration_config": exploration} if exploration else {}
    config = merge(PolicyConfig(), {"model": {"custom_action_dist": distribution, "fcnet_hiddens": [4]}, **keys})
    return Policy(OBS, ACTIONS, config, JaxRuntime("cpu"))


@pytest.mark.parametrize("exploration", [{}, {"type": "StochasticSampling", "random_timesteps": 1000}])
def test_a_distribution_in_functions_of_jax_gets_keys(exploration: dict[str, Any]) -> None:
    policy = policy_with(Gaussian, **exploration)
    drawn = [policy.compute_actions(np.zeros((4, 3), np.float32), explore=True) for _ in range(3)]
    assert len(np.unique(drawn)) > 12
    assert all(isinstance(one, np.ndarray) for one in drawn)


class Branching(Gaussian):
    def logp(self, actions: Any) -> Any:
        return super().logp(actions) if actions.mean() > 0 else super().logp(-actions)


class WithoutKey(Gaussian):
    def sample(self) -> Any:  # type: ignore[override]
        return super().sample()


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Branching, r"^Branching\.logp\(\): Python branches on the numbers"),
        (WithoutKey, r"^WithoutKey\.sample\(\) failed .*TypeError: .* Written as sample\(self, rng\), it is given the"),
    ],
)
def test_what_jax_refuses_of_a_distribution_is_told_of_its_method(kind: type, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        policy_with(kind)


def test_draws_of_built_in_distributions_are_those_of_numpy() -> None:
    runtime = JaxRuntime("cpu")
    assert runtime.rng("acting") is runtime.generators["acting"]
    assert runtime.rng("acting", np.zeros(2)) is runtime.generators["acting"]
    keys = [jax.random.key_data(runtime.rng("acting", jnp.zeros(2))) for _ in range(2)]
    assert not np.array_equal(*keys)
    assert isinstance(policy_with(None).distribution(np.zeros((2, 4), np.float32)).inputs, np.ndarray)
