"""What is wrong with an environment, as a list, and what its steps led to, as numbers that can be compared."""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import Any, Literal, TypeVar

import gymnasium as gym

from anyspace.data.running_statistics import statistics_warning
from anyspace.errors import AnyspaceError
from anyspace.importing import is_installed
from anyspace.maths.arrays import equal
from anyspace.models.runtime import NumpyArray
from anyspace.policy.masking import Masking
from anyspace.spaces import Encoder
from anyspace.spaces.faults import weighed_faults
from anyspace.spaces.uniform import UniformActions

T = TypeVar("T")
Severity = Literal["error", "warning"]
REPLAYED = 200
"""Most steps that are repeated with the same seed."""
LIKE_A_LIMIT = 3
"""How many episodes of one length look like a limit of time."""
_TIME_LIMIT = (
    "each of {count} episodes ended with terminated=True after {length} steps. That is right where the task itself is"
    " over then. For a limit of time return truncated=True: a terminated episode counts as worth nothing more."
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
        step_seconds: median time of the environment's ``step``; of a vector environment, of all its environments' one.
        reset_seconds: median time of its ``reset``.
        masks: how many steps came with a mask.
        terminated: how many of the episodes ended with ``terminated``.
    """

    name: str
    findings: list[Finding] = field(default_factory=list)
    steps: int = 0
    episodes: list[int] = field(default_factory=list)
    returns: list[float] = field(default_factory=list)
    step_seconds: float = 0.0
    reset_seconds: float = 0.0
    masks: int = 0
    terminated: int = 0
    _known: dict[str, Finding] = field(default_factory=dict, repr=False)

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

    def add_faults(self, encode: Encoder, leaves: Sequence[NumpyArray], where: str) -> None:
        """Take in what is wrong with encoded observations [N, ...]."""
        faults, outside = weighed_faults(encode, leaves)
        for fault in faults:
            self.add("error", str(fault), where, f"error of {fault.leaf.place()}")
        for fault in outside:
            self.add("warning", str(fault), where, f"warning of {fault.leaf.place()}")

    def sort(self) -> None:
        """Put errors first."""
        self.findings.sort(key=lambda one: one.severity)

    def add_time_limit(self) -> None:
        """Note where all episodes terminated after as many steps, as they do at a limit of time."""
        lengths, count = {*self.episodes}, len(self.episodes)
        if count >= LIKE_A_LIMIT and self.terminated == count and len(lengths) == 1 and lengths != {1}:
            self.add("warning", _TIME_LIMIT.format(count=count, length=self.episodes[0]), f"{self.steps:,} steps")

    def take(self, other: EnvCheck, where: str) -> None:
        """Take in what another check found that this one did not."""
        for of, finding in other._known.items():
            if of not in self._known:
                self._known[of] = replace(finding, first=f"{finding.first}, {where}")
                self.findings.append(self._known[of])


@dataclass(frozen=True)
class Moment:
    """What a step or a reset led to, as numbers that can be compared."""

    where: str
    leaves: tuple[NumpyArray, ...]
    reward: float
    over: bool
    failed: bool = False
    """There is no observation: it was no member of its space, or the step raised an error."""

    def differs(self, other: Moment) -> bool:
        """Return whether another play led to something else."""
        same = all(map(equal, self.leaves, other.leaves))
        return not (same and equal(self.reward, other.reward) and self.over == other.over)


def masking_of(
    observations: gym.Space[Any], actions: gym.Space[Any], encode: Encoder, action_mask_key: str | None
) -> Masking:
    """Return what reads the masks of an environment, as in training with a model that respects them.

    Raises:
        UnsupportedSpaceError: the observation holds a mask that does not fit the actions.
    """
    return Masking(observations, actions, encode, key=action_mask_key, distribution=UniformActions, custom_model=True)


def called(found: EnvCheck, call: Callable[[], T], where: str) -> T | None:
    """Return what a call returned; None where it failed, which is noted."""
    try:
        return call()
    except AnyspaceError as error:
        found.add("error", str(error), where)
    except Exception as error:
        found.add("error", told(error), where)
    return None


def told(error: Exception) -> str:
    """Return an error in a line: its class, its text if it has one, and where in the environment's code it arose."""
    text = f": {error}" if str(error) else ""
    return f"{type(error).__name__}{text}{own_line(error)}"


def agree(
    found: EnvCheck, expected: list[Moment], came: list[Moment], seed: int, where: str, learning: Sequence[str]
) -> bool:
    """Return whether two plays with the same seed agree; where they differ is noted.

    Args:
        found: takes the note.
        expected: the first play.
        came: the second one.
        seed: of both.
        where: the second one was played.
        learning: the names of the wrappers that keep running statistics: with one, no two plays agree.
    """
    for one, other in zip(expected, came, strict=False):
        if one.differs(other):
            what = statistics_warning(learning) or (
                f"{where}, reset(seed={seed}) and the same actions led to something else. Call"
                " super().reset(seed=seed), draw all random numbers from self.np_random, and keep nothing of earlier"
                " episodes."
            )
            found.add("warning", what, one.where)
            return False
    return True


def own_line(error: Exception) -> str:
    """Return where in the environment's own code an error arose, as ``, in step() at shop.py line 12``.

    Its own is the package of the innermost environment or wrapper, and what is not installed.
    """
    places = [*traceback.walk_tb(error.__traceback__)]
    layers = [layer for frame, _ in places if isinstance(layer := frame.f_locals.get("self"), gym.Env)]
    packages = [_package(type(layer).__module__) for layer in layers[-1:]]
    own = [place for place in places if _is_own(place[0], packages)]
    frame, line = (own or places)[-1]
    return f", in {frame.f_code.co_name}() at {Path(frame.f_code.co_filename).name} line {line}"


def _is_own(frame: FrameType, packages: Sequence[str]) -> bool:
    return not is_installed(frame.f_code.co_filename) or _package(frame.f_globals.get("__name__", "")) in packages


def _package(module: str) -> str:
    return module.partition(".")[0]
