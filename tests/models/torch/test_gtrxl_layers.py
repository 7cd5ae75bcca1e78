"""The mathematics of GTrXL against known numbers and a NumPy reference."""

import numpy as np
import pytest
import torch
from torch import nn

import tests.support.gtrxl_reference as reference
from anyspace.models.torch import gtrxl_layers
from anyspace.models.torch.gtrxl_layers import (
    GRUGate,
    GTrXLBlock,
    RelativeMultiHeadAttention,
    gated,
    mixing,
    position_encoding,
    relative_shift,
)
from anyspace.models.torch.layers import xavier
from tests.support.torch_nets import draw, shuffled


def numbers(module):
    return {name: value.detach().double().numpy() for name, value in module.named_parameters()}


# -------------------------------------------------------------------------------------------- distances


@pytest.mark.spec(109)
def test_golden_position_encoding():
    golden = [[0.9093, 0.0200, -0.4161, 0.9998], [0.8415, 0.0100, 0.5403, 0.9999], [0, 0, 1, 1]]
    torch.testing.assert_close(position_encoding(3, 4), torch.tensor(golden), atol=1e-4, rtol=0)


@pytest.mark.spec(109)
@pytest.mark.parametrize("dim", [1, 2, 5, 64])
def test_position_encodings_of_any_width_and_distance(dim):
    expected = np.stack([reference.encoding(distance, dim) for distance in range(2000, -1, -1)])
    np.testing.assert_allclose(position_encoding(2001, dim), expected, atol=1e-6)


def test_golden_shift():
    shifted = relative_shift(torch.tensor([[0.0, 1, 2], [3, 4, 5]]), 3)
    assert shifted.tolist() == [[1, 2, pytest.approx(-1e30)], [3, 4, 5]]


@pytest.mark.parametrize(("steps", "distances", "keys"), [(1, 1, 1), (1, 4, 4), (1, 4, 2), (3, 2, 4), (3, 6, 4)])
def test_scores_move_to_the_keys_at_their_distance(steps, distances, keys):
    scores = draw(2, 3, steps, distances)
    shifted = relative_shift(scores, keys)
    assert shifted.shape == (2, 3, steps, keys)
    for i in range(steps):
        for j in range(keys):
            distance = keys - steps + i - j
            there = 0 <= distance < distances
            expected = scores[..., i, distances - 1 - distance] if there else torch.full((2, 3), -1e30)
            torch.testing.assert_close(shifted[..., i, j], expected)


# -------------------------------------------------------------------------------------------- attention


@pytest.mark.spec(108)
def test_golden_attention():
    attention = RelativeMultiHeadAttention(2, 2, 1, 2, layernorm=False)
    for parameter in attention.parameters():
        nn.init.constant_(parameter, 0.1)
    x, memory = torch.tensor([[[1.0, 2], [3, 4]]]), torch.tensor([[[0, 0], [0.5, 0.5]]])
    golden = torch.tensor([[[0.0286, 0.0286], [0.0755, 0.0755]]])
    torch.testing.assert_close(attention(x, memory, position_encoding(4, 2)), golden, atol=5e-5, rtol=0)


@pytest.mark.spec(108)
@pytest.mark.parametrize("layernorm", [True, False])
@pytest.mark.parametrize("activation", [nn.ReLU(), None])
@pytest.mark.parametrize("heads", [1, 3])
@pytest.mark.parametrize(("steps", "tau", "distances"), [(4, 3, 7), (4, 3, 4), (1, 3, 4), (4, 0, 1), (2, 5, 9)])
def test_attention_is_that_of_the_formulas(layernorm, activation, heads, steps, tau, distances):
    attention = shuffled(RelativeMultiHeadAttention(6, 5, heads, 4, layernorm=layernorm, activation=activation))
    x, memory = draw(2, steps, 6), draw(2, tau, 6)
    out = attention(x, memory, position_encoding(distances, 6))
    assert out.shape == (2, steps, 5)
    for s in range(2):
        expected, _ = reference.attention(
            numbers(attention),
            x[s].double().numpy(),
            memory[s].double().numpy(),
            heads,
            reach=distances - 1,
            activation=activation is not None,
        )
        np.testing.assert_allclose(out[s].detach(), expected, atol=1e-5)


def test_what_the_mask_forbids_has_no_weight(monkeypatch):
    attention = shuffled(RelativeMultiHeadAttention(6, 6, 2, 4))
    x, memory, positions = draw(3, 4, 6), draw(3, 2, 6), position_encoding(6, 6)
    mask = draw(3, 4, 6) > 0
    mask[:, range(4), range(2, 6)] = True
    softmax, seen = torch.Tensor.softmax, []
    monkeypatch.setattr(torch.Tensor, "softmax", lambda x, dim: seen.append(softmax(x, dim)) or seen[-1])
    for s in range(3):
        expected, expected_weights = reference.attention(
            numbers(attention),
            x[s].double().numpy(),
            memory[s].double().numpy(),
            2,
            allowed=mask[s].numpy(),
            activation=False,
        )
        np.testing.assert_allclose(attention(x, memory, positions, mask)[s].detach(), expected, atol=1e-5)
        (weights,) = seen[s:]
        assert weights.shape == (3, 2, 4, 6)
        np.testing.assert_allclose(weights[s], expected_weights, atol=1e-5)
        assert not weights[s][expected_weights == 0].any()


@pytest.mark.parametrize("shape", [(7,), (4, 7), (1, 7), (1, 1, 7), (2, 1, 7), (2, 4, 7)], ids=str)
def test_masks_of_every_shape_that_broadcasts(shape):
    # As many heads as steps: a mask that were taken for another axis would fit it.
    attention = shuffled(RelativeMultiHeadAttention(6, 6, 4, 3))
    x, memory, positions = draw(2, 4, 6), draw(2, 3, 6), position_encoding(8, 6)
    mask = draw(*shape, seed=5) > 0
    mask[..., 3:] |= torch.eye(4, dtype=torch.bool) if len(shape) > 1 and shape[-2] == 4 else True
    whole = attention(x, memory, positions, mask.expand(2, 4, 7).contiguous())
    torch.testing.assert_close(attention(x, memory, positions, mask), whole)
    assert not torch.allclose(whole, attention(x, memory, positions))


@pytest.mark.parametrize("layernorm", [True, False])
@pytest.mark.parametrize("distances", [3, 4, 6, 8])
def test_gradients_of_attention_are_right(layernorm, distances):
    attention = shuffled(RelativeMultiHeadAttention(3, 3, 2, 2, layernorm=layernorm)).double()
    x, memory = draw(2, 3, 3).double().requires_grad_(), draw(2, 2, 3, seed=1).double()
    mask = torch.tensor([[False, True, True, True, True], [True] * 5])[:, None]
    names, parameters = zip(*attention.named_parameters(), strict=True)
    positions = position_encoding(distances, 3).double()

    def attended(x, *values):
        given = dict(zip(names, values, strict=True))
        return torch.func.functional_call(attention, given, (x, memory, positions, mask))

    assert torch.autograd.gradcheck(attended, (x, *parameters))


@pytest.mark.spec(109)
def test_memory_gets_no_gradient_and_the_future_is_not_seen():
    module = shuffled(GTrXLBlock(6, 2, 4, 5, 2.0))
    x, memory = draw(2, 4, 6).requires_grad_(), draw(2, 3, 6).requires_grad_()
    out = module(x, memory, position_encoding(7, 6))
    for i in range(4):
        x.grad = None
        out[:, i].sum().backward(retain_graph=True)
        seen = x.grad.abs().sum(dim=(0, 2)) > 0
        assert seen.tolist() == [j <= i for j in range(4)]
    assert memory.grad is None
    changed = memory.detach().flip(2)
    assert (module(x, changed, position_encoding(7, 6)) != out).any(dim=2).all()
    assert all(parameter.grad.any() for parameter in module.parameters())


# ------------------------------------------------------------------------------------ gates and blocks


@pytest.mark.spec(108)
@pytest.mark.parametrize(("bias", "golden"), [(2.0, [0.8910, -0.8694]), (0.0, [0.5299, -0.4520])])
def test_golden_gate(bias, golden):
    gate = GRUGate(2, bias)
    row_times = torch.tensor([[0.1, 0.2], [0.3, 0.4]]).T
    with torch.no_grad():
        for layer in (gate.of_input, gate.of_skip, gate.of_reset):
            layer.weight.copy_(row_times.repeat(len(layer.weight) // 2, 1))
    out = gate(torch.tensor([1.0, -1]), torch.tensor([0.5, 0.25]))
    torch.testing.assert_close(out, torch.tensor(golden), atol=5e-5, rtol=0)


@pytest.mark.spec(108)
def test_gates_are_those_of_the_formulas():
    gate = shuffled(GRUGate(5, 2.0))
    h, x = draw(3, 4, 5), draw(3, 4, 5, seed=1)
    expected = reference.gate(numbers(gate), h.double().numpy(), x.double().numpy())
    np.testing.assert_allclose(gate(h, x).detach(), expected, atol=1e-6)


def test_gradients_of_gates_are_right():
    gate = shuffled(GRUGate(3, 2.0)).double()
    h, x = (draw(2, 4, 3, seed=seed).double().requires_grad_() for seed in (0, 1))
    names, parameters = zip(*gate.named_parameters(), strict=True)
    assert torch.autograd.gradcheck(
        lambda h, x, *values: torch.func.functional_call(gate, dict(zip(names, values, strict=True)), (h, x)),
        (h, x, *parameters),
    )


def test_a_large_bias_passes_the_input_through():
    h, x = draw(8, 5), draw(8, 5, seed=1)
    distances = [(GRUGate(5, bias)(h, x) - h).abs().mean() for bias in (-2.0, 0.0, 2.0, 20.0)]
    assert distances == sorted(distances, reverse=True)
    assert distances[-1] < 1e-6


@pytest.mark.spec(108)
@pytest.mark.parametrize("dim", [6, 7])
@pytest.mark.parametrize("tau", [0, 5])
def test_blocks_are_those_of_the_formulas(dim, tau):
    module = shuffled(GTrXLBlock(dim, 2, 4, 5, 2.0))
    x, memory = draw(2, 4, dim), draw(2, tau, dim)
    out = module(x, memory, position_encoding(tau + 4, dim))
    for s in range(2):
        expected = reference.block(numbers(module), x[s].double().numpy(), memory[s].double().numpy(), 2)
        np.testing.assert_allclose(out[s].detach(), expected, atol=1e-5)


def test_initial_weights_are_xavier_matrix_by_matrix():
    layer = xavier(30, 20, 90, bias=True)
    assert layer.weight.shape == (110, 30)
    assert not layer.bias.any()
    for part, bound in ((layer.weight[:20], (6 / 50) ** 0.5), (layer.weight[20:], (6 / 120) ** 0.5)):
        assert 0.95 * bound < part.abs().max() <= bound
    assert xavier(3, 4).bias is None
    gate = GRUGate(40, 1.5)
    for matrix in (*gate.of_input.weight.split(40), *gate.of_skip.weight.split(40), gate.of_reset.weight):
        assert 0.95 * (6 / 80) ** 0.5 < matrix.abs().max() <= (6 / 80) ** 0.5
    assert gate.bias.tolist() == [1.5] * 40


# -------------------------------------------------------------------------------------- plain formulas


def same_values_and_gradients(written_out, plain, arguments):
    """Assert that two functions of doubles agree, and their gradients by all arguments that take one."""
    outputs = [function(*arguments) for function in (written_out, plain)]
    torch.testing.assert_close(*outputs)
    wanted = [argument for argument in arguments if argument is not None and argument.requires_grad]
    weights = draw(*outputs[0].shape, seed=9).double()
    torch.testing.assert_close(*(torch.autograd.grad((output * weights).sum(), wanted) for output in outputs))


@pytest.mark.parametrize("shape", [None, (7,), (4, 7), (2, 4, 7)], ids=str)
@pytest.mark.parametrize("distances", [4, 7])
def test_mixing_written_out_is_mixing(shape, distances):
    takes_gradient = [draw(2, 3, 4, 6), draw(2, 3, 4, distances), draw(2, 4, 6, seed=1)]
    by_content, by_distance, x = (array.double().requires_grad_() for array in takes_gradient)
    mask = None
    if shape is not None:
        mask = draw(*shape, seed=5) > 0
        mask[..., 3:] = True
    arguments = (by_content, by_distance, draw(2, 3, 6).double(), x, mask)
    same_values_and_gradients(gtrxl_layers._Mixing.apply, mixing, arguments)


def test_a_gate_written_out_is_a_gate():
    shapes = [(5, 3), (5, 3), (9, 3), (6, 3), (3, 3), (3,)]
    arguments = [draw(*shape, seed=seed).double().requires_grad_() for seed, shape in enumerate(shapes)]
    same_values_and_gradients(gtrxl_layers._Gate.apply, gated, arguments)


def test_a_block_can_be_exported():
    module = shuffled(GTrXLBlock(6, 2, 4, 5, 2.0)).eval()
    arguments = draw(2, 1, 6), draw(2, 3, 6), position_encoding(4, 6)
    exported = torch.export.export(module, arguments)
    torch.testing.assert_close(exported.module()(*arguments), module(*arguments))
