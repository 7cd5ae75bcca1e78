"""Weights that passes use, and that nothing would train or save, are refused; what passes make of their own is not."""

from __future__ import annotations

from contextlib import closing
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from anyspace import PPO
from anyspace.errors import ModelError
from anyspace.models import TorchModelV2

SIZES: dict[str, Any] = {"train_batch_size": 32, "minibatch_size": 32, "num_epochs": 1, "preset": "none"}


class Beside(TorchModelV2):
    """Two layers, and between them what sub-classes hold in some way."""

    def __init__(self, *arguments: Any):
        super().__init__(*arguments)
        self.body, self.out, self.val = nn.Linear(4, 4), nn.Linear(4, 2), nn.Linear(4, 1)
        self.hold(nn.Linear(4, 4))

    def hold(self, layer: nn.Linear) -> None:
        self.layers = [layer]

    def between(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers[0](x)

    def forward(self, input_dict: Any, state: Any, seq_lens: Any) -> Any:
        self.x = torch.tanh(self.between(self.body(input_dict["obs"])))
        return self.out(self.x), state

    def value_function(self) -> torch.Tensor:
        return self.val(self.x).squeeze(1)


class InObject(Beside):
    def hold(self, layer: nn.Linear) -> None:
        self.parts = SimpleNamespace(layer=layer)

    def between(self, x: torch.Tensor) -> torch.Tensor:
        return self.parts.layer(x)


class Bound(Beside):
    def hold(self, layer: nn.Linear) -> None:
        self.function = partial(nn.functional.linear, weight=layer.weight)

    def between(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x)


class InFunction(Beside):
    def hold(self, layer: nn.Linear) -> None:
        self.function = lambda x: layer(x)

    def between(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x)


class PlainTensor(Beside):
    def hold(self, layer: nn.Linear) -> None:
        self.scale = torch.ones(4, requires_grad=True)

    def between(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.scale


class InValue(Beside):
    def between(self, x: torch.Tensor) -> torch.Tensor:
        return x

    def value_function(self) -> torch.Tensor:
        return self.val(self.layers[0](self.x)).squeeze(1)


OUTSIDE = nn.Linear(4, 4)


class Elsewhere(Beside):
    def between(self, x: torch.Tensor) -> torch.Tensor:
        return OUTSIDE(x)


class Checkpointed(Beside):
    def hold(self, layer: nn.Linear) -> None:
        self.layer, self.dummy = layer, torch.ones(1, requires_grad=True)

    def between(self, x: torch.Tensor) -> torch.Tensor:
        return checkpoint(lambda x, dummy: self.layer(x), x, self.dummy, use_reentrant=True)


class Anew(Beside):
    def between(self, x: torch.Tensor) -> torch.Tensor:
        return nn.Linear(4, 4)(x)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (
            Beside,
            r"Beside computes with Beside\.layers\[0\]\.\w+, of shape .* nn\.ModuleList .* hold as an attribute,",
        ),
        (InObject, r"with InObject\.parts\.layer\.\w+, of"),
        (Bound, r"with Bound\.function\['weight'\], of shape \(4, 4\)"),
        (InFunction, r"with InFunction\.function\.layer\.\w+, of"),
        (PlainTensor, r"with PlainTensor\.scale, of shape \(4,\), which is none of its parameters"),
        (InValue, r"with InValue\.layers\[0\]\.\w+, of"),
        (Elsewhere, r"Elsewhere, or its action distribution, computes with a tensor, of shape"),
        (Checkpointed, r"Checkpointed checkpoints .* give .*, use_reentrant=False\), and leave such a tensor out"),
        (Anew, r"Anew makes a parameter of shape .* anew in every pass"),
    ],
)
def test_weights_that_the_model_does_not_hold_are_refused(kind: type, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        PPO("CartPole-v1", model={"custom_model": kind}, **SIZES)


class FrozenList(Beside):
    def hold(self, layer: nn.Linear) -> None:
        self.layers = [layer.requires_grad_(False)]


class Unused(Beside):
    def between(self, x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            self.teacher = self.layers[0](x)
        return x


class Penalised(Beside):
    """Asks for the gradient of its inputs."""

    def forward(self, input_dict: Any, state: Any, seq_lens: Any) -> Any:
        self.seen = input_dict["obs"].clone().requires_grad_()
        return super().forward({**input_dict, "obs": self.seen}, state, seq_lens)

    def between(self, x: torch.Tensor) -> torch.Tensor:
        return x


class Buffer(Beside):
    def hold(self, layer: nn.Linear) -> None:
        self.register_buffer("scale", torch.ones(4, requires_grad=True))

    def between(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.get_buffer("scale")


class Wrapped(Beside):
    def hold(self, layer: nn.Linear) -> None:
        self.layer = nn.utils.parametrizations.weight_norm(layer)

    def between(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)


class Borrowing(Beside):
    """A head that uses a layer of the model that it is in."""

    def hold(self, layer: nn.Linear) -> None:
        self.layer = layer
        self.borrowed = [layer]

    def between(self, x: torch.Tensor) -> torch.Tensor:
        return self.borrowed[0](x)


@pytest.mark.parametrize("kind", [FrozenList, Unused, Penalised, Buffer, Wrapped, Borrowing])
def test_what_is_held_frozen_or_made_by_the_pass_is_right(kind: type) -> None:
    with closing(PPO("CartPole-v1", model={"custom_model": kind}, **SIZES)) as algorithm:
        algorithm.train()
