"""Models on top of other models: what is checked of these, and what is handed on to them, in any framework."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from anyspace.errors import ConfigError, ModelError
from anyspace.maths.xp import Array
from anyspace.models.modelv2 import ModelV2, is_own
from anyspace.models.networks import network
from anyspace.models.view_requirement import ViewRequirement


def feature_model(build: Callable[[], ModelV2], *, switch: str, custom: str | None) -> ModelV2:
    """Build the model beneath a memory and check that it gives features and has no memory itself.

    Args:
        build: builds it, for ``num_outputs=None``.
        switch: the key that asks for the memory: ``use_lstm``, ``use_gru``, ``use_attention``.
        custom: what the configuration calls the model; None: it is a default model.

    Raises:
        ModelError: a custom model cannot be built for features, does not say how wide they are, or has a state.
    """
    hint = (
        f"Under `{switch}` a custom model is built with num_outputs=None, without an output layer, and must set"
        " `self.num_outputs` to the width of its features."
    )
    try:
        base = build()
    except TypeError as error:
        if custom is None:
            raise
        raise ModelError(f"custom_model {custom} cannot be built: {error}. {hint}") from error
    kind = type(base).__name__
    if not base.num_outputs:
        raise ModelError(f"{kind}.num_outputs is {base.num_outputs!r} after it was built. {hint}")
    if len(base.get_initial_state()):
        raise ModelError(
            f"{kind} has a state of its own (get_initial_state() is not empty), but `{switch}` puts a memory on a"
            f" model without one. Switch `{switch}` off, or return [] from it."
        )
    return base


def features_of(base: ModelV2, input_dict: dict[str, Any], seq_lens: Array | None) -> Array:
    """Return the features [N, base.num_outputs] of a model without memory.

    Raises:
        ModelError: they are not as wide as it says.
    """
    features = base(input_dict, [], seq_lens)[0]
    shape = features.shape
    if len(shape) != 2 or shape[1] != base.num_outputs:
        raise ModelError(
            f"{type(base).__name__}.forward() gave features of shape {tuple(shape)}, but its num_outputs says"
            f" [N, {base.num_outputs}]. Set `self.num_outputs` to the width of what forward() returns."
        )
    return features


def joined_views(base: ModelV2, own: dict[str, ViewRequirement]) -> dict[str, ViewRequirement]:
    """Return the views of a model and of the memory on it.

    Raises:
        ModelError: they want to see different things under one name.
    """
    for name, view in own.items():
        if base.view_requirements.get(name, view) != view:
            raise ModelError(
                f"{type(base).__name__}.view_requirements[{name!r}] is {base.view_requirements[name]}, but the memory"
                f" on it needs {view} under that name. Give the model's view another name."
            )
    return base.view_requirements | own


def require_base(base: ModelV2 | None, kind: type[ModelV2], keys: str) -> ModelV2:
    """Return the model that lies beneath another one.

    Args:
        base: that model, as the catalogue handed it over.
        kind: the class on top of it.
        keys: the configuration keys that ask for that class.

    Raises:
        ConfigError: there is none, because the class was given as `custom_model`.
        ModelError: it is of another framework.
    """
    if base is None:
        raise ConfigError(
            f"{kind.__name__} is put on top of another model by {keys}; set that key, and leave `custom_model`"
            " to the model beneath."
        )
    own = network("base class", kind.framework)
    if not isinstance(base, own):
        raise ModelError(
            f"{type(base).__name__} lies beneath {kind.__name__}, so both have to be of one framework; derive it from"
            f" {own.__name__}."
        )
    return base


class OnModel(ModelV2):
    """A model on top of another one: what it asks that one for. It comes before the framework's class.

    Attributes:
        base: the model beneath.
    """

    base: ModelV2

    def columns_beneath(self, columns: dict[str, Any]) -> dict[str, Any]:
        """Return the columns of a model, or of its loss, as the model beneath sees them; by default all."""
        return columns

    def group_of(self, name: str) -> str | None:
        """Return the group that the model beneath says, for its own parameters."""
        beneath = name.removeprefix("base.")
        return None if beneath == name else self.base.group_of(beneath)

    def takes_noise(self, name: str) -> bool:
        """Return what the model beneath says of its own parameters; of others what every model says."""
        beneath = name.removeprefix("base.")
        return super().takes_noise(name) if beneath == name else self.base.takes_noise(beneath)

    def custom_loss(self, policy_loss: list[Array], loss_inputs: dict[str, Any]) -> list[Array]:
        """Return the losses after the model beneath has added its own."""
        return self.base.custom_loss(policy_loss, self.columns_beneath(loss_inputs))

    def has_custom_loss(self) -> bool:
        """Return whether the model beneath adds losses, or a subclass does."""
        return is_own(self.custom_loss, OnModel.custom_loss) or self.base.has_custom_loss()

    def metrics(self) -> dict[str, float]:
        """Return the metrics of the model beneath."""
        return self.base.metrics()

    def update_ops(self) -> list[Callable[[], None]]:
        """Return what the model beneath wants to be called after every gradient step."""
        return self.base.update_ops()
