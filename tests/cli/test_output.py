"""What commands print."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from anyspace.cli import output


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
