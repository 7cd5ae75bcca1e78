"""Layers and distributions with the signatures of the old stack."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete, MultiDiscrete
from torch import nn
from torch.nn import functional

from anyspace._rllib.torch.dists import (
    TorchBeta,
    TorchCategorical,
    TorchDistributionWrapper,
    TorchMultiCategorical,
    TorchSquashedGaussian,
)
from anyspace._rllib.torch.layers import (
    AppendBiasLayer,
    Reshape,
    SlimConv2d,
    SlimFC,
    TorchNoopModel,
    get_activation_fn,
    get_filter_config,
    get_initializer,
    get_initializer_fn,
    normc_initializer,
    same_padding,
    same_padding_transpose_after_stride,
    valid_padding,
)
from anyspace.distributions import Beta, Categorical, MultiCategorical, SquashedGaussian
from anyspace.errors import ConfigError
from tests.support.torch_nets import draw, shuffled

# ----------------------------------------------------------------------------------------------- layers


def test_slim_fc():
    layer = SlimFC(in_size=3, out_size=4, initializer=normc_initializer(0.5), activation_fn="relu", bias_init=0.25)
    linear = layer._model[0]
    torch.testing.assert_close(linear.weight.norm(dim=1), torch.full((4,), 0.5))
    torch.testing.assert_close(linear.bias, torch.full((4,), 0.25))
    x = draw(2, 5, 3)
    torch.testing.assert_close(layer(x), functional.relu(x @ linear.weight.T + 0.25))
    assert list(layer.state_dict()) == ["_model.0.weight", "_model.0.bias"]


def test_slim_fc_without_activation_and_bias():
    torch.manual_seed(0)
    layer = SlimFC(30, 50, use_bias=False)
    assert len(layer._model) == 1
    assert layer._model[0].bias is None
    limit = np.sqrt(6 / 80)
    assert 0.95 * limit < layer._model[0].weight.abs().max() <= limit
    torch.testing.assert_close(
        SlimFC(30, 50, activation_fn=nn.Tanh, bias_init=2.0)(torch.zeros(1, 30)), torch.tanh(torch.full((1, 50), 2.0))
    )


def test_slim_conv2d_pads_convolves_and_activates():
    padding, out_size = same_padding((6, 5), [3, 4], 2)
    layer = shuffled(SlimConv2d(2, 3, [3, 4], 2, padding, activation_fn=None))
    x = draw(7, 2, 6, 5)
    y = layer(x)
    assert y.shape == (7, 3, *out_size)
    convolution = layer._model[1]
    torch.testing.assert_close(
        y, functional.conv2d(functional.pad(x, padding), convolution.weight, convolution.bias, stride=2)
    )
    plain = SlimConv2d(2, 3, 3, (1, 2), None, initializer=nn.init.ones_, bias_init=-1000.0)
    assert [type(part) for part in plain._model] == [nn.Conv2d, nn.ReLU]
    assert (plain._model[0].weight == 1).all()
    assert (plain(x) == 0).all()


@pytest.mark.parametrize(
    ("in_size", "filter_size", "stride_size", "wanted"),
    [
        ((84, 84), [8, 8], 4, ((2, 2, 2, 2), (21, 21))),
        ((10, 5), 3, (1, 2), ((1, 1, 1, 1), (10, 3))),
        ([7, 6], (2, 4), [2, 3], ((0, 1, 0, 1), (4, 2))),
        (5, 1, 4, ((0, 0, 0, 0), (2, 2))),
    ],
)
def test_same_padding(in_size, filter_size, stride_size, wanted):
    assert same_padding(in_size, filter_size, stride_size) == wanted


def test_append_bias_and_reshape():
    layer = AppendBiasLayer(2)
    with torch.no_grad():
        layer.log_std += torch.tensor([1.0, 2.0])
    torch.testing.assert_close(layer(torch.ones(3, 1)), torch.tensor([[1.0, 1.0, 2.0]]).repeat(3, 1))
    assert Reshape([-1, 2, 3])(torch.zeros(4, 6)).shape == (4, 2, 3)


def test_get_activation_fn():
    assert get_activation_fn("ReLU", "torch") is nn.ReLU
    assert get_activation_fn("linear", framework="torch") is None
    with pytest.raises(ConfigError, match="framework is 'tf'"):
        get_activation_fn("relu", framework="tf")


def test_initializers_by_name():
    assert get_initializer("default") is get_initializer(None) is nn.init.xavier_uniform_
    assert get_initializer("xavier_normal", framework="torch") is nn.init.xavier_normal_
    assert get_initializer(nn.init.ones_) is nn.init.ones_
    assert get_initializer_fn("Normal_") is nn.init.normal_
    assert get_initializer_fn(None) is None
    for function, wrong in ((get_initializer, "no"), (get_initializer_fn, "normal"), (get_initializer_fn, "no_")):
        with pytest.raises(ConfigError, match=repr(wrong)):
            function(wrong)


def test_paddings_are_those_of_rllib():
    assert same_padding_transpose_after_stride((13, 13), 4, 2) == ((2, 2, 2, 2), (14, 14))
    assert same_padding_transpose_after_stride((7, 5), (5, 3), (2, 1)) == ((3, 2, 1, 1), (8, 5))
    assert valid_padding((10, 5), 3, (1, 2)) == (8, 2)
    assert valid_padding([7, 6], (2, 4), [2, 3]) == (3, 1)


def test_default_filters_by_shape():
    wanted = [[16, [8, 8], 4], [32, [4, 4], 2], [256, [11, 11], 1]]
    assert get_filter_config((84, 84, 3)) == get_filter_config((3, 84, 84)) == get_filter_config((84, 84)) == wanted
    assert get_filter_config((10, 10, 3)) == [[16, [5, 5], 2], [32, [5, 5], 2]]


def test_the_noop_model_gives_what_it_gets():
    model = TorchNoopModel(Box(-1, 1, (3,)), Discrete(2), 3, {}, "noop")
    assert model({"obs": torch.ones(2, 3)})[0].tolist() == [[1.0] * 3] * 2


# ----------------------------------------------------------------------------------------- distributions


class Normal(TorchDistributionWrapper):
    """As such classes are written: the distribution is made before or after the base class is asked."""

    def __init__(self, inputs, model):
        mean, log_std = torch.as_tensor(inputs).chunk(2, dim=1)
        self.dist = torch.distributions.Normal(mean, log_std.exp())
        super().__init__(inputs, model)

    def deterministic_sample(self):
        self.last_sample = self.dist.mean
        return self.last_sample

    def logp(self, actions):
        return super().logp(actions).sum(-1)

    def entropy(self):
        return super().entropy().sum(-1)

    def kl(self, other):
        return super().kl(other).sum(-1)


def test_wrapped_distributions():
    inputs, other = draw(4, 6), Normal(draw(4, 6, seed=1), None)
    one = Normal(inputs.numpy(), "model")
    assert isinstance(one.inputs, torch.Tensor)
    assert one.model == "model"
    mean, log_std = inputs.chunk(2, dim=1)
    actions = one.sample()
    reference = torch.distributions.Normal(mean, log_std.exp())
    torch.testing.assert_close(one.sampled_action_logp(), reference.log_prob(actions).sum(1))
    torch.testing.assert_close(one.logp(actions.numpy()), reference.log_prob(actions).sum(1))
    torch.testing.assert_close(one.entropy(), reference.entropy().sum(1))
    torch.testing.assert_close(one.kl(one), torch.zeros(4))
    assert (one.kl(other) > 0).all()
    torch.testing.assert_close(one.deterministic_sample(), mean)


def test_a_wrapper_around_nothing_says_what_is_missing():
    class Bare(TorchDistributionWrapper):
        pass

    for method, arguments in (
        ("sample", ()),
        ("logp", (torch.zeros(1),)),
        ("entropy", ()),
        ("kl", (Bare(torch.zeros(1, 1)),)),
    ):
        with pytest.raises(NotImplementedError, match=rf"Bare.{method}\(\) asks for self.dist"):
            getattr(Bare(torch.zeros(1, 1)), method)(*arguments)


def test_distributions_take_by_position_what_they_took():
    inputs, space = draw(3, 4), MultiDiscrete([2, 2])
    actions = torch.tensor([[0, 1]] * 3)
    mask = torch.tensor([[True, False, True, True]] * 3)
    torch.testing.assert_close(
        TorchCategorical(inputs, None, 2.0).dist.logits, Categorical(inputs, temperature=2.0).log_probs
    )
    torch.testing.assert_close(TorchCategorical(inputs, mask=mask).dist.probs, Categorical(inputs, mask=mask).probs)
    for given in (None, mask):
        torch.testing.assert_close(
            TorchMultiCategorical(inputs, None, space.nvec, space, mask=given).logp(actions),
            MultiCategorical(inputs, input_lens=[2, 2], mask=given).logp(actions),
        )
    assert TorchMultiCategorical(inputs, None, [2, 2], MultiDiscrete([[2, 2]])).deterministic_sample().shape == (
        3,
        1,
        2,
    )
    for old, new in ((TorchBeta, Beta), (TorchSquashedGaussian, SquashedGaussian)):
        torch.testing.assert_close(old(inputs, None).deterministic_sample(), new(inputs).deterministic_sample())
        torch.testing.assert_close(
            old(inputs, None, 2.0, 5.0).deterministic_sample(), new(inputs, low=2.0, high=5.0).deterministic_sample()
        )
        assert old(inputs, None, -1, 1, action_space=Box(-1, 1, (2, 1))).deterministic_sample().shape == (3, 2, 1)
