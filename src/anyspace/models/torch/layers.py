"""Dense stacks and the activation names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

import numpy as np
import torch
from torch import nn
from torch.nn.modules import module as modules

from anyspace.errors import ConfigError, ModelError, nearest
from anyspace.importing import import_path, is_path
from anyspace.models.architecture import Stack, outputs_of
from anyspace.models.config import ActivationSpec
from anyspace.models.torch.initializers import Initializer, initializer_of, normc_


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


def tanh_(x: torch.Tensor) -> torch.Tensor:
    """Put tanh of ``x`` in its place, without a gradient; see :class:`Tanh`."""
    if not (x.is_cpu and x.dtype is torch.float32) or torch.compiler.is_compiling():
        return x.tanh_()
    array = x.detach().numpy()
    np.tanh(array, out=array)
    return x


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


_OF_TORCH: dict[str, type[nn.Module]] = {
    name: getattr(nn, name) for name in (*nn.modules.activation.__all__, *nn.modules.dropout.__all__, "Identity")
}


def activation_factory(name: ActivationSpec | None) -> Callable[[], nn.Module] | None:
    """Return what makes the module of an activation; None for ``None`` and ``"linear"``.

    Args:
        name: a name of this library, or of an activation of ``torch.nn``, a module class or its path, or a function
            without arguments that returns a module, such as ``functools.partial(nn.LeakyReLU, 0.2)``.

    Raises:
        ConfigError: it is none of these, or a class that is not built without arguments.
    """
    if name is None or name == "linear":
        return None
    if isinstance(name, str) and is_path(name):
        name = import_path(name)
    known: Callable[[], nn.Module] | None = {**_OF_TORCH, **_ACTIVATIONS}.get(name) if isinstance(name, str) else name
    cause = None
    if callable(known) and not isinstance(known, nn.Module) and known is not nn.Module:
        try:
            if isinstance(known(), nn.Module):
                return known
        except Exception as error:  # it takes arguments, or something in it is wrong
            cause = error
    choices = [*_ACTIVATIONS, "linear", *_OF_TORCH]
    wanted = " Give a module class that takes no arguments, or a function without arguments that returns a module."
    if cause is not None:
        wanted = f" It is not made without arguments: {cause}.{wanted}"
    elif isinstance(name, str):
        wanted = nearest(name, choices) or f" There are {', '.join(choices)}."
    raise ConfigError(f"Unknown activation ({name}) for framework=torch!{wanted}") from cause


def linear(
    width_in: int,
    width_out: int,
    scale: float,
    weights: Initializer | None = None,
    biases: Initializer | None = None,
) -> nn.Linear:
    """Return a linear layer: weights of norm ``scale`` to each output, zero biases, unless initialisers are given."""
    layer = nn.Linear(width_in, width_out)
    if weights is None:
        normc_(layer.weight, scale)
    else:
        weights(layer.weight)
    (biases or nn.init.zeros_)(layer.bias)
    return layer


def free_log_std(num_outputs: int | None, model_config: Mapping[str, Any]) -> tuple[int | None, nn.Parameter | None]:
    """Return how many outputs a network is to compute, and the log deviations that are parameters of their own, if any.

    Args:
        num_outputs: what the action distribution takes; None for a network of features.
        model_config: every key of the model configuration.

    Raises:
        ModelError: `free_log_std` is on, but the outputs are not means and deviations.
    """
    outputs = outputs_of(num_outputs, model_config)
    return outputs.computed, nn.Parameter(torch.zeros(outputs.log_std)) if outputs.log_std else None


class UncalledLinear(nn.Linear):
    """A linear layer of which the weights alone are used: hooks would never run."""

    def register_forward_hook(self, *_: Any, **__: Any) -> NoReturn:
        """Raise a ModelError."""
        raise ModelError(
            "the weights of this layer are multiplied into those of others, so it is never called, and a hook on it"
            " would never run. Hook the module that it is in, or parametrize it (torch.nn.utils.parametrizations)."
        )

    register_forward_pre_hook = register_full_backward_hook = register_forward_hook


def xavier(width_in: int, *widths_out: int, bias: bool = False, called: bool = True) -> nn.Linear:
    """Return a linear layer that computes several side by side, each with xavier uniform weights; biases are zero.

    Args:
        width_in: width of the input.
        widths_out: of the outputs.
        bias: whether there are biases.
        called: whether the layer is called; else its weights alone are used.
    """
    layer = (nn.Linear if called else UncalledLinear)(width_in, sum(widths_out), bias=bias)
    for part in torch.split(layer.weight.detach(), [*widths_out]):
        nn.init.xavier_uniform_(part)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer


def within(module: nn.Module) -> list[nn.Module]:
    """Return a module and all modules in it; one that is in it twice comes twice.

    It takes a tenth of the time of ``module.modules()``, which matters between two steps of one environment.
    """
    found = [module]
    for one in found:  # which grows meanwhile
        if one._modules:
            found += [child for child in one._modules.values() if child is not None]
    return found


def has_hooks(module: nn.Module) -> bool:
    """Return whether ``module`` has hooks of its forward or backward pass, or every module has."""
    return bool(
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
        or modules._global_forward_hooks
        or modules._global_forward_pre_hooks
        or modules._global_backward_hooks
        or modules._global_backward_pre_hooks
    )


class DenseStack(nn.Sequential):
    """Layers in a row, without the call machinery of modules, which costs small layers more than their arithmetic.

    Layers with hooks are called with it.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the output of the last layer."""
        for layer in self._modules.values():
            assert layer is not None
            x = layer(x) if has_hooks(layer) else layer.forward(x)
        return x


def dense_stack(
    width_in: int,
    sizes: Sequence[int],
    activation: ActivationSpec | None,
    weights: Initializer | None = None,
    biases: Initializer | None = None,
) -> DenseStack:
    """Return dense layers of the given sizes, each followed by the activation.

    Args:
        width_in: width of the input.
        sizes: of the layers; none passes the input.
        activation: as `activation_factory` takes it.
        weights: fills their weights; None: rows of norm 1.
        biases: fills their biases; None: zeros.
    """
    activation_module = activation_factory(activation)
    layers: list[nn.Module] = []
    for width_out in sizes:
        layers.append(linear(width_in, width_out, 1.0, weights, biases))
        if activation_module is not None:
            layers.append(activation_module())
        width_in = width_out
    return DenseStack(*layers)


def configured_stack(stack: Stack, model_config: Mapping[str, Any]) -> DenseStack:
    """Return dense layers with the initialisers of the configuration.

    Args:
        stack: what layers there are.
        model_config: every key of the model configuration.
    """
    weights, biases = (
        initializer_of(model_config, f"{stack.prefix}_{part}_initializer") for part in ("weights", "bias")
    )
    return dense_stack(stack.width_in, stack.sizes, stack.activation, weights, biases)
