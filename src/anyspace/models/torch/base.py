"""``TorchModelV2``: the base class of every PyTorch model, built in or custom."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import torch
from torch import nn

from anyspace.errors import ModelError
from anyspace.metaclasses import BesideProtocols
from anyspace.models.input_dict import InputDict
from anyspace.models.modelv2 import METHODS, ModelV2, State
from anyspace.models.torch.layers import has_hooks
from anyspace.models.torch.old_names import assign, require_no_clash


class _EitherOrder(BesideProtocols):
    """Lets ``nn.Module`` stand before or behind the model classes among the bases, with abstract classes beside."""

    def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **options: Any) -> _EitherOrder:
        others = tuple(base for base in bases if base is not nn.Module)
        if any(issubclass(base, nn.Module) for base in others):
            bases = others
        return super().__new__(cls, name, bases, namespace, **options)


class TorchModelV2(ModelV2, nn.Module, metaclass=_EitherOrder):
    """A :class:`ModelV2` that is an ``nn.Module``.

    ``class MyModel(TorchModelV2, nn.Module)`` with both initialisers called works as well, the bases and the
    initialisers in either order: this one registers no parameter, buffer or submodule, so a later
    ``nn.Module.__init__`` loses nothing.

    Attributes:
        tower_stats: where a model of a user may keep numbers of a loss; nothing reads it.
    """

    framework = "torch"

    def __init__(
        self,
        obs_space: gym.Space[Any],
        action_space: gym.Space[Any],
        num_outputs: int | None,
        model_config: dict[str, Any],
        name: str = "default_model",
    ):
        if "_parameters" not in self.__dict__:
            nn.Module.__init__(self)
        ModelV2.__init__(self, obs_space, action_space, num_outputs, model_config, name)
        require_no_clash(self)
        self.tower_stats: dict[str, Any] = {}

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, nn.Module) and name in _METHODS:  # PyTorch would register it, and nobody could reach it
            raise ModelError(
                f"{type(self).__name__}.{name}: this is a method that every model has, and a module cannot be found"
                " under its name. Keep the module under another name."
            )
        # PyTorch registers modules past the descriptors of a class.
        if not assign(self, name, value):
            super().__setattr__(name, value)

    def forward(
        self, input_dict: dict[str, Any], state: State, seq_lens: torch.Tensor | None
    ) -> tuple[torch.Tensor, State]:
        """Return ``(output [N, num_outputs], new states)``; see :meth:`ModelV2.forward`."""
        output, state_out = ModelV2.forward(self, input_dict, state, seq_lens)
        return output, state_out

    def _run(self, inputs: InputDict, state: State, seq_lens: torch.Tensor | None) -> tuple[torch.Tensor, State]:
        # The call machinery of modules costs small models as much as their arithmetic; it is for their hooks.
        if not has_hooks(self):
            return self.forward(inputs, state, seq_lens)
        result: tuple[torch.Tensor, State] = nn.Module.__call__(self, inputs, state, seq_lens)
        return result

    def _keep(self, name: str, value: Any) -> None:
        """Set an attribute; ``nn.Module`` would search its registries for the name on every step of a rollout."""
        self.__dict__[name] = value

    def __getstate__(self) -> dict[str, Any]:
        """Return what copies have: all attributes, those that passes left without the graph behind them."""
        return {name: _without_graph(value) for name, value in self.__dict__.items()}

    def takes_noise(self, name: str) -> bool:
        """Return whether noise on parameters changes the parameter ``name``: those of layer normalisations stay."""
        return not isinstance(self.get_submodule(name.rpartition(".")[0]), nn.LayerNorm)

    def variables(self, as_dict: bool = False) -> list[torch.Tensor] | dict[str, torch.Tensor]:
        """Return parameters and buffers, as a list or by name."""
        named = self.state_dict(keep_vars=True)
        return dict(named) if as_dict else list(named.values())

    def trainable_variables(self, as_dict: bool = False) -> list[torch.Tensor] | dict[str, torch.Tensor]:
        """Return the parameters that take gradients, as a list or by name."""
        named = {name: value for name, value in self.named_parameters() if value.requires_grad}
        return dict(named) if as_dict else list(named.values())


def _without_graph(value: Any) -> Any:
    """Return a tensor, or plain lists, tuples and dicts of tensors, without the graph that they were computed in."""
    if isinstance(value, torch.Tensor):
        return value if value.is_leaf else value.detach()
    if type(value) is dict:
        return {name: _without_graph(part) for name, part in value.items()}
    return type(value)(map(_without_graph, value)) if type(value) in (list, tuple) else value


_METHODS = METHODS | {"variables", "trainable_variables"}
