"""``Actor``: one step of B environments, from encoded observations to raw actions."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from anyspace import tree
from anyspace.distributions import ActionDistribution
from anyspace.maths.gather import Gathered, Window
from anyspace.maths.xp import Array
from anyspace.models.modelv2 import State
from anyspace.models.runtime import NumpyArray, RandomSource, Runtime
from anyspace.policy.exploration import Exploration
from anyspace.policy.exploration.contract import ChoiceCheck
from anyspace.policy.history import Acted, History
from anyspace.policy.inputs import Inputs
from anyspace.policy.perturbed import Network, Perturbed
from anyspace.tree import Tree


@dataclass
class Actor:
    """Chooses actions with weights that do not change: a pipeline's NumPy twin, or its network.

    The twin acts where there is one, unless a sample is wanted whose noise was not drawn ahead: the random sources are
    the framework's, and so is that sample.
    """

    network: Network
    """Of the weights that learn."""
    runtime: Runtime
    inputs: Inputs
    """Makes the model's input dict."""
    exploration: Exploration
    source: RandomSource
    """Where samples draw from; "acting" where a fleet collects."""
    check: ChoiceCheck | None
    """Checks what the exploration chooses, if a user wrote it."""
    perturbed: Perturbed | None = None
    """What acts in the network's place where actions explore, if anything does."""
    _noisy: Network | None = field(default=None, init=False)

    def draw_noise(self, blank: ActionDistribution, steps: int) -> NumpyArray | None:
        """Draw the exploration noise [steps, B, W] of the next calls ahead, if that is possible.

        Args:
            blank: a distribution of B rows, whatever its inputs are.
            steps: how many calls.
        """
        noise = self.exploration.draw(blank, self.runtime.rng(self.source, blank.inputs), steps)
        return None if noise is None else self.runtime.numpy(noise)

    def __call__(
        self,
        leaves: Sequence[NumpyArray],
        history: History | None = None,
        *,
        explore: bool = True,
        noise: NumpyArray | None = None,
        begun: NumpyArray | None = None,
    ) -> Acted:
        """Return raw actions (as the distribution gives them) for encoded NumPy observations [B, ...].

        Args:
            leaves: the observations, and the mask beside them if there is one.
            history: the steps before; None: these are first observations.
            explore: sample instead of taking the deterministic action.
            noise: [B, W], what to sample from, if it was drawn ahead.
            begun: bool [B], where an episode begins with the observation; None: nobody says.
        """
        masking = self.inputs.masking
        obs, mask = masking.observation(leaves), masking.find(leaves)
        if not self.inputs.views.depth:
            history = None
        elif history is None:
            history = History.before(self.inputs.views, obs)
        network = self._exploring(begun) if explore else self.network
        # Both networks have twins or none, unless somebody hooked one of them.
        has_twin = network.twin is not None and self.network.twin is not None
        by_twin = has_twin and (noise is not None or not explore)
        in_numpy = by_twin or network.passes is not None
        forward = partial(self._in_numpy, by_twin=by_twin) if in_numpy else self._by_network
        distribution, state_out = forward(network, obs, mask, history, explore)
        if network is not self.network and self.source == "acting":
            assert self.perturbed is not None
            self.perturbed.compare(forward(self.network, obs, mask, history, explore)[0], distribution)
        if by_twin:
            raw = self.exploration.choose(distribution, explore=explore, rng=None, noise=noise)
            return Acted(raw if self.check is None else self._as_arrays(raw, distribution), state_out)
        return self._chosen(distribution, state_out, explore, noise)

    def _in_numpy(
        self,
        network: Network,
        obs: Sequence[NumpyArray],
        mask: NumpyArray | None,
        history: History | None,
        explore: bool,
        *,
        by_twin: bool,
    ) -> tuple[ActionDistribution, Sequence[Array]]:
        """Run the twin, or a compiled pass: both take NumPy's arrays and return them."""
        views: dict[str, Window] = {} if history is None else history.acting_windows(obs)
        states: State = [] if history is None else history.states(own=False)
        found: tuple[Array, Sequence[Array]]
        if by_twin:
            assert network.twin is not None
            found = network.twin(self.inputs.of(obs, mask, views, False), states)
        else:
            assert network.passes is not None
            found = network.passes.act(obs, mask, views, states, explore=explore)
        return network.distribution(found[0], mask), found[1]

    def _by_network(
        self,
        network: Network,
        obs: Sequence[NumpyArray],
        mask: NumpyArray | None,
        history: History | None,
        explore: bool,
    ) -> tuple[ActionDistribution, Sequence[Array]]:
        runtime, model = self.runtime, network.model
        views: dict[str, Window] = {}
        states: State = []
        if history is not None:
            views = {name: on_device(runtime, window) for name, window in history.acting_windows(obs).items()}
            states = [runtime.asarray(state) for state in history.states()]
        placed = None if mask is None else runtime.asarray(mask)
        inputs = self.inputs.of([runtime.asarray(leaf) for leaf in obs], placed, views, False)
        seq_lens = runtime.asarray(np.ones(len(obs[0]), np.int32)) if self.inputs.views.recurrent else None
        if seq_lens is not None:
            inputs.add_states(states, seq_lens)
        runtime.set_training(model, False)
        output, state_out = model(inputs, states, seq_lens)
        if explore:
            dist_inputs = model.exploring_inputs(output, placed, runtime.rng(self.source))
        else:
            dist_inputs = model.action_inputs(output, placed)
        return network.distribution(dist_inputs, placed), state_out

    def _chosen(
        self, distribution: ActionDistribution, state_out: Sequence[Array], explore: bool, noise: NumpyArray | None
    ) -> Acted:
        """Return the actions of a network's distribution, as NumPy arrays."""
        runtime = self.runtime
        rng = None if noise is not None else runtime.rng(self.source, distribution.inputs)
        drawn = None if noise is None else runtime.asarray(noise)
        sampling = explore and noise is None
        with runtime.own_randomness(self.source) if sampling else contextlib.nullcontext():
            raw = self.exploration.choose(distribution, explore=explore, rng=rng, noise=drawn)
        return Acted(self._as_arrays(raw, distribution), [runtime.numpy(state) for state in state_out])

    def _as_arrays(self, raw: Tree, distribution: ActionDistribution) -> Tree:
        """Return chosen actions as NumPy arrays."""
        if self.check is not None:
            return self.check(raw, distribution.inputs.shape[0], self.runtime.numpy)
        return tree.map_leaves(self.runtime.numpy, raw)

    def _exploring(self, begun: NumpyArray | None) -> Network:
        """Return the network that explores; with an episode of the first environment its noise begins anew."""
        if self.perturbed is None:
            return self.network
        begins = self.source == "acting" and begun is not None and bool(begun[0])
        if begins:
            self.perturbed.begin(self.source)
        if begins or self._noisy is None:
            self._noisy = self.perturbed.network()
        return self._noisy


def on_device(runtime: Runtime, rows: Any) -> Any:
    """Return rows of NumPy arrays, plain, `Gathered` or in a `Window`, as rows of tensors on the device."""
    if isinstance(rows, Window):
        missing = None if rows.missing is None else runtime.asarray(rows.missing)
        stored = [on_device(runtime, leaf) for leaf in rows.stored]
        return Window(stored, runtime.asarray(rows.index), missing)
    if isinstance(rows, Gathered):
        return Gathered(runtime.asarray(rows.stored), runtime.asarray(rows.index))
    return runtime.asarray(rows)
