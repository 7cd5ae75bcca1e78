"""From raw observations to what a model sees: checked, encoded, with their mask and the steps before them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypedDict, TypeVar

import numpy as np
import numpy.typing as npt

from anyspace.answers import unknown_argument
from anyspace.errors import ObservationError
from anyspace.models.runtime import NumpyArray
from anyspace.policy.history import History, PolicyState
from anyspace.policy.pipeline import Pipeline
from anyspace.spaces.encoding import batch_shape
from anyspace.spaces.encoding.misfit import FIX_THE_SPACE
from anyspace.spaces.faults import ValueCheck, require_valid
from anyspace.tree import Tree

T = TypeVar("T")
Info = Mapping[str, Any]

ROW = "observation {}".format
"""Spells the position of an observation among several."""


_SAY_ENDED = (
    " Where it is over, and a vector environment starts the next one by itself, say so: `ended=terminated | truncated`."
)


_STACK = (
    " To hand over several observations, stack them part by part, as a vector environment does: a dict that holds under"
    " each key the values of all observations."
)

_STACK_ONE = (
    "Stack it alone: np.asarray(obs)[None], and of a dict or tuple each of its arrays so; compute_single_action takes"
    " one as it is"
)


class SeeingOptions(TypedDict, total=False):
    """What comes with raw observations; see :meth:`anyspace.Policy.compute_actions`."""

    info: Info | Sequence[Info] | None
    """The environment's info; of several their infos, as a vector environment gives them, or in a list."""
    mask: Any
    """Nonzero where a choice is allowed, in any form that ``spaces.ActionMasks`` takes; False allows everything."""
    prev_reward: Any
    """The reward of the previous step, or [N] of them; needed where the model looks at rewards."""
    ended: Any
    """Whether the episode is over with the observation, or [N] booleans: its mask may allow nothing."""


class ActingOptions(SeeingOptions, total=False):
    """How a policy acts on raw observations; see :meth:`anyspace.Policy.compute_actions`."""

    explore: bool
    """Sample instead of taking the deterministic action."""


class Sees(Pipeline):
    """A pipeline that takes raw observations; see :class:`Pipeline` for arguments and errors."""

    def _encoded(self, encode: Callable[..., T], observations: Tree, *more: Any) -> T:
        """Return what encoding observations gives that a caller handed over, who may have no environment to mend."""
        try:
            return encode(observations, *more)
        except ObservationError as error:
            text = str(error).removesuffix(FIX_THE_SPACE).rstrip()
            is_list = isinstance(observations, list | tuple) and all(isinstance(one, Mapping) for one in observations)
            has_keys = isinstance(next(iter(self.encode.specs[0].path), None), str)
            advice = _STACK if is_list and has_keys else ""
            raise ObservationError(f"{text}{advice}") from error.__cause__

    @functools.cached_property
    def _check(self) -> Callable[[Sequence[NumpyArray], Callable[[tuple[int, ...]], str]], None]:
        if self.config.out_of_bounds == "warn":
            return ValueCheck(self.encode, self.masking.positions)
        return functools.partial(require_valid, self.encode)

    def _stacked(self, leaves: Sequence[NumpyArray]) -> list[NumpyArray]:
        """Return encoded observations, which have to be stacked and valid."""
        batch = batch_shape(self.encode.specs[0], leaves[0])
        if len(batch) != 1:
            raise ObservationError(
                "obs: expected several observations, stacked [N, ...],"
                f" got {f'batch dimensions {batch}' if batch else 'one. ' + _STACK_ONE}."
            )
        self.require_valid(leaves, lambda row: f"observation {row[0]}")
        return [*leaves]

    def _seen(
        self,
        leaves: list[NumpyArray],
        state: PolicyState | Sequence[Any] | None,
        options: SeeingOptions,
        mask_name: str,
        *,
        single: bool,
    ) -> tuple[list[NumpyArray], History]:
        """Return encoded observations with their mask, and the steps before them."""
        unknown = options.keys() - ActingOptions.__annotations__.keys()
        if unknown:
            raise unknown_argument("acting", min(unknown), ActingOptions.__annotations__)
        info, mask = options.get("info"), options.get("mask")
        mask = self.masking.given(mask, info, len(leaves[0]), single=single, name=mask_name)
        if mask is not None:
            leaves = [*self.masking.observation(leaves), mask]
        used = ~_ended(options.get("ended"), len(leaves[0]))
        self.require_choice(leaves, used, lambda row: f"observation {row[0]}", _SAY_ENDED)
        obs = self.masking.observation(leaves)
        # Old callers hand an empty list to a policy without memory.
        is_first = state is None or (isinstance(state, list) and not state and not self.views.remembers)
        rewards = options.get("prev_reward")
        return leaves, History.before(self.views, obs) if is_first else self._continued(state, obs, rewards)

    def _continued(self, state: PolicyState | Sequence[Any] | None, obs: Sequence[NumpyArray], rewards: Any) -> History:
        """Return the history of the steps before ``obs``."""
        if not self.views.remembers:
            raise ObservationError("a state was given, but this policy has no memory; leave `state` out.")
        if not isinstance(state, PolicyState) or len(state.begun) != len(obs[0]) or not self._is_ours(state, obs):
            came = repr(state) if isinstance(state, PolicyState) else f"a {type(state).__name__}"
            if isinstance(state, PolicyState) and len(state.begun) == len(obs[0]):
                came += " from a policy that remembers something else"
            raise ObservationError(
                f"state: expected what the previous call for {len(obs[0])} observations returned, got {came}. Begin"
                " with None, and hand back the second thing that each call returns."
            )
        if rewards is None and self.views.depth.get("rewards"):
            raise ObservationError(
                "this policy's model looks at rewards: give the one that the previous step earned as `prev_reward`."
            )
        earned = _earned(rewards, len(obs[0]))
        before = self.masking.observation(state.leaves)
        step = self.views.columns(before, state.acted.raw, earned, state.acted.state_out)
        return state.history.after(step, state.begun, obs)

    def _is_ours(self, state: PolicyState, obs: Sequence[NumpyArray]) -> bool:
        """Whether a state, which may be of another policy, holds what the views of this one look at."""
        if state.history.views is self.views:
            return True
        begun = History.before(self.views, obs).windows
        states = [(initial.shape, initial.dtype.kind) for initial in self.views.initial]
        return (
            {source: _kinds(leaves, 1) for source, leaves in state.history.windows.items()}
            == {source: _kinds(leaves, 1) for source, leaves in begun.items()}
            and _kinds(state.acted.state_out, 0) == states
            and _kinds(self.masking.observation(state.leaves), 0) == _kinds(obs, 0)
        )

    def require_valid(self, leaves: Sequence[NumpyArray], where: Callable[[tuple[int, ...]], str]) -> None:
        """Raise :class:`ObservationError` on the first value of encoded observations that its space does not allow.

        A finite number outside the bounds of a Box is treated as config key ``out_of_bounds`` says.

        Args:
            leaves: one array [N, ...] each, NumPy.
            where: spells a row's position in N.
        """
        self._check(self.masking.observation(leaves), where)

    def require_choice(
        self,
        leaves: Sequence[NumpyArray],
        used: npt.NDArray[np.bool_],
        where: Callable[[tuple[int, ...]], str],
        advice: str = "",
    ) -> None:
        """Raise :class:`ObservationError` if a mask allows nothing in a row whose action is used.

        Args:
            leaves: encoded observations [N, ...].
            used: bool [N], False for rows on which no action is taken.
            where: spells a row's position in N.
            advice: what else to do, for the message.
        """
        mask = self.masking.find(leaves)
        if mask is None:
            return
        stuck = np.argwhere(self.masking.unusable(mask) & used)
        if len(stuck):
            row = tuple(map(int, stuck[0]))
            raise ObservationError(
                f"{where(row)}: the mask allows no action at all: {self.masking.layout.describe_empty(mask[row])}."
                f" Allow at least one, or end the episode.{advice}"
            )


def _kinds(leaves: Sequence[NumpyArray], axis: int) -> list[tuple[tuple[int, ...], str]]:
    """Return the shapes of leaves without the axis of the batch, and the kinds of their numbers."""
    return [(leaf.shape[:axis] + leaf.shape[axis + 1 :], leaf.dtype.kind) for leaf in leaves]


def _ended(ended: Any, count: int) -> npt.NDArray[np.bool_]:
    """Return where a caller said that an episode is over, bool [``count``]; nowhere where nothing was said."""
    flags = np.asarray(False if ended is None else ended)
    if flags.dtype.kind != "b" or flags.shape not in ((), (1,), (count,)):
        raise ObservationError(
            f"ended: expected True or False, or one for each of {count} observations, got {ended!r:.80}."
        )
    return np.broadcast_to(flags, (count,))


def _earned(rewards: Any, count: int) -> NumpyArray:
    """Return the previous rewards that a caller gave, [``count``] float32; zeros where none came."""
    earned = np.asarray(0.0 if rewards is None else rewards)
    if earned.dtype.kind not in "bifu" or earned.shape not in ((), (1,), (count,)) or not np.isfinite(earned).all():
        raise ObservationError(
            f"prev_reward: expected a finite number, or one for each of {count} observations, got {rewards!r:.80}."
        )
    return np.broadcast_to(earned.astype(np.float32), (count,))
