"""The configuration that an environment is given whole, with the place of the environment."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any


class EnvContext(dict[str, Any]):
    """What an environment that takes its configuration whole is given: ``env_config``, and which environment it is.

    It is a dict, which the environment may change.

    Args:
        env_config: the keys.
        worker_index: number of the collecting process, counted from 1; 0 is the process that trains.
        vector_index: number of the environment in it.
        remote: accepted for old call sites.
        num_workers: how many processes there are.
        recreated_worker: whether the process takes the place of one that failed.
    """

    def __init__(
        self,
        env_config: Mapping[str, Any],
        worker_index: int = 0,
        vector_index: int = 0,
        remote: bool = False,
        num_workers: int | None = None,
        recreated_worker: bool = False,
    ):
        super().__init__(env_config)
        self.worker_index, self.vector_index = worker_index, vector_index
        self.remote, self.num_workers = remote, num_workers
        self.recreated_worker = recreated_worker

    def copy_with_overrides(
        self,
        env_config: Mapping[str, Any] | None = None,
        worker_index: int | None = None,
        vector_index: int | None = None,
        remote: bool | None = None,
        num_workers: int | None = None,
        recreated_worker: bool | None = None,
    ) -> EnvContext:
        """Return a copy in which the arguments that are not None take the place of what was there."""
        return EnvContext(
            self if env_config is None else deepcopy(env_config),
            self.worker_index if worker_index is None else worker_index,
            self.vector_index if vector_index is None else vector_index,
            self.remote if remote is None else remote,
            self.num_workers if num_workers is None else num_workers,
            self.recreated_worker if recreated_worker is None else recreated_worker,
        )

    def set_defaults(self, defaults: Mapping[str, Any]) -> None:
        """Set the keys that are not there."""
        self.update({key: value for key, value in defaults.items() if key not in self})

    def __str__(self) -> str:
        place = f"worker={self.worker_index}/{self.num_workers}, vector_idx={self.vector_index}, remote={self.remote}"
        return f"{super().__str__()[:-1]}, {place}}}"
