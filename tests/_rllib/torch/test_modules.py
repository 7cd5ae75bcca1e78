"""Modules of the old networks. What they compute is measured with RLlib's in tests/_rllib; here is the rest."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from anyspace._rllib.torch.modules import (
    ConvTranspose2DStack,
    GRUGate,
    MultiHeadAttention,
    NoisyLayer,
    RelativeMultiHeadAttention,
    RelativePositionEmbedding,
    SkipConnection,
)
from anyspace.errors import ConfigError
from anyspace.models.torch.gtrxl_layers import position_encoding
from tests.support.torch_nets import draw, shuffled


def test_a_gate_is_the_gru_of_the_paper():
    gate, h, x = shuffled(GRUGate(3, 1.0)), draw(2, 3), draw(2, 3, seed=1)
    w = {name: value.detach() for name, value in gate.named_parameters()}
    r = torch.sigmoid(x @ w["_w_r"] + h @ w["_u_r"])
    z = torch.sigmoid(x @ w["_w_z"] + h @ w["_u_z"] - w["_bias_z"])
    torch.testing.assert_close(gate((h, x)), (1 - z) * h + z * torch.tanh(x @ w["_w_h"] + (r * h) @ w["_u_h"]))
    assert GRUGate(2, init_bias=2.0)._bias_z.tolist() == [2, 2]


def test_a_skip_connection_adds_or_joins():
    linear, x = nn.Linear(3, 3), draw(2, 3)
    torch.testing.assert_close(SkipConnection(linear)(x), linear(x) + x)
    gate = shuffled(GRUGate(3))
    torch.testing.assert_close(SkipConnection(linear, gate)(x), gate((x, linear(x))))
    attention, memory = RelativeMultiHeadAttention(4, 4, 2, 3), draw(2, 5, 4)
    steps = draw(2, 3, 4, seed=1)
    joined = SkipConnection(attention)(steps, memory=memory)
    torch.testing.assert_close(joined, attention(steps, memory=memory) + steps)


def test_attention_sees_no_later_step():
    attention, x = shuffled(MultiHeadAttention(3, 4, 2, 5)), draw(2, 6, 3)
    changed = x.clone()
    changed[:, 4:] += 1
    torch.testing.assert_close(attention(x)[:, :4], attention(changed)[:, :4])
    assert not torch.allclose(attention(x)[:, 4:], attention(changed)[:, 4:])


@pytest.mark.parametrize("normalised", [False, True])
def test_relative_attention_goes_step_by_step(normalised):
    attention = shuffled(RelativeMultiHeadAttention(6, 4, 2, 5, input_layernorm=normalised, output_activation="relu"))
    memory, steps = draw(2, 4, 6), draw(2, 3, 6, seed=1)
    whole = attention(steps, memory=memory)
    assert whole.shape == (2, 3, 4)
    first = attention(steps[:, :1], memory=memory)
    second = attention(steps[:, 1:2], memory=torch.cat([memory, steps[:, :1]], dim=1))
    torch.testing.assert_close(whole[:, :2], torch.cat([first, second], dim=1))
    memory.requires_grad_()
    attention(steps.requires_grad_(), memory=memory).sum().backward()
    assert memory.grad is None
    assert steps.grad.any()


def test_encodings_of_distances():
    torch.testing.assert_close(RelativePositionEmbedding(4)(3), position_encoding(3, 4)[:, None])
    # cos 0 and sin 0 at the last place, which is distance 0.
    assert RelativePositionEmbedding(4)(3)[-1, 0].tolist() == [0, 0, 1, 1]


def test_noise_is_new_in_every_pass():
    layer, x = shuffled(NoisyLayer(3, 2, 0.5, activation="tanh")), draw(4, 3)
    assert not torch.equal(layer(x), layer(x))
    with torch.no_grad():
        layer.sigma_w.zero_()
        layer.sigma_b.zero_()
    torch.testing.assert_close(layer(x), torch.tanh(x @ layer.w + layer.b))
    fresh = NoisyLayer(100, 60, 0.5, activation=None)
    np.testing.assert_allclose(fresh.sigma_b.detach(), 0.05)
    assert 0.09 < fresh.sigma_w.abs().max() <= 0.1
    assert fresh.w.std() > 0
    assert not fresh.b.any()
    assert fresh.activation is None


def test_pictures_of_vectors():
    stack = ConvTranspose2DStack(input_size=7, bias_init=0.5)
    pictures = stack(draw(2, 3, 7))
    assert pictures.mean.shape == (2, 3, 3, 64, 64)
    assert pictures.log_prob(torch.zeros(2, 3, 3, 64, 64)).shape == (2, 3)
    convolutions = [layer for layer in stack._model if isinstance(layer, nn.ConvTranspose2d)]
    assert all((layer.bias == 0.5).all() for layer in convolutions)
    assert [type(layer) for layer in stack._model].count(nn.ReLU) == 3
    with pytest.raises(ConfigError, match="get_initializer"):
        ConvTranspose2DStack(input_size=7, initializer="no")
