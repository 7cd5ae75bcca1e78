"""Action distributions with the constructors that files of RLlib's old stack call.

`anyspace.rllib` offers them under their old paths, and the other ones of `anyspace.distributions` as they are. What
could be given by position there can be here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import torch
from torch.distributions import Distribution, kl_divergence

from anyspace.distributions import ActionDistribution, Beta, Categorical, MultiCategorical, SquashedGaussian
from anyspace.distributions.bounded import Bounds


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

    dist: Distribution | None = None

    def __init__(self, inputs: Any, model: Any = None):
        super().__init__(torch.as_tensor(inputs), model)

    def sample(self) -> torch.Tensor:  # type: ignore[override]
        """Draw an action per row, from PyTorch's global source as ``dist`` does."""
        self.last_sample = self._wrapped("sample").sample()
        return self.last_sample

    def logp(self, actions: Any) -> torch.Tensor:
        """Return the log-probability of actions, as ``dist`` gives it."""
        logp: torch.Tensor = self._wrapped("logp").log_prob(torch.as_tensor(actions, device=self.inputs.device))
        return logp

    def entropy(self) -> torch.Tensor:
        """Return the entropy, as ``dist`` gives it."""
        entropy: torch.Tensor = self._wrapped("entropy").entropy()
        return entropy

    def kl(self, other: Any) -> torch.Tensor:
        """Return the divergence KL(self || other) of the two ``dist``."""
        return kl_divergence(self._wrapped("kl"), other._wrapped("kl"))

    def _wrapped(self, method: str) -> Distribution:
        if self.dist is None:
            raise NotImplementedError(
                f"{type(self).__name__}.{method}() asks for self.dist, which is not set. Set it to one of"
                f" torch.distributions in the constructor, or implement {method}()."
            )
        return self.dist


class TorchCategorical(Categorical):
    """`Categorical`, whose temperature may be the third argument."""

    def __init__(
        self,
        inputs: torch.Tensor,
        model: Any = None,
        temperature: float = 1.0,
        *,
        mask: torch.Tensor | None = None,
    ):
        super().__init__(inputs, model, mask=mask, temperature=temperature)


class TorchMultiCategorical(MultiCategorical):
    """`MultiCategorical`, whose third and fourth arguments may be the numbers of options and the action space."""

    def __init__(
        self,
        inputs: torch.Tensor,
        model: Any,
        input_lens: Sequence[int],
        action_space: gym.Space[Any] | None = None,
        *,
        mask: torch.Tensor | None = None,
    ):
        super().__init__(inputs, model, mask=mask, input_lens=input_lens, action_space=action_space)


class TorchSquashedGaussian(SquashedGaussian):
    """`SquashedGaussian`, whose third and fourth arguments may be the bounds."""

    def __init__(
        self,
        inputs: torch.Tensor,
        model: Any = None,
        low: Bounds = -1.0,
        high: Bounds = 1.0,
        *,
        action_space: gym.Space[Any] | None = None,
    ):
        super().__init__(inputs, model, action_space=action_space, low=low, high=high)


class TorchBeta(Beta):
    """`Beta`, whose third and fourth arguments may be the bounds."""

    def __init__(
        self,
        inputs: torch.Tensor,
        model: Any = None,
        low: Bounds = 0.0,
        high: Bounds = 1.0,
        *,
        action_space: gym.Space[Any] | None = None,
    ):
        super().__init__(inputs, model, action_space=action_space, low=low, high=high)
