"""Models of users on JAX: what they hold, what training makes of it, what is refused."""

from __future__ import annotations

import copy
import random
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx
from gymnasium import spaces

from anyspace import DQN, PPO, SAC, Policy
from anyspace.errors import ConfigError, ModelError
from anyspace.models import JaxModelV2, TorchModelV2
from anyspace.models.modelv2 import State
from anyspace.rllib.offline import InputReader, MixedInput, ShuffledInput
from tests.frameworks.conftest import Build
from tests.frameworks.jax_models import (
    Array,
    DictLSTM,
    EquinoxModel,
    Holder,
    NnxDropout,
    NnxModel,
    NnxNorm,
)
from tests.support.environments import Samples

PLAIN = {"observation_filter": "NoFilter"}


def arrays_of(algorithm: PPO) -> dict[str, Any]:
    return algorithm.policy.runtime.parameters(algorithm.policy.model)


def holds_tracer(value: object) -> bool:
    return any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(value))


@pytest.mark.parametrize(
    ("model", "names"),
    [
        (NnxModel, {"hidden.kernel", "hidden.bias", "logits.kernel", "logits.bias", "value.kernel", "value.bias"}),
        (DictLSTM, {"cell.input", "cell.hidden", "cell.bias", "heads.0", "heads.1"}),
        (Holder, {"policy.logits.weight", "critics.0.hidden.kernel"}),
    ],
)
def test_what_is_held_is_trained_and_saved(
    build: Build, tmp_path: Path, model: type[JaxModelV2], names: set[str]
) -> None:
    algorithm = build(model={"custom_model": model}, lr=1e-2, **PLAIN)
    before = arrays_of(algorithm)
    assert names <= before.keys()
    assert algorithm.policy.runtime.trained(algorithm.policy.model) == before.keys()
    algorithm.train()
    after = arrays_of(algorithm)
    # A policy that lies on its own network has no use for the value's, and the other way round.
    unused = {name for name in before if name.startswith(("critics.0.value.", "policy.value_"))}
    assert {name for name in before if (after[name] == before[name]).all()} == unused
    for one in algorithm.policy.model.held().models:
        assert not holds_tracer({k: v for k, v in vars(one).items() if not isinstance(v, nnx.Module)})
    restored = Policy.load(algorithm.save(tmp_path), trust=True)
    obs = np.full((3, 4), 0.1, np.float32)
    np.testing.assert_array_equal(first(restored.compute_actions(obs)), first(algorithm.compute_actions(obs)))
    np.testing.assert_equal(restored.runtime.parameters(restored.model), after)


def first(result: Any) -> Any:
    """Return the actions of what may be actions and a state."""
    return result[0] if isinstance(result, tuple) else result


@pytest.mark.parametrize(
    ("model", "statistics"),
    [(NnxNorm, ["norm.mean", "norm.var"]), (EquinoxModel, None)],
)
def test_batch_statistics_move_in_training_alone(
    build: Build, model: type[JaxModelV2], statistics: list[str] | None
) -> None:
    algorithm = build(model={"custom_model": model}, lr=0.0, **PLAIN)
    policy = algorithm.policy
    assert policy.runtime.has_batch_statistics(policy.model)
    statistics = statistics or [name for name in arrays_of(algorithm) if name.startswith("state.")]
    before = arrays_of(algorithm)
    trajectory = algorithm.fleet.gather(64)
    policy.compute_actions(np.full((3, 4), 0.1, np.float32))
    np.testing.assert_equal(arrays_of(algorithm), before)
    steps = next(algorithm.updates(policy, trajectory))
    # Whole minibatches: no row is repeated.
    inputs = algorithm.learner.stacked(steps).inputs
    assert inputs.counted[: len(steps.order)].all()
    algorithm.learner.steps(steps)
    after = arrays_of(algorithm)
    changed = {name for name in before if (after[name] != before[name]).any()}
    assert changed
    assert changed <= set(statistics)


def test_dropout_draws_anew_in_every_step_and_not_when_acting(build: Build) -> None:
    algorithm = build(model={"custom_model": NnxDropout}, lr=0.0, kl_coeff=0.0, entropy_coeff=0.0, **PLAIN)
    batch = next(algorithm.updates(algorithm.policy, algorithm.fleet.gather(64))).rows
    losses = [float(algorithm.learner.step(batch).metrics["total_loss"]) for _ in range(3)]
    assert len(set(losses)) == 3
    assert algorithm.learner.compilations == 1
    evaluated = [algorithm.policy.forward(batch, value=True) for _ in range(2)]
    np.testing.assert_array_equal(evaluated[0][0], evaluated[1][0])
    again = build(model={"custom_model": NnxDropout}, lr=0.0, kl_coeff=0.0, entropy_coeff=0.0, **PLAIN)
    batch = next(again.updates(again.policy, again.fleet.gather(64))).rows
    assert [float(again.learner.step(batch).metrics["total_loss"]) for _ in range(3)] == losses


def test_same_seed_same_weights(build: Build) -> None:
    first, second, other = (build(model={"custom_model": NnxModel}, seed=seed, **PLAIN) for seed in (0, 0, 1))
    np.testing.assert_equal(arrays_of(first), arrays_of(second))
    assert (arrays_of(first)["hidden.kernel"] != arrays_of(other)["hidden.kernel"]).any()


class Counting(NnxModel):
    """Reports a number of its custom loss."""

    def custom_loss(self, policy_loss: list[Array], loss_inputs: dict[str, Any]) -> list[Array]:
        self._size = jnp.mean(loss_inputs["obs"] ** 2)
        return [policy_loss[0] + 0.1 * self._size * jnp.sum(self.hidden.kernel[...] ** 2)]

    def metrics(self) -> dict[str, Any]:
        return {"size": self._size}


def test_custom_loss_and_metrics_within_the_step(build: Build) -> None:
    algorithm = build(model={"custom_model": Counting}, **PLAIN)
    result = algorithm.train()
    assert 0 < result["learner"]["model"]["size"] < 10
    assert isinstance(result["learner"]["model"]["size"], float)


# ------------------------------------------------------------------------------------------- refused


class MadeInForward(NnxModel):
    def features(self, obs: Array) -> Array:
        self.late = self.made()
        return jax.vmap(jax.tree.leaves(self.late, is_leaf=callable)[0])(obs)

    def made(self) -> Any:
        return nnx.Linear(4, 16, rngs=nnx.Rngs(0))


class MadeInList(MadeInForward):
    def made(self) -> Any:
        return [super().made()]


class MadeAgain(MadeInForward):
    def __init__(self, *arguments: Any):
        super().__init__(*arguments)
        self.late = self.made()


class MadeOfEquinox(MadeInForward):
    def made(self) -> Any:
        return {"layer": eqx.nn.Linear(4, 16, key=jax.random.key(0))}


class MadeAgainOfEquinox(MadeAgain, MadeOfEquinox):
    pass


class MadeOfArrays(NnxModel):
    def __init__(self, *arguments: Any):
        super().__init__(*arguments)
        self.late = {"w": jnp.zeros((4, 16))}

    def features(self, obs: Array) -> Array:
        self.late = {"w": jax.random.normal(jax.random.key(0), (4, 16))}
        return obs @ self.late["w"]


class Steps(NnxModel):
    steps = 0

    def __init__(self, *arguments: Any):
        super().__init__(*arguments)
        self.steps = 0

    def features(self, obs: Array) -> Array:
        self.steps += 1
        return super().features(obs)


class StepsInList(NnxModel):
    def __init__(self, *arguments: Any):
        super().__init__(*arguments)
        self.calls = [{"all": 0}]

    def features(self, obs: Array) -> Array:
        self.calls[0]["all"] += 1
        return super().features(obs)


class StepsInArray(NnxModel):
    def __init__(self, *arguments: Any):
        super().__init__(*arguments)
        self.calls = np.zeros(1)

    def features(self, obs: Array) -> Array:
        self.calls[0] += 1
        return super().features(obs)


class DrawsOfNumPy(NnxModel):
    def features(self, obs: Array) -> Array:
        return super().features(obs + np.random.normal())


class DrawsOfPython(NnxModel):
    def features(self, obs: Array) -> Array:
        return super().features(obs + random.random())


class Branches(NnxModel):
    def features(self, obs: Array) -> Array:
        return super().features(obs if obs.sum() > 0 else -obs)


class Picks(NnxModel):
    def features(self, obs: Array) -> Array:
        return super().features(obs[obs[:, 0] > 0])


class UsesNumPy(NnxModel):
    def features(self, obs: Array) -> Array:
        return super().features(np.asarray(obs))


KEPT: list[Array] = []


class Leaks(NnxModel):
    def features(self, obs: Array) -> Array:
        KEPT.append(obs)
        return super().features(KEPT[0])


class CompilesItsMethod(NnxModel):
    def __init__(self, *arguments: Any):
        super().__init__(*arguments)
        self.scales = {"obs": jnp.ones(4)}
        self.scaled = jax.jit(self.scale)

    def scale(self, obs: Array) -> Array:
        return obs * self.scales["obs"]

    def features(self, obs: Array) -> Array:
        return super().features(self.scaled(obs))


class HoldsTorch(NnxModel):
    def __init__(self, *arguments: Any):
        super().__init__(*arguments)
        self.other = torch.nn.Linear(4, 4)


class NothingToTrain(JaxModelV2):
    constant = np.ones(3, np.float32)

    def forward(self, input_dict: Any, state: State, seq_lens: Any) -> tuple[Array, State]:
        self._count = len(input_dict["obs"])
        return jnp.zeros((self._count, self.num_outputs)), state

    def value_function(self) -> Array:
        return jnp.zeros(self._count)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (MadeInForward, r"makes `late`, a Linear, .*make it in the constructor"),
        (MadeInList, r"makes `late`, a Linear"),
        (MadeAgain, r"makes `late`, a Linear"),
        (MadeOfEquinox, r"makes `late`, a Linear"),
        (MadeAgainOfEquinox, r"makes `late\.layer\..*` anew in every pass"),
        (MadeOfArrays, r"makes `late\.w` anew in every pass"),
        (Steps, r"Steps\.steps changes with every forward\(\)"),
        (StepsInList, r"StepsInList\.calls changes with every forward\(\).* in an array \(jnp"),
        (StepsInArray, r"StepsInArray\.calls changes with every forward\(\)"),
        (DrawsOfNumPy, r"draws from np\.random, .*draw by jax\.random, with self\.random_key\(\)"),
        (DrawsOfPython, r"draws from Python's random, but"),
        (Branches, r"Branches: Python branches on the numbers of an array"),
        (Picks, r"Picks: an array is picked from by booleans"),
        (UsesNumPy, r"UsesNumPy: NumPy, or float\(\) or int\(\)"),
        (HoldsTorch, r"HoldsTorch\.other is a Linear, which is of another framework"),
    ],
)
def test_what_a_compiled_pass_cannot_do_is_one_sentence(build: Build, model: type[JaxModelV2], message: str) -> None:
    KEPT.clear()
    with pytest.raises(ModelError, match=message):
        build(model={"custom_model": model}, **PLAIN)


@pytest.mark.parametrize("model", [Leaks, CompilesItsMethod])
def test_an_array_of_an_earlier_pass_is_told(build: Build, model: type[JaxModelV2]) -> None:
    KEPT.clear()
    with pytest.raises(
        ModelError, match=f"{model.__name__}: an array of an earlier pass .* by jax.jit around a method"
    ):
        build(model={"custom_model": model}, **PLAIN).train()


def test_a_model_without_weights_is_refused(build: Build) -> None:
    algorithm = build(model={"custom_model": NothingToTrain}, **PLAIN)
    with pytest.raises(
        ModelError, match=r"has no parameters to train: .* Arrays of NumPy are constants: .*jnp.asarray"
    ):
        algorithm.train()


class Detached(NnxModel):
    def features(self, obs: Array) -> Array:
        return jax.lax.stop_gradient(super().features(obs))

    def forward(self, input_dict: Any, state: State, seq_lens: Any) -> tuple[Array, State]:
        output, state = super().forward(input_dict, state, seq_lens)
        return jax.lax.stop_gradient(output), state


def test_an_output_without_gradient_is_refused(build: Build) -> None:
    algorithm = build(model={"custom_model": Detached}, **PLAIN)
    with pytest.raises(ModelError, match=r"from which no gradient gets back.* by jax.lax.stop_gradient, or a function"):
        algorithm.train()


class MetricOfPython(NnxModel):
    def metrics(self) -> dict[str, float]:
        return {"feature": float(self._features.mean())}


class LossOfPython(NnxModel):
    def custom_loss(self, policy_loss: list[Array], loss_inputs: dict[str, Any]) -> list[Array]:
        return [loss * float(loss) for loss in policy_loss]


@pytest.mark.parametrize(("model", "method"), [(MetricOfPython, "metrics"), (LossOfPython, "custom_loss")])
def test_what_cannot_be_traced_in_a_step_names_the_method(build: Build, model: type[JaxModelV2], method: str) -> None:
    with pytest.raises(ModelError, match=rf"^{model.__name__}\.{method}\(\): Python needs the value of a number"):
        build(model={"custom_model": model}, **PLAIN).train()


class MadeInLoss(NnxModel):
    def custom_loss(self, policy_loss: list[Array], loss_inputs: dict[str, Any]) -> list[Array]:
        self.late = nnx.Linear(4, 1, rngs=nnx.Rngs(0))
        return [loss + self.late(loss_inputs["obs"]).mean() for loss in policy_loss]


def test_a_module_that_a_loss_makes_is_told_of_the_loss(build: Build) -> None:
    with pytest.raises(ModelError, match=r"MadeInLoss\.custom_loss\(\) makes `late`, a Linear, .* in the constructor"):
        build(model={"custom_model": MadeInLoss}, **PLAIN).train()


class OfTorch(TorchModelV2):
    pass


class Unbegun(JaxModelV2):
    def __init__(self, obs_space: Any, action_space: Any, num_outputs: int, model_config: Any, name: str):
        self.weights = jnp.zeros((4, num_outputs))


def test_a_constructor_that_does_not_call_the_one_above_is_refused(build: Build) -> None:
    with pytest.raises(ModelError, match=r"Unbegun cannot be built: .* begin with super\(\)\.__init__\(obs_space"):
        build(model={"custom_model": Unbegun}, **PLAIN)


def test_models_of_another_framework_are_refused(build: Build) -> None:
    with pytest.raises(ModelError, match=r"OfTorch is no model of framework 'jax'.*derive it from JaxModelV2"):
        build(model={"custom_model": OfTorch}, **PLAIN)
    with pytest.raises(ModelError, match=r"NnxModel is no model of framework 'torch'.*derive it from TorchModelV2"):
        build(model={"custom_model": NnxModel}, framework="torch", **PLAIN)


def test_a_device_that_is_not_there_is_refused(build: Build) -> None:
    with pytest.raises(ConfigError, match="`device` is 'mps', but JAX finds no such device"):
        build(device="mps")


class Numbered(InputReader):
    """Numbers its batches, which differ in their lengths as those of files do."""

    reads = 0

    def next(self) -> Any:
        self.reads += 1
        return {"obs": np.full((3 + self.reads % 2, 4), self.reads, np.float64), "names": np.array(["a"])}


class Imitates(NnxModel):
    """Reads other steps in its loss, as files for imitation do."""

    reader: InputReader

    def custom_loss(self, policy_loss: Any, loss_inputs: Any) -> Any:
        self._seen = jnp.mean(self.reader.next()["obs"])
        return [loss + 0.0 * self._seen for loss in policy_loss]

    def metrics(self) -> dict[str, Any]:
        return {"seen": self._seen}


def test_readers_are_asked_once_at_every_step(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = [Numbered(), Numbered()]
    mixed = MixedInput(dict.fromkeys(sources, 0.5))
    mixed._rng = np.random.default_rng(0)
    monkeypatch.setattr(Imitates, "reader", ShuffledInput(mixed, 3), raising=False)
    algorithm = build(model={"custom_model": Imitates})
    seen = [algorithm.train()["learner"]["model"]["seen"] for _ in range(3)]
    # Three fill what is shuffled, one shows the shapes; and in each iteration, epoch and minibatch one.
    assert sum(one.reads for one in sources) == 3 + 1 + 3 * 2 * 2
    assert min(one.reads for one in sources) > 4
    assert len({*seen}) == 3


def test_a_reader_is_asked_once_for_all_optimisers(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = Numbered()
    monkeypatch.setattr(Imitates, "reader", reader, raising=False)
    settings = {"policy_model_config": {"custom_model": Imitates}, "q_model_config": {"fcnet_hiddens": [8]}}
    lengths = dict.fromkeys(("num_steps_sampled_before_learning_starts", "min_sample_timesteps_per_iteration"), 8)
    algorithm = build("Pendulum-v1", SAC, train_batch_size=8, rollout_fragment_length=4, **lengths, **settings)
    algorithm.train()
    steps = algorithm.train()["learner"]["gradient_steps"]
    assert steps > 1
    assert len(algorithm.learner.groups) == 4
    assert reader.reads == steps + algorithm.learner.compilations


def test_evaluating_before_acting_changes_nothing_that_compiled_passes_draw(build: Build) -> None:
    pictures = spaces.Box(0, 255, (8, 8, 3), np.uint8)
    drawn = []
    for evaluates in (False, True):
        algorithm = build(
            lambda: Samples(pictures, spaces.Discrete(2)),
            DQN,
            model={"conv_filters": [[4, [8, 8], 1]]},
            hiddens=[8],
            noisy=True,
        )
        if evaluates:
            algorithm.evaluate(1)
        obs = np.random.default_rng(0).integers(0, 255, (64, 8, 8, 3)).astype(np.uint8)
        with algorithm.policy.acting("acting") as actor:
            drawn.append([actor([obs]).raw for _ in range(3)])
    np.testing.assert_array_equal(*drawn)


def test_a_policy_on_jax_is_not_copied(build: Build) -> None:
    algorithm = build(lambda: Samples(spaces.Box(-1, 1, (2,)), spaces.Discrete(2)), PPO)
    with pytest.raises(TypeError, match=r"what runs on JAX is not copied\. Load the policy once more"):
        copy.deepcopy(algorithm.policy)
