"""What an algorithm asks of the pipeline that is built for it: a model, a distribution, an exploration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium as gym

from anyspace.errors import ModelError
from anyspace.models.action_dists import DistributionFactory
from anyspace.models.catalog import ModelCatalog
from anyspace.models.config import ModelConfig
from anyspace.models.modelv2 import ModelV2
from anyspace.models.runtime import Runtime
from anyspace.policy.exploration import Exploration, Place, StochasticSampling


@dataclass(frozen=True)
class Plan:
    """How to build the parts of a pipeline that depend on the algorithm."""

    build: Callable[..., ModelV2] = ModelCatalog.get_model_v2
    """Builds the model from ``(obs_space, action_space, num_outputs, model_config, framework)``."""
    distribution: Callable[[gym.Space[Any], ModelConfig], tuple[DistributionFactory, int]] = (
        ModelCatalog.get_action_dist
    )
    """Returns what makes distributions, and how many numbers of the model a distribution takes."""
    exploration: Callable[[gym.Space[Any], Place], Exploration] = StochasticSampling
    """Makes what chooses actions from distributions."""
    custom: bool = False
    """Whether users wrote the model that ``build`` returns, so that it may change its inputs in place and may respect
    masks by itself. A `custom_model` of the configuration always counts as theirs."""

    @classmethod
    def with_model(cls, model: ModelV2) -> Plan:
        """Return a plan whose model is there already."""

        def ready(*_: object) -> ModelV2:
            return model

        return cls(build=ready, custom=True)


CATALOGUE = Plan()
"""What the model catalogue offers, sampled from."""


def require_own_weights(runtime: Runtime, model: ModelV2, other: ModelV2) -> None:
    """Refuse a target, or a copy that explores, that would share weights with the model it was built beside.

    Raises:
        ModelError: it is the model itself, or holds modules of it.
    """
    name = type(model).__name__
    if other is model:
        own = "a sibling needs weights of its own: give a plan whose `build` makes a new model every time."
        raise ModelError(f"the plan hands over one ready {name}, but {own}")
    if runtime.holders(other) & runtime.holders(model):
        raise ModelError(
            f"every {name} that is built holds the same weights, but a target or a copy that explores needs its own:"
            " where `custom_model_config` hands over a module, hand over what builds one, its class and sizes, and"
            " build it in the constructor."
        )
