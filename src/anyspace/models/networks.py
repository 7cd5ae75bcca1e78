"""The networks of each framework by role: the one place of `anyspace.models` that knows frameworks by name.

A framework joins by a table of its own. Its files are imported when one of its networks is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, Literal

import gymnasium as gym

from anyspace.models.config import ModelConfig
from anyspace.models.modelv2 import ModelV2

Role = Literal[
    "base class",
    "dense",
    "vision",
    "complex input",
    "recurrent",
    "gtrxl",
    "recurrent memory",
    "attention memory",
    "parametric head",
    "action network",
    "q values",
    "soft actor-critic",
]

NETWORKS: dict[str, dict[Role, str]] = {
    "torch": {
        "base class": "base.TorchModelV2",
        "dense": "fcnet.FullyConnectedNetwork",
        "vision": "visionnet.VisionNetwork",
        "complex input": "complex_input.ComplexInputNetwork",
        "recurrent": "recurrent.RecurrentNetwork",
        "gtrxl": "attention.GTrXLNet",
        "recurrent memory": "recurrent.RecurrentWrapper",
        "attention memory": "attention.AttentionWrapper",
        "parametric head": "parametric.ParametricActionsModel",
        "action network": "autoregressive.attach_action_network",
        "q values": "dqn_model.DQNTorchModel",
        "soft actor-critic": "sac_model.SACTorchModel",
    },
    "jax": {
        "base class": "base.JaxModelV2",
        "dense": "networks.FullyConnectedNetwork",
        "vision": "networks.VisionNetwork",
        "complex input": "networks.ComplexInputNetwork",
        "recurrent": "networks.RecurrentNetwork",
        "gtrxl": "networks.GTrXLNet",
        "recurrent memory": "networks.RecurrentWrapper",
        "attention memory": "networks.AttentionWrapper",
        "parametric head": "networks.ParametricActionsModel",
        "action network": "networks.attach_action_network",
        "q values": "networks.DQNJaxModel",
        "soft actor-critic": "networks.SACJaxModel",
    },
    "tf": {
        "base class": "base.TFModelV2",
        "dense": "networks.FullyConnectedNetwork",
        "vision": "networks.VisionNetwork",
        "complex input": "networks.ComplexInputNetwork",
        "recurrent": "networks.RecurrentNetwork",
        "gtrxl": "networks.GTrXLNet",
        "recurrent memory": "networks.RecurrentWrapper",
        "attention memory": "networks.AttentionWrapper",
        "parametric head": "networks.ParametricActionsModel",
        "action network": "networks.attach_action_network",
        "q values": "networks.DQNTFModel",
        "soft actor-critic": "networks.SACTFModel",
    },
}
"""Framework -> role -> file of the folder `models/<framework>` and the name in it."""


_CALLED = {"tf2": "tf", "tfe": "tf"}
"""Other names of frameworks, from RLlib."""


def framework_called(name: str) -> str:
    """Return the framework of a name, which RLlib may have given it: "tf2" is "tf"."""
    return _CALLED.get(name, name)


def network(role: Role, framework: str) -> type[ModelV2]:
    """Return the model class that a framework has for a role.

    Raises:
        NotImplementedError: the framework has none.
    """
    found: type[ModelV2] = _found(role, framework)
    return found


def base_class(framework: str) -> str:
    """Return the name of the class that models of a framework derive from.

    Raises:
        NotImplementedError: there is no such framework.
    """
    return _home("base class", framework).rpartition(".")[2]


def action_network(framework: str) -> Callable[[ModelV2, gym.Space[Any], ModelConfig], None]:
    """Return the function that gives a model its ``action_network``, for `autoregressive_actions`.

    Raises:
        NotImplementedError: the framework has none.
    """
    attach: Callable[[ModelV2, gym.Space[Any], ModelConfig], None] = _found("action network", framework)
    return attach


def is_of_library(model_class: type[ModelV2]) -> bool:
    """Return whether a framework's table names the model class."""
    home = f"{model_class.__module__}.{model_class.__qualname__}"
    return any(
        home == f"anyspace.models.{framework}.{name}" for framework in NETWORKS for name in NETWORKS[framework].values()
    )


def public(name: str) -> type[ModelV2]:
    """Return the model class of that name, of the first framework that has one.

    Raises:
        AttributeError: no framework has one.
    """
    for framework, homes in NETWORKS.items():
        for role, home in homes.items():
            if home.endswith(f".{name}"):
                return network(role, framework)
    raise AttributeError(f"no framework has a model of the name {name!r}")


def _home(role: Role, framework: str) -> str:
    home = NETWORKS.get(framework, {}).get(role)
    if home is None:
        there = " or ".join(repr(name) for name, homes in NETWORKS.items() if role in homes)
        raise NotImplementedError(
            f"framework {framework!r} has no network for the role {role!r} yet; give a `custom_model`, or use {there}."
        )
    return home


def _found(role: Role, framework: str) -> Any:
    file, _, name = _home(role, framework).partition(".")
    return getattr(import_module(f"anyspace.models.{framework}.{file}"), name)
