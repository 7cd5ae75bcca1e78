"""Parameters side by side in one tensor, the optimisers that move them, and siblings that follow.

A tensor of all parameters is moved in one call, where one call for each would take longer than the arithmetic.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

import torch
from torch import nn
from torch.optim.adam import adam
from torch.optim.rmsprop import rmsprop
from torch.optim.sgd import sgd

from anyspace.execution.groups import Group
from anyspace.models.runtime import NumpyArray
from anyspace.policy.pipeline import Pipeline

M = TypeVar("M", torch.Tensor, NumpyArray)


def clip(packs: list[Pack], limit: float) -> torch.Tensor:
    """Scale gradients down to a global norm of at most ``limit``, and return the norm before."""
    norms = [torch.linalg.vector_norm(pack.gradients, dtype=pack.first.dtype) for pack in packs]
    norm: torch.Tensor = norms[0] if len(norms) == 1 else torch.linalg.vector_norm(torch.stack(norms))
    scale = (limit / (norm + 1e-6)).clamp(max=1.0)
    for pack in packs:
        pack.gradients.mul_(scale)
    return norm


@torch.no_grad()
def move(packs: list[Pack], group: Group, lr: float) -> None:
    """Take the optimiser's step.

    These are the functions behind PyTorch's optimisers: for one tensor, the class around one costs several times the
    step.
    """
    # As wide as the moments, which is what they are but for float16 and bfloat16.
    values = [pack.values.to(pack.first.dtype) for pack in packs]
    gradients = [pack.gradients.to(pack.first.dtype) for pack in packs]
    first, second = [pack.first for pack in packs], [pack.second for pack in packs]
    counts = [pack.step for pack in packs]
    shared: dict[str, Any] = {"lr": lr, "weight_decay": 0.0, "maximize": False}
    if group.optimiser == "adam":
        adam(
            values,
            gradients,
            first,
            second,
            [],
            counts,
            fused=True,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            eps=group.epsilon,
            **shared,
        )
    elif group.optimiser == "rmsprop":
        rmsprop(
            values,
            gradients,
            second,
            [],
            first if group.momentum else [],
            counts,
            alpha=group.decay,
            eps=group.epsilon,
            momentum=group.momentum,
            centered=False,
            **shared,
        )
    else:
        buffers: list[torch.Tensor | None] = [*first] if group.momentum else [None for _ in packs]
        sgd(values, gradients, buffers, momentum=group.momentum, dampening=0.0, nesterov=False, **shared)
    for pack, moved in zip(packs, values, strict=True):
        if moved is not pack.values:
            pack.values.copy_(moved)


class Pack:
    """Parameters of one element type as slices of one tensor; so are their gradients and the optimiser's moments.

    Moments are float32 at least: in float16 the squares of small gradients, and Adam's epsilon, would be 0.
    """

    def __init__(self, parameters: dict[str, nn.Parameter]):
        self.values = torch.cat([parameter.detach().reshape(-1) for parameter in parameters.values()])
        self.gradients = torch.zeros_like(self.values)
        wide = torch.promote_types(self.values.dtype, torch.float32)
        self.first = torch.zeros_like(self.values, dtype=wide)
        self.second = torch.zeros_like(self.values, dtype=wide)
        # Fused Adam wants its step count too on the parameters' device.
        self.step = torch.zeros((), dtype=torch.float32, device=self.values.device)
        self.parameters = list(parameters.values())
        self._slices: dict[str, tuple[slice, torch.Size]] = {}
        self._parts: list[tuple[nn.Parameter, torch.Tensor, torch.Tensor]] = []
        start = 0
        for name, parameter in parameters.items():
            stop = start + parameter.numel()
            self._slices[name] = slice(start, stop), parameter.shape
            own, gradient = (whole[start:stop].view(parameter.shape) for whole in (self.values, self.gradients))
            parameter.data = own
            self._parts.append((parameter, own, gradient))
            start = stop
        self.clear_gradients()

    def clear_gradients(self) -> None:
        """Set the gradients to 0, and take parameters and gradients back that somebody laid elsewhere.

        ``parameter.data = ...`` does that, and ``zero_grad()`` before a pass of somebody's own.
        """
        self.gradients.zero_()
        for parameter, own, gradient in self._parts:
            if parameter.data_ptr() != own.data_ptr():
                own.copy_(parameter.detach())
                parameter.data = own
            if parameter.grad is not gradient:
                parameter.grad = gradient

    def slots(self, group: Group, first: M, second: M, step: M) -> Iterator[tuple[str, M]]:
        """Yield what the optimiser keeps by parameter name, as views of one tensor or array for each kind of moment.

        Args:
            group: says which optimiser it is.
            first: moments of all parameters, side by side.
            second: likewise.
            step: the step count that all parameters share.
        """
        moments = {"exp_avg": first, "momentum": first, "exp_avg_sq": second, "square_avg": second}
        for name, (part, shape) in self._slices.items():
            for kind in group.kinds:
                yield f"{name}/{kind}", moments[kind][part].reshape(shape)
            yield f"{name}/step", step


class Followed:
    """The parameters and buffers of a model beside those of a sibling's, each once: what ``state_dict()`` holds."""

    def __init__(self, model: nn.Module, target: Pipeline):
        assert isinstance(target.model, nn.Module)
        self.target = target
        self._moving: tuple[list[torch.Tensor], list[torch.Tensor]] = [], []
        self._copied: list[tuple[dict[str, torch.Tensor], dict[str, torch.Tensor], str]] = []
        ours, theirs = dict(model.named_modules()), dict(target.model.named_modules())
        for name, value in target.model.named_parameters():
            if value.is_floating_point():
                self._moving[0].append(value)
                self._moving[1].append(model.get_parameter(name))
        for name, module in theirs.items():
            moved = {id(value) for value in self._moving[0]}
            for kind in ("_parameters", "_buffers"):
                own = module.__dict__[kind]
                kept = [key for key, value in own.items() if value is not None and id(value) not in moved]
                kept = [key for key in kept if key not in module._non_persistent_buffers_set]
                self._copied += [(ours[name].__dict__[kind], own, key) for key in kept]

    def move(self, tau: float) -> None:
        """Go ``tau`` of the way, 1 all of it; buffers are copied."""
        theirs, ours = self._moving
        if theirs and tau < 1:
            torch._foreach_lerp_(theirs, ours, tau)
        elif theirs:
            torch._foreach_copy_(theirs, ours)
        for source, to, name in self._copied:
            to[name].copy_(source[name])
