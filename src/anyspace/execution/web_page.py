"""A run as one page of HTML, which holds everything it shows and fetches nothing."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from anyspace.errors import ConfigError, counted
from anyspace.execution import run_files
from anyspace.execution.curves import learning_curve
from anyspace.execution.log import read_metrics

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; color: #1e293b; }
h1 { margin-bottom: 0; } h2 { margin-top: 2.2rem; border-bottom: 1px solid #cbd5e1; } p.below { color: #64748b; }
table { border-collapse: collapse; } td, th { padding: .15rem 1rem .15rem 0; text-align: left; vertical-align: top; }
td.number { font-variant-numeric: tabular-nums; text-align: right; } tr.changed { font-weight: 600; }
code { font-size: .92em; } svg, img, video { max-width: 100%; height: auto; } .scroll { overflow-x: auto; }
"""


@dataclass(frozen=True)
class Shown:
    """What a page shows of a run beside what its folder holds."""

    pipeline: bytes
    """An SVG."""
    changed: Mapping[str, Any]
    """Configuration keys that are not at their defaults, by path."""
    evaluation: Mapping[str, Any] | None = None
    """As ``evaluate`` returns it."""
    video: Path | None = None
    """One of the run's videos."""
    notes: Sequence[str] = field(default_factory=list)
    """What is missing, and why."""


def run_page(folder: Path, shown: Shown) -> str:
    """Return the page of a run.

    Raises:
        ConfigError: the folder is no run's, or a file in it is damaged.
    """
    metrics, config = folder / run_files.METRICS_FILE, folder / run_files.CONFIG_FILE
    if missing := [file.name for file in (metrics, config) if not file.is_file()]:
        raise ConfigError(f"{folder} is not the folder of a run that has trained: it has no {', '.join(missing)}.")
    rows = read_metrics(metrics)
    if not rows:
        raise ConfigError(f"{metrics} has no numbers yet: no iteration is over.")
    described = run_files.read_description(folder)
    title = run_files.title_of(described)
    parts = [
        f"<h1>{html.escape(title)}</h1>",
        f'<p class="below">{_facts(folder, described, rows[-1])}</p>',
        *(f"<p>{html.escape(note)}</p>" for note in shown.notes),
        "<h2>Learning curve</h2>",
        _svg(learning_curve(metrics, title, "svg")),
        *([] if shown.evaluation is None else _evaluation(shown.evaluation)),
        *([] if shown.video is None else ["<h2>Video</h2>", _video(folder, shown.video)]),
        "<h2>Pipeline</h2>",
        f'<div class="scroll">{_svg(shown.pipeline)}</div>',
        "<h2>Configuration</h2>",
        '<p class="below">In bold: what is not at its default.</p>',
        _configuration(described.get("config", {}), shown.changed),
        "<h2>Last numbers</h2>",
        _table((name, _number(value)) for name, value in rows[-1].items() if value),
    ]
    head = f'<meta charset="utf-8"><title>{html.escape(title)}</title><style>{_STYLE}</style>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>\n' + "\n".join(parts) + "\n</body></html>\n"


def latest_video(folder: Path, steps: int) -> Path | None:
    """Return the newest video of a run up to some ``steps``, MP4 rather than GIF; None where there is none."""
    found = [(filmed, file.suffix, file) for file, filmed in run_files.videos_of(folder).items() if filmed <= steps]
    return max(found)[2] if found else None


def _facts(folder: Path, described: Mapping[str, Any], last: Mapping[str, str]) -> str:
    facts = [
        f"seed {described.get('seed')}",
        f"preset {described.get('preset')}",
        f"{float(last['timesteps_total']):,.0f} steps",
        f"{float(last.get('time_total_s') or 0):,.0f} s of training",
        f"folder {folder}",
    ]
    return html.escape(", ".join(facts))


def _evaluation(result: Mapping[str, Any]) -> list[str]:
    mean, deviation = result["episode_return_mean"], result["episode_return_std"]
    cut = f", {result['episodes_cut']} of which were cut" if result["episodes_cut"] else ""
    over = counted(result["episodes"], "episode")
    lines = enumerate(zip(result["returns"], result["lengths"], strict=True), 1)
    return [
        "<h2>Evaluation</h2>",
        f"<p>Mean return <b>{mean:.6g}</b> &plusmn; {deviation:.3g} over {over}{cut}.</p>",
        _table((f"episode {number}", f"{total:.6g}", f"{length:,} steps") for number, (total, length) in lines),
    ]


def _video(folder: Path, file: Path) -> str:
    data = base64.b64encode(file.read_bytes()).decode()
    if file.suffix == ".gif":
        shown = f'<img alt="the policy plays" src="data:image/gif;base64,{data}">'
    else:
        shown = f'<video controls autoplay loop muted src="data:video/mp4;base64,{data}"></video>'
    steps = run_files.videos_of(folder)[file]
    return f'<p class="below">{html.escape(file.name)}: the policy at {steps:,} steps.</p>{shown}'


def _svg(picture: bytes) -> str:
    """Return an SVG as a picture of its own: names within one SVG do not meet those of another."""
    return f'<img alt="" src="data:image/svg+xml;base64,{base64.b64encode(picture).decode()}">'


def _configuration(config: Mapping[str, Any], changed: Mapping[str, Any]) -> str:
    rows = []
    for path, value in _flat(config):
        kind = ' class="changed"' if path in changed else ""
        cells = f"<td><code>{html.escape(path)}</code></td><td><code>{html.escape(json.dumps(value))}</code></td>"
        rows.append(f"<tr{kind}>{cells}</tr>")
    return f"<table>{''.join(rows)}</table>"


def _flat(config: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    for key, value in config.items():
        if key == "model" and isinstance(value, Mapping):
            yield from ((f"{key}.{name}", item) for name, item in value.items())
        else:
            yield key, value


def _table(rows: Iterable[Sequence[str]]) -> str:
    lines = []
    for name, *numbers in rows:
        cells = "".join(f'<td class="number">{html.escape(number)}</td>' for number in numbers)
        lines.append(f"<tr><td>{html.escape(name)}</td>{cells}</tr>")
    return f"<table>{''.join(lines)}</table>"


def _number(text: str) -> str:
    try:
        return f"{float(text):,.6g}"
    except ValueError:
        return text
