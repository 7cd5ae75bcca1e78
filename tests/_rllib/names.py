"""Every name of `anyspace.rllib` beside RLlib 2.40's: kind, parameters, methods, and what calls return.

`rllib_2_40.json` holds what RLlib 2.40 says of them, and `test_names.py` compares it with ours. To measure it anew,
where names or calls were added:

    make names

which prints each difference, and fails on one that `known.py` has no reason for, or whose reason is of no use any more.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import inspect
import io
import json
import re
import runpy
import subprocess
import sys
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PYTHON = HERE.parents[1] / ".venv-rllib" / "bin" / "python"
RECORDED = HERE / "rllib_2_40.json"
CALLS = runpy.run_path(str(HERE / "calls.py"))

NOT_COMPARED = ("anyspace.algorithms", "anyspace.models.placeholders", "refused")
"""Homes of names that are no more than names of RLlib's."""


# ------------------------------------------------------------------------------------------ description


def describe(prefix: str, names: dict[str, list[str]]) -> dict[str, dict[str, Any]]:
    """Return what is to be compared of each name, by path and name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _described(prefix, names)


def _described(prefix: str, names: dict[str, list[str]]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    seen: set[int] = set()
    scope: dict[str, Any] = {"module": lambda path: importlib.import_module(f"{prefix}.{path}".rstrip("."))}
    exec(CALLS["PRELUDE"], scope)
    exec(CALLS["LATE"], scope)
    for path, listed in names.items():
        try:
            module = scope["module"](path)
        except ImportError:
            continue
        for name in listed:
            if not hasattr(module, name):
                continue
            thing, key = getattr(module, name), f"{path}.{name}".lstrip(".")
            if id(thing) in seen and key not in CALLS["CALLS"]:
                continue
            seen.add(id(thing))
            found[key] = _form(thing) | {
                f"call {call}": _result(call, {**scope, "f": thing}) for call in CALLS["CALLS"].get(key, ())
            }
    return found


def _form(thing: Any) -> dict[str, Any]:
    """Return kind and parameters; of a class also its public methods."""
    if inspect.isclass(thing):
        methods = {
            name: _parameters(member)
            for name, member in inspect.getmembers(thing)
            if not name.startswith("_") and _is_method(member)
        }
        return {"kind": "class", "parameters": _parameters(thing), "methods": methods}
    if callable(thing):
        return {"kind": "function", "parameters": _parameters(thing)}
    return {"kind": "value", "value": repr(thing) if isinstance(thing, int | float | str | tuple) else "object"}


def _is_method(member: Any) -> bool:
    """Whether a member is a method that PyTorch's modules and NumPy's arrays do not have anyway."""
    of_torch = (getattr(member, "__module__", None) or "").startswith("torch.")
    of_numpy = getattr(getattr(member, "__objclass__", None), "__module__", None) == "numpy"
    return callable(member) and not inspect.isclass(member) and not of_torch and not of_numpy


def _parameters(thing: Any) -> list[str]:
    """Return the parameters as ``name``, ``name=default``, ``*`` before those by keyword."""
    try:
        parameters = inspect.signature(thing).parameters.values()
    except (TypeError, ValueError):
        return []
    spelled, keywords = [], False
    for parameter in parameters:
        if parameter.kind is parameter.KEYWORD_ONLY and not keywords:
            keywords = True
            spelled.append("*")
        plain = parameter.default is None or isinstance(parameter.default, bool | int | float | str)
        default = "" if parameter.default is parameter.empty else f"={parameter.default!r}" if plain else "=..."
        stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
        spelled.append(f"{stars}{parameter.name}{default}")
    return [name for name in spelled if name != "self"]


def _result(call: str, scope: dict[str, Any]) -> Any:
    import numpy as np
    import torch

    torch.manual_seed(0)
    np.random.seed(0)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            return _plain(eval(call, scope))
    except Exception:
        return "an error"


def _plain(value: Any) -> Any:
    """Return a value as JSON takes it, arrays and tensors with their dtypes and rounded."""
    import gymnasium as gym
    import numpy as np
    import torch

    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [type(value).__name__, *map(_plain, value)]
    if isinstance(value, torch.Tensor):
        return [f"tensor {value.dtype}", _rounded(value.detach().numpy())]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, np.ndarray):
        return [f"array {value.dtype}", _rounded(np.asarray(value))]
    if isinstance(value, float):
        return round(value, 5)
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, gym.Space | np.dtype | torch.dtype | type):
        return str(value).replace("anyspace", "").replace("ray.rllib", "")
    return type(value).__name__


def _rounded(array: Any) -> Any:
    import numpy as np

    return np.round(array.astype(np.float64), 4).tolist() if array.dtype.kind in "fiub" else array.tolist()


# ------------------------------------------------------------------------------------------- comparison


def differences(theirs: dict[str, dict[str, Any]], ours: dict[str, dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """Yield where the two differ, and how."""
    for name, their in theirs.items():
        our = ours.get(name)
        if our is None:  # one of several names of something that is compared already
            continue
        if our["kind"] != their["kind"]:
            yield name, f"is a {their['kind']} there, a {our['kind']} here"
            continue
        yield from _differing_parameters(name, their.get("parameters", []), our.get("parameters", []))
        for method, parameters in their.get("methods", {}).items():
            if method not in our["methods"]:
                yield f"{name}.{method}", "is not here"
            else:
                yield from _differing_parameters(f"{name}.{method}", parameters, our["methods"][method])
        for key in their.keys() - {"kind", "parameters", "methods"}:
            if our[key] != their[key]:
                yield f"{name}: {key}", f"{_short(their[key])} there, {_short(our[key])} here"


def _differing_parameters(name: str, theirs: list[str], ours: list[str]) -> Iterator[tuple[str, str]]:
    """Yield a difference that a caller may notice: ours may have more parameters, and defaults where there was none."""
    if any(parameter.startswith("**") for parameter in ours) and any(p.startswith("*") for p in ours):
        return
    by_name = {parameter.partition("=")[0]: parameter for parameter in ours}
    positions = [p.partition("=")[0] for p in ours[: ours.index("*") if "*" in ours else None]]
    place, keyword = 0, False
    for parameter in theirs:
        key, _, default = parameter.partition("=")
        if parameter == "*" or parameter.startswith("*"):
            keyword = keyword or parameter == "*"
            continue
        if key not in by_name:
            yield name, f"has no parameter `{parameter}`"
        elif default and by_name[key] != parameter:
            yield name, f"`{parameter}` is `{by_name[key]}` here"
        elif not keyword and (place >= len(positions) or positions[place] != key):
            yield name, f"`{key}` is not parameter {place + 1} here"
        place += 1


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) < 160 else f"{text[:157]}..."


def compared() -> dict[str, list[str]]:
    """Return the names of `anyspace.rllib` that are to be compared, by path."""
    from anyspace import rllib

    return {
        path: [
            name for name, (home, new) in rllib.names(path).items() if home not in NOT_COMPARED and new != "PPOConfig"
        ]
        for path in rllib.PATHS
        if path not in rllib.MOVED and path != "utils.typing"
    }


def unexplained(found: Iterable[tuple[str, str]], known: dict[str, str]) -> list[str]:
    """Return the differences that no pattern of ``known`` is about."""
    texts = [f"{name}: {how}" for name, how in found]
    return [text for text in texts if not any(re.match(pattern, text) for pattern in known)]


def main() -> None:
    """Measure RLlib anew and compare, or describe one library for the other process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--describe", metavar="PREFIX", help="print the description of a library and stop")
    parser.add_argument("--rllib-python", default=str(PYTHON), help="the interpreter that has RLlib 2.40")
    options = parser.parse_args()
    if options.describe:
        print(json.dumps(describe(options.describe, json.loads(sys.stdin.read()))))
        return

    from tests._rllib.known import KNOWN

    # With "-P" it imports frameworks by their names, and not the folders beside this file.
    command = [options.rllib_python, "-P", __file__, "--describe", "ray.rllib"]
    done = subprocess.run(command, input=json.dumps(compared()), capture_output=True, text=True, check=True)
    theirs = json.loads(done.stdout.splitlines()[-1])
    rows = (f"{json.dumps(name)}: {json.dumps(one, sort_keys=True)}" for name, one in sorted(theirs.items()))
    RECORDED.write_text("{\n" + ",\n".join(rows) + "\n}\n")
    ours = json.loads(json.dumps(describe("anyspace.rllib", compared())))
    found = list(differences(theirs, ours))
    new = unexplained(found, KNOWN)
    gone = [pattern for pattern in KNOWN if not any(re.match(pattern, f"{name}: {how}") for name, how in found)]
    print(*(f"new: {text}" for text in new), *(f"gone: {pattern}" for pattern in gone), sep="\n")
    both = theirs.keys() & ours.keys()
    calls = sum(key.startswith("call ") for name in both for key in theirs[name])
    print(f"{len(both)} names, {calls} calls: {len(found)} differences, {len(new)} of them new")
    sys.exit(bool(new or gone))


if __name__ == "__main__":
    main()
