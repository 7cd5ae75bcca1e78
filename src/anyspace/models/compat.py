"""The keyword rules of RLlib's ``get_model_v2``: who takes which argument, and what happens to those nobody takes.

The catalogue asks this file whenever it constructs a model. A default model without an interface passes through
:func:`construct` alone, which then is a plain call.
"""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import gymnasium as gym

from anyspace.errors import ModelError
from anyspace.models.modelv2 import METHODS, ModelV2

Arguments = tuple[gym.Space[Any], gym.Space[Any], int | None, dict[str, Any], str]
"""What the constructor of every model takes: spaces, width of the output, configuration, name."""


class Keywords(NamedTuple):
    """The keyword arguments of ``get_model_v2``, by who takes them.

    With ``get_model_v2(..., model_interface=Dueling, hiddens=[8], width=3)`` and a ``Dueling(..., hiddens)``,
    ``interface`` is ``{"hiddens": [8]}`` and ``model`` is ``{"width": 3}``.
    """

    model: dict[str, Any]
    """For the constructor of the custom model, or of ``default_model``."""
    interface: dict[str, Any]
    """For the constructor of ``model_interface``."""
    optional: Collection[str]
    """Those of ``model`` that are dropped, with a warning, where the constructor does not take them."""


def divided(
    keywords: dict[str, Any],
    *,
    interface: type | None,
    model: str | type | None,
    custom_model_config: Mapping[str, Any],
) -> Keywords:
    """Divide keyword arguments between interface and model.

    Args:
        keywords: what ``get_model_v2`` got.
        interface: its ``model_interface``.
        model: the custom model, or ``default_model``; None: the default model of the space, which takes none.
        custom_model_config: the custom model's own, which take precedence.

    Raises:
        ModelError: the interface is no model class.
        TypeError: nothing takes one of the keyword arguments.
    """
    named: set[str] = set()
    if interface is not None:
        if not issubclass(interface, ModelV2):
            raise ModelError(f"model_interface must be a ModelV2 sub-class, but {interface!r} came.")
        named = keywords.keys() & inspect.signature(interface).parameters
    others = {key: keywords[key] for key in keywords.keys() - named} | dict(custom_model_config)
    if others and model is None:
        raise TypeError(
            f"get_model_v2() got keyword arguments {', '.join(map(repr, others))}, which only a custom model,"
            " `default_model` or a `model_interface` that names them takes. Correct the names, or leave them out."
        )
    return Keywords(others, {key: keywords[key] for key in named}, custom_model_config.keys())


def construct(
    model_class: type[ModelV2], arguments: Arguments, keywords: dict[str, Any], optional: Collection[str] = ()
) -> ModelV2:
    """Build a model, without those of the optional keywords that its constructor (or one it calls) rejects."""
    try:
        model = model_class(*arguments, **keywords)
    except TypeError as error:
        taken = _without_rejected(model_class, error, keywords, optional)
        if taken is None:
            _require_parameters(model_class, arguments, keywords, error)
            raise
        return construct(model_class, arguments, taken, optional)
    require_methods(model)
    return model


def require_methods(model: ModelV2) -> None:
    """Require that what is called of every model is a method, and no attribute of the same name took its place.

    Raises:
        ModelError: one did.
    """
    for name in sorted(METHODS):
        found = getattr(model, name)
        if not callable(found):
            raise ModelError(
                f"{type(model).__name__}.{name} is {found!r:.80}, but it is a method that every model has. Keep this"
                " under another name."
            )


def _without_rejected(
    model_class: type, error: TypeError, keywords: dict[str, Any], optional: Collection[str]
) -> dict[str, Any] | None:
    """Return the keywords without an optional one that a constructor rejected, which is said; None: that is not it."""
    rejected = re.search(r"unexpected keyword argument '(\w+)'", str(error))
    if rejected is None or rejected[1] not in keywords or rejected[1] not in optional:
        return None
    warnings.warn(
        f"{model_class.__name__} does not take {rejected[1]!r} of the custom_model_config; it is left to"
        " model_config['custom_model_config'].",
        stacklevel=3,
    )
    return {key: keywords[key] for key in keywords.keys() - {rejected[1]}}


def _require_parameters(
    model_class: type[ModelV2], arguments: Arguments, keywords: Mapping[str, Any], error: TypeError
) -> None:
    """Require that a constructor takes what every model is given, and asks for no more than is there.

    Raises:
        ModelError: it takes less, or asks for more.
    """
    signature = inspect.signature(model_class)
    try:
        signature.bind_partial(*arguments)
    except TypeError:
        raise ModelError(
            f"{model_class.__name__} cannot be built, for its constructor is {model_class.__name__}{signature}. A model"
            " is given obs_space, action_space, num_outputs, model_config, name, and custom_model_config as keywords."
        ) from error
    given = {**signature.bind_partial(*arguments).arguments, **keywords}
    for name, parameter in signature.parameters.items():
        is_one = parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        if is_one and parameter.default is parameter.empty and name not in given:
            raise ModelError(
                f"{model_class.__name__} cannot be built, for its constructor asks for {name!r}: give it in"
                f' custom_model_config, as {{"custom_model_config": {{{name!r}: ...}}}}, or let it have a default.'
            ) from error


def construct_with_interface(
    model_class: type[ModelV2],
    interface: type,
    arguments: Arguments,
    for_interface: dict[str, Any],
    keywords: dict[str, Any],
    optional: Collection[str] = (),
) -> ModelV2:
    """Build a model that has the methods of an interface as well.

    Args:
        model_class: the model's class.
        interface: a model class; where ``model_class`` does not derive from it, a sub-class of both is made.
        arguments: what every model takes.
        for_interface: keyword arguments for the constructor of the interface.
        keywords: keyword arguments for the constructor of ``model_class``.
        optional: as for :func:`construct`.

    Raises:
        ModelError: the model cannot be built without an output layer, or does not say how wide its features are.
    """
    own: dict[str, Any] = {}
    given = model_class
    if not issubclass(model_class, interface):
        model_class, own, keywords = _mixed(model_class, interface, keywords), keywords, {}
    hint = (
        "A model under an interface is built with num_outputs=None, without an output layer, and must set"
        " `self.num_outputs` to the width of its features."
    )
    try:
        model = construct(model_class, arguments, for_interface | keywords, optional)
    except TypeError as error:
        taken = _without_rejected(given, error, own, optional)
        if taken is not None:
            return construct_with_interface(given, interface, arguments, for_interface, taken, optional)
        if "unexpected keyword argument" in str(error):
            raise
        # Layers of width None are refused by the framework, in words that name neither.
        raise ModelError(f"{model_class.__name__} cannot be built: {error}. {hint}") from error
    if model.num_outputs is None:
        raise ModelError(f"{model_class.__name__}: num_outputs is None after it was built. {hint}")
    return model


def _mixed(model_class: type[ModelV2], interface: type, keywords: dict[str, Any]) -> type[ModelV2]:
    """Return a sub-class of a model and an interface; keywords are for the model's constructor alone."""

    def construct(self: Any, *arguments: Any) -> None:
        model_class.__init__(self, *arguments, **keywords)

    home = {"__module__": model_class.__module__}  # whose model it is, the library's or the user's
    base = type(model_class.__name__, (model_class,), {**home, "__init__": construct}) if keywords else model_class
    name, marks = f"{base.__name__}_as_{interface.__name__}", {**home, _MADE_OF: (interface, model_class)}
    return type(name, (interface, base), marks)


_MADE_OF = "_interface_and_model"


def interface_and_model(kind: type) -> tuple[type, type] | None:
    """Return the interface and the model class that a class was made of by :func:`construct_with_interface`.

    None: it was not; classes that derive from one that was are none of these.
    """
    return vars(kind).get(_MADE_OF)


def made_of(module: str, kind: type) -> bool:
    """Return whether a class is one of a module, or was made of an interface and a model that are."""
    return all(one.__module__ == module for one in interface_and_model(kind) or (kind,))
