"""Which model serves a pair of spaces; the door to action distributions as well."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, Literal, NamedTuple

import gymnasium as gym
from gymnasium import spaces

from anyspace.config import copied, merge
from anyspace.distributions import ActionDistribution
from anyspace.errors import ModelError, nearest
from anyspace.importing import import_path, is_path
from anyspace.models import action_dists, compat
from anyspace.models.action_dists import DistributionFactory
from anyspace.models.config import ModelConfig
from anyspace.models.embedded_actions import EmbeddedActions
from anyspace.models.modelv2 import ModelV2
from anyspace.models.networks import action_network, base_class, framework_called, is_of_library, network
from anyspace.models.wrapping import feature_model
from anyspace.spaces.leaves import LeafSpec, Node, children
from anyspace.spaces.restore import structure_of

_custom_models: dict[str, type] = {}


def is_custom_model(name: str) -> bool:
    """Return whether a custom model is registered under a name."""
    return name in _custom_models


def registered_models() -> dict[str, type]:
    """Return the custom models by the names that they are registered under."""
    return dict(_custom_models)


class ModelCatalog:
    """Builds models and distributions from spaces and a model configuration."""

    @staticmethod
    def register_custom_model(model_name: str, model_class: type) -> None:
        """Make ``model_class`` available as ``config={"model": {"custom_model": model_name}}``."""
        _custom_models[model_name] = model_class

    @staticmethod
    def register_custom_action_dist(action_dist_name: str, action_dist_class: type[ActionDistribution]) -> None:
        """Make a distribution available as ``config={"model": {"custom_action_dist": action_dist_name}}``."""
        action_dists.register(action_dist_name, action_dist_class)

    @staticmethod
    def get_action_dist(
        action_space: gym.Space[Any],
        config: ModelConfig | dict[str, Any] | None = None,
        dist_type: type[ActionDistribution] | str | None = None,
    ) -> tuple[DistributionFactory, int]:
        """Return the distribution of an action space and the width of the model output it needs.

        Args:
            action_space: the environment's action space.
            config: the model configuration; its ``custom_action_dist`` takes precedence over every other rule.
            dist_type: a distribution class, used as if it were the ``custom_action_dist``, or ``"deterministic"`` for
                float Boxes.

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
            obs_space: the preprocessed observation space, ``get_preprocessor(space).observation_space``. For a Dict or
                a Tuple as it is the model takes observations nested, with indices as they are.
            action_space: the environment's action space.
            num_outputs: width of the output; None asks for features.
            model_config: the model configuration.
            framework: the framework of the default models, "tf2" being "tf"; a custom model has to be of the same one.
            name: the model's name.
            model_interface: a model class whose methods the model is to have as well: the result is a sub-class of
                both. Its constructor hands ``num_outputs=None`` down, and then finds the width of the features in
                ``self.num_outputs``.
            default_model: a class that takes the place of the default selection.
            model_kwargs: keyword arguments. The constructor of ``model_interface`` gets those that it names; the custom
                model or ``default_model`` gets the others. ``custom_model_config`` takes precedence over them.

        Raises:
            ModelError: if the custom model is unknown, or is not a model of the framework.
            NotImplementedError: if the framework has no network of the kind that is asked for.
            TypeError: if nothing takes one of the keyword arguments.
        """
        config, framework = _as_config(model_config), framework_called(framework)
        custom = config.custom_model
        keywords = compat.divided(
            model_kwargs,
            interface=model_interface,
            model=default_model if custom is None else custom,
            custom_model_config={} if custom is None else copied(config.custom_model_config),
        )
        *beneath, top = _layers(obs_space, action_space, num_outputs, config, framework, default_model)
        base: ModelV2 | None = None
        for layer in beneath:
            base = _built(layer, action_space, name, base, keywords)
        model = _built(top, action_space, name, base, keywords, model_interface)
        if config.autoregressive_actions and num_outputs is not None and getattr(model, "action_network", None) is None:
            action_network(framework)(model, action_space, config)
        return model


def is_built_in(config: ModelConfig, framework: str) -> bool:
    """Return whether the model that reads the observation is of this library, by default or named in the configuration.

    A class that derives from one of the library's is its user's own.

    Raises:
        ModelError: if the custom model is unknown, or is not a model of the framework.
    """
    return config.custom_model is None or is_of_library(custom_class(config.custom_model, framework))


class _Layer(NamedTuple):
    """One of the models that lie on top of each other: a base, a memory on its features, a head on either."""

    model_class: type[ModelV2]
    obs_space: gym.Space[Any]
    num_outputs: int | None
    config: ModelConfig
    """The configuration without the keys of the layers on top."""
    memory: str | None = None
    """The key that asks for a memory right on top of this layer, or None."""
    custom: str | None = None
    """What the configuration calls the class, if it is not a default model."""


def _layers(
    obs_space: gym.Space[Any],
    action_space: gym.Space[Any],
    num_outputs: int | None,
    config: ModelConfig,
    framework: str,
    default_model: type | None,
) -> list[_Layer]:
    """Return what a model is made of, the base first, then a memory and a head of embedded actions if there are any.

    With `use_lstm` and `parametric_actions`, embeddings of width 16 and 5 actions, these are a base of features
    (``num_outputs`` None), an LSTM on it with 16 outputs, and a head with 5.
    """
    on_top: list[_Layer] = []
    if config.parametric_actions is not None:
        on_top.append(_Layer(network("parametric head", framework), obs_space, num_outputs, config))
        embedded = EmbeddedActions.of(obs_space, action_space, config.as_dict())
        obs_space, num_outputs = embedded.beneath, embedded.width
        config = replace(config, parametric_actions=None)
    memory = next((key for key in ("use_lstm", "use_gru", "use_attention") if getattr(config, key)), None)
    if memory is not None:
        wrapper = network("attention memory" if memory == "use_attention" else "recurrent memory", framework)
        on_top.append(_Layer(wrapper, obs_space, num_outputs, config))
        # The memory computes the value; a stack for it in the base would never be trained.
        config = replace(config, use_lstm=False, use_gru=False, use_attention=False, vf_share_layers=True)
        num_outputs = None
    given = default_model if config.custom_model is None else custom_class(config.custom_model, framework)
    base = given or network(_default_role(obs_space), framework)
    custom = None if given is None else repr(config.custom_model or given)
    return [_Layer(base, obs_space, num_outputs, config, memory, custom), *on_top[::-1]]


def _built(
    layer: _Layer,
    action_space: gym.Space[Any],
    name: str,
    base: ModelV2 | None,
    keywords: compat.Keywords,
    interface: type | None = None,
) -> ModelV2:
    """Build a layer on ``base``, the model beneath it; where that is None, from the keyword arguments."""
    arguments = (layer.obs_space, action_space, layer.num_outputs, layer.config.as_dict(), name)
    own, optional = (keywords.model, keywords.optional) if base is None else ({"base": base}, ())
    if interface is not None:
        kind = layer.model_class
        return compat.construct_with_interface(kind, interface, arguments, keywords.interface, own, optional)
    build = partial(compat.construct, layer.model_class, arguments, own, optional)
    return build() if layer.memory is None else feature_model(build, switch=layer.memory, custom=layer.custom)


def _as_config(config: ModelConfig | dict[str, Any] | None) -> ModelConfig:
    if not isinstance(config, ModelConfig):
        config = merge(ModelConfig(), config or {})
    config.validate()
    return config


def _default_role(obs_space: gym.Space[Any]) -> Literal["dense", "vision", "complex input"]:
    """Return the role of the network for an observation space, preprocessed or as the environment has it."""
    rank = len(obs_space.shape or ()) if isinstance(obs_space, spaces.Box) else None
    if rank == 3:
        return "vision"
    if rank == 1 and _is_flat(structure_of(obs_space)):
        return "dense"
    return "complex input"


def _is_flat(node: Node) -> bool:
    """Whether a space is made of single numbers and vectors: no lists or alternatives, no Box of rank 2 or more."""
    if isinstance(node, LeafSpec):
        return not (isinstance(node.space, spaces.Box) and len(node.shape) >= 2)
    return isinstance(node, dict | tuple) and all(map(_is_flat, children(node)))


def _wrapper(model: object) -> str:
    """Return the class to write around a model of Keras, which RLlib took as it was; of other things nothing."""
    bases = model.__mro__ if isinstance(model, type) else ()
    if not any("keras" in base.__module__.split(".") and base.__name__ == "Model" for base in bases):
        return ""
    name = getattr(model, "__name__", "")
    return f""" A model of Keras is held by one, with framework='tf':
  class {name}V2(TFModelV2):
      def __init__(self, obs_space, action_space, num_outputs, model_config, name, **config):
          super().__init__(obs_space, action_space, num_outputs, model_config, name)
          self.net = {name}(obs_space, action_space, num_outputs, name, **config)

      def forward(self, input_dict, state, seq_lens):
          out, states, extra = self.net({{"obs": input_dict["obs"]}})
          self._values = extra["vf_preds"]
          return out, states

      def value_function(self):
          return self._values"""


def custom_class(model: str | type, framework: str) -> type[ModelV2]:
    """Return the class that `custom_model` stands for.

    Raises:
        ModelError: it is unknown, or is not a model of the framework.
    """
    if isinstance(model, str) and model not in _custom_models and is_path(model):
        model = import_path(model)
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
            f"`model_cls` must be a ModelV2 sub-class, but custom_model is {model!r}; derive it from"
            f" {base_class(framework)}.{_wrapper(model)}"
        )
    if model.framework != framework:
        other = f", or set `framework` to {model.framework!r}" if model.framework else ""
        raise ModelError(
            f"custom_model {model.__name__} is no model of framework {framework!r} (its `framework` is"
            f" {model.framework!r}); derive it from {base_class(framework)}{other}."
        )
    return model
