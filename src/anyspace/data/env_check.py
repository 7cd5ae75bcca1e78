"""An environment against its own spaces and Gymnasium's rules: everything that is wrong, as a list."""

from __future__ import annotations

import math
import re
import statistics
import time
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import gymnasium as gym
import numpy as np

from anyspace import tree
from anyspace.data.batching import VectorMember
from anyspace.data.endless import advice
from anyspace.data.environments import EnvLike, EnvSpec
from anyspace.errors import AnyspaceError
from anyspace.models.runtime import NumpyArray
from anyspace.spaces import ActionMasks, Decoder, Encoder
from anyspace.spaces.decoding import one_action
from anyspace.spaces.faults import weighed_faults
from anyspace.spaces.kinds.registered import equivalent
from anyspace.spaces.uniform import UniformActions, raw_space

T = TypeVar("T")
Severity = Literal["error", "warning"]
REPLAYED = 200
"""Most steps that are repeated with the same seed."""
_SAME_OBSERVATION = (
    "reset() and step() returned the same observation every time, so no action can depend on it. That is right for a"
    " bandit alone; else return what step() has changed."
)
_NO_REWARD = (
    "step() returned a reward of 0 every time. That is right where a reward comes at a goal alone, and random actions"
    " have not reached it; else return what a step is worth."
)
_NUMBERED = re.compile(r"^environment 0: ")
_NUMBER = re.compile(r"-?\d+(\.\d+)?(e[-+]?\d+)?")


@dataclass
class Finding:
    """Something that is wrong.

    Attributes:
        severity: an ``error`` stops training, with a ``warning`` it goes on.
        what: what was expected, what came, and what to do.
        first: where it was seen first, such as ``step 17``.
        count: how often it was seen.
    """

    severity: Severity
    what: str
    first: str
    count: int = 1

    def __str__(self) -> str:
        often = f" ({self.count:,} times)" if self.count > 1 else ""
        return f"{self.severity}, {self.first}: {self.what}{often}"


@dataclass
class EnvCheck:
    """What was found out about an environment.

    Attributes:
        name: of the environment.
        findings: what is wrong, errors first.
        steps: that were taken.
        episodes: lengths of the episodes that ended.
        returns: of the same episodes, under random actions.
        step_seconds: median time of the environment's ``step``.
        reset_seconds: median time of its ``reset``.
        masks: how many steps came with a mask.
    """

    name: str
    findings: list[Finding] = field(default_factory=list)
    steps: int = 0
    episodes: list[int] = field(default_factory=list)
    returns: list[float] = field(default_factory=list)
    step_seconds: float = 0.0
    reset_seconds: float = 0.0
    masks: int = 0
    _known: dict[str, Finding] = field(default_factory=dict)

    @property
    def errors(self) -> list[Finding]:
        """The findings that stop training."""
        return [one for one in self.findings if one.severity == "error"]

    def add(self, severity: Severity, what: str, where: str, of: str = "") -> None:
        """Take in a finding; one of the same part ``of`` an observation that differs in numbers alone is counted."""
        what = _NUMBERED.sub("", what)
        of = of or _NUMBER.sub("0", what)
        if of in self._known:
            self._known[of].count += 1
        else:
            self._known[of] = Finding(severity, what, where)
            self.findings.append(self._known[of])

    def take(self, other: EnvCheck, where: str) -> None:
        """Take in what another check found that this one did not."""
        for of, finding in other._known.items():
            if of not in self._known:
                self._known[of] = replace(finding, first=f"{finding.first}, {where}")
                self.findings.append(self._known[of])


def check_env(env: EnvLike | EnvSpec, *, steps: int = 1000, seed: int = 0) -> EnvCheck:
    """Take random steps in an environment, and return everything that is not as it should be.

    Looked at are: the signatures and what ``reset`` and ``step`` return; whether observations are in their space, and
    rewards numbers; whether observations ever differ, and rewards are ever another number than 0; masks, where there
    are any; whether episodes end; whether a seed decides everything; whether the action that ``step`` is handed stays
    as it was; whether instances have the same spaces; ``close``; and how long ``step`` and ``reset`` take. Actions are
    random, among those that masks allow.

    Args:
        env: a Gymnasium id, a class, a callable, an instance (copies of it are made), or one of these with its
            settings as an ``EnvSpec``.
        steps: how many to take, at least 1.
        seed: of the environment and of the actions.

    Raises:
        EnvironmentSetupError: it cannot be made.
    """
    spec = env if isinstance(env, EnvSpec) else EnvSpec(env)
    found = EnvCheck(spec.name)
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
    found.findings.sort(key=lambda one: one.severity)
    return found


def _play(found: EnvCheck, probe: _Probe, another: _Probe, spec: EnvSpec, seed: int, steps: int) -> None:
    """Play with one instance, then again with both, and note what is wrong."""
    moments = probe.play(found, seed, steps)
    if another.spaces != probe.spaces:
        found.add("error", "another instance has other spaces; all instances need the same ones.", "its spaces")
    if not found.errors:
        for one, where in ((probe, "on the same instance"), (another, "on another instance")):
            again = EnvCheck(spec.name)
            came = one.play(again, seed, min(steps, REPLAYED))
            found.take(again, where)
            if again.errors or not _agree(found, moments, came, seed, where):
                break
        if not found.episodes and not probe.env.metadata["limited"]:
            what = f"no episode has ended. If that is not by chance, {advice(spec)}."
            found.add("warning", what, f"{steps:,} steps")
        if not probe.observed:
            found.add("warning", _SAME_OBSERVATION, f"{steps:,} steps")
        if found.episodes and not probe.paid:
            found.add("warning", _NO_REWARD, f"{steps:,} steps")


@dataclass(frozen=True)
class _Moment:
    """What a step or a reset led to, as numbers that can be compared."""

    where: str
    leaves: tuple[NumpyArray, ...]
    reward: float
    over: bool
    failed: bool = False
    """There is no observation: it was no member of its space, or the step raised an error."""

    def differs(self, other: _Moment) -> bool:
        same = all(map(_equal, self.leaves, other.leaves))
        return not (same and _equal(self.reward, other.reward) and self.over == other.over)


class _Timed(gym.Wrapper[Any, Any, Any, Any]):
    """Notes how long each call takes; what is returned passes as it is."""

    def __init__(self, env: gym.Env[Any, Any]):
        super().__init__(env)
        self.steps: list[float] = []
        self.resets: list[float] = []

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        started = time.perf_counter()
        returned = self.env.reset(seed=seed, options=options)
        self.resets.append(time.perf_counter() - started)
        return returned

    def step(self, action: Any) -> Any:
        started = time.perf_counter()
        returned = self.env.step(action)
        self.steps.append(time.perf_counter() - started)
        return returned


class _Probe:
    """One instance of an environment, which is stepped with random actions."""

    def __init__(self, env: gym.Env[Any, Any], spec: EnvSpec):
        self._timed = _Timed(env)
        self.env = VectorMember(self._timed, 0, spec.action_mask_key, spec.max_len, spec.ignore, checks=True)
        self.spaces = self.env.observation_space, self.env.action_space
        self._key = spec.action_mask_key
        self._encode = Encoder(self.env.observation_space)
        space = equivalent(self.env.action_space)
        self._decode = Decoder(self.env.action_space)
        self._random = UniformActions(raw_space(space, normalize=True))
        self._masks = ActionMasks(space)
        self.observed = self.paid = False
        """Whether two observations differed, and whether a reward was not 0."""

    def play(self, found: EnvCheck, seed: int, steps: int) -> list[_Moment]:
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
            self.observed = self.observed or not (first and all(map(_equal, first.leaves, moment.leaves)))
            self.paid = self.paid or moment.reward != 0
            length, total = length + 1, total + moment.reward
            if moment.over:
                found.episodes.append(length)
                found.returns.append(total)
        found.step_seconds, found.reset_seconds = (
            statistics.median(times) if times else 0.0 for times in (self._timed.steps, self._timed.resets)
        )
        return moments

    def _begin(self, found: EnvCheck, seed: int | None, where: str) -> tuple[_Moment | None, Any]:
        returned = _called(found, lambda: self.env.reset(seed=seed), where)
        if returned is None:
            return None, None
        obs, info = returned
        moment = self._moment(found, obs, 0.0, False, where)
        return None if moment.failed else moment, self._mask(found, info, obs, where)

    def _step(self, found: EnvCheck, action: Any, where: str) -> tuple[_Moment, Any]:
        before = tree.map_leaves(np.array, action)
        returned = _called(found, lambda: self.env.step(action), where)
        if not all(map(_equal, tree.leaves(before), tree.leaves(action))):
            found.add("warning", "step() changes the action that it is handed; change a copy of it.", where)
        if returned is None:
            return _Moment(where, (), 0.0, False, failed=True), None
        obs, reward, terminated, truncated, info = returned
        if not math.isfinite(reward):
            found.add("error", f"the reward is {reward}; a reward is a finite number.", where)
        over = bool(terminated or truncated)
        return self._moment(found, obs, float(reward), over, where), self._mask(found, info, obs, where, over=over)

    def _moment(self, found: EnvCheck, obs: Any, reward: float, over: bool, where: str) -> _Moment:
        leaves = _called(found, lambda: self._encode.single(obs), where)
        if leaves is None:
            return _Moment(where, (), reward, over, failed=True)
        faults, outside = weighed_faults(self._encode, [leaf[None] for leaf in leaves])
        for fault in faults:
            found.add("error", str(fault), where, f"error of {fault.leaf.place()}")
        for fault in outside:
            found.add("warning", str(fault), where, f"warning of {fault.leaf.place()}")
        return _Moment(where, tuple(np.array(leaf) for leaf in leaves), reward, over)

    def _mask(self, found: EnvCheck, info: dict[Any, Any], obs: Any, where: str, *, over: bool = False) -> Any:
        """Return the mask [1, A] of a step, or None."""
        key = self._key
        given = None if key is None else info.get(key)
        if key is not None and given is None and isinstance(obs, dict) and key in obs:
            given = _called(found, lambda: self._masks.flatten(obs[key], single=True, place=f"obs[{key!r}]"), where)
        if given is None:
            return None
        row = np.asarray(given, np.bool_).reshape(1, -1)
        if not over and self._masks.empty_rows(row)[0]:
            found.add("error", f"the mask allows no action: {self._masks.describe_empty(row[0])}.", where)
        return row

    def _action(self, rng: np.random.Generator, mask: Any) -> Any:
        noise = rng.gumbel(size=(1, self._random.width)).astype(np.float32)
        raw = self._random(noise, None if mask is None else self._masks.split(mask))
        return one_action(self.env.action_space, self._decode(raw), 0)


def _close(env: gym.Env[Any, Any], found: EnvCheck) -> None:
    try:
        env.close()
    except Exception as error:
        found.add("warning", f"{type(error).__name__}: {error}{_own_line(error)}", "close()")


def _called(found: EnvCheck, call: Callable[[], T], where: str) -> T | None:
    """Return what a call returned; None where it failed, which is noted."""
    try:
        return call()
    except AnyspaceError as error:
        found.add("error", str(error), where)
    except Exception as error:
        found.add("error", f"{type(error).__name__}: {error}{_own_line(error)}", where)
    return None


def _agree(found: EnvCheck, expected: list[_Moment], came: list[_Moment], seed: int, where: str) -> bool:
    """Return whether two plays with the same seed agree; where they differ is noted."""
    for one, other in zip(expected, came, strict=False):
        if one.differs(other):
            found.add(
                "warning",
                f"{where}, reset(seed={seed}) and the same actions led to something else. Call"
                " super().reset(seed=seed), draw all random numbers from self.np_random, and keep nothing of earlier"
                " episodes.",
                one.where,
            )
            return False
    return True


def _equal(one: Any, other: Any) -> bool:
    first, second = np.asarray(one), np.asarray(other)
    return bool(np.array_equal(first, second, equal_nan=first.dtype.kind == "f" and second.dtype.kind == "f"))


def _own_line(error: Exception) -> str:
    """Return where an error arose, as ``, in step() at shop.py line 12``."""
    frame, line = [*traceback.walk_tb(error.__traceback__)][-1]
    return f", in {frame.f_code.co_name}() at {Path(frame.f_code.co_filename).name} line {line}"
