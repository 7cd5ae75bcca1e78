"""A memory on top of another model: how that model is built for features and asked for them (spec 5.5, 5.6)."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import torch

from anyspace.errors import ModelError
from anyspace.models.torch.base import TorchModelV2
from anyspace.models.views import ViewRequirement


def feature_model(
    obs_space: gym.Space[Any], action_space: gym.Space[Any], model_config: dict[str, Any], name: str, *, wrapper: str
) -> tuple[TorchModelV2, int]:
    """Return the model that the configuration describes beneath its memory, and the width of its features.

    Args:
        obs_space: the preprocessed observation space.
        action_space: the environment's action space.
        model_config: every key of the model configuration.
        name: the model's name.
        wrapper: the key that asks for the memory: ``use_lstm``, ``use_attention``.

    Raises:
        ModelError: a custom model cannot be built for features, does not say how wide they are, or has a state.
    """
    from anyspace.models.catalog import ModelCatalog

    hint = (
        f"Under `{wrapper}` a custom model is built with num_outputs=None, without an output layer, and must set"
        " `self.num_outputs` to the width of its features."
    )
    # A separate stack for a value that nobody asks the base for would never be trained.
    config = {**model_config, wrapper: False, "vf_share_layers": True}
    try:
        base = ModelCatalog.get_model_v2(obs_space, action_space, None, config, framework="torch", name=name)
    except TypeError as error:
        if model_config["custom_model"] is None:
            raise
        raise ModelError(f"custom_model {model_config['custom_model']!r} cannot be built: {error}. {hint}") from error
    assert isinstance(base, TorchModelV2)
    kind = type(base).__name__
    if not base.num_outputs:
        raise ModelError(f"{kind}.num_outputs is {base.num_outputs!r} after it was built. {hint}")
    if len(base.get_initial_state()):
        raise ModelError(
            f"{kind} has a state of its own (get_initial_state() is not empty), but `{wrapper}` puts a memory on a"
            f" model without one. Switch `{wrapper}` off, or return [] from it."
        )
    return base, int(base.num_outputs)


def features_of(base: TorchModelV2, input_dict: dict[str, Any], seq_lens: torch.Tensor | None) -> torch.Tensor:
    """Return the features [N, base.num_outputs] of a model without memory.

    Raises:
        ModelError: they are not as wide as it says.
    """
    features: torch.Tensor = base(input_dict, [], seq_lens)[0]
    if features.dim() != 2 or features.shape[1] != base.num_outputs:
        raise ModelError(
            f"{type(base).__name__}.forward() gave features of shape {tuple(features.shape)}, but its num_outputs says"
            f" [N, {base.num_outputs}]. Set `self.num_outputs` to the width of what forward() returns."
        )
    return features


def joined_views(base: TorchModelV2, own: dict[str, ViewRequirement]) -> dict[str, ViewRequirement]:
    """Return the views of a model and of the memory on it.

    Raises:
        ModelError: they want to see different things under one name.
    """
    for name, view in own.items():
        if base.view_requirements.get(name, view) != view:
            raise ModelError(
                f"{type(base).__name__}.view_requirements[{name!r}] is {base.view_requirements[name]}, but the memory"
                f" on it needs {view} under that name. Give the model's view another name."
            )
    return base.view_requirements | own
