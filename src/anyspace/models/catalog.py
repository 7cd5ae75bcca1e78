"""Which model and which action distribution serve a pair of spaces; the two registries of custom ones."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from anyspace import tree
from anyspace.config import merge
from anyspace.distributions import (
    ActionDistribution,
    Categorical,
    Deterministic,
    DiagGaussian,
    MultiActionDistribution,
    MultiCategorical,
)
from anyspace.errors import ConfigError, ModelError, UnsupportedSpaceError, nearest
from anyspace.models.config import ModelConfig
from anyspace.models.modelv2 import ModelV2
from anyspace.spaces import Preprocessor, get_preprocessor

DistributionFactory = Callable[..., ActionDistribution]
"""A distribution class, or a partial of one: called as ``factory(inputs, model)``."""

_custom_models: dict[str, type] = {}
_custom_action_dists: dict[str, type[ActionDistribution]] = {}


class ModelCatalog:
    """Builds models, distributions and preprocessors from spaces and a model configuration."""

    @staticmethod
    def register_custom_model(name: str, model_class: type) -> None:
        """Make ``model_class`` available as ``config={"model": {"custom_model": name}}``."""
        _custom_models[name] = model_class

    @staticmethod
    def register_custom_action_dist(name: str, dist_class: type[ActionDistribution]) -> None:
        """Make ``dist_class`` available as ``config={"model": {"custom_action_dist": name}}``."""
        _custom_action_dists[name] = dist_class

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
            dist_type: a distribution class to use, or ``"deterministic"`` for float Boxes.
            framework: accepted for old call sites; the distributions serve every framework.

        Raises:
            UnsupportedSpaceError: if no distribution covers the space.
        """
        model_config = _as_config(config)
        chosen = model_config.custom_action_dist or (dist_type if isinstance(dist_type, type) else None)
        if isinstance(dist_type, str) and dist_type != "deterministic":
            raise ConfigError(f"dist_type is {dist_type!r}, but the only one by name is 'deterministic'.")
        if chosen is not None:
            return _custom_dist(_registered_dist(chosen), action_space, model_config)
        factory, size = _default_dist(action_space, model_config, deterministic=dist_type == "deterministic")
        if size == 0:
            raise UnsupportedSpaceError(f"action: {action_space} holds no value to choose.")
        return factory, size

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

    if obs_space.shape is None or not isinstance(obs_space, spaces.Box | spaces.MultiBinary):
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


def _registered_dist(dist: str | type) -> type[ActionDistribution]:
    if isinstance(dist, str):
        if dist not in _custom_action_dists:
            raise ModelError(
                f"no action distribution is registered as {dist!r}.{nearest(dist, _custom_action_dists)} Call"
                f" ModelCatalog.register_custom_action_dist({dist!r}, YourDistribution) first."
            )
        dist = _custom_action_dists[dist]
    if not (isinstance(dist, type) and issubclass(dist, ActionDistribution)):
        raise ModelError(f"custom_action_dist must be an ActionDistribution sub-class, but {dist!r} came.")
    return dist


def _custom_dist(
    dist: type[ActionDistribution], action_space: gym.Space[Any], config: ModelConfig
) -> tuple[DistributionFactory, int]:
    if issubclass(dist, MultiActionDistribution):
        return _multi_dist(dist, action_space, config)
    shape = dist.required_model_output_shape(action_space, config.as_dict())
    return dist, int(math.prod(shape) if isinstance(shape, tuple | list) else shape)


def _default_dist(
    space: gym.Space[Any], config: ModelConfig, *, deterministic: bool = False, path: tree.Path = ()
) -> tuple[DistributionFactory, int]:
    if isinstance(space, spaces.Discrete):
        return Categorical, int(space.n)
    if isinstance(space, spaces.MultiDiscrete):
        lens = [int(n) for n in np.ravel(space.nvec)]
        return partial(MultiCategorical, input_lens=lens, action_space=space), sum(lens)
    if isinstance(space, spaces.Box) and space.dtype.kind != "f":
        # Object integers: the span of an int64 Box does not fit an int64.
        spans = np.ravel(space.high).astype(object) - np.ravel(space.low).astype(object) + 1
        lens = [int(span) for span in spans]
        if max(lens) > _MAX_CATEGORIES:
            raise UnsupportedSpaceError(
                f"{tree.place('action', path)}: {space} has a component of {max(lens)} integer values, more than the"
                f" {_MAX_CATEGORIES} that a categorical distribution is built for; declare a float Box and round in a"
                " wrapper."
            )
        return partial(MultiCategorical, input_lens=lens, action_space=space), sum(lens)
    if isinstance(space, spaces.Box):
        size = math.prod(space.shape)
        if deterministic:
            return partial(Deterministic, action_space=space), size
        clip = config.log_std_clip_param
        return partial(DiagGaussian, action_space=space, log_std_clip=clip), 2 * size
    if isinstance(space, spaces.Tuple | spaces.Dict):
        return _multi_dist(MultiActionDistribution, space, config)
    raise UnsupportedSpaceError(
        f"{tree.place('action', path)}: no action distribution covers {space}; supported are Discrete, MultiDiscrete,"
        " Box, and Tuple and Dict of them. Give a `custom_action_dist` or another action space."
    )


_MAX_CATEGORIES = 100_000


def _multi_dist(
    dist: type[MultiActionDistribution], space: gym.Space[Any], config: ModelConfig
) -> tuple[DistributionFactory, int]:
    children, lens = [], []
    for path, leaf in _leaf_spaces(space):
        child, size = _default_dist(leaf, config, path=path)
        children.append(child)
        lens.append(size)
    return partial(dist, child_distributions=children, input_lens=lens, action_space=space), sum(lens)


def _leaf_spaces(space: gym.Space[Any], path: tree.Path = ()) -> Iterator[tuple[tree.Path, gym.Space[Any]]]:
    if isinstance(space, spaces.Dict | spaces.Tuple):
        children = space.spaces.items() if isinstance(space, spaces.Dict) else enumerate(space.spaces)
        for key, child in children:
            yield from _leaf_spaces(child, (*path, key))
    else:
        yield path, space
