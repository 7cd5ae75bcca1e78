"""How an algorithm writes itself into checkpoints."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from anyspace.algorithms.config import AlgorithmConfig
from anyspace.algorithms.saving import checkpoints, state
from anyspace.algorithms.saving.lacking import announce, loading_line
from anyspace.algorithms.saving.trust import needs_trust
from anyspace.answers import answers
from anyspace.data.growing import Growing
from anyspace.data.seeds import environment_seed
from anyspace.execution.checkpoint import write_checkpoint
from anyspace.execution.pieces import Growth, Piece, Snapshot
from anyspace.execution.run_files import without_run
from anyspace.models.runtime import NumpyArray
from anyspace.policy.policy import Policy

if TYPE_CHECKING:
    from anyspace.data.environments import EnvSpec
    from anyspace.execution.fleet import Fleet


class Saves(ABC):
    """Saves what a further iteration depends on."""

    config_class: ClassVar[type[AlgorithmConfig]]
    config: AlgorithmConfig
    policy: Policy
    seed: int
    preset: str
    run_folder: Path | None
    _env_spec: EnvSpec | None
    _fleet: Fleet | None

    @property
    @abstractmethod
    def training_iteration(self) -> int:
        """Iterations so far."""

    @abstractmethod
    def parts(self) -> dict[str, Any]:
        """Return everything that a further iteration depends on, by name."""

    def _begin_saving(self) -> None:
        self.run_folder, self._described = None, False
        self._pieces: dict[str, list[Piece]] = {}

    @answers("save()")
    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write a checkpoint into the folder ``path`` and return it; a kill leaves the previous one whole.

        With ``exact_resume`` episodes under way are cut here, as they are for whoever loads the checkpoint: both train
        on alike, bit for bit.
        """
        place, exact = Path(path).expanduser(), self.config.exact_resume
        folder = without_run(place)
        if exact:
            self.restart_episodes()
        write_checkpoint(folder, *self.completed(self.snapshot(), exact=exact))
        return place

    def restart_episodes(self) -> None:
        """Let new episodes begin everywhere, as they do where the algorithm is loaded from a checkpoint of now.

        Those under way are cut: what was learnt of them counts as truncated, and no report counts them.
        """
        if self._fleet is not None:
            self._fleet.restart(environment_seed(self.seed, self.training_iteration))

    def completed(self, snapshot: Snapshot, *, exact: bool) -> tuple[dict[str, Any], dict[str, NumpyArray], Growth]:
        """Return a snapshot with growing parts as they are now, and what writes these.

        Args:
            snapshot: of now.
            exact: hold all growing parts, such as replay; else only those that the latest checkpoint of a run holds.
        """
        found = {name: part for name, part in self.parts().items() if isinstance(part, Growing)}
        held = {name: part for name, part in found.items() if exact or part.in_checkpoints}
        runtime = self.policy.runtime
        growth = Growth(held, self._pieces, lambda portion: checkpoints.packed(portion, runtime))
        return *checkpoints.with_growing(snapshot, held, runtime), growth

    def snapshot(self) -> Snapshot:
        """Return the state and the tensors that a checkpoint holds, growing parts such as replay left out."""
        return self.copy_state()()

    def copy_state(self) -> Callable[[], Snapshot]:
        """Copy the state as it is now, which is quick; return what makes a :meth:`snapshot` of the copy."""
        spaces = state.described_spaces(self.policy)
        return checkpoints.copied(self.parts(), lambda: {**self.description(), **spaces}, self.policy.runtime)

    def load_weights(self, path: str | os.PathLike[str]) -> None:
        """Start from the weights and filter statistics of another run, nothing else; nothing has to be trusted.

        Raises:
            CheckpointError: its spaces or its model differ from this one's.
        """
        mine = (self.policy.observation_space, self.policy.env_action_space)
        self.policy.load_weights(state.weights_of(path, mine))

    def description(self) -> dict[str, Any]:
        """Return algorithm, environment, seed and configuration as plain values; the log says once what they lack."""
        described = state.run_description(type(self), self._env_spec, self.seed, self.preset, self.config)
        if not self._described:
            announce(described, self.config_class)
            self._described = True
        return described

    @property
    def needs_trust(self) -> bool:
        """Whether another process loads a checkpoint only if told that it is trusted: ``trust=True``, ``--trust``."""
        return needs_trust(self.description(), self.config_class)

    @property
    def loading_line(self) -> str | None:
        """The call by which a program loads a checkpoint ``'PATH'`` that names code which no other one can import."""
        return loading_line(self.description(), self.config_class)
