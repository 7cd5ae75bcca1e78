"""How values that are no plain words or numbers are spelt on the command line: as JSON, or by name."""

from __future__ import annotations

import ast
import functools
import json
import re
import shlex
import types
import typing
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import tyro
from tyro.constructors import PrimitiveConstructorSpec, PrimitiveTypeInfo

from anyspace import config as configs
from anyspace.importing import import_name, importable_name
from anyspace.models.config import FilterSpec

REGISTRY = tyro.constructors.ConstructorRegistry()
"""The rules below, for ``tyro.cli``."""


@REGISTRY.primitive_rule
def _json_flag(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    """Take dicts and filters as JSON: no other spelling fits one flag."""
    parts = (info.type, *typing.get_args(info.type))
    is_nested = any(typing.get_origin(part) is dict or part == list[FilterSpec] for part in parts)
    if not is_nested:
        return None
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar="STR|JSON" if configs.matches("", info.type) else "JSON",
        instance_from_str=functools.partial(_from_json, info.type),
        is_instance=lambda value: True,
        str_from_instance=lambda value: [json.dumps(value, default=repr)],
    )


@REGISTRY.primitive_rule
def _schedule_flag(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    """Take schedules as numbers beside each other, as JSON pairs, or by the name of one."""
    if list[tuple[float, float]] not in typing.get_args(info.type):
        return None
    return PrimitiveConstructorSpec(
        nargs="*",
        metavar="linear|STEP VALUE [STEP VALUE ...]|JSON|None",
        instance_from_str=_schedule,
        is_instance=lambda value: True,
        str_from_instance=lambda value: [json.dumps(value) if isinstance(value, list) else str(value)],
    )


_LISTS: dict[Any, str] = {
    list[int]: "INT",
    list[str]: "STR",
    list[str | Callable[..., Any]]: "NAME",
    tuple[Path, ...]: "PATH",
}
"""Types of lists, and how help names what stands in them."""


@REGISTRY.primitive_rule
def _list_flag(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    """Take lists as words beside each other, or in one word: 64 64, 64,64 or '[64, 64]'; code by its name."""
    item = _LISTS.get(info.type)
    if item is None:
        return None
    return PrimitiveConstructorSpec(
        nargs="*",
        metavar=f"[{item} [{item} ...]]",
        instance_from_str=functools.partial(_items, info.type),
        is_instance=lambda value: True,
        str_from_instance=lambda value: [importable_name(one) or str(one) for one in value],
    )


@REGISTRY.primitive_rule
def _plain_flag(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    """Take numbers, texts and paths; and None by its name where a flag takes that or one of these."""
    is_union = typing.get_origin(info.type) in (typing.Union, types.UnionType)
    parts = typing.get_args(info.type) if is_union else (info.type,)
    kinds = [part for part in parts if part is not type(None)]
    if len(kinds) != 1 or kinds[0] not in _PLAIN:
        return None
    takes_none, metavar, read = len(kinds) < len(parts), *_PLAIN[kinds[0]]
    instances = (int, float) if kinds[0] is float else kinds[0]
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar=f"{metavar}|None" if takes_none else metavar,
        instance_from_str=lambda words: None if takes_none and words[0] == "None" else read(words[0]),
        is_instance=lambda value: isinstance(value, instances) or (takes_none and value is None),
        str_from_instance=lambda value: [str(value)],
    )


@REGISTRY.primitive_rule
def _name_flag(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    """Take classes and functions by the names that the library knows, or as package.module:Name."""
    if not _is_named(info.type):
        return None
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar="NAME",
        instance_from_str=_from_name,
        is_instance=lambda value: True,
        str_from_instance=lambda value: [importable_name(value) or str(value)],
    )


def as_flag(path: str, value: str | None = None) -> str:
    """Return how a key is given on the command line, such as ```--model.fcnet-hiddens 64 64```.

    Args:
        path: the key, with those it is nested in before it.
        value: to give it, as Python spells it; None leaves it out.
    """
    place, dot, name = path.rpartition(".")
    name = "lambda" if name == "lambda_" else name.replace("_", "-")
    if path == "model":
        return "`--model.KEY`"
    if value in ("True", "False"):
        return f"`--{place}{dot}{'' if value == 'True' else 'no-'}{name}`"
    words = [] if value is None else _as_words(ast.literal_eval(_CLASS_NAME.sub(r"'package.module:\1'", value)))
    return f"`{' '.join((f'--{place}{dot}{name}', *words))}`"


_CLASS_NAME = re.compile(r"\b(My\w+)")


def _as_words(value: object) -> list[str]:
    """Return a value as the words that a flag takes: lists of texts and dicts are JSON, nested numbers follow."""
    if isinstance(value, dict) or (isinstance(value, list) and all(isinstance(item, str) for item in value)):
        return [f"'{json.dumps(value)}'"]
    if isinstance(value, list):
        return [word for item in value for word in _as_words(item)]
    return [str(value)]


def _is_named(hint: Any) -> bool:
    options = typing.get_args(hint)
    return str in options and any(option is type or typing.get_origin(option) is Callable for option in options)


def named(hint: Any, value: Any) -> Any:
    """Return what ``package.module:Name`` stands for where a key takes classes or functions; other values as they are.

    Args:
        hint: the type of the key.
        value: as a file gives it.
    """
    return _from_name([value]) if isinstance(value, str) and _is_named(hint) else value


def _from_name(words: list[str]) -> Any:
    if words[0] == "None":
        return None
    return import_name(words[0]) if ":" in words[0] else words[0]


def _whole(word: str) -> int:
    """Return a whole number, which may be spelt like 1e5 or 100_000 as well."""
    try:
        return int(word)
    except ValueError:
        with suppress(ValueError):
            if (value := float(word)).is_integer():
                return int(value)
        raise ValueError(f"{word!r} is no whole number, such as 20000, 20_000 or 2e4.") from None


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        raise ValueError(f"{word!r} is no number, such as 0.001 or 1e-3.") from None


def _path(word: str) -> Path:
    """Return a path. That of an empty text would be the current folder, which is never meant."""
    if not word:
        raise ValueError("it is empty, and names no file or folder; is a variable of the shell not set?")
    return Path(word)


_PLAIN: dict[Any, tuple[str, Callable[[str], Any]]] = {
    int: ("INT", _whole),
    float: ("FLOAT", _number),
    str: ("STR", str),
    Path: ("PATH", _path),
}
"""Types of single words: how help names them, and how they are read."""


def _items(hint: Any, words: list[str]) -> Any:
    if hint == tuple[Path, ...]:
        return tuple(map(_path, words))
    if len(words) == 1 and words[0].startswith("["):
        return _from_json(hint, words)
    if hint == list[int]:
        return [_whole(part) for word in words for part in word.split(",") if part.strip()]
    return words


def _schedule(words: list[str]) -> Any:
    if words in (["linear"], ["None"]):
        return None if words == ["None"] else words[0]
    try:
        pairs = json.loads(words[0]) if len(words) == 1 else zip(words[::2], words[1::2], strict=True)
        return [(float(step), float(value)) for step, value in pairs]
    except (ValueError, TypeError):
        raise ValueError(
            f"{' '.join(words)!r} is no schedule; write linear, or steps and values: 0 1e-3 100_000 0."
        ) from None


def _from_json(hint: Any, words: list[str]) -> Any:
    try:
        value = json.loads(words[0])
    except json.JSONDecodeError as error:
        if configs.matches(words[0], hint):
            return words[0]
        takes = f"The key takes {configs.spell(hint)}{_example(hint, words[0])}."
        raise ValueError(f"{words[0]!r} is not JSON ({error}). {takes}") from error
    if not configs.matches(value, hint):
        raise ValueError(f"{words[0]} is not what the key takes: {configs.spell(hint)}.")
    return value


def _example(hint: Any, word: str) -> str:
    """Return what a word may mean that spells a dict as Python or other command lines do; empty: nothing that fits."""
    value = _meant(word)
    if value is None or not configs.matches(value, hint):
        return ""
    try:
        return f", such as {shlex.quote(json.dumps(value))}"
    except TypeError:  # Python has values that JSON has not
        return ""


def _meant(word: str) -> object:
    if _PAIRS.fullmatch(word):
        pairs = (pair.split("=") for pair in word.split(","))
        return {name: _plain(text) for name, text in pairs}
    return _plain(word) if word.startswith("{") else None


_PAIRS = re.compile(r"\w+=[^\s,=(){}\[\]'\"]+(,\w+=[^\s,=(){}\[\]'\"]+)*")


def _plain(text: str) -> object:
    """Return what a text spells as JSON or as Python does; else the text."""
    for read in (json.loads, ast.literal_eval):
        with suppress(ValueError, TypeError, SyntaxError):
            value: object = read(text)
            return value
    return text
