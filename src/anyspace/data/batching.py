"""Between one environment and many: rows of stacked observations, split actions, infos that survive stacking."""

from __future__ import annotations

import copy
import inspect
import weakref
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, reduce
from operator import getitem
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv, VectorEnv
from gymnasium.vector.utils import iterate
from gymnasium.wrappers import TimeLimit

from anyspace import nesting
from anyspace.data.atari import is_atari
from anyspace.data.contract import FLAGS, NUMBERS, Contract, close, described
from anyspace.data.env_calls import call
from anyspace.data.infos import Infos
from anyspace.data.running_statistics import KEY, wrappers_with_statistics
from anyspace.data.structure import Fit, Structure, has_fixed_shape
from anyspace.data.trajectory import Bools, Ints
from anyspace.errors import EnvironmentSetupError, ObservationError
from anyspace.spaces import ActionMasks
from anyspace.spaces.decoding import one_by_one
from anyspace.spaces.encoding.misfit import FIX_THE_SPACE
from anyspace.spaces.kinds.registered import equivalent, known_actions
from anyspace.spaces.prepared import prepared
from anyspace.tree import Tree


def environment(row: int) -> str:
    """Name an environment in messages."""
    return f"environment {row}"


def has_time_limit(env: gym.Env[Any, Any]) -> bool:
    """Return whether a limit of steps is known to end the episodes of an environment."""
    while isinstance(env, gym.Wrapper):
        if isinstance(env, TimeLimit):
            return True
        env = env.env
    return is_atari(env)


def is_limited(envs: VectorEnv[Any, Any, Any]) -> bool:
    """Return whether a limit of steps is known to end the episodes of a vector environment."""
    if envs.metadata.get("limited") or (envs.spec is not None and envs.spec.max_episode_steps is not None):
        return True
    return isinstance(envs.unwrapped, SyncVectorEnv) and all(map(has_time_limit, envs.unwrapped.envs))


LOSES = "loses_mask"
"""Under which key a single environment's metadata name the wrapper that loses its mask to those around it."""


def losing_wrapper(env: gym.Env[Any, Any] | VectorEnv[Any, Any, Any], key: str | None) -> str | None:
    """Return the name of the wrapper that is given an observation with the mask ``key`` and returns one without it."""
    layer: Any = env
    while isinstance(layer, gym.Wrapper | gym.vector.VectorWrapper):
        if nesting.has_part(_observed(layer.env), key) and not nesting.has_part(_observed(layer), key):
            return type(layer).__name__
        layer = layer.env
    if isinstance(layer, SyncVectorEnv) and LOSES not in layer.metadata:
        return losing_wrapper(layer.envs[0], key)
    name: str | None = (layer.metadata or {}).get(LOSES)
    return name


def _observed(env: gym.Env[Any, Any] | VectorEnv[Any, Any, Any]) -> gym.Space[Any]:
    """Return the space of a single observation."""
    return env.single_observation_space if isinstance(env, VectorEnv) else env.observation_space


def _takes_nothing(method: Callable[..., Any]) -> bool:
    """Return whether a method can be called without arguments, as far as its signature can be read."""
    try:
        signature = inspect.signature(method)
    except ValueError:
        return True
    try:
        signature.bind()
    except TypeError:
        return False
    return True


def autoreset_mode_of(envs: VectorEnv[Any, Any, Any]) -> Any:
    """Return what a vector environment says of how it resets itself, None where it says nothing.

    Gymnasium's own may share their metadata with others of the same environments, which may reset themselves otherwise.
    """
    base = envs.unwrapped
    if type(base) in (SyncVectorEnv, AsyncVectorEnv) and envs.metadata is base.metadata:
        return base.autoreset_mode  # type: ignore[attr-defined]  # narrowed by type()
    return (envs.metadata or {}).get("autoreset_mode")


def require_rows(count: int, came: int, place: str) -> None:
    """Raise :class:`ObservationError` unless observations came of all the ``count`` environments."""
    if came != count:
        raise ObservationError(f"{place}: expected a row for each of {count} environments, got {came}.")


def take_rows(space: gym.Space[Any], batched: Tree, rows: Ints, count: int, place: str = "obs") -> Tree:
    """Return some rows of stacked observations, stacked.

    Args:
        space: of a single observation.
        batched: arrays [B, ...], and tuples of B values for spaces whose values have no common shape (such as
            Sequence, Text, Graph, OneOf and Repeated), nested as the space is.
        rows: [n] indices below B.
        count: B.
        place: what errors call the observations.

    Raises:
        ObservationError: a part has not B rows.
    """

    def taken(_: gym.Space[Any], values: Any) -> Any:
        is_list = isinstance(values, tuple | list)
        parts = values if is_list else np.atleast_1d(values)
        require_rows(count, len(parts), place)
        return tuple(parts[row] for row in rows) if is_list else parts[rows]

    return nesting.map_leaves(taken, space, batched)


class NarrowIntegers:
    """Whether small integers of observations survive stacking: NumPy takes int64 into int8, and 300 becomes 44.

    Args:
        space: of a single observation.

    Attributes:
        any: whether there are small integers.
    """

    def __init__(self, space: gym.Space[Any]):
        fixed = [(path, np.dtype(leaf.dtype)) for path, leaf in nesting.iter_leaves(space) if has_fixed_shape(leaf)]
        self._narrow = [(path, dtype) for path, dtype in fixed if dtype.kind in "iu" and dtype.itemsize < 8]
        self.any = bool(self._narrow)

    def fit(self, obs: Tree) -> bool:
        """Whether each part has the dtype of its space, or at least values that this dtype holds."""
        for path, dtype in self._narrow:
            try:
                value = np.asarray(reduce(getitem, path, obs) if path else obs)
            except (TypeError, ValueError, LookupError):
                return False
            if value.dtype == dtype:
                continue
            if value.dtype.kind not in "biu":
                return False
            # There and back again; comparing bytes takes a third of the time of comparing numbers.
            if value.astype(dtype).astype(value.dtype).tobytes() != value.tobytes():
                return False
        return True


class StackedActions(gym.Space[Any]):
    """Actions for B environments: arrays [B, ...], nested as an action of one.

    In place of the batched space that Gymnasium's vector environments split actions by, which knows neither
    empty parts nor spaces that are not Gymnasium's.

    Args:
        single: the space of one environment.
        num_envs: B.
    """

    def __init__(self, single: gym.Space[Any], num_envs: int):
        super().__init__()
        self.single, self.num_envs = single, num_envs


@iterate.register(StackedActions)
def _(space: StackedActions, items: Tree) -> Iterator[Any]:
    return iter(one_by_one(space.single, items, space.num_envs))


class VectorMember(gym.Wrapper[Any, Any, Any, Any]):
    """What one environment needs to stand in a vector environment of Gymnasium's.

    - It copies an episode's first observation, for environments may share the array that they write into, and its last
      one, for the reset within the same step may write into the same array.
    - It refuses to step once another member is around the same environment.
    - It says in ``metadata`` whether it is an Atari environment (``atari``), whether a limit of steps ends its episodes
      (``limited``), whether masks come from a method (``action_masks``), and which wrappers lose a mask or keep
      statistics.
    - It requires what Gymnasium's API asks for (`Contract`).
    - It brings masks into one form, booleans [A] in the infos: Gymnasium would give all masks the type and shape of the
      first environment's. They are the infos' own or what a method ``action_masks()`` of the environment or of a
      wrapper returns. Where the observation holds the mask, none is looked for.

    Args:
        env: the environment.
        number: of the environment in the vector, for messages.
        action_mask_key: name of the mask among the infos; None asks for no masks.
        max_len: longest length of the observation's Sequences and Graphs without one.
        ignore: parts to leave out of observations.
        checks: require every observation to fit its space (`Fit`), not only the first of each episode: nobody can do
            that in another process, to which they go through shared memory. Of later ones stacking looks at all but
            their structure and narrow integers, which are looked at here.
        copies: copy every observation, where nobody looks at it before the next environment is stepped.
        tell: is told, once, that an info is no dict; None: it is logged.

    Raises:
        EnvironmentSetupError: ``action_masks`` is no method, or takes arguments.
        ObservationError: by ``reset`` and ``step``: there is no observation, it does not fit its space, or a mask
            does not fit the action space.
        EnvironmentSetupError: by ``reset`` and ``step``: the environment does not keep to Gymnasium's API (`Contract`).
    """

    def __init__(
        self,
        env: gym.Env[Any, Any],
        number: int,
        action_mask_key: str | None = None,
        max_len: int | dict[str, int] | None = None,
        ignore: Sequence[str] = (),
        *,
        checks: bool = False,
        copies: bool = False,
        tell: Callable[[str], None] | None = None,
    ):
        super().__init__(env)
        self._is_replaced = False
        if (earlier := _MEMBERS.get(id(env.unwrapped))) is not None:
            earlier._is_replaced = True
        _MEMBERS[id(env.unwrapped)] = self
        self.observation_space = prepared(env.observation_space, max_len=max_len, ignore=ignore)
        self.action_space = known_actions(env.action_space)
        self._number, self._copies = number, copies
        self._fit, self._checks = Fit(self.observation_space), checks
        self._integers = NarrowIntegers(self.observation_space)
        self._structure = Structure(self.observation_space)
        self._looks = checks or self._integers.any or self._structure.any
        self._contract = Contract(env, number, self.observation_space, tell)
        observed = nesting.has_part(self.observation_space, action_mask_key)
        self._key = None if observed else action_mask_key
        self._action_masks = env.get_wrapper_attr("action_masks") if env.has_wrapper_attr("action_masks") else None
        by_method = self._key is not None and self._action_masks is not None
        if by_method and not callable(self._action_masks):
            raise EnvironmentSetupError(
                f"{type(env.unwrapped).__name__}.action_masks is {described(self._action_masks)}, but it is to be a"
                " method, which is called before each action: write `def action_masks(self): return mask`, without"
                " @property."
            )
        if self._key is not None and self._action_masks is not None and not _takes_nothing(self._action_masks):
            raise EnvironmentSetupError(
                f"{type(env.unwrapped).__name__}.action_masks takes arguments, but it is called without any before each"
                " action: write `def action_masks(self): return mask`."
            )
        self.metadata = {
            **(env.metadata or {}),  # some say None
            "atari": is_atari(env),
            "limited": has_time_limit(env),
            "action_masks": by_method,
            LOSES: losing_wrapper(env, self._key),
            KEY: wrappers_with_statistics(env),
        }

    def reset(self, *, seed: int | None = None, options: Infos | None = None) -> tuple[Any, Infos]:
        """Start a new episode."""
        self._require_alone()
        try:
            returned: Any = self.env.reset(seed=seed, options=options)
        except (Exception, SystemExit) as error:
            self._contract.explain(error, "reset")
            raise
        obs, info = self._contract.of_reset(returned)
        try:
            self._require_fit(obs, check=True)
        except ObservationError:
            self._contract.of_misfit(returned)
            raise
        return copy.deepcopy(obs), self._with_mask(info)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, Infos]:
        """Step the environment."""
        if self._is_replaced:
            self._require_alone()
        try:
            returned: Any = self.env.step(action)
        except (Exception, SystemExit) as error:
            self._contract.explain(error, "step")
            raise
        if type(returned) is not tuple or len(returned) != 5:
            returned = self._contract.of_step(returned)
        obs, reward, terminated, truncated, info = returned
        plain = type(reward) in NUMBERS and type(terminated) in FLAGS and type(truncated) in FLAGS
        if not plain or type(info) is not dict:
            obs, reward, terminated, truncated, info = self._contract.of_step(returned)
        if terminated or truncated or self._copies:
            obs = copy.deepcopy(obs)
        if self._looks or obs is None:
            self._require_fit(obs, self._checks)
        return obs, reward, terminated, truncated, info if self._key is None else self._with_mask(info)

    def call(self, method: str, arguments: tuple[Any, ...]) -> None:
        """Call a method of the environment; see :func:`anyspace.data.env_calls.call`."""
        call(self.env, f"environment {self._number}: ", method, arguments)

    def close(self) -> None:
        """Close the environment."""
        close(self.env)

    def _require_alone(self) -> None:
        if self._is_replaced:
            name = type(self.env.unwrapped).__name__
            raise EnvironmentSetupError(
                f"{environment(self._number)}: this {name} was given out a second time, and two that step one"
                f" environment disturb each other. What makes environments has to return a new one at each call, as"
                f" `lambda: {name}(...)` does; or give the environment itself: copies of it are stepped."
            )

    def _require_fit(self, obs: Tree, check: bool) -> None:
        if obs is None:
            space = self.observation_space
            raise ObservationError(
                f"{environment(self._number)}: obs: expected a member of {space}, got None. {FIX_THE_SPACE}"
            )
        if check or not (self._structure.fit(obs) and self._integers.fit(obs)):
            self._fit(obs, self._number)

    def _with_mask(self, info: Infos) -> Infos:
        key = self._key
        if key is None:
            return info
        if key in info:
            return {**info, key: self._row(info[key], f"info[{key!r}]")}
        if self._action_masks is None:
            return info
        try:
            mask = self._action_masks()
        except SystemExit as error:
            self._contract.explain(error, "action_masks")
            raise
        return {**info, key: self._row(mask, "action_masks()")}

    def _row(self, mask: Any, place: str) -> Bools:
        layout = self._mask_layout
        try:
            rows = layout.flatten(mask, single=True, place=f"{environment(self._number)}: {place}")
        except ValueError as error:
            raise ObservationError(str(error)) from error
        return rows.reshape(-1)

    @cached_property
    def _mask_layout(self) -> ActionMasks:
        return ActionMasks(equivalent(self.action_space))


_MEMBERS: weakref.WeakValueDictionary[int, VectorMember] = weakref.WeakValueDictionary()
"""The latest member around each environment, by the id of that; not every environment can be a key."""
