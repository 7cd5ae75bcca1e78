"""Which model serves a pair of spaces; the door to preprocessors and action distributions as well."""

from __future__ import annotations

import re
import warnings
from typing import Any

import gymnasium as gym
from gymnasium import spaces

from anyspace.config import merge
from anyspace.distributions import ActionDistribution
from anyspace.errors import ModelError, UnsupportedSpaceError, nearest
from anyspace.models import action_dists
from anyspace.models.action_dists import DistributionFactory
from anyspace.models.config import ModelConfig
from anyspace.models.modelv2 import ModelV2
from anyspace.spaces import Preprocessor, Simplex, get_preprocessor

_custom_models: dict[str, type] = {}


class ModelCatalog:
    """Builds models, distributions and preprocessors from spaces and a model configuration."""

    @staticmethod
    def register_custom_model(name: str, model_class: type) -> None:
        """Make ``model_class`` available as ``config={"model": {"custom_model": name}}``."""
        _custom_models[name] = model_class

    @staticmethod
    def register_custom_action_dist(name: str, dist_class: type[ActionDistribution]) -> None:
        """Make ``dist_class`` available as ``config={"model": {"custom_action_dist": name}}``."""
        action_dists.register(name, dist_class)

    @staticmethod
    def get_preprocessor_for_space(observation_space: gym.Space[Any]) -> Preprocessor:
        """Return the preprocessor of a space (spec 2.2)."""
        return get_preprocessor(observation_space)

    @staticmethod
    def get_action_dist(
        action_space: gym.Space[Any],
        config: ModelConfig | dict[str, Any] | None = None,
        dist_type: type[ActionDistribution] | str | None = None,
        framework: str = "torch",
    ) -> tuple[DistributionFactory, int]:
        """Return the distribution of an action space and the width of the model output it needs (spec 8.2).

        Args:
            action_space: the environment's action space.
            config: the model configuration; its ``custom_action_dist`` goes before every other rule.
            dist_type: a distribution class, which means what it means as ``custom_action_dist``, or
                ``"deterministic"`` for float Boxes.
            framework: accepted for old call sites; the distributions serve every framework.

        Raises:
            UnsupportedSpaceError: if no distribution covers the space.
        """
        return action_dists.choose(action_space, _as_config(config), dist_type)

    @staticmethod
    def get_model_v2(
        obs_space: gym.Space[Any],
        action_space: gym.Space[Any],
        num_outputs: int | None,
        model_config: ModelConfig | dict[str, Any] | None = None,
        framework: str = "torch",
        name: str = "default_model",
        model_interface: type | None = None,
        default_model: type | None = None,
        **model_kwargs: Any,
    ) -> ModelV2:
        """Return a model for the spaces: the custom one, else ``default_model``, else the default of the space.

        Args:
            obs_space: the preprocessed observation space.
            action_space: the environment's action space.
            num_outputs: width of the output; None asks for features.
            model_config: the model configuration.
            framework: of the default models, ``torch`` only; a custom model brings its own.
            name: the model's name.
            model_interface: not built yet.
            default_model: a class that takes the place of the default selection.
            model_kwargs: keyword arguments of the custom model, under those of ``custom_model_config``.

        Raises:
            ModelError: if the custom model is unknown, or is not a model of the framework.
            UnsupportedSpaceError: if no default model covers the observation space.
        """
        config = _as_config(model_config)
        if model_interface is not None:
            raise NotImplementedError("model interfaces are not built yet; subclass the model instead.")
        if config.custom_model is not None:
            model_class = _registered_model(config.custom_model, framework)
            keywords = {**model_kwargs, **config.custom_model_config}
            return _construct(model_class, (obs_space, action_space, num_outputs, config.as_dict(), name), keywords)
        if framework != "torch":
            raise NotImplementedError(
                f"no default model is built for framework {framework!r} yet; give a `custom_model` or use 'torch'."
            )
        model_class = default_model or _default_model(obs_space)
        return _construct(model_class, (obs_space, action_space, num_outputs, config.as_dict(), name), {})


def _as_config(config: ModelConfig | dict[str, Any] | None) -> ModelConfig:
    if not isinstance(config, ModelConfig):
        config = merge(ModelConfig(), config or {})
    config.validate()
    return config


def _default_model(obs_space: gym.Space[Any]) -> type[ModelV2]:
    from anyspace.models.torch.fcnet import FullyConnectedNetwork

    if obs_space.shape is None or not isinstance(obs_space, spaces.Box | spaces.MultiBinary | Simplex):
        raise UnsupportedSpaceError(
            f"no default model takes {obs_space} unprocessed yet; leave `_disable_preprocessor_api` off or give"
            " a `custom_model`."
        )
    return FullyConnectedNetwork


def _registered_model(model: str | type, framework: str) -> type[ModelV2]:
    if isinstance(model, str):
        if model not in _custom_models:
            raise ModelError(
                f"no custom model is registered as {model!r}.{nearest(model, _custom_models)} Call"
                f" ModelCatalog.register_custom_model({model!r}, YourModel) first, or give the class itself."
            )
        model = _custom_models[model]
    if not (isinstance(model, type) and issubclass(model, ModelV2)):
        raise ModelError(
            f"`model_cls` must be a ModelV2 sub-class, but custom_model is {model!r}; derive it from TorchModelV2."
        )
    if model.framework != framework:
        raise ModelError(
            f"custom_model {model.__name__} is no model of framework {framework!r} (its `framework` is"
            f" {model.framework!r}); for PyTorch derive it from TorchModelV2, which is an nn.Module."
        )
    return model


def _construct(
    model_class: type[ModelV2],
    arguments: tuple[gym.Space[Any], gym.Space[Any], int | None, dict[str, Any], str],
    keywords: dict[str, Any],
) -> ModelV2:
    """Build a model, without those of the keywords that its constructor (or one it calls with them) rejects."""
    try:
        return model_class(*arguments, **keywords)
    except TypeError as error:
        rejected = re.search(r"unexpected keyword argument '(\w+)'", str(error))
        if rejected is None or rejected[1] not in keywords:
            raise
    warnings.warn(
        f"{model_class.__name__} does not take {rejected[1]!r} of the custom_model_config; it is left to"
        " model_config['custom_model_config'].",
        stacklevel=2,
    )
    return _construct(model_class, arguments, {key: keywords[key] for key in keywords.keys() - {rejected[1]}})
