"""What fails beside training, which goes on: each of it told once, and again only after it has worked."""

from __future__ import annotations


class Failures:
    """What fails now.

    Attributes:
        latest: the latest error of everything that fails, by name.
    """

    def __init__(self) -> None:
        self.latest: dict[str, Exception] = {}

    def add(self, name: str, error: Exception) -> bool:
        """Take in that something failed; return whether that is to be told, which it is if it worked before."""
        is_new = name not in self.latest
        self.latest[name] = error
        return is_new

    def end(self, name: str) -> None:
        """Take in that something works."""
        self.latest.pop(name, None)
