"""The network for observations of several parts, or of parts of varying size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import gymnasium as gym
import torch
from torch import nn

from anyspace import nesting
from anyspace.errors import ModelError
from anyspace.models.architecture import after_encoder
from anyspace.models.components import (
    Alternatives,
    Behind,
    EncoderPlan,
    Flat,
    Graphs,
    Lists,
    Parts,
    Picture,
    component_of,
)
from anyspace.models.input_dict import of_network
from anyspace.models.modelv2 import State
from anyspace.models.torch.actor_critic import ActorCritic
from anyspace.models.torch.components import (
    AlternativesEncoder,
    DenseEncoder,
    FeatureEncoder,
    LeafEncoder,
    PartsEncoder,
    PictureEncoder,
)
from anyspace.models.torch.layers import DenseStack, configured_stack
from anyspace.models.torch.old_names import Gone, OldName
from anyspace.models.torch.old_views import layer_of
from anyspace.models.torch.set_encoder import GraphEncoder, SetEncoder
from anyspace.spaces.leaves import LeafSpec, Node
from anyspace.spaces.restore import restore_original_dimensions, structure_of
from anyspace.tree import Tree


class _AsModel(nn.Module):
    """An encoder, called like a model: ``features, state = part({"obs": x})``."""

    def __init__(self, encoder: nn.Module, width: int):
        super().__init__()
        self.encoder, self.num_outputs = encoder, width

    def forward(self, input_dict: Mapping[str, Any], state: State | None = None, seq_lens: Any = None) -> Any:
        """Return the features [N, F] of ``input_dict["obs"]``, and no states."""
        return self.encoder(input_dict["obs"]), []


class _OfModel(nn.Module):
    """A model, called like an encoder."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the model's output [N, F]."""
        features: torch.Tensor = self.model({"obs": x})[0]
        return features


class _PostStack(OldName):
    """What comes after all components, as a model: a network of its own may take its place, for policy and value."""

    def __get__(self, model: Any, owner: type | None = None) -> Any:
        if model is None:
            return self
        components, *post = model.encoder
        if post and isinstance(post[0], _OfModel):
            return post[0].model
        width = next((layer.out_features for layer in post[::-1] if isinstance(layer, nn.Linear)), components.width)
        return _AsModel(DenseStack(*post), width)

    def __set__(self, model: Any, value: Any) -> None:
        nn.Module.__setattr__(model, "encoder", DenseStack(model.encoder[0], _OfModel(value)))
        model.value_encoder = None


class _Parts(Gone):
    """The encoders of some components by the position of the component, as models.

    Args:
        kind: of the encoders.
        leaves: the kinds of leaves that they encode; none: all.
    """

    def __init__(self, kind: type[FeatureEncoder], *leaves: str):
        super().__init__(
            "Its parts are computed together and cannot be exchanged one by one. Encode the part in a `forward` of your"
            " own and hand the features on, or exchange `post_fc_stack`."
        )
        self._kind, self._leaves = kind, leaves

    def __get__(self, model: Any, owner: type | None = None) -> Any:
        if model is None:
            return self
        found = enumerate(_components(model._structure, model.encoder[0]))
        return _ReadOnly(
            {
                str(i): _AsModel(encoder, encoder.width)
                for i, (node, encoder) in found
                if type(encoder) is self._kind
                and (not self._leaves or (isinstance(node, LeafSpec) and node.kind in self._leaves))
            },
            self._text,
        )


class _ReadOnly(dict[str, _AsModel]):
    """Parts by number, spelt ``"0"``; 0 finds it as well, as in older files. They cannot be exchanged."""

    def __init__(self, parts: dict[str, _AsModel], text: str):
        super().__init__(parts)
        self._text = text

    def __missing__(self, number: Any) -> _AsModel:
        if not isinstance(number, int):
            raise KeyError(number)
        return self[str(number)]

    def __contains__(self, number: object) -> bool:
        return super().__contains__(str(number))

    def __setitem__(self, number: Any, part: Any) -> None:
        raise ModelError(self._text)


def _components(node: Node, encoder: FeatureEncoder) -> Iterator[tuple[Node, FeatureEncoder]]:
    """Yield the parts of a space that have an encoder of their own, with these."""
    if not isinstance(node, dict | tuple):
        yield node, encoder
        return
    assert isinstance(encoder, PartsEncoder)
    for key, child in node.items() if isinstance(node, dict) else enumerate(node):
        if (part := encoder.part(key)) is not None:
            yield from _components(child, part)


class ComplexInputNetwork(ActorCritic):
    """An encoder for each component of the observation, their features side by side, a dense stack, and the heads.

    Components are whatever a Dict or Tuple holds, however deep, in the space's own order. A picture goes through
    convolutions; anything else through dense layers (`fcnet_hiddens`), a list, text or graph pooled and an alternative
    chosen before that. On all features side by side lie the dense stack `post_fcnet_hiddens`, then linear logits and
    a linear value; see `ActorCritic`. A value of its own (`vf_share_layers` off) has all of that for itself. With
    ``num_outputs=None`` the output is the last dense layer, or the features of all components.

    The default configuration is linear across components: what they mean together takes `post_fcnet_hiddens`.
    """

    logits_layer = OldName("logits", layer_of)
    value_layer = OldName("value_head", layer_of)
    post_fc_stack = _PostStack("encoder")
    cnns = _Parts(PictureEncoder)
    one_hot = _Parts(DenseEncoder, "index")
    flatten = _Parts(DenseEncoder, "real", "binary", "count")

    @property
    def _value_out(self) -> torch.Tensor:
        """The values [N] of the latest forward pass."""
        return self.value_function()

    @_value_out.setter
    def _value_out(self, values: torch.Tensor | None) -> None:
        self._keep("_given", values)

    def value_function(self) -> torch.Tensor:
        """Return the value estimates [N] of the latest forward pass."""
        return super().value_function() if self._given is None else self._given

    def _read_space(self, obs_space: gym.Space[Any]) -> None:
        self._structure = structure_of(obs_space)
        self.original_space = getattr(obs_space, "original_space", obs_space)
        self.processed_obs_space = obs_space
        self.flattened_input_space = nesting.leaves(self.original_space)

    def _policy_encoder(self, resized: int | None) -> tuple[nn.Module, int]:
        components = module_of(component_of(self._structure, self.model_config), self.model_config)
        post = after_encoder(components.width, self.model_config, resized)
        return DenseStack(components, *configured_stack(post, self.model_config)), post.width

    def _network_input(self, input_dict: dict[str, Any]) -> Tree:
        return restore_original_dimensions(of_network(input_dict, "obs"), self.obs_space)


def module_of(plan: EncoderPlan, model_config: Mapping[str, Any]) -> FeatureEncoder:
    """Return the encoder of a plan."""
    match plan:
        case Flat():
            return LeafEncoder(plan)
        case Picture():
            return PictureEncoder(plan.placed, model_config)
        case Behind():
            return DenseEncoder(module_of(plan.inner, model_config), plan.stack, model_config)
        case Parts():
            return PartsEncoder({key: module_of(part, model_config) for key, part in plan.parts.items()})
        case Alternatives():
            options = [module_of(option.inner, model_config) for option in plan.options.values()]
            return AlternativesEncoder(plan, options, model_config)
        case Lists():
            return SetEncoder(module_of(plan.element, model_config), plan.max_len, model_config)
        case Graphs():
            edge = None if plan.edge is None else module_of(plan.edge, model_config)
            return GraphEncoder(module_of(plan.node, model_config), edge, plan.links, model_config)
