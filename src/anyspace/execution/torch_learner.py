"""Gradient steps with PyTorch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import nn
from torch.optim.adam import adam

from anyspace.errors import ConfigError
from anyspace.execution.learner import Batch, Losses, Result, with_custom_loss
from anyspace.models.runtime import NumpyArray
from anyspace.models.torch.base import TorchModelV2
from anyspace.policy.policy import Policy


class TorchLearner:
    """Adam over all parameters of the policy's model; see :class:`anyspace.execution.learner.Learner`.

    Parameters and gradients are laid side by side in one tensor each (per element type), so that clipping and the
    optimiser cost a few kernels instead of a few for every parameter. The model's parameters are views of it.

    Args:
        policy: whose model learns.
        losses: the algorithm's.
        learning_rate: the first one.
        grad_clip: the largest global norm of the gradients, or None.
        adam_epsilon: Adam's stabiliser.
    """

    def __init__(
        self,
        policy: Policy,
        losses: Losses,
        *,
        learning_rate: float,
        grad_clip: float | None,
        adam_epsilon: float,
    ):
        assert isinstance(policy.model, TorchModelV2)
        self.policy = policy
        self.losses = losses
        self.grad_clip = grad_clip
        by_type: dict[torch.dtype, dict[str, nn.Parameter]] = {}
        for name, parameter in policy.model.named_parameters():
            if parameter.requires_grad:
                by_type.setdefault(parameter.dtype, {})[name] = parameter
        self._packs = [_Pack(parameters) for parameters in by_type.values()]
        self._learning_rate = learning_rate
        self._adam_epsilon = adam_epsilon

    def step(self, batch: Batch) -> Result:
        """Take one gradient step; see the protocol."""
        with self.policy.runtime.own_randomness("learning"):
            return self._step(batch)

    def _step(self, batch: Batch) -> Result:
        losses, metrics = self.losses(self.policy, batch)
        if len(losses) != 1:
            raise ConfigError(
                f"losses() returned the groups {', '.join(losses)}, but there is one optimiser, for one loss: add"
                " them up."
            )
        (total,) = with_custom_loss(self.policy, losses, batch)
        for pack in self._packs:
            pack.clear_gradients()
        total.backward()
        if self.grad_clip is not None:
            metrics["grad_norm"] = self._clip(self.grad_clip)
        self._adam()
        with torch.no_grad():
            for update in self.policy.model.update_ops():
                update()
        metrics["total_loss"] = total.detach()
        return metrics

    def _clip(self, limit: float) -> torch.Tensor:
        norms = [torch.linalg.vector_norm(pack.gradients) for pack in self._packs]
        norm: torch.Tensor = norms[0] if len(norms) == 1 else torch.linalg.vector_norm(torch.stack(norms))
        scale = (limit / (norm + 1e-6)).clamp(max=1.0)
        for pack in self._packs:
            pack.gradients.mul_(scale)
        return norm

    def _adam(self) -> None:
        # The function behind torch.optim.Adam: for one tensor, the class around it costs several times the update.
        packs = self._packs
        with torch.no_grad():
            adam(
                [pack.values for pack in packs],
                [pack.gradients for pack in packs],
                [pack.exp_avg for pack in packs],
                [pack.exp_avg_sq for pack in packs],
                [],
                [pack.step for pack in packs],
                fused=True,
                amsgrad=False,
                beta1=0.9,
                beta2=0.999,
                lr=self._learning_rate,
                weight_decay=0.0,
                eps=self._adam_epsilon,
                maximize=False,
            )

    def set_learning_rate(self, learning_rate: float) -> None:
        """Use ``learning_rate`` from the next step on."""
        self._learning_rate = learning_rate

    def is_finite(self) -> bool:
        """Whether every parameter is finite."""
        return all(bool(pack.values.isfinite().all()) for pack in self._packs)

    def state(self) -> dict[str, NumpyArray]:
        """Return Adam's moments and step counts by parameter name."""
        return {name: value.detach().cpu().numpy().copy() for pack in self._packs for name, value in pack.state()}

    def load_state(self, state: dict[str, NumpyArray]) -> None:
        """Restore what :meth:`state` returned."""
        for pack in self._packs:
            for name, value in pack.state():
                value.copy_(torch.from_numpy(np.array(state[name])).view(value.shape))


class _Pack:
    """Parameters of one element type as slices of one tensor; so are their gradients and Adam's moments."""

    def __init__(self, parameters: dict[str, nn.Parameter]):
        self.values = torch.cat([parameter.detach().reshape(-1) for parameter in parameters.values()])
        self.gradients = torch.zeros_like(self.values)
        self.exp_avg = torch.zeros_like(self.values)
        self.exp_avg_sq = torch.zeros_like(self.values)
        # Fused Adam wants its step count too on the parameters' device.
        self.step = torch.zeros((), dtype=torch.float32, device=self.values.device)
        self.slices: dict[str, tuple[slice, torch.Size]] = {}
        self._parts: list[tuple[nn.Parameter, torch.Tensor]] = []
        start = 0
        for name, parameter in parameters.items():
            stop = start + parameter.numel()
            self.slices[name] = slice(start, stop), parameter.shape
            parameter.data = self.values[start:stop].view(parameter.shape)
            self._parts.append((parameter, self.gradients[start:stop].view(parameter.shape)))
            start = stop
        self.clear_gradients()

    def clear_gradients(self) -> None:
        """Set the gradients to 0; parameters whose gradient a ``zero_grad()`` of the model dropped get it back."""
        self.gradients.zero_()
        for parameter, part in self._parts:
            if parameter.grad is None:
                parameter.grad = part

    def state(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Yield the optimiser's state by parameter name; the tensors are views, but for the shared step count."""
        for name, (part, shape) in self.slices.items():
            yield f"{name}/exp_avg", self.exp_avg[part].view(shape)
            yield f"{name}/exp_avg_sq", self.exp_avg_sq[part].view(shape)
            yield f"{name}/step", self.step
