"""Gradient steps with PyTorch."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from anyspace.errors import ModelError
from anyspace.execution.learner import Batch, Losses, Result
from anyspace.models.modelv2 import InputDict
from anyspace.models.runtime import NumpyArray
from anyspace.models.torch.base import TorchModelV2
from anyspace.policy.policy import Policy


class TorchLearner:
    """Adam over all parameters of the policy's model; see :class:`anyspace.execution.learner.Learner`.

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
        model = policy.model
        assert isinstance(model, TorchModelV2)
        self.policy = policy
        self.model = model
        self.losses = losses
        self.grad_clip = grad_clip
        self._named = {name: value for name, value in model.named_parameters() if value.requires_grad}
        self._parameters = list(self._named.values())
        self.optimizer = torch.optim.Adam(self._parameters, lr=learning_rate, eps=adam_epsilon, fused=True)

    def step(self, batch: Batch) -> Result:
        """Take one gradient step; see the protocol."""
        losses, metrics = self.losses(self.policy, batch)
        total = self._with_custom_loss(list(losses.values()), batch)
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        if self.grad_clip is not None:
            metrics["grad_norm"] = nn.utils.clip_grad_norm_(self._parameters, self.grad_clip)
        self.optimizer.step()
        metrics["total_loss"] = total.detach()
        return metrics

    def _with_custom_loss(self, losses: list[torch.Tensor], batch: Batch) -> torch.Tensor:
        if type(self.model).custom_loss is TorchModelV2.custom_loss:
            return losses[0]
        changed = self.model.custom_loss(losses, self._loss_inputs(batch))
        if not isinstance(changed, list) or len(changed) != len(losses):
            raise ModelError(
                f"{type(self.model).__name__}.custom_loss() must return a list of {len(losses)} losses, as many as"
                f" it was given, but returned {changed!r}."
            )
        total: torch.Tensor = changed[0]
        return total

    def _loss_inputs(self, batch: Batch) -> InputDict:
        columns = {name: value for name, value in batch.items() if name != "obs"}
        return InputDict(columns, {"obs": lambda: self.policy.model_inputs(batch["obs"])["obs_flat"]})

    def set_learning_rate(self, learning_rate: float) -> None:
        """Use ``learning_rate`` from the next step on."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate

    def is_finite(self) -> bool:
        """Whether every parameter is finite."""
        return bool(torch.stack([parameter.isfinite().all() for parameter in self._parameters]).all())

    def state(self) -> dict[str, NumpyArray]:
        """Return Adam's moments and step counts by parameter name."""
        return {
            f"{name}/{key}": value.detach().cpu().numpy().copy()
            for name, parameter in self._named.items()
            for key, value in self.optimizer.state.get(parameter, {}).items()
        }

    def load_state(self, state: dict[str, NumpyArray]) -> None:
        """Restore what :meth:`state` returned."""
        for name, parameter in self._named.items():
            mine = {
                key.removeprefix(f"{name}/"): torch.from_numpy(np.array(value))
                for key, value in state.items()
                if key.rpartition("/")[0] == name
            }
            self.optimizer.state[parameter] = {
                key: value if key == "step" else value.to(parameter.device) for key, value in mine.items()
            }
