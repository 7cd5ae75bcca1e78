"""What a policy remembers of running episodes: recurrent states, and the steps that its model's views look back to.

Letters: B environments, L steps back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from anyspace import tree
from anyspace.errors import ModelError, nearest
from anyspace.maths.gather import Window
from anyspace.maths.xp import Array, xp
from anyspace.models.modelv2 import ModelV2
from anyspace.models.runtime import NumpyArray, Runtime
from anyspace.models.view_requirement import SOURCES, ViewRequirement
from anyspace.spaces.decoding import flatten_actions
from anyspace.tree import Tree

_RENAMED = {"dones": "terminateds", "next_obs": "new_obs"}
"""Columns that had another name once."""

Columns = dict[str, list[NumpyArray]]
"""The leaves of recorded columns, by name; one leaf but for observations and nested actions."""


class Acted(NamedTuple):
    """What a policy did in one step of B environments."""

    raw: Tree
    """Samples of the action distribution, each leaf [B, ...]."""
    state_out: Sequence[NumpyArray]
    """The model's new states, [B, ...] each; none without memory."""


class Views:
    """What a model sees beside the present observation, read from its ``view_requirements`` once.

    Attributes:
        rows: the views among the columns of the model's inputs, by name.
        states: the views that bring the model its states, in order.
        initial: the states before an episode, without batch dimension.
        depth: how many steps back each column is looked at, 0 for those that are looked at in no earlier step.

    Args:
        model: whose views they are.
        runtime: of its framework.
        action_space: the environment's.
        any_action: gives a sample [1, ...] of the action distribution.

    Raises:
        ModelError: a view reads a column that there is not, or looks ahead when acting.
    """

    def __init__(
        self, model: ModelV2, runtime: Runtime, action_space: gym.Space[Any], any_action: Callable[[], Tree]
    ) -> None:
        self._owner = type(model).__name__
        self._action_space = action_space
        self._nested = bool(model.model_config.get("_disable_action_flattening", False))
        initial = model.get_initial_state()
        if not isinstance(initial, list | tuple):
            raise ModelError(
                f"{self._owner}.get_initial_state() must return a list of states, [] for none, but returned"
                f" {type(initial).__name__}. Put a single state into a list."
            )
        self.initial = [_as_numpy(state, runtime) for state in initial]
        views = {}
        for name, view in model.view_requirements.items():
            if not isinstance(view, ViewRequirement):
                raise ModelError(
                    f"{self._owner}.view_requirements[{name!r}] is {view!r}; expected a ViewRequirement, as in"
                    " ViewRequirement('obs', shift=-1)."
                )
            # Old models declare their states as outputs, which says nothing that get_initial_state() does not.
            if not (name.startswith("state_out_") and view.data_col in (None, name) and view.offsets == (0,)):
                views[name] = _resolved(name, view)
        self.states = [
            views.pop(f"state_in_{i}", ViewRequirement(f"state_out_{i}", shift=-1)) for i in range(len(self.initial))
        ]
        self.rows = {name: view for name, view in views.items() if not (name == "obs" and view.offsets == (0,))}
        self.depth: dict[str, int] = {}
        for name, view in [*self.rows.items(), *((f"state_in_{i}", view) for i, view in enumerate(self.states))]:
            source = self._checked(name, view)
            self.depth[source] = max(view.lookback, self.depth.get(source, 0))
        self._like = any_action() if "actions" in self.depth else None

    def _checked(self, name: str, view: ViewRequirement) -> str:
        """Return the column that a view reads."""
        place, source, latest = f"{self._owner}.view_requirements[{name!r}]", view.data_col or name, max(view.offsets)
        known = [*SOURCES, *(f"state_out_{i}" for i in range(len(self.initial)))]
        if source not in known:
            hint = f" It is called {_RENAMED[source]!r}." if source in _RENAMED else nearest(source, known)
            raise ModelError(f"{place}: there is no column {source!r} to look at.{hint} Views read {', '.join(known)}.")
        if view.used_for_compute_actions and latest > (0 if source == "obs" else -1):
            raise ModelError(
                f"{place}: it looks at {source!r} of step t + {latest}, which is not there yet when the action of step"
                " t is chosen. Look further back, or declare it for training alone (used_for_compute_actions=False)."
            )
        if name.startswith("state_in_") and latest > -1:
            raise ModelError(f"{place}: states come from the steps before; let the shift end at -1 or earlier.")
        return source

    def shown(self, *, training: bool) -> dict[str, ViewRequirement]:
        """Return the views that are there in training, or when acting."""
        return {
            name: view
            for name, view in self.rows.items()
            if (view.used_for_training if training else view.used_for_compute_actions)
        }

    @property
    def remembers(self) -> bool:
        """Whether acting takes anything from earlier steps."""
        return any(self.depth.values())

    @property
    def recurrent(self) -> bool:
        """Whether the model has states."""
        return bool(self.initial)

    def fill(self, source: str) -> NumpyArray | int:
        """Return what stands in for a column outside the episode, of its type (see `models.view_requirement`)."""
        number = source.removeprefix("state_out_")
        if number != source:
            return self.initial[int(number)]
        return False if source in ("terminateds", "truncateds") else 0

    def actions(self, raw: Tree) -> list[NumpyArray]:
        """Return samples as views see them: one array, or the leaves of nested ones."""
        return tree.leaves(raw) if self._nested else [flatten_actions(self._action_space, raw)]

    def nested(self, source: str, leaves: list[Array]) -> Tree:
        """Return the leaves of a column other than observations as a model sees them, of any framework."""
        if source != "actions" or not self._nested:
            return leaves[0]
        remaining = iter(leaves)
        return tree.map_leaves(lambda _: next(remaining), self._like)

    def fresh(self, obs: Sequence[NumpyArray]) -> Columns:
        """Return what is seen of steps before episodes that begin with ``obs``, encoded leaves [B, ...]."""
        width = len(obs[0])
        states = [np.broadcast_to(state, (width, *state.shape)) for state in self.initial]
        raw = None
        if self._like is not None:
            raw = tree.map_leaves(lambda leaf: np.zeros((width, *leaf.shape[1:]), leaf.dtype), self._like)
        return self.columns(obs, raw, np.zeros(width, np.float32), states)

    def columns(
        self, obs: Sequence[NumpyArray], raw: Tree, rewards: NumpyArray, state_out: Sequence[NumpyArray]
    ) -> Columns:
        """Return the columns of one step that are looked at, leaves [B, ...]."""
        # That an episode ended is not seen by a later step of it.
        over = np.zeros(len(rewards), np.bool_)
        sources: dict[str, Callable[[], list[NumpyArray]]] = {
            "obs": lambda: [*obs],
            "actions": lambda: self.actions(raw),
            "rewards": lambda: [rewards],
            "terminateds": lambda: [over],
            "truncateds": lambda: [over],
        }
        states = {f"state_out_{i}": state for i, state in enumerate(state_out)}
        return {source: [states[source]] if source in states else sources[source]() for source in self.depth}


def _resolved(name: str, view: ViewRequirement) -> ViewRequirement:
    if (view.data_col or name) == "new_obs":
        # What a step leads to is the observation of the next one.
        return replace(view, data_col="obs", shift=[offset + 1 for offset in view.offsets])
    return replace(view, data_col=view.data_col or name)


def _as_numpy(state: Any, runtime: Runtime) -> NumpyArray:
    array = state if isinstance(state, np.ndarray) else runtime.numpy(state)
    return array.astype(np.float32) if array.dtype == np.float64 else array


@dataclass(frozen=True, repr=False)
class PolicyState:
    """What a caller hands from one call of ``compute_actions`` to the next, when the policy has memory or views."""

    history: History
    """The steps before the latest call."""
    leaves: list[NumpyArray]
    """The latest observations, encoded leaves [B, ...]."""
    acted: Acted
    """What was done on them."""
    begun: npt.NDArray[np.bool_]
    """[B], in which environments an episode begins with the next call."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self.begun)} episodes>"

    def restarted(self, rows: npt.NDArray[np.bool_]) -> PolicyState:
        """Return the state for a next call in which an episode begins where ``rows``, bool [B], holds."""
        return replace(self, begun=self.begun | rows)


@dataclass(frozen=True)
class History:
    """The steps before the present one of B running episodes, as far as they are looked back at.

    What was before an episode is filled in when it begins, so that nothing of the episode before is seen. A history
    is not changed: `after` returns a new one.
    """

    views: Views
    windows: Columns
    """The latest steps of each column, leaves [L, B, ...], oldest first."""

    @classmethod
    def before(cls, views: Views, obs: Sequence[NumpyArray]) -> History:
        """Return that of episodes that begin with ``obs``, encoded leaves [B, ...]."""
        windows = {
            source: [np.repeat(np.asarray(leaf)[None], views.depth[source], axis=0) for leaf in leaves]
            for source, leaves in views.fresh(obs).items()
        }
        return cls(views, windows)

    def after(self, step: Columns, begun: npt.NDArray[np.bool_], obs: Sequence[NumpyArray]) -> History:
        """Return the history one step later.

        Args:
            step: the columns of the step, leaves [B, ...].
            begun: bool [B], where an episode begins after it.
            obs: what the step led to, encoded leaves [B, ...].
        """
        windows = {
            source: [
                np.concatenate([leaf[1:], new[None]]) if len(leaf) else leaf
                for leaf, new in zip(leaves, step[source], strict=True)
            ]
            for source, leaves in self.windows.items()
        }
        if begun.any():
            fresh = self.views.fresh(obs)
            for source, leaves in windows.items():
                for window, first in zip(leaves, fresh[source], strict=True):
                    window[:, begun] = first[begun]
        return History(self.views, windows)

    def states(self, *, own: bool = True) -> list[NumpyArray]:
        """Return the model's states: [B, ...] each, [B, k, ...] where it looks at several steps.

        Args:
            own: as contiguous copies, which a model may change in place; otherwise as views of the history.
        """
        found = []
        for view in self.views.states:
            (window,) = self.windows[str(view.data_col)]
            if view.single:
                found.append(window[view.offsets[0]])
                continue
            everything = view.offsets == tuple(range(-len(window), 0))
            found.append((window if everything else window[[*view.offsets]]).swapaxes(0, 1))
        return [state.copy() for state in found] if own else found

    def seen(self, obs: Sequence[NumpyArray]) -> dict[str, Window]:
        """Return the views that are there when acting on ``obs``, encoded leaves [B, ...]; windows of NumPy arrays."""
        found = {}
        for name, view in self.views.shown(training=False).items():
            source, width = str(view.data_col), len(obs[0])
            stored: list[Array] = [leaf.reshape(-1, *leaf.shape[2:]) for leaf in self.windows[source]]
            if source == "obs":
                stored = [xp(new).concatenate([old, new]) for old, new in zip(stored, obs, strict=True)]
            steps = self.views.depth[source] + np.array(view.offsets)
            found[name] = Window(stored, steps * width + np.arange(width)[:, None])
        return found
