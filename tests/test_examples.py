"""Every example runs, briefly, and stands in the list of examples."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.py"))
TRAINING = [file for file in EXAMPLES if file.stem != "act_with_onnx"]  # which tests/deploy runs
STEPS = {"imitation": 600}
"""Environment steps of an example; most need no more than an iteration or two."""


@pytest.mark.parametrize("file", TRAINING, ids=lambda file: file.stem)
def test_it_runs(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert math.isfinite(module_of(file).main(STEPS.get(file.stem, 300)))
    assert not list(tmp_path.iterdir())


def module_of(file: Path) -> Any:
    spec = importlib.util.spec_from_file_location(f"example_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_distribution_of_your_own_draws_with_a_key() -> None:
    logistic = module_of(EXAMPLES[0].parent / "custom_distribution.py").Logistic
    inputs = jax.numpy.zeros((400, 2))
    drawn = np.asarray(logistic(inputs, None).sample(jax.random.key(0)))
    assert drawn.shape == (400, 1)
    # The standard deviation of a logistic distribution of scale 1.
    np.testing.assert_allclose(drawn.std(), math.pi / math.sqrt(3), rtol=0.1)


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_it_is_short_and_listed(file: Path) -> None:
    assert len(file.read_text().splitlines()) < 60
    assert f"]({file.name})" in (file.parent / "README.md").read_text()
