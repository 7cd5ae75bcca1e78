"""Code that a checkpoint names, and whose word it takes to run it.

Importing a module runs it, and so does calling what is in it. A file may come from anybody. So what a checkpoint names
is neither imported nor called, unless the user says that it is trusted. Nor is a setting used by which other programs
would run, or by which files would be written where the checkpoint says. No such word is needed for

* what the caller hands over, or has registered under a name;
* Gymnasium's own environments, and the models and distributions of this library;
* code by which this process has already built an algorithm.

To be imported already is not enough: much of what is can do anything.
"""

from __future__ import annotations

import functools
import json
import re
import sys
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from typing import Any, Literal

from anyspace.algorithms.config import AlgorithmConfig
from anyspace.algorithms.saving.plain import MARK, at, mark_of
from anyspace.config import keys_of, type_hints
from anyspace.data.environments import origin_of
from anyspace.distributions import ActionDistribution
from anyspace.errors import ConfigError
from anyspace.importing import import_name, is_ours
from anyspace.models import ModelV2, action_dists
from anyspace.models.catalog import is_custom_model
from anyspace.policy.exploration.chosen import BY_NAME

_built_with: set[str] = set()
"""Names of the code, and the settings that reach out, by which this process has built algorithms."""

_HARMLESS: dict[str, tuple[Any, ...]] = {
    "ray_runtime_env": ({},),  # runs any program on workers: `py_executable`, `pip`, hooks
    "ray_address": (None, "auto", "local"),  # another cluster sends pickles
    "output": (None,),  # files are written there
}
"""Settings that reach out of this process, each with the values that do not."""

OF_ENVIRONMENTS = ("env_config", "wrappers", "ray_address", "ray_runtime_env", "output")
"""Keys that mean something to environments and collecting alone."""


class Item(int):
    """A position in a list of ``count`` items."""

    count: int


def items_of(value: Sequence[Any]) -> Iterator[tuple[Item, Any]]:
    """Yield the items of a list, each with its position."""
    for i, item in enumerate(value):
        position = Item(i)
        position.count = len(value)
        yield position, item


@dataclass(frozen=True)
class Want:
    """Something that a configuration names and that is not in the file.

    Attributes:
        keys: the configuration keys that lead to it: ``("model", "custom_model")``.
        inside: the way from the value of the last of them: ``("layers", 0)``.
        kind: ``code`` that can be imported, ``local`` code that cannot, a ``registered`` name, or a ``setting`` that
            reaches out of this process.
        name: ``module:Name``, what code without a name is called, the registered name, or the setting's value.
    """

    keys: tuple[str, ...]
    inside: tuple[Any, ...]
    kind: Literal["code", "local", "registered", "setting"]
    name: str

    @property
    def place(self) -> str:
        """Where it is named, as messages spell it."""
        place = ".".join(self.keys)
        for part in self.inside:
            place = at(place, part)
        return place

    @property
    def is_built_in(self) -> bool:
        """Whether it is code of this library, or what the framework fills in; environments and algorithms never are."""
        return self.kind == "code" and self.keys not in (("env",), ("algorithm",)) and _is_built_in(self.name)

    @property
    def takes_a_word(self) -> bool:
        """Whether the user's word is enough for it; all else has to be handed over, or registered."""
        return self.kind in ("code", "setting")

    @property
    def remembered(self) -> str:
        """What tells it from others that this process has built with."""
        return self.name if self.kind == "code" else f"{self.place} = {self.name}"

    @property
    def needs_trust(self) -> bool:
        """Whether only the user's word allows it to be run."""
        return self.takes_a_word and self.remembered not in _built_with and not self.is_built_in


def wants(description: Mapping[str, Any], config_class: type[AlgorithmConfig] = AlgorithmConfig) -> list[Want]:
    """Return all that a configuration names: the algorithm's class, the environment, code in every key, and settings
    that reach out of this process.

    Args:
        description: ``algorithm``, ``env``, ``env_label`` and ``config`` as a checkpoint's state has them.
        config_class: of the algorithm, whose type hints say which texts are names.
    """
    found: list[Want] = []
    algorithm, env = description.get("algorithm"), description.get("env")
    if isinstance(algorithm, str) and (":" in algorithm or " of " in algorithm):
        found.append(Want(("algorithm",), (), "code" if ":" in algorithm else "local", algorithm))
    origin = origin_of(env) if isinstance(env, str) else None
    if origin in ("code", "unknown"):
        found.append(Want(("env",), (), "code" if origin == "code" else "registered", str(env)))
    if env is None and isinstance(description.get("env_label"), str):
        found.append(Want(("env",), (), "local", description["env_label"]))
    config = description.get("config")
    if isinstance(config, dict):
        found += _of_section(config, config_class, (), takes_names=origin == "other")
    return found


def _of_section(
    section: Mapping[str, Any], config_class: type, above: tuple[str, ...], *, takes_names: bool
) -> Iterator[Want]:
    hints, nested = type_hints(config_class), keys_of(config_class)
    for key, value in section.items():
        keys, hint = (*above, key), hints.get(key)
        if is_dataclass(hint) and isinstance(hint, type) and isinstance(value, dict):
            yield from _of_section(value, hint, keys, takes_names=takes_names)
            continue
        if keys[0] in _HARMLESS and value not in _HARMLESS[keys[0]]:
            yield Want(keys, (), "setting", json.dumps(value))
            continue
        yield from code_in(value, keys, ())
        if key in nested:
            yield from names_in(value, nested[key], keys)
        if _names_code(hint):
            yield from _of_names(value, keys)
        # An environment of somebody else's may import what its arguments name, as wrappers of old environments do.
        elif keys == ("env_config",) and takes_names:
            yield from (Want(keys, inside, "code", text) for text, inside in _texts(value, ()) if _NAME.fullmatch(text))


def names_in(value: Any, config_class: type, above: tuple[str, ...]) -> Iterator[Want]:
    """Yield what the texts in a dict that has keys of a configuration stand for, however the dict is written."""
    if not isinstance(value, dict):
        return
    hints = type_hints(config_class)
    for key, item in _parts(value):
        if isinstance(key, str) and _names_code(hints.get(key)):
            yield from _of_names(item, (*above, key))


_NAME = re.compile(r"[^\W\d][\w.]*:[^\W\d][\w./-]*")


def code_in(value: Any, keys: tuple[str, ...], inside: tuple[Any, ...]) -> Iterator[Want]:
    """Yield the code in a value as :mod:`anyspace.algorithms.saving.plain` writes it, at any depth."""
    if isinstance(value, list):
        for i, item in items_of(value):
            yield from code_in(item, keys, (*inside, i))
    elif isinstance(value, dict):
        kind = mark_of(value)
        if kind == "repr":
            yield Want(keys, inside, "local", str(value["repr"]))
        elif kind == "import":
            yield Want(keys, inside, "code", str(value["import"]))
        elif kind is not None and "name" in value and kind in _OF_CLASSES:
            yield Want(keys, inside, "code", str(value["name"]))
        for key, item in _parts(value):
            yield from code_in(item, keys, inside if key is None else (*inside, key))


_OF_CLASSES = ("enum", "dataclass", "named tuple", "object")
"""What is written with the name of its class."""


def _parts(value: Mapping[str, Any]) -> Iterator[tuple[Any, Any]]:
    """Yield the items of a dict as it was written, with None for what is no key of the dict that it stands for."""
    if MARK not in value:
        yield from value.items()
        return
    for content in (content for name, content in value.items() if name != MARK):
        pairs = content if isinstance(content, list) else []
        if value[MARK] in ("dict", "ordered dict") and all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
            yield from ((None, key) for key, _ in pairs)
            yield from ((key if isinstance(key, str | int) else None, item) for key, item in pairs)
        else:
            yield None, content


def _texts(value: Any, inside: tuple[Any, ...]) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Yield the texts among a value's parts, with the way to each."""
    if isinstance(value, str):
        yield value, inside
    elif isinstance(value, list):
        for i, item in items_of(value):
            yield from _texts(item, (*inside, i))
    elif isinstance(value, dict) and mark_of(value) == "scalar":  # a text of NumPy's is one of Python's as well
        yield from _texts(value.get("value"), inside)
    elif isinstance(value, dict) and mark_of(value) in (None, "tuple", "set", "frozenset", "dict", "ordered dict"):
        for key, item in _parts(value):
            yield from _texts(item, inside if key is None else (*inside, key))


@functools.cache
def _names_code(hint: Any) -> bool:
    """Return whether a key takes classes or functions, and texts that name them."""
    options = list(_options(hint))
    return str in options and any(option is type or typing.get_origin(option) in (type, Callable) for option in options)


def _options(hint: Any) -> Iterator[Any]:
    """Yield the types that a value of that type, or an item of it, may have."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType, list, tuple, dict):
        for option in typing.get_args(hint):
            yield from _options(option)
    else:
        yield hint


def _of_names(value: Any, keys: tuple[str, ...]) -> Iterator[Want]:
    """Yield what the texts of a key stand for that takes classes and functions by name."""
    is_known = {"custom_model": is_custom_model, "custom_action_dist": action_dists.is_known}.get(keys[-1])
    for text, inside in _texts(value, ()):
        if is_known is not None and is_known(text):
            continue
        if ":" in text:
            yield Want(keys, inside, "code", text)
        elif "." in text:
            module, _, attribute = text.rpartition(".")
            yield Want(keys, inside, "code", f"{module}:{attribute}")
        elif is_known is not None:
            yield Want(keys, inside, "registered", text)


# ---------------------------------------------------------------------------------------------------- trust


def remember(description: Mapping[str, Any], config_class: type[AlgorithmConfig]) -> None:
    """Take note that this process has built an algorithm by the code and the settings that a configuration names."""
    _built_with.update(want.remembered for want in wants(description, config_class) if want.takes_a_word)


def needs_trust(description: Mapping[str, Any], config_class: type[AlgorithmConfig] = AlgorithmConfig) -> bool:
    """Return whether another process loads a run only if it is told that the run is trusted, as by ``--trust``."""
    return any(want.takes_a_word and not want.is_built_in for want in wants(description, config_class))


def _is_built_in(name: str) -> bool:
    """Return whether a name is that of a model or distribution of this library, or of what the framework fills in.

    The framework's activations and initialisers are known to the same keys by short names, such as ``"relu"``.
    """
    module, _, attribute = name.partition(":")
    if module in ("torch.nn.modules.activation", "torch.nn.init"):
        found = getattr(sys.modules.get(module), attribute, None)
        return getattr(found, "__module__", None) == module
    rooms = ("anyspace.models.", "anyspace.distributions.", "anyspace.policy.exploration.", "anyspace._rllib.")
    if not module.startswith(rooms):
        return False
    try:
        found = import_name(name)
    except ConfigError:
        return False
    return (
        isinstance(found, type)
        and is_ours(found)
        and (found in BY_NAME.values() or issubclass(found, ModelV2 | ActionDistribution))
    )
