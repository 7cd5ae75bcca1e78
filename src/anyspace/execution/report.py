"""What a run shows a person while it lasts."""

from __future__ import annotations

import time
from collections import deque
from contextlib import suppress
from importlib.util import find_spec
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Column
from rich.text import Text

PLAIN_INTERVAL = 5.0
"""Seconds between progress lines where there is no terminal to redraw."""

LIVE_INTERVAL = 0.1
"""Seconds between two looks at a live bar."""


RATE_OVER = 20
"""How many iterations the steps per second are taken over, so that one with an evaluation does not upset them."""


class _Rate(ProgressColumn):
    def __init__(self) -> None:
        super().__init__(Column(no_wrap=True))

    def render(self, task: Task) -> Text:
        return Text(f"{task.fields['rate']:>7,.0f} steps/s", style="cyan")


class _Report:
    """A live bar on a terminal and in a notebook, else a line now and then.

    Where the terminal is gone, it shows nothing, and the work goes on.

    Use it as a context manager.

    Args:
        columns: of the bar.
        enabled: False shows nothing.
        console: where to show it; None takes stderr.
        transient: whether the bar is removed at the end.
    """

    def __init__(self, *columns: ProgressColumn, enabled: bool, console: Console | None, transient: bool = False):
        self._console, self._enabled = console or Console(stderr=True, emoji=False), enabled
        # In a notebook a bar is a widget, and there are none without ipywidgets.
        has_widgets = self._console.is_jupyter and find_spec("ipywidgets") is not None
        self._is_live = self._console.is_terminal or has_widgets
        self._has_bar = enabled and self._is_live
        self._bar = Progress(*columns, console=self._console, disable=not self._has_bar, transient=transient)

    def __enter__(self) -> Self:
        if self._has_bar:
            with suppress(OSError):
                self._bar.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._has_bar:  # rich 13 prints an empty line for one that is disabled
            with suppress(OSError):
                self._bar.__exit__(kind, error, traceback)

    def say(self, text: str) -> None:
        """Print a line above the bar."""
        if self._enabled:
            # A signal's handler may speak in the middle of another line: that is a RuntimeError.
            with suppress(OSError, RuntimeError):
                self._console.print(text, markup=False, emoji=False, highlight=False)


class EvaluationReport(_Report):
    """Shows how many episodes of an evaluation are over.

    Args:
        episodes: how many there are to be.
        enabled: False shows nothing.
    """

    def __init__(self, episodes: int, enabled: bool = True, console: Console | None = None):
        super().__init__(
            TextColumn("evaluating: [bold]{task.completed}[/] / {task.total} episodes"),
            BarColumn(bar_width=16),
            TextColumn("{task.fields[steps]:,} steps"),
            _Rate(),
            enabled=enabled,
            console=console,
            transient=True,
        )
        self._episodes = episodes
        self._task = self._bar.add_task("evaluate", total=episodes, steps=0, rate=0.0)
        self._started = self._shown = time.monotonic()

    def update(self, finished: int, steps: int) -> None:
        """Show how many episodes are over, and how many steps were taken by all environments together."""
        now = time.monotonic()
        if now - self._shown < (LIVE_INTERVAL if self._is_live else PLAIN_INTERVAL):
            return
        self._shown, rate = now, steps / (now - self._started)
        with suppress(OSError):
            self._bar.update(self._task, completed=finished, steps=steps, rate=rate)
        if not self._is_live:
            self.say(f"evaluating: {finished} / {self._episodes} episodes  {steps:,} steps  {rate:,.0f} steps/s")


class ProgressReport(_Report):
    """Shows steps, steps per second, return and time left of a training run.

    Args:
        total_steps: where the bar ends.
        enabled: False shows nothing.
    """

    def __init__(self, total_steps: int, enabled: bool = True, console: Console | None = None):
        super().__init__(
            TextColumn("[bold]{task.completed:,}[/] / {task.total:,} steps", table_column=Column(no_wrap=True)),
            BarColumn(bar_width=16),
            _Rate(),
            TextColumn("return [bold green]{task.fields[mean]}[/]", table_column=Column(no_wrap=True)),
            TextColumn("left"),
            TimeRemainingColumn(),
            enabled=enabled,
            console=console,
        )
        self._total = total_steps
        self._last_line = float("-inf")
        self._latest: deque[tuple[int, float]] = deque(maxlen=RATE_OVER)
        self._task = self._bar.add_task("train", total=total_steps, rate=0.0, mean="-")

    def update(self, result: dict[str, Any]) -> None:
        """Show a training result."""
        self._latest.append((result["timesteps_this_iter"], result["time_this_iter_s"]))
        taken, seconds = map(sum, zip(*self._latest, strict=True))
        steps, rate = result["timesteps_total"], taken / max(seconds, 1e-9)
        mean = result.get("episode_return_mean")
        spelt = "-" if mean is None else f"{mean:,.{1 if abs(mean) >= 10 else 2}f}"
        with suppress(OSError):
            self._bar.update(self._task, completed=min(steps, self._total), rate=rate, mean=spelt)
        now = time.monotonic()
        if not self._is_live and (now - self._last_line > PLAIN_INTERVAL or steps >= self._total):
            self._last_line = now
            left = max(0, self._total - steps) / max(rate, 1e-9)
            self.say(f"{steps:,} / {self._total:,} steps  {rate:,.0f} steps/s  return {spelt}  left {left:,.0f} s")
