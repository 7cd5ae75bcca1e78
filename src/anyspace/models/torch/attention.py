"""Models that remember by attention: GTrXL by itself, and on top of any model without memory.

Letters: N rows, D width of the GTrXL.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import gymnasium as gym
import torch

from anyspace.models.architecture import width_of_array
from anyspace.models.config import completed
from anyspace.models.gtrxl import GTrXLSizes
from anyspace.models.input_dict import of_network
from anyspace.models.modelv2 import State
from anyspace.models.torch.gtrxl import GTrXL
from anyspace.models.torch.memory import MemoryWrapper, Remembering
from anyspace.models.torch.old_names import Gone, OldName
from anyspace.models.torch.old_views import layer_of


class _Embedding(OldName):
    """The first layer of a GTrXL under its old name."""

    def __get__(self, model: Any, owner: type | None = None) -> Any:
        return self if model is None else layer_of(model, model.gtrxl.embedding)

    def __set__(self, model: Any, value: Any) -> None:
        model.gtrxl.embedding = value


class Attending(Remembering):
    """A GTrXL with linear logits and a linear value on its features.

    Attributes:
        gtrxl: the network.
    """

    gtrxl: GTrXL

    def add_gtrxl(self, width_in: int, sizes: GTrXLSizes) -> None:
        """Put the network on ``width_in`` features, and the heads on it."""
        self.gtrxl = GTrXL(width_in, sizes)
        self.add_heads(sizes.attention_dim)
        self.view_requirements |= sizes.view_requirements()

    def get_initial_state(self) -> State:
        """Return the state before an episode; see :meth:`GTrXL.initial_state`."""
        return self.gtrxl.initial_state()

    def attend(
        self, features: torch.Tensor, input_dict: dict[str, Any], state: State, seq_lens: torch.Tensor | None
    ) -> tuple[torch.Tensor, State]:
        """Return ``(features [N, D], states of every row)``; see :meth:`GTrXL.forward`."""
        training = bool(input_dict.get("is_training", False))
        remembered, state_out = self.gtrxl(
            features, state, seq_lens, training=training, time_major=self.is_time_major()
        )
        return remembered, state_out


class GTrXLNet(Attending):
    """GTrXL on flat observations, as a ``custom_model`` (its keyword arguments go into ``custom_model_config``).

    With ``num_outputs=None`` there are no logits: the output is the features, ``attention_dim`` wide. The sizes are
    attributes of the same names.

    Args:
        obs_space: as for every model; one array.
        action_space: as for every model.
        num_outputs: as for every model.
        model_config: as for every model; its `attention_` keys have no effect here.
        name: as for every model.
        sizes: the fields of :class:`GTrXLSizes`, such as ``attention_dim=32``.

    Raises:
        ConfigError: a size is out of range.
        UnsupportedSpaceError: observations are not one array (leave preprocessing on).
    """

    linear_layer = _Embedding("gtrxl")
    values_out = OldName("value_head", layer_of)
    layers = Gone("Its layers are `self.gtrxl.embedding` and `self.gtrxl.blocks`.")
    attention_layers = Gone("Its layers are `self.gtrxl.blocks`.")

    def __init__(
        self,
        obs_space: gym.Space[Any],
        action_space: gym.Space[Any],
        num_outputs: int | None,
        model_config: dict[str, Any],
        name: str = "default_model",
        **sizes: Any,
    ):
        super().__init__(obs_space, action_space, num_outputs, completed(model_config), name)
        self.obs_dim, self.max_seq_len = width_of_array(self, obs_space), self.model_config["max_seq_len"]
        self.add_gtrxl(self.obs_dim, GTrXLSizes(**sizes))
        for size, value in dataclasses.asdict(self.gtrxl.sizes).items():
            setattr(self, size, value)

    def forward(
        self, input_dict: dict[str, Any], state: State, seq_lens: torch.Tensor | None
    ) -> tuple[torch.Tensor, State]:
        """Return ``(logits [N, num_outputs], states of every row)``; see :meth:`GTrXL.forward`."""
        flat: torch.Tensor = of_network(input_dict, "obs_flat")
        features, state_out = self.attend(flat.float().reshape(len(flat), -1), input_dict, state, seq_lens)
        return self.heads(features), state_out


class AttentionWrapper(MemoryWrapper, Attending):
    """GTrXL on the features of another model and, if asked for, on the last actions and rewards (`use_attention`).

    Raises:
        ConfigError: a size is out of range.
        ModelError: the model beneath has a state of its own, or does not say how wide its features are.
    """

    previous_keys = ("attention_use_n_prev_actions", "attention_use_n_prev_rewards")

    def _add_memory(self) -> None:
        self.add_gtrxl(self.width_in, GTrXLSizes.of(self.model_config))
        self.attention_dim = self.gtrxl.sizes.attention_dim

    def remember(
        self, features: torch.Tensor, input_dict: dict[str, Any], state: State, seq_lens: torch.Tensor | None
    ) -> tuple[torch.Tensor, State]:
        """Return ``(features [N, D], states of every row)``; see :meth:`GTrXL.forward`."""
        # A model beneath may compute in float64.
        return self.attend(features.to(next(self.gtrxl.parameters()).dtype), input_dict, state, seq_lens)
