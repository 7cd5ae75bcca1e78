from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any

import pytest

from anyspace import PPO, Algorithm, Policy
from anyspace.algorithms.on_policy import gae, training_rows
from anyspace.data.trajectory import Trajectory
from anyspace.execution.learner import Losses
from anyspace.policy.batch import Batch

Build = Callable[..., Any]

SMALL = {
    "seed": 0,
    "num_envs_per_env_runner": 4,
    "train_batch_size": 64,
    "minibatch_size": 32,
    "num_epochs": 2,
    "entropy_coeff": 0.01,
    "kl_coeff": 0.2,
    "observation_filter": "MeanStdFilter",
}


EVERYTHING_MOVES = {
    "kl_target": 0.003,
    "entropy_coeff_schedule": [[0, 0.02], [5_000, 0.0]],
    "lr_schedule": [[0, 1e-2], [10_000, 1e-3]],
}
"""Settings by which the numbers that losses read change in every iteration."""

REPLAYED = {
    "train_batch_size": 8,
    "num_steps_sampled_before_learning_starts": 16,
    "min_sample_timesteps_per_iteration": 32,
    "replay_capacity": 500,
    "lr": 1e-3,
}
"""What makes an iteration of DQN and SAC short."""


class Rated(PPO):
    """Gives each row's log-probability back, as the weights that acted gave it."""

    def losses(self, policy: Policy, batch: Batch) -> Losses:
        found = super().losses(policy, batch)
        return Losses(found.by_group, found.metrics, {"logp": batch["action_logp"]})


def rows(algorithm: PPO, trajectory: Trajectory | None = None) -> Batch:
    """Return training rows of ``trajectory``, or of a new one."""
    return training_rows(algorithm.policy, trajectory or algorithm.fleet.gather(64), gae(gamma=0.99, lambda_=0.95))


@pytest.fixture(scope="session")
def compiles_quickly() -> Iterator[None]:
    """Let JAX compile with little optimising: what is run here is run a few times."""
    import jax

    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture
def build(request: pytest.FixtureRequest) -> Iterator[Build]:
    """Build algorithms, closed after the test: PPO on JAX with a tiny network, unless more is said."""
    with ExitStack() as stack:

        def make(
            env: Any = "CartPole-v1",
            kind: type[Algorithm[Any]] = PPO,
            model: dict[str, Any] | None = None,
            framework: str = "jax",
            **settings: Any,
        ) -> Any:
            if framework == "jax":
                request.getfixturevalue("compiles_quickly")
            sizes: dict[str, Any] = {"fcnet_hiddens": [16, 16]}
            if model and {"use_lstm", "use_gru", "use_attention", "custom_model"} & model.keys():
                sizes["max_seq_len"] = 8
            if model and {"use_lstm", "use_gru", "custom_model"} & model.keys():
                sizes["lstm_cell_size"] = 16
            shared = SMALL if kind is PPO else {"seed": 0, "num_envs_per_env_runner": 4}
            keys = {**shared, "framework": framework, "model": {**sizes, **(model or {})}, **settings}
            return stack.enter_context(closing(kind(env, keys, preset="none")))

        yield make
