"""Every example runs, briefly, and stands in the list of examples."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.py"))
TRAINING = [file for file in EXAMPLES if file.stem != "act_with_onnx"]  # which tests/deploy runs
STEPS = {"imitation": 600}
"""Environment steps of an example; most need no more than an iteration or two."""


@pytest.mark.parametrize("file", TRAINING, ids=lambda file: file.stem)
def test_it_runs(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    spec = importlib.util.spec_from_file_location(f"example_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert math.isfinite(module.main(STEPS.get(file.stem, 300)))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_it_is_short_and_listed(file: Path) -> None:
    assert len(file.read_text().splitlines()) < 60
    assert f"]({file.name})" in (file.parent / "README.md").read_text()
