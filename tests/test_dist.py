"""What is shipped: the source archive holds all that its tests need, and the wheel made of it trains."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BUILD = "import sys; from setuptools import build_meta; print(getattr(build_meta, sys.argv[1])(sys.argv[2]))"
TRAIN = """
import sys
from importlib import resources
import anyspace
from anyspace import PPO
from anyspace.algorithms.presets import preset_names
assert anyspace.__file__.startswith(sys.argv[1]), anyspace.__file__
assert resources.files(anyspace).joinpath("py.typed").is_file()
assert "CartPole-v1" in preset_names("ppo")
algo = PPO("CartPole-v1", train_batch_size=64, minibatch_size=64, num_epochs=1)
assert algo.train()["timesteps_total"] > 0
algo.close()
"""
TESTS = ("tests/test_house.py", "tests/test_public_names.py", "tests/test_tree.py", "tests/algorithms/test_presets.py")


def run(*words: str, cwd: Path, **env: str) -> str:
    done = subprocess.run(
        [sys.executable, *words], cwd=cwd, env={**os.environ, **env}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()[-1] if done.stdout else ""


@pytest.mark.fuzz
def test_wheel_and_source_archive_work(tmp_path: Path) -> None:
    archive = run("-c", BUILD, "build_sdist", str(tmp_path), cwd=ROOT)
    with tarfile.open(tmp_path / archive) as packed:
        packed.extractall(tmp_path, filter="data")
    source, site = tmp_path / archive.removesuffix(".tar.gz"), tmp_path / "site"
    assert (source / ".ci" / "run").is_file()
    wheel = run("-c", BUILD, "build_wheel", str(tmp_path), cwd=source)
    pip = ("-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(site))
    run(*pip, str(tmp_path / wheel), cwd=tmp_path)
    run("-c", TRAIN, str(site), cwd=tmp_path, PYTHONPATH=str(site))
    run("-m", "pytest", "-q", *TESTS, cwd=source, PYTHONPATH=str(site))
