"""Keyword overrides of algorithms as TypedDicts: ``python -m tests.support.options --write`` when a key has changed."""

from __future__ import annotations

import argparse
import ast
import dataclasses
import inspect
import textwrap
from pathlib import Path

import anyspace
from anyspace.algorithms import ALGORITHMS
from anyspace.models.config import ModelConfig

FILE = Path(anyspace.__file__).parent / "algorithms" / "options.py"

HEADER = '''"""The configuration keys as types of keyword arguments: checkers and editors know ``PPO(env, lr=3e-4)``.

Made of the configurations by ``python -m tests.support.options --write``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypedDict

from anyspace.models.config import ActivationSpec, FilterSpec, InitializerSpec, ModelConfig
'''


def own_annotations(kind: type) -> dict[str, str]:
    """Return what a class annotates itself, as it is spelt."""
    body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    assert isinstance(body, ast.ClassDef)
    fields = {field.name for field in dataclasses.fields(kind)}
    return {
        line.target.id: ast.unparse(line.annotation)
        for line in body.body
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name) and line.target.id in fields
    }


def name_of(kind: type) -> str:
    return kind.__name__.removesuffix("Config") + "Options"


def text() -> str:
    """Return the content of the file."""
    configs = [ModelConfig, *(algorithm.config_class for algorithm in ALGORITHMS.values())]
    lineages = dict.fromkeys(kind for config in configs for kind in reversed(config.__mro__))
    kinds = [kind for kind in lineages if dataclasses.is_dataclass(kind)]
    blocks = []
    for kind in kinds:
        bases = [base for base in kind.__bases__ if dataclasses.is_dataclass(base)]
        inherited = {field.name for base in bases for field in dataclasses.fields(base)}
        keys = {key: spelt for key, spelt in own_annotations(kind).items() if key not in inherited}
        if "model" in keys:
            keys["model"] = "ModelOptions | ModelConfig | Mapping[str, Any]"
        parents = ", ".join(map(name_of, bases)) or "TypedDict"
        lines = [f"class {name_of(kind)}({parents}, total=False):", f'    """Keys of :class:`{kind.__name__}`."""']
        # As the formatter spells texts.
        typed = [f"    {key}: {spelt}".replace("'", '"') for key, spelt in keys.items()]
        blocks.append("\n".join([*lines, *([""] if keys else []), *typed]))
    return HEADER + "\n\n" + "\n\n\n".join(blocks) + "\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true")
    if parser.parse_args().write:
        FILE.write_text(text())
    else:
        print(text())
