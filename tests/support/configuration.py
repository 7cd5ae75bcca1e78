"""Every configuration key with its default and its meaning, read from the dataclasses: docs/configuration.md.

python -m tests.support.configuration [--write]
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import anyspace
from anyspace.algorithms.algorithm import Algorithm
from anyspace.algorithms.config import AlgorithmConfig
from anyspace.algorithms.presets import named_preset, preset_names
from anyspace.algorithms.scale_config import ScaleConfig
from anyspace.algorithms.settings import preset_name
from anyspace.config import documents
from anyspace.models.config import DEPRECATED_VALUE, ModelConfig
from anyspace.policy.config import PolicyConfig

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"
BEGIN, END = "<!-- keys -->", "<!-- end of keys -->"
ALGORITHMS: tuple[type[Algorithm[Any]], ...] = tuple(
    getattr(anyspace, name) for name in ("PPO", "A2C", "PG", "IMPALA", "APPO", "DQN", "SAC", "MARWIL", "BC")
)
SHARED: dict[str, type] = {
    "Observations and actions": PolicyConfig,
    "Workers": ScaleConfig,
    "Training, evaluation and files": AlgorithmConfig,
}
"""Titles of the tables that hold for all algorithms, and where their keys are."""
MEMORIES = ("use_lstm", "use_gru", "use_attention")
HEADER = ("| key | default | meaning and range |", "|---|---|---|")


def page() -> str:
    """Return the tables of the page: the keys of all algorithms, those of each, and those of models."""
    return "\n".join(_lines()).strip()


def _lines() -> Iterator[str]:
    yield from ("## Keys of all algorithms", "")
    yield from ("An algorithm's own table, below, has the keys whose defaults differ there.", "")
    shown: set[str] = set()
    for title, config in SHARED.items():
        keys = [name for name in _values(config()) if name not in shown]
        shown |= set(keys)
        yield from (f"### {title}", "")
        yield from _table(keys, _values(config()), documents(config))
    for algorithm in ALGORITHMS:
        yield from _of_algorithm(algorithm)
    yield from ("## Keys of `model`", "")
    yield from (f"{(ModelConfig.__doc__ or '').splitlines()[0]} For every algorithm.", "")
    yield from _table(list(_values(ModelConfig())), _values(ModelConfig()), documents(ModelConfig))


def _of_algorithm(algorithm: type[Algorithm[Any]]) -> Iterator[str]:
    """Yield the keys that an algorithm adds, those whose defaults or meanings it changes, and its presets."""
    general, said_of_all = _values(AlgorithmConfig()), documents(AlgorithmConfig)
    own: type = algorithm.config_class
    values, said = _values(own()), documents(own)
    keys = [name for name, value in values.items() if (value, said[name]) != (general.get(name), said_of_all.get(name))]
    yield from (f"## Keys of {algorithm.__name__}", "", (algorithm.__doc__ or "").splitlines()[0], "")
    yield from _table(keys, values, said)
    name = preset_name(algorithm.__mro__)
    if name == algorithm.name():
        yield from _presets(name, values)
    else:
        yield from (f"Presets: those of {name.upper()}.", "")


def _presets(algorithm: str, defaults: Mapping[str, Any]) -> Iterator[str]:
    """Yield a table of what each preset of an algorithm changes, and what memories change in it."""
    named = {name: _flat(named_preset(algorithm, name).settings) for name in preset_names(algorithm)}
    yield f"| presets of {algorithm.upper()} | default | {' | '.join(f'`{name}`' for name in named)} |"
    yield "|---|---|" + "---|" * len(named)
    plain = _flat(defaults) | {f"model.{key}": value for key, value in _values(defaults["model"]).items()}
    order = {key: None for preset in named.values() for key in preset}
    for key in order:
        cells = [_code(preset[key]) if key in preset else "" for preset in named.values()]
        yield f"| `{key}` | {_code(plain[key]) if key in plain else ''} | {' | '.join(cells)} |"
    yield ""
    for name, preset in named.items():
        for memory in MEMORIES:
            given: dict[str, Any] = {memory: True}
            changed = _flat(named_preset(algorithm, name, ModelConfig(**given)).settings)
            said = [f"`{key} = {value!r}`" for key, value in changed.items() if preset.get(key) != value]
            if said:
                yield f"- `{name}` with `{memory}`: {', '.join(said)}."
    yield ""


def _table(keys: list[str], values: Mapping[str, Any], said: Mapping[str, str]) -> Iterator[str]:
    yield from HEADER
    for key in keys:
        text = " ".join(said[key].split()).replace("``", "`").replace("|", "\\|")
        yield f"| `{key}` | {_default(values[key])} | {text} |"
    yield ""


def _default(value: Any) -> str:
    """Return a default as code; of a model configuration, what differs from that of all algorithms."""
    if isinstance(value, ModelConfig):
        plain = _values(ModelConfig())
        changed = {key: own for key, own in _values(value).items() if own != plain[key]}
        return _code(changed) if changed else "[below](#keys-of-model)"
    return "none" if value == DEPRECATED_VALUE else _code(value)


def _code(value: Any, key: str = "") -> str:
    return f"`{key and f'{key} = '}{value!r}`".replace("|", "\\|")


def _values(config: Any) -> dict[str, Any]:
    return {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with keys of nested ones by their paths."""
    return {
        name: value
        for key, given in settings.items()
        for name, value in (
            ((f"{key}.{inner}", one) for inner, one in given.items()) if isinstance(given, Mapping) else ((key, given),)
        )
    }


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
