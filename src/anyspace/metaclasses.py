"""``BesideProtocols``: the class of classes beside which protocols may stand as bases."""

from __future__ import annotations

from abc import ABCMeta
from typing import ClassVar, Protocol


class BesideProtocols(type(Protocol), ABCMeta):  # type: ignore[misc]
    """Class of classes that may stand among bases beside protocols and abstract classes.

    Python derives the class of protocols from ``ABCMeta``, which type checkers do not know.
    """

    _is_protocol: ClassVar[bool] = False
    """``isinstance`` reads it of every class of this kind, and a protocol has one of its own."""
