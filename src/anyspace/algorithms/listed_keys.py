"""``help(PPO)`` lists the configuration keys."""

from __future__ import annotations

import dataclasses
import textwrap

from anyspace import config as configs


class ListedKeys:
    """The docstring of a class of algorithms, followed by its configuration keys; put together when it is read.

    Args:
        text: the docstring as it is written.
    """

    def __init__(self, text: str):
        self._text = text

    def __get__(self, instance: object, owner: type) -> str:
        """Return the docstring of ``owner``."""
        config_class = vars(owner).get("config_class")
        if config_class is None:
            return self._text
        head = f"Keys, given as keywords ({owner.__name__}(env, lr=1e-3)) or in `config`, with the plain defaults:"
        return "\n".join([self._text, "", head, "", *_lines(config_class(), "")])


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
