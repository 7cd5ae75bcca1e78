"""From which checkpoint a run goes on."""

from __future__ import annotations

from pathlib import Path

from anyspace.errors import CheckpointError
from anyspace.execution.checkpoint import STATE_FILE
from anyspace.execution.run_files import CHECKPOINTS, EXACT, LATEST, OF_SEEDS, run_folder_of, steps_on_disk

LAST = "last"
"""Stands for the run under ``runs`` that was written to last."""


def resume_point(given: Path, *, latest: bool = False) -> Path:
    """Return the checkpoint from which a run goes on.

    Args:
        given: a run folder, a checkpoint, or ``last``: the run under ``runs`` that was written to last.
        latest: take the latest checkpoint of a run folder even where it has an exact one.

    Raises:
        CheckpointError: no run is there.
    """
    path = given
    if given == Path(LAST) and not given.exists():
        places = [f"{run}/{name}/{STATE_FILE}" for run in ("*", f"*/{OF_SEEDS}") for name in CHECKPOINTS]
        states = [file for place in places for file in Path("runs").glob(place)]
        if not states:
            raise CheckpointError(
                f"--resume {LAST} goes on with the run under {Path('runs').absolute()} that was written to last, but"
                " none is there; give a run folder or a checkpoint."
            )
        path = max(states, key=lambda file: file.stat().st_mtime).parent.parent
    exact = path / EXACT
    return exact if not latest and steps_on_disk(exact) is not None and not (path / STATE_FILE).exists() else path


def repeated_steps(checkpoint: Path) -> int:
    """Return how many steps are taken again where a run goes on from its latest exact checkpoint; 0 for others."""
    run = run_folder_of(checkpoint) if checkpoint.name == EXACT else None
    latest = None if run is None else steps_on_disk(run / LATEST)
    return max(0, (latest or 0) - (steps_on_disk(checkpoint) or 0))
