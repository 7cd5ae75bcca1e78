"""The last observations of episodes that a vector environment resets in the step that ends them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.vector import VectorEnv
from gymnasium.vector.utils import concatenate, create_empty_array

from anyspace.data.batching import require_rows, take_rows
from anyspace.data.infos import Infos
from anyspace.data.structure import require_structure
from anyspace.data.trajectory import Ints
from anyspace.errors import EnvironmentSetupError
from anyspace.maths.arrays import equal
from anyspace.models.runtime import NumpyArray
from anyspace.tree import Tree

ENOUGH = 10
"""How many ends tell: of a few states, the last one and the next first one may be the same by chance."""
FIRST_AS_LAST = (
    "infos['final_obs'] always was the next episode's first observation. That is right only where an episode ends with"
    " what the next begins with. Put the last observation of the episode that ended there, as it was before the reset:"
    " in an AsyncVectorEnv, an environment that writes every observation into one array has to return a copy of it."
)
_PLACE = "infos['final_obs']"


class LastObservations:
    """Takes last observations from the infos of a source, and says once where they look like the next first ones.

    An environment that writes every observation into one array does that: its reset clears what the step returned.

    Attributes:
        watches: whether anybody needs to look at them.

    Args:
        envs: the vector environment.
        watches: False where a `VectorMember` is around each environment, which copies them.
    """

    def __init__(self, envs: VectorEnv[Any, Any, Any], *, watches: bool):
        self.watches = watches
        self._space, self._num_envs, self._name = envs.single_observation_space, envs.num_envs, type(envs).__name__
        self._left = ENOUGH if watches else 0

    @property
    def looks(self) -> bool:
        """Whether :meth:`look` looks: it does until it has seen enough."""
        return self._left > 0

    def handed_over(self, infos: Infos, ended: Ints) -> Tree:
        """Return the last observations that a ``SAME_STEP`` source left in its infos, stacked [n, ...].

        Args:
            infos: of the step.
            ended: [n] the environments whose episodes ended.

        Raises:
            EnvironmentSetupError: there are none.
            ObservationError: they do not fit their space, or there is not a row for each environment.
        """
        last = infos.get("final_obs")
        if last is None:
            raise EnvironmentSetupError(
                f"{self._name} resets environments in the step that ends an episode, but its infos hold no 'final_obs';"
                " put the episodes' last observations there."
            )
        if not (isinstance(last, np.ndarray) and last.dtype == object):
            return take_rows(self._space, last, ended, self._num_envs, _PLACE)
        require_rows(self._num_envs, len(last), _PLACE)
        single = [last[row] for row in ended]
        buffer: Any = create_empty_array(self._space, n=len(single))
        try:
            return concatenate(self._space, single, buffer)
        except Exception as error:
            require_structure(self._space, zip(ended, single, strict=True), error)
            raise

    def look(
        self, final: Sequence[NumpyArray], seen: Sequence[NumpyArray], leaves: Sequence[NumpyArray], ended: Ints
    ) -> None:
        """Look at the last observations of a step; see :func:`first_as_last`."""
        if not self.looks:
            return
        as_first = first_as_last(final, seen, leaves, ended)
        self._left = max(self._left - len(as_first), 0) if all(as_first) else 0
        if all(as_first) and not self.looks:
            logging.getLogger("anyspace").warning(FIRST_AS_LAST)


def first_as_last(
    final: Sequence[NumpyArray], seen: Sequence[NumpyArray], leaves: Sequence[NumpyArray], ended: Ints
) -> list[bool]:
    """Return of each last observation whether it is the next episode's first.

    One that is also what was acted on tells nothing, and is left out: there may be no other observation.

    Args:
        final: the last observations [n, ...], encoded.
        seen: the observations [B, ...] that were acted on, encoded.
        leaves: the observations [B, ...] to act on next, encoded.
        ended: [n] the rows of ``seen`` and ``leaves`` in which episodes ended.
    """
    found = []
    for at, row in enumerate(ended):
        last = [leaf[at] for leaf in final]
        is_first = _are_equal(last, leaves, row)
        if not (is_first and _are_equal(last, seen, row)):
            found.append(is_first)
    return found


def _are_equal(last: Sequence[NumpyArray], leaves: Sequence[NumpyArray], row: int) -> bool:
    return all(equal(one, leaf[row]) for one, leaf in zip(last, leaves, strict=True))
