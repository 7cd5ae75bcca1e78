"""A picture of a policy's pipeline: from the leaves of the observation to the parts of the action."""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from anyspace import nesting, tree
from anyspace.drafts import write_whole, writing
from anyspace.errors import ConfigError
from anyspace.execution.curves import require_format
from anyspace.execution.inspection import fate, mask_source, named_parts, origin
from anyspace.policy.policy import Policy

MOST = 14
"""Boxes of a column, and layers of a model; the last of more than that says how many there are."""
WIDTH = 29
"""Letters of a line."""

# Lengths in units of a line's height.
_LINE, _MARGIN, _BETWEEN, _COLUMN, _GAP = 1.0, 0.5, 0.55, 13.6, 2.2
_INCH = 0.155
"""Inches of a unit."""


@dataclass(frozen=True)
class Box:
    """A box of a column."""

    name: list[str]
    """Lines in bold; none where there is nothing to name."""
    lines: list[str]

    @classmethod
    def of(cls, name: str, *lines: str) -> Box:
        """Return a box whose lines are wrapped; a name of no letters is none."""
        return cls(_wrapped([name] if name else []), _wrapped(lines))

    @property
    def count(self) -> int:
        """How many lines it has."""
        return len(self.name) + len(self.lines)


@dataclass(frozen=True)
class Column:
    """Boxes of one stage, one above the other."""

    title: str
    boxes: list[Box]
    color: str

    @property
    def height(self) -> float:
        """In units of a line's height."""
        lines = sum(box.count for box in self.boxes)
        return lines * _LINE + len(self.boxes) * (2 * _MARGIN + _BETWEEN) - _BETWEEN


def pipeline_columns(policy: Policy) -> list[Column]:
    """Return the stages of a pipeline, with what a person wants to know of each."""
    specs = policy.preprocessor.specs
    leaves = _cut([Box.of(leaf.place(), short_space(leaf.space)) for leaf in specs])
    fates = _cut([Box.of("", fate(leaf, position, policy)) for position, leaf in enumerate(specs)])
    columns = [Column("observation", _level(leaves, fates), "#dbeafe")]
    columns.append(Column("preprocessor", _level(fates, leaves), "#e0e7ff"))
    shown = f"obs_flat: {policy.shown.size} float32" if policy.config.preprocesses else "as it is"
    columns.append(Column("filter", [Box.of(policy.config.observation_filter, shown)], "#ede9fe"))
    columns.append(Column("model", [_model(policy)], "#fef3c7"))
    if policy.views.states or policy.views.rows:
        columns.append(Column("memory and views", _cut(_memory(policy)), "#fde68a"))
    columns.append(Column("distribution", [_distribution(policy)], "#dcfce7"))
    actions = [
        Box.of(tree.place("action", path), short_space(space), origin(space, policy))
        for path, space in nesting.iter_leaves(policy.action_space)
    ]
    return [*columns, Column("action", _cut(actions), "#bbf7d0")]


def draw_pipeline(policy: Policy, picture: Path, title: str) -> None:
    """Draw what a policy does with an observation, from left to right.

    Args:
        policy: whose pipeline it is.
        picture: the file; its ending says whether it is an SVG, a PNG or a PDF.
        title: above the picture.

    Raises:
        ConfigError: the ending is of no known kind, or the picture cannot be written.
    """
    kind = require_format(picture)
    drawn = pipeline_picture(policy, title, kind)
    with writing(picture, ConfigError):
        write_whole(picture, drawn)


def pipeline_picture(policy: Policy, title: str, kind: str) -> bytes:
    """Return the picture as the content of a file of a kind."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = pipeline_columns(policy)
    height = max(column.height for column in columns) + 4.5
    width = len(columns) * (_COLUMN + _GAP) - _GAP + 1
    figure = Figure(figsize=(width * _INCH, height * _INCH))
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height, 0))
    axes.axis("off")
    axes.text(0, 1.0, title, fontsize=10, weight="bold", va="center", parse_math=False)
    masks = mask_source(policy) if policy.masking.found_origin() == "none" else f"masks: {mask_source(policy)}"
    axes.text(width - 1, 1.0, masks, fontsize=7, va="center", ha="right", color="#475569", parse_math=False)
    before: list[Place] = []
    for number, column in enumerate(columns):
        x = number * (_COLUMN + _GAP)
        axes.text(x + _COLUMN / 2, 2.7, column.title, fontsize=9, ha="center", va="center", color="#334155")
        places = _draw_column(axes, column, x, 3.7 + (height - 4.5 - column.height) / 2)
        _draw_arrows(axes, before, places, x)
        before = places
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=160, format=kind, facecolor="white")
    return drawn.getvalue()


def short_space(space: gym.Space[Any]) -> str:
    """Return a space in a few words: ``Box (4,) float32 in [-1, 1]``."""
    words = " ".join(str(space).split())
    box = _BOX.fullmatch(words)
    if box is not None:
        low, high, shape, dtype = box.groups()
        within = "" if "[" in low + high else f" in [{_short(low)}, {_short(high)}]"
        return f"Box {shape} {dtype}{within}"
    return words if len(words) <= 3 * WIDTH else f"{words[: 3 * WIDTH - 3]}..."


_BOX = re.compile(r"Box\((\[.*\]|\S+), (\[.*\]|\S+), (\([\d, ]*\)), (\w+)\)")
"""How Gymnasium spells a Box; bounds that are not the same everywhere are arrays."""


def _short(bound: str) -> str:
    value = float(bound)
    return f"{'-' if value < 0 else ''}inf" if abs(value) > 1e30 else f"{value:g}"


def _model(policy: Policy) -> Box:
    layers = policy.runtime.layers(policy.model)
    total = sum(layer.parameters for layer in layers)
    # Of "weight (64, 4), bias (64,)" the first shape says all.
    shapes = [re.search(r"\(.*?\)", layer.shape) for layer in layers]
    spelt = [
        f"{_end_of(layer.name)} {layer.kind} {shape.group() if shape else ''}"
        for layer, shape in zip(layers, shapes, strict=True)
    ]
    more = [f"and {len(spelt) - MOST + 1} more layers"] if len(spelt) > MOST else []
    where = f"{total:,} parameters, {policy.runtime.framework}"
    return Box.of(type(policy.model).__name__, where, "", *spelt[: MOST - 1 if more else MOST], *more)


def _end_of(name: str) -> str:
    """Return the end of a long name, which tells layers apart."""
    return name if len(name) <= WIDTH // 2 else f"..{name[-WIDTH // 2 :]}"


def _memory(policy: Policy) -> list[Box]:
    views = policy.views
    states = [
        Box.of(str(view.data_col), f"{initial.dtype} {tuple(initial.shape)}")
        for initial, view in zip(views.initial, views.states, strict=True)
    ]
    return [*states, *(Box.of(name, f"{view.data_col} of other steps") for name, view in views.rows.items())]


def _distribution(policy: Policy) -> Box:
    name, parts = named_parts(policy)
    return Box.of(name, f"takes {policy.num_outputs} outputs", *(f"{place}: {kind}" for place, kind in parts))


def _wrapped(lines: Sequence[str]) -> list[str]:
    return [part for line in lines for part in textwrap.wrap(line, WIDTH) or [""]]


def _cut(boxes: list[Box]) -> list[Box]:
    return boxes if len(boxes) <= MOST else [*boxes[: MOST - 1], Box.of("", f"and {len(boxes) - MOST + 1} more")]


def _level(boxes: Sequence[Box], others: Sequence[Box]) -> list[Box]:
    """Return boxes that are as high as those beside them."""
    pairs = zip(boxes, others, strict=True)
    return [Box(box.name, box.lines + [""] * max(0, other.count - box.count)) for box, other in pairs]


Place = tuple[float, float]
"""The right end and the middle of a box."""


def _draw_column(axes: Any, column: Column, x: float, y: float) -> list[Place]:
    """Draw the boxes of a column from a place downwards."""
    from matplotlib.patches import FancyBboxPatch

    places = []
    for box in column.boxes:
        height = box.count * _LINE + 2 * _MARGIN
        style = "round,pad=0,rounding_size=0.35"
        patch = FancyBboxPatch((x, y), _COLUMN, height, boxstyle=style, edgecolor="#64748b", facecolor=column.color)
        axes.add_patch(patch)
        for number, line in enumerate([*box.name, *box.lines]):
            weight = "bold" if number < len(box.name) else "normal"
            middle = y + _MARGIN + (number + 0.5) * _LINE
            axes.text(x + 0.5, middle, line, fontsize=6.6, va="center", weight=weight, parse_math=False)
        places.append((x + _COLUMN, y + height / 2))
        y += height + _BETWEEN
    return places


def _draw_arrows(axes: Any, before: Sequence[Place], after: Sequence[Place], x: float) -> None:
    """Draw arrows from boxes to those of the next column: one each where they lie side by side, else through a place.

    Args:
        axes: to draw on.
        before: the boxes where arrows begin.
        after: the boxes where they end.
        x: the left end of these.
    """
    color = "#64748b"
    style = {"arrowprops": {"arrowstyle": "-|>", "color": color, "linewidth": 0.8, "shrinkA": 0, "shrinkB": 0}}
    if [height for _, height in before] == [height for _, height in after]:
        for (start, height), _ in zip(before, after, strict=True):
            axes.annotate("", (x, height), (start, height), **style)
        return
    middle = float(np.mean([height for _, height in before])) if before else 0.0
    for start, height in before:
        axes.plot([start, start + _GAP / 2], [height, middle], color=color, linewidth=0.8)
    for _, end in after if before else []:
        axes.annotate("", (x, end), (x - _GAP / 2, middle), **style)
