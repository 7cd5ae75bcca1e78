"""LSTM and GRU over arrays are those of PyTorch, step by step and over padded sequences."""

import gymnasium as gym
import numpy as np
import pytest

from anyspace import tree
from anyspace.errors import ConfigError
from anyspace.models import ModelCatalog
from anyspace.models.input_dict import InputDict
from anyspace.models.pure.recurrent_models import RecurrentNetwork, RecurrentWrapper
from tests.models.pure.equal import assert_equal, named_weights

OBS = gym.spaces.Box(-3, 3, (4,))
ACTIONS = gym.spaces.Tuple([gym.spaces.Discrete(3), gym.spaces.Box(-1, 1, (2,))])
LENS = np.array([4, 1, 3], np.int32)

CASES = {
    "lstm": {"use_lstm": True},
    "gru": {"use_gru": True},
    "lstm, told": {"use_lstm": True, "lstm_use_prev_action": True, "lstm_use_prev_reward": True},
    "gru, told the reward, own deviations": {"use_gru": True, "lstm_use_prev_reward": True, "free_log_std": True},
    "lstm, time-major": {"use_lstm": True, "_time_major": True},
    "gru, nested, time-major": {
        "use_gru": True,
        "_time_major": True,
        "lstm_use_prev_action": True,
        "_disable_action_flattening": True,
    },
}


def build(framework, num_outputs=8, **config):
    config = {"fcnet_hiddens": [5], "lstm_cell_size": 6, **config}
    return ModelCatalog.get_model_v2(OBS, ACTIONS, num_outputs, config, framework)


def numbers(rng, *shape):
    return rng.normal(size=shape).astype(np.float32)


def columns_of(model, rows, rng, *, nested=False):
    x = numbers(rng, rows, 4)
    columns = {"obs": x, "obs_flat": x}
    if "prev_rewards" in model.view_requirements:
        columns["prev_rewards"] = numbers(rng, rows)
    if "prev_actions" in model.view_requirements:
        choice, move = rng.integers(3, size=rows), numbers(rng, rows, 2)
        flat = np.concatenate([choice[:, None], move], axis=1).astype(np.float32)
        columns["prev_actions"] = (choice, move) if nested else flat
    return columns


@pytest.mark.parametrize("steps", [1, 4])
@pytest.mark.parametrize("case", CASES)
def test_outputs_states_and_values_are_those_of_pytorch(case, steps):
    rng, config = np.random.default_rng(0), CASES[case]
    outputs = None if case == "gru" else 8
    model, module = (build(framework, outputs, **config) for framework in ("pure", "torch"))
    assert model.view_requirements == module.view_requirements
    assert model.num_outputs == module.num_outputs
    assert [part.shape for part in model.get_initial_state()] == [part.shape for part in module.get_initial_state()]
    lens = np.minimum(LENS, steps)
    state = [numbers(rng, 3, 6) for _ in model.get_initial_state()]
    columns = columns_of(model, 3 * steps, rng, nested="nested" in case)
    inside = np.arange(steps) < lens[:, None]
    real = (inside.T if model.is_time_major() else inside).ravel()
    tried = {"gradients": case == "lstm, told" and steps == 4, "compiled": steps == 4}
    assert_equal(model, module, columns, state, lens, real=real, **tried)


@pytest.mark.parametrize("case", CASES)
def test_what_acts_is_what_learns(case):
    model, rng = build("pure", **CASES[case]), np.random.default_rng(0)
    columns, state = columns_of(model, 5, rng, nested="nested" in case), [numbers(rng, 5, 6)] * 2
    state = state[: len(model.get_initial_state())]
    output, after = model(columns, state, np.ones(5, np.int32))
    acted, acted_after = model.acting_pass()(InputDict(columns), state)
    for one, two in zip([acted, *acted_after], [output, *after], strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-6, atol=1e-6)
        assert one.dtype == np.float32


def test_padding_leaves_states_as_they_are():
    rng, model = np.random.default_rng(0), build("pure", use_lstm=True)
    x, state = numbers(rng, 8, 4), [numbers(rng, 2, 6) for _ in range(2)]
    other = x.copy()
    other[[1, 2, 3, 7]] = 9.0
    results = [model({"obs_flat": rows, "obs": rows}, state, np.array([1, 3])) for rows in (x, other)]
    for one, two in zip(*(after for _, after in results), strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("kind", ["use_lstm", "use_gru"])
def test_weights_start_as_those_of_pytorch(kind):
    random = build("pure", lstm_cell_size=64, **{kind: True})
    weights = {name: value for name, value in named_weights(random).items() if name.startswith("rnn")}
    assert len(weights) == 4
    for value in weights.values():
        assert abs(value).max() <= 1 / 8
        assert value.std() == pytest.approx(1 / 8 / 3**0.5, rel=0.2)
    given = build(
        "pure",
        lstm_weights_initializer="ones",
        lstm_bias_initializer="constant",
        lstm_bias_initializer_config={"val": 2.0},
        **{kind: True},
    )
    assert {float(given.weights[f"rnn.{name}_l0"].mean()) for name in ("weight_ih", "weight_hh")} == {1.0}
    assert {float(given.weights[f"rnn.{name}_l0"].mean()) for name in ("bias_ih", "bias_hh")} == {2.0}


def test_a_memory_without_a_model_beneath_is_refused():
    with pytest.raises(ConfigError, match="RecurrentWrapper is put on top of another model by `use_lstm`"):
        RecurrentWrapper(OBS, ACTIONS, 8, {"use_lstm": True})


def test_a_custom_memory_sees_sequences():
    class Sums(RecurrentNetwork):
        def get_initial_state(self):
            return [np.zeros(4, np.float32)]

        def forward_rnn(self, inputs, state, seq_lens):
            sums = state[0][:, None] + inputs.cumsum(axis=1)
            return sums, [sums[:, -1]]

    model = Sums(OBS, ACTIONS, 4, {}, "sums")
    x = numbers(np.random.default_rng(0), 6, 4)
    output, (after,) = model({"obs": x, "obs_flat": x}, [np.ones((2, 4), np.float32)], np.array([3, 3]))
    sums = 1 + x.reshape(2, 3, 4).cumsum(axis=1)
    np.testing.assert_allclose(output, sums.reshape(6, 4), rtol=1e-6)
    np.testing.assert_allclose(after, sums[:, -1], rtol=1e-6)
    assert tree.leaves(model.get_initial_state())[0].shape == (4,)
