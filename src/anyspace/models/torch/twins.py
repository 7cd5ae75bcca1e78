"""Small PyTorch models as NumPy functions: to act one step, PyTorch takes longer to call than to compute.

`models/pure` has the formulas, whose weights have the names that they have in a model; this file says what a model is
made of. Models that are not listed here, and classes that derive from one of them, act through PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import nn

from anyspace.maths.arrays import Floats
from anyspace.maths.xp import Namespace
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
from anyspace.models.pure.activations import Activation, Function, relu, tanh
from anyspace.models.pure.dense import Dense, dense
from anyspace.models.pure.gtrxl_step import Block, folded, gtrxl_step
from anyspace.models.pure.recurrent import Step, gru, lstm
from anyspace.models.runtime import NumpyForward
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

Maker = Callable[[], NumpyForward]
"""Makes a twin of the weights as they are: most are read in place, some are folded into each other for each twin."""

_ACTIVATIONS: dict[type[nn.Module], Activation] = {nn.Tanh: tanh, Tanh: tanh, nn.ReLU: relu}


class _NoTwin(Exception):
    """A module is not one that is known here."""


class Twins:
    """Makes twins, and keeps what makes them: to look through a model takes longer than to act.

    A model is looked through anew where a module or a parameter was exchanged, or a hook was added.
    """

    def __init__(self) -> None:
        self._kept: WeakKeyDictionary[nn.Module, tuple[list[object], Maker | None]] = WeakKeyDictionary()

    def of(self, model: ModelV2) -> NumpyForward | None:
        """Return one step of ``model`` as a NumPy function, or None where it has no twin.

        Most weights are read where they are; those of attention are folded into each other once, here. There is none
        for a model with modules of other types than the library builds, with hooks, or with a ``forward`` that
        replaced theirs.
        """
        model = _acting_part(model)
        if not isinstance(model, nn.Module):
            return None
        # The address of a weight is no other one's as long as a kept maker reads it; that there is none is no matter of
        # addresses.
        state: list[object] = []
        for module in within(model):
            state += (id(module), type(module), "forward" in module.__dict__, has_hooks(module))
            weights = (*module._parameters.values(), *module._buffers.values())
            state += [weight if weight is None else weight.data_ptr() for weight in weights]
        kept = self._kept.get(model)
        if kept is None or kept[0] != state:
            self._kept[model] = kept = (state, _maker(model))
        return None if kept[1] is None else kept[1]()


def _maker(model: ModelV2) -> Maker | None:
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


def _of_model(model: Any) -> Maker:
    kind = _kind(model)
    network = _of_kind(model, kind)
    if kind is type(model):
        return network
    values = _values(model)
    return lambda: acting_values(network(), values)


def _of_kind(model: Any, kind: type) -> Maker:
    p = _weights(model)
    if kind is FullyConnectedNetwork:
        layers = [*_dense("encoder", _exactly(model.encoder, DenseStack)), *_output(model.logits)]
        network = acting_network(dense(p, layers), p["log_std"] if model.free_log_std else None)
        return lambda: network
    if kind is RecurrentWrapper:
        return _of_memory(p, model, _features(model), _recurrent(p, model))
    if kind is AttentionWrapper:
        return _of_memory(p, model, _features(model), _gtrxl(p, model.gtrxl))
    if kind is GTrXLNet:
        return _of_memory(p, model, _flat_observations, _gtrxl(p, model.gtrxl))
    raise _NoTwin


def _values(model: Any) -> Values:
    p = _weights(model)
    heads = [
        None if head is None else dense(p, _dense(f"{name}.layers", _exactly(head, QHead).layers))
        for name, head in (("advantage_head", model.advantage_head), ("state_head", model.state_head))
    ]
    return q_values(model.branches, (heads[0], heads[1]), None if model.support is None else _array(model.support))


def _weights(model: nn.Module) -> Weights:
    """Return the weights of a model by name, where they are."""
    return {name: _array(weight) for name, weight in model.named_parameters(remove_duplicate=False)}


def _flat_observations(inputs: InputDict) -> Floats:
    flat: Floats = inputs.of_network("obs_flat")
    return flat.reshape(len(flat), -1)


def _features(model: MemoryWrapper) -> Features:
    base, previous = _of_model(model.base)(), model.previous.features  # without memory: nothing is folded

    def features(inputs: InputDict) -> Floats:
        below = base(inputs, [])[0]
        return np.concatenate([below, previous(inputs)], axis=1) if previous.width else below

    return features


def _of_memory(p: Weights, model: Remembering, features: Features, remember: Callable[[], Step]) -> Maker:
    heads, log_std = dense(p, _output(model.logits)), p.get("log_std")
    return lambda: acting_memory(features, remember(), heads, log_std)


def _output(logits: nn.Module | None) -> list[Dense]:
    return [] if logits is None else [_linear("logits", logits)]


def _recurrent(p: Weights, model: RecurrentWrapper) -> Callable[[], Step]:
    if not is_plain(model.rnn):
        raise _NoTwin
    return partial(lstm if type(model.rnn) is nn.LSTM else gru, p, "rnn")


def _gtrxl(p: Weights, model: GTrXL) -> Callable[[], Step]:
    sizes = _exactly(model, GTrXL).sizes
    if not _linear("embedding", model.embedding).bias:
        raise _NoTwin
    blocks = [_block(f"gtrxl.blocks.{i}", block) for i, block in enumerate(model.blocks)]
    memory, reach = sizes.memory, sizes.memory_inference
    positions = _array(model.positions)[memory - reach :]

    def step() -> Step:
        return gtrxl_step(folded(p, "gtrxl", blocks, positions), "gtrxl", blocks, memory=memory, reach=reach)

    return step


def _block(name: str, module: nn.Module) -> Block:
    block = _exactly(module, GTrXLBlock)
    attention = _exactly(block.attention, RelativeMultiHeadAttention)
    _exactly(attention.activation, nn.ReLU)
    for part, kind in (("query_key_value", UncalledLinear), ("position", nn.Linear), ("output", nn.Linear)):
        _exactly(getattr(attention, part), kind)
    norm, *layers = _exactly(block.mlp, nn.Sequential)
    for gate in (block.attention_gate, block.mlp_gate):
        for layer in (_exactly(gate, GRUGate).of_input, gate.of_skip, gate.of_reset):
            _exactly(layer, UncalledLinear)
    return Block(
        heads=attention.heads,
        head_dim=attention.head_dim,
        attention_epsilon=_epsilon(attention.norm),
        mlp_epsilon=_epsilon(norm),
        mlp=_dense(f"{name}.mlp", layers, first=1),
    )


def _epsilon(module: nn.Module | None) -> float:
    """Return what a layer norm adds to the variance."""
    norm = _exactly(module, nn.LayerNorm)
    if norm.weight is None or norm.bias is None:
        raise _NoTwin
    return norm.eps


def _dense(name: str, modules: Iterable[nn.Module], first: int = 0) -> list[Dense]:
    """Return the linear layers among modules in a row, which count from place ``first`` on.

    A layer is returned with the activation and the layer norm behind it.
    """
    layers: list[Dense] = []
    for place, module in enumerate(modules, first):
        if type(module) is nn.LayerNorm and layers:
            layers[-1] = layers[-1]._replace(activation=_normed(layers[-1].activation, module))
        elif type(module) in _ACTIVATIONS and layers and layers[-1].activation is None:
            layers[-1] = layers[-1]._replace(activation=_ACTIVATIONS[type(module)])
        else:
            layers.append(_linear(f"{name}.{place}", module))
    return layers


def _normed(activation: Activation | None, module: nn.LayerNorm) -> Activation:
    """Return an activation with a layer norm behind it."""
    epsilon, gain, shift = _epsilon(module), _array(module.weight), _array(module.bias)

    def of(ns: Namespace) -> Function:
        before = None if activation is None else activation(ns)

        def function(x: Floats) -> Floats:
            y = x if before is None else before(x)
            centred = y - y.mean(axis=1, keepdims=True)
            scale = 1 / np.sqrt(np.square(centred).mean(axis=1, keepdims=True) + epsilon)
            normed: Floats = centred * scale * gain + shift
            return normed

        return function

    return of


def _linear(name: str, module: nn.Module) -> Dense:
    return Dense(name, bias=_exactly(module, nn.Linear).bias is not None)


def _array(tensor: torch.Tensor) -> Floats:
    if tensor.dtype is torch.bfloat16:  # for which NumPy has no type
        raise _NoTwin
    return tensor.detach().numpy()
