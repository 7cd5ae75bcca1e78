"""Dense stacks, their initialisation and the activation names."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from anyspace.errors import ConfigError, nearest


class _NumpyTanh(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        y = torch.from_numpy(np.tanh(x.detach().numpy()))
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        (y,) = ctx.saved_tensors
        result: torch.Tensor = torch.ops.aten.tanh_backward(gradient, y)
        return result


class Tanh(nn.Tanh):
    """``nn.Tanh``; float32 tensors on the CPU go through NumPy, whose kernel takes a fraction of the time there."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return tanh of ``x``."""
        if not (x.is_cpu and x.dtype is torch.float32) or torch.compiler.is_compiling():
            return torch.tanh(x)
        if x.requires_grad and torch.is_grad_enabled():
            result: torch.Tensor = _NumpyTanh.apply(x)  # type: ignore[no-untyped-call]
            return result
        return torch.from_numpy(np.tanh(x.detach().numpy()))


_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": Tanh,
    "elu": nn.ELU,
    "swish": nn.SiLU,
    "silu": nn.SiLU,
}


def activation_class(name: str | type[nn.Module] | None) -> type[nn.Module] | None:
    """Return the module class of an activation; None for ``None`` and ``"linear"`` (spec 4.2).

    Args:
        name: a name of this library or of ``torch.nn``, or the class itself.

    Raises:
        ConfigError: there is no such module class, or it is not built without arguments.
    """
    if name is None or name == "linear":
        return None
    known = (_ACTIVATIONS.get(name) or getattr(nn, name, None)) if isinstance(name, str) else name
    if isinstance(known, type) and issubclass(known, nn.Module) and _takes_no_arguments(known):
        return known
    choices = [*_ACTIVATIONS, "linear", *nn.modules.activation.__all__]
    raise ConfigError(f"Unknown activation ({name}) for framework=torch!{nearest(str(name), choices)}")


def _takes_no_arguments(module_class: type[nn.Module]) -> bool:
    try:
        inspect.signature(module_class).bind()
    except TypeError:
        return False
    return module_class is not nn.Module


def normc_(weight: torch.Tensor, scale: float) -> None:
    """Fill ``weight`` [out, in] with normal draws, then scale each row to L2 norm ``scale``, in place."""
    with torch.no_grad():
        weight.normal_()
        weight.mul_(scale / weight.norm(dim=1, keepdim=True))


def linear(width_in: int, width_out: int, scale: float) -> nn.Linear:
    """Return a linear layer with normalised-column weights of norm ``scale`` and zero biases."""
    layer = nn.Linear(width_in, width_out)
    normc_(layer.weight, scale)
    nn.init.zeros_(layer.bias)
    return layer


class DenseStack(nn.Sequential):
    """Layers in a row, without the call machinery of modules, which costs small layers more than their arithmetic.

    Hooks on the stack run; hooks on a layer inside it do not.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the output of the last layer."""
        for layer in self._modules.values():
            assert layer is not None
            x = layer.forward(x)
        return x


def dense_stack(width_in: int, sizes: Sequence[int], activation: str | type[nn.Module] | None) -> nn.Sequential:
    """Return dense layers of the given sizes, each followed by the activation, weights of norm 1."""
    activation_module = activation_class(activation)
    layers: list[nn.Module] = []
    for width_out in sizes:
        layers.append(linear(width_in, width_out, 1.0))
        if activation_module is not None:
            layers.append(activation_module())
        width_in = width_out
    return DenseStack(*layers)
