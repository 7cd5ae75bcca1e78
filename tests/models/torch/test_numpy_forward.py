"""The NumPy twin of the dense network: what acts is what trains."""

import gymnasium as gym
import numpy as np
import pytest
import torch

from anyspace.config import merge
from anyspace.models import FullyConnectedNetwork
from anyspace.models.torch.runtime import TorchRuntime
from anyspace.policy.config import PolicyConfig
from anyspace.policy.policy import Policy
from catalogue import ACTION_SPACES, OBSERVATION_SPACES


def policy(observation_space, action_space, observation_filter="MeanStdFilter", **model):
    config = merge(PolicyConfig(), {"model": {"fcnet_hiddens": [8, 8], **model}})
    config = merge(config, {"observation_filter": observation_filter})
    made = Policy(observation_space, action_space, config, TorchRuntime("cpu"), seed=1)
    with torch.no_grad():
        for parameter in made.model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)))
    return made


@pytest.mark.parametrize("activation", ["tanh", "relu", "linear"])
@pytest.mark.parametrize(
    "model", [{}, {"free_log_std": True}, {"no_final_linear": True}, {"fcnet_hiddens": []}], ids=str
)
def test_outputs_equal_the_networks(model, activation):
    made = policy(gym.spaces.Box(-3, 3, (4,)), gym.spaces.Box(-1, 1, (3,)), fcnet_activation=activation, **model)
    x = np.random.default_rng(0).normal(size=(7, 4)).astype(np.float32)
    twin = made.runtime.compiled(made.model)
    assert twin is not None
    outputs = made.model({"obs": torch.from_numpy(x)})[0].detach().numpy()
    np.testing.assert_allclose(twin(x), outputs, rtol=1e-5, atol=1e-6)
    assert twin(x).dtype == np.float32


@pytest.mark.parametrize("name", OBSERVATION_SPACES)
def test_a_rollout_takes_the_actions_that_the_network_gives(name):
    space = OBSERVATION_SPACES[name]
    space.seed(3)
    made = policy(space, gym.spaces.Tuple([gym.spaces.Discrete(5), gym.spaces.Box(-1, 1, (2,))]))
    leaves = [np.stack(leaf) for leaf in zip(*(made.encode.single(space.sample()) for _ in range(6)), strict=True)]
    made.push(leaves)
    noise = made.draw_noise(1, 6)[0]
    tensors = [made.runtime.asarray(leaf) for leaf in leaves]
    for chosen in (noise, None):
        with made.acting():
            acted = made.act(leaves, explore=chosen is not None, noise=chosen).raw
        with made.runtime.no_grad():
            distribution = made.distribution(made.evaluate({"obs": tensors}, value=False).dist_inputs)
            expected = made.exploration.choose(
                distribution,
                explore=chosen is not None,
                rng=None,
                noise=None if chosen is None else torch.from_numpy(chosen),
            )
        np.testing.assert_array_equal(acted[0], expected[0])
        np.testing.assert_allclose(acted[1], expected[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ACTION_SPACES)
def test_every_distribution_acts_in_numpy(name):
    made = policy(gym.spaces.Box(-3, 3, (4,)), ACTION_SPACES[name])
    leaves = [np.zeros((3, 4), np.float32)]
    with made.acting():
        assert made._compiled is not None
        noise = made.draw_noise(1, 3)
        made.act(leaves, explore=noise is not None, noise=None if noise is None else noise[0])


def test_weights_are_read_where_they_are():
    made = policy(gym.spaces.Box(-3, 3, (4,)), gym.spaces.Discrete(2))
    x = np.ones((1, 4), np.float32)
    twin = made.runtime.compiled(made.model)
    before = twin(x)
    with torch.no_grad():
        made.model.logits.bias.add_(1)
    np.testing.assert_allclose(twin(x), before + 1, rtol=1e-5)


def test_whoever_overrides_the_network_acts_through_pytorch():
    class Own(FullyConnectedNetwork):
        pass

    box, two = gym.spaces.Box(-3, 3, (4,)), gym.spaces.Discrete(2)
    for made in (policy(box, two, custom_model=Own), policy(box, two, fcnet_activation="elu")):
        assert made.runtime.compiled(made.model) is None
        with made.acting():
            made.act([np.zeros((3, 4), np.float32)])
