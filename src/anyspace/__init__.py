"""Any Gymnasium space in, any Gymnasium space out."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from anyspace.version import __version__ as __version__

if TYPE_CHECKING:
    from anyspace.algorithms import A2C, APPO, BC, DQN, IMPALA, MARWIL, PG, PPO, SAC, Algorithm
    from anyspace.data.env_check import check_env
    from anyspace.data.environments import register_env
    from anyspace.execution.callbacks import Callback
    from anyspace.policy.policy import Policy
    from anyspace.spaces import register_space

__all__ = [
    "A2C",
    "APPO",
    "BC",
    "DQN",
    "IMPALA",
    "MARWIL",
    "PG",
    "PPO",
    "SAC",
    "Algorithm",
    "Callback",
    "Policy",
    "check_env",
    "register_env",
    "register_space",
]

_PUBLIC = dict.fromkeys(__all__, "anyspace.algorithms") | {
    "Callback": "anyspace.execution.callbacks",
    "Policy": "anyspace.policy.policy",
    "check_env": "anyspace.data.env_check",
    "register_env": "anyspace.data.environments",
    "register_space": "anyspace.spaces",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: `import anyspace` alone stays light."""
    if name not in _PUBLIC:
        from anyspace.answers import absent

        raise absent(__name__, name)
    from importlib import import_module

    return getattr(import_module(_PUBLIC[name]), name)


class _Finder:
    """Says what stands for a name of another library that is imported from here or from ``anyspace.algorithms``."""

    @staticmethod
    def find_spec(fullname: str, path: object, target: object = None) -> None:
        package, _, name = fullname.rpartition(".")
        if package in (__name__, f"{__name__}.algorithms"):
            from anyspace.answers import absent
            from anyspace.foreign_names import MODULE

            if name in MODULE:
                # Were the name in the error, `from ... import` would show a text of its own instead of this one.
                raise ModuleNotFoundError(str(absent(package, name)))


sys.meta_path.append(_Finder)


def __dir__() -> list[str]:
    return [*globals(), *_PUBLIC]
