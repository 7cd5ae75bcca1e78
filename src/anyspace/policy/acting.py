"""``Actor``: one step of B environments, from encoded observations to raw actions."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from anyspace import tree
from anyspace.distributions import ActionDistribution
from anyspace.maths.gather import Gathered, Window
from anyspace.maths.xp import Array
from anyspace.models.modelv2 import ModelV2, State
from anyspace.models.runtime import CompiledForward, NumpyArray, RandomSource, Runtime
from anyspace.policy.exploration import Exploration
from anyspace.policy.history import Acted, History
from anyspace.policy.inputs import Inputs
from anyspace.policy.passes import CompiledPasses


@dataclass(frozen=True)
class Actor:
    """Chooses actions with weights that do not change: a pipeline's NumPy twin, or its network.

    The twin acts where there is one, unless a sample is wanted whose noise was not drawn ahead: the random sources are
    the framework's, and so is that sample.
    """

    model: ModelV2
    runtime: Runtime
    inputs: Inputs
    """Makes the model's input dict."""
    distribution: Callable[[Array, Array | None], ActionDistribution]
    """The action distribution of its inputs [B, P] and a mask."""
    exploration: Exploration
    twin: CompiledForward | None
    passes: CompiledPasses
    """The network's passes, where they are compiled."""
    source: RandomSource
    """Where samples draw from."""

    def draw_noise(self, blank: ActionDistribution, steps: int) -> NumpyArray | None:
        """Draw the exploration noise [steps, B, W] of the next calls ahead, if that is possible.

        Args:
            blank: a distribution of B rows, whatever its inputs are.
            steps: how many calls.
        """
        noise = self.exploration.draw(blank, self.runtime.rng(self.source), steps)
        return None if noise is None else self.runtime.numpy(noise)

    def __call__(
        self,
        leaves: Sequence[NumpyArray],
        history: History | None = None,
        *,
        explore: bool = True,
        noise: NumpyArray | None = None,
    ) -> Acted:
        """Return raw actions (as the distribution gives them) for encoded NumPy observations [B, ...].

        Args:
            leaves: the observations, and the mask beside them if there is one.
            history: the steps before; None: these are first observations.
            explore: sample instead of taking the deterministic action.
            noise: [B, W], what to sample from, if it was drawn ahead.
        """
        masking = self.inputs.masking
        obs, mask = masking.observation(leaves), masking.find(leaves)
        if not self.inputs.views.depth:
            history = None
        elif history is None:
            history = History.before(self.inputs.views, obs)
        if self.twin is not None and (noise is not None or not explore):
            return self._by_twin(self.twin, obs, mask, history, explore, noise)
        if self.runtime.compiles(self.model):
            return self._by_pass(obs, mask, history, explore, noise)
        return self._by_network(obs, mask, history, explore, noise)

    def _by_twin(
        self,
        twin: CompiledForward,
        obs: Sequence[NumpyArray],
        mask: NumpyArray | None,
        history: History | None,
        explore: bool,
        noise: NumpyArray | None,
    ) -> Acted:
        views: dict[str, Window] = {} if history is None else history.acting_windows(obs)
        states: State = [] if history is None else history.states(own=False)
        dist_inputs, state_out = twin(self.inputs.of(obs, mask, views, False), states)
        distribution = self.distribution(dist_inputs, mask)
        return Acted(self.exploration.choose(distribution, explore=explore, rng=None, noise=noise), state_out)

    def _by_pass(
        self,
        obs: Sequence[NumpyArray],
        mask: NumpyArray | None,
        history: History | None,
        explore: bool,
        noise: NumpyArray | None,
    ) -> Acted:
        views: dict[str, Window] = {} if history is None else history.acting_windows(obs)
        states: State = [] if history is None else history.states(own=False)
        dist_inputs, state_out = self.passes.act(obs, mask, views, states, explore=explore)
        distribution = self.distribution(dist_inputs, mask)
        rng = None if noise is not None else self.runtime.rng(self.source)
        raw = self.exploration.choose(distribution, explore=explore, rng=rng, noise=noise)
        return Acted(tree.map_leaves(self.runtime.numpy, raw), state_out)

    def _by_network(
        self,
        obs: Sequence[NumpyArray],
        mask: NumpyArray | None,
        history: History | None,
        explore: bool,
        noise: NumpyArray | None,
    ) -> Acted:
        runtime = self.runtime
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
        runtime.set_training(self.model, False)
        output, state_out = self.model(inputs, states, seq_lens)
        if explore:
            dist_inputs = self.model.exploring_inputs(output, placed, runtime.rng(self.source))
        else:
            dist_inputs = self.model.action_inputs(output, placed)
        distribution = self.distribution(dist_inputs, placed)
        rng = None if noise is not None else runtime.rng(self.source)
        drawn = None if noise is None else runtime.asarray(noise)
        sampling = explore and noise is None
        with runtime.own_randomness(self.source) if sampling else contextlib.nullcontext():
            raw = self.exploration.choose(distribution, explore=explore, rng=rng, noise=drawn)
        return Acted(tree.map_leaves(runtime.numpy, raw), [runtime.numpy(state) for state in state_out])


def on_device(runtime: Runtime, rows: Any) -> Any:
    """Return rows of NumPy arrays, plain, `Gathered` or in a `Window`, as rows of tensors on the device."""
    if isinstance(rows, Window):
        missing = None if rows.missing is None else runtime.asarray(rows.missing)
        stored = [on_device(runtime, leaf) for leaf in rows.stored]
        return Window(stored, runtime.asarray(rows.index), missing)
    if isinstance(rows, Gathered):
        return Gathered(runtime.asarray(rows.stored), runtime.asarray(rows.index))
    return runtime.asarray(rows)
