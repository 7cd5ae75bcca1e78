"""Check ``docs/acceptance.md`` against the tests: every row is there, and names exactly the tests that show it.

``python -m tests.acceptance`` prints what is wrong; with ``--write`` it first writes the tests' names into the page.
"""

from __future__ import annotations

import argparse
import ast
import re
from pathlib import Path

ROWS = range(1, 171)
TESTS = Path(__file__).parent
DOCS = TESTS.parent / "docs"
PAGE = DOCS / "acceptance.md"
DEVIATIONS = DOCS / "deviations.md"
SUPERSEDED = "[superseded](deviations.md)"

Lines = dict[int, tuple[str, str, str]]
"""What holds, what shows it and the note, by row."""


def marked_rows(folder: Path = TESTS) -> dict[int, list[str]]:
    """Return the tests that carry ``@pytest.mark.spec(ROW, ...)``, as ``file::name``, by row."""
    found: dict[int, list[str]] = {}
    for file in sorted(folder.rglob("test_*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, ast.FunctionDef | ast.ClassDef):
                continue
            for decorator in node.decorator_list:
                if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.spec":
                    for argument in decorator.args:
                        name = f"{file.relative_to(folder)}::{node.name}"
                        found.setdefault(ast.literal_eval(argument), []).append(name)
    return found


def page_lines(text: str) -> Lines:
    """Return the rows of the page.

    Raises:
        ValueError: a row is there twice, or has not four cells.
    """
    lines: Lines = {}
    for line in text.splitlines():
        if not re.match(r"\| \d", line):
            continue
        row, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        if int(row) in lines or len(cells) != 3:
            raise ValueError(f"row {row} of {PAGE.name} is there twice, or has not four cells")
        lines[int(row)] = (cells[0], cells[1], cells[2])
    return lines


def superseded_rows(text: str) -> set[int]:
    """Return the rows that the first column of the page on deviations names."""
    cells = (line.split("|")[1] for line in text.splitlines() if line.startswith("| "))
    return {int(number) for cell in cells for number in re.findall(r"\d+", cell)}


def problems(lines: Lines, marked: dict[int, list[str]], superseded: set[int]) -> list[str]:
    """Return what is wrong with the page, one sentence each."""
    found = [f"row {row} is missing" for row in ROWS if row not in lines]
    found += [f"there is no row {row}, which {marked[row][0]} claims to show" for row in marked if row not in ROWS]
    for row, (holds, shown, note) in lines.items():
        if not holds:
            found.append(f"row {row} does not say what holds")
        if row in marked and re.findall("`(.+?)`", shown) != marked[row]:
            found.append(f"row {row} names {shown}, but these tests show it: {', '.join(marked[row])}")
        if row not in marked and not re.fullmatch("with .+", shown):
            found.append(f"row {row} has no test, and does not say with what it will come ('with ...')")
        if (row in superseded) != (SUPERSEDED in note):
            found.append(f"row {row}: {DEVIATIONS.name} and the note disagree on whether it is superseded")
    return found


def written(text: str, marked: dict[int, list[str]]) -> str:
    """Return the page with the names of the tests as the tests' markers have them."""

    def line(match: re.Match[str]) -> str:
        row, holds, shown, note = match.groups()
        names = ", ".join(f"`{name}`" for name in marked.get(int(row), [])) or shown
        return f"| {row} | {holds} | {names} | {note}"

    return re.sub(r"^\| (\d+) \| ([^|]*) \| ([^|]*) \| (.*)$", line, text, flags=re.M)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write the names of the tests into the page")
    marked = marked_rows()
    if parser.parse_args().write:
        PAGE.write_text(written(PAGE.read_text(), marked))
    found = problems(page_lines(PAGE.read_text()), marked, superseded_rows(DEVIATIONS.read_text()))
    print("\n".join(found) or f"{sum(row in marked for row in ROWS)} of {len(ROWS)} rows have a test.")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
