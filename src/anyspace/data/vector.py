"""Vector environments behind one small interface, whatever resets them and however they run."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv, VectorWrapper

from anyspace.data.atari import LIFE_LOST, is_atari
from anyspace.data.batching import autoreset_mode_of, is_limited, take_rows
from anyspace.data.contract import RESET, STEP, cannot_unpack, close, described, failed_stacking, refuse_exit
from anyspace.data.env_calls import EnvCallError, call
from anyspace.data.infos import Infos, listed, stack_faithfully, with_own_arrays, with_reset
from anyspace.data.last_observations import LastObservations
from anyspace.data.processes import Processes
from anyspace.data.running_statistics import wrappers_with_statistics
from anyspace.data.structure import require_structure
from anyspace.data.supersuit import adapted
from anyspace.data.trajectory import Bools, Floats, Ints
from anyspace.data.vector_values import checked, require_open
from anyspace.errors import AnyspaceError, EnvironmentSetupError
from anyspace.tree import Tree

Envs = VectorEnv[Any, Any, Any]


class Step(NamedTuple):
    """One step of B environments. The source may write its next step into the same arrays."""

    obs: Tree
    """Stacked observations to act on next, [B, ...]."""
    rewards: Floats
    """[B]."""
    terminated: Bools
    """[B]."""
    truncated: Bools
    """[B]."""
    ignored: Bools
    """[B] True where the source reset an environment instead of taking its action."""
    ended: Ints
    """[n] environments whose last observation is in ``final_obs`` because ``obs`` holds a new episode's."""
    final_obs: Tree
    """Stacked observations [n, ...], or None where n is 0."""
    infos: Infos
    """As ``SAME_STEP`` environments of Gymnasium give them: of rows ``ended`` the reset's, the step's in final_info."""
    life_lost: Bools
    """[B] True where an episode ended with a life, but the game goes on: reports count games."""
    eventful: bool = True
    """False only where no episode ended and nothing was ignored."""

    @property
    def begun(self) -> Bools:
        """[B] True where ``obs`` is the first of an episode."""
        begun = self.ignored.copy()
        begun[self.ended] = True
        return begun

    @property
    def game_over(self) -> Bools:
        """[B] True where an episode ended as reports count them."""
        return (self.terminated | self.truncated) & ~self.life_lost

    @property
    def acting(self) -> Bools:
        """[B] False where the source will ignore the next action, because an episode is over."""
        acting = ~(self.terminated | self.truncated)
        acting[self.ended] = True
        return acting


class VectorSource:
    """B environments that reset themselves.

    ``is_atari`` and ``is_limited`` say what is known of them: Atari's, and that a limit of steps ends their episodes.

    Gymnasium knows three ways to reset. ``NEXT_STEP`` sources spend a step whose action they ignore,
    ``SAME_STEP`` ones hand the last observation over in the infos, ``DISABLED`` ones are reset from here.
    :meth:`step` tells all three by ``ignored``, ``ended`` and ``final_obs``.

    Attributes:
        last_observations: takes them from the infos, and looks at them.
        asks_for_masks: whether masks in the infos are what a method ``action_masks()`` of the environments returned.
        is_atari: whether these are Atari environments.
        is_native: whether they are an id's own vector environment.

    Raises:
        EnvironmentSetupError: if the environments do not say how they reset themselves, or are closed.
    """

    def __init__(self, envs: Envs, *, is_native: bool = False):
        self.is_native = is_native
        self.envs = envs = adapted(envs)
        require_open(envs)
        stack_faithfully(envs)
        self.num_envs: int = envs.num_envs
        self.name = type(envs.unwrapped).__name__
        self.running_statistics = wrappers_with_statistics(envs)
        self._shape = (self.num_envs,)
        self.observation_space = envs.single_observation_space
        self.action_space = envs.single_action_space
        mode = autoreset_mode_of(envs)
        if mode is None:
            advice = (
                "use vectorization='sync' or 'async'"
                if is_native
                else "set metadata['autoreset_mode'] to a gymnasium.vector.AutoresetMode (Gymnasium 1.1 or later)"
            )
            raise EnvironmentSetupError(f"{type(envs).__name__} does not say how it resets itself: {advice}.")
        self.mode = AutoresetMode(mode)
        watches = self.mode is AutoresetMode.SAME_STEP and not isinstance(envs.unwrapped, SyncVectorEnv | Processes)
        self.last_observations = LastObservations(envs, watches=watches)
        self.asks_for_masks = bool(envs.metadata.get("action_masks"))
        self.is_atari = bool(envs.metadata.get("atari")) or is_atari(envs)
        self.is_limited = self.is_atari or is_limited(envs)
        # Of a step in which nothing ends; shared by all of them, and never written to.
        self._none: Bools = np.zeros(self.num_envs, np.bool_)
        self._nobody: Ints = np.zeros(0, np.int64)
        self._ignored = self._none

    def reset(self, seed: int | None = None) -> tuple[Tree, Infos]:
        """Start new episodes everywhere; return their first observations, stacked, and their infos."""
        self._ignored = self._none
        try:
            return self._reset(seed=seed)
        except (Exception, SystemExit) as error:
            self._explain(error)
            raise

    def step(self, actions: Tree) -> Step:
        """Step every environment; see :class:`Step`.

        Raises:
            ObservationError: an observation does not fit its space; names the environment where that is known.
            EnvironmentSetupError: a ``SAME_STEP`` source does not hand over an episode's last observation.
        """
        try:
            return self._step(actions)
        except (Exception, SystemExit) as error:
            self._explain(error)
            raise

    def _reset(self, **arguments: Any) -> tuple[Tree, Infos]:
        returned: Any = self.envs.reset(**arguments)
        if type(returned) is not tuple or len(returned) != 2:
            raise EnvironmentSetupError(f"{self.name}.reset() returned {described(returned)}, but {RESET}.")
        obs, infos = returned
        return obs, infos if type(infos) is dict else listed(self.num_envs, infos)

    def _step(self, actions: Tree) -> Step:
        returned: Any = self.envs.step(actions)
        if type(returned) is not tuple or len(returned) != 5:
            raise EnvironmentSetupError(f"{self.name}.step() returned {described(returned)}, but {STEP}.")
        obs, rewards, terminated, truncated, infos = returned
        rewards, terminated, truncated = checked(rewards, terminated, truncated, self._shape, self.name)
        infos = infos if type(infos) is dict else listed(self.num_envs, infos)
        ignored, self._ignored = self._ignored, self._none
        done = terminated | truncated
        if not done.any():
            nobody, none = self._nobody, self._none
            eventful = ignored is not none
            return Step(obs, rewards, terminated, truncated, ignored, nobody, None, infos, none, eventful)
        ended, final_obs = self._nobody, None
        life_lost = self._lives_lost(infos, done)
        if self.mode is AutoresetMode.NEXT_STEP:
            self._ignored = done
        else:
            ended = np.flatnonzero(done)
            if self.mode is AutoresetMode.SAME_STEP:
                final_obs = self.last_observations.handed_over(infos, ended)
            else:
                final_obs = take_rows(self.observation_space, obs, ended, self.num_envs)
                # The reset may clear the arrays that the step returned.
                rewards, terminated, truncated = rewards.copy(), terminated.copy(), truncated.copy()
                infos = with_own_arrays(infos)
                obs, reset_infos = self._reset(options={"reset_mask": done})
                infos = with_reset(infos, reset_infos, ended)
        return Step(obs, rewards, terminated, truncated, ignored, ended, final_obs, infos, life_lost)

    def call(self, method: str, arguments: tuple[Any, ...]) -> None:
        """Call a method of every environment, or of a vector environment that steps several by itself.

        Raises:
            EnvCallError: there is no such method, or it raised an error.
        """
        base, layer = self.envs.unwrapped, self.envs
        while isinstance(layer, VectorWrapper) and not hasattr(layer, method):
            layer = layer.env
        try:
            if layer is not base or not isinstance(base, SyncVectorEnv | AsyncVectorEnv):
                call(self.envs, "", method, arguments)
            elif isinstance(base, Processes):
                base.tell(method, arguments)
            elif isinstance(base, SyncVectorEnv):
                base.call("call", method, arguments)
            else:
                base.call(method, *arguments)
        except AnyspaceError:
            raise
        except Exception as error:
            if isinstance(base, Processes):
                base.require_alive(error)
            raise EnvCallError(f"call_envs({method!r}): {type(error).__name__}: {error}") from error

    def close(self) -> None:
        """Close the environments."""
        close(self.envs)
        self.envs.unwrapped.closed = True  # a class's own close() need not say so

    def _lives_lost(self, infos: Infos, done: Bools) -> Bools:
        """Return where ``done`` is but a lost life."""
        final = infos.get("final_info")
        lost = (final if isinstance(final, dict) else infos).get(LIFE_LOST)
        return self._none if lost is None else done & np.asarray(lost, np.bool_)

    def _explain(self, error: Exception | SystemExit) -> None:
        """Raise a clear error in place of ``error`` if an observation that does not fit its space caused it.

        Stacking is done by Gymnasium, whose message for such an observation names neither leaf nor space.
        """
        if isinstance(error, SystemExit):
            refuse_exit(error, self.name)
            return
        if isinstance(error, AnyspaceError):
            return
        base = self.envs.unwrapped
        if isinstance(base, Processes) and isinstance(error, EOFError | OSError):
            base.require_alive(error)
        if isinstance(error, OverflowError) and failed_stacking(error):
            raise EnvironmentSetupError(f"a reward is too large for a float: {error}.") from error
        if cannot_unpack(error):
            raise EnvironmentSetupError(
                f"{self.name} cannot take apart what one of its environments returned ({error}). {RESET}; {STEP}."
            ) from error
        if isinstance(base, SyncVectorEnv):
            require_structure(self.observation_space, enumerate(base._env_obs), error)
