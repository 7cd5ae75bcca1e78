"""Parameters of a user's model that no loss has a gradient of."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from anyspace.importing import is_ours
from anyspace.models.torch.base import TorchModelV2


class Untouched:
    """Says once, after a few gradient steps, which parameters of a user's model no loss has a gradient of.

    Nothing is said of parameters that the value depends on, for an algorithm may do without it, nor of built-in
    networks in the model, whose heads may well be left alone.

    Args:
        model: which learns.
        parameters: those that are trained, by name.
        of_value: returns the names of the parameters that the value depends on.
    """

    STEPS = 10

    def __init__(
        self, model: TorchModelV2, parameters: Mapping[str, nn.Parameter], of_value: Callable[[], frozenset[str]]
    ):
        self._model, self._of_value, self._steps = model, of_value, 0
        self._names = {name: parameter for name, parameter in parameters.items() if not _is_built_in(model, name)}
        self._hooks = [
            parameter.register_post_accumulate_grad_hook(  # type: ignore[no-untyped-call]
                functools.partial(self._touch, name)
            )
            for name, parameter in self._names.items()
        ]

    def _touch(self, name: str, _: torch.Tensor) -> None:
        self._names.pop(name, None)

    def count(self) -> None:
        """Count a gradient step."""
        if not self._hooks:
            return
        self._steps += 1
        if self._steps < self.STEPS and self._names:
            return
        for hook in self._hooks:
            hook.remove()
        self._hooks = []
        names = sorted(self._names.keys() - self._of_value()) if self._names else []
        if names:
            logging.getLogger("anyspace").warning(
                f"{type(self._model).__name__}: no loss has a gradient of {', '.join(names)}, which stay as they"
                " are. Use them in forward(), value_function() or custom_loss(), or leave them out."
            )


def _is_built_in(model: TorchModelV2, name: str) -> bool:
    """Return whether a parameter belongs to one of the library's networks, the model itself or a part of it."""
    module: Any = model
    for part in name.split("."):
        if isinstance(module, TorchModelV2) and is_ours(type(module)):
            return True
        module = getattr(module, part, None)
    return False
