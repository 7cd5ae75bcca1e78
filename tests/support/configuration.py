"""Every configuration key with its default and its meaning, read from the dataclasses: docs/configuration.md.

python -m tests.support.configuration [--write]
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyspace
from anyspace.algorithms.algorithm import Algorithm
from anyspace.config import documents
from anyspace.models.config import DEPRECATED_VALUE, ModelConfig

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"
BEGIN, END = "<!-- keys -->", "<!-- end of keys -->"
ALGORITHMS: tuple[type[Algorithm[Any]], ...] = tuple(
    getattr(anyspace, name) for name in ("PPO", "A2C", "PG", "IMPALA", "APPO", "DQN", "SAC", "MARWIL", "BC")
)


def meanings(config: type) -> dict[str, str]:
    """Return what is written below the fields that a dataclass adds or changes, in their order."""
    said = documents(config)
    return {name: " ".join(said[name].split()) for name in inspect.get_annotations(config) if name in said}


def default(config: type, key: str) -> str:
    """Return the default of a key as code; a nested configuration has its own table."""
    value = getattr(_defaults(config), key)
    if dataclasses.is_dataclass(value):
        return "see below"
    return f"`{value!r}`".replace("|", "\\|") if value != DEPRECATED_VALUE else "none"


@functools.cache
def _defaults(config: type) -> Any:
    return config()


def page() -> str:
    """Return the tables of the page, one for each class that adds keys, the general ones first."""
    return "\n".join(_lines()).strip()


def _lines() -> Iterator[str]:
    shown: list[type] = []
    for algorithm in ALGORITHMS:
        for config in reversed(algorithm.config_class.__mro__):
            if dataclasses.is_dataclass(config) and config not in shown:
                shown.append(config)
                yield from _table(config, _takers(config))
    yield from _table(ModelConfig, ["the key `model` of every algorithm"])


def _takers(config: type) -> list[str]:
    found = [algorithm.__name__ for algorithm in ALGORITHMS if issubclass(algorithm.config_class, config)]
    return ["every algorithm"] if len(found) == len(ALGORITHMS) else found


def _table(config: type, takers: list[str]) -> Iterator[str]:
    said = meanings(config)
    own = [name for name in said if name in {field.name for field in dataclasses.fields(config)}]
    if not own:
        return
    inherited = {key for parent in config.__mro__[1:] if dataclasses.is_dataclass(parent) for key in meanings(parent)}
    yield from (f"## {config.__name__}", "", f"{(config.__doc__ or '').splitlines()[0]} For {', '.join(takers)}.", "")
    yield from ("| key | default | meaning and range |", "|---|---|---|")
    for key in own:
        again = " (another default)" if key in inherited else ""
        yield f"| `{key}` | {default(config, key)} | {_escaped(said[key])}{again} |"
    yield ""


def _escaped(text: str) -> str:
    return text.replace("``", "`").replace("|", "\\|")


def main(arguments: list[str]) -> int:
    """Print the tables; with ``--write`` put them into the page. Return whether the page differed."""
    text = PAGE.read_text(encoding="utf-8")
    start, stop = text.index(BEGIN) + len(BEGIN), text.index(END)
    written = f"{text[:start]}\n\n{page()}\n\n{text[stop:]}"
    if "--write" in arguments:
        PAGE.write_text(written, encoding="utf-8")
    else:
        print(page())
    return int(written != text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
