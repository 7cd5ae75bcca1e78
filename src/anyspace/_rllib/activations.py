"""Activations by the names of RLlib's old stack, in either framework that it had."""

from __future__ import annotations

from typing import Any

from anyspace._rllib import tensorflow


def get_activation_fn(name: Any = None, framework: str = "torch") -> Any:
    """Return an activation: a module class of PyTorch, or a function of TensorFlow; None for "linear" and None.

    Raises:
        ConfigError: there is none of that name, or no such framework.
    """
    if framework in ("tf", "tf2", "tfe"):
        return tensorflow.named("get_activation_fn")(name)
    from anyspace._rllib.torch import layers

    return layers.get_activation_fn(name, framework)
