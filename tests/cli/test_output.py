"""What commands print."""

from __future__ import annotations

import io

from rich.console import Console

from anyspace.cli import output


def test_lines_are_printed_as_they_are_spelt() -> None:
    lines = ["runs/[bold]1[/]/a folder with a name of more than twenty letters", ":smile: [/nothing]"]
    file = io.StringIO()
    output.print_lines(Console(file=file, width=20, force_terminal=True, emoji=False), *lines)
    assert file.getvalue().splitlines() == lines
