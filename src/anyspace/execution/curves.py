"""Pictures of runs: the learning curve of one, and several side by side, seeds as a band."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from anyspace.drafts import write_whole, writing
from anyspace.errors import ConfigError, counted, nearest
from anyspace.execution import run_files
from anyspace.execution.log import read_metrics

_LOG = logging.getLogger("anyspace")

Numbers = npt.NDArray[np.float64]

FORMATS = ("png", "svg", "pdf")
"""What the ending of a picture's name may be."""
POINTS = 400
"""How many places the mean of several seeds is taken at."""
STEPS = "timesteps_total"
RETURN = "episode_return_mean"
_NAMES = {RETURN: "mean return of the latest episodes", "evaluation/episode_return_mean": "mean return of evaluations"}


@dataclass(frozen=True)
class Curve:
    """A number of one run over the environment steps.

    Attributes:
        run: its folder.
        steps: [P] rising.
        values: [P].
        described: the run's ``config.json``.
    """

    run: Path
    steps: Numbers
    values: Numbers
    described: dict[str, Any]

    @classmethod
    def read(cls, folder: Path, metric: str) -> Curve | None:
        """Read a run's; None where it is to be that of returns, and no episode has ended in any iteration.

        Raises:
            ConfigError: the folder is no run's, or has no such number, or none that is finite, or a file in it is
                damaged.
        """
        file = folder / run_files.METRICS_FILE
        if not file.is_file():
            raise ConfigError(
                f"{folder} is not the folder of a run: there is no {run_files.METRICS_FILE} in it."
                f"{run_files.runs_near(folder)}"
            )
        rows = read_metrics(file)
        points = _points(rows, metric)
        if rows and not points and metric == RETURN:
            return None
        if not points:
            known = sorted({name for row in rows for name, value in row.items() if value})
            if not known:
                raise ConfigError(f"{file} has no numbers yet: no iteration is over.")
            raise ConfigError(
                f"{file} has no numbers called {metric!r}.{nearest(metric, known)} It has: {', '.join(known)}."
            )
        steps, values = np.array(points).T
        finite = np.isfinite(values)
        if not finite.any():
            raise ConfigError(f"{file}: all numbers called {metric!r} are NaN or infinite.")
        steps, values = steps[finite], values[finite]
        return cls(folder, steps, values, run_files.read_description(folder))

    @property
    def seed(self) -> str:
        """What the seed of the run was; of a run that does not say so, the run stands for it."""
        return str(self.described.get("seed", self.run))

    @property
    def settings(self) -> dict[str, Any]:
        """What the run was, by path, but for its seed."""
        return {
            name: value
            for name, value in _flat(run_files.settings_of(self.described))
            if name not in ("seed", "config.seed")
        }


@dataclass(frozen=True)
class RunGroup:
    """Runs that differ in nothing but their seeds."""

    label: str
    curves: list[Curve]

    @property
    def common(self) -> tuple[float, float]:
        """The first and the last step that all of the runs cover; if they share none, the first lies after the last."""
        return max(curve.steps[0] for curve in self.curves), min(curve.steps[-1] for curve in self.curves)

    def band(self) -> tuple[Numbers, Numbers, Numbers, Numbers]:
        """Return steps that all of the runs cover, [P], and the mean, lowest and highest value there.

        A mean of fewer runs would jump where one of them ends, and their range would shrink. P may be 0.
        """
        if len(self.curves) == 1:
            (curve,) = self.curves
            return curve.steps, curve.values, curve.values, curve.values
        first, last = self.common
        steps = np.unique(np.linspace(first, last, POINTS)) if first <= last else np.empty(0)
        values = np.stack([np.interp(steps, curve.steps, curve.values) for curve in self.curves])
        return steps, values.mean(axis=0), values.min(axis=0), values.max(axis=0)

    def apart(self) -> list[tuple[Numbers, Numbers]]:
        """Return steps, [P], and values of single runs where not all of them cover them: before and after the band."""
        first, last = self.common
        pieces = []
        for curve in self.curves if len(self.curves) > 1 else ():
            for low, high in ((-np.inf, first), (last, np.inf)):
                steps = np.unique(np.clip(curve.steps, low, high))
                pieces.append((steps, np.interp(steps, curve.steps, curve.values)))
        return [(steps, values) for steps, values in pieces if len(steps) > 1]

    @property
    def latest(self) -> str:
        """What there is at the last step that all of the runs cover, in words."""
        number, end = len(self.curves), max(curve.steps[-1] for curve in self.curves)
        steps, mean, low, high = self.band()
        if not len(steps):
            return f"there is no step that all {number} runs cover"
        spread = f", {low[-1]:.6g} to {high[-1]:.6g}" if number > 1 else ""
        longer = sum(curve.steps[-1] > steps[-1] for curve in self.curves)
        go_on = f"{longer} of {number} runs {'goes' if longer == 1 else 'go'} on to {end:,.0f} steps"
        return f"{mean[-1]:.6g}{spread} at {steps[-1]:,.0f} steps{f'; {go_on}' if longer else ''}"


def grouped(curves: Sequence[Curve]) -> list[RunGroup]:
    """Return runs in groups that differ in nothing but the seed, each labelled by what it differs in from others."""
    groups: dict[str, list[Curve]] = {}
    for curve in curves:
        # Of a run without a description nobody knows what it was.
        known = json.dumps(curve.settings, sort_keys=True) if curve.described else str(curve.run)
        groups.setdefault(known, []).append(curve)
    settings = [same[0].settings for same in groups.values()]
    named = ("algorithm", "env")
    differing = [
        name
        for name in dict.fromkeys(name for one in settings for name in one)
        if name not in named and len({json.dumps(one.get(name)) for one in settings}) > 1
    ]
    return [RunGroup(_label(same, differing), same) for same in groups.values()]


def require_format(picture: Path) -> str:
    """Return the kind of a picture by the ending of its name.

    Raises:
        ConfigError: it is of no known kind.
    """
    kind = picture.suffix.removeprefix(".").lower()
    if kind not in FORMATS:
        raise ConfigError(f"the picture is to be {picture}, but pictures end in .{', .'.join(FORMATS)}.")
    return kind


def draw_curves(runs: Sequence[Path], picture: Path, metric: str = RETURN) -> list[RunGroup]:
    """Draw a number of several runs over the environment steps, and return them in groups as they are drawn.

    Runs that differ in their seeds alone are one line, the mean, with a band from the lowest to the highest value. Of
    runs of one seed a warning tells.
    Where not all of them have values, those that do are thin lines.

    Args:
        runs: their folders, or those that hold the runs of several seeds.
        picture: the file; its ending says whether it is a PNG, an SVG or a PDF.
        metric: a column of ``metrics.csv``.

    Raises:
        ConfigError: a folder is no run's, or has no such number, or no run has an episode that ended; or the picture's
            ending is of no known kind, or it cannot be written.
    """
    kind = require_format(picture)
    groups = grouped(_curves(runs, metric))
    figure, axes = _axes(_NAMES.get(metric, metric))
    for group in groups:
        _tell_of_twins(group)
        steps, mean, low, high = group.band()
        (line,) = axes.plot(steps, mean, label=group.label, linewidth=1.5)
        if len(group.curves) > 1:
            axes.fill_between(steps, low, high, color=line.get_color(), alpha=0.2, linewidth=0)
        for steps, values in group.apart():
            axes.plot(steps, values, color=line.get_color(), linewidth=0.5)
    axes.legend(fontsize="small")
    drawn = _drawn(figure, kind)
    with writing(picture, ConfigError):
        write_whole(picture, drawn)
    return groups


def _curves(runs: Sequence[Path], metric: str) -> list[Curve]:
    """Return the curves of runs; where no episode has ended, a run has none, and is left out if others have one."""
    found, endless = [], []
    each = (run for folder in map(Path, runs) for run in run_files.runs_in(folder))
    for run in {run.resolve(): run for run in each}.values():
        curve = Curve.read(run, metric)
        if curve is None:
            endless.append(run)
        else:
            found.append(curve)
    if endless and not found:
        raise ConfigError(f"no episode of {', '.join(map(str, endless))} has ended, so there are no returns to draw.")
    for run in endless:
        _LOG.warning("%s is left out: no episode of it has ended, so there are no returns to draw.", run)
    return found


def draw_learning_curve(metrics_file: Path, picture: Path, title: str) -> None:
    """Draw the mean return over sampled steps, and evaluations where there are any, as a PNG."""
    write_whole(picture, learning_curve(metrics_file, title, "png"))


def learning_curve(metrics_file: Path, title: str, kind: str) -> bytes:
    """Return that picture as the content of a file of a kind: png, svg or pdf."""
    rows = read_metrics(metrics_file)
    figure, axes = _axes("mean return")
    for column, label, style in (
        (RETURN, "training (latest episodes)", "-"),
        ("evaluation/episode_return_mean", "evaluation", "o--"),
    ):
        if points := _points(rows, column):
            axes.plot(*zip(*points, strict=True), style, label=label, markersize=4)
    axes.set_title(title, parse_math=False)
    if axes.has_data():
        axes.legend()
    return _drawn(figure, kind)


def _points(rows: Sequence[Mapping[str, str]], column: str) -> list[tuple[float, float]]:
    """Return the steps and the numbers of the rows that have one."""
    return [(float(row[STEPS]), float(row[column])) for row in rows if row.get(column)]


def _axes(name: str) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter

    figure = Figure(figsize=(7, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set(xlabel="environment steps", ylabel=name)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.grid(alpha=0.3)
    return figure, axes


def _drawn(figure: Any, kind: str) -> bytes:
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=120, format=kind)
    return drawn.getvalue()


def _label(same: list[Curve], differing: Sequence[str]) -> str:
    described, settings = same[0].described, same[0].settings
    algorithm, env = described.get("algorithm"), described.get("env")
    name = f"{algorithm} on {env}" if algorithm and env else same[0].run.name
    own = [f"{path.removeprefix('config.')}={settings[path]}" for path in differing if path in settings]
    shown = f", {', '.join(own[:_MOST_NAMED])}{', ...' if len(own) > _MOST_NAMED else ''}" if own else ""
    runs, seeds = len(same), len({curve.seed for curve in same})
    several = counted(seeds, "seed") if seeds == runs else f"{runs} runs, {counted(seeds, 'seed')}"
    return f"{name}{shown}{f' ({several})' if runs > 1 else ''}"


def _tell_of_twins(group: RunGroup) -> None:
    """Warn of runs of one seed, which say no more than one of them, however close together they lie."""
    by_seed: dict[str, list[str]] = {}
    for curve in group.curves:
        by_seed.setdefault(curve.seed, []).append(str(curve.run))
    for seed, runs in by_seed.items():
        if len(runs) > 1:
            _LOG.warning(
                "%s have the same settings and the same seed, %s: the band does not show how seeds differ.",
                ", ".join(runs),
                seed,
            )


_MOST_NAMED = 3
"""Settings that a label names."""


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, value in values.items():
        found += _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else [(f"{prefix}{name}", value)]
    return found
