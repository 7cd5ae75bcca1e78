"""Action distributions around ``torch.distributions``, as files of RLlib's old stack use and derive from them.

`anyspace.rllib` offers them under their old paths. Each of them does everything through ``dist``. Where there are
several choices, it is ``cats``; where actions have bounds, ``_squash`` and ``_unsquash`` as well. What a sub-class puts
there, or overrides, is what samples, scores and learns. Constructors of sub-classes may go past those of their bases.
Densities are the same as in `anyspace.distributions`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import gymnasium as gym

from anyspace._rllib.torch.choices import (
    TorchBernoulli,
    TorchCategorical,
    TorchGumbelSoftmax,
    TorchMultiCategorical,
    TorchSlateMultiCategorical,
    get_torch_categorical_class_with_temperature,
)
from anyspace._rllib.torch.continuous import (
    TorchBeta,
    TorchDeterministic,
    TorchDiagGaussian,
    TorchDirichlet,
    TorchSquashedGaussian,
)
from anyspace._rllib.torch.wrapper import Inputs, TorchDistributionWrapper, as_inputs
from anyspace.distributions import (
    ActionDistribution,
    Bernoulli,
    Beta,
    Categorical,
    Deterministic,
    DiagGaussian,
    Dirichlet,
    MultiActionDistribution,
    MultiCategorical,
    SquashedGaussian,
)

__all__ = [
    "TorchBernoulli",
    "TorchBeta",
    "TorchCategorical",
    "TorchDeterministic",
    "TorchDiagGaussian",
    "TorchDirichlet",
    "TorchDistributionWrapper",
    "TorchGumbelSoftmax",
    "TorchMultiActionDistribution",
    "TorchMultiCategorical",
    "TorchSlateMultiCategorical",
    "TorchSquashedGaussian",
    "get_torch_categorical_class_with_temperature",
]


class TorchMultiActionDistribution(MultiActionDistribution, TorchDistributionWrapper):  # type: ignore[misc]
    """One independent child per leaf of the action space; the children are distributions of this file.

    See `anyspace.distributions.MultiActionDistribution` for the arguments; children of `anyspace.distributions` become
    those of this file.
    """

    depends_on_model = False

    def __init__(
        self,
        inputs: Inputs,
        model: Any = None,
        *,
        mask: Sequence[Any] | None = None,
        child_distributions: Sequence[Callable[..., ActionDistribution]],
        input_lens: Sequence[int],
        action_space: gym.Space[Any],
    ):
        super().__init__(
            as_inputs(inputs, model),
            model,
            mask=mask,
            child_distributions=[_as_torch(child) for child in child_distributions],
            input_lens=input_lens,
            action_space=action_space,
        )


_TORCH: dict[Any, type[TorchDistributionWrapper]] = {
    Bernoulli: TorchBernoulli,
    Beta: TorchBeta,
    Categorical: TorchCategorical,
    Deterministic: TorchDeterministic,
    DiagGaussian: TorchDiagGaussian,
    Dirichlet: TorchDirichlet,
    MultiCategorical: TorchMultiCategorical,
    SquashedGaussian: TorchSquashedGaussian,
}


def _as_torch(child: Callable[..., ActionDistribution]) -> Callable[..., ActionDistribution]:
    """Return a class of this file in place of the one of `anyspace.distributions`, with the same keyword arguments."""
    if isinstance(child, partial):
        return partial(_TORCH.get(child.func, child.func), *child.args, **child.keywords)
    return _TORCH.get(child, child)
