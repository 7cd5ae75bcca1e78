"""Small PyTorch models as NumPy functions: to act one step, PyTorch takes longer to call than to compute.

`models/pure` has the formulas; this file says which tensor of a module is which of their parameters. Models that are
not listed here, and classes that derive from one of them, act through PyTorch.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import nn

from anyspace.maths.xp import xp
from anyspace.models.compat import interface_and_model
from anyspace.models.input_dict import InputDict
from anyspace.models.modelv2 import ModelV2
from anyspace.models.pure.acting import (
    Features,
    Values,
    acting_memory,
    acting_network,
    acting_values,
    q_values,
)
from anyspace.models.pure.dense import Dense, Function, dense
from anyspace.models.pure.gtrxl import Block, folded, gtrxl
from anyspace.models.pure.recurrent import Step, gru, lstm
from anyspace.models.runtime import CompiledForward, Floats
from anyspace.models.torch.attention import AttentionWrapper, GTrXLNet
from anyspace.models.torch.dqn_model import DQNTorchModel, QHead
from anyspace.models.torch.fcnet import FullyConnectedNetwork
from anyspace.models.torch.gtrxl import GTrXL
from anyspace.models.torch.gtrxl_layers import GRUGate, GTrXLBlock, RelativeMultiHeadAttention
from anyspace.models.torch.layers import DenseStack, Tanh, UncalledLinear, has_hooks, within
from anyspace.models.torch.memory import MemoryWrapper, Remembering
from anyspace.models.torch.recurrent import RecurrentWrapper, is_plain
from anyspace.models.torch.sac_model import SACTorchModel

M = TypeVar("M", bound=nn.Module)

Weights = dict[str, Floats]
_NUMPY = xp(np.zeros(0))

_ACTIVATIONS: dict[type[nn.Module], Function] = {
    nn.Tanh: np.tanh,
    Tanh: np.tanh,
    nn.ReLU: lambda x: np.maximum(x, 0),
}


class _NoTwin(Exception):
    """A module is not one that is known here."""


_READ_IN_PLACE = (FullyConnectedNetwork, DenseStack, nn.Linear, nn.LayerNorm, QHead, nn.ModuleList, *_ACTIVATIONS)
"""Modules whose twins read the weights where they are, whatever gradient steps make of them."""


_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


class Twins:
    """Makes twins, and keeps those that stay right while their weights change: to make one takes as long as to act.

    A twin is made anew where a module or a parameter was exchanged, or a hook was added.
    """

    def __init__(self) -> None:
        self._kept: WeakKeyDictionary[nn.Module, tuple[list[object], CompiledForward | None]] = WeakKeyDictionary()

    def of(self, model: ModelV2) -> CompiledForward | None:
        """Return the twin of a model, as :func:`numpy_twin` does."""
        model = _acting_part(model)
        if not isinstance(model, nn.Module):
            return None
        # The address of a weight is no other one's as long as a kept twin reads it.
        state: list[object] = []
        for module in within(model):
            own = module.__dict__
            state += (id(module), type(module), "forward" in own)
            state += [weight if weight is None else weight.data_ptr() for weight in own["_parameters"].values()]
            state += [True for hooks in _HOOKS if own[hooks]]
        kept = self._kept.get(model)
        if kept is None or kept[0] != state or has_hooks(model):
            in_place = all(_kind(module) in _READ_IN_PLACE for module in within(model))
            twin = numpy_twin(model)
            if not in_place:
                return twin
            self._kept[model] = kept = (state, twin)
        return kept[1]


def numpy_twin(model: ModelV2) -> CompiledForward | None:
    """Return one step of ``model`` as a NumPy function, or None where it has no twin.

    Most weights are read where they are; those of attention are folded into each other once, here. There is none for a
    model with modules of other types than the library builds, with hooks, or with a ``forward`` that replaced theirs.
    """
    model = _acting_part(model)
    if not isinstance(model, nn.Module) or any(_is_changed(name, module) for name, module in model.named_modules()):
        return None
    try:
        return _of_model(model)
    except _NoTwin:
        return None


def _acting_part(model: ModelV2) -> ModelV2:
    """Return the network that acts in a model: of soft actor-critic's the policy, else the model itself."""
    if type(model) is SACTorchModel and not _is_changed("", model):
        return model.action_model
    return model


def _is_changed(name: str, module: nn.Module) -> bool:
    if name.startswith("action_network"):  # the distribution calls it, with NumPy arrays too
        return False
    return has_hooks(module) or "forward" in module.__dict__


def _exactly(module: object, kind: type[M]) -> M:
    """Return a module whose type is known; what derives from that type may compute something else."""
    if type(module) is not kind:
        raise _NoTwin
    return module


def _kind(module: nn.Module) -> type:
    """Return the class of a module, without the heads of Q values that may have been added to it."""
    made_of = interface_and_model(type(module))
    return type(module) if made_of is None or made_of[0] is not DQNTorchModel else made_of[1]


def _of_model(model: Any) -> CompiledForward:
    kind = _kind(model)
    network = _of_kind(model, kind)
    return network if kind is type(model) else acting_values(network, _values(model))


def _of_kind(model: Any, kind: type) -> CompiledForward:
    p: Weights = {}
    if kind is FullyConnectedNetwork:
        layers = [*_dense(p, "encoder", _exactly(model.encoder, DenseStack)), *_output(p, model.logits)]
        return acting_network(dense(p, layers), _log_std(model.log_std if model.free_log_std else None))
    if kind is RecurrentWrapper:
        return _of_memory(p, model, _features(model), _recurrent(p, model))
    if kind is AttentionWrapper:
        return _of_memory(p, model, _features(model), _gtrxl(p, model.gtrxl))
    if kind is GTrXLNet:
        return _of_memory(p, model, _flat_observations, _gtrxl(p, model.gtrxl))
    raise _NoTwin


def _values(model: Any) -> Values:
    p: Weights = {}
    heads = [
        None if head is None else dense(p, _dense(p, name, _exactly(head, QHead).layers))
        for name, head in (("advantages", model.advantage_head), ("state", model.state_head))
    ]
    return q_values(model.branches, (heads[0], heads[1]), None if model.support is None else _array(model.support))


def _flat_observations(inputs: InputDict) -> Floats:
    flat: Floats = inputs.of_network("obs_flat")
    return flat.reshape(len(flat), -1)


def _features(model: MemoryWrapper) -> Features:
    base, previous = _of_model(model.base), model.previous.numpy_forward()

    def features(inputs: InputDict) -> Floats:
        below = base(inputs, [])[0]
        return below if previous is None else np.concatenate([below, previous(inputs)], axis=1)

    return features


def _of_memory(p: Weights, model: Remembering, features: Features, remember: Step) -> CompiledForward:
    return acting_memory(features, remember, dense(p, _output(p, model.logits)), _log_std(model.log_std))


def _output(p: Weights, logits: nn.Module | None) -> list[Dense]:
    return [] if logits is None else [_linear(p, "logits", logits)]


def _log_std(log_std: nn.Parameter | None) -> Floats | None:
    return None if log_std is None else _array(log_std)


def _recurrent(p: Weights, model: RecurrentWrapper) -> Step:
    if not is_plain(model.rnn):
        raise _NoTwin
    of_input, of_hidden, input_bias, hidden_bias = map(_array, model.rnn.parameters())
    p["rnn/input"], p["rnn/hidden"] = of_input.T, of_hidden.T
    if type(model.rnn) is nn.LSTM:
        p["rnn/bias"] = input_bias + hidden_bias
        return lstm(_NUMPY, p, "rnn")
    _exactly(model.rnn, nn.GRU)
    p["rnn/input_bias"], p["rnn/hidden_bias"] = input_bias, hidden_bias
    return gru(_NUMPY, p, "rnn")


def _gtrxl(p: Weights, model: GTrXL) -> Step:
    sizes, weights = _exactly(model, GTrXL).sizes, Weights()
    if _linear(weights, "embedding", model.embedding).bias is None:
        raise _NoTwin
    blocks = [_block(weights, f"blocks/{i}", block) for i, block in enumerate(model.blocks)]
    reach = sizes.memory_inference
    p |= folded(weights, blocks, _array(model.positions)[sizes.memory - reach :])
    return gtrxl(_NUMPY, p, blocks, memory=sizes.memory, reach=reach)


def _block(p: Weights, name: str, module: nn.Module) -> Block:
    block = _exactly(module, GTrXLBlock)
    attention = _exactly(block.attention, RelativeMultiHeadAttention)
    _attention(p, f"{name}/attention", attention)
    norm, *layers = _exactly(block.mlp, nn.Sequential)
    for part, gate in (("attention_gate", block.attention_gate), ("mlp_gate", block.mlp_gate)):
        _gate(p, f"{name}/{part}", gate)
    return Block(
        heads=attention.heads,
        head_dim=attention.head_dim,
        attention_epsilon=_norm(p, f"{name}/attention/norm", attention.norm),
        mlp_epsilon=_norm(p, f"{name}/mlp/norm", norm),
        mlp=_dense(p, f"{name}/mlp", layers),
    )


def _attention(p: Weights, name: str, attention: RelativeMultiHeadAttention) -> None:
    _exactly(attention.activation, nn.ReLU)
    for part, kind in (("query_key_value", UncalledLinear), ("position", nn.Linear), ("output", nn.Linear)):
        p[f"{name}/{part}"] = _array(_exactly(getattr(attention, part), kind).weight)
    p[f"{name}/content_bias"], p[f"{name}/position_bias"] = map(
        _array, (attention.content_bias, attention.position_bias)
    )


def _gate(p: Weights, name: str, module: nn.Module) -> None:
    gate = _exactly(module, GRUGate)
    for part, layer in (("input", gate.of_input), ("skip", gate.of_skip), ("reset", gate.of_reset)):
        p[f"{name}/{part}"] = _array(_exactly(layer, UncalledLinear).weight).T
    p[f"{name}/bias"] = _array(gate.bias)


def _norm(p: Weights, name: str, module: nn.Module | None) -> float:
    """Note the weights of a layer norm and return what it adds to the variance."""
    norm = _exactly(module, nn.LayerNorm)
    if norm.weight is None or norm.bias is None:
        raise _NoTwin
    p[f"{name}/gain"], p[f"{name}/shift"] = _array(norm.weight), _array(norm.bias)
    return norm.eps


def _dense(p: Weights, name: str, modules: Iterable[nn.Module]) -> list[Dense]:
    """Note the weights of linear layers and return these, each with the activation and the layer norm behind it."""
    layers: list[Dense] = []
    for module in modules:
        if type(module) is nn.LayerNorm and layers:
            layers[-1] = layers[-1]._replace(activation=_normed(layers[-1].activation, module))
        elif type(module) in _ACTIVATIONS and layers and layers[-1].activation is None:
            layers[-1] = layers[-1]._replace(activation=_ACTIVATIONS[type(module)])
        else:
            layers.append(_linear(p, f"{name}/{len(layers)}", module))
    return layers


def _normed(activation: Function | None, module: nn.LayerNorm) -> Function:
    """Return an activation with a layer norm behind it."""
    p: Weights = {}
    epsilon = _norm(p, "norm", module)

    def function(x: Floats) -> Floats:
        y = x if activation is None else activation(x)
        centred = y - y.mean(axis=1, keepdims=True)
        scale = 1 / np.sqrt(np.square(centred).mean(axis=1, keepdims=True) + epsilon)
        normed: Floats = centred * scale * p["norm/gain"] + p["norm/shift"]
        return normed

    return function


def _linear(p: Weights, name: str, module: nn.Module) -> Dense:
    layer = _exactly(module, nn.Linear)
    p[f"{name}/kernel"] = _array(layer.weight).T
    if layer.bias is None:
        return Dense(f"{name}/kernel")
    p[f"{name}/bias"] = _array(layer.bias)
    return Dense(f"{name}/kernel", f"{name}/bias")


def _array(tensor: torch.Tensor) -> Floats:
    return tensor.detach().numpy()
