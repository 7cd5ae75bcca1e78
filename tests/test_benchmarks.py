"""Every script of benchmarks/ can be imported, and measures this library."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"


def test_all_can_be_imported() -> None:
    script = "import " + ", ".join(sorted(file.stem for file in FOLDER.glob("*.py")))
    paths = os.pathsep.join([str(FOLDER.parent), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run([sys.executable, "-c", script], cwd=FOLDER, env={**os.environ, "PYTHONPATH": paths})
    assert done.returncode == 0


@pytest.mark.parametrize(
    "words", [["algorithms.py", "--ours", "a2c", "torch", "80", "1"], ["bare_jax.py", "dqn-8", "16", "1"]], ids=" ".join
)
def test_one_measurement_is_a_line_of_json(words: list[str]) -> None:
    done = subprocess.run([sys.executable, *words], check=True, cwd=FOLDER, capture_output=True, text=True)
    assert json.loads(done.stdout.splitlines()[-1])["rate"] > 0
