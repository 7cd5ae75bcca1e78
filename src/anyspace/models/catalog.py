"""Which model serves a pair of spaces; the door to preprocessors and action distributions as well."""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Collection
from dataclasses import replace
from typing import Any

import gymnasium as gym
from gymnasium import spaces

from anyspace.config import import_name, merge
from anyspace.distributions import ActionDistribution
from anyspace.errors import ModelError, nearest
from anyspace.models import action_dists
from anyspace.models.action_dists import DistributionFactory
from anyspace.models.config import ModelConfig
from anyspace.models.modelv2 import ModelV2
from anyspace.spaces import Preprocessor, get_preprocessor
from anyspace.spaces.leaves import LeafSpec, Node, children
from anyspace.spaces.restore import structure_of

Arguments = tuple[gym.Space[Any], gym.Space[Any], int | None, dict[str, Any], str]
"""What the constructor of every model takes: spaces, width of the output, configuration, name."""

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

        On top of it come the memory that the configuration asks for, the head of parametric actions, and then
        ``model_interface``.

        Args:
            obs_space: the preprocessed observation space.
            action_space: the environment's action space.
            num_outputs: width of the output; None asks for features.
            model_config: the model configuration.
            framework: of the default models, ``torch`` only; a custom model brings its own.
            name: the model's name.
            model_interface: a model class whose methods the model is to have as well: the result is a sub-class of
                both. Its constructor hands ``num_outputs=None`` down, and then finds the width of the features in
                ``self.num_outputs``.
            default_model: a class that takes the place of the default selection.
            model_kwargs: keyword arguments. Those that the constructor of ``model_interface`` names are for it; the
                others for the custom model, under those of ``custom_model_config``, or for ``default_model``.

        Raises:
            ModelError: if the custom model is unknown, or is not a model of the framework.
            TypeError: if nothing takes one of the keyword arguments.
        """
        config = _as_config(model_config)
        for_interface, keywords = _divided(model_kwargs, model_interface)
        optional = config.custom_model_config if config.custom_model is not None else {}
        keywords = {**keywords, **optional}
        _require_taker(keywords, config.custom_model or default_model)
        model_class = _base_class(config, framework, obs_space, default_model)
        if outer := _parametric(config, framework) or _memory(config, framework):
            # It asks for the model beneath it, with the same configuration less itself, and perhaps for other spaces.
            chosen = model_class if config.custom_model is not None or default_model is not None else None
            config = replace(config, custom_model=chosen, custom_model_config=keywords)
            model_class, keywords = outer, {}
        arguments = (obs_space, action_space, num_outputs, config.as_dict(), name)
        if model_interface is None:
            model = _construct(model_class, arguments, keywords, optional)
        else:
            model = _with_interface(model_class, model_interface, arguments, for_interface, keywords, optional)
        if config.autoregressive_actions and num_outputs is not None and framework == "torch":
            from anyspace.models.torch.autoregressive import attach_action_network

            attach_action_network(model, action_space, config)
        return model


def _base_class(
    config: ModelConfig, framework: str, obs_space: gym.Space[Any], default_model: type | None
) -> type[ModelV2]:
    """Return the class of the model beneath everything else."""
    if config.custom_model is not None:
        return _custom_class(config.custom_model, framework)
    if framework != "torch":
        raise NotImplementedError(
            f"no default model is built for framework {framework!r} yet; give a `custom_model` or use 'torch'."
        )
    return default_model or _default_model(obs_space)


def _with_interface(
    model_class: type[ModelV2],
    interface: type,
    arguments: Arguments,
    for_interface: dict[str, Any],
    keywords: dict[str, Any],
    optional: Collection[str],
) -> ModelV2:
    """Build a model that has the methods of an interface as well."""
    if not issubclass(model_class, interface):
        model_class, keywords = _mixed(model_class, interface, keywords), {}
    hint = (
        "A model under an interface is built with num_outputs=None, without an output layer, and must set"
        " `self.num_outputs` to the width of its features."
    )
    try:
        model = _construct(model_class, arguments, for_interface | keywords, optional)
    except TypeError as error:
        if "unexpected keyword argument" in str(error):
            raise
        # Layers of width None are refused by the framework, in words that name neither.
        raise ModelError(f"{model_class.__name__} cannot be built: {error}. {hint}") from error
    if model.num_outputs is None:
        raise ModelError(f"{model_class.__name__}: num_outputs is None after it was built. {hint}")
    return model


def _parametric(config: ModelConfig, framework: str) -> type[ModelV2] | None:
    """Return the class of the head that tells actions by their embeddings, or None."""
    if config.parametric_actions is None:
        return None
    if framework != "torch":
        raise NotImplementedError(f"no `parametric_actions` are built for framework {framework!r} yet; use 'torch'.")
    from anyspace.models import torch as networks

    return networks.ParametricActionsModel


def _memory(config: ModelConfig, framework: str) -> type[ModelV2] | None:
    """Return the class that puts the configured memory on a model, or None."""
    if not (config.use_lstm or config.use_gru or config.use_attention):
        return None
    if framework != "torch":
        raise NotImplementedError(f"no memory is built for framework {framework!r} yet; use 'torch'.")
    from anyspace.models import torch as networks

    return networks.AttentionWrapper if config.use_attention else networks.RecurrentWrapper


def _divided(keywords: dict[str, Any], interface: type | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the keyword arguments that the constructor of the interface names, and the others."""
    if interface is None:
        return {}, keywords
    if not issubclass(interface, ModelV2):
        raise ModelError(f"model_interface must be a ModelV2 sub-class, but {interface!r} came.")
    named = keywords.keys() & inspect.signature(interface).parameters
    return {key: keywords[key] for key in named}, {key: keywords[key] for key in keywords.keys() - named}


def _require_taker(keywords: dict[str, Any], model: str | type | None) -> None:
    if keywords and model is None:
        raise TypeError(
            f"get_model_v2() got keyword arguments {', '.join(map(repr, keywords))}, which only a custom model,"
            " `default_model` or a `model_interface` that names them takes. Correct the names, or leave them out."
        )


def _mixed(model_class: type[ModelV2], interface: type, keywords: dict[str, Any]) -> type[ModelV2]:
    """Return a sub-class of a model and an interface; keywords are for the model's constructor alone."""

    def construct(self: Any, *arguments: Any) -> None:
        model_class.__init__(self, *arguments, **keywords)

    base = type(model_class.__name__, (model_class,), {"__init__": construct}) if keywords else model_class
    return type(f"{base.__name__}_as_{interface.__name__}", (interface, base), {})


def _as_config(config: ModelConfig | dict[str, Any] | None) -> ModelConfig:
    if not isinstance(config, ModelConfig):
        config = merge(ModelConfig(), config or {})
    config.validate()
    return config


def _default_model(obs_space: gym.Space[Any]) -> type[ModelV2]:
    """Return the network for a space that is preprocessed or, without preprocessing, the environment's (spec 5.1)."""
    from anyspace.models import torch as networks

    rank = len(obs_space.shape or ()) if isinstance(obs_space, spaces.Box) else None
    if rank == 3:
        return networks.VisionNetwork
    if rank == 1 and _is_flat(structure_of(obs_space)):
        return networks.FullyConnectedNetwork
    return networks.ComplexInputNetwork


def _is_flat(node: Node) -> bool:
    """Whether a space is made of single numbers and vectors: no lists or alternatives, no Box of rank 2 or more."""
    if isinstance(node, LeafSpec):
        return not (isinstance(node.space, spaces.Box) and len(node.shape) >= 2)
    return isinstance(node, dict | tuple) and all(map(_is_flat, children(node)))


def _custom_class(model: str | type, framework: str) -> type[ModelV2]:
    if isinstance(model, str) and model not in _custom_models and {".", ":"} & set(model):
        module, _, attribute = model.replace(":", ".").rpartition(".")
        model = import_name(f"{module}:{attribute}")
    if isinstance(model, str):
        if model not in _custom_models:
            raise ModelError(
                f"no custom model is registered as {model!r}.{nearest(model, _custom_models)} Call"
                f" ModelCatalog.register_custom_model({model!r}, YourModel) first, or give the class itself or"
                " `package.module.Class`."
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
    arguments: Arguments,
    keywords: dict[str, Any],
    optional: Collection[str],
) -> ModelV2:
    """Build a model, without those of the optional keywords that its constructor (or one it calls) rejects."""
    try:
        return model_class(*arguments, **keywords)
    except TypeError as error:
        rejected = re.search(r"unexpected keyword argument '(\w+)'", str(error))
        if rejected is None or rejected[1] not in keywords or rejected[1] not in optional:
            raise
    warnings.warn(
        f"{model_class.__name__} does not take {rejected[1]!r} of the custom_model_config; it is left to"
        " model_config['custom_model_config'].",
        stacklevel=2,
    )
    return _construct(model_class, arguments, {key: keywords[key] for key in keywords.keys() - {rejected[1]}}, optional)
