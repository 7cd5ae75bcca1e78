"""``help(PPO)`` explains the arguments and lists the configuration keys."""

from __future__ import annotations

import dataclasses
import inspect
import textwrap

from anyspace import config as configs
from anyspace.answers import ExplainsOnClass


class ListsKeys(ExplainsOnClass):
    """Class of classes whose docstring is followed by what they are built with.

    The docstring is put together when it is read, for that takes longer than to import the class. It is a property of
    the class's class, for ``help`` looks past whatever else could do that.
    """

    @property
    def __doc__(cls) -> str | None:
        """The docstring as it is written, and what else ``help`` shows of a class with keys of its own."""
        written = vars(cls).get("__doc__")
        config_class = vars(cls).get("config_class")
        if written is None or config_class is None:
            return written
        text, arguments = inspect.cleandoc(written), _arguments(cls)
        head = (
            f"Keys are given as keywords ({cls.__name__}(env, lr=1e-3)) or in `config`. They are shown with the plain"
            " defaults; a preset changes some of them:"
        )
        keys = "\n".join(_lines(config_class(), ""))
        return "\n\n".join((text, *([] if arguments in text else [arguments]), head, keys))

    @__doc__.setter
    def __doc__(cls, text: str | None) -> None:
        type.__dict__["__doc__"].__set__(cls, text)


def _arguments(cls: type) -> str:
    """Return the paragraph of the arguments, of a class or of the nearest class that it derives from."""
    written = (inspect.cleandoc(vars(base).get("__doc__") or "").split("\n\n") for base in cls.__mro__)
    return next((part for parts in written for part in parts if part.startswith("Args:")), "")


def _lines(config: configs.DataclassLike, prefix: str) -> list[str]:
    kind: type = type(config)
    documents, hints = configs.documents(kind), configs.type_hints(kind)
    lines: list[str] = []
    for field in dataclasses.fields(config):
        name, value = f"{prefix}{field.name}", getattr(config, field.name)
        if configs.is_nested(value):
            lines += [f"    {name}: a dict, of which the keys are", *_lines(value, f"{name}.")]
            continue
        what = " ".join(documents.get(field.name, "").split())
        spelt = f"    {name}: {configs.spell(hints[field.name])} = {value!r}"
        lines += [spelt, textwrap.indent(textwrap.fill(what, 100), 8 * " ")]
    return lines
