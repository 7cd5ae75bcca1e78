import re

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, Text
from torch import nn

from anyspace.errors import ModelError
from anyspace.models import MODEL_DEFAULTS, FullyConnectedNetwork, InputDict, ModelV2, TorchModelV2
from anyspace.models.config import ModelConfig
from anyspace.models.input_dict import flatten_structured
from anyspace.spaces import Repeated, RepeatedValues, get_preprocessor
from tests.support.catalogue import stacked

ARGUMENTS = (Box(-1, 1, (2,)), Discrete(3), 3, MODEL_DEFAULTS, "mine")


class Counted:
    """A column and how often it was computed."""

    def __init__(self, value):
        self.value = value
        self.calls = 0

    def __call__(self):
        self.calls += 1
        return self.value


class Answering(TorchModelV2):
    """Returns what it is told to, and keeps what it was given."""

    def __init__(self, answer):
        super().__init__(*ARGUMENTS)
        self.answer = answer

    def forward(self, input_dict, state, seq_lens):
        self.given = (input_dict, state, seq_lens)
        return self.answer


# --------------------------------------------------------------------------------------------- input dict


def test_lazy_columns_are_computed_once_when_touched():
    lazy = Counted(5)
    inputs = InputDict({"a": 1}, {"b": lazy})
    assert "b" in inputs
    assert list(inputs) == ["a", "b"]
    assert list(inputs.keys()) == ["a", "b"]
    assert len(inputs) == 2
    assert lazy.calls == 0
    assert (inputs["b"], inputs["b"], inputs.get("b"), lazy.calls) == (5, 5, 5, 1)
    assert list(inputs) == ["a", "b"]
    assert len(inputs) == 2


@pytest.mark.parametrize("spread", [dict, lambda inputs: {**inputs}, lambda inputs: dict(inputs.items())])
def test_spreading_takes_the_lazy_columns_along(spread):
    assert spread(InputDict({"a": 1}, {"b": lambda: 2})) == {"a": 1, "b": 2}
    assert list(InputDict({"a": 1}, {"b": lambda: 2}).values()) == [1, 2]


def test_copies_are_lazy_and_independent():
    lazy = Counted(5)
    inputs = InputDict({"a": 1}, {"b": lazy})
    twin = inputs.copy()
    twin["c"] = 3
    assert ("c" in inputs, "b" in twin, lazy.calls, type(twin)) == (False, True, 0, InputDict)
    assert (twin["b"], lazy.calls) == (5, 1)


@pytest.mark.spec(99)
def test_undeclared_columns_fail_fast_and_name_the_others():
    inputs = InputDict({"obs": 1}, {"obs_flat": lambda: 2})
    with pytest.raises(KeyError, match="'prev_rewards' is not among the model's inputs: obs, obs_flat"):
        inputs["prev_rewards"]
    assert "prev_rewards" not in inputs
    assert inputs.get("prev_rewards") is None
    assert inputs.get("prev_rewards", 7) == 7


def test_is_training():
    assert [InputDict(columns).is_training for columns in ({}, {"is_training": False}, {"is_training": True})] == [
        False,
        False,
        True,
    ]


def test_a_new_obs_gives_a_new_obs_flat():
    inputs = InputDict({}, {"obs": lambda: torch.ones(2, 3), "obs_flat": lambda: torch.ones(2, 3)})
    assert inputs["obs_flat"].sum() == 6
    inputs["obs"] = {"a": torch.full((2, 1, 2), 2.0), "b": torch.zeros(2, 1)}
    assert inputs["obs_flat"].tolist() == [[2, 2, 0]] * 2
    inputs["obs_flat"] = torch.full((2, 1), 9.0)
    assert inputs["obs_flat"].tolist() == [[9], [9]]


def test_flattening_structured_observations():
    obs = {
        "z": torch.arange(4).reshape(2, 2),
        "a": [torch.ones(2), torch.zeros(2, 2, 0)],
        "k": torch.full((2, 1, 2), 7.0),
    }
    flat = flatten_structured(obs)
    assert flat.dtype == torch.float32
    assert flat.tolist() == [[0, 1, 1, 7, 7], [2, 3, 1, 7, 7]]
    assert flatten_structured({"a": torch.zeros(0, 3), "b": torch.zeros(0)}).shape == (0, 4)
    assert flatten_structured(np.ones((3, 2, 2), np.uint8)).shape == (3, 4)


@pytest.mark.parametrize("array", [np.asarray, torch.as_tensor], ids=["numpy", "torch"])
def test_lists_are_flattened_as_preprocessors_do(array):
    space = Dict(z=Repeated(Dict(x=Box(-9, 9, (2,)), deep=Repeated(Discrete(3), 2)), 3), a=Text(4), k=Discrete(2))
    space.seed(0)
    preprocessor = get_preprocessor(space)
    features = preprocessor.expand(preprocessor.encode(stacked(space, [space.sample() for _ in range(5)])))
    obs = preprocessor.restore([array(feature) for feature in features])
    np.testing.assert_array_equal(flatten_structured(obs), preprocessor.flatten_features(features))


def test_whole_numbers_in_lists_are_flattened_as_floats():
    listed = RepeatedValues([torch.ones(2, 3, 1, dtype=torch.uint16)], torch.tensor([1, 3]), 3)
    flat = flatten_structured({"items": listed, "x": torch.zeros(2, 1)})
    assert flat.dtype == torch.float32
    assert flat.tolist() == [[1, 1, 1, 1, 0], [3, 1, 1, 1, 0]]
    nothing_in_them = RepeatedValues([], torch.tensor([1, 3]), 3)
    assert flatten_structured(nothing_in_them).tolist() == [[1], [3]]


# ------------------------------------------------------------------------------------------------- calling


@pytest.mark.spec(93)
def test_what_a_constructor_keeps():
    model = Answering(None)
    assert (model.obs_space, model.action_space, model.num_outputs, model.name) == (*ARGUMENTS[:3], "mine")
    assert model.model_config is MODEL_DEFAULTS
    assert ModelV2(*ARGUMENTS[:4]).name == "default_model"
    assert not model.is_time_major()
    assert ModelV2(*ARGUMENTS[:3], {"_time_major": True}).is_time_major()


@pytest.mark.parametrize("wrap", [lambda columns: columns, lambda columns: [columns]], ids=["dict", "list"])
def test_a_model_is_called_with_an_input_dict_or_a_list_of_one(wrap):
    obs = {"left": torch.ones(2, 1), "right": {"deep": torch.zeros(2, 2)}}
    model = Answering((torch.full((2, 3), 4.0), []))
    out, state = model(wrap({"obs": obs}))
    given, given_state, seq_lens = model.given
    assert given["obs"] is obs
    assert given["obs_flat"].tolist() == [[1, 0, 0]] * 2
    assert (given_state, seq_lens, state) == ([], None, [])
    assert out is model.last_output()
    with pytest.raises(ModelError, match=r"Answering was called with a dict of 'rewards': `obs` is missing"):
        model(wrap({"rewards": 1}))


@pytest.mark.parametrize("wrap", [lambda columns: columns, lambda columns: [columns]], ids=["alone", "list"])
def test_a_model_is_not_called_with_observations_alone(wrap):
    with pytest.raises(ModelError, match=r"Answering was called with a Tensor: .* Write model\(\{'obs': obs\}\)"):
        Answering((torch.zeros(2, 3), []))(wrap(torch.zeros(2, 2)))


def test_an_explicit_obs_flat_is_kept_and_the_given_dict_left_alone():
    model = Answering((torch.zeros(1, 3), []))
    columns = {"obs": torch.zeros(1, 2), "obs_flat": torch.ones(1, 2)}
    model(columns)
    assert model.given[0]["obs_flat"] is columns["obs_flat"]
    model.given[0]["more"] = 1
    assert columns.keys() == {"obs", "obs_flat"}


def test_state_and_sequence_lengths_are_handed_on():
    state, seq_lens = [torch.ones(1, 4)], torch.tensor([1])
    model = Answering((torch.zeros(1, 3), [torch.zeros(1, 4)]))
    _, state_out = model({"obs": torch.zeros(1, 2)}, state, seq_lens)
    assert model.given[1] is state
    assert model.given[2] is seq_lens
    assert state_out is model.answer[1]


@pytest.mark.spec(95)
def test_an_empty_state_passes_the_incoming_one_on():
    state = [torch.ones(1, 4)]
    assert Answering((torch.zeros(1, 3), []))({"obs": torch.zeros(1, 2)}, state)[1] is state


@pytest.mark.spec(94)
@pytest.mark.parametrize("answer", [torch.zeros(2, 3), (torch.zeros(2, 3),), (1, [], 3), None], ids=str)
def test_a_forward_pass_returns_a_pair(answer):
    with pytest.raises(ModelError, match=re.escape("forward() must return a tuple of (output, state)")):
        Answering(answer)({"obs": torch.zeros(2, 2)})


def test_what_else_came_of_a_pass_is_counted():
    with pytest.raises(ModelError, match=r"but returned a tuple of 3\. Keep what else there is in attributes"):
        Answering((1, [], 3))({"obs": torch.zeros(2, 2)})


@pytest.mark.spec(94)
@pytest.mark.parametrize("state", [torch.zeros(2), (), {}, None], ids=str)
def test_the_state_is_a_list(state):
    with pytest.raises(ModelError, match="State output is not a list"):
        Answering((torch.zeros(2, 3), state))({"obs": torch.zeros(2, 2)})
    assert issubclass(ModelError, ValueError)


def test_a_list_of_two_is_a_pair():
    assert Answering([torch.zeros(2, 3), []])({"obs": torch.zeros(2, 2)})[1] == []


def test_the_defaults_of_the_contract():
    model = ModelV2(*ARGUMENTS)
    losses = [1.0, 2.0]
    assert model.get_initial_state() == []
    assert model.custom_loss(losses, {}) is losses
    assert model.metrics() == {}
    with pytest.raises(NotImplementedError, match=r"ModelV2 must implement forward\(input_dict, state, seq_lens\)"):
        model({"obs": np.zeros((1, 2))})
    with pytest.raises(NotImplementedError, match=r"must implement value_function\(\)"):
        model.value_function()
    with pytest.raises(AssertionError, match="call the model first"):
        model.last_output()


# ---------------------------------------------------------------------------------------------- sub-models


class Holding(TorchModelV2, nn.Module):
    """Halves its observation and hands everything on, as old models do."""

    def __init__(self, *arguments):
        TorchModelV2.__init__(self, *arguments)
        nn.Module.__init__(self)
        self.inner = FullyConnectedNetwork(*arguments[:3], {**arguments[3], "fcnet_hiddens": [4]}, "inner")
        self.norm = Recording(*arguments)

    def forward(self, input_dict, state, seq_lens):
        self.norm({"obs": {"nested": input_dict["obs"]}})
        input_dict["obs"] = input_dict["obs"] / 2
        return self.inner(input_dict, state, seq_lens)


class Recording(TorchModelV2):
    def forward(self, input_dict, state, seq_lens):
        self.is_training = input_dict["is_training"]
        return input_dict["obs"]["nested"], state


def test_a_sub_model_sees_the_changed_observation():
    model = Holding(*ARGUMENTS)
    obs = torch.tensor([[0.2, -0.4]])
    out, _ = model(InputDict({"obs": obs, "is_training": False}, {"obs_flat": lambda: obs}))
    torch.testing.assert_close(out, model.inner({"obs": obs / 2})[0])
    assert not torch.allclose(out, model.inner({"obs": obs})[0])


@pytest.mark.parametrize("training", [True, False])
def test_a_sub_model_is_in_the_mode_of_its_holder(training):
    model = Holding(*ARGUMENTS).train(training)
    model({"obs": torch.zeros(1, 2)})
    assert model.norm.is_training is training


def test_other_spaces_are_kept_as_they_are():
    space = gym.spaces.Dict(a=Discrete(2))
    assert ModelV2(space, space, None, {}).obs_space is space


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_narrow_outputs_are_taken_as_float32(dtype):
    class Narrow(TorchModelV2, nn.Module):
        def __init__(self, *arguments):
            TorchModelV2.__init__(self, *arguments)
            nn.Module.__init__(self)

        def forward(self, input_dict, state, seq_lens):
            return input_dict["obs_flat"].to(dtype), state

    model = Narrow(*ARGUMENTS)
    output, _ = model({"obs": torch.ones(2, 2)})
    assert output.dtype is model.last_output().dtype is torch.float32
    assert model.floats(output) is output
    whole = torch.ones(2, dtype=torch.int64)
    assert model.floats(whole) is whole


def test_a_model_takes_its_configuration_as_it_is() -> None:
    config = ModelConfig(fcnet_hiddens=[3])
    space = Box(-1, 1, (2,))
    assert FullyConnectedNetwork(space, Discrete(2), 2, config, "mine").model_config == config.as_dict()


def test_a_batch_brings_states_and_lengths():
    class Remembers(ModelV2):
        def get_initial_state(self):
            return [np.zeros(1)]

        def forward(self, input_dict, state, seq_lens):
            self.seen = input_dict["is_training"], state, seq_lens
            return input_dict["obs"], state

    model, lens = Remembers(*ARGUMENTS), np.array([2])
    model.from_batch({"obs": np.ones((2, 3)), "state_in_0": np.ones((1, 1)), "seq_lens": lens})
    training, states, seen = model.seen
    assert training is True
    assert states[0].tolist() == [[1]]
    assert seen is lens


def test_a_loss_may_be_set_on_the_model_itself():
    model = Answering(None)
    assert not model.has_custom_loss()
    model.custom_loss = lambda policy_loss, loss_inputs: policy_loss
    assert model.has_custom_loss()
