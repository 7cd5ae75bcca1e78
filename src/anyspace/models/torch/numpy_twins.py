"""Small models as NumPy functions: to act one step, PyTorch takes longer to call than to compute.

A twin has the arithmetic of its model's ``forward`` and the same weights. Models that are not listed here, and whoever
derives from one that is, act through PyTorch.

Letters: N rows, F features, D width of a GTrXL, H heads, M steps of memory, K = M + 1 keys.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from anyspace.models.input_dict import InputDict
from anyspace.models.modelv2 import ModelV2
from anyspace.models.runtime import CompiledForward, Floats
from anyspace.models.torch.attention import AttentionWrapper, GTrXLNet
from anyspace.models.torch.fcnet import FullyConnectedNetwork
from anyspace.models.torch.gtrxl import GTrXL
from anyspace.models.torch.gtrxl_layers import GRUGate, GTrXLBlock, RelativeMultiHeadAttention
from anyspace.models.torch.layers import DenseStack, Tanh, has_hooks
from anyspace.models.torch.memory import MemoryWrapper, Remembering
from anyspace.models.torch.recurrent import RecurrentWrapper

M = TypeVar("M", bound=nn.Module)

Function = Callable[[Floats], Floats]
Gate = Callable[[Floats, Floats], Floats]
Attention = Callable[[Floats, Floats, npt.NDArray[np.bool_]], Floats]
"""Of a step [N, D] to M steps before it [N, M, D] and itself, but for some of these [N, 1, K] -> [N, D]."""
Step = Callable[[Floats, list[Floats]], tuple[Floats, list[Floats]]]
"""Features [N, F] and states -> what is remembered and the new states."""


_ACTIVATIONS: dict[type[nn.Module], Function] = {
    nn.Tanh: np.tanh,
    Tanh: np.tanh,
    nn.ReLU: lambda x: np.maximum(x, 0),
}


class _NoTwin(Exception):
    """A module is not one that is known here."""


def numpy_twin(model: ModelV2) -> CompiledForward | None:
    """Return one step of ``model`` as a NumPy function, or None where it has no twin.

    Most weights are read where they are; those of attention are folded into each other once, here. There is none for a
    model with modules of other types than the library builds, with hooks, or with a ``forward`` that replaced theirs.
    """
    if not isinstance(model, nn.Module) or any(_is_changed(name, module) for name, module in model.named_modules()):
        return None
    try:
        return _of_model(model)
    except _NoTwin:
        return None


def _is_changed(name: str, module: nn.Module) -> bool:
    if name.startswith("action_network"):  # the distribution calls it, with NumPy arrays too
        return False
    return has_hooks(module) or "forward" in module.__dict__


def _exactly(module: object, kind: type[M]) -> M:
    """Return a module whose type is known; what derives from that type may compute something else."""
    if type(module) is not kind:
        raise _NoTwin
    return module


def _of_model(model: nn.Module) -> CompiledForward:
    if type(model) is FullyConnectedNetwork:
        return _of_dense_network(model)
    if type(model) is RecurrentWrapper:
        return _of_memory(model, _lstm(model) if type(model.rnn) is nn.LSTM else _gru(model))
    if type(model) is AttentionWrapper:
        return _of_memory(model, _gtrxl(model.gtrxl))
    net = _exactly(model, GTrXLNet)
    return _with_heads(net, lambda inputs: inputs["obs_flat"].reshape(len(inputs["obs_flat"]), -1), _gtrxl(net.gtrxl))


def _of_dense_network(model: FullyConnectedNetwork) -> CompiledForward:
    steps = [*map(_layer, _exactly(model.encoder, DenseStack)), *_output(model.logits)]
    log_std = None if model.log_std is None else _array(model.log_std)

    def forward(inputs: InputDict, state: list[Floats]) -> tuple[Floats, list[Floats]]:
        x: Floats = inputs["obs_flat"]
        # Observations near the largest float overflow as quietly as they do in PyTorch.
        with np.errstate(over="ignore", invalid="ignore"):
            for step in steps:
                x = step(x)
        return _with_log_std(x, log_std), state

    return forward


def _of_memory(model: MemoryWrapper, remember: Step) -> CompiledForward:
    base, previous = _of_model(model.base), model.previous.numpy_forward()

    def features(inputs: InputDict) -> Floats:
        below = base(inputs, [])[0]
        return below if previous is None else np.concatenate([below, previous(inputs)], axis=1)

    return _with_heads(model, features, remember)


def _with_heads(model: Remembering, features: Callable[[InputDict], Floats], remember: Step) -> CompiledForward:
    heads = _output(model.logits)
    log_std = None if model.log_std is None else _array(model.log_std)

    def forward(inputs: InputDict, state: list[Floats]) -> tuple[Floats, list[Floats]]:
        seen = features(inputs)
        with np.errstate(over="ignore", invalid="ignore"):
            x, state_out = remember(seen, state)
            for head in heads:
                x = head(x)
        return _with_log_std(x, log_std), state_out

    return forward


def _output(logits: nn.Linear | None) -> list[Function]:
    return [] if logits is None else [_linear(logits)]


def _with_log_std(x: Floats, log_std: Floats | None) -> Floats:
    return x if log_std is None else np.concatenate([x, np.broadcast_to(log_std, (len(x), len(log_std)))], axis=1)


def _lstm(model: RecurrentWrapper) -> Step:
    of_input, of_hidden, bias = _recurrent_weights(model)
    width = len(of_hidden)
    halved = np.repeat(np.array([0.5, 0.5, 1, 0.5], np.float32), width)  # input, forget, cell, output

    def step(x: Floats, state: list[Floats]) -> tuple[Floats, list[Floats]]:
        hidden, cell = state
        # A sigmoid is half of a tanh of half as much; so one tanh serves all gates.
        gates = np.tanh((x @ of_input + hidden @ of_hidden + bias) * halved)
        opened = gates[:, : 2 * width] * 0.5 + 0.5
        cell = opened[:, width:] * cell + opened[:, :width] * gates[:, 2 * width : 3 * width]
        hidden = (gates[:, 3 * width :] * 0.5 + 0.5) * np.tanh(cell)
        return hidden, [hidden, cell]

    return step


def _gru(model: RecurrentWrapper) -> Step:
    _exactly(model.rnn, nn.GRU)
    of_input, of_hidden, _ = _recurrent_weights(model)
    *_, input_bias, hidden_bias = map(_array, model.rnn.parameters())
    width = len(of_hidden)

    def step(x: Floats, state: list[Floats]) -> tuple[Floats, list[Floats]]:
        (hidden,) = state
        by_input, by_hidden = x @ of_input + input_bias, hidden @ of_hidden + hidden_bias
        opened = _sigmoid(by_input[:, : 2 * width] + by_hidden[:, : 2 * width])  # reset, update
        new = np.tanh(by_input[:, 2 * width :] + opened[:, :width] * by_hidden[:, 2 * width :])
        hidden = new + opened[:, width:] * (hidden - new)
        return hidden, [hidden]

    return step


def _recurrent_weights(model: RecurrentWrapper) -> tuple[Floats, Floats, Floats]:
    """Return the weights of input [F, gates] and hidden state [H, gates], and the sum of the biases."""
    of_input, of_hidden, input_bias, hidden_bias = map(_array, model.rnn.parameters())
    return of_input.T, of_hidden.T, input_bias + hidden_bias


def _gtrxl(model: GTrXL) -> Step:
    sizes = _exactly(model, GTrXL).sizes
    embedding, memory_size, reach = _linear(model.embedding), sizes.memory, sizes.memory_inference
    positions = _array(model.positions)[memory_size - reach :]
    blocks = [_block(block, positions) for block in model.blocks]
    ages = np.arange(-reach, 1, dtype=np.float32)

    def step(x: Floats, state: list[Floats]) -> tuple[Floats, list[Floats]]:
        *memories, counter = state
        x, new = embedding(x), []
        before_episode = (ages < -counter)[:, None]  # [N, 1, K]
        for block, memory in zip(blocks, memories, strict=True):
            new.append(x)
            steps = memory.reshape(len(x), memory_size, x.shape[1])
            x = block(x, steps[:, memory_size - reach :], before_episode)
        return x, [*new, counter + 1]

    return step


def _block(block: nn.Module, positions: Floats) -> Attention:
    block = _exactly(block, GTrXLBlock)
    attention, mlp = _attention(block.attention, positions), [*map(_layer, _exactly(block.mlp, nn.Sequential))]
    attention_gate, mlp_gate = _gate(block.attention_gate), _gate(block.mlp_gate)

    def forward(x: Floats, memory: Floats, missing: npt.NDArray[np.bool_]) -> Floats:
        attended = x = attention_gate(x, attention(x, memory, missing))
        for layer in mlp:
            x = layer(x)
        return mlp_gate(attended, x)

    return forward


def _attention(module: RelativeMultiHeadAttention, positions: Floats) -> Attention:
    """Return what attends to the steps that ``positions`` [K, D] reach.

    With one query a step, keys and values need not be computed. What scores a key can be applied to the query instead,
    and what makes values of steps to their weighted sum. Terms that all keys of a query share fall out of the softmax.
    """
    norm = _affine(_exactly(_exactly(module, RelativeMultiHeadAttention).norm, nn.LayerNorm))
    _exactly(module.activation, nn.ReLU)
    heads, width = module.heads, module.head_dim
    keys, dim = positions.shape
    gain, shift = _array(norm.weight), _array(norm.bias)
    query, key, value = _array(module.query_key_value.weight).reshape(3, heads, width, dim)
    by_distance = (positions @ _array(module.position.weight).T).reshape(keys, heads, width).transpose(1, 2, 0)
    score = np.concatenate([key * gain, by_distance], axis=2) * np.float32(width**-0.5)  # [H, width, D + K]
    offsets = np.concatenate(
        [
            np.broadcast_to(_array(module.content_bias)[..., None], (heads, width, dim)),
            np.broadcast_to(_array(module.position_bias)[..., None], (heads, width, keys)),
        ],
        axis=2,
    )
    shifted = query @ shift
    to_scores = ((query * gain).transpose(0, 2, 1) @ score).transpose(1, 0, 2).reshape(dim, -1)  # [D, H (D + K)]
    score_bias = ((shifted[..., None] + offsets) * score).sum(axis=1).reshape(-1)
    output = _array(module.output.weight).reshape(-1, heads, width).transpose(1, 2, 0)  # [H, width, D out]
    to_output = ((value * gain).transpose(0, 2, 1) @ output).reshape(heads * dim, -1)
    output_bias = ((value @ shift)[:, None] @ output).sum(axis=(0, 1))
    epsilon = norm.eps

    def forward(x: Floats, memory: Floats, missing: npt.NDArray[np.bool_]) -> Floats:
        centred, scale = _centred(np.concatenate([memory, x[:, None]], axis=1), epsilon)
        scoring = ((centred[:, -1] * scale[:, -1:]) @ to_scores + score_bias).reshape(len(x), heads, -1)
        scores = (scoring[..., :dim] @ centred.transpose(0, 2, 1)) * scale[:, None] + scoring[..., dim:]
        np.copyto(scores, -np.inf, where=missing)
        weights = np.exp(scores - np.maximum.reduce(scores, axis=2, keepdims=True))
        weights *= scale[:, None] / np.add.reduce(weights, axis=2, keepdims=True)
        mixed = (weights @ centred).reshape(len(x), -1)
        attended: Floats = np.maximum(mixed @ to_output + output_bias, 0)
        return attended

    return forward


def _centred(x: Floats, epsilon: float) -> tuple[Floats, Floats]:
    """Return ``x`` [..., D] less its mean, and [...] by which that is multiplied to be of variance 1."""
    centred = x - np.add.reduce(x, axis=-1, keepdims=True) / x.shape[-1]  # np.mean takes as long again to call
    squares: Floats = np.einsum("...d,...d->...", centred, centred)
    return centred, np.float32(1) / np.sqrt(squares / np.float32(x.shape[-1]) + np.float32(epsilon))


def _gate(gate: GRUGate) -> Gate:
    _exactly(gate, GRUGate)
    of_input, of_skip, of_reset = (_array(layer.weight).T for layer in (gate.of_input, gate.of_skip, gate.of_reset))
    bias, dim = _array(gate.bias), len(of_skip)

    def forward(h: Floats, x: Floats) -> Floats:
        by_input, by_skip = x @ of_input, h @ of_skip
        by_skip[:, dim:] -= bias
        opened = _sigmoid(by_input[:, : 2 * dim] + by_skip)
        candidate: Floats = np.tanh(by_input[:, 2 * dim :] + (opened[:, :dim] * h) @ of_reset)
        return h + opened[:, dim:] * (candidate - h)

    return forward


def _sigmoid(x: Floats) -> Floats:
    twice_less_one: Floats = np.tanh(x * np.float32(0.5))
    return twice_less_one * np.float32(0.5) + np.float32(0.5)


def _layer(layer: nn.Module) -> Function:
    if type(layer) is nn.Linear:
        return _linear(layer)
    if type(layer) is nn.LayerNorm:
        return _layer_norm(_affine(layer))
    if type(layer) in _ACTIVATIONS:
        return _ACTIVATIONS[type(layer)]
    raise _NoTwin


def _linear(layer: nn.Linear) -> Function:
    weight = _array(_exactly(layer, nn.Linear).weight).T
    if layer.bias is None:
        return lambda x: x @ weight
    bias = _array(layer.bias)
    return lambda x: x @ weight + bias


def _affine(layer: nn.LayerNorm) -> nn.LayerNorm:
    if layer.weight is None or layer.bias is None:
        raise _NoTwin
    return layer


def _layer_norm(layer: nn.LayerNorm) -> Function:
    weight, bias, epsilon = _array(layer.weight), _array(layer.bias), layer.eps

    def forward(x: Floats) -> Floats:
        centred, scale = _centred(x, epsilon)
        return centred * scale[..., None] * weight + bias

    return forward


def _array(tensor: torch.Tensor) -> Floats:
    return tensor.detach().numpy()
