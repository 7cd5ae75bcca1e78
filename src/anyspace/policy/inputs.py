"""Encoded observations and views become the columns that a model may read."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import gymnasium as gym

from anyspace.maths.gather import Gathered, Window
from anyspace.maths.xp import Array, xp
from anyspace.models.input_dict import InputDict, flatten_structured
from anyspace.models.modelv2 import ModelV2
from anyspace.models.runtime import Runtime
from anyspace.policy.history import ModelViews
from anyspace.policy.masking import Masking
from anyspace.spaces import LeafSpec, ObservationFilter, get_preprocessor
from anyspace.spaces.preprocessors import Preprocessor
from anyspace.spaces.repeated_values import map_arrays
from anyspace.tree import Tree

Leaves = Sequence[Array | Gathered]
"""An encoded observation: one array [N, ...] for each leaf of the space (``spaces.encode``)."""


@dataclass(frozen=True)
class Inputs:
    """Makes a model's input dict; its columns are computed when touched.

    Observations that a model sees as they are stored, or by a view of the name ``obs``, are computed at once.
    """

    preprocessor: Preprocessor
    """Of what the model sees of an observation."""
    filter: ObservationFilter
    masking: Masking
    views: ModelViews
    runtime: Runtime
    obs_space: gym.Space[Tree]
    """Of what the model sees."""
    preprocesses: bool
    """Whether it sees features; otherwise observations as they are stored."""
    copies: bool
    """Whether it gets observations of its own, which it may change in place: for models of users."""
    scaled: Preprocessor | None = None
    """What scales pictures for the built-in networks in a model that sees them as they are; None: nothing does."""

    def of(self, leaves: Leaves, mask: Array | None, views: Mapping[str, Window], training: bool) -> InputDict:
        """Return the input dict of encoded observations [N, ...] and their mask; see `Pipeline.model_inputs`."""
        own = stacked(self.masking.of_model(leaves))
        if self._is_identity and not views:
            (flat,) = own
            masks = {} if mask is None else {"action_mask": mask}
            columns = {"obs_flat": flat, "is_training": training, **masks}
            return InputDict(columns, {"obs": lambda: self.preprocessor.restore([flat])})
        if self.copies:
            own = [xp(array).copy(array) for array in own]
            mask = mask if mask is None else xp(mask).copy(mask)
        masks = {} if mask is None else {"action_mask": mask}
        shown = views.get("obs")
        lazy: dict[str, Callable[[], Tree]] = {
            **self._observed(own, shown),
            **{name: partial(self._seen, name, window) for name, window in views.items() if name != "obs"},
        }
        scaled = None if self.scaled is None or shown is not None else self._features_of(self.scaled, own)
        return InputDict({"is_training": training, **masks}, lazy, scaled)

    def _observed(self, own: Sequence[Array], shown: Window | None) -> dict[str, Callable[[], Tree]]:
        """Return what computes ``obs`` and ``obs_flat``; ``shown`` is what a view of the name ``obs`` looks at."""
        if shown is not None:
            obs = self._seen("obs", shown)
        elif self.preprocesses:
            return self._features_of(self.preprocessor, own)
        else:
            obs = self.preprocessor.restore(self._filtered(own, own))
        return {"obs": lambda: obs, "obs_flat": lambda: flatten_structured(obs) if self.preprocesses else obs}

    def _features_of(self, preprocessor: Preprocessor, leaves: Sequence[Array]) -> dict[str, Callable[[], Tree]]:
        """Return what computes the features of the present observation, in its structure and flat."""
        return {
            "obs": lambda: preprocessor.restore(self._features(leaves, preprocessor)),
            "obs_flat": lambda: preprocessor.flatten_features(self._features(leaves, preprocessor)),
        }

    @cached_property
    def _is_identity(self) -> bool:
        """Whether what is stored is what a model is shown: nothing is expanded, joined, filtered or copied."""
        is_changed = self.filter.active or self.copies
        return self.preprocesses and self.preprocessor.is_identity and not is_changed

    def _seen(self, name: str, window: Window) -> Tree:
        """Return what a view shows, [N, ...], or [N, k, ...] where it looks at k steps."""
        source = str(self.views.rows[name].data_col)
        if source != "obs":
            fill = self.views.fill(source)
            value = fill if isinstance(fill, int) else self.runtime.asarray(fill)
            return self.views.nested(source, [window.spread(leaf, value) for leaf in window.leaves()])
        leaves = self.masking.of_model(self.masking.observation(window.leaves()))
        if not self.preprocesses:
            return map_arrays(window.spread, self.preprocessor.restore(self._filtered(leaves, leaves)))
        flat = self.preprocessor.flatten_features(self._features(leaves))
        return window.spread(xp(flat).reshape(flat, (flat.shape[0], *(self.obs_space.shape or ()))))

    def _features(self, leaves: Sequence[Array], preprocessor: Preprocessor | None = None) -> Sequence[Array]:
        return self._filtered((preprocessor or self.preprocessor).expand(leaves), leaves)

    def _filtered(self, features: Sequence[Array], leaves: Sequence[Array]) -> Sequence[Array]:
        if not self.filter.active:
            return features
        return self.filter.apply(features, self.preprocessor.encode.presence(leaves))


def stacked(leaves: Leaves) -> list[Array]:
    """Return leaves as arrays; frames that are stored once become stacks."""
    return [leaf.put_together() if isinstance(leaf, Gathered) else leaf for leaf in leaves]


def scaled_pictures(
    specs: Sequence[LeafSpec], observation_space: gym.Space[Tree], model: ModelV2, custom: object
) -> Preprocessor | None:
    """Return what scales pictures for the built-in networks in a custom model, which itself sees them as they are.

    Args:
        specs: the leaves as the custom model sees them.
        observation_space: the environment's.
        model: the model, or what holds custom networks.
        custom: the class or name of the custom model, for what the log says; None: ``model`` was not configured by one.

    Returns:
        None where there are no pictures.
    """
    scaled = get_preprocessor(observation_space)
    pictures = [spec.place() for spec, other in zip(specs, scaled.specs, strict=True) if spec.scale != other.scale]
    if not pictures:
        return None
    holds_networks = custom is None and model.networks_of is not None
    if holds_networks and not model.get_initial_state():
        said = (
            f"the custom networks of {model.networks_of} get pictures as numbers from 0 to 1, as built-in ones do,"
            " unless they have a memory. Set scale_images=False to give all of its networks numbers from 0 to 255."
        )
    else:
        own = custom or type(model)
        name = f"a custom network of {model.networks_of}" if holds_networks else getattr(own, "__name__", own)
        said = (
            f"{name} gets pictures as numbers from 0 to 255; built-in networks in it divide them by 255. Set"
            " scale_images=True to give it numbers from 0 to 1, or False to divide nothing."
        )
    logging.getLogger("anyspace").warning(f"{', '.join(pictures)}: {said}")
    return scaled
