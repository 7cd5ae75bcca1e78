"""What a model configuration says of the layers of built-in networks, in any framework.

Which layers there are and how wide they are is decided here; a framework's files draw their weights and run them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import gymnasium as gym

from anyspace.errors import ModelError, UnsupportedSpaceError
from anyspace.maths.xp import Array, xp
from anyspace.models.config import ActivationSpec


class Stack(NamedTuple):
    """Dense layers in a row that the configuration keys of one prefix describe."""

    width_in: int
    sizes: tuple[int, ...]
    """Of the layers; none passes the input."""
    prefix: str
    """Of the keys of initialisers: "fcnet" or "post_fcnet"."""
    activation: ActivationSpec | None
    """Of every layer."""

    @property
    def width(self) -> int:
        """Width of what comes out."""
        return (self.width_in, *self.sizes)[-1]


def stack(width_in: int, sizes: Sequence[int], model_config: Mapping[str, Any], prefix: str) -> Stack:
    """Return dense layers of the given sizes, with the activation of a prefix: "fcnet" or "post_fcnet"."""
    return Stack(width_in, tuple(sizes), prefix, model_config[f"{prefix}_activation"])


def fully_connected(width_in: int, model_config: Mapping[str, Any], resized: int | None) -> list[Stack]:
    """Return the hidden layers of a fully connected network: `fcnet_hiddens`, then `post_fcnet_hiddens`.

    All have the activation of the first of them.

    Args:
        width_in: width of a flat observation.
        model_config: every key of the model configuration.
        resized: the width that the last layer gets, as the output; None: it keeps its own.
    """
    hiddens, post = [*model_config["fcnet_hiddens"]], [*model_config["post_fcnet_hiddens"]]
    if resized:
        last = post if post or not hiddens else hiddens
        last[-1:] = [resized]
    first = stack(width_in, hiddens, model_config, "fcnet")
    second = stack(first.width, post, model_config, "post_fcnet")
    return [first, second._replace(activation=first.activation) if model_config["fcnet_hiddens"] else second]


def after_encoder(width_in: int, model_config: Mapping[str, Any], resized: int | None) -> Stack:
    """Return the dense layers (`post_fcnet_hiddens`) behind convolutions or the components of an observation.

    Args:
        width_in: width of the features.
        model_config: every key of the model configuration.
        resized: as for :func:`fully_connected`.
    """
    sizes = [*model_config["post_fcnet_hiddens"]]
    if resized:
        sizes[-1:] = [resized]
    return stack(width_in, sizes, model_config, "post_fcnet")


class Outputs(NamedTuple):
    """What of its ``num_outputs`` numbers a network computes."""

    computed: int | None
    """How many come out of its last layer; None: the network is one of features."""
    log_std: int = 0
    """How many beside these are log deviations, which are weights of their own (`free_log_std`)."""


def outputs_of(num_outputs: int | None, model_config: Mapping[str, Any]) -> Outputs:
    """Return what a network computes of its outputs, and what is beside it.

    Args:
        num_outputs: what the action distribution takes; None or 0 for a network of features.
        model_config: every key of the model configuration.

    Raises:
        ModelError: `free_log_std` is on, but the outputs are not means and deviations.
    """
    if not num_outputs:
        return Outputs(None)
    if not model_config["free_log_std"]:
        return Outputs(num_outputs)
    if num_outputs % 2:
        raise ModelError(
            f"`free_log_std` needs an even number of outputs (means and log deviations), but the action"
            f" distribution takes {num_outputs}. Leave it off for this action space."
        )
    return Outputs(num_outputs // 2, num_outputs // 2)


def with_log_std(output: Array, log_std: Array | None) -> Array:
    """Return an output [N, F] with the same log deviations [A] beside every row, [N, F + A]; None: there are none."""
    if log_std is None:
        return output
    ns = xp(log_std)
    return ns.concatenate([output, ns.broadcast_to(log_std, (output.shape[0], log_std.shape[0]))], axis=1)


def width_of_array(model: object, obs_space: gym.Space[Any]) -> int:
    """Return the width of flat observations that are one array.

    Args:
        model: takes them, for messages.
        obs_space: theirs.

    Raises:
        UnsupportedSpaceError: they are several, or none.
    """
    if obs_space.shape is None:
        raise UnsupportedSpaceError(
            f"{type(model).__name__} takes observations that are one array, not {obs_space}; leave"
            " `_disable_preprocessor_api` off."
        )
    return math.prod(obs_space.shape)


def element_width(model_config: Mapping[str, Any]) -> int:
    """Return the width of the dense layer that an element of a list or an alternative goes through.

    It is the first of `fcnet_hiddens`, or 64 where there is none.
    """
    hiddens = model_config["fcnet_hiddens"]
    return int(hiddens[0]) if hiddens else 64
