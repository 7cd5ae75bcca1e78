import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete
from torch import nn

from anyspace.errors import ConfigError, ModelError
from anyspace.models import MODEL_DEFAULTS, FullyConnectedNetwork, ModelCatalog, RecurrentNetwork, TorchModelV2
from anyspace.models.torch.recurrent import RecurrentWrapper
from tests.support.torch_nets import draw, shuffled

OBS, ACTIONS = Box(-1, 1, (4,)), Discrete(3)
KINDS = ["use_lstm", "use_gru"]


def build(num_outputs=3, actions=ACTIONS, **config):
    return ModelCatalog.get_model_v2(OBS, actions, num_outputs, {"fcnet_hiddens": [5], "lstm_cell_size": 6, **config})


def reference(model, features, state):
    """Run PyTorch's own module over the features [T, F] of one sequence, step by step."""
    module = nn.GRU(5, 6) if len(state) == 1 else nn.LSTM(5, 6)
    module.load_state_dict(model.rnn.state_dict())
    before = [part[None] for part in state]
    output, after = module(features, before[0] if len(before) == 1 else tuple(before))
    return output, [after[0]] if len(before) == 1 else [part[0] for part in after]


@pytest.mark.spec(86)
@pytest.mark.parametrize("time_major", [False, True])
@pytest.mark.parametrize("lens", [[4, 4, 4], [2, 4, 1], [1, 1, 1]])
@pytest.mark.parametrize("kind", KINDS)
def test_sequences_are_those_of_the_framework_and_padding_leaves_states_alone(kind, lens, time_major):
    model = shuffled(build(**{kind: True, "_time_major": time_major}))
    longest = max(lens)
    obs, state = draw(3, longest, 4), [draw(3, 6, seed=i) for i in range(2 if kind == "use_lstm" else 1)]
    logits, after = model({"obs": obs.reshape(-1, 4)}, state, torch.tensor(lens, dtype=torch.int32))
    values = model.value_function()
    logits, values = (
        x.reshape(longest, 3, -1).transpose(0, 1) if time_major else x.reshape(3, longest, -1) for x in (logits, values)
    )
    for s, length in enumerate(lens):
        features = model.base({"obs": obs[s, :length]})[0]
        output, wanted = reference(model, features, [part[s] for part in state])
        torch.testing.assert_close(logits[s, :length], model.logits(output), atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(values[s, :length], model.value_head(output), atol=1e-5, rtol=1e-5)
        for mine, theirs in zip(after, wanted, strict=True):
            torch.testing.assert_close(mine[s], theirs, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_padding_takes_no_gradient(kind):
    model = shuffled(build(**{kind: True}))
    obs = draw(2, 5, 4).requires_grad_()
    lens = torch.tensor([5, 2], dtype=torch.int32)
    state = [part.expand(2, -1) for part in model.get_initial_state()]
    logits, after = model({"obs": obs.reshape(10, 4)}, state, lens)
    real = torch.tensor([0, 1, 2, 3, 4, 5, 6])
    (logits[real].sum() + sum(part.sum() for part in after)).backward()
    assert not obs.grad[1, 2:].any()
    assert obs.grad[1, :2].any()
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.rnn.parameters())


@pytest.mark.spec(74, 75)
def test_widths():
    model = build(use_lstm=True, lstm_use_prev_action=True, lstm_use_prev_reward=True)
    assert isinstance(model, RecurrentWrapper)
    assert type(model.base) is FullyConnectedNetwork
    assert model.rnn.input_size == 5 + 3 + 1
    assert model.rnn.hidden_size == 6
    assert [tuple(part.shape) for part in model.get_initial_state()] == [(6,), (6,)]
    views = model.view_requirements
    assert (views["prev_actions"].data_col, views["prev_actions"].offsets) == ("actions", (-1,))
    assert (views["prev_rewards"].data_col, views["prev_rewards"].offsets) == ("rewards", (-1,))
    assert build(use_lstm=True).rnn.input_size == 5
    assert build(use_lstm=True).view_requirements.keys() == {"obs"}


@pytest.mark.spec(76, 77)
@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize(
    ("actions", "width"),
    [
        (MultiDiscrete([2, 3]), 5),
        (Box(-1, 1, (4,)), 4),
        (Dict(b=Discrete(2), a=Box(-1, 1, (2,)), c=MultiDiscrete([2, 2])), 8),
    ],
)
def test_previous_actions_of_every_space(actions, width, nested):
    # Nested ones need not be kept nested for it, unlike in the old system.
    model = build(7, actions, use_lstm=True, lstm_use_prev_action=True, _disable_action_flattening=nested)
    assert model.rnn.input_size == 5 + width


@pytest.mark.parametrize("kind", KINDS)
def test_heads_and_features(kind):
    model = build(**{kind: True})
    assert tuple(model.logits.weight.shape) == (3, 6)
    assert tuple(model.value_head.weight.shape) == (1, 6)
    assert not model.logits.bias.any()
    assert model.logits.weight.abs().max() <= (6 / (6 + 3)) ** 0.5
    features = build(None, **{kind: True})
    assert features.num_outputs == 6
    output, _ = features({"obs": draw(2, 4)}, [draw(2, 6)] * len(features.get_initial_state()), torch.ones(2))
    assert output.shape == (2, 6)


@pytest.mark.spec(52)
@pytest.mark.parametrize("kind", KINDS)
def test_initialisers(kind):
    weights = {"lstm_weights_initializer": "constant_", "lstm_weights_initializer_config": {"val": 0.25}}
    biases = {"lstm_bias_initializer": "zeros_"}
    by_name = dict(build(**{kind: True}, **weights, **biases).rnn.named_parameters())
    assert all((by_name[name] == 0.25).all() for name in ("weight_ih_l0", "weight_hh_l0"))
    assert not any(by_name[name].any() for name in ("bias_ih_l0", "bias_hh_l0"))
    plain = build(**{kind: True}).rnn
    assert plain.weight_ih_l0.std() > 0
    assert plain.bias_ih_l0.any()
    with pytest.raises(ConfigError, match="lstm_weights_initializer"):
        build(**{kind: True}, lstm_weights_initializer="nothing")


def test_one_memory_at_a_time():
    for keys in (("use_gru", "use_lstm"), ("use_gru", "use_attention")):
        with pytest.raises(ConfigError, match="takes the place of"):
            build(**dict.fromkeys(keys, True))


@pytest.mark.parametrize(
    ("key", "value"), [("max_seq_len", 0), ("lstm_cell_size", 0), ("attention_dim", 0), ("attention_num_heads", -1)]
)
def test_sizes_have_a_range(key, value):
    with pytest.raises(ConfigError, match=rf"`model.{key}` is {value}, but it must be at least 1"):
        build(**{key: value})


class Features(TorchModelV2):
    def __init__(self, obs_space, action_space, num_outputs, model_config, name, width=9):
        super().__init__(obs_space, action_space, num_outputs, model_config, name)
        self.layer = nn.Linear(4, num_outputs or width)
        self.num_outputs = num_outputs or width

    def forward(self, input_dict, state, seq_lens):
        return self.layer(input_dict["obs_flat"]), state


class Forgetful(Features):
    def __init__(self, obs_space, action_space, num_outputs, model_config, name):
        super().__init__(obs_space, action_space, num_outputs, model_config, name)
        self.num_outputs = num_outputs


class Remembering(Features):
    def get_initial_state(self):
        return [torch.zeros(3)]


@pytest.mark.spec(83)
@pytest.mark.parametrize("kind", KINDS)
def test_custom_models_beneath(kind):
    model = build(custom_model=Features, custom_model_config={"width": 8}, **{kind: True})
    assert type(model.base) is Features
    assert model.rnn.input_size == 8
    with pytest.raises(ModelError, match=rf"Forgetful.num_outputs is None .*Under `{kind}` a custom model is built"):
        build(custom_model=Forgetful, **{kind: True})
    with pytest.raises(ModelError, match="Remembering has a state of its own"):
        build(custom_model=Remembering, **{kind: True})


class Doubling(RecurrentNetwork):
    def forward_rnn(self, inputs, state, seq_lens):
        self.given = inputs
        return inputs[..., :2] * 2, state


@pytest.mark.spec(90, 103, 104)
def test_recurrent_networks_flatten_what_they_return():
    obs = draw(6, 4)
    for time_major, shape in ((False, (2, 3, 4)), (True, (3, 2, 4))):
        model = Doubling(OBS, ACTIONS, 2, {**MODEL_DEFAULTS, "_time_major": time_major}, "double")
        output, _ = model({"obs": obs}, [torch.zeros(2, 1)], torch.tensor([3, 2]))
        assert tuple(model.given.shape) == shape
        wanted = obs.reshape(2, 3, 4).transpose(0, 1).reshape(6, 4) if time_major else obs
        torch.testing.assert_close(output, wanted[:, :2] * 2)
    with pytest.raises(NotImplementedError, match="forward_rnn"):
        RecurrentNetwork(OBS, ACTIONS, 2, MODEL_DEFAULTS, "bare")({"obs": obs}, [torch.zeros(6, 1)], torch.ones(6))
