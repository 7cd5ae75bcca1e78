"""Which variables of layers are trained, frozen and released ones among them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from gymnasium.spaces import Box, Discrete

from anyspace import PPO
from anyspace.algorithms.on_policy import minibatches
from anyspace.errors import ModelError
from anyspace.models.tf.base import TFModelV2
from anyspace.models.tf.runtime import TFRuntime
from anyspace.models.tf.ways import EAGERLY
from tests.frameworks.conftest import rows

pytestmark = pytest.mark.xdist_group("tensorflow")

LAYERS = tf.keras.layers
OF_NOBODY = LAYERS.Dense(2)


class Encoded(TFModelV2):
    """An encoder, which may be frozen, and a head."""

    def __init__(self, obs_space, action_space, num_outputs, model_config, name):
        super().__init__(obs_space, action_space, num_outputs, model_config, name)
        self.encoder = LAYERS.Dense(8)
        self.norm = LAYERS.BatchNormalization()
        self.head = LAYERS.Dense(num_outputs + 1)
        for layer, width in ((self.encoder, 4), (self.norm, 8), (self.head, 8)):
            layer.build((None, width))

    def forward(self, input_dict, state, seq_lens):
        hidden = self.norm(self.encoder(input_dict["obs_flat"]), training=input_dict["is_training"])
        out = self.head(hidden)
        self._value = out[:, -1]
        return out[:, :-1], state

    def value_function(self):
        return self._value


def trained(freeze: Callable[[Encoded], None]) -> list[str]:
    model = Encoded(Box(-1, 1, (4,)), Discrete(2), 2, {}, "model")
    freeze(model)
    return [*model.trained()]


def before_it_is_built(model: Encoded) -> None:
    model.encoder = LAYERS.Dense(8, trainable=False)
    model.encoder.build((None, 4))


def within_another(model: Encoded) -> None:
    inputs = LAYERS.Input((4,))
    inner = tf.keras.Model(inputs, LAYERS.Dense(8)(inputs))
    inner.trainable = False
    model.encoder = tf.keras.Model(inputs, inner(inputs))


def within_another_before_it_is_built(model: Encoded) -> None:
    model.encoder = tf.keras.Sequential([LAYERS.Dense(8, trainable=False)])
    model.encoder.build((None, 4))


def test_frozen_layers_are_not_trained() -> None:
    head, norm = ["head/0", "head/1"], ["norm/0", "norm/1"]
    assert trained(lambda model: None) == ["encoder/0", "encoder/1", *norm, *head]
    assert trained(lambda model: setattr(model.encoder, "trainable", False)) == [*norm, *head]
    assert trained(lambda model: setattr(model.norm, "trainable", False)) == ["encoder/0", "encoder/1", *head]
    for freeze in (before_it_is_built, within_another, within_another_before_it_is_built):
        assert trained(freeze) == [*norm, *head], freeze


def test_frozen_layers_stay_as_they_are_until_they_are_released() -> None:
    class Frozen(Encoded):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            self.encoder.trainable = self.norm.trainable = False

    algorithm = PPO("CartPole-v1", framework="tf", model={"custom_model": Frozen}, lr=0.1, preset="none")
    policy, learner = algorithm.policy, algorithm.learner
    policy.runtime.ways.number = EAGERLY
    steps = minibatches(policy, rows(algorithm), 32, 1)

    def moved() -> set[str]:
        learner.at(0)
        before = policy.runtime.parameters(policy.model)
        learner.steps(steps)
        after = policy.runtime.parameters(policy.model)
        return {name for name, value in before.items() if not np.array_equal(value, after[name])}

    assert moved() == {"head/0", "head/1"}
    moments = learner.state()["head/0/exp_avg"]
    policy.model.encoder.trainable = True
    learner.at(0)
    np.testing.assert_equal(learner.state()["head/0/exp_avg"], moments)
    assert moved() == {"head/0", "head/1", "encoder/0", "encoder/1"}
    policy.model.head.trainable = False
    assert moved() == {"encoder/0", "encoder/1"}
    algorithm.close()


def test_layers_that_were_frozen_or_released_are_so_when_loaded() -> None:
    class Nested(Encoded):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            self.nested = tf.keras.Sequential([LAYERS.Dense(8), LAYERS.Dense(8)])
            self.nested.build((None, 4))
            self.encoder.trainable = False

    def new() -> PPO:
        return PPO("CartPole-v1", framework="tf", model={"custom_model": Nested}, preset="none")

    algorithm, again = new(), new()
    model: Any = algorithm.policy.model
    model.encoder.trainable, model.head.trainable, model.nested.trainable = True, False, False
    model.nested.layers[1].trainable = True
    again.policy.load_state(algorithm.policy.state())
    algorithm.learner.at(0)
    again.learner.load_state(algorithm.learner.state())
    model = again.policy.model
    assert [*model.trained()] == [*algorithm.policy.model.trained()]
    assert (model.encoder.trainable, model.head.trainable, model.norm.trainable) == (True, False, True)
    assert [layer.trainable for layer in model.nested.layers] == [False, True]
    assert {name.rpartition("/")[0] for name in again.learner.state()} == {*model.trained()}


def test_a_model_whose_layers_are_all_frozen_is_refused() -> None:
    class Frozen(Encoded):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            for layer in (self.encoder, self.norm, self.head):
                layer.trainable = False

    with pytest.raises(ModelError, match=r"Frozen has no parameters to train: .* all are frozen \(trainable=False\)"):
        PPO("CartPole-v1", framework="tf", model={"custom_model": Frozen}, preset="none").train()


def test_complex_weights_are_refused_when_they_are_to_be_trained() -> None:
    class Complex(Encoded):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            self.phases = tf.Variable(tf.ones(3, tf.complex64))

    algorithm = PPO("CartPole-v1", framework="tf", model={"custom_model": Complex}, preset="none")
    with (
        closing(algorithm),
        pytest.raises(ModelError, match=r"Complex .*`phases` is complex64, .* by tf.complex\(real, imaginary\)"),
    ):
        algorithm.train()


def test_weights_that_would_have_one_name_are_refused() -> None:
    model = Encoded(Box(-1, 1, (4,)), Discrete(2), 2, {}, "model")
    model.alike = {1: tf.Variable(1.0), "1": tf.Variable(2.0)}
    with pytest.raises(ModelError, match=r"Encoded has two weights that are called `alike/1`: rename a key"):
        model.held()


def test_weights_of_16_bits_are_named() -> None:
    model, runtime = Encoded(Box(-1, 1, (4,)), Discrete(2), 2, {}, "model"), TFRuntime("cpu")
    assert runtime.narrow(model) == set()
    model.small = tf.Variable(tf.ones(3, tf.bfloat16))
    assert runtime.narrow(model) == {"small"}


def test_layers_that_the_model_does_not_hold_are_refused() -> None:
    class InObject(Encoded):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            self.beside = SimpleNamespace(layer=LAYERS.Dense(self.num_outputs))

        def forward(self, input_dict: Any, state: Any, seq_lens: Any) -> Any:
            output, state = super().forward(input_dict, state, seq_lens)
            return self.beside.layer(output), state

    class FrozenInObject(InObject):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            self.beside.layer.trainable = False

    class StoppedInObject(InObject):
        def forward(self, input_dict: Any, state: Any, seq_lens: Any) -> Any:
            output, state = Encoded.forward(self, input_dict, state, seq_lens)
            return output + tf.stop_gradient(self.beside.layer(output)), state

    with pytest.raises(
        ModelError, match=r"InObject computes with InObject\.beside\.layer\.\w+, of shape .* trainable=F"
    ):
        PPO("CartPole-v1", framework="tf", model={"custom_model": InObject}, preset="none")
    for kind in (FrozenInObject, StoppedInObject):
        PPO("CartPole-v1", framework="tf", model={"custom_model": kind}, preset="none").close()


def test_layers_that_nothing_leads_to_are_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    class OfNobody(Encoded):
        def forward(self, input_dict: Any, state: Any, seq_lens: Any) -> Any:
            output, state = super().forward(input_dict, state, seq_lens)
            return OF_NOBODY(output), state

    OF_NOBODY.build((None, 2))
    PPO("CartPole-v1", framework="tf", model={"custom_model": OfNobody}, preset="none").close()
    told = [one.message for one in caplog.records if "computes with" in one.message]
    assert len(told) == 1
    assert told[0].startswith("OfNobody, or its action distribution, computes with the variable ")
    assert "of shape (2, 2), and 1 more: not found" in told[0]
    assert "If it is frozen, this is fine." in told[0]


def test_layers_that_a_gradient_step_makes_are_refused() -> None:
    class Late(Encoded):
        def forward(self, input_dict: Any, state: Any, seq_lens: Any) -> Any:
            output, state = super().forward(input_dict, state, seq_lens)
            if input_dict["is_training"] and "late" not in vars(self):
                self.late = LAYERS.Dense(self.num_outputs)
            return self.late(output) if "late" in vars(self) else output, state

    sizes: dict[str, Any] = {"train_batch_size": 32, "minibatch_size": 32, "num_epochs": 1}
    algorithm = PPO("CartPole-v1", framework="tf", model={"custom_model": Late}, preset="none", **sizes)
    with closing(algorithm), pytest.raises(ModelError, match="Late makes the weight `late/0` in a gradient step"):
        algorithm.train()
