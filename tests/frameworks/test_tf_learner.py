"""The learner of TensorFlow: compiled loops, models of users, ways down from XLA."""

from __future__ import annotations

import logging
import textwrap
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from gymnasium.spaces import Box, Discrete, MultiBinary

from anyspace import PPO
from anyspace._rllib.tf.keras_networks import VisionNetwork
from anyspace._rllib.tf.tf1 import TF1
from anyspace.algorithms.on_policy import minibatches
from anyspace.config import merge
from anyspace.errors import ConfigError, ModelError
from anyspace.execution import backends
from anyspace.maths.xp import xp
from anyspace.models import ModelCatalog
from anyspace.models.config import MODEL_DEFAULTS
from anyspace.models.tf.base import RUNNING, Pass, TFModelV2
from anyspace.models.tf.networks import DQNTFModel, SACTFModel
from anyspace.models.tf.ways import AS_A_GRAPH, EAGERLY, Way, Ways
from anyspace.policy.config import PolicyConfig
from anyspace.policy.policy import Policy
from anyspace.spaces import BoundedSequence
from tests.frameworks import tf_models as models
from tests.frameworks.conftest import Build, rows
from tests.support.environments import Samples

pytestmark = pytest.mark.xdist_group("tensorflow")

KINDS = [models.Functional, models.Normalised, models.Plain]


def variables(algorithm: Any) -> dict[str, Any]:
    return algorithm.policy.runtime.parameters(algorithm.policy.model)


def same(one: dict[str, Any], other: dict[str, Any]) -> set[str]:
    return {name for name, value in one.items() if np.array_equal(value, other[name])}


# ---------------------------------------------------------------------------------- models of users


def test_old_spellings_of_models_and_of_the_framework() -> None:
    model = ModelCatalog.get_model_v2(Box(-1, 1, (3,)), Discrete(2), 2, {"custom_model": models.Plain}, framework="tf2")
    with model.context():
        assert model.framework == "tf"
    with pytest.raises(NotImplementedError, match=r"Plain.import_from_h5\('weights.h5'\): .*algo.set_weights\(\)"):
        model.import_from_h5("weights.h5")


@pytest.mark.parametrize("kind", KINDS)
def test_models_of_users_learn_in_one_compiled_loop(build: Build, kind: type) -> None:
    algorithm = build(framework="tf", model={"custom_model": kind}, lr=1e-2)
    # XLA takes seconds to compile what is the same for all of them.
    way = algorithm.policy.runtime.ways.number = 0 if kind is models.Functional else AS_A_GRAPH
    before = variables(algorithm)
    first = algorithm.learner.steps(next(algorithm.updates(algorithm.policy, algorithm.fleet.gather(64))))
    if kind is not models.Normalised:
        assert first.metrics["ratio_error"][0] <= 1e-5 < first.metrics["ratio_error"][1]
    assert algorithm.policy.runtime.ways.number == way
    assert same(before, variables(algorithm)) == ({"scale"} if kind is models.Plain else set())


@pytest.mark.parametrize("eager", [True, False])
def test_observations_of_many_axes_are_learnt_from(eager: bool) -> None:
    # Rows of nine bytes: those of eight or sixteen TensorFlow cuts out in another way, which takes any number of axes.
    space = BoundedSequence(BoundedSequence(MultiBinary((1, 1, 1, 1, 3, 1)), 1), 1)
    sizes = {"train_batch_size": 6, "minibatch_size": 3, "num_epochs": 1, "model": {"fcnet_hiddens": [4]}}
    with closing(PPO(lambda: Samples(space, Discrete(2)), sizes, framework="tf", seed=0, preset="none")) as algorithm:
        algorithm.policy.runtime.ways.number = EAGERLY if eager else AS_A_GRAPH
        before = variables(algorithm)
        algorithm.train()
        assert same(before, variables(algorithm)) == set()


def test_a_checkpoint_names_variables_by_the_way_to_them_and_goes_on_as_the_original(
    build: Build, tmp_path: Path
) -> None:
    model = {"custom_model": models.Functional}
    algorithm = build(framework="tf", model=model)
    algorithm.policy.runtime.ways.number = AS_A_GRAPH
    assert np.isfinite(algorithm.train()["learner"]["model"]["mean_value"])
    assert not algorithm.policy.model.training, "what runs after training evaluates"
    assert [*variables(algorithm)] == [f"base_model/{i}" for i in range(6)]
    restored = PPO.load(algorithm.save(tmp_path), config={"model": model})
    steps = minibatches(algorithm.policy, rows(algorithm), 32, 2)
    for one in (algorithm, restored):
        one.policy.runtime.ways.number = AS_A_GRAPH
        one.policy.runtime.seed(1)
        one.learner.steps(steps)
    np.testing.assert_equal(restored.snapshot()[1], algorithm.snapshot()[1])


def test_batch_statistics_move_in_training_and_rest_in_acting(build: Build) -> None:
    algorithm = build(framework="tf", model={"custom_model": models.Normalised})
    algorithm.policy.runtime.ways.number = AS_A_GRAPH
    model = algorithm.policy.model
    assert algorithm.policy.runtime.has_batch_statistics(model)
    before = variables(algorithm)
    trajectory = algorithm.fleet.gather(64)
    rows(algorithm, trajectory)
    assert same(before, variables(algorithm)) >= {"norm/2", "norm/3"}
    # The statistics are those of two steps with momentum 0.9: neither none nor one.
    algorithm.learner.steps(minibatches(algorithm.policy, rows(algorithm, trajectory), 32, 1))
    assert not same(before, variables(algorithm)) & {"norm/2", "norm/3"}


def test_only_registered_variables_are_trained(build: Build) -> None:
    algorithm = build(framework="tf", model={"custom_model": models.OnlyHeads}, lr=1e-2)
    algorithm.policy.runtime.ways.number = AS_A_GRAPH
    model = algorithm.policy.model
    assert len(model.variables()) == 6
    assert [*model.trainable_variables(as_dict=True)] == [f"base_model/{i}" for i in range(2, 6)]
    before = variables(algorithm)
    algorithm.train()
    assert same(before, variables(algorithm)) == {"base_model/0", "base_model/1"}


class RegistersOne(TFModelV2):
    """Features of a layer whose biases stay as they are."""

    def __init__(self, obs_space, action_space, num_outputs, model_config, name):
        super().__init__(obs_space, action_space, num_outputs, model_config, name)
        self.num_outputs = 4
        self.hidden = tf.keras.layers.Dense(4)
        self.hidden.build((None, 2))
        self.register_variables([self.hidden.kernel])


def test_what_is_put_on_a_model_that_registers_is_trained() -> None:
    def frozen(config: dict[str, Any], **options: Any) -> set[str]:
        config = {"custom_model": RegistersOne, "lstm_cell_size": 3, **config}
        model = ModelCatalog.get_model_v2(Box(-1, 1, (2,)), Discrete(2), 2, config, "tf", **options)
        assert len(model.trainable_variables()) > 4
        return {*model.variables(as_dict=True)} - {*model.trainable_variables(as_dict=True)}

    assert frozen({}, model_interface=DQNTFModel, q_hiddens=[3]) == {"hidden/1"}
    assert frozen({"use_lstm": True}) == {"base.hidden/1"}


class OwnQ(SACTFModel):
    """Has Q networks whose layers make their weights when they are called."""

    def build_q_model(self, obs_space, action_space, num_outputs, q_model_config, name):
        class Lazy(TFModelV2):
            def forward(self, input_dict, state, seq_lens):
                return self.net(input_dict["obs"]), state

        q = Lazy(obs_space, action_space, num_outputs, q_model_config, name)
        q.net = tf.keras.Sequential([tf.keras.layers.Dense(3), tf.keras.layers.Dense(1)])
        return q


def test_a_first_pass_makes_the_weights_of_q_networks() -> None:
    space, own = Box(-1, 1, (2,)), {"fcnet_hiddens": [3]}
    model = OwnQ(space, space, 4, dict(MODEL_DEFAULTS), "sac", own, own)
    model({"obs": tf.zeros((2, 2))})
    assert {name for name in model.variables(as_dict=True) if "q_net" in name} == {
        f"{twin}q_net.net/{number}" for twin in ("", "twin_") for number in range(4)
    }


class Keras(tf.keras.Model):
    """A model as RLlib took those of Keras."""

    def __init__(self, input_space, action_space, num_outputs, name, width=4):
        super().__init__(name=name)
        self.out, self.values = tf.keras.layers.Dense(num_outputs), tf.keras.layers.Dense(1)

    def call(self, input_dict):
        obs = input_dict["obs"]
        return self.out(obs), [], {"vf_preds": tf.reshape(self.values(obs), [-1])}


def test_what_is_said_of_a_model_of_keras_is_a_model_that_works() -> None:
    with pytest.raises(ModelError, match="A model of Keras is held by one") as refused:
        ModelCatalog.get_model_v2(Box(-1, 1, (3,)), Discrete(2), 2, {"custom_model": Keras}, framework="tf")
    names = {"TFModelV2": TFModelV2, "Keras": Keras}
    exec(textwrap.dedent(str(refused.value).partition("\n")[2]), names)
    config = {"framework": "tf", "model": {"custom_model": names["KerasV2"], "custom_model_config": {"width": 5}}}
    settings = merge(PolicyConfig(), config)
    policy = Policy(Box(-1, 1, (3,)), Discrete(2), settings, backends.backend_of("tf").runtime(settings))
    assert policy.compute_single_action(np.zeros(3, np.float32)) in (0, 1)


class Late(TFModelV2):
    """Has a network whose layers make their weights when they are called."""

    def __init__(self, obs_space, action_space, num_outputs, model_config, name):
        super().__init__(obs_space, action_space, num_outputs, model_config, name)
        self.net = tf.keras.Sequential([tf.keras.layers.Dense(3), tf.keras.layers.Dense(num_outputs)])

    def forward(self, input_dict, state, seq_lens):
        self.out = self.net(input_dict["obs"])
        return self.out, state

    def value_function(self):
        return self.out[:, 0]


def test_noise_on_weights_that_a_first_pass_makes() -> None:
    noise = {"exploration_config": {"type": "ParameterNoise", "random_timesteps": 0}}
    config = merge(PolicyConfig(), {"framework": "tf", "model": {"custom_model": Late}, **noise})
    policy = Policy(Box(-1, 1, (2,)), Discrete(3), config, backends.backend_of("tf").runtime(config), seed=1)
    own = policy.runtime.parameters(policy.model)
    assert len(own) == 4
    perturbed = policy._perturbed
    assert perturbed is not None
    perturbed.begin("acting")
    noisy = policy.runtime.parameters(perturbed.network().model)
    assert own.keys() == noisy.keys()
    assert not same(own, noisy)
    policy.compute_actions(np.zeros((3, 2), np.float32), explore=True)


@pytest.mark.parametrize(
    ("kind", "way", "reason"), [(models.CallsPython, 1, "as a graph"), (models.CountsAndAsks, 2, "eagerly")]
)
def test_what_cannot_be_compiled_goes_another_way_and_says_so_once(
    build: Build, kind: type, way: int, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "anyspace"):
        algorithm = build(framework="tf", model={"custom_model": kind})
        before = variables(algorithm)
        for _ in range(2):
            algorithm.train()
    assert algorithm.policy.runtime.ways.number == way
    said = [record.getMessage() for record in caplog.records if "slower" in record.getMessage()]
    assert len(said) == 1
    assert kind.__name__ in said[0]
    assert f"runs {reason}" in said[0]
    assert not same(before, variables(algorithm))


def test_ways_down_give_the_same_steps(build: Build) -> None:
    results = []
    for way in range(3):
        algorithm = build(framework="tf", lr=1e-2, grad_clip=0.5)
        algorithm.policy.runtime.ways.number = way
        found = algorithm.learner.steps(minibatches(algorithm.policy, rows(algorithm), 20, 2))
        results.append((found.metrics, variables(algorithm)))
    for other in results[1:]:
        for mine, theirs in zip(results[0], other, strict=True):
            for name, value in mine.items():
                np.testing.assert_allclose(value, theirs[name], rtol=1e-4, atol=1e-5, err_msg=name)


# --------------------------------------------------------------------------------------------- bad input


def test_a_framework_that_is_not_installed_is_told_with_the_line_to_install_it(monkeypatch: Any) -> None:
    monkeypatch.setattr(backends, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"tensorflow is not installed: pip install 'anyspace\[tf\]'"):
        PPO("CartPole-v1", {"framework": "tf"}, preset="none")


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (
            {"model": {"custom_model": models.MakesVariables}},
            "makes `hidden`, a Dense, .* anew in every pass",
        ),
        ({"model": {"custom_model": models.Steps}}, r"Steps\.steps changes with every forward\(\).*assign_add"),
        ({"device": "mps"}, "TensorFlow finds no such device"),
    ],
)
def test_what_does_not_fit_is_told(build: Build, settings: dict[str, Any], expected: str) -> None:
    with pytest.raises((ModelError, ConfigError), match=expected):
        build(framework="tf", **settings).train()


def test_a_layer_that_a_loss_makes_anew_is_told_of_the_loss(build: Build) -> None:
    class MadeInLoss(models.Functional):
        def custom_loss(self, policy_loss: Any, loss_inputs: Any) -> Any:
            self.base_model = tf.keras.layers.Dense(1)
            return policy_loss

    with pytest.raises(
        ModelError, match=r"MadeInLoss\.custom_loss\(\) makes `base_model`, a Dense, .* the constructor"
    ):
        build(framework="tf", model={"custom_model": MadeInLoss}).train()


@pytest.mark.learning
def test_learns_cartpole(build: Build) -> None:
    algorithm = build(
        framework="tf",
        num_envs_per_env_runner=8,
        train_batch_size=1024,
        minibatch_size=256,
        num_epochs=6,
        lr=2e-3,
        kl_coeff=0.0,
        vf_clip_param=None,
    )
    returns = [algorithm.train().get("episode_return_mean", 0.0) for _ in range(60)]
    assert max(returns) >= 150


def test_long_sequences_are_a_loop() -> None:
    @tf.function(autograph=False)
    def summed(x: Any) -> Any:
        return xp(x).scan(lambda state, inputs: ([state[0] + inputs[0]], [state[0] * inputs[0]]), [x[0] * 0.0], [x])

    x = np.arange(1.0, 41.0, dtype=np.float32)[:, None]
    (last,), (outs,) = summed(tf.constant(x))
    assert float(last[0]) == x.sum()
    np.testing.assert_allclose(outs, (np.cumsum(x, axis=0) - x) * x)
    graph = summed.get_concrete_function(tf.TensorSpec([40, 1])).graph
    assert len(graph.get_operations()) < 60


def test_a_way_that_begins_as_a_graph_is_known_as_one_while_it_is_traced() -> None:
    seen, ways = [], Ways()

    def function(x: Any) -> Any:
        seen.append(ways.number)
        return x + 1

    assert int(Way(function, ways, "mine", first=AS_A_GRAPH)(tf.constant(1))) == 2
    assert (seen, ways.number) == ([AS_A_GRAPH], 0)


def test_collections_hold_what_is_asked_for() -> None:
    model = models.Functional(Box(-1, 1, (2,)), Discrete(2), 2, dict(MODEL_DEFAULTS), "m")
    token = RUNNING.set(Pass(model, None))
    try:
        tf1 = TF1()
        with tf1.variable_scope("a"):
            first = tf1.get_variable("x", (1,))
        with tf1.variable_scope("b"):
            second = tf1.get_variable("y", (1,), trainable=False)
        keys = tf.compat.v1.GraphKeys
        assert [one is first for one in tf1.get_collection(keys.TRAINABLE_VARIABLES)] == [True]
        assert [one is second for one in tf1.get_collection(keys.GLOBAL_VARIABLES, scope="b")] == [True]
        assert tf1.get_collection(keys.UPDATE_OPS) == []
        with pytest.raises(ModelError, match="get_collection"):
            tf1.get_collection("losses")
    finally:
        RUNNING.reset(token)


def test_scopes_are_named_as_in_tensorflow_1() -> None:
    model = models.Functional(Box(-1, 1, (2,)), Discrete(2), 2, dict(MODEL_DEFAULTS), "m")
    tf1, x = TF1(), tf.zeros((1, 2))
    made: list[Any] = []
    for _ in range(2):
        token = RUNNING.set(Pass(model, None))
        try:
            with tf1.variable_scope("pi"):
                for _ in range(2):
                    with tf1.variable_scope(None, default_name="fc") as scope:
                        made.append(tf1.get_variable("w", (1,)))
                tf1.layers.dense(x, 3, name="dense")
                tf1.layers.dense(x, 3)
            with tf1.variable_scope("q"), tf1.variable_scope(scope, reuse=True) as again:
                assert (scope.name, again.name) == ("pi/fc_1", "pi/fc_1")
                assert tf1.get_variable("w", (1,)) is made[-1]
            with pytest.raises(ModelError, match="variable_scope\\(\\) has no name"), tf1.variable_scope(None):
                pass
            assert tf1.get_collection(tf.compat.v1.GraphKeys.GLOBAL_VARIABLES, scope=scope.name) == [made[1]]
        finally:
            RUNNING.reset(token)
    assert [*model.tf1] == ["pi/fc/w", "pi/fc_1/w", "pi/dense", "pi/dense_1"]
    assert [id(one) for one in made[:2]] == [id(one) for one in made[2:]]


def test_keywords_of_tensorflow_1_are_followed_or_refused() -> None:
    model = models.Functional(Box(-1, 1, (2,)), Discrete(2), 2, dict(MODEL_DEFAULTS), "m")
    token = RUNNING.set(Pass(model, None))
    tf1, x = TF1(), tf.zeros((1, 2))
    try:
        with tf1.variable_scope("a", "b", [x], regularizer=None, reuse=True, use_resource=True):
            tf1.get_variable("x", (1,), regularizer=None, trainable=None, collections=None, use_resource=True)
            tf1.layers.dense(x, 3, kernel_regularizer=None, kernel_constraint=None, trainable=False, name="frozen")
            tf1.layers.batch_normalization(x, -1, scale=False, renorm=False, fused=None, name="norm")
        found = {name: len(one.trainable_variables) for name, one in model.tf1.items() if name != "a/x"}
        assert found == {"a/frozen": 0, "a/norm": 1}
        assert model.tf1["a/x"].trainable
        with pytest.raises(ModelError, match=r"dense\(kernel_regularizer='l2'\).*losses in custom_loss\(\)"):
            tf1.layers.dense(x, 3, kernel_regularizer="l2")
        with pytest.raises(ModelError, match=r"get_variable\(collections=\['mine'\]\).*leave it out"):
            tf1.get_variable("y", (1,), collections=["mine"])
        with (
            pytest.raises(ModelError, match=r"variable_scope\(initializer=.*each get_variable"),
            tf1.variable_scope("c", initializer="zeros"),
        ):
            pass
        with pytest.raises(ModelError, match=r"dense\(\) has no keyword 'unit'"):
            tf1.layers.dense(x, 3, unit=3)
    finally:
        RUNNING.reset(token)


def test_the_old_vision_network_respects_its_configuration() -> None:
    def shapes(size: int = 42, **config: Any) -> list[tuple[int, ...]]:
        space = Box(0, 255, (size, size, 3), np.uint8)
        model = VisionNetwork(space, Box(-1, 1, (2,)), 4, {**MODEL_DEFAULTS, **config}, "v")
        return [tuple(one.shape) for one in model.base_model.variables]

    plain = shapes()
    assert shapes(post_fcnet_hiddens=[32]) != plain
    assert shapes(no_final_linear=True) != plain
    assert (2,) in shapes(free_log_std=True)
    assert shapes(size=10)
