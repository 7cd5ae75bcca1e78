"""The network of dependent parts over arrays is that of PyTorch."""

import jax
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete, MultiBinary, Tuple

from anyspace.errors import ModelError
from anyspace.models import ModelCatalog, ModelConfig
from anyspace.models.pure.autoregressive import attach_action_network
from anyspace.models.pure.base import ArrayModel
from anyspace.spaces import get_preprocessor
from tests.models.pure.equal import assert_equal, bound, named_weights, take_weights

OBS = get_preprocessor(Box(-1, 1, (4,))).observation_space
ACTIONS = Tuple((Discrete(3), Box(-1, 1, (2,)), MultiBinary(2)))


def build(framework, **config):
    config = {"fcnet_hiddens": [6], "autoregressive_actions": True, **config}
    _, width = ModelCatalog.get_action_dist(ACTIONS, config)
    return ModelCatalog.get_model_v2(OBS, ACTIONS, width, config, framework)


def numbers(*shape):
    return np.random.default_rng([*shape]).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("memory", [{}, {"use_lstm": True, "lstm_cell_size": 5}])
def test_parameters_are_those_of_pytorch(memory):
    model, module = (build(framework, **memory) for framework in ("pure", "torch"))
    width = 3 + 2 + 2 * 2

    def run(model, inputs, state, seq_lens):
        context, _ = model(inputs, state, seq_lens)
        encoded = inputs["encoded"]
        return [model.action_network(context, part) for part in (encoded[0], encoded)]

    columns = {"obs": numbers(5, 4), "obs_flat": numbers(5, 4), "encoded": numbers(3, 5, width)}
    state = [numbers(5, 5)] * 2 if memory else []
    assert_equal(model, module, columns, state, np.ones(5, np.int32), run=run, gradients=not memory)


def test_the_distribution_scores_and_draws_as_it_does_in_pytorch():
    model, module = (build(framework) for framework in ("pure", "torch"))
    take_weights(model, module)
    factory, _ = ModelCatalog.get_action_dist(ACTIONS, {"fcnet_hiddens": [6], "autoregressive_actions": True})
    x = numbers(5, 4)
    own = factory(model({"obs": x, "obs_flat": x})[0], model)
    theirs = factory(module({"obs": torch.as_tensor(x)})[0], module)
    actions = own.deterministic_sample()
    for one, two in zip(actions, theirs.deterministic_sample(), strict=True):
        np.testing.assert_allclose(one, two.detach(), rtol=1e-5, atol=1e-6)
    expected = theirs.logp(tuple(torch.as_tensor(part) for part in actions)).detach()
    np.testing.assert_allclose(own.logp(actions), expected, rtol=1e-5, atol=1e-5)

    def traced(weights, x):
        with bound(model, weights):
            return factory(model({"obs": x, "obs_flat": x})[0], model).logp(actions)

    np.testing.assert_allclose(jax.jit(traced)(named_weights(model), x), expected, rtol=1e-5, atol=1e-5)


def test_weights_start_as_those_of_pytorch():
    model, module = (build(framework) for framework in ("pure", "torch"))
    own, theirs = named_weights(model), module.state_dict()
    assert {name: value.shape for name, value in own.items()} == {name: value.shape for name, value in theirs.items()}
    np.testing.assert_allclose(np.linalg.norm(own["action_network.context.weight"], axis=1), 1, rtol=1e-5)
    mask = module.action_network.output.mask.numpy()
    np.testing.assert_allclose(np.linalg.norm(own["action_network.output.weight"] * mask, axis=1), 0.01, rtol=1e-5)


def test_weights_of_another_framework_serve_arrays_of_numpy():
    model = build("pure")
    context, encoded = numbers(5, 6), numbers(5, 9)
    expected = model.action_network(context, encoded)
    model.weights = {name: jax.numpy.asarray(value) for name, value in model.weights.items()}
    found = model.action_network(context, encoded)
    assert isinstance(found, np.ndarray)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_a_model_that_hides_its_width_is_named():
    with pytest.raises(ModelError, match=r"ArrayModel.num_outputs is None .* needs the width of its output"):
        attach_action_network(ArrayModel(OBS, ACTIONS, None, {}), ACTIONS, ModelConfig(autoregressive_actions=True))
