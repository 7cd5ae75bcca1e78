"""Actions told by their embeddings: a head on top of any model, with memory or without (spec chapter 9).

Letters: N rows, A actions, E width of an embedding, F features of a flat observation.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import gymnasium as gym
import torch
from gymnasium import spaces
from torch import nn

from anyspace.errors import ConfigError, ModelError, UnsupportedSpaceError, nearest
from anyspace.models.config import MODEL_DEFAULTS
from anyspace.models.modelv2 import InputDict, State
from anyspace.models.torch.base import TorchModelV2
from anyspace.models.torch.initializers import normc_
from anyspace.models.views import ViewRequirement
from anyspace.spaces import get_preprocessor
from anyspace.spaces.restore import join, restore_original_dimensions
from anyspace.tree import Tree

_MASK = "action_mask"
"""The mask among a model's inputs, and what environments call it in their observations."""


class ParametricActionsModel(TorchModelV2):
    """Logit i is the dot product of the i-th action's embedding and of an intent [E], which the model beneath puts out.

    With `parametric_actions="given"` the embeddings come in the observation, a Dict, under `action_embedding_key`: a
    Box [A, E]. With "learned" they are a table [A + 1, E], `action_embedding_dim` wide: action i has id i + 1, and id 0
    stands for whatever the mask forbids. Masking itself is left to the action distribution, which is handed the mask.

    The model beneath is the one that the configuration describes otherwise: the default or a custom one, and its
    memory. It sees neither embeddings nor mask: its observation space is a Dict without `action_embedding_key` (where
    they are given) and without ``action_mask``, and so are its inputs and what its views and its `custom_loss` are
    shown. A mask of another name (`action_mask_key`) is to it one more part of the observation.

    State, value, `custom_loss` and metrics are those of the model beneath.

    Attributes:
        base: the model beneath, ``num_outputs`` E.
        embeddings: the table of learnt embeddings; None where they are given.

    Raises:
        UnsupportedSpaceError: the actions are not Discrete, the embeddings are not there, or nothing else is.
        ModelError: ``num_outputs`` is not A, or the model beneath replaces the observation by a view.
        ConfigError: `parametric_actions` is None.
    """

    def __init__(
        self,
        obs_space: gym.Space[Any],
        action_space: gym.Space[Any],
        num_outputs: int | None,
        model_config: dict[str, Any],
        name: str = "default_model",
    ):
        from anyspace.models.catalog import ModelCatalog

        config = {**MODEL_DEFAULTS, **model_config}
        super().__init__(obs_space, action_space, num_outputs, config, name)
        count = _number_of_actions(action_space, num_outputs)
        kind, self._key = config["parametric_actions"], config["action_embedding_key"]
        original = getattr(obs_space, "original_space", obs_space)
        self.embeddings: nn.Embedding | None = None
        if kind == "given":
            self._width = _width_given(original, self._key, count)
        elif kind == "learned":
            self._width = config["action_embedding_dim"]
            self.embeddings = nn.Embedding(count + 1, self._width)
            normc_(self.embeddings.weight)
        else:
            raise ConfigError(
                f"{type(self).__name__} is built for `parametric_actions`, which is {kind!r}; set it to 'given' or"
                " 'learned', and leave `custom_model` to the model beneath."
            )
        self._rest = _without(original, {_MASK, self._key} if kind == "given" else {_MASK})
        seen = obs_space
        if self._rest is not None:
            seen = self._rest if original is obs_space else get_preprocessor(self._rest).observation_space
        beneath = {**config, "parametric_actions": None}
        base = ModelCatalog.get_model_v2(seen, action_space, self._width, beneath, framework="torch", name=name)
        assert isinstance(base, TorchModelV2)
        self.base = base
        self._observations = ["obs", *_views_of_observations(base)]
        self.view_requirements = {**base.view_requirements, "obs": ViewRequirement(space=obs_space)}

    def get_initial_state(self) -> State:
        """Return the state of the model beneath before an episode."""
        return self.base.get_initial_state()

    def forward(
        self, input_dict: dict[str, Any], state: State, seq_lens: torch.Tensor | None
    ) -> tuple[torch.Tensor, State]:
        """Return ``(logits [N, A], the new states of the model beneath)``.

        Raises:
            ModelError: the model beneath puts out something else than an intent [N, E].
        """
        intent, state_out = self.base(self._beneath(input_dict), state, seq_lens)
        if intent.dim() != 2 or intent.shape[1] != self._width:
            raise ModelError(
                f"{type(self.base).__name__}.forward() gave an output of shape {tuple(intent.shape)}, but under"
                f" `parametric_actions` an intent as wide as an embedding, [N, {self._width}], is expected. Make its"
                " last layer num_outputs wide."
            )
        if self.embeddings is not None:
            return _scores(self.embeddings.weight, intent, input_dict.get(_MASK)), state_out
        embeddings: torch.Tensor = restore_original_dimensions(input_dict["obs"], self.obs_space)[self._key]
        return (embeddings.float() @ intent[:, :, None]).squeeze(2), state_out

    def value_function(self) -> torch.Tensor:
        """Return the value estimates [N] that the model beneath gives of the latest forward pass."""
        value: torch.Tensor = self.base.value_function()
        return value

    def custom_loss(self, policy_loss: list[torch.Tensor], loss_inputs: dict[str, Any]) -> list[torch.Tensor]:
        """Return the losses after the model beneath has added its own."""
        return self.base.custom_loss(policy_loss, self._beneath(loss_inputs))

    def has_custom_loss(self) -> bool:
        """Return whether the model beneath adds losses, or a subclass does."""
        return type(self).custom_loss is not ParametricActionsModel.custom_loss or self.base.has_custom_loss()

    def metrics(self) -> dict[str, float]:
        """Return the metrics of the model beneath."""
        return self.base.metrics()

    def _beneath(self, columns: dict[str, Any]) -> dict[str, Any]:
        """Return the columns of a model, or of its loss, as the model beneath sees them; computed when touched."""
        if self._rest is None:
            return columns
        passed = {name: partial(columns.__getitem__, name) for name in columns}
        cut = {name: partial(self._cut, columns, name, self._rest) for name in self._observations if name in columns}
        shown = InputDict({}, {**passed, **cut})
        if "obs_flat" in shown:
            shown["obs"] = shown["obs"]  # obs_flat follows
        return shown

    def _cut(self, columns: dict[str, Any], name: str, rest: spaces.Dict) -> Tree:
        """Return a column of observations, structured or flat [..., F], with nothing but the parts of ``rest``."""
        seen = columns[name]
        parts = restore_original_dimensions(seen, self.obs_space)
        kept = {key: parts[key] for key in rest.spaces}
        return kept if parts is seen else join(kept, seen.dim() - 1)


def _scores(table: torch.Tensor, intent: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """Return logits [N, A] from a table [A + 1, E], intents [N, E] and a mask [N, A]."""
    scores = intent @ table.T  # [N, A + 1]
    # The same as looking up the ids 1..A, those that the mask forbids set to 0, without an array [N, A, E].
    return scores[:, 1:] if mask is None else torch.where(mask.bool(), scores[:, 1:], scores[:, :1])


def _number_of_actions(action_space: gym.Space[Any], num_outputs: int | None) -> int:
    if not isinstance(action_space, spaces.Discrete):
        raise UnsupportedSpaceError(
            f"action: `parametric_actions` chooses one of several actions by their embeddings, so the action space has"
            f" to be Discrete, but it is {action_space}. Enumerate the actions, or set `parametric_actions` to None."
        )
    count = int(action_space.n)
    if num_outputs != count:
        came = "features (num_outputs=None)" if num_outputs is None else f"num_outputs = {num_outputs}"
        raise ModelError(
            f"`parametric_actions` puts out one score for each of the {count} actions, but {came} came. Scores are the"
            " last layer: whatever asks for features puts layers on them that mix the actions (DQN without any:"
            " `hiddens=[]`, `dueling=False`), and an action distribution with other parameters does not fit."
        )
    return count


def _width_given(observed: gym.Space[Any], key: str, count: int) -> int:
    """Return E of the embeddings that come in the observation."""
    parts = observed.spaces if isinstance(observed, spaces.Dict) else {}
    if key not in parts:
        raise UnsupportedSpaceError(
            f"obs: `parametric_actions` is 'given', but the observation has no part {key!r} with the embeddings of the"
            f" actions; it is {observed}.{nearest(key, map(str, parts))} Let the environment give them in a Dict, or"
            " set `action_embedding_key` to their name."
        )
    embeddings = parts[key]
    if not isinstance(embeddings, spaces.Box) or len(embeddings.shape) != 2 or embeddings.shape[0] != count:
        raise UnsupportedSpaceError(
            f'obs["{key}"]: expected the embeddings of the {count} actions as a Box of shape ({count}, E), got'
            f" {embeddings}. Pad them with rows that the mask forbids."
        )
    return embeddings.shape[1]


def _without(observed: gym.Space[Any], names: set[str]) -> spaces.Dict | None:
    """Return the space of observations without the parts of these names; None if it has none of them."""
    if not isinstance(observed, spaces.Dict) or names.isdisjoint(observed.spaces):
        return None
    rest = [(key, part) for key, part in observed.spaces.items() if key not in names]
    if not rest:
        raise UnsupportedSpaceError(
            f"obs: beside the embeddings and the mask of `parametric_actions` there is nothing for a model to see in"
            f" {observed}. Give the observation one more part, if only Box(1, 1, (1,))."
        )
    return spaces.Dict(rest)


def _views_of_observations(base: TorchModelV2) -> list[str]:
    """Return the names of a model's views of observations, the present one aside."""
    views = dict(base.view_requirements)
    present = views.pop("obs", None)
    if present is not None and (present.offsets != (0,) or present.data_col not in (None, "obs")):
        raise ModelError(
            f"{type(base).__name__}.view_requirements['obs'] is {present}, but `parametric_actions` needs the present"
            " observation under that name. Give the view another name."
        )
    return [name for name, view in views.items() if (view.data_col or name) in ("obs", "new_obs")]
