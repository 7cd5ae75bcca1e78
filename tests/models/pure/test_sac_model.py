"""The networks of soft actor-critic over arrays are those of PyTorch."""

import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, Tuple

from anyspace.errors import ModelError
from anyspace.models import ModelCatalog
from anyspace.models.input_dict import InputDict
from anyspace.models.networks import network
from anyspace.spaces import get_preprocessor
from tests.models.pure.equal import assert_equal, named_weights

OBS = Box(-1, 1, (3,))
PARTS = Dict(a=Box(-1, 1, (2,)), b=Discrete(3))
BOTH = Tuple([Discrete(3), Box(-1, 1, (2,))])
SPACES = {
    "numbers": (OBS, Box(-1, 1, (2,))),
    "choices": (OBS, Discrete(4)),
    "both": (OBS, BOTH),
    "parts": (PARTS, BOTH),
}
MEMORY = {"use_lstm": True, "lstm_cell_size": 4, "lstm_use_prev_action": True}


def build(framework, observed, actions, memory=None, **keywords):
    kind = network("soft actor-critic", framework)
    if memory:
        keywords |= {"policy_model_config": memory, "q_model_config": memory}
    config = {"fcnet_hiddens": [6]}
    space = get_preprocessor(observed).observation_space
    return ModelCatalog.get_model_v2(space, actions, 4, config, framework, default_model=kind, **keywords)


def seen(space, rows):
    space.seed(0)
    preprocessor = get_preprocessor(space)
    stacked = zip(*(preprocessor.encode.single(space.sample()) for _ in range(rows)), strict=True)
    features = preprocessor.expand([np.stack(leaf) for leaf in stacked])
    return {"obs": preprocessor.restore(features), "obs_flat": preprocessor.flatten_features(features)}


def numbers(*shape):
    return np.random.default_rng([*shape]).normal(size=shape).astype(np.float32)


def networks(model, inputs, state, seq_lens):
    out, state_out = model(inputs, state, seq_lens)
    numbers = inputs.get("numbers")
    found = [model.get_action_model_outputs(out), model.get_q_values(out, numbers)]
    if model.twin_q_net is not None:
        found.append(model.get_twin_q_values(out, numbers))
    return [*found, *state_out, model.log_alpha]


@pytest.mark.parametrize("name", SPACES)
def test_policies_and_q_networks_are_those_of_pytorch(name):
    observed, actions = SPACES[name]
    model, module = (build(framework, observed, actions, initial_alpha=0.5) for framework in ("pure", "torch"))
    columns = seen(observed, 5)
    if model.joint.width:
        columns["numbers"] = numbers(5, 2)
    assert_equal(model, module, columns, run=networks, gradients=name == "parts")
    assert model.target_entropy == module.target_entropy
    assert {key: model.group_of(key) for key in named_weights(model)} == {
        key: module.group_of(key) for key, _ in module.named_parameters()
    }


def test_one_q_network():
    model, module = (build(framework, OBS, Discrete(4), twin_q=False) for framework in ("pure", "torch"))
    assert_equal(model, module, seen(OBS, 5), run=networks)
    with pytest.raises(ModelError, match="has one Q network; build it with twin_q=True"):
        model.get_twin_q_values(seen(OBS, 5)["obs"])
    own = {"fcnet_hiddens": [3]}
    by_place = type(model)(model.obs_space, Discrete(4), 4, {}, "by place", own, own, False, 0.5, -1.0)
    assert (by_place.twin_q_net, by_place.target_entropy) == (None, -1.0)


def test_memories_are_those_of_pytorch():
    model, module = (build(framework, OBS, BOTH, MEMORY) for framework in ("pure", "torch"))
    assert model.view_requirements.keys() == module.view_requirements.keys()
    lens = np.array([3, 1], np.int32)
    columns = seen(OBS, 6) | {"numbers": numbers(6, 2), "prev_actions": numbers(6, 3)}
    real = (np.arange(3) < lens[:, None]).ravel()
    assert_equal(model, module, columns, [numbers(2, 4)] * 2, lens, run=networks, real=real)


def test_acting_computes_the_policy_alone():
    model = build("pure", OBS, BOTH, MEMORY)
    columns = seen(OBS, 5) | {"prev_actions": numbers(5, 3)}
    state = [numbers(5, 4)] * 2
    out, _ = model(dict(columns), state, np.ones(5, np.int32))
    assert set(out) == {"policy", "q", "twin_q"}
    calls = []
    model.q_memory.forward = lambda *_: calls.append(1)
    acted, _ = model.acting_pass()(InputDict(columns), state)
    np.testing.assert_allclose(acted, out["policy"], rtol=1e-5, atol=1e-6)
    assert not calls


def test_temperatures_are_weights():
    model = build("pure", OBS, BOTH, initial_alpha=0.5)
    assert set(model.log_alphas) == {"discrete", "continuous"}
    for kind in model.log_alphas:
        np.testing.assert_allclose(model.weights[f"log_alphas.{kind}"], np.log(0.5), rtol=1e-6)
