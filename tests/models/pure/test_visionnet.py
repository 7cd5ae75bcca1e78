"""The vision network over arrays is that of PyTorch."""

import gymnasium as gym
import numpy as np
import pytest

from anyspace.errors import ModelError, UnsupportedSpaceError
from anyspace.models.pure.visionnet import VisionNetwork
from anyspace.models.torch import visionnet
from tests.models.pure.equal import assert_equal, named_weights

FITTING = [[3, [3, 2], 2], [4, 3, 2], [5, [4, 3], 1]]
BYTES = gym.spaces.Box(0, 255, (14, 12, 3), np.uint8)

CASES = {
    "fitting": ({"conv_filters": FITTING}, 4),
    "own value, own deviations": ({"conv_filters": FITTING, "vf_share_layers": False, "free_log_std": True}, 4),
    "dense behind": ({"conv_filters": [[3, 4, 3], [4, 2, 2]], "post_fcnet_hiddens": [6, 5]}, 4),
    "features of several pixels": ({"conv_filters": [[3, 4, 3], [4, 2, 2]]}, None),
    "no final layer": ({"conv_filters": FITTING, "no_final_linear": True, "conv_activation": "tanh"}, 4),
    "no final layer, dense": ({"conv_filters": FITTING, "no_final_linear": True, "post_fcnet_hiddens": [6]}, 4),
    "linear": ({"conv_filters": FITTING, "conv_activation": "linear"}, 4),
    "default filters": ({}, 4),
}


def pair(space, num_outputs, config):
    actions = gym.spaces.Discrete(4)
    return [kind(space, actions, num_outputs, config) for kind in (VisionNetwork, visionnet.VisionNetwork)]


@pytest.mark.parametrize("case", CASES)
def test_outputs_and_values_are_those_of_pytorch(case):
    config, num_outputs = CASES[case]
    model, module = pair(BYTES, num_outputs, config)
    assert model.num_outputs == module.num_outputs
    x = np.random.default_rng(0).normal(size=(3, 14, 12, 3)).astype(np.float32)
    assert_equal(model, module, {"obs": x}, gradients=case == "own value, own deviations")


@pytest.mark.parametrize(
    "space",
    [
        gym.spaces.Box(0, 255, (14, 12), np.uint8),
        gym.spaces.Box(0, 255, (3, 14, 12), np.uint8),
        gym.spaces.Box(0, 255, (2, 14, 12, 3), np.uint8),
        gym.spaces.Box(0, 255, (2, 3, 14, 12), np.uint8),
        gym.spaces.Box(-1, 1, (14, 12, 2)),
    ],
    ids=str,
)
def test_axes_are_put_in_order(space):
    model, module = pair(space, 4, {"conv_filters": FITTING})
    space.seed(0)
    assert_equal(model, module, {"obs": np.stack([space.sample() for _ in range(2)]) / np.float32(255)})


def test_kernels_start_as_those_of_pytorch():
    model = VisionNetwork(BYTES, gym.spaces.Discrete(4), 4, {"conv_filters": [[64, 4, 2], [32, [7, 6], 1]]})
    first = named_weights(model)["encoder.0.0.weight"]
    assert first.shape == (64, 4, 4, 3)
    bound = (6 / (16 * 3 + 16 * 64)) ** 0.5
    assert 0.98 * bound < abs(first).max() <= bound
    passing = VisionNetwork(
        BYTES, gym.spaces.Discrete(4), 4, {"conv_filters": FITTING, "conv_kernel_initializer": "dirac"}
    )
    kernels = passing.weights["encoder.0.0.weight"]
    assert np.argwhere(kernels).tolist() == [[channel, 1, 1, channel] for channel in range(3)]


def test_what_cannot_be_built_is_refused():
    with pytest.raises(UnsupportedSpaceError, match="VisionNetwork takes pictures"):
        pair(gym.spaces.Box(-1, 1, (4,)), 4, {})
    with pytest.raises(ModelError, match=r"\[1, 1, 4\] is wanted"):
        pair(BYTES, 4, {"conv_filters": [[3, 4, 3], [4, 2, 2]]})
