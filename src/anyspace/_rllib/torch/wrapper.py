"""``TorchDistributionWrapper``: the base of action distributions around ``torch.distributions``.

Letters: B rows.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy.typing as npt
import torch
from torch import distributions as td
from torch import nn

from anyspace.distributions import ActionDistribution

Inputs = torch.Tensor | npt.NDArray[Any]
"""A model's outputs; an array becomes a tensor on the device of the model."""


def as_inputs(inputs: Inputs, model: Any) -> torch.Tensor:
    """Return a model's outputs as a tensor; an array becomes one on the device of the model, if that is a module."""
    if isinstance(inputs, torch.Tensor):
        return inputs
    parameter = next(model.parameters(), None) if isinstance(model, nn.Module) else None
    return torch.as_tensor(inputs, device=None if parameter is None else parameter.device)


class TorchDistributionWrapper(ActionDistribution):
    """Base of distributions around one of ``torch.distributions``: a subclass sets ``dist`` in its constructor.

    What ``dist`` does not give, or gives for each number of an action where one for each row is wanted, the subclass
    overrides; one that overrides everything needs no ``dist``. `deterministic_sample` is always its own.

    Args:
        inputs: the model's outputs [B, required_model_output_shape]; an array becomes a tensor.
        model: the model that made them.

    Raises:
        NotImplementedError: a method asks for ``dist``, which was not set.
    """

    dist: td.Distribution | None = None
    action_space: gym.Space[Any] | None = None
    """Samples have its shape, [B, *shape]; None: the shape that ``dist`` gives them."""

    def __init__(self, inputs: Inputs, model: Any = None):
        super().__init__(as_inputs(inputs, model), model)

    def sample(self) -> torch.Tensor:  # type: ignore[override]
        """Draw an action per row, from PyTorch's global source as ``dist`` does."""
        self.last_sample = self._wrapped("sample").sample()
        return self.last_sample

    def path_sample(self, rng: Any = None) -> torch.Tensor:
        """Draw an action per row as `sample` does, with the gradient of the inputs where ``dist`` gives one."""
        dist = self._wrapped("path_sample")
        self.last_sample = dist.rsample() if dist.has_rsample else dist.sample()
        return self.last_sample

    def logp(self, actions: Any) -> torch.Tensor:
        """Return the log-probability of actions, as ``dist`` gives it."""
        logp: torch.Tensor = self._wrapped("logp").log_prob(self._values(actions))
        return logp

    def entropy(self) -> torch.Tensor:
        """Return the entropy, as ``dist`` gives it."""
        entropy: torch.Tensor = self._wrapped("entropy").entropy()
        return entropy

    def kl(self, other: Any) -> torch.Tensor:
        """Return the divergence KL(self || other) of the two ``dist``."""
        return td.kl_divergence(self._wrapped("kl"), other._wrapped("kl"))

    def _wrapped(self, method: str) -> td.Distribution:
        if self.dist is None:
            raise NotImplementedError(
                f"{type(self).__name__}.{method}() asks for self.dist, which is not set. Set it to one of"
                f" torch.distributions in the constructor, or implement {method}()."
            )
        return self.dist

    def _values(self, actions: Any) -> torch.Tensor:
        """Return actions of any kind as a tensor beside the inputs."""
        return torch.as_tensor(actions, device=self.inputs.device)

    def _as_samples(self, values: torch.Tensor) -> torch.Tensor:
        """Shape samples [B, ...] as the action space has them, and keep them as the latest sample."""
        if self.action_space is not None:
            values = values.reshape(*self._batch_shape, *(self.action_space.shape or ()))
        self.last_sample = values
        return values
