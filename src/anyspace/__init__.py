"""Any Gymnasium space in, any Gymnasium space out."""

from __future__ import annotations

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

_HOMES = {
    "A2C": "anyspace.algorithms",
    "APPO": "anyspace.algorithms",
    "BC": "anyspace.algorithms",
    "DQN": "anyspace.algorithms",
    "IMPALA": "anyspace.algorithms",
    "MARWIL": "anyspace.algorithms",
    "PG": "anyspace.algorithms",
    "PPO": "anyspace.algorithms",
    "SAC": "anyspace.algorithms",
    "Algorithm": "anyspace.algorithms",
    "Callback": "anyspace.execution.callbacks",
    "Policy": "anyspace.policy.policy",
    "check_env": "anyspace.data.env_check",
    "register_env": "anyspace.data.environments",
    "register_space": "anyspace.spaces",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: `import anyspace` alone stays light."""
    if name not in _HOMES:
        raise AttributeError(f"module 'anyspace' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]
