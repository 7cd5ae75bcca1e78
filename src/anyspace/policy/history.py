"""What a policy remembers of running episodes: recurrent states, and the earlier steps that its model's views show.

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
from anyspace.spaces.decoding import ActionFlattener
from anyspace.tree import Tree

RENAMED = {"dones": "terminateds", "next_obs": "new_obs"}
"""Columns that had another name once."""

Columns = dict[str, list[Array]]
"""The leaves of recorded columns, by name: one leaf, several for observations and nested actions."""


class Acted(NamedTuple):
    """What a policy did in one step of B environments."""

    raw: Tree
    """Samples of the action distribution, each leaf [B, ...]."""
    state_out: Sequence[NumpyArray]
    """The model's new states, [B, ...] each; none without memory."""


class ModelViews:
    """What a model sees beside the present observation, read from its ``view_requirements`` once.

    Attributes:
        rows: the views among the columns of the model's inputs, by name.
        states: the views that give the model its states, in order.
        initial: the states before an episode, without batch dimension.
        depth: how many steps back the views look at each column; 0 where they look at no earlier step.

    Args:
        model: the model whose views they are.
        runtime: the runtime of its framework.
        action_space: the environment's.
        any_action: gives a sample [1, ...] of the action distribution.

    Raises:
        ModelError: a view reads an unknown column, or a later step while acting.
    """

    def __init__(
        self, model: ModelV2, runtime: Runtime, action_space: gym.Space[Any], any_action: Callable[[], Tree]
    ) -> None:
        self._owner = type(model).__name__
        self._flatten = ActionFlattener(action_space)
        self._nested = bool(model.model_config.get("_disable_action_flattening", False))
        initial = model.get_initial_state()
        if not isinstance(initial, list | tuple):
            raise ModelError(
                f"{self._owner}.get_initial_state() must return a list of states, [] for none, but returned"
                f" {type(initial).__name__}. Put a single state into a list."
            )
        self.initial = [self._as_numpy(number, state, runtime) for number, state in enumerate(initial)]
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

    def _as_numpy(self, number: int, state: Any, runtime: Runtime) -> NumpyArray:
        """Return an initial state, an array of any framework or a number, as an array of NumPy."""
        if isinstance(state, int | float | np.generic):
            state = np.asarray(state)
        if getattr(state, "shape", None) is None:
            raise ModelError(
                f"{self._owner}.get_initial_state() gave {type(state).__name__} as state {number}, but each state is an"
                " array of numbers. Return several as one flat list, such as [h, c]."
            )
        array = state if isinstance(state, np.ndarray) else runtime.numpy(state)
        return array.astype(np.float32) if array.dtype == np.float64 else array

    def _checked(self, name: str, view: ViewRequirement) -> str:
        """Return the column that a view reads."""
        place, source, latest = f"{self._owner}.view_requirements[{name!r}]", view.data_col or name, max(view.offsets)
        known = [*SOURCES, *(f"state_out_{i}" for i in range(len(self.initial)))]
        if source not in known:
            if source.startswith("state_out_"):
                raise ModelError(
                    f"{place}: it looks at {source!r}, but get_initial_state() returns {len(self.initial)} states. Let"
                    " it return an array of zeros for each, without the dimension of the batch."
                )
            hint = f" It is called {RENAMED[source]!r}." if source in RENAMED else nearest(source, known)
            raise ModelError(f"{place}: there is no column {source!r} to look at.{hint} Views read {', '.join(known)}.")
        if view.used_for_compute_actions and latest > (0 if source == "obs" else -1):
            raise ModelError(
                f"{place}: it looks at {source!r} of step t + {latest}, which is not there yet when the action of step"
                " t is chosen. Look further back, or declare it for training alone (used_for_compute_actions=False)."
            )
        if name.startswith("state_in_") and latest > -1:
            raise ModelError(f"{place}: states come from the steps before; let the shift end at -1 or earlier.")
        return source

    def training_views(self) -> dict[str, ViewRequirement]:
        """Return the views that a model has in training."""
        return {name: view for name, view in self.rows.items() if view.used_for_training}

    def acting_views(self) -> dict[str, ViewRequirement]:
        """Return the views that a model has when acting."""
        return {name: view for name, view in self.rows.items() if view.used_for_compute_actions}

    @property
    def lookahead(self) -> int:
        """How many steps behind an observation have to be known for all that the views of training show to it.

        An action or reward with shift 0 is that of the step that begins with it.
        """
        known = [max(view.offsets) + (view.data_col != "obs") for view in self.training_views().values()]
        return max([0, *known])

    @property
    def remembers(self) -> bool:
        """Whether acting takes anything from earlier steps."""
        return any(self.depth.values())

    @property
    def recurrent(self) -> bool:
        """Whether the model has states."""
        return bool(self.initial)

    def fill(self, source: str) -> NumpyArray | int:
        """Return the value that a view shows of a column outside the episode, of its type.

        See :mod:`anyspace.models.view_requirement`.
        """
        number = source.removeprefix("state_out_")
        if number != source:
            return self.initial[int(number)]
        return False if source in ("terminateds", "truncateds") else 0

    def actions(self, raw: Tree) -> list[Array]:
        """Return samples as views see them: one array, or the leaves of nested ones."""
        if not self._nested:
            return [self._flatten(raw)]
        # In the order of the distribution's own samples, which a compiled step may hand back sorted by key.
        found: list[Array] = []
        tree.map_leaves(lambda _, leaf: found.append(leaf), self._like, raw)
        return found

    def nested(self, source: str, leaves: list[Array]) -> Tree:
        """Return the leaves of a column other than observations as a model sees them, of any framework."""
        if source != "actions" or not self._nested:
            return leaves[0]
        remaining = iter(leaves)
        return tree.map_leaves(lambda _: next(remaining), self._like)

    def before_episodes(self, obs: Sequence[Array]) -> Columns:
        """Return what views show of steps before episodes that begin with ``obs``: leaves [B, ...], encoded ones too.

        Args:
            obs: the first observations, encoded leaves [B, ...] of any framework, which the results are of.
        """
        ns, width = xp(obs[0]), obs[0].shape[0]

        def repeated(array: NumpyArray) -> Array:
            return ns.broadcast_to(ns.asarray(array, like=obs[0]), (width, *array.shape))

        states = [repeated(state) for state in self.initial]
        raw = None
        if self._like is not None:
            raw = tree.map_leaves(lambda leaf: repeated(np.zeros(leaf.shape[1:], leaf.dtype)), self._like)
        return self.columns(obs, raw, repeated(np.zeros((), np.float32)), states)

    def columns(self, obs: Sequence[Array], raw: Tree, rewards: Array, state_out: Sequence[Array]) -> Columns:
        """Return the columns of one step that any view reads, leaves [B, ...] of any framework."""

        def never() -> list[Array]:
            # That an episode ended is not seen by a later step of it.
            return [xp(rewards).asarray(np.zeros(rewards.shape, np.bool_), like=rewards)]

        sources: dict[str, Callable[[], list[Array]]] = {
            "obs": lambda: [*obs],
            "actions": lambda: self.actions(raw),
            "rewards": lambda: [rewards],
            "terminateds": never,
            "truncateds": never,
        }
        states = {f"state_out_{i}": state for i, state in enumerate(state_out)}
        return {source: [states[source]] if source in states else sources[source]() for source in self.depth}


def _resolved(name: str, view: ViewRequirement) -> ViewRequirement:
    if (view.data_col or name) == "new_obs":
        # What a step leads to is the observation of the next one.
        return replace(view, data_col="obs", shift=[offset + 1 for offset in view.offsets])
    return replace(view, data_col=view.data_col or name)


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
    """The steps before the present one of B running episodes, as many as the views show.

    The steps before an episode are filled in when it begins, so that nothing of the episode before is shown. A history
    is not changed: `after` returns a new one. Its arrays are NumPy's or another framework's.

    An example: a view looks at the rewards of steps t-2 and t-1, in two environments whose last rewards were 1, 2, 3
    and 7, 8, 9. Then ``windows["rewards"]`` is ``[[[2, 8], [3, 9]]]``, one leaf [L=2, B=2]. The next step earns 4 in
    both, and in the second an episode ends with it: ``after`` makes it ``[[[3, 0], [4, 0]]]``.
    """

    views: ModelViews
    windows: Columns
    """The latest steps of each column, leaves [L, B, ...], oldest first."""

    @classmethod
    def before(cls, views: ModelViews, obs: Sequence[Array]) -> History:
        """Return the history of episodes that begin with ``obs``, encoded leaves [B, ...]."""

        def repeated(leaf: Array, depth: int) -> Array:
            ns = xp(leaf)
            return ns.copy(ns.broadcast_to(leaf[None], (depth, *leaf.shape)))

        windows = {
            source: [repeated(leaf, views.depth[source]) for leaf in leaves]
            for source, leaves in views.before_episodes(obs).items()
        }
        return cls(views, windows)

    def after(self, step: Columns, begun: Array, obs: Sequence[Array]) -> History:
        """Return the history one step later.

        Args:
            step: the columns of the step, leaves [B, ...].
            begun: bool [B], where an episode begins after it.
            obs: what the step led to, encoded leaves [B, ...].
        """
        windows = {
            source: [
                xp(new).concatenate([leaf[1:], new[None]]) if leaf.shape[0] else leaf
                for leaf, new in zip(leaves, step[source], strict=True)
            ]
            for source, leaves in self.windows.items()
        }
        # Whether any episode begins is asked of NumPy alone: a compiled step cannot branch on it.
        if isinstance(begun, np.ndarray) and not begun.any():
            return History(self.views, windows)
        fresh = self.views.before_episodes(obs)
        windows = {
            source: [
                xp(window).put_columns(window, begun, first) if window.shape[0] else window
                for window, first in zip(leaves, fresh[source], strict=True)
            ]
            for source, leaves in windows.items()
        }
        return History(self.views, windows)

    def states(self, *, own: bool = True) -> list[Array]:
        """Return the model's states: [B, ...] each, [B, k, ...] where it looks at several steps.

        Args:
            own: as contiguous copies, which a model may change in place; otherwise as views of the history.
        """
        found = []
        for view in self.views.states:
            (window,) = self.windows[str(view.data_col)]
            ns, length = xp(window), window.shape[0]
            if view.single:
                found.append(window[length + view.offsets[0]])
                continue
            if view.offsets != tuple(range(-length, 0)):
                window = ns.take_rows(window, ns.asarray(length + np.array(view.offsets), like=window))
            found.append(ns.swapaxes(window, 0, 1))
        return [xp(state).copy(state) for state in found] if own else found

    def acting_windows(self, obs: Sequence[Array]) -> dict[str, Window]:
        """Return what the views show when acting on ``obs``, encoded leaves [B, ...], by the views' names.

        An example: a view of the observations of steps t-1 and t, in two environments. The window stores the
        observations of t-1 and then the present ones, four rows, and its index is ``[[0, 2], [1, 3]]``.
        """
        found, width = {}, obs[0].shape[0]
        for name, view in self.views.acting_views().items():
            source = str(view.data_col)
            stored = [_steps_as_rows(leaf) for leaf in self.windows[source]]
            if source == "obs":
                stored = [xp(new).concatenate([old, new]) for old, new in zip(stored, obs, strict=True)]
            steps = self.views.depth[source] + np.array(view.offsets)
            index = steps * width + np.arange(width)[:, None]
            found[name] = Window(stored, xp(obs[0]).asarray(index, like=obs[0]))
        return found


def _steps_as_rows(window: Array) -> Array:
    """Return [L, B, ...] as [L * B, ...]."""
    length, width, *shape = window.shape
    return xp(window).reshape(window, (length * width, *shape))
