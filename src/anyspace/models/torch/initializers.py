"""How weights and biases start: the initialiser keys of the model configuration."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from anyspace.models import initializers
from anyspace.models.initializers import ERRORS, misfit, named

Initializer = Callable[[torch.Tensor], None]
"""Fills a tensor in place."""


def normc_(tensor: torch.Tensor, scale: float = 1.0) -> None:
    """Fill weights [out, ...] with normal draws, then scale those of each output to L2 norm ``scale``, in place.

    Raises:
        ValueError: the tensor has fewer than two dimensions.
    """
    if tensor.dim() < 2:
        raise ValueError("only tensors with 2 or more dimensions have weights to an output")
    with torch.no_grad():
        tensor.normal_()
        norms = tensor.flatten(1).norm(dim=1)
        tensor.mul_((scale / norms).reshape(-1, *(1,) * (tensor.dim() - 1)))


def fan_in_uniform_(tensor: torch.Tensor) -> None:
    """Fill weights [out, ...] with even draws within 1 / sqrt(inputs), as layers of PyTorch do, in place."""
    nn.init.kaiming_uniform_(tensor, a=math.sqrt(5.0))


_KNOWN: dict[str, Callable[..., Any]] = {
    name: getattr(nn.init, name) for name in dir(nn.init) if name.endswith("_") and not name.startswith("_")
} | {"normc": normc_, "fan_in_uniform": fan_in_uniform_}


def initialise(
    tensor: torch.Tensor,
    initializer: str | Callable[..., Any],
    config: Mapping[str, Any] | None = None,
    *,
    key: str = "initializer",
) -> None:
    """Fill a tensor in place.

    Args:
        tensor: weights [out, in], kernels [out, in, height, width] or biases [out].
        initializer: a function of `torch.nn.init`, with or without its last underscore; "normc" (rows of one norm,
            `normc_`); "fan_in_uniform" (`fan_in_uniform_`); or a function that is called with the tensor and fills it.
        config: keyword arguments for it.
        key: the configuration key that asked for it, for messages.

    Raises:
        ConfigError: there is no such function, or it takes neither these keyword arguments nor such a tensor.
    """
    fill = named(initializer, key, _KNOWN)
    try:
        with torch.no_grad():
            fill(tensor, **(config or {}))
    except ERRORS as error:
        raise misfit(error, initializer, config, tuple(tensor.shape), key) from error


def initializer_of(model_config: Mapping[str, Any], key: str) -> Initializer | None:
    """Return the function that a key names; see :func:`anyspace.models.initializers.initializer_of`."""
    return initializers.initializer_of(model_config, key, _KNOWN, initialise)
