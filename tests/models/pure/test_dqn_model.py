"""The heads of Q-learning over arrays are those of PyTorch."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete

from anyspace.errors import ModelError
from anyspace.maths.xp import xp
from anyspace.models import ModelCatalog
from anyspace.models.config import ModelConfig
from anyspace.models.input_dict import InputDict
from anyspace.models.networks import network
from anyspace.models.pure.dqn_model import DQNModel
from anyspace.models.q_model import build_q_model
from tests.models.pure.equal import assert_equal, bound, named_weights, take_weights

OBS = Box(-1, 1, (3,))
MASK = np.array([[1, 1, 1, 1, 0], [0, 1, 0, 1, 1], [0, 0, 0, 1, 0], [0, 0, 0, 0, 0]], np.bool_)
BRANCHES = Dict(a=Discrete(2), b=MultiDiscrete([3]))
ATOMS = {"num_atoms": 3, "v_min": -1.0, "v_max": 5.0}
CASES = {
    "plain": {},
    "dueling": {"dueling": True, "q_hiddens": [5, 4]},
    "distributional": {**ATOMS, "dueling_activation": "tanh"},
    "rainbow": {"dueling": True, **ATOMS, "use_noisy": True},
    "layer norm": {"dueling": True, "add_layer_norm": True, "dueling_activation": "linear"},
    "no heads": {"q_hiddens": []},
    "dueling without layers": {"q_hiddens": [], "dueling": True, "use_noisy": True},
}


def build(framework, heads, actions=BRANCHES, **model):
    model = {"fcnet_hiddens": [6], **model}
    heads = {"q_hiddens": [5], **heads}
    interface = network("q values", framework)
    return ModelCatalog.get_model_v2(OBS, actions, 5, model, framework, model_interface=interface, **heads)


def numbers(*shape):
    return np.random.default_rng([*shape]).normal(size=shape).astype(np.float32)


def values(model, inputs, state, seq_lens):
    features, state_out = model(inputs, state, seq_lens)
    mask = inputs["action_mask"]
    results = [
        features,
        *state_out,
        model.q_logits(features, mask, noise=False),
        model.q_values(features, noise=False),
        # What is forbidden has -inf.
        xp(features).clip(model.q_values(features, mask, noise=False), -1e3, None),
        *model.get_q_value_distributions(features, noise=False),
        model.value_function(),
    ]
    return [*results, *([model.get_state_value(features, noise=False)] if model.state_head else [])]


@pytest.mark.parametrize("actions", [Discrete(5), BRANCHES], ids=["one choice", "two choices"])
@pytest.mark.parametrize("case", CASES)
def test_values_are_those_of_pytorch(case, actions):
    model, module = (build(framework, CASES[case], actions) for framework in ("pure", "torch"))
    assert type(model).__name__ == "FullyConnectedNetwork_as_DQNModel"
    x, twice = numbers(4, 3), actions is BRANCHES
    columns = {"obs": x, "obs_flat": x, "action_mask": MASK}
    assert_equal(model, module, columns, run=values, gradients=case == "rainbow" and twice, compiled=twice)


def test_values_on_a_memory():
    model, module = (build(name, CASES["dueling"], use_lstm=True, lstm_cell_size=4) for name in ("pure", "torch"))
    x, lens = numbers(4, 3), np.array([2, 2], np.int32)
    columns = {"obs": x, "obs_flat": x, "action_mask": MASK}
    assert_equal(model, module, columns, [numbers(2, 4)] * 2, lens, run=values)


@pytest.mark.parametrize("case", CASES)
def test_what_acts_is_what_learns(case):
    model = build("pure", {**CASES[case], "use_noisy": False})
    x = numbers(4, 3)
    output, _ = model({"obs": x, "obs_flat": x})
    acted, _ = model.acting_pass()(InputDict({"obs_flat": x, "action_mask": MASK}), [])
    np.testing.assert_allclose(acted, model.action_inputs(output, MASK), rtol=1e-5)
    assert acted.shape == (4, 5)


def test_noisy_layers_have_no_pass_that_leaves_them_out():
    assert build("pure", {"use_noisy": True}).acting_pass() is None


def test_noise_is_factorised_drawn_from_the_source_and_new_in_every_layer():
    model = build("pure", {"use_noisy": True, "dueling": True, "q_hiddens": []}, Discrete(5))
    model.weights = {name: value + 0.3 for name, value in model.weights.items()}
    p, x = model.weights, numbers(4, 6)

    def factor(e):
        return np.sign(e) * np.sqrt(abs(e))

    # A generator of NumPy carries a state, so it serves all draws in turn.
    rng, name = np.random.default_rng(7), "advantage_head.layers.0"
    e_in, e_out = (factor(rng.standard_normal(width).astype(np.float32)) for width in (6, 5))
    weights = p[f"{name}.weight"] + p[f"{name}.sigma_weight"] * np.outer(e_out, e_in)
    expected = x @ weights.T + p[f"{name}.bias"] + p[f"{name}.sigma_bias"] * e_out
    noisy = model.get_q_value_distributions(x, noise=np.random.default_rng(7)).scores
    np.testing.assert_allclose(noisy, expected, rtol=1e-4, atol=1e-5)
    one, two = (model.exploring_inputs(x, None, np.random.default_rng(seed)) for seed in (1, 2))
    assert not np.allclose(one, two)
    assert not np.allclose(model.q_values(x), model.q_values(x))
    np.testing.assert_array_equal(model.q_values(x, noise=False), model.action_inputs(x, None))

    def traced(weights, key):
        with bound(model, weights):
            return model.q_values(jax.numpy.asarray(x), noise=key)

    run, keys = jax.jit(traced), jax.random.split(jax.random.key(0))
    first, again, other = (run(named_weights(model), key) for key in (keys[0], keys[0], keys[1]))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)


def test_heads_start_as_those_of_pytorch():
    heads = {"use_noisy": True, "q_hiddens": [200], "sigma0": 0.7, "add_layer_norm": True}
    model, module = (build(framework, heads, fcnet_hiddens=[100]) for framework in ("pure", "torch"))
    for name, theirs in module.advantage_head.state_dict(prefix="advantage_head.").items():
        own = model.weights[name]
        np.testing.assert_allclose(own.std(), theirs.std(correction=0), rtol=0.15, atol=1e-6, err_msg=name)
        np.testing.assert_allclose(own.mean(), theirs.mean(), atol=0.02, err_msg=name)


def test_a_derived_class_gives_its_own_values():
    class Mine(DQNModel):
        def forward(self, input_dict, state, seq_lens):
            return 2.0 * input_dict["obs_flat"], state

    model = ModelCatalog.get_model_v2(OBS, Discrete(3), 3, {"custom_model": Mine}, "pure", q_hiddens=[])
    x = numbers(4, 3)
    output, _ = model({"obs": x, "obs_flat": x})
    assert model.action_inputs(output, None) is output
    with pytest.raises(ModelError, match=r"num_outputs is None after it was built.*heads of DQNModel"):
        Mine(OBS, Discrete(3), None, {}, q_hiddens=[4])


class OwnHeads(DQNModel):
    """Values of one's own in place of the heads; with atoms, as RLlib has them for TensorFlow or for PyTorch."""

    def forward(self, input_dict, state, seq_lens):
        return input_dict["obs_flat"] @ np.ones((3, self.num_outputs), np.float32), state

    def get_q_value_distributions(self, features):
        kept = super().get_q_value_distributions(features)
        scores = features[:, :3] * [1, 2, 3]
        logits = scores[..., None] * [0, 1, 2]
        of_tensorflow = [scores, self.support, logits, logits.reshape(-1, 3), logits]
        return (scores, kept.logits, kept.probs) if self.num_atoms == 1 else of_tensorflow

    def get_state_value(self, features):
        return np.full((len(features), self.num_atoms), 7.0)


@pytest.mark.parametrize("atoms", [{}, ATOMS], ids=["values", "distributions"])
def test_a_derived_class_may_have_heads_or_replace_them(atoms):
    heads = {"q_hiddens": [5], "dueling": True, **atoms}
    config = ModelConfig(custom_model=OwnHeads, fcnet_hiddens=[9, 8])
    model = build_q_model(OBS, Discrete(3), 3, config, "pure", **heads)
    x = numbers(4, 3)
    features, _ = model({"obs": x, "obs_flat": x})
    assert features.shape == (4, 8), "as wide as the last hidden layer"
    scores = features[:, :3] * [1, 2, 3]
    own = scores[..., None] * ([0, 1, 2] if atoms else [1])
    np.testing.assert_allclose(model.q_logits(features), 7 + own - own.mean(1, keepdims=True), rtol=1e-5)
    np.testing.assert_array_equal(model.action_inputs(features, None), model.q_values(features))
    assert model.exploring_inputs(features, None, np.random.default_rng(0)).shape == (4, 3)

    class Plain(DQNModel):
        forward = OwnHeads.forward

    model = build_q_model(OBS, Discrete(3), 3, replace(config, custom_model=Plain), "pure", **heads)
    np.testing.assert_array_equal(model.action_inputs(features, None), model.q_values(features, noise=False))


def test_an_algorithm_without_values_takes_what_a_derived_class_puts_out():
    class Policy(DQNModel):
        forward = OwnHeads.forward

    model = ModelCatalog.get_model_v2(OBS, Discrete(3), 3, {"custom_model": Policy}, "pure")
    output = numbers(4, 3)
    assert model.advantage_head is not None
    assert model.action_inputs(output, None) is output
    assert model.exploring_inputs(output, None, np.random.default_rng(0)) is output


def test_weights_are_taken_over_by_name():
    model, module = (build(framework, CASES["rainbow"]) for framework in ("pure", "torch"))
    assert set(take_weights(model, module)) == set(named_weights(model))
