"""The network for observations of several parts over arrays is that of PyTorch."""

import gymnasium as gym
import numpy as np
import pytest

from anyspace.errors import ModelError
from anyspace.models.pure.complex_input import ComplexInputNetwork
from anyspace.models.torch import complex_input
from anyspace.spaces import BoundedGraph, BoundedSequence, Repeated, get_preprocessor
from tests.models.pure.equal import assert_equal
from tests.support.catalogue import OBSERVATION_SPACES

ACTIONS = gym.spaces.Discrete(4)
FILTERS = [[3, 4, 3], [4, 2, 2]]
SPACES = {
    "parts": gym.spaces.Dict(
        [
            ("camera", gym.spaces.Box(0, 255, (9, 8, 3), np.uint8)),
            ("nothing", gym.spaces.Tuple(())),
            ("speed", gym.spaces.Box(-1, 1, (5,))),
            ("inner", gym.spaces.Tuple([gym.spaces.Discrete(3, start=2), gym.spaces.MultiDiscrete([2, 3])])),
        ]
    ),
    "lists": Repeated(gym.spaces.Dict(a=gym.spaces.Box(-1, 1, (2,)), b=BoundedSequence(gym.spaces.Discrete(3), 2)), 3),
    "text": gym.spaces.Tuple([gym.spaces.Text(4, charset="abc"), gym.spaces.Box(-1, 1, (2,))]),
    "graph": BoundedGraph(gym.spaces.Box(-1, 1, (2,)), gym.spaces.Box(-1, 1, (3,)), max_nodes=4, max_edges=5),
    "graph without edges": BoundedGraph(gym.spaces.Box(-1, 1, (2,)), None, max_nodes=4),
    "alternatives": gym.spaces.OneOf([gym.spaces.Discrete(3), gym.spaces.Box(-1, 1, (2,)), gym.spaces.Tuple(())]),
}
CONFIG = {"fcnet_hiddens": [6], "conv_filters": FILTERS}


def observations(space, rows=6, *, raw=False):
    space.seed(3)
    preprocessor = get_preprocessor(space)
    samples = [preprocessor.encode.single(space.sample()) for _ in range(rows)]
    leaves = [np.stack(leaf) for leaf in zip(*samples, strict=True)]
    return preprocessor.restore(leaves if raw else preprocessor.expand(leaves))


def pair(space, num_outputs, config):
    kinds = (ComplexInputNetwork, complex_input.ComplexInputNetwork)
    return [kind(space, ACTIONS, num_outputs, config) for kind in kinds]


@pytest.mark.parametrize("name", SPACES)
def test_outputs_values_and_gradients_are_those_of_pytorch(name):
    model, module = pair(get_preprocessor(SPACES[name]).observation_space, 4, {**CONFIG, "vf_share_layers": False})
    assert_equal(model, module, {"obs": observations(SPACES[name])}, gradients=name in ("lists", "graph"))


@pytest.mark.parametrize(
    "config",
    [
        {"post_fcnet_hiddens": [7, 5]},
        {"no_final_linear": True, "free_log_std": True},
        {"no_final_linear": True, "post_fcnet_hiddens": [7]},
        {"fcnet_hiddens": []},
    ],
    ids=str,
)
@pytest.mark.parametrize("num_outputs", [4, None])
def test_the_dense_stack_behind_the_components(config, num_outputs):
    model, module = pair(get_preprocessor(SPACES["text"]).observation_space, num_outputs, {**CONFIG, **config})
    assert model.num_outputs == module.num_outputs
    assert_equal(model, module, {"obs": observations(SPACES["text"])}, compiled=False)


@pytest.mark.parametrize("name", ["parts", "graph", "alternatives", "lists"])
def test_observations_without_preprocessing_have_indices(name):
    model, module = pair(SPACES[name], 4, CONFIG)
    assert_equal(model, module, {"obs": observations(SPACES[name], raw=True)}, compiled=False)


@pytest.mark.parametrize("name", OBSERVATION_SPACES)
def test_weights_of_every_space_are_those_of_pytorch(name):
    space = get_preprocessor(OBSERVATION_SPACES[name]).observation_space
    model, module = pair(space, 4, {"fcnet_hiddens": [6]})
    own, theirs = model.weights, module.state_dict()
    assert {key: value.shape for key, value in own.items()} == {key: value.shape for key, value in theirs.items()}
    assert model.num_outputs == module.num_outputs


def test_filters_that_do_not_fit_a_picture_are_refused_by_its_name():
    with pytest.raises(ModelError, match=r'obs\["camera"\].*conv_filters'):
        pair(get_preprocessor(SPACES["parts"]).observation_space, 4, {"conv_filters": [[3, 4, 3], [4, 9, 2]]})
