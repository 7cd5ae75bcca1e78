"""Encoders of single leaves and of what holds several things, for observations that are no flat vector.

Letters: N rows, F features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from anyspace.models.architecture import Stack
from anyspace.models.components import Alternatives, Flat, require_parts
from anyspace.models.pictures import Convolutions
from anyspace.models.torch.convolution import ConvolutionStack
from anyspace.models.torch.layers import configured_stack
from anyspace.spaces.preprocessors import one_hot
from anyspace.tree import Tree


class FeatureEncoder(nn.Module):
    """Maps part of an observation, restored to its structure, to features [N, F]; ``width`` is F."""

    width: int


class LeafEncoder(FeatureEncoder):
    """An array as it is, flat; indices that no preprocessor has touched become one-hot."""

    def __init__(self, plan: Flat):
        super().__init__()
        self._leaf, self.width = plan.leaf, plan.width

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the features of an array [N, ...] of any dtype."""
        if self._leaf.kind == "index" and not x.is_floating_point():
            x = one_hot(self._leaf, x)
        return x.float().reshape(len(x), self.width)


class PictureEncoder(FeatureEncoder):
    """A picture through convolutions of its own."""

    def __init__(self, placed: Convolutions, model_config: Mapping[str, Any]):
        super().__init__()
        self.convolutions = ConvolutionStack(placed, model_config)
        self.width = self.convolutions.width

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the features of pictures, in their own order of axes."""
        features: torch.Tensor = self.convolutions(x)
        return features


class DenseEncoder(FeatureEncoder):
    """Another encoder and dense layers (`fcnet_hiddens`) on its features."""

    def __init__(self, encoder: FeatureEncoder, layers: Stack, model_config: Mapping[str, Any]):
        super().__init__()
        self.encoder = encoder
        self.dense = configured_stack(layers, model_config)
        self.width = layers.width

    def forward(self, x: Tree) -> torch.Tensor:
        """Return the features of what the encoder takes."""
        features: torch.Tensor = self.dense(self.encoder(x))
        return features


class PartsEncoder(FeatureEncoder):
    """The parts of a Dict or Tuple side by side, in the space's own order."""

    def __init__(self, parts: Mapping[Any, FeatureEncoder]):
        super().__init__()
        self._keys = [*parts]
        self.parts = nn.ModuleList(parts.values())
        self.width = sum(part.width for part in parts.values())

    def part(self, key: Any) -> FeatureEncoder | None:
        """Return the encoder of a part; None: it has no features."""
        if key not in self._keys:
            return None
        found = self.parts[self._keys.index(key)]
        assert isinstance(found, FeatureEncoder)
        return found

    def forward(self, x: Tree) -> torch.Tensor:
        """Return the features of a dict, or of a list or tuple."""
        require_parts(x)
        features = [part(x[key]) for key, part in zip(self._keys, self.parts, strict=True)]
        return features[0] if len(features) == 1 else torch.cat(features, dim=1)


class AlternativesEncoder(FeatureEncoder):
    """One of several alternatives: which one, one-hot, and its features, through a dense layer of its own.

    The values of the alternatives that are not chosen change nothing.
    """

    def __init__(self, plan: Alternatives, options: Sequence[FeatureEncoder], model_config: Mapping[str, Any]):
        super().__init__()
        self.which = LeafEncoder(plan.which)
        self._positions = [*plan.options]
        self.options = nn.ModuleList(options)
        self.dense = nn.ModuleList(configured_stack(option.stack, model_config) for option in plan.options.values())
        self.width = plan.width

    def forward(self, x: Sequence[Tree]) -> torch.Tensor:
        """Return the features of a list: the choice, one-hot [N, A] or indices [N], then every alternative."""
        which: torch.Tensor = self.which(x[0])
        chosen: list[torch.Tensor] = []
        for position, option, dense in zip(self._positions, self.options, self.dense, strict=True):
            features = dense(option(x[1 + position]))
            chosen.append(torch.where(which[:, position : position + 1] > 0, features, 0.0))
        return torch.cat([which, sum(chosen[1:], start=chosen[0])], dim=1) if chosen else which
