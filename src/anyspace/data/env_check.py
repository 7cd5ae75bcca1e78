"""An environment against its own spaces and Gymnasium's rules: everything that is wrong, as a list."""

from __future__ import annotations

import copy
import math
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from types import MethodType
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import VectorEnv

from anyspace import tree
from anyspace.answers import answers
from anyspace.data.batching import LOSES, VectorMember
from anyspace.data.endless import advice
from anyspace.data.env_findings import REPLAYED, EnvCheck, Moment, T, agree, called, masking_of, told
from anyspace.data.environments import EnvLike, EnvSpec
from anyspace.data.masks import EVERY, LATE
from anyspace.data.overlooked import overlooked, require_found
from anyspace.data.running_statistics import KEY
from anyspace.data.vector_check import check_vector
from anyspace.data.vector_values import LARGEST, too_large
from anyspace.errors import AnyspaceError, ConfigError
from anyspace.maths.arrays import equal
from anyspace.spaces import Decoder, Encoder
from anyspace.spaces.decoding import one_by_one
from anyspace.spaces.kinds.registered import equivalent
from anyspace.spaces.uniform import UniformActions, raw_space

_SAME_OBSERVATION = (
    "reset() and step() returned the same observation every time, so no action can depend on it. That is right for a"
    " bandit alone; else return what step() has changed. Numbers are taken as float32, which does not tell"
    " 1,700,000,000 from 1,700,000,001: subtract an offset from such ones, as from times."
)
_NO_REWARD = (
    "step() returned a reward of 0 every time. That is right where a reward comes at a goal alone, and random actions"
    " have not reached it; else return what a step is worth."
)
_RESETS_ITSELF = (
    "step() calls reset() where an episode ends, and so returns an observation of the next one as this one's last."
    " Return the last observation: whoever steps the environment calls reset() then."
)


@answers("check_env()")
def check_env(env: EnvLike | EnvSpec, *, steps: int = 1000, seed: int = 0) -> EnvCheck:
    """Take random steps in an environment, and return everything that is not as it should be.

    Looked at are: the signatures and what ``reset`` and ``step`` return; whether observations are in their space, and
    rewards numbers; whether observations ever differ, and rewards are ever another number than 0; masks, where there
    are any; whether episodes end, whether all of them terminate after as many steps, and whether ``step`` resets;
    whether a seed decides everything; whether the action that ``step`` is handed stays as it was; whether instances
    have the same spaces; ``close``; and how long ``step`` and ``reset`` take. Actions are random, among those that
    masks allow. Of a vector environment it is also looked at how it resets its environments.

    Args:
        env: a Gymnasium id, a class, a callable, an instance (copies of it are made), a vector environment (which
            itself is stepped), or one of these with its settings as an ``EnvSpec``.
        steps: how many to take, at least 1.
        seed: of the environment and of the actions.

    Raises:
        EnvironmentSetupError: it cannot be made.
        ConfigError: the seed is negative.
    """
    if seed < 0:
        raise ConfigError(f"check_env(seed={seed}): a seed is not negative.")
    spec = env if isinstance(env, EnvSpec) else EnvSpec(env)
    found = EnvCheck(spec.name)
    if isinstance(spec.env, VectorEnv):
        check_vector(found, spec, spec.env, seed, steps)
        return found
    with ExitStack() as opened:
        made = []
        for _ in range(2):
            made.append(spec.make())
            opened.callback(_close, made[-1], found)
        try:
            probe, another = (_Probe(instance, spec) for instance in made)
        except AnyspaceError as error:
            found.add("error", str(error), "its spaces")
            return found
        _play(found, probe, another, spec, seed, steps)
    found.sort()
    return found


def _play(found: EnvCheck, probe: _Probe, another: _Probe, spec: EnvSpec, seed: int, steps: int) -> None:
    """Play with one instance, then again with both, and note what is wrong."""
    moments = probe.play(found, seed, steps)
    if another.spaces != probe.spaces:
        found.add("error", "another instance has other spaces; all instances need the same ones.", "its spaces")
    learning = probe.env.metadata[KEY]
    if not found.errors:
        for one, where in ((probe, "on the same instance"), (another, "on another instance")):
            again = EnvCheck(spec.name)
            came = one.play(again, seed, min(steps, REPLAYED))
            found.take(again, where)
            if again.errors or not agree(found, moments, came, seed, where, learning):
                break
        if not found.episodes and not probe.env.metadata["limited"]:
            what = f"no episode has ended. If that is not by chance, {advice(spec)}."
            found.add("warning", what, f"{steps:,} steps")
        if not probe.observed:
            found.add("warning", _SAME_OBSERVATION, f"{steps:,} steps")
        if found.episodes and not probe.paid:
            found.add("warning", _NO_REWARD, f"{steps:,} steps")
        found.add_time_limit()


class _Timed(gym.Wrapper[Any, Any, Any, Any]):
    """Notes how long each call takes, and whether a step resets; what is returned passes as it is."""

    def __init__(self, env: gym.Env[Any, Any]):
        super().__init__(env)
        self.steps: list[float] = []
        self.resets: list[float] = []
        self.reset_itself = False
        """Whether the latest step has reset the environment."""
        inner = env.unwrapped

        def reset(called: Any, *given: Any, **named: Any) -> Any:
            self.reset_itself |= called is inner  # the environment may make copies of itself
            return type(called).reset(called, *given, **named)

        self._noting = {} if "reset" in vars(inner) else {"reset": MethodType(reset, inner)}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        started = time.perf_counter()
        returned = self.env.reset(seed=seed, options=options)
        self.resets.append(time.perf_counter() - started)
        return returned

    def step(self, action: Any) -> Any:
        self.reset_itself, inside = False, vars(self.env.unwrapped)
        inside.update(self._noting)
        started = time.perf_counter()
        try:
            returned = self.env.step(action)
        finally:
            self.steps.append(time.perf_counter() - started)
            for name in self._noting:
                inside.pop(name, None)
        return returned


class _Probe:
    """One instance of an environment, which is stepped with random actions."""

    def __init__(self, env: gym.Env[Any, Any], spec: EnvSpec):
        self._timed = _Timed(env)
        self._told: list[str] = []
        self.env = VectorMember(
            self._timed, 0, spec.action_mask_key, spec.max_len, spec.ignore, checks=True, tell=self._told.append
        )
        self.spaces = self.env.observation_space, self.env.action_space
        self._declared = copy.deepcopy((env.observation_space, env.action_space))
        self._encode = Encoder(self.env.observation_space)
        space = equivalent(self.env.action_space)
        self._decode = Decoder(self.env.action_space)
        self._random = UniformActions(raw_space(space, normalize=True))
        self._masking = masking_of(self.env.observation_space, space, self._encode, spec.action_mask_key)
        self._gives_masks = False
        """Whether the first reset came with a mask."""
        self.observed = self.paid = False
        """Whether two observations differed, and whether a reward was not 0."""

    def play(self, found: EnvCheck, seed: int, steps: int) -> list[Moment]:
        """Take steps, note what is wrong, and return what the first `REPLAYED` of them, and resets, led to."""
        rng, moments = np.random.default_rng(seed), []
        moment, mask = self._begin(found, seed, "reset()")
        first, length, total = moment, 0, 0.0
        # After a reset that failed nothing more can be said.
        while moment is not None and found.steps < steps:
            if found.steps <= REPLAYED:
                moments.append(moment)
            if moment.over or moment.failed:
                length, total = 0, 0.0
                moment, mask = self._begin(found, None, f"reset() after step {found.steps}")
                continue
            found.steps += 1
            found.masks += mask is not None
            moment, mask = self._step(found, self._action(rng, mask), f"step {found.steps}")
            self.observed = self.observed or not (first and all(map(equal, first.leaves, moment.leaves)))
            self.paid = self.paid or moment.reward != 0
            length, total = length + 1, total + moment.reward
            if moment.over:
                found.episodes.append(length)
                found.returns.append(total)
                if self._timed.reset_itself:
                    found.add("warning", _RESETS_ITSELF, f"step {found.steps}")
        found.step_seconds, found.reset_seconds = (
            statistics.median(times) if times else 0.0 for times in (self._timed.steps, self._timed.resets)
        )
        return moments

    def _begin(self, found: EnvCheck, seed: int | None, where: str) -> tuple[Moment | None, Any]:
        returned = self._called(found, lambda: self.env.reset(seed=seed), where)
        self._require_spaces(found, where)
        if returned is None:
            return None, None
        obs, info = returned
        moment = self._moment(found, obs, 0.0, False, where)
        if seed is not None:
            self._gives_masks = self._given(info, moment) is not None
            self._require_mask(found, info, where)
        return None if moment.failed else moment, self._mask(found, info, moment)

    def _require_mask(self, found: EnvCheck, info: dict[Any, Any], where: str) -> None:
        """Note what looks like a mask and is not read."""
        if self._gives_masks:
            return
        sentence = overlooked(self._masking, self.env.observation_space, info, self.env.metadata[LOSES])
        try:
            require_found(self._masking, sentence)
        except ConfigError as error:
            found.add("error", str(error), where)
        else:
            if sentence is not None:
                found.add("warning", sentence, where)

    def _require_spaces(self, found: EnvCheck, where: str) -> None:
        """Note spaces that are other ones than at first."""
        now = self._timed.observation_space, self._timed.action_space
        for kind, one, other in zip(("observation", "action"), self._declared, now, strict=True):
            if one != other:
                what = f"reset() changed the {kind} space from {one} to {other}, which nobody asks for again."
                found.add("warning", f"{what} Spaces stay as the constructor makes them.", where)

    def _step(self, found: EnvCheck, action: Any, where: str) -> tuple[Moment, Any]:
        before = tree.map_leaves(np.array, action)
        returned = self._called(found, lambda: self.env.step(action), where)
        if not all(map(equal, tree.leaves(before), tree.leaves(action))):
            found.add("warning", "step() changes the action that it is handed; change a copy of it.", where)
        if returned is None:
            return Moment(where, (), 0.0, False, failed=True), None
        obs, reward, terminated, truncated, info = returned
        if not math.isfinite(reward):
            found.add("error", f"the reward is {reward}; a reward is a finite number.", where)
        elif abs(reward) > LARGEST:
            found.add("error", too_large(reward), where)
        over = bool(terminated or truncated)
        found.terminated += bool(terminated)
        moment = self._moment(found, obs, float(reward), over, where)
        return moment, self._mask(found, info, moment)

    def _called(self, found: EnvCheck, call: Callable[[], T], where: str) -> T | None:
        """Return what a call of the environment returned, None where it failed; note what was told of it."""
        returned = called(found, call, where)
        while self._told:
            found.add("warning", self._told.pop(), where)
        return returned

    def _moment(self, found: EnvCheck, obs: Any, reward: float, over: bool, where: str) -> Moment:
        leaves = called(found, lambda: self._encode.single(obs), where)
        if leaves is None:
            return Moment(where, (), reward, over, failed=True)
        found.add_faults(self._encode, [leaf[None] for leaf in leaves], where)
        return Moment(where, tuple(np.array(leaf) for leaf in leaves), reward, over)

    def _mask(self, found: EnvCheck, info: dict[Any, Any], moment: Moment) -> Any:
        """Return the mask [1, A] of a step, or None; note what is wrong with it if it is to be acted by."""
        mask, masking = self._given(info, moment), self._masking
        if moment.over or moment.failed:
            return mask
        if mask is None:
            if self._gives_masks:
                found.add("error", f"the info holds no {masking.key!r}, but {EVERY}", moment.where)
            return None
        if not self._gives_masks:
            found.add("error", f"info[{masking.key!r}] holds a mask, but {LATE}", moment.where)
        if masking.unusable(mask)[0]:
            what = f"the mask allows no action: {masking.layout.describe_empty(mask[0])}."
            found.add("error", what, moment.where)
        return mask

    def _given(self, info: dict[Any, Any], moment: Moment) -> Any:
        """Return the mask [1, A] that came, or None."""
        masking = self._masking
        given = None
        if not moment.failed:
            given = info.get(masking.key) if masking.reads_infos else masking.find(moment.leaves)
        return None if given is None else np.asarray(given, np.bool_).reshape(1, -1)

    def _action(self, rng: np.random.Generator, mask: Any) -> Any:
        noise = rng.gumbel(size=(1, self._random.width)).astype(np.float32)
        raw = self._random(noise, None if mask is None else self._masking.split(mask))
        return one_by_one(self.env.action_space, self._decode(raw), 1)[0]


def _close(env: gym.Env[Any, Any], found: EnvCheck) -> None:
    try:
        env.close()
    except Exception as error:
        found.add("warning", told(error), "close()")
