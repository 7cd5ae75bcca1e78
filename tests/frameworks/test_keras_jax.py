"""PPO on Keras and JAX through the library's own losses, distributions, collector and Runtime (design, section 4)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from anyspace import tree
from anyspace.algorithms.on_policy import training_rows
from anyspace.algorithms.ppo import PPO
from anyspace.data.trajectory import Trajectory
from anyspace.errors import CheckpointError
from anyspace.execution.learner import Batch
from tests.frameworks.keras_jax import JaxPPO, KerasModel

Build = Callable[..., Any]

SMALL = {
    "seed": 0,
    # It resets within a step, so that no row is left out and XLA compiles for few shapes.
    "vectorization": "sync",
    "num_envs_per_env_runner": 4,
    "train_batch_size": 64,
    "minibatch_size": 32,
    "num_epochs": 2,
    "entropy_coeff": 0.01,
}


@pytest.fixture
def build() -> Iterator[Build]:
    """Build algorithms, closed after the test; those on JAX get the Keras model."""
    with ExitStack() as stack:

        def make(kind: type[PPO], env: str = "CartPole-v1", width: int = 16, **settings: Any) -> PPO:
            model = {"fcnet_hiddens": [width, width], "custom_model": KerasModel if kind is JaxPPO else None}
            return stack.enter_context(closing(kind(env, {**SMALL, "model": model, **settings})))

        yield make


def rows(algorithm: PPO, trajectory: Trajectory | None = None) -> Batch:
    """Return training rows of ``trajectory``, or of a new one."""
    trajectory = trajectory or algorithm.fleet.gather(64)
    return training_rows(algorithm.policy, trajectory, gamma=0.99, lambda_=0.95, use_critic=True)


def converted(convert: Callable[[Any], Any], batch: Batch) -> Batch:
    return {name: tree.map_leaves(convert, column) for name, column in batch.items()}


# ---------------------------------------------------------------------------------------- learning


def test_learns_cartpole(build: Build) -> None:
    algorithm = build(
        JaxPPO,
        width=64,
        num_envs_per_env_runner=8,
        train_batch_size=1024,
        minibatch_size=256,
        num_epochs=6,
        lr=2e-3,
        lambda_=0.95,
        clip_param=0.2,
        grad_clip=0.5,
        kl_coeff=0.0,
        entropy_coeff=0.0,
        return_window=50,
        stop_return=150.0,
    )
    result = algorithm.learn(40_000, progress=False)
    assert result["episode_return_mean"] >= 150.0
    assert algorithm.evaluate(10)["episode_return_mean"] >= 150.0


def test_ratio_is_one_on_the_first_minibatch(build: Build) -> None:
    algorithm = build(JaxPPO, lr=1e-2)
    trajectory = algorithm.fleet.gather(64)
    updates = algorithm.updates(algorithm.policy, trajectory)
    first = algorithm.learner.step(next(updates))
    later = algorithm.learner.step(updates.send(first))
    assert first["ratio_error"] <= 1e-5 < later["ratio_error"]


def test_same_seed_same_run(build: Build) -> None:
    first, second = (build(JaxPPO) for _ in range(2))
    for algorithm in (first, second):
        algorithm.train()
    np.testing.assert_equal(first.policy.state(), second.policy.state())


# ---------------------------------------------------------------------------- agreement with PyTorch


class Pair(NamedTuple):
    """Two algorithms with the same weights and filter statistics, and rows that they made of one trajectory."""

    torch: PPO
    jax: PPO
    torch_rows: Batch
    jax_rows: Batch


@pytest.fixture(params=["CartPole-v1", "Pendulum-v1"])
def pair(request: pytest.FixtureRequest, build: Build) -> Pair:
    torch_ppo, jax_ppo = (build(kind, request.param, observation_filter="MeanStdFilter") for kind in (PPO, JaxPPO))
    trajectory = torch_ppo.fleet.gather(64)
    for algorithm in (torch_ppo, jax_ppo):
        algorithm.policy.push(trajectory.all_obs())
    set_weights(jax_ppo, weights(torch_ppo))
    return Pair(torch_ppo, jax_ppo, rows(torch_ppo, trajectory), rows(jax_ppo, trajectory))


def weights(algorithm: PPO) -> list[Any]:
    """Return the weights layer by layer, kernels as [in, out]."""
    values = algorithm.policy.runtime.parameters(algorithm.policy.model).values()
    return [value.T for value in values] if algorithm.policy.runtime.framework == "torch" else list(values)


def set_weights(algorithm: PPO, values: list[Any]) -> None:
    """Take over what :func:`weights` returned."""
    runtime, model = algorithm.policy.runtime, algorithm.policy.model
    if runtime.framework == "torch":
        values = [value.T for value in values]
    runtime.load_parameters(model, dict(zip(runtime.parameters(model), values, strict=True)))


def test_training_rows_agree(pair: Pair) -> None:
    expected = converted(pair.torch.policy.runtime.numpy, pair.torch_rows)
    got = converted(pair.jax.policy.runtime.numpy, pair.jax_rows)
    assert got.keys() == expected.keys()
    for name, column in expected.items():
        for mine, theirs in zip(tree.leaves(got[name]), tree.leaves(column), strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-5, err_msg=name)


def test_losses_and_gradients_agree(pair: Pair) -> None:
    rng = np.random.default_rng(0)
    moved = [value + 0.05 * rng.standard_normal(value.shape, np.float32) for value in weights(pair.torch)]
    for algorithm in (pair.torch, pair.jax):
        set_weights(algorithm, moved)
    batch = converted(pair.torch.policy.runtime.numpy, pair.torch_rows)

    losses, expected = pair.torch.losses(pair.torch.policy, pair.torch_rows)
    parameters = list(pair.torch.policy.model.parameters())
    gradients = [gradient.numpy() for gradient in torch.autograd.grad(losses["policy"], parameters)]
    learner = pair.jax.learner
    batch = converted(pair.jax.policy.runtime.asarray, batch)
    got, jax_gradients = learner.gradients([variable.value for variable in learner.variables], batch)

    assert expected["ratio_error"] > 0.01
    for name, value in {**expected, "total_loss": losses["policy"].detach()}.items():
        np.testing.assert_allclose(got[name], value, rtol=1e-5, atol=1e-5, err_msg=name)
    for mine, theirs in zip(jax_gradients, gradients, strict=True):
        np.testing.assert_allclose(mine, theirs.T, rtol=1e-5, atol=1e-5)


# ---------------------------------------------------------------------------------------- compilation


def test_what_the_losses_read_is_never_stale_in_the_compiled_step(build: Build) -> None:
    algorithm = build(JaxPPO, lr=1e-2, observation_filter="MeanStdFilter")
    algorithm.train()
    algorithm.learner.set_learning_rate(0.0)
    batch = rows(algorithm)
    batch["action_dist_inputs"] = batch["action_dist_inputs"] + np.array([1.0, -1.0], np.float32)

    def eager() -> float:
        return float(algorithm.losses(algorithm.policy, batch)[0]["policy"])

    def compiled() -> float:
        return float(algorithm.learner.step(batch)["total_loss"])

    for change in (
        {"kl_coeff": 3.0, "entropy_coeff": 0.0},
        {"kl_coeff": 0.0, "entropy_coeff": 0.5},
        {"kl_coeff": 3.0, "entropy_coeff": 0.0},
    ):
        before = compiled()
        algorithm.load_coefficients(change)
        assert abs(eager() - before) > 0.1
        assert compiled() == pytest.approx(eager(), rel=1e-5)
    before = compiled()
    algorithm.policy.push([np.full((50, 4), 3.0, np.float32)])
    assert abs(eager() - before) > 0.01
    assert compiled() == pytest.approx(eager(), rel=1e-5)


def test_learning_rate_reaches_the_compiled_step(build: Build) -> None:
    algorithm = build(JaxPPO, lr=1e-2)
    batch = rows(algorithm)
    algorithm.learner.step(batch)
    before = algorithm.policy.state()
    algorithm.learner.set_learning_rate(0.0)
    algorithm.learner.step(batch)
    np.testing.assert_equal(algorithm.policy.state(), before)


# ---------------------------------------------------------------------------------------- checkpoints


def test_weights_round_trip_through_the_runtime(build: Build) -> None:
    ours, other = build(JaxPPO), build(JaxPPO, seed=1)
    runtime = ours.policy.runtime
    values = runtime.parameters(ours.policy.model)
    assert sum(layer.parameters for layer in runtime.layers(ours.policy.model)) == sum(v.size for v in values.values())
    assert any((values[name] != value).any() for name, value in runtime.parameters(other.policy.model).items())
    runtime.load_parameters(other.policy.model, values)
    np.testing.assert_equal(runtime.parameters(other.policy.model), values)
    with pytest.raises(CheckpointError, match="do not fit"):
        runtime.load_parameters(build(JaxPPO, width=8).policy.model, values)


def test_checkpoint_goes_on_as_the_original(build: Build, tmp_path: Path) -> None:
    algorithm = build(JaxPPO)
    batch = rows(algorithm)
    algorithm.learner.step(batch)
    restored = JaxPPO.load(algorithm.save(tmp_path))
    for one in (algorithm, restored):
        one.learner.step(batch)
    np.testing.assert_equal(restored.snapshot()[1], algorithm.snapshot()[1])
    noise = [one.policy.draw_noise(2, 3) for one in (algorithm, restored)]
    np.testing.assert_array_equal(*noise)
