"""The layers of built-in networks as RLlib's old stack had them: one module for each layer with its activation.

These modules hold the very layers that the network computes with, so reading, calling, initialising and freezing them
has its effect. The network runs its layers without them: what would be added to them, or hooked onto them, is refused.

Letters: N rows, F features, C channels, H and W height and width.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NoReturn

import torch
from torch import nn

from anyspace.errors import ModelError
from anyspace.models.pictures import channels_last
from anyspace.models.torch.convolution import Convolution, ConvolutionStack
from anyspace.models.torch.layers import DenseStack
from anyspace.models.torch.slim import AppendBiasLayer, SlimConv2d, SlimFC
from anyspace.spaces.kinds.images import ImageLayout


class _View(nn.Module):
    """Refuses to be changed once it is made."""

    _made = False

    def __setattr__(self, name: str, value: Any) -> None:
        if self._made and isinstance(value, nn.Module | nn.Parameter):
            _refuse()
        super().__setattr__(name, value)

    def add_module(self, name: str, module: nn.Module | None) -> None:
        if self._made:
            _refuse()
        super().add_module(name, module)

    def register_forward_hook(self, *_: Any, **__: Any) -> NoReturn:
        _refuse()

    register_forward_pre_hook = register_full_backward_hook = register_forward_hook


class _Layers(_View, nn.Sequential):
    """Several modules in a row."""

    def __init__(self, *layers: nn.Module):
        super().__init__(*layers)
        self._made = True

    def insert(self, index: int, module: nn.Module) -> NoReturn:
        _refuse()

    def __delitem__(self, idx: Any) -> NoReturn:
        _refuse()

    def __getitem__(self, idx: Any) -> Any:
        return nn.Sequential(*list(self)[idx]) if isinstance(idx, slice) else list(self)[idx]


def _refuse() -> NoReturn:
    raise ModelError(
        "the parts of built-in networks that have old names show layers which the network computes together: what is"
        " put into them, or hooked onto them, would have no effect. Assign a whole part, such as `self._hidden_layers ="
        " nn.Sequential(*self._hidden_layers, layer)`: the new module takes its place."
    )


# ------------------------------------------------------------------------------------------ dense layers


class DenseLayer(_View, SlimFC):
    """A linear layer with its activation: [N, F] -> [N, F']."""

    def __init__(self, layer: nn.Module, *activation: nn.Module):
        nn.Module.__init__(self)
        self._model = _Layers(layer, *activation)
        self._made = True


def layer_of(model: Any, layer: nn.Module) -> nn.Module:
    """Return a linear layer as a module with `_model`; a module that was put in its place as it is."""
    return DenseLayer(layer) if type(layer) is nn.Linear else layer


def layers_of(model: Any, stack: nn.Module) -> nn.Module:
    """Return a stack of linear layers and activations as modules with `_model`; what took its place as it is."""
    if type(stack) is not DenseStack:
        return stack
    layers = list(stack)
    known = stack.__dict__.get("_shown")
    if known is None or [*map(id, known[0])] != [*map(id, layers)]:
        known = layers, _Layers(*(DenseLayer(*group) for group in _groups(layers)))
        stack.__dict__["_shown"] = known
    shown: nn.Module = known[1]
    return shown


def _groups(layers: list[nn.Module]) -> Iterator[list[nn.Module]]:
    """Yield each layer with weights and what follows it up to the next one."""
    group: list[nn.Module] = []
    for layer in layers:
        if group and isinstance(layer, nn.Linear | Convolution | ConvolutionStack):
            yield group
            group = []
        group.append(layer)
    if group:
        yield group


def appended_log_std(model: Any, log_std: nn.Parameter) -> AppendBiasLayer:
    """Return a layer that appends the log deviations of a model to what it is given."""
    layer = AppendBiasLayer(len(log_std))
    layer.log_std = log_std
    return layer


# -------------------------------------------------------------------------------------------- pictures


class _ChannelsFirst(_View):
    """A convolution of the network, for pictures [N, C, H, W]; its `weight` is shown as [C', C, h, w]."""

    def __init__(self, layer: Convolution):
        super().__init__()
        self.layer = layer
        self._made = True

    @property
    def weight(self) -> torch.Tensor:
        """The kernels in PyTorch's order of axes; what changes them in place changes the network's."""
        return self.layer.weight.permute(0, 3, 1, 2)

    @property
    def bias(self) -> torch.Tensor:
        """The biases."""
        assert self.layer.bias is not None
        return self.layer.bias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return [N, C', H', W']."""
        y: torch.Tensor = self.layer(x.permute(0, 2, 3, 1))
        return y.permute(0, 3, 1, 2)


class ConvolutionLayer(_View, SlimConv2d):
    """A convolution with its activation: [N, C, H, W] -> [N, C', H', W']."""

    def __init__(self, layer: Convolution, *activation: nn.Module):
        nn.Module.__init__(self)
        self._model = _Layers(_ChannelsFirst(layer), *activation)
        self._made = True


class PixelLayer(_View, SlimConv2d):
    """A linear layer on the one pixel that is left: [N, C, 1, 1] -> [N, C', 1, 1]."""

    def __init__(self, layer: nn.Linear):
        nn.Module.__init__(self)
        self._model = _Layers(layer)
        self._made = True

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the layer's output."""
        y: torch.Tensor = self._model(x.flatten(1))
        return y[:, :, None, None]


def pixel_layer(layer: nn.Module, on_pixel: bool) -> nn.Module:
    """Return the linear logits of a vision network as its last layer: a convolution of one pixel, or a dense layer."""
    if isinstance(layer, OnPixel):
        return layer.module
    return PixelLayer(layer) if on_pixel and type(layer) is nn.Linear else layer_of(None, layer)


class _Flatten(nn.Flatten):
    """Pictures [N, C, H, W] as features [N, F] in the order of the network's own layers."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.permute(0, 2, 3, 1).flatten(1)


def convolutions_of(stack: ConvolutionStack, *more: nn.Module) -> nn.Sequential:
    """Return convolutions with their activations for pictures [N, C, H, W], and more modules after them."""
    groups = (ConvolutionLayer(*group) for group in _groups(list(stack)))  # type: ignore[arg-type]
    return _Layers(*groups, *more)


def flat(post: list[nn.Module]) -> list[nn.Module]:
    """Return what flattens pictures for dense layers, and these layers with their activations."""
    return [_Flatten(), *(DenseLayer(*group) for group in _groups(post))]


class OnChannelsFirst(nn.Module):
    """A module for pictures [N, C, H, W], as the encoder of a network that sees them in the environment's own order.

    Args:
        module: gives [N, C', H', W'] or features [N, F].
        layout: which axis of the pictures is which.
    """

    def __init__(self, module: nn.Module, layout: ImageLayout):
        super().__init__()
        self.module, self._layout = module, layout

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return features [N, F] of pictures in the environment's order of axes."""
        y: torch.Tensor = self.module(channels_last(x, self._layout).permute(0, 3, 1, 2))
        return y.flatten(1)


class OnPixel(nn.Module):
    """A convolution of one pixel, as a linear layer of a network: features [N, F] -> [N, F'].

    Args:
        module: takes [N, F, 1, 1].
    """

    def __init__(self, module: nn.Module):
        super().__init__()
        self.module = module

    @classmethod
    def of(cls, model: Any, module: nn.Module) -> nn.Module:
        """Return a module that takes features [N, F]: itself, unless it is a convolution."""
        is_convolution = any(isinstance(part, nn.Conv2d | PixelLayer) for part in module.modules())
        return cls(module) if is_convolution else module

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the module's output, flat."""
        y: torch.Tensor = self.module(x[:, :, None, None])
        return y.flatten(1)
