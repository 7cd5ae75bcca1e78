"""What is said of code that a checkpoint names and nobody has handed over: all of it, and the lines that go on."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import gymnasium as gym

from anyspace.algorithms.config import AlgorithmConfig
from anyspace.algorithms.saving.trust import OF_ENVIRONMENTS, Item, Want, needs_trust, wants
from anyspace.errors import CheckpointError, ConfigError
from anyspace.importing import import_name, is_of_a_script

_STAND_INS = {"env": "YourEnv", "custom_model": "YourModel", "custom_action_dist": "YourDistribution"}
"""What messages call what has no name."""

_REGISTER = {
    "env": "register_env({name!r}, YourEnv)",
    "custom_model": "ModelCatalog.register_custom_model({name!r}, YourModel)",
    "custom_action_dist": "ModelCatalog.register_custom_action_dist({name!r}, YourDistribution)",
}
"""How what each key names is registered."""

_REASONS = {
    "code": "{}",
    "local": "{}, which cannot be imported by a name",
    "registered": "{!r}, which nobody has registered",
    "setting": "{}, by which programs would run or files be written that the checkpoint chooses",
}
"""What messages say of a want of each kind."""


def loading_line(description: Mapping[str, Any], config_class: type[AlgorithmConfig]) -> str | None:
    """Return the call by which a program loads a run of ``'PATH'`` whose code no other one can import; else None."""
    lacking = _elsewhere_lacking(description, config_class)
    return handing_over(lacking, "PATH", "Algorithm", trust=needs_trust(description, config_class)) if lacking else None


def announce(description: Mapping[str, Any], config_class: type[AlgorithmConfig]) -> None:
    """Say in one line of the log which code loading will ask for, if there is any."""
    local = [want for want in _elsewhere_lacking(description, config_class) if want.kind == "local"]
    if local:
        spelt = "; ".join(f"{want.place} ({want.name})" for want in local)
        logging.getLogger("anyspace").warning(
            f"checkpoints of this run name code that no other process can import: {spelt}. Loading will ask for it:"
            f" {handing_over(local, 'PATH', 'Algorithm')}. Code in a module of its own is found by its name."
        )


def _elsewhere_lacking(description: Mapping[str, Any], config_class: type[AlgorithmConfig]) -> list[Want]:
    """Return what another process has to be handed: in this one, a script may have registered the environment's id."""
    env = description.get("env")
    found = [want for want in wants(description, config_class) if not want.takes_a_word]
    is_a_scripts = env in gym.registry and is_of_a_script(gym.registry[env].entry_point)
    return [*([Want(("env",), (), "local", str(env))] if is_a_scripts else []), *found]


def require_granted(
    wanted: Sequence[Want], path: object, *, asked: str, trust: bool, env_can_wait: bool = False
) -> None:
    """Refuse to load what names code or settings that nobody has vouched for; all of them are named at once.

    An environment that is only missing is no reason to refuse: a policy acts without one.

    Args:
        wanted: what the checkpoint names and the caller does not hand over.
        path: the checkpoint's.
        asked: the name of the class whose ``load`` was called.
        trust: whether the user trusts the file.
        env_can_wait: whether an environment that is code is no reason either, as another may be handed over later.

    Raises:
        CheckpointError: with the lines that go on.
    """
    missing = [want for want in wanted if (want.needs_trust and not trust) or not want.takes_a_word]
    if all(want.keys == ("env",) and (want.kind != "code" or env_can_wait) for want in missing):
        return
    risky = [want for want in missing if want.takes_a_word]
    lines = [f"{path} needs what is not in its files:"]
    lines += [f"  {want.place}: {_REASONS[want.kind].format(want.name)}" for want in missing]
    if risky:
        names_code = any(want.kind == "code" for want in risky)
        why = "To import code is to run it, so nothing was imported." if names_code else "Nothing was run or written."
        lines.append(f"{why} If you trust whoever wrote it, say so:")
        quoted = shlex.quote(str(path))
        if Path(str(path)).is_file():  # the settings of a run, not a checkpoint
            raise CheckpointError("\n".join([*lines, f"  anyspace train --config {quoted} --trust"]))
        lines.append(f"  {handing_over([want for want in missing if not want.takes_a_word], path, asked, trust=True)}")
        if len(risky) == len(missing):
            commands = (f"evaluate {quoted}", f"export {quoted} policy.onnx", f"train --resume {quoted}")
            lines += [f"  anyspace {command} --trust" for command in commands]
    register = [_REGISTER[want.keys[-1]].format(name=want.name) for want in missing if want.kind == "registered"]
    if register:
        lines += ["Register the names before you load:", *(f"  {line}" for line in register)]
    handing = "Or hand over what it needs" if risky or register else "Hand over what it needs"
    if any(want.keys == ("algorithm",) for want in missing):
        handing += ", and call load on the class that saved it"
    lines += [f"{handing}:", f"  {handing_over(missing, path, asked, trust=trust)}"]
    if asked != "Policy" and all(want.keys[0] in ("env", *OF_ENVIRONMENTS) for want in missing):
        lines.append(f"To act you need none of these: Policy.load({str(path)!r}).")
    raise CheckpointError("\n".join(lines))


def require_found(wanted: Sequence[Want], path: object, asked: str, *, trust: bool) -> None:
    """Refuse to load what names code that is not there any more; what makes environments may be missing.

    Args:
        wanted: what the checkpoint names and the caller does not hand over, which may be imported.
        path: the checkpoint's.
        asked: the name of the class whose ``load`` was called.
        trust: whether the user trusts the file.

    Raises:
        CheckpointError: with the lines that go on.
    """
    gone: dict[Want, str] = {}
    for want in wanted:
        if want.kind == "code" and not want.is_built_in and want.keys[0] not in ("env", *OF_ENVIRONMENTS):
            with suppress(Exception):  # one of its own, when it is imported, is told where it is needed
                try:
                    import_name(want.name)
                except ConfigError as error:
                    gone[want] = f"  {want.place}: {want.name} ({error.__cause__ or error})"
    if not gone:
        return
    lines = [f"{path} names code that cannot be imported by the name it had:", *gone.values()]
    lines += [
        "If it has moved, hand it over from where it is now:",
        f"  {handing_over([*gone], path, asked, trust=trust)}",
    ]
    if Path(str(path)).is_dir() and all(want.keys != ("algorithm",) and not want.inside for want in gone):
        flags = (f"--{want.place.replace('_', '-')} package.module:{want.name.partition(':')[2]}" for want in gone)
        lines.append(f"  anyspace train --resume {shlex.quote(str(path))} --trust {' '.join(flags)}")
    raise CheckpointError("\n".join(lines))


def handing_over(missing: Sequence[Want], path: object, asked: str, *, trust: bool = False) -> str:
    """Return the call that hands over all that is missing."""
    config: dict[str, Any] = {}
    arguments, loader = [repr(str(path))], asked
    for want in missing:
        name = want.name.rpartition(":")[2].partition(" of ")[0].rpartition(".")[2]
        if not name.isidentifier() or want.kind == "registered":
            keys = [part for part in (*want.keys, *want.inside) if isinstance(part, str)]
            name = _STAND_INS.get(keys[-1], f"your_{keys[-1]}")
        if want.keys == ("algorithm",):
            loader = name
        elif want.keys == ("env",):
            arguments.append(f"env={name}")
        else:
            _put(config, [*want.keys, *want.inside], name)
    if config:
        arguments.append(f"config={_spelled(config)}")
    if trust:
        arguments.append("trust=True")
    return f"{loader}.load({', '.join(arguments)})"


def _put(config: dict[str, Any], way: Sequence[Any], name: str) -> None:
    """Put a name into nested dicts; of a list, all is to be given."""
    key, *rest = way
    if rest and isinstance(rest[0], Item):
        stand_in = f"your_{str(key).removesuffix('s')}"
        items = config.setdefault(key, [stand_in] * rest[0].count)
        if isinstance(items, list):
            items[rest[0]] = name
    elif rest and isinstance(rest[0], str):
        below = config.setdefault(key, {})
        if isinstance(below, dict):
            _put(below, rest, name)
    else:
        config[key] = name


def _spelled(config: Any) -> str:
    if isinstance(config, list):
        return f"[{', '.join(config)}]"
    if not isinstance(config, dict):
        return str(config)
    return "{" + ", ".join(f'"{key}": {_spelled(item)}' for key, item in config.items()) + "}"
