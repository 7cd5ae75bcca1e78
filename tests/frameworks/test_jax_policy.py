"""PPO on JAX through the library's own losses, updates, rows, distributions and collector."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest
import torch

from anyspace import tree
from anyspace.algorithms.on_policy import gae, minibatches, training_rows
from anyspace.algorithms.ppo import PPO
from anyspace.data.trajectory import Trajectory
from anyspace.distributions import Categorical
from anyspace.errors import CheckpointError
from anyspace.execution.learner import Losses, Steps
from anyspace.maths.sequences import slots
from anyspace.maths.xp import Array, Rng
from anyspace.policy.batch import Batch
from anyspace.policy.sequences import PaddedSequences, Sequences
from tests.frameworks.jax_policy import DenseModel, JaxModel, JaxPPO, LSTMModel

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
}
"""Settings by which the numbers that losses read change in every iteration."""
EITHER = pytest.mark.parametrize("model", [DenseModel, LSTMModel])


class SampledEntropy(Categorical):
    """A categorical distribution that estimates its entropy by one sample."""

    def entropy(self, rng: Rng = None) -> Array:
        return -self.logp(self.sample(rng))


@pytest.fixture(scope="module", autouse=True)
def compiles_quickly(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Compile with little optimising, and no programme twice: what is run here is run a few times."""
    jax.config.update("jax_disable_most_optimizations", True)
    jax.config.update("jax_compilation_cache_dir", str(tmp_path_factory.mktemp("compiled")))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    yield
    jax.config.update("jax_disable_most_optimizations", False)
    jax.config.update("jax_compilation_cache_dir", None)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 1.0)


@pytest.fixture
def build() -> Iterator[Build]:
    """Build algorithms, closed after the test; those on JAX get the dense model, unless another one is named."""
    with ExitStack() as stack:

        def make(
            kind: type[PPO],
            env: str = "CartPole-v1",
            width: int = 16,
            model: type[JaxModel] = DenseModel,
            options: dict[str, Any] | None = None,
            **settings: Any,
        ) -> PPO:
            sizes = {"fcnet_hiddens": [width, width], "lstm_cell_size": 16, "max_seq_len": 8}
            recurrent = kind is PPO and model is LSTMModel
            chosen = {"custom_model": model} if issubclass(kind, JaxPPO) else {"use_lstm": recurrent}
            keys = {**SMALL, "model": {**sizes, **chosen, **(options or {})}, **settings}
            return stack.enter_context(closing(kind(env, keys, preset="none")))

        yield make


def rows(algorithm: PPO, trajectory: Trajectory | None = None, steps: int = 64) -> Batch:
    """Return training rows of ``trajectory``, or of a new one."""
    trajectory = trajectory or algorithm.fleet.gather(steps)
    return training_rows(algorithm.policy, trajectory, gae(gamma=0.99, lambda_=0.95))


def columns_of(algorithm: PPO, batch: Batch, room: int = 0) -> dict[str, Any]:
    """Return a batch as the columns of one step, with room for as many rows or sequences, those that do not count."""
    sequences = batch.get("sequences")
    order = np.arange(len(batch["actions"]) if sequences is None else len(sequences.lens))[None]
    steps = Steps(batch, order, np.ones(order.shape, np.bool_))
    stacked = algorithm.learner.padded(steps, (1, max(room, order.shape[1])))
    return jax.tree.map(lambda leaf: leaf[0], stacked)


def gradients(algorithm: PPO, columns: dict[str, Any]) -> tuple[dict[str, Array], dict[str, Array]]:
    """Return the metrics and the gradient of a batch, or of a batch's padded columns."""
    learner = algorithm.learner
    fixed = {name: column for name, column in columns.items() if isinstance(column, Sequences)}
    others = {name: column for name, column in columns.items() if name not in fixed}

    def traced(weights: Any, others: dict[str, Any], cells: list[Any], key: Any) -> Any:
        metrics, _, found = learner.gradients(weights, {**others, **fixed}, cells, key)
        return metrics, found

    return jax.jit(traced)(learner.weights(), others, cells(algorithm), np.zeros(2, np.uint32))


def cells(algorithm: PPO) -> list[Any]:
    return [cell.host for cell in algorithm.policy.runtime.cells]


def close(got: Any, expected: Any, tolerance: float, message: str = "") -> None:
    for mine, theirs in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=tolerance, atol=tolerance, err_msg=message)


# ---------------------------------------------------------------------------------------- learning


def test_learns_cartpole(build: Build) -> None:
    algorithm = build(
        JaxPPO,
        width=32,
        num_envs_per_env_runner=8,
        train_batch_size=1024,
        minibatch_size=256,
        num_epochs=4,
        lr=3e-3,
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


@EITHER
def test_ratio_is_one_on_the_first_minibatch(build: Build, model: type[JaxModel]) -> None:
    algorithm = build(JaxPPO, model=model, lr=1e-2)
    trajectory = algorithm.fleet.gather(64)
    result = algorithm.learner.steps(next(algorithm.updates(algorithm.policy, trajectory)))
    first, later = result.metrics["ratio_error"][[0, 1]]
    assert first <= 1e-5 < later


@EITHER
def test_same_seed_same_run(build: Build, model: type[JaxModel]) -> None:
    first, second = (build(JaxPPO, model=model) for _ in range(2))
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


@pytest.fixture(params=[("CartPole-v1", DenseModel), ("Pendulum-v1", DenseModel), ("CartPole-v1", LSTMModel)])
def pair(request: pytest.FixtureRequest, build: Build) -> Pair:
    env, model = request.param
    torch_ppo, jax_ppo = (build(kind, env, model=model) for kind in (PPO, JaxPPO))
    trajectory = torch_ppo.fleet.gather(64)
    for algorithm in (torch_ppo, jax_ppo):
        algorithm.policy.push(trajectory.all_obs())
    set_weights(jax_ppo, weights(torch_ppo))
    return Pair(torch_ppo, jax_ppo, rows(torch_ppo, trajectory), rows(jax_ppo, trajectory))


def weights(algorithm: PPO) -> list[Any]:
    """Return the weights layer by layer, kernels as [in, out]; an LSTM of PyTorch's has two biases, here their sum."""
    values = algorithm.policy.runtime.parameters(algorithm.policy.model)
    if algorithm.policy.runtime.framework == "torch":
        return [value.T for value in with_one_bias(values).values()]
    return list(values.values())


def with_one_bias(values: dict[str, Any]) -> dict[str, Any]:
    """Add up the two biases of PyTorch's LSTM."""
    both = {name: value for name, value in values.items() if name != "rnn.bias_hh_l0"}
    if len(both) < len(values):
        both["rnn.bias_ih_l0"] = values["rnn.bias_ih_l0"] + values["rnn.bias_hh_l0"]
    return both


def set_weights(algorithm: PPO, values: list[Any]) -> None:
    """Take over what :func:`weights` returned."""
    runtime, model = algorithm.policy.runtime, algorithm.policy.model
    own = runtime.parameters(model)
    if runtime.framework == "torch":
        values = [value.T for value in values]
        rest = {name: np.zeros_like(value) for name, value in own.items() if name == "rnn.bias_hh_l0"}
        names = [name for name in own if name not in rest]
        runtime.load_parameters(model, {**dict(zip(names, values, strict=True)), **rest})
    else:
        runtime.load_parameters(model, dict(zip(own, values, strict=True)))


def test_training_rows_agree(pair: Pair) -> None:
    torch_numpy = pair.torch.policy.runtime.numpy
    assert pair.jax_rows.keys() == pair.torch_rows.keys()
    for name, column in pair.torch_rows.items():
        mine = pair.jax_rows[name]
        if name == "sequences":
            mine, column = (tree.leaves([one.lens, one.state]) for one in (mine, column))
            column = [column[0], *map(torch_numpy, column[1:])]
        else:
            column = tree.map_leaves(torch_numpy, column)
        close(mine, column, 1e-5, name)


def test_losses_and_gradients_agree(pair: Pair) -> None:
    rng = np.random.default_rng(0)
    moved = [value + 0.05 * rng.standard_normal(value.shape, np.float32) for value in weights(pair.torch)]
    for algorithm in (pair.torch, pair.jax):
        set_weights(algorithm, moved)

    found = pair.torch.losses(pair.torch.policy, pair.torch_rows)
    total = found.by_group["policy"]
    named = dict(pair.torch.policy.model.named_parameters())
    their_gradients = torch.autograd.grad(total, list(named.values()))
    # Each of the two biases has the gradient of their sum.
    of_name = dict(zip(named, their_gradients, strict=True))
    theirs = [gradient.numpy().T for name, gradient in of_name.items() if name != "rnn.bias_hh_l0"]

    got, mine = gradients(pair.jax, columns_of(pair.jax, pair.jax_rows, 100))
    assert found.metrics["ratio_error"] > 0.01
    for name, value in {**found.metrics, "total_loss": total.detach()}.items():
        np.testing.assert_allclose(got[name], value, rtol=1e-5, atol=1e-5, err_msg=name)
    for name, gradient in zip(pair.jax.policy.model.weights, theirs, strict=True):
        np.testing.assert_allclose(mine[name], gradient, rtol=1e-5, atol=1e-5, err_msg=name)


# ------------------------------------------------------------------------------------------ padding


@EITHER
def test_padding_changes_neither_losses_nor_gradients(build: Build, model: type[JaxModel]) -> None:
    algorithm = build(JaxPPO, model=model)
    batch = rows(algorithm)
    rng = np.random.default_rng(0)
    set_weights(algorithm, [value + 0.1 * rng.standard_normal(value.shape, np.float32) for value in weights(algorithm)])
    columns = columns_of(algorithm, batch, 100)
    assert columns["counted"].sum() == len(batch["actions"]) < 70
    assert columns["counted"].size == (100 if model is DenseModel else 100 * 8)
    close(gradients(algorithm, columns), gradients(algorithm, batch), 1e-6)


@pytest.mark.parametrize("time_major", [False, True])
def test_padded_sequences_show_the_model_what_sequences_show(build: Build, time_major: bool) -> None:
    runtime = build(JaxPPO).policy.runtime
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
    plain, turned = (build(JaxPPO, model=LSTMModel, options={"_time_major": major}) for major in (False, True))
    batch = rows(plain)
    close(*(gradients(one, columns_of(one, batch, 100)) for one in (plain, turned)), 1e-6)


@EITHER
def test_a_step_in_which_nothing_counts_changes_nothing(build: Build, model: type[JaxModel]) -> None:
    algorithm = build(JaxPPO, model=model, lr=1e-2)
    batch, learner = rows(algorithm), algorithm.learner
    steps = minibatches(algorithm.policy, batch, 32, 2)
    learner.steps(steps)
    before = algorithm.policy.weights(), learner.state()
    columns = learner.padded(Steps(batch, steps.order, np.zeros_like(steps.counted)), learner.size(*steps.order.shape))
    inputs = {"columns": columns, "key": np.zeros((len(columns["counted"]), 2), np.uint32), "tau": None}
    (after, slots_after), _ = learner._compiled[True](
        (learner.weights(), learner._slots), inputs, cells(algorithm), learner.learning_rates()
    )
    close(after, learner.weights(), 0.0)
    close(slots_after, learner._slots, 0.0)
    np.testing.assert_equal((algorithm.policy.weights(), learner.state()), before)


# -------------------------------------------------------------------------------------------- steps


class Rated(JaxPPO):
    """Gives each row's log-probability back, as the weights that acted gave it."""

    def losses(self, policy: Any, batch: Batch) -> Losses:
        found = super().losses(policy, batch)
        return Losses(found.by_group, found.metrics, {"logp": batch["action_logp"]})


@EITHER
def test_scan_and_loop_agree(build: Build, model: type[JaxModel]) -> None:
    scan, loop = (build(Rated, model=model, lr=1e-3, grad_clip=0.5) for _ in range(2))
    loop.learner.scans = False
    batch = rows(scan)
    steps = minibatches(scan.policy, batch, 28, 3)
    lens = steps.counted.sum(axis=1)
    assert len(set(lens)) > 1
    assert len(steps.order) & (len(steps.order) - 1), "the scan needs steps that count nothing"
    results = [one.learner.steps(steps) for one in (scan, loop)]
    close(scan.policy.weights(), loop.policy.weights(), 1e-6)
    close(scan.learner.state(), loop.learner.state(), 1e-6)
    assert results[0].metrics["total_loss"].shape == (len(steps.order),)
    close(*(result.metrics for result in results), 1e-5)
    for result in results:
        for found, order, counted in zip(result.rows["logp"], steps.order, steps.counted, strict=True):
            picked = order[counted]
            if model is LSTMModel:
                picked = batch["sequences"].pick(picked, scan.policy.runtime)[1]
            np.testing.assert_array_equal(found[: len(picked)], batch["action_logp"][picked])
            assert np.isnan(found[len(picked) :]).all()


def test_targets_move_within_the_call(build: Build) -> None:
    moved, expected = (build(Rated, lr=1e-3, grad_clip=0.5) for _ in range(2))
    inside, outside = (algorithm.policy.sibling() for algorithm in (moved, expected))
    batch = rows(moved)
    steps = minibatches(moved.policy, batch, 20)
    tau = np.linspace(0.2, 0.8, len(steps.order), dtype=np.float32)
    moved.learner.steps(Steps(batch, steps.order, steps.counted, tau))
    expected.learner.scans = False
    for number, much in enumerate(tau):
        expected.learner.steps(Steps(batch, steps.order[[number]], steps.counted[[number]]))
        expected.learner.follow(outside, float(much))
    close(inside.weights(), outside.weights(), 1e-6)
    assert any((value != moved.policy.weights()[name]).any() for name, value in inside.weights().items())


# ---------------------------------------------------------------------------------------- compilation


@EITHER
def test_twenty_iterations_compile_few_steps(
    build: Build, model: type[JaxModel], caplog: pytest.LogCaptureFixture
) -> None:
    algorithm = build(
        JaxPPO,
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
    # The steps, and nothing else: all other numbers are NumPy's.
    compiled = [record for record in caplog.records if "Finished XLA compilation" in record.getMessage()]
    assert 1 <= algorithm.learner.compilations == len(compiled) <= 4
    # It learns meanwhile.
    assert results[-1]["episode_return_mean"] >= 2 * results[0]["episode_return_mean"]


def test_what_the_losses_read_is_never_stale_in_the_compiled_step(build: Build) -> None:
    algorithm = build(JaxPPO, lr_schedule=[[0, 1e-2], [64, 0.0]])
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
    algorithm = build(JaxPPO, options={"custom_action_dist": SampledEntropy}, **settings)
    runtime, learner, batch = algorithm.policy.runtime, algorithm.learner, rows(algorithm)
    # Logits far from each other: a sample's log-probability says which one was drawn.
    algorithm.policy.model.weights["logits/2/bias"] += np.array([1.0, -1.0], np.float32)
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
        learner = algorithm.learner
        arguments = learner.weights(), columns_of(algorithm, rows(algorithm), 64), cells_now, np.zeros(2, np.uint32)
        return str(jax.make_jaxpr(learner.traced_losses)(*arguments))

    moving = build(JaxPPO, **EVERYTHING_MOVES)
    first = programme(moving, cells(moving))
    assert programme(moving, [np.zeros_like(cell) for cell in cells(moving)]) == first
    moving.train()
    moving.parts()["kl_coeff"].assign(0.0)
    assert programme(moving, cells(moving)) == first
    # What the configuration leaves out is not computed.
    for settings in ({"kl_coeff": 0.0}, {"entropy_coeff_schedule": None, "entropy_coeff": 0}, {"vf_clip_param": None}):
        other = build(JaxPPO, **{**EVERYTHING_MOVES, **settings})
        assert len(programme(other, cells(other))) < len(first)


def test_learning_rate_reaches_the_compiled_step(build: Build) -> None:
    algorithm = build(JaxPPO, lr_schedule=[[0, 1e-2], [1_000, 0.0]])
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
def test_weights_round_trip_through_the_runtime(build: Build, model: type[JaxModel]) -> None:
    ours, other = build(JaxPPO, model=model), build(JaxPPO, model=model, seed=1)
    runtime = ours.policy.runtime
    values = runtime.parameters(ours.policy.model)
    assert sum(layer.parameters for layer in runtime.layers(ours.policy.model)) == sum(v.size for v in values.values())
    assert any((values[name] != value).any() for name, value in runtime.parameters(other.policy.model).items())
    runtime.load_parameters(other.policy.model, values)
    np.testing.assert_equal(runtime.parameters(other.policy.model), values)
    with pytest.raises(CheckpointError, match="do not fit"):
        runtime.load_parameters(build(JaxPPO, width=8).policy.model, values)


@EITHER
def test_checkpoint_goes_on_as_the_original(build: Build, tmp_path: Path, model: type[JaxModel]) -> None:
    algorithm = build(JaxPPO, model=model, **EVERYTHING_MOVES)
    algorithm.train()
    batch = rows(algorithm)
    restored = JaxPPO.load(algorithm.save(tmp_path))
    for one in (algorithm, restored):
        one.learner.steps(minibatches(one.policy, batch, 32, 2))
    np.testing.assert_equal(restored.snapshot()[1], algorithm.snapshot()[1])
    noise = []
    for one in (algorithm, restored):
        with one.policy.acting() as act:
            noise.append(act.draw_noise(one.policy.new_distribution(3), 2))
    np.testing.assert_array_equal(*noise)
