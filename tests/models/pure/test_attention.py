"""GTrXL over arrays is that of PyTorch, over padded sequences and step by step."""

import gymnasium as gym
import numpy as np
import pytest

from anyspace.errors import ModelError, UnsupportedSpaceError
from anyspace.models import ModelCatalog
from anyspace.models.input_dict import InputDict
from anyspace.models.pure.attention import GTrXLNet
from anyspace.models.torch import attention
from tests.models.pure.equal import assert_equal, take_weights

OBS = gym.spaces.Box(-3, 3, (4,))
ACTIONS = gym.spaces.Tuple([gym.spaces.Discrete(3), gym.spaces.Box(-1, 1, (2,))])
SIZES = {
    "attention_dim": 6,
    "attention_head_dim": 4,
    "attention_num_heads": 3,
    "attention_num_transformer_units": 1,
    "attention_memory_inference": 3,
    "attention_memory_training": 5,
    "attention_position_wise_mlp_dim": 7,
}
CASES = {
    "two blocks": {"attention_num_transformer_units": 2},
    "one step of memory": {"attention_memory_inference": 1, "attention_memory_training": 0, "attention_dim": 5},
    "time-major, told": {
        "_time_major": True,
        "attention_use_n_prev_actions": 2,
        "attention_use_n_prev_rewards": 3,
    },
    "own deviations": {"free_log_std": True},
}


def build(framework, num_outputs=8, **config):
    config = {"fcnet_hiddens": [5], "use_attention": True, **SIZES, **config}
    return ModelCatalog.get_model_v2(OBS, ACTIONS, num_outputs, config, framework)


def numbers(rng, *shape):
    return rng.normal(size=shape).astype(np.float32)


def given(model, sequences, steps, rng):
    """Return columns of padded sequences, states before these, and how many steps each had."""
    rows, x = sequences * steps, numbers(rng, sequences * steps, 4)
    columns = {"obs": x, "obs_flat": x}
    if "prev_rewards" in model.view_requirements:
        choice, move = rng.integers(3, size=(rows, 2)), numbers(rng, rows, 2, 2)
        columns["prev_actions"] = np.concatenate([choice[..., None], move], axis=2).astype(np.float32)
        columns["prev_rewards"] = numbers(rng, rows, 3)
    state = []
    for i, part in enumerate(model.get_initial_state()):
        view = model.view_requirements[f"state_in_{i}"]
        state.append(numbers(rng, sequences, *([] if view.single else [len(view.offsets)]), *part.shape))
    state[-1] = np.arange(sequences, dtype=np.float32)[:, None] * 2
    return columns, state


@pytest.mark.parametrize(("steps", "training"), [(1, False), (4, False), (4, True)])
@pytest.mark.parametrize("case", CASES)
def test_outputs_states_and_values_are_those_of_pytorch(case, steps, training):
    rng = np.random.default_rng(0)
    outputs = None if case == "one step of memory" else 8
    model, module = (build(framework, outputs, **CASES[case]) for framework in ("pure", "torch"))
    assert model.view_requirements == module.view_requirements
    assert model.num_outputs == module.num_outputs
    columns, state = given(model, 3, steps, rng)
    columns["is_training"] = training
    lens = np.minimum(np.array([4, 1, 3], np.int32), steps)
    inside = np.arange(steps) < lens[:, None]
    real = (inside.T if model.is_time_major() else inside).ravel()
    tried = {"gradients": training and "told" in case, "compiled": training and case != "one step of memory"}
    assert_equal(model, module, columns, state, lens, real=real, **tried)


@pytest.mark.parametrize("training", [False, True])
def test_gtrxl_by_itself_is_that_of_pytorch(training):
    sizes = {"memory_inference": 2, "memory_training": 4, "attention_dim": 6}
    model, module = (kind(OBS, ACTIONS, 8, {}, "net", **sizes) for kind in (GTrXLNet, attention.GTrXLNet))
    columns, state = given(model, 2, 3, np.random.default_rng(1))
    columns["is_training"] = training
    assert_equal(model, module, columns, state, np.array([3, 3], np.int32), compiled=training)


@pytest.mark.parametrize("case", CASES)
def test_what_acts_is_what_learns(case):
    model, module = (build(framework, **CASES[case]) for framework in ("pure", "torch"))
    take_weights(model, module)
    columns, state = given(model, 5, 1, np.random.default_rng(2))
    output, after = model({**columns, "is_training": False}, state, np.ones(5, np.int32))
    acted, acted_after = model.acting_pass()(InputDict(columns), state)
    np.testing.assert_allclose(acted, output, rtol=1e-5, atol=1e-5)
    for one, two in zip(acted_after, after, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-5)
        assert one.dtype == np.float32


def test_weights_start_as_those_of_pytorch():
    sizes = {
        "attention_dim": 30,
        "head_dim": 40,
        "num_heads": 2,
        "position_wise_mlp_dim": 50,
        "init_gru_gate_bias": 1.5,
    }
    model, module = (kind(OBS, ACTIONS, 8, {}, "net", **sizes) for kind in (GTrXLNet, attention.GTrXLNet))
    for name, theirs in module.state_dict().items():
        own = model.weights[name]
        assert own.shape == theirs.shape
        np.testing.assert_allclose(own.std(), theirs.std(correction=0), rtol=0.15, atol=1e-6, err_msg=name)
        np.testing.assert_allclose(abs(own).max(), theirs.abs().max(), rtol=0.15, atol=1e-6, err_msg=name)


def test_what_does_not_fit_is_refused():
    model = build("pure")
    x = np.zeros((2, 4), np.float32)
    with pytest.raises(ModelError, match=r"a state of 2 arrays .* is needed, but 1 came"):
        model({"obs": x, "obs_flat": x}, [np.zeros((2, 6), np.float32)], np.ones(2, np.int32))
    with pytest.raises(UnsupportedSpaceError, match="GTrXLNet takes observations that are one array"):
        GTrXLNet(gym.spaces.Dict(a=OBS), ACTIONS, 8, {})
