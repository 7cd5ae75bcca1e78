"""What a part of an algorithm offers that is too large to be written whole again and again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

PORTION = 2**26
"""About how many bytes a portion has at most: 64 MiB."""


@runtime_checkable
class Growing(Protocol):
    """A part that is written to step after step, such as replay, and that training can do without.

    It is not copied after every iteration. A checkpoint that holds it has portions of what was written to it, one
    after the other, each up to a mark, and the rest of its state; a later checkpoint adds portions after the last mark.
    """

    in_checkpoints: bool
    """Whether the latest checkpoint of a run holds it, and not only exact ones; the best one never does."""

    def since(self, mark: Sequence[int] | None) -> Iterator[tuple[dict[str, Any], list[int]]]:
        """Yield portions of what was written after ``mark`` and is still there, and the mark at the end of each.

        Args:
            mark: as it came with an earlier portion; None yields everything that is there.
        """

    def outlived(self, mark: Sequence[int]) -> bool:
        """Return whether nothing is there any more of what was written before a mark."""

    def clear(self) -> None:
        """Forget everything, as before the first step."""

    def load_portion(self, portion: dict[str, Any]) -> None:
        """Take in a portion, after :meth:`clear`; earlier ones come first."""

    def state(self) -> dict[str, Any]:
        """Return everything else: arrays, and values that JSON has, by name."""

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state` returned, after all portions."""
