"""What an algorithm asks of the pipeline that is built for it: a model, a distribution, an exploration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium as gym

from anyspace.models.action_dists import DistributionFactory
from anyspace.models.catalog import ModelCatalog
from anyspace.models.config import ModelConfig
from anyspace.models.modelv2 import ModelV2
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
