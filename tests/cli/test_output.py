"""What commands print."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from rich.console import Console

from anyspace.cli import main, output


def test_lines_are_printed_as_they_are_spelt() -> None:
    lines = ["runs/[bold]1[/]/a folder with a name of more than twenty letters", ":smile: [/nothing]"]
    file = io.StringIO()
    output.print_lines(Console(file=file, width=20, force_terminal=True, emoji=False), *lines)
    assert file.getvalue().splitlines() == lines


def test_seeds_without_a_return_are_named() -> None:
    file = io.StringIO()
    output.print_seeds(Console(file=file), {0: 2.0, 1: None, 2: 4.0}, Path("a b"))
    summary, _, curves, board = file.getvalue().splitlines()
    assert summary.endswith("over 2 of 3 seeds; seed 1 has no return, for no episode has ended")
    assert curves == "curves: anyspace plot 'a b/seed-0' 'a b/seed-1' 'a b/seed-2' --out 'a b/curves.png'"
    assert board == "        tensorboard --logdir 'a b'"


def test_what_an_encoding_lacks_is_spelt_out(monkeypatch: pytest.MonkeyPatch) -> None:
    written = {name: io.TextIOWrapper(io.BytesIO(), "cp1252", "strict") for name in ("stdout", "stderr")}
    for name, stream in written.items():
        monkeypatch.setattr(sys, name, stream)
    monkeypatch.setattr("anyspace.cli._commands", lambda: {"say": lambda words: print(*words)})
    assert main(["say", "r\xfcns \u5b9f"]) == 0
    assert main(["r\xfcns \u5b9f"]) == 2
    for stream in written.values():
        stream.flush()
        assert b"r\xfcns \\u5b9f" in stream.buffer.getvalue()  # type: ignore[attr-defined]
        assert stream.errors == "strict", "as the caller had it"
