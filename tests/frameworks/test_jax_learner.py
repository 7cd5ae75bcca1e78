"""The learner of JAX: padding, loops, draws, what is traced; see `test_learner.py` for what all promise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from anyspace import PPO
from anyspace.algorithms.on_policy import minibatches
from anyspace.distributions import Categorical
from anyspace.errors import CheckpointError
from anyspace.execution.learner import Steps
from anyspace.maths.sequences import slots
from anyspace.maths.xp import Array, Rng
from anyspace.models import JaxModelV2, ModelV2
from anyspace.models.networks import network
from anyspace.policy.batch import Batch
from anyspace.policy.sequences import PaddedSequences, Sequences
from tests.frameworks import jax_models
from tests.frameworks.conftest import EVERYTHING_MOVES, SMALL, Build, Rated, rows

LSTM = {"use_lstm": True, "lstm_use_prev_action": True}


class SampledEntropy(Categorical):
    """A categorical distribution that estimates its entropy by one sample."""

    def entropy(self, rng: Rng = None) -> Array:
        return -self.logp(self.sample(rng))


class Parts(NamedTuple):
    """What one gradient step of a learner takes."""

    batch: Batch
    put_together: Callable[[Any, Any], Batch]
    inputs: Any
    stored: Any


def step_on(algorithm: PPO, batch: Batch, room: int = 0) -> Parts:
    """Return a batch as one step takes it, with room for as many rows or sequences, which do not count."""
    sequences = batch.get("sequences")
    count = len(batch["actions"]) if sequences is None else len(sequences.lens)
    order = np.zeros((1, max(room, count)), np.int64)
    order[0, :count] = np.arange(count)
    found = algorithm.learner.stacked(Steps(batch, order, np.arange(order.shape[1])[None] < count))
    inputs = jax.tree.map(lambda leaf: leaf[0], found.inputs)
    return Parts(batch, found.put_together, inputs, found.stored)


def gradients(algorithm: PPO, parts: Parts) -> tuple[dict[str, Array], dict[str, Array]]:
    """Return the metrics and the gradient of a step."""
    learner = algorithm.learner

    def traced(weights: Any, inputs: Any, stored: Any, cells: list[Any], key: Any) -> Any:
        reported, _, found = learner.gradients(weights, parts.put_together(inputs, stored), cells, key)
        return reported[0], found["policy"]

    return jax.jit(traced)(arrays(algorithm), parts.inputs, parts.stored, cells(algorithm), np.zeros(2, np.uint32))


def arrays(algorithm: PPO) -> list[Any]:
    """Return the weights of the policy's model and of its siblings."""
    return [pipeline.model.held().arrays() for pipeline in (algorithm.policy, *algorithm.policy.siblings)]


def cells(algorithm: PPO) -> list[Any]:
    return [cell.host for cell in algorithm.policy.runtime.cells]


def close(got: Any, expected: Any, tolerance: float, message: str = "") -> None:
    for mine, theirs in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=tolerance, atol=tolerance, err_msg=message)


def moved(algorithm: PPO, by: float) -> dict[str, Any]:
    """Move all weights at random; return those of the policy."""
    rng, weights = np.random.default_rng(0), algorithm.policy.weights()
    for name, value in weights.items():
        if name.startswith("model/"):
            weights[name] = value + by * rng.standard_normal(value.shape, np.float32)
    algorithm.policy.load_weights(weights)
    return weights


# ------------------------------------------------------------------------------------------ padding


@pytest.mark.parametrize("memory", ["use_lstm", "use_gru"])
def test_padding_changes_neither_losses_nor_gradients(
    build: Build, memory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    algorithm = build(model={memory: True, "lstm_use_prev_action": True})
    batch = rows(algorithm)
    moved(algorithm, 0.1)
    packed = step_on(algorithm, batch)
    kind = type(algorithm.policy.model)
    monkeypatch.setattr(kind, "packs_sequences", ModelV2.packs_sequences)
    exact, padded = step_on(algorithm, batch), step_on(algorithm, batch, 100)
    assert padded.inputs.counted.sum() == packed.inputs.counted.sum() == len(batch["actions"]) < 70
    sizes = [parts.inputs.counted.size for parts in (packed, exact, padded)]
    assert sizes[0] < sizes[1] < sizes[2] == 128 * 8
    found = [gradients(algorithm, parts) for parts in (padded, exact, packed)]
    close(found[0], found[1], 1e-6)
    close(found[2], found[1], 1e-5)


def test_models_of_users_see_a_sequence_in_each_lane(build: Build) -> None:
    class Features(jax_models.NnxModel):
        def __init__(self, obs_space: Any, action_space: Any, num_outputs: Any, model_config: Any, name: str):
            super().__init__(obs_space, action_space, 16, model_config, name)
            self.num_outputs = 16

    class Lossy(network("dense", "jax")):  # type: ignore[misc]
        def custom_loss(self, policy_loss: Any, loss_inputs: Any) -> Any:
            return policy_loss

    for base, packs in ((None, True), (Features, False), (Lossy, False)):
        model = build(model={**LSTM, "custom_model": base}).policy.model
        assert model.packs_sequences() == packs
    assert not build(model={"use_attention": True}).policy.model.packs_sequences()


@pytest.mark.parametrize("time_major", [False, True])
def test_padded_sequences_show_the_model_what_sequences_show(build: Build, time_major: bool) -> None:
    runtime = build().policy.runtime
    lens, longest = np.array([2, 1, 3]), 3
    plain = Sequences(lens, []).padding(runtime, time_major=time_major)
    grid = PaddedSequences(lens, [], longest).padding(runtime, time_major=time_major)
    places = slots(lens)
    for dtype in (np.float32, np.uint8, np.bool_):
        column = (np.arange(1, 13) % 2 + 1).reshape(6, 2).astype(dtype)
        padded = np.repeat(column[:1], 9, axis=0)
        padded[places] = column
        mine, theirs = grid.put_in(padded), plain.put_in(column)
        assert mine.dtype == theirs.dtype
        np.testing.assert_array_equal(mine, theirs)
        results = theirs.reshape(3, 3, 2).swapaxes(0, 1).reshape(9, 2) if time_major else theirs
        np.testing.assert_array_equal(grid.take_out(results)[places], column)
        np.testing.assert_array_equal(plain.take_out(results), column)
    np.testing.assert_array_equal(grid.seq_lens, plain.seq_lens)


def test_time_major_model_learns_the_same(build: Build) -> None:
    plain, turned = (build(model={**LSTM, "_time_major": major}) for major in (False, True))
    batch = rows(plain)
    close(*(gradients(one, step_on(one, batch)) for one in (plain, turned)), 1e-6)


# -------------------------------------------------------------------------------------------- steps


def test_one_call_and_a_call_for_each_step_agree(build: Build) -> None:
    one_call, many = (build(kind=Rated, model=LSTM, **SMALL, lr=1e-3, grad_clip=0.5) for _ in range(2))
    many.learner.loops = False
    batch = rows(one_call)
    steps = minibatches(one_call.policy, batch, 28, 3)
    lens = steps.counted.sum(axis=1)
    assert len(set(lens)) > 1
    assert len(steps.order) & (len(steps.order) - 1), "there is room for steps that are not taken"
    results = [one.learner.steps(steps) for one in (one_call, many)]
    close(one_call.policy.weights(), many.policy.weights(), 1e-6)
    close(one_call.learner.state(), many.learner.state(), 1e-6)
    assert results[0].metrics["total_loss"].shape == (len(steps.order),)
    close(*(result.metrics for result in results), 1e-5)
    for result in results:
        for found, order, counted in zip(result.rows["logp"], steps.order, steps.counted, strict=True):
            picked = batch["sequences"].pick(order[counted], one_call.policy.runtime)[1]
            np.testing.assert_array_equal(found[: len(picked)], batch["action_logp"][picked])
            assert np.isnan(found[len(picked) :]).all()


def test_keys_are_drawn_for_the_steps_that_are_taken(build: Build) -> None:
    algorithm = build()
    runtime, batch = algorithm.policy.runtime, rows(algorithm)
    steps = minibatches(algorithm.policy, batch, 32, 3)
    assert len(algorithm.learner.stacked(steps).inputs.counted) > len(steps.order)
    before = runtime.rng_state()
    algorithm.learner.steps(steps)
    after = runtime.rng_state()
    runtime.set_rng_state(before)
    runtime.keys(len(steps.order))
    np.testing.assert_equal(runtime.rng_state(), after)


def test_sampled_entropy_draws_anew_in_every_step(build: Build) -> None:
    settings = {"lr": 0.0, "kl_coeff": 0.0, "vf_loss_coeff": 0.0, "entropy_coeff": 1.0}
    algorithm = build(model={"custom_action_dist": SampledEntropy}, **settings)
    runtime, learner, batch = algorithm.policy.runtime, algorithm.learner, rows(algorithm)
    # Logits far from each other: a sample's log-probability says which one was drawn.
    algorithm.policy.model.weights["logits.bias"] += np.array([1.0, -1.0], np.float32)
    steps = minibatches(algorithm.policy, batch, None, 4)
    before = runtime.rng_state()
    losses = learner.steps(steps).metrics["total_loss"]
    assert len(set(losses.tolist())) == 4
    runtime.set_rng_state(before)
    np.testing.assert_array_equal(learner.steps(steps).metrics["total_loss"], losses)
    assert set(learner.steps(steps).metrics["total_loss"].tolist()).isdisjoint(losses.tolist())
    assert learner.compilations == 1


def test_losses_branch_on_the_configuration_alone(build: Build) -> None:
    def programme(algorithm: PPO, cells_now: list[Any]) -> str:
        """Return the losses' operations, with weights, cells, rows and key as arguments."""
        learner, parts = algorithm.learner, step_on(algorithm, rows(algorithm), 64)

        def traced(weights: Any, inputs: Any, stored: Any, cells: Any, key: Any) -> Any:
            return learner.traced_losses(weights, parts.put_together(inputs, stored), cells, key)

        key = np.zeros(2, np.uint32)
        return str(jax.make_jaxpr(traced)(arrays(algorithm), parts.inputs, parts.stored, cells_now, key))

    moving = build(**EVERYTHING_MOVES)
    first = programme(moving, cells(moving))
    assert programme(moving, [np.zeros_like(cell) for cell in cells(moving)]) == first
    moving.train()
    moving.parts()["kl_coeff"].assign(0.0)
    assert programme(moving, cells(moving)) == first
    # What the configuration leaves out is not computed.
    for settings in (
        {"kl_coeff": 0.0, "kl_target": 0.01},
        {"entropy_coeff_schedule": None, "entropy_coeff": 0},
        {"vf_clip_param": None},
    ):
        other = build(**{**EVERYTHING_MOVES, **settings})
        assert len(programme(other, cells(other))) < len(first)


def test_learning_rate_reaches_the_compiled_step(build: Build) -> None:
    algorithm = build(lr_schedule=[[0, 1e-2], [1_000, 0.0]])
    learner, steps = algorithm.learner, minibatches(algorithm.policy, rows(algorithm), 32, 2)
    start = algorithm.policy.weights()
    learner.steps(steps)
    before = algorithm.policy.weights()
    assert any((value != start[name]).any() for name, value in before.items())
    learner.at(1_000)
    learner.steps(steps)
    np.testing.assert_equal(algorithm.policy.weights(), before)
    assert learner.compilations == 1


def test_weights_round_trip_through_the_runtime(build: Build) -> None:
    ours, other = build(model=LSTM), build(model=LSTM, seed=1)
    runtime = ours.policy.runtime
    values = runtime.parameters(ours.policy.model)
    assert sum(layer.parameters for layer in runtime.layers(ours.policy.model)) == sum(v.size for v in values.values())
    assert any((values[name] != value).any() for name, value in runtime.parameters(other.policy.model).items())
    runtime.load_parameters(other.policy.model, values)
    np.testing.assert_equal(runtime.parameters(other.policy.model), values)
    with pytest.raises(CheckpointError, match="do not fit"):
        runtime.load_parameters(build(model={"fcnet_hiddens": [8]}).policy.model, values)


def test_steps_run_without_being_compiled(build: Build) -> None:
    with jax.disable_jit():
        # Each operation of each layer and row is called, and compiled, alone.
        algorithm = build(model={"fcnet_hiddens": [4]}, train_batch_size=8, minibatch_size=8, num_epochs=1)
        before = algorithm.get_weights()
        algorithm.train()
    assert any(not np.array_equal(before[name], value) for name, value in algorithm.get_weights().items())


class Widths(jax_models.NnxModel):
    """Weights of several widths."""

    def __init__(self, *arguments: Any):
        super().__init__(*arguments)
        self.of_kind = {kind: jnp.ones((), kind) for kind in ("bfloat16", "float16", "float32")}

    def features(self, obs: Array) -> Array:
        return super().features(obs) * sum(self.of_kind.values()).astype(jnp.float32)


@pytest.mark.parametrize("summed", [False, True])
def test_weights_of_all_widths_move_in_one_loop(build: Build, summed: bool) -> None:
    algorithm = build(model={"custom_model": Widths}, lr=0.1, grad_clip=0.5)
    of_kind = algorithm.policy.model.of_kind
    assert set(algorithm.learner.state()) >= {f"of_kind.{kind}/exp_avg_sq" for kind in of_kind}
    steps = minibatches(algorithm.policy, rows(algorithm), 32, 1)
    assert np.isfinite(algorithm.learner.steps(replace(steps, summed=summed)).metrics["grad_norm"]).all()
    for kind, weight in algorithm.policy.model.of_kind.items():
        assert weight.dtype == kind
        assert weight != of_kind[kind]


def test_weights_in_double_precision(build: Build) -> None:
    wide = jax.enable_x64 if hasattr(jax, "enable_x64") else jax.experimental.enable_x64  # where older JAX has it
    with wide(True):
        algorithm = build(model={"custom_model": Doubled}, lr=0.1, grad_clip=0.5)
        algorithm.train()
    (kernel,) = algorithm.policy.model.variables()
    assert kernel.dtype == np.float64
    assert algorithm.learner.state()["kernel/exp_avg"].dtype == np.float64


class Doubled(JaxModelV2):
    """Weights as JAX makes them where it is told to have 64 bits."""

    def __init__(self, obs_space: Any, action_space: Any, num_outputs: Any, model_config: Any, name: str):
        super().__init__(obs_space, action_space, num_outputs, model_config, name)
        self.kernel = 0.1 * jax.random.normal(jax.random.key(0), (4, num_outputs + 1))

    def forward(self, input_dict: Any, state: Any, seq_lens: Any) -> Any:
        out = input_dict["obs_flat"] @ self.kernel
        self._value = out[:, -1]
        return out[:, :-1], state

    def value_function(self) -> Array:
        return self._value
