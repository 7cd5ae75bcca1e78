"""The learner of JAX: padding, loops, cells, groups, and the same gradients as PyTorch's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest
import torch

from anyspace import PPO, tree
from anyspace.algorithms.on_policy import gae, minibatches, training_rows
from anyspace.data.trajectory import Trajectory
from anyspace.distributions import Categorical
from anyspace.errors import CheckpointError
from anyspace.execution.learner import Losses, Steps
from anyspace.maths.sequences import slots
from anyspace.maths.xp import Array, Rng
from anyspace.models import JaxModelV2
from anyspace.policy.batch import Batch
from anyspace.policy.sequences import PaddedSequences, Sequences
from tests.frameworks.conftest import SMALL, Build

EVERYTHING_MOVES = {
    "kl_target": 0.003,
    "entropy_coeff_schedule": [[0, 0.02], [5_000, 0.0]],
}
"""Settings by which the numbers that losses read change in every iteration."""
DENSE: dict[str, Any] = {}
LSTM = {"use_lstm": True, "lstm_use_prev_action": True}
GTRXL = {
    "use_attention": True,
    "attention_dim": 8,
    "attention_head_dim": 4,
    "attention_memory_inference": 4,
    "attention_memory_training": 4,
}
EITHER = pytest.mark.parametrize("model", [DENSE, LSTM], ids=["dense", "lstm"])


class SampledEntropy(Categorical):
    """A categorical distribution that estimates its entropy by one sample."""

    def entropy(self, rng: Rng = None) -> Array:
        return -self.logp(self.sample(rng))


def rows(algorithm: PPO, trajectory: Trajectory | None = None, steps: int = 64) -> Batch:
    """Return training rows of ``trajectory``, or of a new one."""
    trajectory = trajectory or algorithm.fleet.gather(steps)
    return training_rows(algorithm.policy, trajectory, gae(gamma=0.99, lambda_=0.95))


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


# ---------------------------------------------------------------------------------------- learning


@EITHER
def test_ratio_is_one_on_the_first_minibatch(build: Build, model: dict[str, Any]) -> None:
    algorithm = build(model=model, lr=1e-2)
    trajectory = algorithm.fleet.gather(64)
    result = algorithm.learner.steps(next(algorithm.updates(algorithm.policy, trajectory)))
    first, later = result.metrics["ratio_error"][[0, 1]]
    assert first <= 1e-5 < later


def test_same_seed_same_run(build: Build) -> None:
    first, second = (build() for _ in range(2))
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


@pytest.fixture(
    params=[
        ("CartPole-v1", DENSE),
        ("Pendulum-v1", {"free_log_std": True}),
        ("CartPole-v1", LSTM),
        ("CartPole-v1", GTRXL),
    ],
    ids=["dense", "numbers", "lstm", "gtrxl"],
)
def pair(request: pytest.FixtureRequest, build: Build) -> Pair:
    env, model = request.param
    torch_ppo, jax_ppo = (build(env, model=model, framework=framework) for framework in ("torch", "jax"))
    trajectory = torch_ppo.fleet.gather(64)
    torch_ppo.policy.push(trajectory.all_obs())
    jax_ppo.policy.load_weights(torch_ppo.policy.weights())
    return Pair(torch_ppo, jax_ppo, rows(torch_ppo, trajectory), rows(jax_ppo, trajectory))


def moved(algorithm: PPO, by: float) -> dict[str, Any]:
    """Move all weights at random; return those of the policy."""
    rng, weights = np.random.default_rng(0), algorithm.policy.weights()
    for name, value in weights.items():
        if name.startswith("model/"):
            weights[name] = value + by * rng.standard_normal(value.shape, np.float32)
    algorithm.policy.load_weights(weights)
    return weights


def test_training_rows_agree(pair: Pair) -> None:
    torch_numpy = pair.torch.policy.runtime.numpy
    assert pair.jax_rows.keys() == pair.torch_rows.keys()
    for name, column in pair.torch_rows.items():
        mine = pair.jax_rows[name]
        if name == "sequences":
            mine, column = ([one.lens, *one.state] for one in (mine, column))
            column = [column[0], *map(torch_numpy, column[1:])]
        elif name == "views":
            mine, column = ([leaf for view in one.values() for leaf in view.leaves()] for one in (mine, column))
            column = list(map(torch_numpy, column))
        else:
            column = tree.map_leaves(torch_numpy, column)
        close(mine, column, 1e-5, name)


def test_losses_and_gradients_agree(pair: Pair) -> None:
    pair.jax.policy.load_weights(moved(pair.torch, 0.05))
    found = pair.torch.losses(pair.torch.policy, pair.torch_rows)
    total = found.by_group["policy"]
    named = dict(pair.torch.policy.model.named_parameters())
    theirs = torch.autograd.grad(total, list(named.values()))

    got, mine = gradients(pair.jax, step_on(pair.jax, pair.jax_rows, 100))
    assert found.metrics["ratio_error"] > 0.01
    for name, value in {**found.metrics, "total_loss": total.detach()}.items():
        np.testing.assert_allclose(got[name], value, rtol=1e-5, atol=1e-5, err_msg=name)
    assert mine.keys() == named.keys()
    for name, gradient in zip(named, theirs, strict=True):
        np.testing.assert_allclose(mine[name], gradient.numpy(), rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("model", [{"free_log_std": True}, LSTM, {"use_gru": True}], ids=["dense", "lstm", "gru"])
def test_what_acts_quickly_acts_as_the_model_does(
    build: Build, model: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    quick, plain = (build("Pendulum-v1", model=model) for _ in range(2))
    moved(quick, 0.1)
    moved(plain, 0.1)
    kind = type(plain.policy.model)
    assert kind.forward_pass is not JaxModelV2.forward_pass
    found = [quick.fleet.gather(32)]
    monkeypatch.setattr(kind, "forward_pass", JaxModelV2.forward_pass)
    found.append(plain.fleet.gather(32))
    np.testing.assert_allclose(*(trajectory.actions for trajectory in found), rtol=1e-4, atol=1e-5)


# ------------------------------------------------------------------------------------------ padding


@EITHER
def test_padding_changes_neither_losses_nor_gradients(build: Build, model: dict[str, Any]) -> None:
    algorithm = build(model=model)
    batch = rows(algorithm)
    moved(algorithm, 0.1)
    exact, padded = step_on(algorithm, batch), step_on(algorithm, batch, 100)
    assert padded.inputs.counted.sum() == len(batch["actions"]) < 70
    assert padded.inputs.counted.size == 128 * (8 if model is LSTM else 1) > exact.inputs.counted.size
    close(gradients(algorithm, padded), gradients(algorithm, exact), 1e-6)


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


class Rated(PPO):
    """Gives each row's log-probability back, as the weights that acted gave it."""

    def losses(self, policy: Any, batch: Batch) -> Losses:
        found = super().losses(policy, batch)
        return Losses(found.by_group, found.metrics, {"logp": batch["action_logp"]})


@EITHER
def test_one_call_and_a_call_for_each_step_agree(build: Build, model: dict[str, Any]) -> None:
    one_call, many = (build(kind=Rated, model=model, **SMALL, lr=1e-3, grad_clip=0.5) for _ in range(2))
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
            picked = order[counted]
            if model is LSTM:
                picked = batch["sequences"].pick(picked, one_call.policy.runtime)[1]
            np.testing.assert_array_equal(found[: len(picked)], batch["action_logp"][picked])
            assert np.isnan(found[len(picked) :]).all()


def test_targets_move_within_the_call(build: Build) -> None:
    inner, outer = (build(kind=Rated, **SMALL, lr=1e-3, grad_clip=0.5) for _ in range(2))
    inside, outside = (algorithm.policy.sibling() for algorithm in (inner, outer))
    batch = rows(inner)
    steps = minibatches(inner.policy, batch, 20)
    tau = np.linspace(0.2, 0.8, len(steps.order), dtype=np.float32)
    inner.learner.steps(Steps(batch, steps.order, steps.counted, tau))
    outer.learner.loops = False
    for number, much in enumerate(tau):
        outer.learner.steps(Steps(batch, steps.order[[number]], steps.counted[[number]]))
        outer.learner.follow(outside, float(much))
    close(inside.weights(), outside.weights(), 1e-6)
    assert any((value != inner.policy.weights()[name]).any() for name, value in inside.weights().items())


# ---------------------------------------------------------------------------------------- compilation


@EITHER
def test_twenty_iterations_compile_few_steps(
    build: Build, model: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    algorithm = build(
        model=model,
        num_envs_per_env_runner=8,
        train_batch_size=512,
        minibatch_size=128,
        num_epochs=3,
        lr=1e-2,
        lambda_=0.95,
        vf_loss_coeff=0.01,
        **EVERYTHING_MOVES,
    )
    shapes: set[tuple[int, ...]] = set()
    moving: dict[str, set[Any]] = {"kl_coeff": set(), "entropy_coeff": set(), "mean": set(), "rows": set()}

    def spied(steps: Steps, take: Callable[[Steps], Any] = algorithm.learner.steps) -> Any:
        shapes.add((len(steps.rows["actions"]), *steps.order.shape))
        return take(steps)

    algorithm.learner.steps = spied
    results = []
    for _ in range(20):
        with jax.log_compiles():
            results.append(algorithm.train())
        moving["rows"].add(results[-1]["timesteps_this_iter"])
        moving["mean"].add(algorithm.policy.filter.affine()[0][0].tobytes())
        for name in ("kl_coeff", "entropy_coeff"):
            moving[name].add(results[-1]["learner"][name])
    assert len(shapes) >= 8
    assert {name: len(values) >= 4 for name, values in moving.items()} == dict.fromkeys(moving, True)
    # The steps and nothing else: all other numbers are NumPy's.
    compiled = [record for record in caplog.records if "Finished XLA compilation" in record.getMessage()]
    steps, passes = algorithm.learner.compilations, len(compiled) - algorithm.learner.compilations
    assert 1 <= steps <= 4
    assert passes == 0
    # It learns meanwhile.
    assert results[-1]["episode_return_mean"] >= 2 * results[0]["episode_return_mean"]


def test_what_the_losses_read_is_never_stale_in_the_compiled_step(build: Build) -> None:
    algorithm = build(lr_schedule=[[0, 1e-2], [64, 0.0]])
    algorithm.train()
    algorithm.learner.at(1_000)
    batch = rows(algorithm)
    batch["action_dist_inputs"] = batch["action_dist_inputs"] + np.array([1.0, -1.0], np.float32)

    def eager() -> float:
        return float(algorithm.losses(algorithm.policy, batch).by_group["policy"])

    def compiled() -> float:
        return float(algorithm.learner.step(batch).metrics["total_loss"])

    def change(kl_coeff: float, entropy_coeff: float) -> None:
        for part, value in (("kl_coeff", kl_coeff), ("entropy_coeff", entropy_coeff)):
            algorithm.parts()[part].load_state({"value": np.array(value)})

    compiled()
    compilations = algorithm.learner.compilations
    for coefficients in ((3.0, 0.0), (0.0, 0.5), (3.0, 0.0)):
        before = compiled()
        change(*coefficients)
        assert abs(eager() - before) > 0.1
        assert compiled() == pytest.approx(eager(), rel=1e-5)
    before = compiled()
    algorithm.policy.push([np.full((50, 4), 3.0, np.float32)])
    assert abs(eager() - before) > 0.01
    assert compiled() == pytest.approx(eager(), rel=1e-5)
    assert algorithm.learner.compilations == compilations


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
    for settings in ({"kl_coeff": 0.0}, {"entropy_coeff_schedule": None, "entropy_coeff": 0}, {"vf_clip_param": None}):
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


# ---------------------------------------------------------------------------------------- checkpoints


@EITHER
def test_weights_round_trip_through_the_runtime(build: Build, model: dict[str, Any]) -> None:
    ours, other = build(model=model), build(model=model, seed=1)
    runtime = ours.policy.runtime
    values = runtime.parameters(ours.policy.model)
    assert sum(layer.parameters for layer in runtime.layers(ours.policy.model)) == sum(v.size for v in values.values())
    assert any((values[name] != value).any() for name, value in runtime.parameters(other.policy.model).items())
    runtime.load_parameters(other.policy.model, values)
    np.testing.assert_equal(runtime.parameters(other.policy.model), values)
    with pytest.raises(CheckpointError, match="do not fit"):
        runtime.load_parameters(build(model={"fcnet_hiddens": [8]}).policy.model, values)


@EITHER
def test_checkpoint_goes_on_as_the_original(build: Build, tmp_path: Path, model: dict[str, Any]) -> None:
    algorithm = build(model=model, **EVERYTHING_MOVES)
    algorithm.train()
    batch = rows(algorithm)
    restored = PPO.load(algorithm.save(tmp_path))
    for one in (algorithm, restored):
        one.learner.steps(minibatches(one.policy, batch, 32, 2))
    np.testing.assert_equal(restored.snapshot()[1], algorithm.snapshot()[1])
    noise = []
    for one in (algorithm, restored):
        with one.policy.acting() as act:
            noise.append(act.draw_noise(one.policy.new_distribution(3), 2))
    np.testing.assert_array_equal(*noise)
