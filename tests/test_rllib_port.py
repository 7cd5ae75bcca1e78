"""A training script of RLlib in five files, before and after: it runs, and little of it had to change."""

from __future__ import annotations

import difflib
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent / "rllib_port"
FILES = sorted((FOLDER / "before").glob("*.py"))
MOST = 40
"""Lines that a port of about two hundred may change."""


def changed(before: str, after: str) -> int:
    """Return how many lines were changed, removed or added."""
    blocks = difflib.SequenceMatcher(None, before.splitlines(), after.splitlines(), autojunk=False).get_opcodes()
    return sum(max(i2 - i1, j2 - j1) for kind, i1, i2, j1, j2 in blocks if kind != "equal")


def test_few_lines_change() -> None:
    before = {file.name: file.read_text() for file in FILES}
    after = {file.name: file.read_text() for file in (FOLDER / "after").glob("*.py")}
    assert before.keys() == after.keys()
    assert sum(len(text.splitlines()) for text in before.values()) >= 222
    assert sum(changed(before[name], after[name]) for name in before) <= MOST
    assert not any("import ray" in text or "from ray" in text for text in after.values())


def test_the_port_runs(tmp_path: Path) -> None:
    words = ["--steps", "128", "--batch", "128", "--workers", "0", "--out", str(tmp_path / "warehouse")]
    command = [sys.executable, str(FOLDER / "after" / "train.py"), *words]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith(("best learning rate 0.001", "best learning rate 0.0001"))
    assert [line.split()[0] for line in lines] == ["best", "distance", "played"]
