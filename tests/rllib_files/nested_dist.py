"""A distribution over nested actions, put together and looked into as the old class allowed."""

from functools import partial

import numpy as np

from anyspace.rllib.models.action_dist import ActionDistribution
from anyspace.rllib.models.catalog import ModelCatalog
from anyspace.rllib.models.torch.torch_action_dist import (
    TorchBeta,
    TorchCategorical,
    TorchDiagGaussian,
    TorchMultiActionDistribution,
)
from anyspace.rllib.utils.annotations import override
from anyspace.rllib.utils.framework import try_import_torch
from anyspace.rllib.utils.spaces.space_utils import flatten_space, get_base_struct_from_space

torch, nn = try_import_torch()


class TorchCautiousActions(TorchMultiActionDistribution):
    """Takes the entropy of choices twice."""

    def __init__(self, inputs, model, *, child_distributions, input_lens, action_space):
        super().__init__(
            inputs, model, child_distributions=child_distributions, input_lens=input_lens, action_space=action_space
        )
        assert set(self.action_space_struct) == set(get_base_struct_from_space(action_space))

    @override(ActionDistribution)
    def entropy(self):
        weights = [2.0 if isinstance(d, TorchCategorical) else 1.0 for d in self.flat_child_distributions]
        return sum(w * d.entropy() for w, d in zip(weights, self.flat_child_distributions))

    @override(ActionDistribution)
    def kl(self, other):
        return sum(d.kl(o) for d, o in zip(self.flat_child_distributions, other.flat_child_distributions))


def by_hand(action_space, inputs):
    """Build the distribution from NumPy inputs, as code beside a policy does."""
    children, lens = [], []
    for space in flatten_space(action_space):
        dist, size = ModelCatalog.get_action_dist(space, {}, framework="torch")
        children.append({"Box": TorchDiagGaussian, "Discrete": TorchCategorical}.get(type(space).__name__, dist))
        lens.append(size)
    dist = TorchCautiousActions(inputs, None, child_distributions=children, input_lens=lens, action_space=action_space)
    return dist, np.cumsum(lens)


bounded = partial(TorchBeta, low=-1.0, high=1.0)
