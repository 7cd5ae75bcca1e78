"""GTrXL in models: what is remembered, what is seen of it, and what the wrapper adds."""

from contextlib import closing

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete, Tuple
from torch import nn

from anyspace import PPO
from anyspace.errors import ConfigError, ModelError, UnsupportedSpaceError
from anyspace.models import FullyConnectedNetwork, ModelCatalog, TorchModelV2
from anyspace.models.gtrxl import GTrXLSizes
from anyspace.models.torch.attention import AttentionWrapper, GTrXLNet
from anyspace.models.view_requirement import ViewRequirement
from tests.support.torch_nets import draw, shuffled

BOX, FOUR = Box(-1, 1, (4,)), Discrete(4)
SMALL = {
    "fcnet_hiddens": [5],
    "attention_dim": 6,
    "attention_head_dim": 3,
    "attention_memory_inference": 3,
    "attention_memory_training": 3,
    "attention_position_wise_mlp_dim": 4,
}


def wrapper(num_outputs=4, action_space=FOUR, obs_space=BOX, **config):
    keys = {**SMALL, "use_attention": True, **config}
    return ModelCatalog.get_model_v2(obs_space, action_space, num_outputs, keys, name="net")


def first_state(model, rows):
    """Return the state of episodes that begin, as the model's views show it."""
    memory = model.gtrxl.sizes.memory
    *blocks, counter = model.get_initial_state()
    return [*(block.expand(rows, memory, -1) for block in blocks), counter.expand(rows, 1)]


# ------------------------------------------------------------------------------------------ stand-alone


@pytest.mark.spec(111)
def test_gtrxl_stands_alone_as_a_custom_model():
    sizes = {"attention_dim": 6, "memory_inference": 3, "memory_training": 2, "init_gru_gate_bias": 0.5}
    model = ModelCatalog.get_model_v2(BOX, FOUR, 4, {"custom_model": GTrXLNet, "custom_model_config": sizes})
    assert type(model) is GTrXLNet
    assert model.gtrxl.sizes == GTrXLSizes(**sizes)
    assert model.gtrxl.blocks[0].mlp_gate.bias.tolist() == [0.5] * 6
    assert [state.tolist() for state in model.get_initial_state()] == [[0] * 6, [0]]
    assert model.view_requirements == {
        "obs": ViewRequirement(space=BOX),
        "state_in_0": ViewRequirement("state_out_0", space=Box(-np.inf, np.inf, (6,)), shift="-3:-1"),
        "state_in_1": ViewRequirement("state_out_1", space=Box(-np.inf, np.inf, (1,)), shift=-1),
    }
    shuffled(model)
    state = [draw(2, 3, 6), torch.ones(2, 1)]
    out, state_out = model({"obs": 9 * draw(8, 4)}, state, torch.tensor([4, 3]))
    assert out.shape == (8, 4)
    assert (out < 0).any()
    torch.testing.assert_close(out, model.logits(model._remembered))
    torch.testing.assert_close(model.value_function(), model.value_head(model._remembered)[:, 0])
    assert [tuple(column.shape) for column in state_out] == [(8, 6), (8, 1)]
    assert state_out[1][:, 0].tolist() == [2, 3, 4, 5, 2, 3, 4, 5]


@pytest.mark.spec(111)
def test_gtrxl_trains_as_a_custom_model():
    sizes = {"attention_dim": 6, "memory_inference": 3, "memory_training": 3, "num_transformer_units": 2}
    model = {"custom_model": GTrXLNet, "custom_model_config": sizes, "fcnet_hiddens": []}
    settings = {"train_batch_size": 64, "minibatch_size": 64, "num_epochs": 1, "seed": 0, "model": model}
    with closing(PPO("CartPole-v1", config=settings, preset="none")) as algorithm:
        before = algorithm.policy.runtime.parameters(algorithm.policy.model)
        result = algorithm.train()
        after = algorithm.policy.runtime.parameters(algorithm.policy.model)
    assert result["learner"]["ratio_error"] < 1e-5
    assert all((before[name] != after[name]).any() for name in before)


@pytest.mark.spec(111)
def test_its_defaults_are_those_of_rllib():
    model = GTrXLNet(BOX, FOUR, 4, {})
    assert model.gtrxl.sizes == GTrXLSizes(1, 64, 2, 50, 50, 32, 32, 2.0)
    assert model.view_requirements["state_in_0"].shift == "-50:-1"
    assert model.view_requirements["state_in_0"].space.shape == (64,)


@pytest.mark.parametrize("num_outputs", [None, 0])
def test_without_outputs_the_features_come_out(num_outputs):
    for model, width in ((GTrXLNet(BOX, FOUR, num_outputs, {}), 64), (wrapper(num_outputs), 6)):
        out, _ = model({"obs": draw(3, 4)}, first_state(model, 3))
        assert (model.num_outputs, model.logits, out.shape) == (width, None, (3, width))
        assert model.value_function().shape == (3,)


@pytest.mark.parametrize("shape", [(), (2, 3)])
def test_any_array_is_read_as_flat_floats(shape):
    model = GTrXLNet(Box(0, 9, shape), FOUR, 4, {})
    state = first_state(model, 2)
    out, _ = model({"obs_flat": torch.ones(2, *shape, dtype=torch.uint8), "obs": None}, state)
    assert (out.shape, out.dtype) == ((2, 4), torch.float32)


def test_observations_of_several_arrays_are_refused():
    with pytest.raises(UnsupportedSpaceError, match="takes observations that are one array, not Dict"):
        GTrXLNet(Dict(a=BOX), FOUR, 4, {})


@pytest.mark.parametrize("build", [wrapper, lambda: GTrXLNet(BOX, FOUR, 4, {})])
def test_a_state_that_is_none_of_its_own_is_refused(build):
    model = build()
    with pytest.raises(AssertionError, match="refers to the latest forward pass; there is none"):
        model.value_function()
    with pytest.raises(ModelError, match=r"a state of 2 arrays .* but 0 came. Begin with get_initial_state"):
        model({"obs": draw(2, 4)})


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"attention_dim": 0}, "`attention_dim` is 0, but a GTrXL needs at least 1"),
        ({"num_heads": -1}, "`num_heads` is -1"),
        ({"num_transformer_units": 0}, "`num_transformer_units` is 0"),
        ({"memory_training": -1}, "`memory_training` is -1, but a GTrXL needs at least 0"),
        ({"memory_training": 0, "memory_inference": 0}, "`attention_memory_training` of `use_attention`\\) are both 0"),
    ],
)
def test_impossible_sizes_are_refused_when_built(sizes, message):
    with pytest.raises(ConfigError, match=message):
        GTrXLNet(BOX, FOUR, 4, {}, "net", **sizes)


# ---------------------------------------------------------------------------------------------- wrapper


@pytest.mark.spec(79)
def test_the_default_wrapper_has_the_known_number_of_parameters():
    model = ModelCatalog.get_model_v2(BOX, FOUR, 4, {"use_attention": True})
    assert type(model) is AttentionWrapper
    # The base's own value is not asked for; RLlib's wrapper had it replaced.
    counted = [value.numel() for name, value in model.named_parameters() if not name.startswith("base.value_head")]
    assert sum(counted) == 147_781


@pytest.mark.parametrize("time_major", [False, True])
def test_the_wrapper_is_base_memory_and_heads_in_a_row(time_major):
    model = shuffled(wrapper(attention_use_n_prev_actions=2, attention_use_n_prev_rewards=1, _time_major=time_major))
    inputs = {
        "obs": draw(6, 4),
        "prev_actions": torch.tensor([[0, 1], [2, 3], [1, 1], [3, 0], [2, 0], [1, 2]]),
        "prev_rewards": draw(6),
    }
    state = [draw(2, 3, 6), torch.tensor([[1.0], [5.0]])]
    out, state_out = model(inputs, state, torch.tensor([3, 2]))
    features = torch.cat(
        [
            model.base.encoder(inputs["obs"]),
            nn.functional.one_hot(inputs["prev_actions"], 4).flatten(1),
            inputs["prev_rewards"][:, None],
        ],
        dim=1,
    )
    expected, expected_state = model.gtrxl(features, state, torch.tensor([3, 2]), time_major=time_major)
    torch.testing.assert_close(out, model.logits(expected))
    torch.testing.assert_close(model.value_function(), model.value_head(expected)[:, 0])
    torch.testing.assert_close(state_out, expected_state)
    for head in (model.logits, model.value_head):
        fresh = getattr(wrapper(), "logits" if head is model.logits else "value_head")
        assert not fresh.bias.any()
        assert 0 < fresh.weight.abs().max() <= (6 / sum(fresh.weight.shape)) ** 0.5


def test_gradient_steps_use_the_memory_of_training():
    model = shuffled(wrapper(attention_memory_training=1))
    state = [draw(2, 3, 6), torch.full((2, 1), 3.0)]
    changed = [state[0].clone(), state[1]]
    changed[0][:, :2] += draw(2, 2, 6, seed=1)
    for training in (False, True):
        inputs = {"obs": draw(2, 4), "is_training": training}
        same = torch.equal(model(inputs, state)[0], model(inputs, changed)[0])
        assert same == training


@pytest.mark.spec(81)
@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize(
    ("space", "width"),
    [
        (FOUR, 4),
        (MultiDiscrete([3, 2]), 5),
        (Box(-1, 1, (3,)), 3),
        (Tuple((Discrete(2), Dict(a=MultiDiscrete([2, 3]), b=BOX))), 2 + 5 + 4),
    ],
)
@pytest.mark.parametrize(("n", "m"), [(0, 0), (1, 0), (0, 1), (3, 2)])
def test_previous_actions_and_rewards_widen_the_input(space, width, n, m, nested):
    model = wrapper(
        action_space=space,
        attention_use_n_prev_actions=n,
        attention_use_n_prev_rewards=m,
        _disable_action_flattening=nested,
    )
    assert model.gtrxl.embedding.in_features == 5 + n * width + m
    assert {"prev_actions", "prev_rewards"} & set(model.view_requirements) == set(
        ["prev_actions"] * bool(n) + ["prev_rewards"] * bool(m)
    )
    if n:
        assert model.view_requirements["prev_actions"].lookback == n
    if m:
        assert model.view_requirements["prev_rewards"].lookback == m


class Features(TorchModelV2, nn.Module):
    """A custom model as `use_attention` wants it, with a view, a loss and metrics of its own."""

    def __init__(self, obs_space, action_space, num_outputs, model_config, name, **extras):
        TorchModelV2.__init__(self, obs_space, action_space, num_outputs, model_config, name)
        nn.Module.__init__(self)
        assert num_outputs is None
        assert not model_config["use_attention"]
        self.num_outputs = 3
        self.layer = nn.Linear(4 + 2, 3)
        self.extras = extras
        self.view_requirements["earlier"] = ViewRequirement("rewards", shift="-2:-1")

    def forward(self, input_dict, state, seq_lens):
        assert state == []
        return self.layer(torch.cat([input_dict["obs_flat"], input_dict["earlier"]], dim=1)), state

    def custom_loss(self, policy_loss, loss_inputs):
        return [loss + loss_inputs["extra"] for loss in policy_loss]

    def metrics(self):
        return {"three": 3.0}


@pytest.mark.spec(83)
def test_a_custom_model_gets_a_memory_on_top():
    model = wrapper(custom_model=Features, custom_model_config={"more": 1}, use_attention=True)
    assert (type(model.base), model.base.extras) == (Features, {"more": 1})
    assert model.gtrxl.embedding.in_features == 3
    assert list(model.view_requirements) == ["obs", "earlier", "state_in_0", "state_in_1"]
    state = first_state(model, 2)
    out, _ = model({"obs": draw(2, 4), "earlier": draw(2, 2)}, state)
    assert out.shape == (2, 4)
    out.sum().backward()
    assert model.base.layer.weight.grad.any()
    assert model.metrics() == {"three": 3.0}
    assert model.custom_loss([1.0, 2.0], {"extra": 10.0}) == [11.0, 12.0]


@pytest.mark.spec(84)
def test_a_base_with_post_layers_is_as_wide_as_its_last():
    model = wrapper(post_fcnet_hiddens=[7], vf_share_layers=False)
    assert model.gtrxl.embedding.in_features == 7
    assert model.base.value_encoder is None
    state = first_state(model, 2)
    assert model({"obs": draw(2, 4)}, state)[0].shape == (2, 4)


class Forgetful(Features):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.num_outputs = None


class Needing(FullyConnectedNetwork):
    def __init__(self, obs_space, action_space, num_outputs, model_config, name):
        super().__init__(obs_space, action_space, num_outputs, model_config, name)
        self.out = nn.Linear(3, num_outputs)


class Remembering(Features):
    def get_initial_state(self):
        return [torch.zeros(2)]


class Greedy(Features):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.view_requirements["prev_rewards"] = ViewRequirement("rewards", shift="-9:-1")


class Boasting(Features):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.num_outputs = 8


@pytest.mark.parametrize(
    ("base", "message"),
    [
        (Forgetful, r"Forgetful.num_outputs is None .* `use_attention` .* num_outputs=None, .* set `self.num_outputs`"),
        (
            Needing,
            r"(?s)Needing.* cannot be built: .* `use_attention` .* num_outputs=None, .* set `self.num_outputs`",
        ),
        (Remembering, r"Remembering has a state of its own .* Switch `use_attention` off"),
        (Greedy, r"Greedy.view_requirements\['prev_rewards'\] is .* another name"),
    ],
)
def test_bases_that_do_not_fit_are_refused_when_built(base, message):
    with pytest.raises(ModelError, match=message):
        wrapper(custom_model=base, attention_use_n_prev_rewards=1)


def test_a_base_that_is_not_as_wide_as_it_says_is_named():
    model = wrapper(custom_model=Boasting)
    state = first_state(model, 2)
    with pytest.raises(ModelError, match=r"Boasting.forward\(\) gave features of shape \(2, 3\), .* \[N, 8\]"):
        model({"obs": draw(2, 4), "earlier": draw(2, 2)}, state)
