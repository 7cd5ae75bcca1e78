"""Which action distribution serves an action space; the registry of custom ones.

| leaf | distribution |
|---|---|
| Discrete | Categorical |
| MultiDiscrete, integer Box | MultiCategorical, one choice per component |
| MultiBinary | Bernoulli |
| float Box | DiagGaussian |
| Simplex | Dirichlet |

A Tuple or Dict has one of these per leaf (`MultiActionDistribution`). The configuration key ``custom_action_dist``
changes that:

* ``"Beta"`` or ``"SquashedGaussian"`` (or the class of that name) is about the float Boxes alone: those whose
  components all have both bounds are drawn from it, between their bounds; everything else stays as above;
* any other distribution class, or the name it was registered under, serves the whole space, a Tuple or Dict too;
  a sub-class of `MultiActionDistribution` gets the children of the table. Where its constructor names them, it is given
  ``action_space``, ``input_lens`` and, of the key ``log_std_clip_param``, ``log_std_clip``.

The key ``autoregressive_actions`` lets every part of an action depend on the parts before it (`AutoregressiveActions`).
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import gymnasium as gym
from gymnasium import spaces

from anyspace import nesting, tree
from anyspace.distributions import (
    ActionDistribution,
    AutoregressiveActions,
    Bernoulli,
    Beta,
    Categorical,
    Deterministic,
    DiagGaussian,
    Dirichlet,
    MultiActionDistribution,
    MultiCategorical,
    SquashedGaussian,
)
from anyspace.distributions.continuous import size_of
from anyspace.distributions.parts import ActionPart, ActionParts
from anyspace.errors import ConfigError, ModelError, UnsupportedSpaceError, nearest
from anyspace.importing import import_path, is_path
from anyspace.models.config import ModelConfig
from anyspace.models.number_of_actions import numbers_of_options
from anyspace.spaces import Simplex
from anyspace.spaces.decoding import flatten_actions, options
from anyspace.tree import Tree

DistributionFactory = Callable[..., ActionDistribution]
"""A distribution class, or a partial of one: called as ``factory(inputs, model)``."""

_registered: dict[str, type[ActionDistribution]] = {}

_BOUNDED: dict[str, type[ActionDistribution]] = {"Beta": Beta, "SquashedGaussian": SquashedGaussian}

_MAX_CATEGORIES = 100_000
_MAX_ACTIONS = 10_000_000


def registered() -> dict[str, type[ActionDistribution]]:
    """Return the distributions by the names that they are registered under."""
    return dict(_registered)


def register(name: str, dist_class: type[ActionDistribution]) -> None:
    """Make ``dist_class`` available by name; a name of a built-in one then means this class."""
    _registered[name] = dist_class


def is_known(name: str) -> bool:
    """Return whether a distribution goes by that name: one of the library's, or one that was registered."""
    return name in _BOUNDED or name in _registered


def choose(
    action_space: gym.Space[Any], config: ModelConfig, dist_type: type[ActionDistribution] | str | None = None
) -> tuple[DistributionFactory, int]:
    """Return the distribution of an action space and the width of the model output that it takes.

    Args:
        action_space: the environment's action space.
        config: the model configuration; its ``custom_action_dist`` takes precedence over every other rule.
        dist_type: a distribution class, with the same meaning as for ``custom_action_dist``, or
            ``"deterministic"`` for float Boxes.

    Raises:
        ConfigError: ``dist_type`` is another string, ``free_log_std`` is on for what has no deviations, or
            ``autoregressive_actions`` for what has one part, or together with another distribution of the whole.
        ModelError: ``custom_action_dist`` is unknown, or is no distribution.
        UnsupportedSpaceError: no distribution covers the space, or it has no leaf that the bounded one is for.
    """
    if isinstance(dist_type, str) and dist_type != "deterministic":
        raise ConfigError(f"dist_type is {dist_type!r}, but the only one by name is 'deterministic'.")
    given = config.custom_action_dist or (dist_type if isinstance(dist_type, type) else None)
    custom = None if given is None else _resolved(given)
    if config.autoregressive_actions:
        return _autoregressive(action_space, config, dist_type)
    if custom is not None and custom not in _BOUNDED.values():
        return _custom(custom, action_space, config)
    if custom is not None:
        _require_bounds(custom, action_space)
    of_boxes = custom or (Deterministic if dist_type == "deterministic" else DiagGaussian)
    factory, size = _default(action_space, config, of_boxes)
    if size == 0:
        raise UnsupportedSpaceError(f"action: {action_space} holds no value to choose.")
    if config.free_log_std and getattr(factory, "func", factory) not in (DiagGaussian, SquashedGaussian):
        raise ConfigError(
            "`free_log_std` makes the second half of the model's outputs a learnt vector, which fits the deviations of"
            f" a single float Box drawn from a Gaussian, but these actions are {action_space}. Switch it off."
        )
    return factory, size


def choose_options(
    action_space: gym.Space[Any], config: ModelConfig, *, temperature: float = 1.0
) -> tuple[DistributionFactory, int]:
    """Return the distribution of an action space that takes one number for each option: softmax(inputs / temperature).

    It is that of :func:`choose` but for MultiBinary, of which each bit has two numbers here. So inputs and masks have
    the same layout, that of `spaces.ActionMasks`.

    Args:
        action_space: of discrete leaves alone.
        config: the model configuration; a ``custom_action_dist`` takes precedence.
        temperature: above 0.

    Raises:
        ConfigError: ``autoregressive_actions`` is on.
        UnsupportedSpaceError: some leaf is continuous, or has too many options.
    """
    if config.autoregressive_actions:
        raise ConfigError(
            "`autoregressive_actions` draws each part of an action given those before it, but here the values of all"
            " options are known at once, and each choice is made by itself. Switch it off."
        )
    if config.custom_action_dist is not None:
        return choose(action_space, config)
    numbers_of_options(action_space)
    children: list[DistributionFactory] = []
    widths: list[int] = []
    for path, leaf in nesting.iter_leaves(action_space):
        counts = options(leaf, path)
        child, width = _default(leaf, config, DiagGaussian, path)
        if width != sum(counts):  # bits have one logit each
            child, width = _of_components(leaf, path)
        if counts and temperature != 1:
            child = partial(child, temperature=temperature)
        children.append(child)
        widths.append(width)
    if nesting.is_leaf(action_space):
        return children[0], widths[0]
    whole = partial(MultiActionDistribution, child_distributions=children, input_lens=widths, action_space=action_space)
    return whole, sum(widths)


def squashed(
    action_space: gym.Space[Any], config: ModelConfig, *, normalize: bool = True
) -> tuple[DistributionFactory, int]:
    """Return the distribution of :func:`choose`, but for bounded float Boxes a Gaussian squashed into their bounds.

    Args:
        action_space: the environment's action space.
        config: the model configuration; a ``custom_action_dist`` takes precedence.
        normalize: whether actions are scaled from [-1, 1] to the bounds; where not, nothing is squashed.
    """
    bounded = any(map(_has_bounds, nesting.leaves(action_space)))
    return choose(action_space, config, SquashedGaussian if normalize and bounded else None)


def action_parts(action_space: gym.Space[Any], config: ModelConfig) -> ActionParts:
    """Return the parts of an action as `AutoregressiveActions` takes them, with their default distributions.

    Args:
        action_space: of two parts or more.
        config: the model configuration; a ``custom_action_dist`` for bounded Boxes is used.

    Raises:
        ConfigError: there are fewer parts.
        UnsupportedSpaceError: no distribution covers the space.
    """
    of_boxes = DiagGaussian if config.custom_action_dist is None else _resolved(config.custom_action_dist)
    leaves = []
    for path, leaf in nesting.iter_leaves(action_space):
        factory, size = _default(leaf, config, of_boxes, path)
        choices = options(leaf, path)
        whole = [ActionPart(factory, size, size_of(leaf))] if size else []
        leaves.append([ActionPart.choice(count) for count in choices] if choices else whole)
    if sum(map(len, leaves)) < 2:
        raise ConfigError(
            "`autoregressive_actions` lets each part of an action depend on the parts before it, but"
            f" {action_space} has one part alone. Switch it off for this action space."
        )
    return ActionParts(action_space, leaves)


def is_bounded(custom_action_dist: str | type | None) -> bool:
    """Whether the configuration key asks for one of the distributions that end at the bounds of an action."""
    return custom_action_dist is not None and _resolved(custom_action_dist) in _BOUNDED.values()


def is_built_in_distribution(distribution: DistributionFactory) -> bool:
    """Whether a distribution, and all of its children, are the library's own, which compute in NumPy as well."""
    given = distribution.keywords if isinstance(distribution, partial) else {}
    built = distribution.func if isinstance(distribution, partial) else distribution
    own = getattr(built, "__module__", "").startswith(f"{ActionDistribution.__module__.rpartition('.')[0]}.")
    return own and all(map(is_built_in_distribution, given.get("child_distributions", ())))


def _resolved(dist: str | type) -> type[ActionDistribution]:
    if isinstance(dist, str):
        known = _BOUNDED | _registered
        if dist not in known and not is_path(dist):
            raise ModelError(
                f"no action distribution is registered as {dist!r}.{nearest(dist, known)} Call"
                f" ModelCatalog.register_custom_action_dist({dist!r}, YourDistribution) first, or give the class itself"
                " or `package.module:Class`."
            )
        dist = known[dist] if dist in known else import_path(dist)
    if not (isinstance(dist, type) and issubclass(dist, ActionDistribution)):
        raise ModelError(f"custom_action_dist must be an ActionDistribution sub-class, but {dist!r} came.")
    return dist


def _autoregressive(
    space: gym.Space[Any], config: ModelConfig, dist_type: type[ActionDistribution] | str | None
) -> tuple[DistributionFactory, int]:
    given = config.custom_action_dist
    if dist_type is not None or (given is not None and not is_bounded(given)):
        key, value = ("dist_type", dist_type) if given is None else ("custom_action_dist", given)
        raise ConfigError(
            f"`autoregressive_actions` is a distribution of the whole action, and {key}={value!r} is another one. Leave"
            " one of them out."
        )
    if config.free_log_std:
        raise ConfigError(
            "`free_log_std` is for the outputs of a model that are deviations, but with `autoregressive_actions` they"
            " are a context. Switch one of them off."
        )
    if given is not None:
        _require_bounds(_resolved(given), space)
    parts = action_parts(space, config)
    size = AutoregressiveActions.required_model_output_shape(space, config.as_dict())
    return partial(AutoregressiveActions, parts=parts), size


def _require_bounds(custom: type[ActionDistribution], space: gym.Space[Any]) -> None:
    if not any(map(_has_bounds, nesting.leaves(space))):
        raise UnsupportedSpaceError(
            f"action: {custom.__name__} is for float Boxes whose components all have both bounds: {space} is none, and"
            " holds none. Leave `custom_action_dist` out, or bound the space by a wrapper."
        )


def _custom(
    dist: type[ActionDistribution], space: gym.Space[Any], config: ModelConfig
) -> tuple[DistributionFactory, int]:
    if issubclass(dist, MultiActionDistribution):
        return _multi(dist, space, config, DiagGaussian)
    if dist.required_model_output_shape is ActionDistribution.required_model_output_shape:
        raise ModelError(
            f"{dist.__name__} must say how many numbers it needs for a row, which is what the model has to put out:"
            " write the static method required_model_output_shape(action_space, model_config), which returns it."
        )
    shape = dist.required_model_output_shape(space, config.as_dict())
    size = int(math.prod(shape) if isinstance(shape, tuple | list) else shape)
    taken = inspect.signature(dist).parameters
    known = {"action_space": space, "log_std_clip": config.log_std_clip_param}
    extras: dict[str, Any] = {key: value for key, value in known.items() if key in taken}
    if "input_lens" in taken and nesting.is_leaf(space):
        extras["input_lens"] = options(space)
    flat = not nesting.is_leaf(space) and not config._disable_action_flattening
    factory: DistributionFactory = _scoring_flat_actions(dist, space) if flat else dist
    return (partial(factory, **extras) if extras else factory), size


def _scoring_flat_actions(dist: type[ActionDistribution], space: gym.Space[Any]) -> type[ActionDistribution]:
    """Return the class with a `logp` that is handed one array ``[B, F]``, as users write it."""

    def logp(self: ActionDistribution, actions: Tree) -> Any:
        nested = isinstance(actions, dict | tuple)
        return dist.logp(self, flatten_actions(space, actions) if nested else actions)

    kept = ("has_entropy", "has_kl", "depends_on_model", "says_dependence", "__doc__", "__module__")
    declared = {name: getattr(dist, name) for name in kept}
    return type(dist.__name__, (dist,), {**declared, "logp": logp})


def _default(
    space: gym.Space[Any], config: ModelConfig, of_boxes: type[ActionDistribution], path: tree.Path = ()
) -> tuple[DistributionFactory, int]:
    """Return the distribution of a space or leaf; ``of_boxes`` is the one of its float Boxes."""
    match space:
        case spaces.Tuple() | spaces.Dict():
            return _multi(MultiActionDistribution, space, config, of_boxes)
        case spaces.Discrete():
            if space.n > _MAX_ACTIONS:
                raise UnsupportedSpaceError(
                    f"{tree.place('action', path)}: {space} has more than {_MAX_ACTIONS:,} actions, each of which would"
                    " be an output of the model; declare a MultiDiscrete, or a float Box and round in a wrapper."
                )
            return Categorical, int(space.n)
        case spaces.MultiBinary():
            return partial(Bernoulli, action_space=space), Bernoulli.required_model_output_shape(space, None)
        case Simplex():
            return partial(Dirichlet, action_space=space), Dirichlet.required_model_output_shape(space, None)
        case spaces.Box() if space.dtype.kind == "f":
            return _of_box(space, config, of_boxes)
        case spaces.MultiDiscrete() | spaces.Box():
            return _of_components(space, path)
    raise UnsupportedSpaceError(
        f"{tree.place('action', path)}: no action distribution covers {space}; supported are Discrete, MultiDiscrete,"
        " MultiBinary, Box, Simplex, and Tuple and Dict of them. Give a `custom_action_dist` or another action space."
    )


def _of_box(
    space: spaces.Box, config: ModelConfig, of_boxes: type[ActionDistribution]
) -> tuple[DistributionFactory, int]:
    if of_boxes in _BOUNDED.values() and not _has_bounds(space):
        of_boxes = DiagGaussian
    extras: dict[str, Any] = {}
    if of_boxes is DiagGaussian:
        extras = {"log_std_clip": config.log_std_clip_param}
    elif of_boxes is not Deterministic:
        # Decoding takes -1 and 1 to the bounds of the space.
        extras = {"low": -1.0, "high": 1.0}
    build: DistributionFactory = of_boxes
    return partial(build, action_space=space, **extras), of_boxes.required_model_output_shape(space, None)


def _of_components(space: gym.Space[Any], path: tree.Path) -> tuple[DistributionFactory, int]:
    lens = options(space, path)
    if not lens:  # a part without components: whatever distributes no numbers will do
        return partial(DiagGaussian, action_space=space), 0
    if max(lens) > _MAX_CATEGORIES:
        raise UnsupportedSpaceError(
            f"{tree.place('action', path)}: {space} has a component of {max(lens)} integer values, more than the"
            f" {_MAX_CATEGORIES} that a categorical distribution is built for; declare a float Box and round in a"
            " wrapper."
        )
    return partial(MultiCategorical, input_lens=lens, action_space=space), sum(lens)


def _multi(
    dist: type[MultiActionDistribution],
    space: gym.Space[Any],
    config: ModelConfig,
    of_boxes: type[ActionDistribution],
) -> tuple[DistributionFactory, int]:
    children, lens = [], []
    for path, leaf in nesting.iter_leaves(space):
        child, size = _default(leaf, config, of_boxes, path)
        children.append(child)
        lens.append(size)
    return partial(dist, child_distributions=children, input_lens=lens, action_space=space), sum(lens)


def _has_bounds(space: gym.Space[Any]) -> bool:
    return isinstance(space, spaces.Box) and space.dtype.kind == "f" and space.is_bounded("both")
