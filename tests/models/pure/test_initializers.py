"""Initialisers over NumPy draw as those of PyTorch do."""

import gymnasium as gym
import numpy as np
import pytest
import torch

from anyspace.errors import ConfigError
from anyspace.models.pure.fcnet import FullyConnectedNetwork
from anyspace.models.pure.initializers import initializer_of
from anyspace.models.torch.initializers import initialise

SHAPE = (40, 30, 2, 5)


def filled(name, config=None, shape=SHAPE):
    array = np.full(shape, np.nan, np.float32)
    fill = initializer_of({"key": name, "key_config": config}, "key")
    fill(array, np.random.default_rng(0))
    return array


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("zeros", None),
        ("ones_", None),
        ("constant", {"val": 0.3}),
        ("uniform", {"a": -2.0, "b": 0.5}),
        ("normal", {"mean": 1.0, "std": 0.2}),
        ("trunc_normal", {"std": 2.0, "a": -1.0, "b": 3.0}),
        ("normc", {"scale": 0.5}),
        ("fan_in_uniform", None),
        ("xavier_uniform", {"gain": 2.0}),
        ("xavier_normal", None),
        ("kaiming_uniform", {"a": 0.5}),
        ("kaiming_normal", {"mode": "fan_out", "nonlinearity": "relu"}),
        ("orthogonal", {"gain": 3.0}),
    ],
)
def test_moments_and_ranges_are_those_of_pytorch(name, config):
    own, theirs = filled(name, config), torch.empty(SHAPE)
    torch.manual_seed(0)
    initialise(theirs, name, config)
    theirs = theirs.numpy()
    spread = theirs.std() + 1e-6
    assert own.dtype == np.float32
    np.testing.assert_allclose(own.mean(), theirs.mean(), atol=0.05 * spread)
    np.testing.assert_allclose(own.std(), theirs.std(), rtol=0.05)
    for quantile in (0, 0.2, 0.8, 1):
        tolerance = 0.06 if 0 < quantile < 1 else 0.6
        np.testing.assert_allclose(np.quantile(own, quantile), np.quantile(theirs, quantile), atol=tolerance * spread)
    rows, wanted = (np.linalg.norm(array.reshape(40, -1), axis=1) for array in (own, theirs))
    np.testing.assert_allclose(rows.std(), wanted.std(), atol=0.05 * spread * np.sqrt(300))


def test_an_orthogonal_matrix_has_orthonormal_rows_or_columns():
    for shape in ((4, 9), (9, 4)):
        matrix = filled("orthogonal", shape=shape)
        product = matrix @ matrix.T if shape[0] < shape[1] else matrix.T @ matrix
        np.testing.assert_allclose(product, np.eye(4), atol=1e-6)
    np.testing.assert_array_equal(filled("eye", shape=(3, 5)), np.eye(3, 5))


def network(**config):
    return FullyConnectedNetwork(
        gym.spaces.Box(-1, 1, (3,)), gym.spaces.Discrete(2), 2, {"fcnet_hiddens": [6], **config}
    )


def test_a_function_fills_the_array_that_it_is_given():
    def threes(array, by=1.0):
        array[...] = 3.0 * by

    weights = network(
        fcnet_weights_initializer=threes, fcnet_bias_initializer=threes, fcnet_bias_initializer_config={"by": 2.0}
    ).weights
    assert (weights["encoder.0.weight"] == 3).all()
    assert (weights["encoder.0.bias"] == 6).all()


def test_unknown_names_are_refused_with_the_nearest():
    with pytest.raises(ConfigError, match=r"`model.key` is 'xavier_unifrom', .* Did you mean .*'xavier_uniform'"):
        filled("xavier_unifrom")


@pytest.mark.parametrize(
    ("name", "config", "shape"),
    [
        ("constant", {}, (3,)),
        ("uniform", {"low": 1}, (3,)),
        ("normal", {"std": -1.0}, (3,)),
        ("normc", {}, (3,)),
        ("xavier_uniform", {}, (3,)),
        ("orthogonal", {}, (3,)),
        ("eye", {}, (3,)),
        ("kaiming_normal", {"mode": "in"}, (3, 2)),
        (lambda array: None, {"by": 1}, (3,)),
    ],
)
def test_what_does_not_fit_is_refused(name, config, shape):
    with pytest.raises(ConfigError, match=r"(?s)`model.key` is .* cannot fill a tensor of shape .*Correct"):
        filled(name, config, shape)
