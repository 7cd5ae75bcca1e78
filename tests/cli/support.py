"""What tests of commands share."""

from __future__ import annotations

import pytest

from anyspace.cli import main

TINY = (
    *("--train-batch-size", "16", "--minibatch-size", "16", "--num-epochs", "1", "--seed", "0", "--no-progress"),
    *("--num-envs-per-env-runner", "2", "--model.fcnet-hiddens", "4"),
)
"""Flags by which training takes next to no time."""


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Run a command; return its exit status, and what it printed and complained of."""
    status = main(list(words))
    captured = capsys.readouterr()
    return status, captured.out, captured.err
