"""Masks that environments give in their infos: as one more leaf of the encoded observation."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from anyspace.data.infos import Infos
from anyspace.data.trajectory import Bools
from anyspace.data.vector import Step
from anyspace.errors import ObservationError
from anyspace.policy.masking import Masking


class InfoMasks:
    """Reads ``infos[key]`` of one source. Whether it gives masks is settled by its first reset.

    Args:
        masking: of the policy that acts in the source.
        num_envs: B.
    """

    def __init__(self, masking: Masking, num_envs: int):
        self._masking = masking
        self._num_envs = num_envs
        self._given = False

    def first(self, infos: Infos) -> list[Bools]:
        """Return the masks [B, A] after a reset, or nothing where there are none."""
        self._given = self._masking.key in infos and self._masking.reads_infos
        if self._given:
            self._masking.require_consumer()
        return self._read(infos, np.ones(self._num_envs, np.bool_))

    def later(self, step: Step) -> list[Bools]:
        """Return the masks [B, A] of ``step.obs``, or nothing where there are none."""
        if not self._given and self._masking.key in step.infos and self._masking.reads_infos:
            raise ObservationError(
                f"infos[{self._masking.key!r}] holds a mask, but the infos of reset() held none: give it there too, for"
                " the first action of an episode is chosen by it."
            )
        return self._read(step.infos, step.acting) if self._given else []

    def final(self, step: Step) -> list[Bools]:
        """Return the masks [n, A] of ``step.final_obs``; all ones where the source kept none."""
        if not self._given:
            return []
        infos = step.infos.get("final_info")
        wanted = np.zeros(self._num_envs, np.bool_)
        return [mask[step.ended] for mask in self._read(infos if isinstance(infos, dict) else {}, wanted)]

    def _read(self, infos: dict[str, Any], wanted: Bools) -> list[Bools]:
        """Return the masks, all ones where there is none; every ``wanted`` environment must give one."""
        if not self._given:
            return []
        key = self._masking.key
        there: npt.NDArray[np.bool_] = np.broadcast_to(infos.get(f"_{key}", key in infos), (self._num_envs,))
        missing = np.flatnonzero(wanted & ~there)
        if len(missing):
            raise ObservationError(
                f"environment {missing[0]}: its info holds no {key!r}, but masks come with every observation or with"
                " none; give all ones where everything is allowed."
            )
        if not there.any():
            return [np.ones((self._num_envs, self._masking.width), np.bool_)]
        try:
            masks = self._masking.layout.flatten(infos[key], place=f"infos[{key!r}]")
        except ValueError as error:
            raise ObservationError(str(error)) from error
        return [masks | ~there[:, None]]
