from __future__ import annotations

import errno
import io
import os
import re
from typing import Any

import pytest
from rich.console import Console

from anyspace.execution import report
from anyspace.execution.report import EvaluationReport, ProgressReport


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.now = 100.0
        monkeypatch.setattr(report.time, "monotonic", lambda: self.now)


def shown(
    *results: dict[str, Any], total: int = 4000, terminal: bool = False, enabled: bool = True, text: str = ""
) -> str:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=terminal, width=120, color_system=None)
    with ProgressReport(4000, enabled, console) as progress:
        for result in results:
            progress.update(result)
        if text:
            progress.say(text)
    return stream.getvalue()


def result(steps: int, rate: float = 500.0, mean: float | None = 12.34) -> dict[str, Any]:
    found = {"timesteps_total": steps, "timesteps_this_iter": 900, "time_this_iter_s": 900 / rate}
    return found if mean is None else found | {"episode_return_mean": mean}


def test_a_line_without_a_terminal() -> None:
    assert shown(result(1000)) == "1,000 / 4,000 steps  500 steps/s  return 12.3  left 6 s\n"
    assert shown(result(4000, 1234.6, -3000.0)) == "4,000 / 4,000 steps  1,235 steps/s  return -3,000.0  left 0 s\n"
    assert "return -0.96  left" in shown(result(1000, mean=-0.957))


def test_before_an_episode_ended() -> None:
    assert shown(result(1000, mean=None)) == "1,000 / 4,000 steps  500 steps/s  return -  left 6 s\n"


def test_one_slow_iteration_moves_the_rate_by_a_part() -> None:
    iterations = [result(900 * number, 10.0 if number == 20 else 1000.0) for number in range(1, 31)]
    stream = io.StringIO()
    with ProgressReport(36_000, console=Console(file=stream, width=120)) as progress:
        for each in iterations:
            progress._last_line = float("-inf")
            progress.update(each)
    rates = [
        int(line.split("steps  ")[1].split(" steps/s")[0].replace(",", "")) for line in stream.getvalue().splitlines()
    ]
    assert rates[:19] == [1000] * 19
    assert rates[19:] == [168] * 11
    assert stream.getvalue().splitlines()[19].endswith("left 107 s")


def test_lines_come_now_and_then_and_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    stream = io.StringIO()
    with ProgressReport(1000, console=Console(file=stream, width=120)) as progress:
        for steps in range(100, 1001, 100):
            progress.update(result(steps))
            clock.now += report.PLAIN_INTERVAL / 3.5
    first = [line.split(" ")[0] for line in stream.getvalue().splitlines()]
    assert first == ["100", "500", "900", "1,000"]


def test_a_bar_on_a_terminal() -> None:
    last = shown(result(1000), result(3000, 900.0, 55.5), terminal=True).splitlines()[-2]
    for part in ("3,000 / 4,000 steps", "643 steps/s", "return 55.5", "left", "━"):
        assert part in last
    assert re.search(r"\d:\d\d:\d\d|-:--:--", last)


def test_nothing_is_shown_when_switched_off() -> None:
    assert shown(result(1000), result(4000), enabled=False, text="hello") == ""
    assert shown(result(1000), result(4000), enabled=False, text="hello", terminal=True) == ""


@pytest.mark.parametrize("terminal", [False, True])
def test_said_text_is_shown_as_it_is(terminal: bool) -> None:
    assert "go on with [bold]runs[/a] :smile:" in shown(text="go on with [bold]runs[/a] :smile:", terminal=terminal)


@pytest.mark.parametrize("terminal", [False, True])
def test_an_evaluation_shows_how_far_it_is(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, stream = Clock(monkeypatch), io.StringIO()
    console = Console(file=stream, force_terminal=terminal, width=120, color_system=None)
    with EvaluationReport(10, True, console) as shown_to:
        shown_to.update(0, 10)
        clock.now += 4
        shown_to.update(1, 400)
        clock.now += 4
        shown_to.update(3, 16_000)
        shown_to.update(4, 16_400)
    text = stream.getvalue()
    if terminal:
        assert "3 / 10 episodes" in text
        assert "2,000 steps/s" in text
    else:
        assert text == "evaluating: 3 / 10 episodes  16,000 steps  2,000 steps/s\n"


@pytest.mark.parametrize("terminal", [True, False])
def test_an_evaluation_shows_nothing_when_switched_off(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, stream = Clock(monkeypatch), io.StringIO()
    with EvaluationReport(10, False, Console(file=stream, force_terminal=terminal)) as shown_to:
        clock.now += 60
        shown_to.update(1, 100)
    assert stream.getvalue() == ""


class Gone(io.StringIO):
    """A terminal that was closed."""

    def write(self, text: str) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))


@pytest.mark.parametrize("terminal", [True, False])
def test_where_the_terminal_is_gone_the_work_goes_on(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, console = Clock(monkeypatch), Console(file=Gone(), force_terminal=terminal)
    with EvaluationReport(10, True, console) as evaluation:
        clock.now += 60
        evaluation.update(1, 100)
    with ProgressReport(100, True, console) as training:
        training.update(result(100))
        training.say("a line")


@pytest.mark.parametrize("has_widgets", [True, False])
def test_a_notebook_has_a_bar_where_it_has_widgets(monkeypatch: pytest.MonkeyPatch, has_widgets: bool) -> None:
    monkeypatch.setattr(report, "find_spec", lambda name: object() if has_widgets else None)
    stream = io.StringIO()
    bar = ProgressReport(1000, console=Console(file=stream, force_jupyter=True, force_terminal=False))
    assert bar._bar.disable is not has_widgets
