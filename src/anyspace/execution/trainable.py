"""What a run needs of an algorithm."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from anyspace.data.trajectory import Episode
from anyspace.execution.pieces import Growth, Snapshot
from anyspace.models.runtime import NumpyArray


class Counted(Protocol):
    """What a run needs to know of the latest iteration."""

    is_best: bool
    """Whether it brought the highest mean return so far."""
    new: list[Episode]
    """The training episodes that ended in it."""
    total_steps: int | None
    """How many steps the run is asked for."""


class Trainable(Protocol):
    """What a run needs of an algorithm."""

    @property
    def counters(self) -> Counted:
        """What was counted."""

    run_folder: Path | None
    """The folder of the run that the algorithm wrote or was loaded from."""

    @property
    def timesteps_total(self) -> int:
        """Environment steps so far."""

    @property
    def fleet(self) -> object:
        """Who collects; starts with the first use, which raises where it cannot."""

    def train(self) -> dict[str, Any]:
        """Run one iteration."""

    @property
    def evaluates_beside(self) -> bool:
        """Whether an evaluation is played beside training, of the weights of the iteration that began it."""

    def finish_evaluation(self) -> dict[str, Any] | None:
        """Wait for the evaluation that is played beside training, if there is one, and return it."""

    def copy_state(self) -> Callable[[], Snapshot]:
        """Copy the state as it is now; return what makes the content of a checkpoint of the copy."""

    def completed(
        self, snapshot: Snapshot, *, exact: bool
    ) -> tuple[dict[str, Any], dict[str, NumpyArray], Growth | None]:
        """Return the content of a checkpoint with the growing parts that it holds; an exact one holds them all."""

    def restart_episodes(self) -> None:
        """Let new episodes begin everywhere, as where the algorithm is loaded from a checkpoint of now."""

    def description(self) -> dict[str, Any]:
        """Return algorithm, environment, seed and configuration as plain values."""

    @property
    def needs_trust(self) -> bool:
        """Whether another process loads the checkpoints only if it is told that they are trusted."""

    @property
    def loading_line(self) -> str | None:
        """The call of Python by which a checkpoint ``'PATH'`` is loaded whose code no command can import; else None."""

    def should_stop(self) -> bool:
        """Whether the return to stop at is reached."""
