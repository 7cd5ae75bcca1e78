"""Actions that have embeddings (`parametric_actions`): where these come from, and what the model beneath sees.

Letters: A actions, E width of an embedding, F features of a flat observation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import gymnasium as gym
from gymnasium import spaces

from anyspace.errors import ConfigError, ModelError, UnsupportedSpaceError, nearest
from anyspace.maths.sequences import add_time_dimension
from anyspace.maths.xp import Array, xp
from anyspace.models.input_dict import Compute, InputDict, flatten_structured
from anyspace.models.modelv2 import ModelV2
from anyspace.spaces import get_preprocessor
from anyspace.spaces.restore import join, restore_original_dimensions
from anyspace.tree import Tree

MASK = "action_mask"
"""The mask among a model's inputs, and what environments call it in their observations."""


@dataclass(frozen=True)
class EmbeddedActions:
    """How the head of parametric actions and the model beneath it share an observation.

    For ``Dict(cart=Box(-1, 1, (3,)), avail_actions=Box(-1, 1, (5, 2)), action_mask=MultiBinary(5))``, "given" and
    "avail_actions", ``count`` is 5, ``width`` is 2, ``given`` is "avail_actions", and ``rest`` is
    ``Dict(cart=Box(-1, 1, (3,)))``.
    """

    observed: gym.Space[Any]
    """The preprocessed observation space of the whole model."""
    count: int
    """A."""
    width: int
    """E, and so the width of the output of the model beneath."""
    given: str | None
    """The part of the observation that holds the embeddings [A, E]; None: they are learnt."""
    rest: spaces.Dict | None
    """What is left of the observation for the model beneath; None: all of it."""
    beneath: gym.Space[Any]
    """The preprocessed observation space of the model beneath."""

    @classmethod
    def of(
        cls, obs_space: gym.Space[Any], action_space: gym.Space[Any], model_config: Mapping[str, Any]
    ) -> EmbeddedActions:
        """Return what a model configuration says for a pair of spaces.

        Raises:
            UnsupportedSpaceError: the actions are not Discrete, the embeddings are not there, or nothing else is.
            ConfigError: `parametric_actions` is None.
        """
        if not isinstance(action_space, spaces.Discrete):
            raise UnsupportedSpaceError(
                "action: `parametric_actions` chooses one of several actions by their embeddings, so the action space"
                f" has to be Discrete, but it is {action_space}. Enumerate the actions, or set `parametric_actions` to"
                " None."
            )
        count = int(action_space.n)
        kind, key = model_config["parametric_actions"], model_config["action_embedding_key"]
        original = getattr(obs_space, "original_space", obs_space)
        if kind is None:
            raise ConfigError(
                "a head of embedded actions is built for `parametric_actions`, which is None; set it to 'given' or"
                " 'learned'."
            )
        given = key if kind == "given" else None
        width = model_config["action_embedding_dim"] if given is None else _width_given(original, given, count)
        rest = _without(original, {MASK, given})
        beneath = obs_space
        if rest is not None:
            beneath = rest if original is obs_space else get_preprocessor(rest).observation_space
        return cls(obs_space, count, width, given, rest, beneath)

    def require_outputs(self, num_outputs: int | None) -> None:
        """Raise a ModelError unless the head is asked for one output for each action."""
        if num_outputs != self.count:
            came = "features (num_outputs=None)" if num_outputs is None else f"num_outputs = {num_outputs}"
            raise ModelError(
                f"`parametric_actions` puts out one score for each of the {self.count} actions, but {came} came. Scores"
                " are the last layer: whatever asks for features puts layers on them that mix the actions (DQN without"
                " any: `hiddens=[]`, `dueling=False`), and an action distribution with other parameters does not fit."
            )

    def require_intent(self, intent: Array, base: ModelV2) -> None:
        """Raise a ModelError unless the model beneath puts out an intent [N, E]."""
        shape = tuple(intent.shape)
        if len(shape) != 2 or shape[1] != self.width:
            raise ModelError(
                f"{type(base).__name__}.forward() gave an output of shape {shape}, but under"
                f" `parametric_actions` an intent as wide as an embedding, [N, {self.width}], is expected."
                " Make its last layer num_outputs wide."
            )

    def columns_beneath(self, columns: dict[str, Any], observations: list[str]) -> dict[str, Any]:
        """Return the columns of a model, or of its loss, as the model beneath sees them; computed when touched.

        Args:
            columns: the columns of the whole model.
            observations: the names of those that hold observations, as :func:`views_of_observations` returns them.
        """
        rest = self.rest
        if rest is None:
            return columns
        passed = {name: partial(columns.__getitem__, name) for name in columns}
        seen = [name for name in observations if name in columns]
        cut: dict[str, Compute] = {name: partial(self._cut, passed[name], rest) for name in seen}
        if "obs_flat" in passed:
            cut["obs_flat"] = lambda: flatten_structured(cut["obs"]())
        scaled: dict[str, Compute] = {}
        if isinstance(columns, InputDict) and (of_network := columns.scaled()):
            scaled["obs"] = partial(self._cut, of_network["obs"], rest)
            scaled["obs_flat"] = lambda: flatten_structured(scaled["obs"]())
        return InputDict({}, {**passed, **cut}, scaled)

    def _cut(self, observed: Compute, rest: spaces.Dict) -> Tree:
        """Return a column of observations, structured or flat [..., F], with nothing but the parts of ``rest``."""
        seen = observed()
        parts = restore_original_dimensions(seen, self.observed)
        kept = {key: parts[key] for key in rest.spaces}
        return kept if parts is seen else join(kept, len(seen.shape) - 1)


def scores_of_given(embeddings: Array, intent: Array) -> Array:
    """Return logits [N, A] from embeddings [N, A, E] and intents [N, E]."""
    return (xp(embeddings).astype(embeddings, "float32") @ intent[:, :, None])[..., 0]


def scores_of_learned(table: Array, intent: Array, mask: Array | None) -> Array:
    """Return logits [N, A] from a table [A + 1, E], intents [N, E] and a mask [N, A]."""
    ns = xp(intent)
    scores = intent @ ns.swapaxes(table, 0, 1)  # [N, A + 1]
    # The same as looking up the ids 1..A, with id 0 for forbidden actions, but without an array [N, A, E].
    return scores[:, 1:] if mask is None else ns.where(ns.astype(mask, "bool"), scores[:, 1:], scores[:, :1])


def in_order(rows: Array, seq_lens: Array | None, *, time_major: bool) -> Array:
    """Return input rows [N, ...] in the order of the intents: step after step under a time-major memory."""
    if not time_major or seq_lens is None:
        return rows
    return xp(rows).reshape(add_time_dimension(rows, seq_lens, time_major=True), rows.shape)


def views_of_observations(base: ModelV2) -> list[str]:
    """Return the names of a model's columns of observations, "obs" and views of other steps.

    Raises:
        ModelError: the model replaces the present observation by a view.
    """
    views = dict(base.view_requirements)
    present = views.pop("obs", None)
    if present is not None and (present.offsets != (0,) or present.data_col not in (None, "obs")):
        raise ModelError(
            f"{type(base).__name__}.view_requirements['obs'] is {present}, but `parametric_actions` needs the present"
            " observation under that name. Give the view another name."
        )
    return ["obs", *(name for name, view in views.items() if (view.data_col or name) in ("obs", "new_obs"))]


def _width_given(observed: gym.Space[Any], key: str, count: int) -> int:
    """Return E of the embeddings that come in the observation."""
    parts = _parts(observed)
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


def _without(observed: gym.Space[Any], names: set[str | None]) -> spaces.Dict | None:
    """Return the space of observations without the parts of these names; None if it has none of them."""
    parts = _parts(observed)
    if names.isdisjoint(parts):
        return None
    rest = [(key, part) for key, part in parts.items() if key not in names]
    if not rest:
        raise UnsupportedSpaceError(
            f"obs: beside the embeddings and the mask of `parametric_actions` there is nothing for a model to see in"
            f" {observed}. Give the observation one more part, if only Box(1, 1, (1,))."
        )
    return spaces.Dict(rest)


def _parts(space: gym.Space[Any]) -> Mapping[str, gym.Space[Any]]:
    """Return the parts of a Dict; nothing else has parts with names."""
    return space.spaces if isinstance(space, spaces.Dict) else {}
