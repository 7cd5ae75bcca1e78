"""Print which of the 170 rows of the acceptance table (spec chapter 12) have no test yet."""

from __future__ import annotations

import ast
from pathlib import Path

ROWS = range(1, 171)


def marked_rows(folder: Path) -> dict[int, list[str]]:
    """Return the tests that carry ``@pytest.mark.spec(ROW, ...)``, by row."""
    found: dict[int, list[str]] = {}
    for file in sorted(folder.rglob("test_*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if not isinstance(node, ast.FunctionDef | ast.ClassDef):
                continue
            for decorator in node.decorator_list:
                if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.spec":
                    for argument in decorator.args:
                        found.setdefault(ast.literal_eval(argument), []).append(f"{file.name}::{node.name}")
    return found


def main() -> None:
    covered = marked_rows(Path(__file__).parent)
    missing = [row for row in ROWS if row not in covered]
    print(f"{len(ROWS) - len(missing)} of {len(ROWS)} rows have a test. Without one:")
    print(", ".join(map(str, missing)))


if __name__ == "__main__":
    main()
