"""Actions with embeddings, in any framework: a head on top of any model, with memory or without.

Letters: N rows, A actions, E width of an embedding.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import gymnasium as gym

from anyspace.maths.xp import Array
from anyspace.models.config import completed
from anyspace.models.embedded_actions import (
    MASK,
    EmbeddedActions,
    in_order,
    scores_of_given,
    scores_of_learned,
    views_of_observations,
)
from anyspace.models.modelv2 import ModelV2, State
from anyspace.models.view_requirement import ViewRequirement
from anyspace.models.wrapping import OnModel, require_base
from anyspace.spaces.restore import restore_original_dimensions


class ParametricActions(OnModel):
    """Logit i is the dot product of action i's embedding and of an intent [E], the output of the model beneath.

    With `parametric_actions="given"` the embeddings come in the observation, a Dict, under `action_embedding_key`: a
    Box [A, E]. With "learned" they are a table [A + 1, E], `action_embedding_dim` wide: action i has id i + 1, and id 0
    stands for all actions that the mask forbids. The action distribution gets the mask and does the masking itself.

    The model beneath is the one that the configuration describes otherwise: the default or a custom one, and its
    memory. It sees neither embeddings nor mask: its observation space is a Dict without `action_embedding_key` (where
    they are given) and without ``action_mask``. Its inputs, its views and the columns of its `custom_loss` are cut
    likewise. A mask of another name (`action_mask_key`) is one more part of the observation to a custom model.

    State, value, `custom_loss` and metrics come from the model beneath.

    Attributes:
        base: the model beneath, ``num_outputs`` E.

    Args:
        obs_space: as for every model.
        action_space: as for every model.
        num_outputs: A.
        model_config: as for every model.
        name: as for every model.
        base: the model beneath, which the catalogue has built for :attr:`EmbeddedActions.beneath`.

    Raises:
        UnsupportedSpaceError: the actions are not Discrete, the embeddings are not there, or nothing else is.
        ModelError: ``num_outputs`` is not A, or the model beneath replaces the observation by a view.
        ConfigError: `parametric_actions` is None, or there is no model beneath.
    """

    def __init__(
        self,
        obs_space: gym.Space[Any],
        action_space: gym.Space[Any],
        num_outputs: int | None,
        model_config: dict[str, Any],
        name: str = "default_model",
        *,
        base: ModelV2 | None = None,
    ):
        config = completed(model_config)
        super().__init__(obs_space, action_space, num_outputs, config, name)
        self.base = require_base(base, type(self), "`parametric_actions`")
        self._embedded = EmbeddedActions.of(obs_space, action_space, config)
        self._embedded.require_outputs(num_outputs)
        self._add_table(None if self._embedded.given else (self._embedded.count + 1, self._embedded.width))
        self.time_major = self.base.is_time_major()
        self._observations = views_of_observations(self.base)
        self.view_requirements = {**self.base.view_requirements, "obs": ViewRequirement(space=obs_space)}

    @abstractmethod
    def _add_table(self, shape: tuple[int, int] | None) -> None:
        """Add the table of learnt embeddings, each of norm 1; None: they are given, and there is none."""

    @abstractmethod
    def _table(self) -> Array | None:
        """Return the table of learnt embeddings [A + 1, E]; None: they are given."""

    def get_initial_state(self) -> State:
        """Return the state of the model beneath before an episode."""
        return self.base.get_initial_state()

    def forward(self, input_dict: dict[str, Any], state: State, seq_lens: Array | None) -> tuple[Array, State]:
        """Return ``(logits [N, A], the new states of the model beneath)``.

        Raises:
            ModelError: the model beneath puts out something else than an intent [N, E].
        """
        intent, state_out = self.base(self.columns_beneath(input_dict), state, seq_lens)
        self._embedded.require_intent(intent, self.base)
        return self.scores(input_dict, intent, seq_lens, self._table()), state_out

    def scores(self, input_dict: dict[str, Any], intent: Array, seq_lens: Array | None, table: Array | None) -> Array:
        """Return the logits [N, A] of intents [N, E].

        Args:
            input_dict: as for ``forward``.
            intent: what the model beneath puts out.
            seq_lens: as for ``forward``.
            table: of learnt embeddings [A + 1, E]; None: they are given.
        """
        time_major = self.is_time_major()
        if self._embedded.given is None:
            assert table is not None
            mask = input_dict.get(MASK)
            mask = None if mask is None else in_order(mask, seq_lens, time_major=time_major)
            return scores_of_learned(table, intent, mask)
        embeddings = restore_original_dimensions(input_dict["obs"], self.obs_space)[self._embedded.given]
        return scores_of_given(in_order(embeddings, seq_lens, time_major=time_major), intent)

    def value_function(self) -> Array:
        """Return the value estimates [N] that the model beneath gives of the latest forward pass."""
        return self.base.value_function()

    def columns_beneath(self, columns: dict[str, Any]) -> dict[str, Any]:
        """Return the columns of a model, or of its loss, without embeddings and mask."""
        return self._embedded.columns_beneath(columns, self._observations)
