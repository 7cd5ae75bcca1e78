"""Which arrays of a model are trained: floats of any width, real ones alone."""

from __future__ import annotations

import re
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from gymnasium.spaces import Box, Discrete

from anyspace import PPO
from anyspace.errors import ModelError
from anyspace.models import JaxModelV2, ModelCatalog
from anyspace.models.jax.runtime import JaxRuntime


class OfKind(JaxModelV2):
    """Weights of one kind, in a dict; a key beside them."""

    dtype: Any = jnp.float32

    def __init__(self, obs_space: Any, action_space: Any, num_outputs: Any, model_config: Any, name: str):
        super().__init__(obs_space, action_space, num_outputs, model_config, name)
        self.key = jax.random.key(self.seed)
        kernel = 0.1 * jax.random.normal(self.key, (obs_space.shape[0], num_outputs + 1))
        self.weights_of = {"kernel": kernel.astype(self.dtype), "count": jnp.zeros((), jnp.int32)}

    def forward(self, input_dict: Any, state: Any, seq_lens: Any) -> Any:
        out = (input_dict["obs_flat"] @ self.weights_of["kernel"]).real.astype(jnp.float32)
        self._value = out[:, -1]
        return out[:, :-1], state

    def value_function(self) -> Any:
        return self._value


class Narrow(OfKind):
    dtype = jnp.bfloat16


class Wide(OfKind):
    dtype = jnp.float64


class Complex(OfKind):
    dtype = jnp.complex64


def build(kind: type[OfKind]) -> OfKind:
    return kind(Box(-1, 1, (4,)), Discrete(2), 2, {}, "model")


@pytest.mark.parametrize("kind", [OfKind, Narrow])
def test_floats_are_trained_whatever_their_width(kind: type[OfKind]) -> None:
    model = build(kind)
    assert model.held().trained == {"weights_of.kernel"}
    assert sorted(model.variables(as_dict=True)) == ["key", "weights_of.count", "weights_of.kernel"]


def test_complex_weights_are_refused_when_they_are_to_be_trained() -> None:
    algorithm = PPO("CartPole-v1", framework="jax", model={"custom_model": Complex}, preset="none")
    with (
        closing(algorithm),
        pytest.raises(ModelError, match=r"Complex .*`weights_of.kernel` is complex64, .* jax.lax.complex\(real"),
    ):
        algorithm.train()


def test_weights_of_16_bits_are_named() -> None:
    runtime = JaxRuntime("cpu")
    assert runtime.narrow(build(Narrow)) == {"weights_of.kernel"}
    assert runtime.narrow(build(OfKind)) == set()


def test_what_numpy_has_no_type_for_is_float32_in_files() -> None:
    runtime, model = JaxRuntime("cpu"), build(Narrow)
    found = runtime.parameters(model)
    assert found["weights_of.kernel"].dtype == np.float32
    runtime.load_parameters(model, {**found, "weights_of.kernel": found["weights_of.kernel"] + np.float32(1)})
    assert model.weights_of["kernel"].dtype == jnp.bfloat16
    np.testing.assert_allclose(
        runtime.parameters(model)["weights_of.kernel"], found["weights_of.kernel"] + 1, rtol=2**-7
    )


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ((1, "1"), r"Alike\.alike holds weights .* whose keys JAX cannot sort: take"),
        (("a.b", "a"), r"two weights .*`alike.a.b`"),
    ],
)
def test_weights_that_would_have_one_name_are_refused(keys: tuple[Any, Any], message: str) -> None:
    class Alike(OfKind):
        def __init__(self, *arguments: Any):
            super().__init__(*arguments)
            self.alike = {keys[0]: jnp.ones(2), keys[1]: {"b": jnp.ones(3)} if keys[1] == "a" else jnp.ones(3)}

    with pytest.raises(ModelError, match=message):
        build(Alike).held()


def test_models_in_a_dict_whose_keys_cannot_be_sorted_are_found() -> None:
    model = build(OfKind)
    model.inner = {1: build(OfKind), "a": [build(Narrow)]}
    assert model.held().trained == {f"{name}weights_of.kernel" for name in ("", "inner.1.", "inner.a.0.")}


def test_modules_of_flax_that_would_have_one_name_are_refused() -> None:
    class Alike(OfKind):
        def __init__(self, *arguments: Any):
            super().__init__(*arguments)
            self.layers, self.layers.a = nnx.Module(), nnx.Module()
            setattr(self.layers, "a.b", nnx.Param(jnp.ones(2)))
            self.layers.a.b = nnx.Param(jnp.ones(3))

    with pytest.raises(ModelError, match=r"two weights that are called `layers\.a\.b`"):
        build(Alike).held()


class Projected(OfKind):
    """Divides its rows by their norms, and keeps that."""

    def forward(self, input_dict: Any, state: Any, seq_lens: Any) -> Any:
        kernel = self.weights_of["kernel"]
        norms = jnp.maximum(1.0, jnp.linalg.norm(kernel, axis=1, keepdims=True))
        self.weights_of = {**self.weights_of, "kernel": kernel / norms}
        return super().forward(input_dict, state, seq_lens)


SMALL: dict[str, Any] = {"framework": "jax", "preset": "none", "train_batch_size": 32, "minibatch_size": 32, "lr": 0.01}


def test_a_weight_that_a_pass_sets_is_trained_from_there() -> None:
    with closing(PPO("CartPole-v1", model={"custom_model": Projected}, **SMALL)) as algorithm:
        algorithm.train()
        before = np.array(algorithm.policy.weights()["model/weights_of.kernel"])
        algorithm.train()
        assert np.abs(algorithm.policy.weights()["model/weights_of.kernel"] - before).max() > 1e-3


class Table(nnx.Module):
    """A layer beside a table of constants."""

    def __init__(self, width: int, outputs: int, rngs: nnx.Rngs):
        self.layer, self.table = nnx.Linear(width, outputs, rngs=rngs), jnp.linspace(0.5, 1.5, outputs)

    def __call__(self, x: Any) -> Any:
        return self.layer(x) * self.table


class WithATable(JaxModelV2):
    def __init__(self, obs_space: Any, action_space: Any, num_outputs: Any, model_config: Any, name: str):
        super().__init__(obs_space, action_space, num_outputs, model_config, name)
        self.num_outputs = num_outputs or 4
        self.net = Table(obs_space.shape[0], self.num_outputs + 1, nnx.Rngs(self.seed))

    def forward(self, input_dict: Any, state: Any, seq_lens: Any) -> Any:
        out = self.net(input_dict["obs_flat"])
        self._value = out[:, -1]
        return out[:, :-1], state

    def value_function(self) -> Any:
        return self._value


def test_constants_beside_variables_stay_as_they_are(caplog: pytest.LogCaptureFixture) -> None:
    with closing(PPO("CartPole-v1", model={"custom_model": WithATable}, **SMALL)) as algorithm:
        before = np.array(algorithm.policy.weights()["model/net.layer.kernel"])
        algorithm.train()
        assert np.abs(algorithm.policy.weights()["model/net.layer.kernel"] - before).max() > 1e-3
        np.testing.assert_array_equal(algorithm.policy.model.net.table, np.linspace(0.5, 1.5, 3, dtype=np.float32))
    assert "computes with" not in caplog.text


class Beside(WithATable):
    """Scales its output by what sub-classes hold in some way."""

    kept = np.ones(2, np.float32)

    def scale(self) -> Any:
        return self.kept

    def forward(self, input_dict: Any, state: Any, seq_lens: Any) -> Any:
        output, state = super().forward(input_dict, state, seq_lens)
        return output * self.scale(), state


class InObject(Beside):
    def __init__(self, *arguments: Any):
        super().__init__(*arguments)
        self.parts = SimpleNamespace(scale=jnp.ones(2))

    def scale(self) -> Any:
        return self.parts.scale


class InFunction(Beside):
    def __init__(self, *arguments: Any):
        super().__init__(*arguments)
        scale = jnp.ones(2)
        self.function = jax.jit(lambda: 1 * scale)

    def scale(self) -> Any:
        return self.function()


class OfTheClass(Beside):
    kept = jnp.ones(2)


class HiddenLayer(Beside):
    def __init__(self, *arguments: Any):
        super().__init__(*arguments)
        self.parts = SimpleNamespace(layer=nnx.Linear(2, 2, rngs=nnx.Rngs(0)))

    def scale(self) -> Any:
        return self.parts.layer(jnp.ones(2))


@pytest.mark.parametrize(
    ("kind", "way"),
    [(Beside, None), (InObject, "parts.scale"), (InFunction, "function.scale"), (OfTheClass, "kept")],
)
def test_arrays_held_elsewhere_are_told_of(kind: type, way: str, caplog: pytest.LogCaptureFixture) -> None:
    PPO("CartPole-v1", model={"custom_model": kind}, **SMALL).close()
    expected = [] if way is None else [f"{kind.__name__} computes with {kind.__name__}.{way} as it is now"]
    assert [one.message.partition(":")[0] for one in caplog.records if "computes with" in one.message] == expected


def test_many_arrays_held_elsewhere_are_told_of_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    class Several(Beside):
        def __init__(self, *arguments: Any):
            super().__init__(*arguments)
            self.parts = SimpleNamespace(scales=[jnp.full(2, 1.0 + number) for number in range(3)])

        def scale(self) -> Any:
            return sum(self.parts.scales)

    PPO("CartPole-v1", model={"custom_model": Several}, **SMALL).close()
    told = [one.message for one in caplog.records if "computes with" in one.message]
    assert len(told) == 1
    assert re.search(r"with Several\.parts\.scales\[\d\], and with 2 more, as it is now", told[0])


def test_modules_of_flax_that_the_model_does_not_hold_are_refused() -> None:
    with pytest.raises(ModelError, match=r"with HiddenLayer\.parts\.layer\.\w+ as it is now: .* use jax.lax.stop_g"):
        PPO("CartPole-v1", model={"custom_model": HiddenLayer}, **SMALL)


class Critic(JaxModelV2):
    def __init__(self, *args: Any, encoder: Any):
        super().__init__(*args)
        self.encoder, self.head = encoder, nnx.Linear(4, 1, rngs=nnx.Rngs(self.seed))


class Sharing(JaxModelV2):
    def __init__(self, obs_space: Any, action_space: Any, num_outputs: Any, model_config: Any, name: str):
        super().__init__(obs_space, action_space, num_outputs, model_config, name)
        self.encoder = nnx.Linear(obs_space.shape[0], 4, rngs=nnx.Rngs(self.seed))
        self.critic = Critic(obs_space, action_space, 1, model_config, "critic", encoder=self.encoder)


def test_modules_that_two_models_hold_are_refused() -> None:
    with pytest.raises(ModelError, match="Sharing and a model in it hold the same modules of Flax NNX"):
        Sharing(Box(-1, 1, (4,)), Discrete(2), 2, {}, "model").held()


class Statistics(WithATable):
    def has_batch_statistics(self) -> bool:
        return True


@pytest.mark.parametrize("memory", [{}, {"use_lstm": True, "lstm_cell_size": 4}])
def test_what_a_model_says_of_its_batches_counts_beneath_a_memory(memory: dict[str, Any]) -> None:
    with closing(PPO("CartPole-v1", model={"custom_model": Statistics, **memory}, **SMALL)) as algorithm:
        assert algorithm.policy.runtime.has_batch_statistics(algorithm.policy.model)


def test_built_in_models_are_differentiated_by_hand() -> None:
    model = ModelCatalog.get_model_v2(Box(-1, 1, (3,)), Discrete(2), 2, {"fcnet_hiddens": [4]}, framework="jax")

    def loss(weights: Any) -> Any:
        with model.bound(weights):
            return (model({"obs": jnp.ones((1, 3))})[0] ** 2).sum()

    gradients = jax.grad(loss)(model.variables(as_dict=True))
    assert all(np.abs(one).sum() > 0 for name, one in gradients.items() if "value" not in name)
    assert isinstance(model({"obs": np.ones((1, 3), np.float32)})[0], np.ndarray)
