"""Layers of RLlib's old networks on Keras: equal to PyTorch's with the same weights, symbolic, by the old door."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import torch
from gymnasium.spaces import Box, Dict, Discrete

from anyspace._rllib.tf.keras_networks import FullyConnectedNetwork, VisionNetwork
from anyspace._rllib.tf.lifted import tf as oldtf
from anyspace._rllib.tf.lifted import tf1
from anyspace._rllib.torch import modules as theirs
from anyspace.errors import ConfigError, UnsupportedSpaceError
from anyspace.maths.xp.tensorflow import NAMESPACE
from anyspace.models import InputDict
from anyspace.models.config import MODEL_DEFAULTS
from anyspace.models.pure.activations import activation
from anyspace.models.tf.base import RUNNING, Pass
from anyspace.rllib.models.tf import layers, misc
from anyspace.rllib.models.tf.layers.relative_multi_head_attention import PositionalEmbedding
from anyspace.rllib.models.utils import get_activation_fn
from anyspace.rllib.policy.rnn_sequencing import add_time_dimension
from anyspace.rllib.utils import framework as old_framework
from anyspace.spaces import RepeatedValues
from tests.frameworks.tf_models import Plain

pytestmark = pytest.mark.xdist_group("tensorflow")


def numbers(*shape: int) -> Any:
    return np.random.default_rng([*shape]).normal(size=shape).astype(np.float32)


def take(module: Any, **weights: Any) -> None:
    """Give a module of PyTorch weights of Keras."""
    for name, value in weights.items():
        getattr(module, name).data = torch.tensor(np.asarray(value))


def take_kernels(module: Any, layer: Any, *names: str) -> None:
    """Give the dense layers of a module of PyTorch the weights of Keras."""
    for name in names:
        getattr(module, name)._model[0].weight.data = torch.tensor(np.asarray(getattr(layer, name).kernel).T)


def test_gates_join_as_those_of_pytorch() -> None:
    gate, module = layers.GRUGate(init_bias=0.5), theirs.GRUGate(3, 0.5)
    h, x = numbers(2, 4, 3), numbers(4, 2, 3).reshape(2, 4, 3)
    found = gate((tf.constant(h), tf.constant(x)))
    take(module, **{f"_{part}": getattr(gate, f"_{part}") for part in ("w_r", "w_z", "w_h", "u_r", "u_z", "u_h")})
    expected = module((torch.tensor(h), torch.tensor(x)))
    np.testing.assert_allclose(found, expected.detach(), rtol=1e-5, atol=1e-6)


def test_attention_is_that_of_pytorch() -> None:
    x, memory = numbers(2, 4, 6), numbers(2, 3, 6)
    plain, module = layers.MultiHeadAttention(5, 2, 4), theirs.MultiHeadAttention(6, 5, 2, 4)
    found = plain(tf.constant(x))
    take_kernels(module, plain, "_qkv_layer", "_linear_layer")
    np.testing.assert_allclose(found, module(torch.tensor(x)).detach(), rtol=1e-4, atol=1e-5)

    relative = layers.RelativeMultiHeadAttention(6, 2, 4, input_layernorm=True, output_activation="relu")
    module = theirs.RelativeMultiHeadAttention(6, 6, 2, 4, True, "relu")
    found = relative(tf.constant(x), memory=tf.constant(memory))
    take_kernels(module, relative, "_qkv_layer", "_linear_layer", "_pos_proj")
    take(module, _uvar=relative._uvar, _vvar=relative._vvar)
    module._input_layernorm.eps = relative._input_layernorm.epsilon
    expected = module(torch.tensor(x), torch.tensor(memory)).detach()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        PositionalEmbedding(6)(3), theirs.RelativePositionEmbedding(6)(3)[:, 0].numpy(), rtol=1e-5, atol=1e-6
    )


def test_a_network_is_made_of_them_layer_by_layer() -> None:
    steps, memory = tf.keras.layers.Input((4, 6)), tf.keras.layers.Input((3, 6))
    attention = layers.RelativeMultiHeadAttention(6, 2, 4, input_layernorm=True)
    x = layers.SkipConnection(attention, fan_in_layer=layers.GRUGate(1.0))(steps, memory=memory)
    x = layers.SkipConnection(tf.keras.layers.Dense(6))(x)
    outputs = layers.NoisyLayer("noisy", 2, 0.5, activation="tanh")(x[:, -1])
    model = tf.keras.Model([steps, memory], outputs)
    given = [numbers(2, 4, 6), numbers(2, 3, 6)]
    one, two = model(given), model(given)
    assert one.shape == (2, 2)
    assert not np.allclose(one, two)
    assert len(model.trainable_variables) == 7 + 2 + 2 + 1 + 1 + 1 + 2 + 4


def test_layers_that_are_found_by_name() -> None:
    model = Plain(Box(-1, 1, (2,)), Discrete(2), 2, dict(MODEL_DEFAULTS), "m")
    token = RUNNING.set(Pass(model, None))
    try:
        pictures, x = tf.ones((2, 4, 4, 3)), tf.ones((2, 3))
        assert misc.conv2d(pictures, 5, "conv", (3, 3), (2, 2)).shape == (2, 2, 2, 5)
        assert misc.flatten(pictures).shape == (2, 48)
        first = misc.linear(x, 4, "out", misc.normc_initializer(1.0), 0.5)
        np.testing.assert_array_equal(first, misc.linear(x, 4, "out"))
        with tf1.variable_scope("pi", values=[x]) as scope:
            convolved = tf1.layers.conv2d(pictures, filters=np.int64(5), kernel_size=3, strides=2, name="c")
        with tf1.variable_scope(scope, reuse=True):
            np.testing.assert_array_equal(tf1.layers.conv2d(pictures, 5, 3, 2, name="c", reuse=True), convolved)
        assert tf1.layers.flatten(tf1.layers.max_pooling2d(pictures, 2, 2)).shape == (2, 12)
        np.testing.assert_array_equal(tf1.layers.dropout(x, rate=0.5, training=False), x)
        with pytest.raises(AttributeError, match=r"tf1.layers.conv3d: there are .*conv2d"):
            tf1.layers.conv3d(x)
    finally:
        RUNNING.reset(token)


def test_spellings_of_keras_2() -> None:
    inputs, training = oldtf.keras.Input(shape=np.int64(3)), oldtf.keras.Input((), batch_size=1, dtype=tf.bool)
    norm = oldtf.keras.layers.BatchNormalization(momentum=0.5)
    model = oldtf.keras.Model([inputs, training], norm(inputs, training=training[0]))
    x, states = tf.ones((2, 3)), [tf.ones(1)]
    np.testing.assert_allclose(model([x, tf.constant([False])], states, None), x, rtol=1e-3)
    np.testing.assert_array_equal(norm.moving_mean, np.zeros(3))
    np.testing.assert_array_equal(model([x, tf.constant([True])], states, None), np.zeros((2, 3)))
    np.testing.assert_array_equal(norm.moving_mean, np.full(3, 0.5))
    assert len(model.trainable_variables) == 2


def test_lengths_are_told_from_all_steps_of_a_pass() -> None:
    lens = tf.constant([2, 1])
    model = Plain(Box(-1, 1, (2,)), Discrete(2), 2, dict(MODEL_DEFAULTS), "m")
    token = RUNNING.set(Pass(model, (2, 3)))
    try:
        mask = oldtf.sequence_mask(lens)
        np.testing.assert_array_equal(mask, [[True, True, False], [True, False, False]])
        assert oldtf.sequence_mask(lens, 2).shape == (2, 2)
        assert oldtf.sequence_mask(tf.constant([1, 4, 2])).shape == (3, 4)
    finally:
        RUNNING.reset(token)
    assert oldtf.sequence_mask(lens, dtype=tf.float32).shape == (2, 2)
    rows = tf.range(6)
    for given in (lens, 3):
        np.testing.assert_array_equal(add_time_dimension(rows, given, framework="tf"), [[0, 1, 2], [3, 4, 5]])


def test_activations_by_name() -> None:
    assert old_framework.get_activation_fn is get_activation_fn
    assert get_activation_fn("relu", framework="tf") is tf.nn.relu
    assert get_activation_fn("linear", framework="tf") is None
    for name in ("ReLU", "leaky_relu", "LeakyReLU", "SiLU", "swish", "softplus", "mish"):
        assert get_activation_fn(name, framework="tf")(tf.constant([1.0])).shape == (1,)
    for name, expected in (("leaky_relu", -0.2), ("LeakyReLU", -0.01), ("CELU", math.expm1(-1))):
        for spelt in (get_activation_fn(name, framework="tf"), activation(name, "tf")(NAMESPACE)):
            assert float(spelt(tf.constant(-1.0))) == pytest.approx(expected)
    assert get_activation_fn("relu", framework="torch") is torch.nn.ReLU
    for name in ("rleu", "conv2d"):
        with pytest.raises(ConfigError, match=rf"Unknown activation \({name}\) for framework=tf!"):
            get_activation_fn(name, framework="tf")


def built(network: Any, space: Any, **config: Any) -> Any:
    return network(space, Discrete(2), 2, {**MODEL_DEFAULTS, "fcnet_hiddens": [4], **config}, "m")


def test_networks_know_activations_by_the_same_names() -> None:
    box = Box(-1, 1, (3,))
    assert built(FullyConnectedNetwork, box, fcnet_activation="LeakyReLU").base_model.layers[1].activation(-1.0) < 0
    with pytest.raises(ConfigError, match=r"Unknown activation \(conv2d\)"):
        built(FullyConnectedNetwork, box, fcnet_activation="conv2d")


@pytest.mark.parametrize(("shape", "channels"), [((42, 42), 1), ((3, 42, 42), 3), ((2, 42, 42, 3), 6)])
def test_pictures_of_all_layouts(shape: tuple[int, ...], channels: int) -> None:
    space = Box(0, 255, shape, np.uint8)
    network = built(VisionNetwork, space, conv_filters=[[2, [6, 6], 6], [4, [7, 7], 1]], post_fcnet_hiddens=[4])
    assert network.base_model.input_shape == (None, 42, 42, channels)
    outputs, _ = network({"obs": tf.constant(space.sample()[None])}, [], None)
    assert outputs.shape == (1, 2)


def weights_of(network: Any) -> dict[str, Any]:
    return {weight.path: weight.numpy() for weight in network.base_model.weights}


def test_networks_start_as_configured() -> None:
    keys = {"weights_initializer": "eye", "bias_initializer": "constant_", "bias_initializer_config": {"val": 0.5}}
    config = {f"{prefix}_{key}": value for prefix in ("fcnet", "post_fcnet") for key, value in keys.items()}
    dense = built(FullyConnectedNetwork, Box(-1, 1, (3,)), fcnet_hiddens=[4], post_fcnet_hiddens=[2], **config)
    found = weights_of(dense)
    np.testing.assert_array_equal(found["fc_1/kernel"], np.eye(3, 4))
    np.testing.assert_array_equal(found["fc_2/kernel"], np.eye(4, 2))
    assert {found[f"fc_{number}/bias"].mean() for number in (1, 2)} == {0.5}
    picture = built(
        VisionNetwork,
        Box(0, 1, (4, 4, 2)),
        conv_filters=[[2, [3, 3], 1], [4, [4, 4], 1]],
        post_fcnet_hiddens=[5],
        vf_share_layers=False,
        conv_kernel_initializer="dirac_",
        conv_bias_initializer="ones",
    )
    found = weights_of(picture)
    np.testing.assert_array_equal(found["conv0/kernel"][1, 1], np.eye(2))
    assert (found["conv0/kernel"].sum(), found["conv1/bias"].tolist()) == (2.0, [1.0] * 4)
    # As the networks of other frameworks, a value of its own goes without dense layers.
    assert [name for name in found if "post" in name] == ["conv_post_1/kernel", "conv_post_1/bias"]
    assert found["value_out/kernel"].shape == (4, 1)


def test_networks_take_pictures_as_they_are_scaled() -> None:
    bytes_, halves = np.full((2, 4, 4, 2), 255, np.uint8), np.full((2, 4, 4, 2), 0.5, np.float32)
    scaled = {"obs": lambda: halves, "obs_flat": lambda: halves.reshape(2, -1)}
    space = Box(0, 255, (4, 4, 2), np.uint8)
    for network in (built(VisionNetwork, space, conv_filters=[[3, [4, 4], 1]]), built(FullyConnectedNetwork, space)):
        seen = network(InputDict({"obs": bytes_, "obs_flat": bytes_.reshape(2, -1)}, scaled=scaled))[0]
        np.testing.assert_allclose(seen, network({"obs": halves, "obs_flat": halves.reshape(2, -1)})[0], rtol=1e-5)


def test_networks_and_functions_take_symbolic_tensors() -> None:
    """Models are made of both, as in RLlib's example of embedded actions; many files import TensorFlow itself."""
    inputs, picture = tf.keras.Input((4,)), tf.keras.Input((8, 8, 1))
    network = built(FullyConnectedNetwork, Box(-1, 1, (4,)), fcnet_hiddens=[8])
    outputs, _ = network({"obs": inputs})
    halves = tf.image.resize(picture, [4, 4])
    both = tf.concat([outputs, tf.reshape(halves, [-1, 16])], axis=1)
    model = tf.keras.Model([inputs, picture], [both, network.value_function()])
    seen, shown = numbers(3, 4), numbers(3, 8, 8, 1)
    found, values = model([seen, shown])
    width = found.shape[1] - 16
    np.testing.assert_allclose(found[:, :width], network({"obs": seen, "obs_flat": seen})[0], rtol=1e-5)
    np.testing.assert_allclose(found[:, width:], tf.reshape(tf.image.resize(shown, [4, 4]), [3, 16]), rtol=1e-5)
    np.testing.assert_allclose(values, network.value_function(), rtol=1e-5)
    with pytest.raises(tf.errors.InvalidArgumentError, match="Dimension 0 in both shapes must be equal"):
        tf.concat([tf.zeros((2, 3)), tf.zeros((3, 3))], axis=1)


def test_lists_are_told_apart_on_tensors_of_tensorflow() -> None:
    lists = RepeatedValues(tf.constant([[1.0, 2.0], [3.0, 0.0]]), tf.constant([2, 1]), 2)
    assert [[float(one) for one in row] for row in lists.unbatch_all()] == [[1.0, 2.0], [3.0]]
    assert [float(one) for one in RepeatedValues(tf.constant([1.0, 2.0]), tf.constant(1), 2).unbatch_all()] == [1.0]


def test_networks_refuse_what_they_cannot_take() -> None:
    several = Dict(a=Box(-1, 1, (2,)))
    with pytest.raises(UnsupportedSpaceError, match="FullyConnectedNetwork takes observations that are one array"):
        built(FullyConnectedNetwork, several)
    with pytest.raises(UnsupportedSpaceError, match="VisionNetwork takes pictures"):
        built(VisionNetwork, Box(-1, 1, (3,)))


def test_they_explain_themselves_without_tensorflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anyspace._rllib.tensorflow.is_installed", lambda: False)
    with pytest.raises(NotImplementedError, match=r"GRUGate: it works on TensorFlow.*anyspace\[tf\]"):
        layers.GRUGate(1.0)
    with pytest.raises(NotImplementedError, match="get_activation_fn: it works on TensorFlow"):
        get_activation_fn("relu", framework="tf")
