"""What stays as it is on an algorithm that is built: its settings."""

from __future__ import annotations

import numbers
from typing import TYPE_CHECKING, Any, Self

from anyspace.algorithms.config import AlgorithmConfig
from anyspace.algorithms.contract import require_concrete
from anyspace.algorithms.layers import explained_key
from anyspace.algorithms.saving.attributes import Stateful
from anyspace.answers import Explains, ExplainsOnClass
from anyspace.errors import ConfigError
from anyspace.foreign_names import ALGORITHM
from anyspace.importing import is_ours


class Settled(Explains, metaclass=ExplainsOnClass):
    """Base of an algorithm: it has all methods that it needs, and its settings stay as they are once it is built.

    An attribute that it lacks, and that other libraries' algorithms have, is explained: where it is read, and where it
    is set. A class of somebody's may set any.
    """

    _foreign = ALGORITHM
    _is_built = False

    def __new__(cls, *_: Any, **__: Any) -> Self:
        """Refuse a class that lacks a method, in our words rather than Python's."""
        require_concrete(cls)
        return super().__new__(cls)

    def _explained(self, name: str) -> str:
        config: AlgorithmConfig | None = vars(self).get("config")
        return super()._explained(name) or ("" if config is None else explained_key(config, name))

    if not TYPE_CHECKING:  # type checkers refuse what is unknown

        def __setattr__(self, name, value):
            kind = type(self)
            if self._is_built:
                hint = ""
                if is_ours(kind) and name not in vars(self) and not hasattr(kind, name):
                    hint = self._explained(name)
                if hint or name == "config":
                    result = "only half of it" if name == "config" else "nothing"
                    raise ConfigError(
                        f"{kind.__name__}.{name} cannot be set: {result} would come of it.{hint and f' {hint}'}"
                        f" What an algorithm was built with stays; {kind.__name__}.load(path, lr=1e-4) goes on from a"
                        " checkpoint with another value. Schedules change values while training."
                    )
                _require_no_number(f"{kind.__name__}.{name}", vars(self).get(name), value)
            super().__setattr__(name, value)


def _require_no_number(place: str, held: object, value: object) -> None:
    """Raise :class:`ConfigError` where a number would take the place of what holds one for losses and checkpoints."""
    # Every attribute that is set comes here, and what asks a protocol takes long.
    if isinstance(value, numbers.Real) and not isinstance(held, numbers.Real) and isinstance(held, Stateful):
        ways = f"write {place}.assign({value!r})" if hasattr(held, "assign") else "give its schedule when you build it"
        raise ConfigError(
            f"{place} is a {type(held).__name__}, which losses read and checkpoints hold; {value!r} cannot take its"
            f" place: {ways}."
        )
