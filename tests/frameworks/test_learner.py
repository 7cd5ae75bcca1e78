"""The learners of compiled frameworks, by what both promise: PyTorch's gradients, few compilations, fresh numbers."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from anyspace import DQN, PPO, SAC
from anyspace.algorithms.on_policy import minibatches
from anyspace.distributions import Categorical
from anyspace.errors import ConfigError, ModelError
from anyspace.execution.learner import Steps
from anyspace.execution.xla import parts_of
from anyspace.maths.xp import xp
from anyspace.models import ModelV2
from tests.frameworks.conftest import EVERYTHING_MOVES, REPLAYED, Build, Rated, rows

COMPILED = ["jax", pytest.param("tf", marks=pytest.mark.xdist_group("tensorflow"))]
LSTM = {"use_lstm": True, "lstm_use_prev_action": True}
GTRXL = {
    "use_attention": True,
    "attention_dim": 8,
    "attention_head_dim": 4,
    "attention_memory_inference": 4,
    "attention_memory_training": 4,
}


@pytest.fixture(params=COMPILED)
def quick(request: pytest.FixtureRequest, build: Build) -> Build:
    """Build algorithms on a framework; steps of TensorFlow are graphs, which take what XLA takes, made quicker."""

    def make(*arguments: Any, **settings: Any) -> Any:
        algorithm = build(*arguments, framework=request.param, **settings)
        if request.param == "tf":
            algorithm.policy.runtime.ways.number = 1
        return algorithm

    return make


def parameters(algorithm: PPO) -> dict[str, Any]:
    return algorithm.policy.runtime.parameters(algorithm.policy.model)


@pytest.mark.parametrize(
    ("env", "model"),
    [
        ("Pendulum-v1", {"free_log_std": True}),
        ("CartPole-v1", LSTM),
        pytest.param("CartPole-v1", GTRXL, marks=pytest.mark.fuzz),
    ],
    ids=["numbers", "lstm", "gtrxl"],
)
def test_rows_losses_and_gradients_are_pytorchs(build: Build, quick: Build, env: str, model: dict[str, Any]) -> None:
    settings = {"kind": PPO, "model": model, "lr": 1e-3, "grad_clip": None}
    theirs, ours = build(env, framework="torch", **settings), quick(env, **settings)
    trajectory = theirs.fleet.gather(64)
    theirs.policy.push(trajectory.all_obs())
    ours.policy.load_weights(theirs.policy.weights())
    batches = [rows(algorithm, trajectory) for algorithm in (theirs, ours)]
    numpy = theirs.policy.runtime.numpy
    for name in ("action_dist_inputs", "vf_preds", "action_logp", "advantages", "value_targets"):
        np.testing.assert_allclose(batches[1][name], numpy(batches[0][name]), rtol=1e-4, atol=1e-5, err_msg=name)
    rng, weights = np.random.default_rng(0), theirs.policy.weights()
    for name, value in weights.items():
        if name.startswith("model/"):
            weights[name] = value + 0.05 * rng.standard_normal(value.shape, np.float32)
    for algorithm in (theirs, ours):
        algorithm.policy.load_weights(weights)
    found = theirs.losses(theirs.policy, batches[0])
    named = dict(theirs.policy.model.named_parameters())
    gradients = torch.autograd.grad(found.by_group["policy"], [*named.values()])
    result = ours.learner.step(batches[1])
    assert found.metrics["ratio_error"] > 0.01
    for name, value in found.metrics.items():
        np.testing.assert_allclose(result.metrics[name], float(value), rtol=1e-4, atol=1e-5, err_msg=name)
    # After one step the first moments of Adam are a tenth of the gradients.
    moments = ours.learner.state()
    for name, gradient in zip(named, gradients, strict=True):
        np.testing.assert_allclose(
            10 * moments[f"{name}/exp_avg"], gradient.numpy(), rtol=1e-4, atol=2e-5, err_msg=name
        )


@pytest.mark.parametrize("framework", COMPILED)
def test_twenty_iterations_compile_few_steps(build: Build, framework: str, caplog: pytest.LogCaptureFixture) -> None:
    algorithm = build(
        framework=framework,
        model=LSTM if framework == "jax" else {},
        num_envs_per_env_runner=8,
        train_batch_size=256,
        minibatch_size=64,
        num_epochs=3,
        lambda_=0.95,
        **EVERYTHING_MOVES,
    )
    shapes: set[tuple[int, ...]] = set()
    moving: dict[str, set[Any]] = {"kl_coeff": set(), "entropy_coeff": set(), "mean": set(), "rows": set()}

    def spied(steps: Steps, take: Callable[[Steps], Any] = algorithm.learner.steps) -> Any:
        shapes.add((len(steps.rows["actions"]), *steps.order.shape))
        return take(steps)

    algorithm.learner.steps = spied
    for _ in range(20):
        with logged_compilations(framework):
            result = algorithm.train()
        moving["rows"].add(result["timesteps_this_iter"])
        moving["mean"].add(algorithm.policy.filter.affine()[0][0].tobytes())
        for name in ("kl_coeff", "entropy_coeff"):
            moving[name].add(result["learner"][name])
    assert len(shapes) >= 4
    assert {name: len(values) >= 4 for name, values in moving.items()} == dict.fromkeys(moving, True)
    assert 1 <= algorithm.learner.compilations <= 4
    if framework == "tf":
        assert algorithm.policy.runtime.ways.number == 0
    else:
        # The steps and nothing else: all other numbers are NumPy's.
        said = [record.getMessage() for record in caplog.records]
        assert sum("Finished XLA compilation" in one for one in said) == algorithm.learner.compilations


def logged_compilations(framework: str) -> AbstractContextManager[None]:
    """Let JAX log what it compiles."""
    if framework != "jax":
        return nullcontext()
    import jax

    return jax.log_compiles()


def test_what_the_losses_read_is_never_stale_in_the_compiled_step(quick: Build) -> None:
    algorithm = quick(lr=0.0)
    batch = rows(algorithm)
    batch["action_dist_inputs"] = batch["action_dist_inputs"] + np.array([1.0, -1.0], np.float32)

    def eager() -> float:
        return float(algorithm.losses(algorithm.policy, batch).by_group["policy"])

    def compiled() -> float:
        return float(algorithm.learner.step(batch).metrics["total_loss"])

    compiled()
    compilations = algorithm.learner.compilations
    for kl_coeff in (3.0, 0.0):
        before = compiled()
        algorithm.parts()["kl_coeff"].assign(kl_coeff)
        assert abs(eager() - before) > 0.1
        assert compiled() == pytest.approx(eager(), rel=1e-5)
    before = compiled()
    algorithm.policy.push([np.full((50, 4), 3.0, np.float32)])
    assert abs(eager() - before) > 1e-3
    assert compiled() == pytest.approx(eager(), rel=1e-5)
    assert algorithm.learner.compilations == compilations


def test_targets_move_within_the_call(quick: Build) -> None:
    inner, outer = (quick(lr=1e-3, grad_clip=0.5) for _ in range(2))
    inside = inner.policy.sibling()
    expected = inside.weights()
    batch = rows(inner)
    steps = minibatches(inner.policy, batch, 20)
    tau = np.linspace(0.2, 0.8, len(steps.order), dtype=np.float32)
    inner.learner.steps(Steps(batch, steps.order, steps.counted, tau))
    for number, much in enumerate(tau):
        outer.learner.steps(Steps(batch, steps.order[[number]], steps.counted[[number]]))
        for name, value in parameters(outer).items():
            expected[f"model/{name}"] = expected[f"model/{name}"] + much * (value - expected[f"model/{name}"])
    for name, value in inside.weights().items():
        np.testing.assert_allclose(value, expected[name], atol=1e-6, err_msg=name)
    assert any((value != inner.policy.weights()[name]).any() for name, value in inside.weights().items())


@pytest.mark.parametrize("framework", ["torch", *COMPILED])
def test_a_whole_step_towards_the_policy_is_a_copy(build: Build, framework: str) -> None:
    algorithm = build(framework=framework)
    target = algorithm.policy.sibling()
    own = {name: value for name, value in algorithm.policy.weights().items() if name.startswith("model/")}
    for before in (np.nan, 0.1):
        target.load_weights({**target.weights(), **{name: np.full_like(value, before) for name, value in own.items()}})
        algorithm.learner.follow(target, 1.0)
        for name, value in own.items():
            np.testing.assert_array_equal(target.weights()[name], value, err_msg=name)


def test_rows_of_several_calls_are_side_by_side(quick: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anyspace.execution.xla.MOST_BYTES", 2_000)
    algorithm = quick(kind=Rated, model={"use_lstm": True}, train_batch_size=128, minibatch_size=32)
    steps = next(algorithm.updates(algorithm.policy, algorithm.fleet.gather(32)))
    assert len(parts_of(steps)) > 1
    rated = algorithm.learner.steps(steps).rows["logp"]
    assert rated.shape[0] == len(steps.order)
    for found, order, counted in zip(rated, steps.order, steps.counted, strict=True):
        picked = steps.rows["sequences"].pick(order[counted], algorithm.policy.runtime)[1]
        np.testing.assert_array_equal(found[: len(picked)], steps.rows["action_logp"][picked])
        assert np.isnan(found[len(picked) :]).all()


@pytest.mark.parametrize("summed", [False, True])
@pytest.mark.parametrize("framework", COMPILED)
def test_models_with_batch_statistics_learn_from_every_row(build: Build, framework: str, summed: bool) -> None:
    models = importlib.import_module(f"tests.frameworks.{framework}_models")
    model = {"custom_model": models.NnxNorm if framework == "jax" else models.Normalised}
    algorithm = build(kind=Rated, framework=framework, model=model)
    if framework == "tf":
        algorithm.policy.runtime.ways.number = 1
    steps = minibatches(algorithm.policy, rows(algorithm), 24, 2)
    assert steps.counted.all()
    assert [len(one) for one in steps.order] == [24] * 6, "a remainder is filled up"
    every = {*range(len(steps.rows["obs"][0]))}
    assert all({*epoch.flat} == every for epoch in np.split(steps.order, 2))
    assert all(len({*one}) == 24 for one in steps.order), "no row is there twice in one step"
    # Steps of several lengths, as those on whole sequences are.
    steps = replace(steps, counted=steps.counted & (np.arange(24) < np.array([[24], [24], [16]] * 2)), summed=summed)
    lens = steps.counted.sum(axis=1)
    rated = algorithm.learner.steps(steps).rows["logp"]
    learnt = steps.rows["action_logp"][steps.order[steps.counted]]
    np.testing.assert_array_equal(rated[~np.isnan(rated)], learnt)
    assert rated.shape == ((1, lens.sum()) if summed else steps.order.shape)


@pytest.mark.parametrize("framework", COMPILED)
def test_models_with_batch_statistics_are_not_compiled_for_every_number_of_rows(build: Build, framework: str) -> None:
    models = importlib.import_module(f"tests.frameworks.{framework}_models")
    model = {"custom_model": models.NnxNorm if framework == "jax" else models.Normalised}
    algorithm = build(framework=framework, model=model, batch_mode="complete_episodes", minibatch_size=16, num_epochs=1)
    if framework == "tf":
        algorithm.policy.runtime.ways.number = 1
    counts = [algorithm.train()["timesteps_this_iter"] for _ in range(5)]
    assert len({*counts}) > 2
    # For the numbers of steps up to 8 and up to 16.
    assert algorithm.learner.compilations <= 2


def test_a_checkpoint_of_torch_goes_on_and_back(build: Build, quick: Build, tmp_path: Any) -> None:
    theirs, ours = build(framework="torch", lr=1e-2), quick(lr=1e-2)
    theirs.train()
    saved = theirs.save(tmp_path)
    ours.load_weights(saved)
    np.testing.assert_equal(parameters(ours), parameters(theirs))
    obs = np.random.default_rng(0).uniform(-1, 1, (64, 4)).astype(np.float32)
    np.testing.assert_array_equal(ours.compute_actions(obs), theirs.compute_actions(obs))
    before = parameters(ours)
    ours.train()
    assert any((value != before[name]).any() for name, value in parameters(ours).items())
    # The whole algorithm, moments and counters too, and back again.
    framework = ours.policy.runtime.framework
    whole = PPO.load(saved, config={"framework": framework})
    assert whole.timesteps_total == theirs.timesteps_total
    np.testing.assert_equal(whole.learner.state(), theirs.learner.state())
    back = PPO.load(ours.save(tmp_path / "back"), config={"framework": "torch"})
    np.testing.assert_equal(parameters(back), parameters(ours))
    for one in (whole, back):
        one.close()


@pytest.mark.usefixtures("compiles_quickly")
@pytest.mark.parametrize(
    ("kind", "env", "settings"),
    [(DQN, "CartPole-v1", {"num_atoms": 5, "noisy": True, "hiddens": [8]}), (SAC, "Pendulum-v1", {})],
    ids=["dqn", "sac"],
)
def test_a_checkpoint_of_replay_goes_from_torch_to_jax(
    build: Build, tmp_path: Any, kind: Any, env: str, settings: dict[str, Any]
) -> None:
    theirs = build(env, kind, {"fcnet_hiddens": [8]}, framework="torch", **REPLAYED, **settings)
    theirs.train()
    with closing(kind.load(theirs.save(tmp_path), config={"framework": "jax"})) as ours:
        assert (ours.policy.runtime.framework, ours.timesteps_total) == ("jax", theirs.timesteps_total)
        np.testing.assert_equal(ours.target.weights(), theirs.target.weights())
        np.testing.assert_equal(ours.learner.state(), theirs.learner.state())
        obs = np.random.default_rng(0).uniform(-1, 1, (64, *theirs.policy.observation_space.shape)).astype(np.float32)
        np.testing.assert_allclose(ours.compute_actions(obs), theirs.compute_actions(obs), rtol=1e-5, atol=1e-6)
        before = parameters(ours)
        result = ours.train()["learner"]
        assert np.isfinite([value for value in result.values() if isinstance(value, float)]).all()
        assert any((value != before[name]).any() for name, value in parameters(ours).items())


def test_same_seed_same_run(quick: Build) -> None:
    first, second = (quick(model={"fcnet_hiddens": [8]}) for _ in range(2))
    for algorithm in (first, second):
        algorithm.train()
    np.testing.assert_equal(first.policy.state(), second.policy.state())


def test_a_checkpoint_goes_on_as_the_original(quick: Build, tmp_path: Any) -> None:
    algorithm = quick(model={"fcnet_hiddens": [8]}, **EVERYTHING_MOVES)
    algorithm.train()
    steps = minibatches(algorithm.policy, rows(algorithm), 32, 2)
    restored = PPO.load(algorithm.save(tmp_path))
    if algorithm.policy.runtime.framework == "tf":
        restored.policy.runtime.ways.number = 1
    noise = []
    for one in (algorithm, restored):
        one.learner.steps(steps)
    np.testing.assert_equal(restored.snapshot()[1], algorithm.snapshot()[1])
    for one in (algorithm, restored):
        with one.policy.acting() as act:
            noise.append(act.draw_noise(one.policy.new_distribution(3), 2))
    np.testing.assert_array_equal(*noise)


@pytest.mark.parametrize("framework", COMPILED)
def test_a_loss_without_a_gradient_is_refused(build: Build, framework: str) -> None:
    class Detached(PPO):
        def losses(self, policy, batch):
            losses, metrics = super().losses(policy, batch)
            return {"policy": xp(losses["policy"]).stop_gradient(losses["policy"])}, metrics

    with pytest.raises(ConfigError, match=r"Detached\.losses\(\): the loss 'policy' has no gradient, so nothing would"):
        build("CartPole-v1", kind=Detached, framework=framework).train()


def model_of(framework: str, methods: dict[str, Any]) -> type[ModelV2]:
    """Return a model of the framework with some methods of its own."""
    base, name = {"jax": ("jax_models", "NnxModel"), "tf": ("tf_models", "Functional")}[framework]
    return type("Own", (getattr(importlib.import_module(f"tests.frameworks.{base}"), name),), methods)


def mean_value(self: Any) -> Any:
    values = self.value_function()
    return xp(values).mean(values)


@pytest.mark.parametrize("framework", COMPILED)
def test_models_report_numbers_lists_and_arrays(build: Build, framework: str) -> None:
    """Once something was learnt: what a pass has left is there in a trace alone."""

    def metrics(self: Any) -> dict[str, Any]:
        mean = mean_value(self)
        return {"mean": mean, "list": [mean, 2], "parts": {"first": self.value_function()[:2]}}

    model = {"custom_model": model_of(framework, {"metrics": metrics})}
    waits = {"num_steps_sampled_before_learning_starts": 100, "min_sample_timesteps_per_iteration": 20}
    replaying = build("CartPole-v1", kind=DQN, framework=framework, model=model, **waits)
    assert replaying.train()["learner"]["model"] == {}
    found = build("CartPole-v1", framework=framework, model=model).train()["learner"]["model"]
    assert found["list"] == [found["mean"], 2.0]
    assert isinstance(found["mean"], float)
    assert found["parts"]["first"].shape == (2,)


def counted(self: Any, losses: list[Any], inputs: Any) -> list[Any]:
    self.count = getattr(self, "count", 0) + 1
    return losses


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        ({"metrics": lambda self: {"drawn": np.random.random()}}, r"Own.metrics\(\) draws from np.random, but Python"),
        ({"custom_loss": counted, "count": 0}, r"Own.count changes with every Own.custom_loss\(\), but Python"),
        ({"metrics": lambda self: {"name": "x"}}, r"Own.metrics\(\): 'name' is a str; return numbers and arrays"),
        ({"metrics": lambda self: [1]}, r"Own.metrics\(\) gave a list; return a dict of numbers"),
    ],
    ids=["draws", "counts", "texts", "lists"],
)
@pytest.mark.parametrize("framework", COMPILED)
def test_what_happens_once_in_a_trace_is_refused(
    build: Build, framework: str, methods: dict[str, Any], message: str
) -> None:
    algorithm = build("CartPole-v1", framework=framework, model={"custom_model": model_of(framework, methods)})
    with pytest.raises(ModelError, match=message):
        algorithm.train()


@pytest.mark.parametrize("framework", COMPILED)
def test_what_is_set_in_a_trace_and_stays_is_no_counter(build: Build, framework: str) -> None:
    def custom_loss(self: Any, losses: list[Any], inputs: Any) -> list[Any]:
        self.weight, self.loss = 2.0, losses[0]
        return losses

    methods = {"custom_loss": custom_loss, "weight": 1.0, "metrics": lambda self: {"loss": self.loss + self.weight}}
    algorithm = build("CartPole-v1", framework=framework, model={"custom_model": model_of(framework, methods)})
    learnt = algorithm.train()["learner"]
    assert np.isfinite(learnt["model"]["loss"])


@pytest.mark.parametrize("framework", ["torch", *COMPILED])
def test_distributions_of_users_are_given_tensors(build: Build, framework: str) -> None:
    """Actions too, of the kind that the inputs are."""
    kinds = set()

    class Asks(Categorical):
        def logp(self, actions: Any) -> Any:
            kinds.add((type(actions).__module__.partition(".")[0], type(self.inputs).__module__.partition(".")[0]))
            return super().logp(actions)

    build("CartPole-v1", framework=framework, model={"custom_action_dist": Asks}).train()
    assert {actions for actions, _ in kinds} <= {"torch", "jax", "jaxlib", "tensorflow"}
    assert all(actions.startswith(inputs[:3]) for actions, inputs in kinds)
