"""What a checkpoint holds of an algorithm, and how an algorithm comes out of one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import gymnasium as gym

from anyspace import config as configs
from anyspace import tree
from anyspace.algorithms.config import AlgorithmConfig
from anyspace.algorithms.settings import overridden
from anyspace.errors import AnyspaceError, CheckpointError
from anyspace.execution.checkpoint import read_checkpoint
from anyspace.execution.run import Snapshot
from anyspace.models.runtime import NumpyArray
from anyspace.spaces import from_json, to_json

if TYPE_CHECKING:
    from anyspace.algorithms.algorithm import Algorithm


def snapshot(algorithm: Algorithm[Any]) -> Snapshot:
    """Return the state and the tensors that a checkpoint holds."""
    policy = algorithm.policy
    state = {
        **algorithm.description(),
        "observation_space": to_json(policy.observation_space),
        "action_space": to_json(policy.action_space),
        **algorithm.progress.state(),
        "coefficients": algorithm.coefficients(),
    }
    tensors = {
        **tree.prefixed("policy", policy.state()),
        **tree.prefixed("learner", algorithm.learner.state()),
        **tree.prefixed("rewards", algorithm.rewards.state()),
    }
    return state, tensors


def kind_of(state: Mapping[str, Any], asked: type[Algorithm[Any]], path: object) -> type[Algorithm[Any]]:
    """Return the class that a checkpoint's algorithm is to be an instance of.

    Args:
        state: the checkpoint's.
        asked: the class whose ``load`` was called.
        path: the checkpoint's, for the message.

    Raises:
        CheckpointError: the class that was asked is another algorithm.
    """
    from anyspace.algorithms import ALGORITHMS, Algorithm

    kind = asked if asked is not Algorithm else ALGORITHMS.get(state["algorithm"])
    if kind is None or (state["algorithm"] != kind.__name__ and kind.__name__ in ALGORITHMS):
        raise CheckpointError(
            f"{path} is a checkpoint of {state['algorithm']}, which {asked.__name__}.load cannot read; call load"
            " on the class that saved it."
        )
    return kind


def stored_settings(
    state: Mapping[str, Any], config_class: type[AlgorithmConfig], *layers: Mapping[str, Any]
) -> AlgorithmConfig:
    """Return a checkpoint's settings with keys laid over them; keys that are given anew need not be readable."""
    stored = state["config"]
    for layer in layers:
        stored = configs.without(stored, layer)
    return overridden(config_class(), configs.from_plain(stored), *layers)


def spaces_of(state: Mapping[str, Any]) -> tuple[gym.Space[Any], gym.Space[Any]]:
    """Return the observation space and the action space of a checkpoint."""
    return from_json(state["observation_space"]), from_json(state["action_space"])


def restore(algorithm: Algorithm[Any], state: dict[str, Any], tensors: dict[str, NumpyArray], path: object) -> None:
    """Put a new algorithm into the state of a checkpoint.

    Raises:
        CheckpointError: the checkpoint does not fit the algorithm's configuration.
    """
    algorithm.seed = state["seed"]
    algorithm.progress.load_state(state)
    algorithm.load_coefficients(state["coefficients"])
    try:
        algorithm.policy.load_state(tree.under("policy", tensors))
        algorithm.learner.load_state(tree.under("learner", tensors))
        algorithm.rewards.load_state(tree.under("rewards", tensors))
    except (KeyError, ValueError) as error:
        if isinstance(error, AnyspaceError):
            raise
        raise CheckpointError(f"{path} does not fit this configuration: {error}.") from error


def load_weights(algorithm: Algorithm[Any], path: str | os.PathLike[str]) -> None:
    """Start from the weights and filter statistics of another run; see `Algorithm.load_weights`."""
    state, tensors = read_checkpoint(path)
    mine = (algorithm.policy.observation_space, algorithm.policy.action_space)
    for kind, own, theirs in zip(("observation", "action"), mine, spaces_of(state), strict=True):
        if own != theirs:
            raise CheckpointError(
                f"the {kind} space of {path} is {theirs}, but this environment's is {own}; weights carry over"
                " between equal spaces only."
            )
    algorithm.policy.load_weights(tree.under("policy", tensors))
