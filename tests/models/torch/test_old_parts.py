"""Sub-classes of built-in networks, as old model files write them: what they read, set and override has its effect."""

from __future__ import annotations

import copy
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete
from torch import nn

from anyspace import PPO
from anyspace.errors import ModelError
from anyspace.models import InputDict, ModelCatalog
from anyspace.models.torch.twins import Twins
from anyspace.rllib.models.torch.attention_net import GTrXLNet
from anyspace.rllib.models.torch.complex_input_net import ComplexInputNetwork
from anyspace.rllib.models.torch.fcnet import FullyConnectedNetwork
from anyspace.rllib.models.torch.misc import SlimConv2d, SlimFC, normc_initializer
from anyspace.rllib.models.torch.torch_modelv2 import TorchModelV2
from anyspace.rllib.models.torch.visionnet import VisionNetwork
from anyspace.spaces import get_preprocessor

VECTOR = Box(-1.0, 1.0, (3,))
PICTURE = Box(0, 255, (10, 10, 3), np.uint8)
FOUR = Discrete(4)
SMALL = {"fcnet_hiddens": [8, 6], "vf_share_layers": True}
SEPARATE = {**SMALL, "vf_share_layers": False}


def rows(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn((5, *shape), generator=torch.Generator().manual_seed(seed))


def pixels(seed: int = 0) -> torch.Tensor:
    return torch.rand((5, 10, 10, 3), generator=torch.Generator().manual_seed(seed))


def build(kind: type, space: Any, config: dict[str, Any], outputs: int | None = 4, **more: Any) -> Any:
    torch.manual_seed(0)
    return kind(space, FOUR, outputs, config, "old", **more)


# ------------------------------------------------------------------------------------- dense networks


@pytest.mark.parametrize("config", [SMALL, SEPARATE])
def test_dense_parts_are_the_layers_that_compute(config: dict[str, Any]) -> None:
    net = build(FullyConnectedNetwork, VECTOR, config)
    x = rows(3)
    logits, _ = net({"obs": x})
    first, second = net._hidden_layers
    assert isinstance(first, SlimFC)
    assert first._model[0] is net.encoder[0]
    hidden = torch.tanh(x @ first._model[0].weight.T + first._model[0].bias)
    hidden = torch.tanh(hidden @ second._model[0].weight.T + second._model[0].bias)
    torch.testing.assert_close(net._hidden_layers(x), hidden)
    torch.testing.assert_close(net._features, hidden)
    assert torch.equal(net._last_flat_in, x)
    torch.testing.assert_close(net._logits(net._features), logits)
    if net.vf_share_layers:
        assert net._value_branch_separate is None
        value = net._value_branch(net._features)
    else:
        value = net._value_branch(net._value_branch_separate(net._last_flat_in))
    torch.testing.assert_close(value.squeeze(1), net.value_function())
    net._logits._model[0].weight.data.zero_()
    assert torch.equal(net({"obs": x})[0], net.logits.bias.expand(5, 4))
    assert len(net._hidden_layers) == 2
    shorter = nn.Sequential(*list(net._hidden_layers)[:-1])
    torch.testing.assert_close(shorter(x), net._hidden_layers[0](x))
    other = copy.deepcopy(build(FullyConnectedNetwork, VECTOR, config))
    assert other._hidden_layers[0]._model[0] is other.encoder[0]


class CopiedForward(FullyConnectedNetwork):
    """The old body of ``forward``, with one line more."""

    def forward(self, input_dict: Any, state: Any, seq_lens: Any) -> Any:
        obs = input_dict["obs_flat"].float()
        self._last_flat_in = obs.reshape(obs.shape[0], -1) * 2.0
        self._features = self._hidden_layers(self._last_flat_in)
        logits = self._logits(self._features) if self._logits else self._features
        if self.free_log_std:
            logits = self._append_free_log_std(logits)
        return logits, state


@pytest.mark.parametrize("config", [SMALL, SEPARATE, {**SMALL, "free_log_std": True}])
def test_a_copied_forward_is_what_the_value_sees(config: dict[str, Any]) -> None:
    mine, reference = build(CopiedForward, VECTOR, config), build(FullyConnectedNetwork, VECTOR, config)
    x = rows(3)
    torch.testing.assert_close(mine({"obs": x})[0], reference({"obs": 2 * x})[0])
    torch.testing.assert_close(mine.value_function(), reference.value_function())
    assert Twins().of(mine) is None


class OtherHeads(FullyConnectedNetwork):
    """Parts of other widths, put in the place of the built-in ones after they were built."""

    def __init__(self, obs_space: Any, action_space: Any, num_outputs: Any, model_config: Any, name: str):
        super().__init__(obs_space, action_space, num_outputs, model_config, name)
        self._hidden_layers = nn.Sequential(*self._hidden_layers, SlimFC(6, 5, activation_fn="relu"))
        self._logits = SlimFC(5, num_outputs, initializer=normc_initializer(1.0))
        self._value_branch = SlimFC(5, 1)


def test_replaced_dense_parts_compute_and_learn() -> None:
    net, x = build(OtherHeads, VECTOR, SMALL), rows(3)
    logits, _ = net({"obs": x})
    hidden = torch.relu(net._hidden_layers[2]._model[0](net._hidden_layers[1](net._hidden_layers[0](x))))
    torch.testing.assert_close(logits, net._logits._model[0](hidden))
    torch.testing.assert_close(net.value_function(), net._value_branch(hidden).squeeze(1))
    (logits.sum() + net.value_function().sum()).backward()
    assert all(parameter.grad is not None for parameter in net.parameters())
    assert {name.split(".")[0] for name, _ in net.named_parameters()} == {"encoder", "logits", "value_head"}


def test_views_refuse_what_would_have_no_effect() -> None:
    net = build(FullyConnectedNetwork, VECTOR, SMALL)
    view = net._hidden_layers
    for change in (
        lambda: view.append(nn.ReLU()),
        lambda: view.insert(0, nn.ReLU()),
        lambda: view.__setitem__(0, nn.ReLU()),
        lambda: view.__delitem__(0),
        lambda: view.register_forward_hook(print),
        lambda: setattr(view[0], "_model", nn.Identity()),
        lambda: view[0]._model.append(nn.ReLU()),
    ):
        with pytest.raises(ModelError, match=r"Assign a whole part"):
            change()


def test_a_module_of_ones_own_under_the_name_of_a_part_is_refused() -> None:
    class Clash(FullyConnectedNetwork):
        def __init__(self, *args: Any):
            super().__init__(*args)
            self.encoder = nn.Linear(3, 3)

    with pytest.raises(ModelError, match=r"Clash.encoder: .* assign `self._hidden_layers`; for a module of your own"):
        build(Clash, VECTOR, SMALL)

    class Method(FullyConnectedNetwork):
        def _logits(self, x: Any) -> Any:
            return x

    with pytest.raises(ModelError, match=r"Method._logits is defined in the class"):
        build(Method, VECTOR, SMALL)


# -------------------------------------------------------------------------------------------- pictures


def convolved(net: Any, x: torch.Tensor) -> torch.Tensor:
    """The default stack for 10 x 10 pixels by PyTorch's own functions, from the weights as `_convs` shows them."""
    first, second = (unit._model[0] if len(unit._model) == 2 else unit for unit in net._convs[:2])
    x = nn.functional.pad(x.permute(0, 3, 1, 2), (1, 2, 1, 2))
    x = torch.relu(nn.functional.conv2d(x, first.weight, first.bias, stride=2))
    return torch.relu(nn.functional.conv2d(x, second.weight, second.bias, stride=2))


@pytest.mark.parametrize("share", [True, False])
def test_vision_parts_take_pictures_with_channels_first(share: bool) -> None:
    net, x = build(VisionNetwork, PICTURE, {"vf_share_layers": share}), pixels()
    logits, _ = net({"obs": x})
    wanted = convolved(net, x)
    torch.testing.assert_close(net._convs(x.permute(0, 3, 1, 2)), wanted)
    assert wanted.shape == (5, 32, 1, 1)
    torch.testing.assert_close(net._logits(wanted).squeeze(3).squeeze(2), logits)
    if share:
        torch.testing.assert_close(net._features, wanted)
        value = net._value_branch(net._features.squeeze(3).squeeze(2)).squeeze(1)
        assert net._value_branch_separate is None
    else:
        torch.testing.assert_close(net._features, x.permute(0, 3, 1, 2))
        value = net._value_branch_separate(net._features).squeeze(3).squeeze(2).squeeze(1)
        assert net._value_branch is None
    torch.testing.assert_close(value, net.value_function())
    torch.testing.assert_close(net._hidden_layers(x), wanted.flatten(1))
    torch.nn.init.zeros_(net._convs[0]._model[0].weight)
    torch.testing.assert_close(net({"obs": x})[0], net({"obs": x * 0})[0])


@pytest.mark.parametrize("config", [{"post_fcnet_hiddens": [7]}, {"post_fcnet_hiddens": []}])
@pytest.mark.parametrize("outputs", [None, 4])
def test_vision_parts_with_dense_layers_and_as_features(config: dict[str, Any], outputs: int | None) -> None:
    net, x = build(VisionNetwork, PICTURE, config, outputs), pixels()
    output, _ = net({"obs": x})
    features = net._convs(x.permute(0, 3, 1, 2))
    torch.testing.assert_close(features.flatten(1) if outputs is None else net._logits(features).flatten(1), output)


class CopiedVision(VisionNetwork):
    """The old body of ``forward``, on brighter pictures."""

    def forward(self, input_dict: Any, state: Any, seq_lens: Any) -> Any:
        self._features = input_dict["obs"].float() * 2.0
        self._features = self._features.permute(0, 3, 1, 2)
        conv_out = self._convs(self._features)
        if not self._value_branch_separate:
            self._features = conv_out
        conv_out = self._logits(conv_out)
        return conv_out.squeeze(3).squeeze(2), state


class OtherConvolutions(VisionNetwork):
    """Convolutions and heads of its own, in the old layout."""

    def __init__(self, *args: Any):
        super().__init__(*args)
        self._convs = nn.Sequential(SlimConv2d(3, 9, [10, 10], 1, None), nn.Dropout(0.0))
        self._logits = SlimConv2d(9, 4, [1, 1], 1, None, activation_fn=None)
        self._value_branch = SlimFC(9, 1)


@pytest.mark.parametrize("share", [True, False])
def test_a_copied_vision_forward_is_what_the_value_sees(share: bool) -> None:
    config = {"vf_share_layers": share}
    mine, reference = build(CopiedVision, PICTURE, config), build(VisionNetwork, PICTURE, config)
    x = pixels()
    torch.testing.assert_close(mine({"obs": x})[0], reference({"obs": 2 * x})[0])
    torch.testing.assert_close(mine.value_function(), reference.value_function())


def test_replaced_convolutions_compute_and_learn() -> None:
    net, x = build(OtherConvolutions, PICTURE, {}), pixels()
    logits, _ = net({"obs": x})
    hidden = net._convs(x.permute(0, 3, 1, 2))
    torch.testing.assert_close(logits, net._logits(hidden).flatten(1))
    torch.testing.assert_close(net.value_function(), net._value_branch(hidden.flatten(1)).squeeze(1))
    (logits.sum() + net.value_function().sum()).backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


def test_a_replaced_value_encoder_of_pictures() -> None:
    net, x = build(VisionNetwork, PICTURE, {"vf_share_layers": False}), pixels()
    net._value_branch_separate = nn.Sequential(SlimConv2d(3, 1, [10, 10], 1, None, activation_fn=None))
    net({"obs": x})
    torch.testing.assert_close(net.value_function(), net._value_branch_separate(x.permute(0, 3, 1, 2)).flatten())


# --------------------------------------------------------------------------------------- several parts

PARTS = Dict(a=PICTURE, b=Discrete(3), c=VECTOR, d=MultiDiscrete([2, 2]))


def several(kind: type = ComplexInputNetwork, **config: Any) -> Any:
    space = get_preprocessor(PARTS).observation_space
    return build(kind, space, {"fcnet_hiddens": [6], "post_fcnet_hiddens": [7], **config})


def test_components_are_called_like_models() -> None:
    net = several(vf_share_layers=True)
    obs = {"a": pixels(), "b": torch.eye(3)[[0, 1, 2, 0, 1]], "c": rows(3), "d": torch.ones(5, 4)}
    logits, _ = net({"obs": obs})
    assert ([*net.cnns], [*net.one_hot], [*net.flatten]) == (["0"], ["1", "3"], ["2"])
    assert 0 in net.cnns
    assert "1" not in net.cnns
    with pytest.raises(KeyError):
        net.cnns[1]
    assert [space.shape for space in net.flattened_input_space] == [(10, 10, 3), (), (3,), (2,)]
    outs = [
        net.cnns["0"]({"obs": obs["a"]})[0],
        net.one_hot[1]({"obs": obs["b"]})[0],
        net.flatten[2]({"obs": obs["c"]})[0],
        net.one_hot[3]({"obs": obs["d"]})[0],
    ]
    assert [out.shape[1] for out in outs] == [
        part.num_outputs for part in (net.cnns[0], net.one_hot[1], net.flatten[2], net.one_hot[3])
    ]
    out, _ = net.post_fc_stack({"obs": torch.cat(outs, dim=1)})
    assert out.shape[1] == net.post_fc_stack.num_outputs == 7
    torch.testing.assert_close(net.logits_layer(out), logits)
    torch.testing.assert_close(net.value_layer(out).squeeze(1), net.value_function())
    torch.testing.assert_close(net._value_out, net.value_function())
    with pytest.raises(ModelError, match=r"ComplexInputNetwork has no `cnns`|cannot be exchanged one by one"):
        net.cnns[0] = nn.Identity()
    with pytest.raises(ModelError, match="cannot be exchanged"):
        net.flatten = {}


class OtherStack(ComplexInputNetwork):
    """Another stack on all components, for policy and value, and heads for it."""

    def __init__(self, *args: Any):
        super().__init__(*args)
        width = sum(part.num_outputs for parts in (self.cnns, self.one_hot, self.flatten) for part in parts.values())
        self.post_fc_stack = FullyConnectedNetwork(
            Box(-np.inf, np.inf, (width,)), FOUR, None, {"fcnet_hiddens": [9, 5]}, "post"
        )
        self.logits_layer, self.value_layer = SlimFC(5, 4), SlimFC(5, 1)


@pytest.mark.parametrize("share", [True, False])
def test_a_replaced_stack_is_for_policy_and_value(share: bool) -> None:
    net = several(OtherStack, vf_share_layers=share)
    obs = {"a": pixels(), "b": torch.eye(3)[[0, 1, 2, 0, 1]], "c": rows(3), "d": torch.ones(5, 4)}
    logits, _ = net({"obs": obs})
    out = net.post_fc_stack._features
    torch.testing.assert_close(net.logits_layer(out), logits)
    torch.testing.assert_close(net.value_layer(out).squeeze(1), net.value_function())


# --------------------------------------------------------------------------------------------- memories


def lstm(**config: Any) -> Any:
    torch.manual_seed(0)
    settings = {**SMALL, "use_lstm": True, "lstm_cell_size": 7, **config}
    return ModelCatalog.get_model_v2(VECTOR, FOUR, 4, settings)


def test_parts_of_the_lstm() -> None:
    net, x, lens = lstm(), rows(3), torch.tensor([3, 2])
    state = [torch.zeros(2, 7), torch.zeros(2, 7)]
    padded = torch.cat([x, torch.zeros(1, 3)])
    logits, _ = net({"obs": padded}, state, lens)
    assert net.cell_size == 7
    assert isinstance(net.lstm, nn.LSTM)
    output, _ = net.lstm(net.base({"obs": x[:3]})[0][:, None])
    torch.testing.assert_close(net._logits_branch(output[:, 0]), logits[:3])
    torch.testing.assert_close(net._value_branch(net._features).flatten(), net.value_function())


class Doubling(nn.Module):
    """Called like an LSTM, with the batch first: its output is twice its input, its states count steps."""

    batch_first = True

    def forward(self, x: torch.Tensor, state: Any) -> Any:
        return 2 * x, tuple(part + x.shape[1] for part in state)


@pytest.mark.parametrize("kind", ["hooked", "derived", "own"])
def test_a_memory_that_took_the_place_of_the_lstm_is_called(kind: str) -> None:
    net, plain = lstm(lstm_cell_size=6), lstm(lstm_cell_size=6)
    calls: list[Any] = []
    if kind == "hooked":
        net.lstm.register_forward_hook(lambda *_: calls.append(1))
    elif kind == "derived":

        class Derived(nn.LSTM):
            def forward(self, *args: Any) -> Any:
                calls.append(1)
                return super().forward(*args)

        net.lstm = Derived(6, 6, batch_first=True)
        net.lstm.load_state_dict(plain.lstm.state_dict())
    else:
        net.lstm = Doubling()
    assert Twins().of(net) is None
    state = [torch.ones(5, 6), torch.ones(5, 6)]
    for lens in (torch.ones(5), torch.tensor([2, 2, 1])):
        rows_in = rows(3) if len(lens) == 5 else torch.cat([rows(3), torch.zeros(1, 3)])
        before = [part[: len(lens)] for part in state]
        logits, after = net({"obs": rows_in}, before, lens)
        if kind == "own":
            assert torch.equal(after[0], before[0] + len(rows_in) // len(lens))
            torch.testing.assert_close(logits, net.logits(2 * net.base({"obs": rows_in})[0]))
        else:
            assert calls
            wanted, states = plain({"obs": rows_in}, before, lens)
            torch.testing.assert_close(logits[:5], wanted[:5])
            torch.testing.assert_close(after[0][:2], states[0][:2])


class OldGTrXL(GTrXLNet):
    """Reads its sizes, and puts another first layer in."""

    def __init__(self, *args: Any, **sizes: Any):
        super().__init__(*args, **sizes)
        self.linear_layer = SlimFC(self.obs_dim, self.attention_dim, activation_fn="relu")


def test_parts_of_gtrxl() -> None:
    net = build(OldGTrXL, VECTOR, {}, attention_dim=8, num_heads=2, head_dim=3, memory_inference=4, memory_training=4)
    assert (net.attention_dim, net.num_heads, net.head_dim, net.num_transformer_units) == (8, 2, 3, 1)
    assert isinstance(net.linear_layer, SlimFC)
    logits, _ = net({"obs": rows(3)}, [torch.zeros(5, 4, 8), torch.zeros(5, 1)], torch.ones(5))
    assert logits.shape == (5, 4)
    torch.testing.assert_close(net.values_out(net._features).flatten(), net.value_function())
    with pytest.raises(ModelError, match=r"GTrXLNet has no `attention_layers`. Its layers are `self.gtrxl.blocks`"):
        _ = net.attention_layers
    with pytest.raises(ModelError, match="GTrXLNet has no `layers`"):
        net.layers = []


# ------------------------------------------------------------------------------------------- twins


def test_a_twin_never_acts_for_a_changed_network() -> None:
    changes = {
        "hook": lambda net: net.logits.register_forward_hook(lambda *_: None),
        "pre-hook": lambda net: net.encoder.register_forward_pre_hook(lambda *_: None),
        "weight norm": lambda net: nn.utils.weight_norm(net.logits),
        "parametrized": lambda net: nn.utils.parametrizations.weight_norm(net.logits),
        "spectral norm": lambda net: nn.utils.parametrizations.spectral_norm(net.encoder[0]),
        "forward": lambda net: setattr(net, "forward", net.forward),
        "module": lambda net: net.encoder.__setitem__(1, nn.Sigmoid()),
        "part": lambda net: setattr(net, "_logits", SlimFC(6, 4)),
        "stack": lambda net: setattr(net, "_hidden_layers", nn.Sequential(nn.Linear(3, 6))),
    }
    for name, change in changes.items():
        net = build(FullyConnectedNetwork, VECTOR, SMALL)
        assert Twins().of(net) is not None
        with pytest.warns(FutureWarning) if name == "weight norm" else np.errstate():
            change(net)
        assert Twins().of(net) is None, name


def test_swapped_layers_of_the_same_kind_act_by_the_twin_with_their_own_weights() -> None:
    net = build(FullyConnectedNetwork, VECTOR, SMALL)
    net.logits = nn.Linear(6, 4)
    net.encoder[0].requires_grad_(False)
    twin, x = Twins().of(net), rows(3)
    assert twin is not None
    acted, _ = twin(InputDict({"obs_flat": x.numpy()}), [])
    np.testing.assert_allclose(acted, net({"obs": x})[0].detach().numpy(), rtol=1e-5, atol=1e-6)


class Tower(TorchModelV2, nn.Module):
    """Keeps statistics of a loss, as old losses do."""

    def __init__(self, *args: Any):
        TorchModelV2.__init__(self, *args)
        nn.Module.__init__(self)
        self.layer = nn.Linear(3, 4)


def test_tower_stats() -> None:
    net = build(Tower, VECTOR, {})
    net.tower_stats["mean_vf_loss"] = 1.0
    assert net.tower_stats == {"mean_vf_loss": 1.0}


def test_weights_that_are_never_called_take_no_hooks() -> None:
    net = build(GTrXLNet, VECTOR, {}, attention_dim=8, num_heads=2, head_dim=3)
    block = net.gtrxl.blocks[0]
    for layer in (block.attention.query_key_value, block.mlp_gate.of_skip):
        with pytest.raises(ModelError, match="a hook on it would never run"):
            layer.register_forward_hook(lambda *_: None)
    assert Twins().of(net) is not None
    block.attention.output.register_forward_hook(lambda *_: None)
    assert Twins().of(net) is None


def test_layers_are_found_by_their_kind() -> None:
    def zero(module: nn.Module) -> None:
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.zeros_(module.weight)

    net, x = build(VisionNetwork, PICTURE, {}), pixels()
    net.apply(zero)
    assert "Convolution(3, 16, kernel_size=(5, 5), stride=(2, 2)" in repr(net)
    assert torch.equal(net({"obs": x})[0], torch.zeros(5, 4))


class Sampled(gym.Env[Any, Any]):
    """Random observations, episodes of five steps."""

    action_space = FOUR

    def __init__(self, space: Any):
        self.observation_space = copy.deepcopy(space)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        self.t = 0
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> Any:
        self.t += 1
        return self.observation_space.sample(), float(action), self.t == 5, False, {}


@pytest.mark.parametrize(
    ("kind", "space", "share"),
    [
        (CopiedForward, VECTOR, False),
        (OtherHeads, VECTOR, True),
        (CopiedVision, PICTURE, False),
        (OtherStack, PARTS, False),
    ],
)
def test_such_models_train_and_take_weights_over(kind: Any, space: Any, share: bool) -> None:
    model = {"custom_model": kind, "fcnet_hiddens": [8, 6], "post_fcnet_hiddens": [7] if space is PARTS else []}
    settings = {"env_config": {"space": space}, "model": {**model, "vf_share_layers": share}}
    settings |= {"train_batch_size": 32, "minibatch_size": 16, "num_epochs": 1}
    algorithm, other = PPO(Sampled, settings, seed=0), PPO(Sampled, settings, seed=1)
    net = algorithm.policy.model
    before = {name: value.clone() for name, value in net.state_dict().items()}
    assert algorithm.train()["learner"]["ratio_error"] < 1e-5
    assert {name for name, value in net.state_dict().items() if not torch.equal(value, before[name])} == set(before)
    other.policy.load_weights(algorithm.policy.weights())
    obs = space.sample()
    assert other.compute_single_action(obs) == algorithm.compute_single_action(obs)
    for one in (algorithm, other):
        one.close()
