"""Acting with other weights than those that learn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from anyspace.distributions import ActionDistribution
from anyspace.maths.xp import Array, xp
from anyspace.models.modelv2 import ModelV2
from anyspace.models.runtime import NumpyForward, RandomSource, Runtime
from anyspace.policy.exploration import PerturbingExploration
from anyspace.policy.passes import CompiledPasses


@dataclass(frozen=True)
class Network:
    """What acts: a model, and its NumPy twin where there is one. Its weights stay for as long as it is used."""

    model: ModelV2
    distribution: Callable[[Array, Array | None], ActionDistribution]
    """The action distribution of its inputs [B, P] and a mask."""
    twin: NumpyForward | None
    passes: CompiledPasses | None
    """The model's passes, where they are compiled."""


class Perturbed:
    """A second network, whose weights are those that learn with noise on them: an exploration says how much.

    Args:
        model: the second network.
        source: the network that learns; nothing here changes it.
        runtime: of both.
        exploration: makes the noise.
        network: returns the second network as it acts with its present weights.
        version: returns how often the weights that learn have changed.
    """

    def __init__(
        self,
        model: ModelV2,
        source: ModelV2,
        runtime: Runtime,
        exploration: PerturbingExploration,
        network: Callable[[], Network],
        version: Callable[[], int],
    ):
        self._model, self._source, self._runtime, self._network = model, source, runtime, network
        self._exploration, self._version = exploration, version
        self._made: tuple[int, Network] | None = None
        self._with_noise = frozenset(name for name in runtime.trained(source) if source.takes_noise(name))

    def begin(self, source: RandomSource) -> None:
        """Let the exploration take new noise; its random bits are those of four numbers of a source."""
        like = self._runtime.asarray(np.zeros(1, np.float32))
        numbers = self._runtime.numpy(xp(like).normal(self._runtime.rng(source), (4,), like=like))
        self._exploration.begin(np.asarray(numbers, np.float32).view(np.uint32))
        self._made = None

    def forget(self) -> None:
        """Take note that weights or noise are others than before, whatever their version."""
        self._made = None

    def network(self) -> Network:
        """Return the network, with the present noise on the present weights; it is made anew where one has changed."""
        version = self._version()
        if self._made is None or self._made[0] != version:
            self._made = version, self._new_network()
        return self._made[1]

    def _new_network(self) -> Network:
        weights = self._runtime.parameters(self._source)
        self._runtime.load_parameters(self._model, self._exploration.perturbed(weights, self._with_noise.__contains__))
        return self._network()

    def compare(self, own: ActionDistribution, perturbed: ActionDistribution) -> None:
        """Tell the exploration what both networks would do."""
        self._exploration.compare(own, perturbed)
