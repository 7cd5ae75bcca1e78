"""Attributes of built-in models under the names that they had in RLlib's old stack.

A class lists them: ``_logits = OldName("logits", layer_of)`` reads, sets and deletes ``self.logits`` under the name
``_logits``; ``layers = Gone("...")`` says what to do where there is nothing of the kind. What a sub-class does to its
parts has an effect, or is refused by name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from anyspace.errors import ModelError
from anyspace.importing import is_ours


class OldName:
    """A part of a model under its old name.

    Args:
        part: what it is called.
        shown: makes what the old name shows of a model and its part; None: the part itself.
        taken: makes the part of a model and what was assigned to the old name; None: that itself.
    """

    def __init__(
        self,
        part: str,
        shown: Callable[[Any, Any], Any] | None = None,
        taken: Callable[[Any, Any], Any] | None = None,
    ):
        self.part, self._shown, self._taken = part, shown, taken

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, model: Any, owner: type | None = None) -> Any:
        if model is None:
            return self
        part = getattr(model, self.part)
        return part if part is None or self._shown is None else self._shown(model, part)

    def __set__(self, model: Any, value: Any) -> None:
        """Take what was assigned; ``TorchModelV2`` calls this for modules, too, which PyTorch registers by itself."""
        nn.Module.__setattr__(
            model, self.part, value if value is None or self._taken is None else self._taken(model, value)
        )

    def __delete__(self, model: Any) -> None:
        delattr(model, self.part)


class Gone:
    """A part that RLlib's model had and the built-in one does not have.

    Args:
        instead: what to do, a sentence.
    """

    def __init__(self, instead: str):
        self._instead = instead

    def __set_name__(self, owner: type, name: str) -> None:
        self._text = f"{owner.__name__} has no `{name}`. {self._instead}"

    def __get__(self, model: Any, owner: type | None = None) -> Any:
        if model is None:
            return self
        # An AttributeError would make PyTorch look on, and say less.
        raise ModelError(self._text)

    def __set__(self, model: Any, value: Any) -> None:
        raise ModelError(self._text)


def require_no_clash(model: nn.Module) -> None:
    """Raise a :class:`ModelError` where a sub-class defines a method under the old name of a part."""
    for kind in type(model).__mro__:
        for name, value in vars(kind).items():
            above = next((vars(base)[name] for base in kind.__mro__[1:] if name in vars(base)), None)
            if isinstance(above, OldName | Gone) and not isinstance(value, OldName | Gone):
                raise ModelError(
                    f"{kind.__name__}.{name} is defined in the class, but in {kind.__mro__[1].__name__} it is a part of"
                    f" the network. Assign the part in the constructor, `self.{name} = ...`, or give it another name."
                )


def assign(model: nn.Module, name: str, value: Any) -> bool:
    """Set a part under its old name and return whether ``name`` is one.

    Raises:
        ModelError: there is no such part, or a sub-class assigns a module to the name that the built-in one uses for a
            part.
    """
    kind = type(model)
    found = getattr(kind, name, None)
    if isinstance(found, OldName | Gone):
        found.__set__(model, value)
        return True
    old = _old_name(kind, name) if isinstance(value, nn.Module) and "_parts_are_built" in model.__dict__ else None
    if old is not None and any(not is_ours(base) for base in _models(kind)):
        raise ModelError(
            f"{kind.__name__}.{name}: the network that it derives from has a part of this name. To replace that part,"
            f" assign `self.{old}`; for a module of your own take another name than `{name}`."
        )
    return False


def _models(kind: type[nn.Module]) -> list[type]:
    return [base for base in kind.__mro__ if issubclass(base, nn.Module) and not base.__module__.startswith("torch.")]


def _old_name(kind: type, part: str) -> str | None:
    """Return the old name of a part, if it is another one."""
    names = ((name, value) for base in kind.__mro__ for name, value in vars(base).items())
    return next((name for name, value in names if isinstance(value, OldName) and value.part == part), None)
