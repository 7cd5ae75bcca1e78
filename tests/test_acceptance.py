"""The acceptance table names every row and the tests that show it; what is wrong with it is found."""

from __future__ import annotations

from tests import acceptance
from tests.acceptance import SUPERSEDED, Lines, problems

MARKED = {row: [f"test_rows.py::test_{row}"] for row in acceptance.ROWS if row != 7}
GOOD: Lines = {
    **{row: ("holds", f"`{names[0]}`", "") for row, names in MARKED.items()},
    7: ("holds", "with DQN", SUPERSEDED),
}


def test_the_page_fits_the_tests() -> None:
    lines = acceptance.page_lines(acceptance.PAGE.read_text())
    superseded = acceptance.superseded_rows(acceptance.DEVIATIONS.read_text())
    assert problems(lines, acceptance.marked_rows(), superseded) == [], "`python -m tests.acceptance --write` may help"


def test_what_is_wrong_is_found() -> None:
    assert problems(GOOD, MARKED, {7}) == []
    assert problems({**GOOD, 8: ("", *GOOD[8][1:])}, MARKED, {7}) == ["row 8 does not say what holds"]
    assert problems({**GOOD, 8: ("holds", "`test_rows.py::test_9`", "")}, MARKED, {7}) == [
        "row 8 names `test_rows.py::test_9`, but these tests show it: test_rows.py::test_8"
    ]
    assert "row 7 has no test" in problems({**GOOD, 7: ("holds", "", SUPERSEDED)}, MARKED, {7})[0]
    assert "disagree" in problems(GOOD, MARKED, {7, 9})[0]
    assert problems({row: GOOD[row] for row in GOOD if row != 9}, MARKED, {7}) == ["row 9 is missing"]
    assert problems(GOOD, {**MARKED, 171: ["test_rows.py::test_171"]}, {7}) == [
        "there is no row 171, which test_rows.py::test_171 claims to show"
    ]


def test_names_are_written_into_the_page() -> None:
    head = "| row | what holds | shown by | note |\n|---|---|---|---|\n"
    page = f"{head}| 7 | it | with DQN |  |\n| 8 | this | `old` | why |\n"
    text = acceptance.written(page, MARKED)
    assert acceptance.page_lines(text) == {
        7: ("it", "with DQN", ""),
        8: ("this", "`test_rows.py::test_8`", "why"),
    }
    assert acceptance.written(text, MARKED) == text
