"""What an exported file takes and returns: arrays by name.

Letters: N rows, L steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NoReturn

import numpy as np

from anyspace import nesting
from anyspace.errors import ExportError
from anyspace.models.runtime import NumpyArray
from anyspace.policy.exploration import StochasticSampling
from anyspace.policy.history import History
from anyspace.policy.pipeline import Pipeline
from anyspace.spaces import LeafSpec
from anyspace.tree import Path

Role = Literal["observation", "action_mask", "prev_reward", "is_first", "memory", "noise", "action"]

NEVER_SEEN = ("terminateds", "truncateds")
"""Columns that are the same in every step of an episode, so that nothing of them has to be remembered."""

_IN_ONNX = ("bool", "int8", "uint8", "int16", "int32", "int64", "float16", "float32", "float64")
"""Types that arrays have outside; every other one is of whole numbers, and goes in and out as int64."""


@dataclass(frozen=True)
class Port:
    """One array that goes in or comes out."""

    name: str
    """``obs``, ``obs/cart/0``: parts of a path as a JSON pointer (RFC 6901) spells them, ``*`` for any element."""
    role: Role
    shape: tuple[int, ...]
    """N first."""
    dtype: str
    path: Path = ()
    """Where it is in the observation or in the action."""
    source: str = ""
    """Of memory: the column that it holds."""
    leaf: int = 0
    """Of memory: which leaf of that column."""
    steps: int = 1
    """Of memory: L, how many steps it holds; a single one has no axis."""
    noise: tuple[tuple[str, int], ...] = ()
    """Of noise: how its columns are drawn, from left to right, and how many of each: methods of NumPy's generators."""

    def zeros(self) -> NumpyArray:
        """Return zeros of its shape and type."""
        return np.zeros(self.shape, self.dtype)


def outside(dtype: str | np.dtype[Any]) -> str:
    """Return the type that arrays of ``dtype`` have outside."""
    name = np.dtype(dtype).name
    return name if name in _IN_ONNX else "int64"


def observation_ports(policy: Pipeline, rows: int) -> list[Port]:
    """Return what goes in of an observation: each leaf, indices as the environment counts them.

    Raises:
        ExportError: two leaves have one name.
    """
    return _apart([_observed(spec, rows) for spec in policy.encode.specs])


def _observed(spec: LeafSpec, rows: int) -> Port:
    dtype = "int64" if spec.kind == "index" else outside(spec.dtype)
    return Port(_pointer("obs", spec.path), "observation", (rows, *spec.shape), dtype, spec.path)


def beside_ports(policy: Pipeline, rows: int) -> Iterator[Port]:
    """Yield what goes in beside observation and memory."""
    masking = policy.masking
    if masking.found_origin() in ("infos", "method") and masking.takes_mask:
        yield Port("action_mask", "action_mask", (rows, masking.width), "bool")
    if policy.views.depth.get("rewards"):
        yield Port("prev_reward", "prev_reward", (rows,), "float32")
    if policy.views.remembers:
        yield Port("is_first", "is_first", (rows,), "bool")


def memory_ports(policy: Pipeline, rows: int) -> list[Port]:
    """Return what goes in of the steps before: what models remember, and what they look at.

    [N, ...] where one step is looked at, [N, L, ...] where several are. Of rewards the latest comes as
    ``prev_reward``.
    """
    obs = [np.zeros((rows, *spec.shape), spec.dtype) for spec in policy.encode.specs]
    found = []
    for source, windows in History.before(policy.views, obs).windows.items():
        for number, window in enumerate(windows):
            length = window.shape[0] - (source == "rewards")
            if source in NEVER_SEEN or length < 1:
                continue
            steps = (length,) if length > 1 else ()
            name = f"memory/{source.replace('state_out_', 'state_')}"
            name += f"/{number}" if len(windows) > 1 else ""
            shape = (rows, *steps, *window.shape[2:])
            found.append(Port(name, "memory", shape, outside(window.dtype), source=source, leaf=number, steps=length))
    return found


def noise_port(policy: Pipeline, rows: int) -> Port:
    """Return what samples are made of: numbers that the caller draws.

    Raises:
        ExportError: samples are not made of numbers that can be drawn ahead.
    """
    exploration = policy.exploration
    if type(exploration) is not StochasticSampling:
        raise ExportError(
            f"stochastic: this policy explores by {type(exploration).__name__}, which is not a sample of its action"
            " distribution. Export without it: the file gives the deterministic action, and you explore around it."
        )
    if policy.timestep < exploration.random_timesteps:
        raise ExportError(
            f"stochastic: this policy does not sample yet, it has taken {policy.timestep:,} of its"
            f" {exploration.random_timesteps:,} random first steps. Train longer, or export without it."
        )
    distribution = policy.distribution(np.zeros((1, policy.num_outputs), np.float32))
    try:
        drawn = distribution.draw_noise(_Marks(), 1)
    except _OtherNumbersError:
        drawn = None
    marks = [] if drawn is None else [float(mark) for mark in np.ravel(drawn)]
    if drawn is None or not _Marks.KINDS.keys() >= {*marks}:
        raise ExportError(
            f"stochastic: samples of {type(distribution).__name__} are not made of numbers that can be drawn ahead."
            " Export without it: the file then gives the deterministic action."
        )
    runs: list[tuple[str, int]] = []
    for kind in [_Marks.KINDS[mark] for mark in marks]:
        count = runs.pop()[1] if runs and runs[-1][0] == kind else 0
        runs.append((kind, count + 1))
    return Port("noise", "noise", (rows, len(marks)), "float32", noise=tuple(runs))


class _OtherNumbersError(Exception):
    """Noise is made of numbers that are neither normal nor Gumbel."""


class _Marks:
    """A random source of NumPy's whose numbers say how they would have been drawn.

    They are numbers that nobody gets by scaling or shifting others, so that noise which was changed has no kind.
    """

    NORMAL, GUMBEL = 0.7109375, 1.6171875
    KINDS: ClassVar[dict[float, str]] = {NORMAL: "standard_normal", GUMBEL: "gumbel"}

    def standard_normal(self, shape: tuple[int, ...]) -> NumpyArray:
        """Return the mark of normal numbers."""
        return np.full(shape, self.NORMAL)

    def gumbel(self, size: tuple[int, ...]) -> NumpyArray:
        """Return the mark of Gumbel's."""
        return np.full(size, self.GUMBEL)

    def __getattr__(self, name: str) -> NoReturn:
        raise _OtherNumbersError


def action_ports(policy: Pipeline, rows: int) -> list[Port]:
    """Return what comes out: each leaf of the environment's action.

    Raises:
        ExportError: two leaves have one name.
    """
    return _apart(
        [
            Port(
                _pointer("action", path),
                "action",
                (rows, *(leaf.shape or ())),
                outside(leaf.dtype or np.dtype(np.int64)),
                path,
            )
            for path, leaf in nesting.iter_leaves(policy.action_space)
        ]
    )


def _apart(ports: list[Port]) -> list[Port]:
    """Require that arrays have names of their own."""
    names = [port.name for port in ports]
    for name in names:
        if names.count(name) > 1:
            raise ExportError(
                f"two parts of the space are called {name!r} in a file, because their keys are alike but for their type"
                " (1 and '1'): give one of them another key."
            )
    return ports


def _pointer(root: str, path: Path) -> str:
    parts = ["*" if part is ... else str(part).replace("~", "~0").replace("/", "~1") for part in path]
    return "/".join([root, *parts])
