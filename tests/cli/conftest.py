from __future__ import annotations

from pathlib import Path

import pytest

ENVIRONMENTS = """
import time
from tests.support.environments import Drawn

class Slow(Drawn):
    def step(self, action):
        time.sleep(0.002)
        return super().step(action)

class Blind(Drawn):
    metadata = {"render_modes": []}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder in which commands run, which has the module ``toys``."""
    (tmp_path / "toys.py").write_text(ENVIRONMENTS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path
