"""The protocol of a learner: gradient steps, whatever the framework."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, cast

import numpy as np

from anyspace import tree
from anyspace.errors import ConfigError, ModelError
from anyspace.execution.groups import GROUP_METRICS, Group
from anyspace.maths.xp import Array
from anyspace.models.input_dict import InputDict, MissingColumn
from anyspace.models.modelv2 import ModelV2
from anyspace.models.runtime import NumpyArray
from anyspace.policy.batch import Batch
from anyspace.policy.pipeline import Pipeline
from anyspace.policy.policy import Policy
from anyspace.policy.sequences import Padding, Sequences


@dataclass(frozen=True)
class Losses:
    """What an algorithm makes of a batch."""

    by_group: dict[str, Array]
    """The scalar loss of each group of parameters. Each group takes the gradient of its own loss alone."""
    metrics: dict[str, Array | float] = field(default_factory=dict)
    """Scalars to report, tensors or plain numbers."""
    rows: dict[str, Array] = field(default_factory=dict)
    """Numbers of each row [N] that `updates` is sent back, such as the errors by which replay is prioritised."""

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield the losses by group and the metrics: ``losses, metrics = super().losses(policy, batch)``."""
        yield from (self.by_group, self.metrics)


LossFunction = Callable[[Policy, Batch], Losses | tuple[dict[str, Array], dict[str, Array | float]]]
"""An algorithm's losses; a pair of losses by group and metrics will do."""


@dataclass(frozen=True)
class Steps:
    """Several gradient steps that need no result in between, for one call of the learner.

    Five rows in minibatches of two, one epoch: ``order`` is [[3, 0], [4, 1], [2, 2]], and ``counted`` is False for the
    last of these entries.
    """

    rows: Batch
    """All rows, in the order of time."""
    order: NumpyArray
    """[S, N] which rows each step takes; which sequences, where the rows are steps of sequences."""
    counted: NumpyArray
    """[S, N] booleans: False for entries that fill a step up. Those that count come first."""
    tau: NumpyArray | None = None
    """[S] how far the siblings' weights follow the policy's after each step; None: they stay."""
    summed: bool = False
    """Sum the gradients of all entries of ``order`` and take one step in all: a batch in parts, to save memory."""


@dataclass(frozen=True)
class Result:
    """What one or more gradient steps report."""

    metrics: dict[str, Array]
    """Scalars that are still tensors; of S steps, [S] each."""
    rows: dict[str, Array] = field(default_factory=dict)
    """Numbers of each row [N]; of S steps [S, N], N as in ``Steps.order``, or the most rows of a step where it counts
    sequences; NaN where an entry does not count."""


class Learner(Protocol):
    """Owns the optimisers; everything else of training lives in the algorithm."""

    def step(self, batch: Batch) -> Result:
        """Take one gradient step on ``batch``.

        ``total_loss``, the sum of the groups' losses, is added to the metrics, and ``grad_norm``, before clipping,
        where gradients are clipped. Of several groups each has its own, as in ``grad_norm_critic``.
        """

    def steps(self, steps: Steps) -> Result:
        """Take all of several gradient steps."""

    def at(self, timestep: int) -> None:
        """Take in how many environment steps were sampled so far: learning rates go by it."""

    def learning_rates(self) -> dict[str, float]:
        """Return the present learning rate of each group."""

    def follow(self, target: Pipeline, tau: float) -> None:
        """Move a sibling's weights towards the policy's: ``tau`` of the way, 1 all of it."""

    def is_finite(self) -> bool:
        """Whether every parameter is finite; a NaN gradient leaves a NaN behind for good."""

    def model_metrics(self) -> dict[str, Any]:
        """Return what the model itself reports (``ModelV2.metrics``), of the latest gradient step; {} before it."""

    def state(self) -> dict[str, NumpyArray]:
        """Return the optimisers' state by name."""

    def load_state(self, state: dict[str, NumpyArray]) -> None:
        """Restore what :meth:`state` returned."""


def kept_in(state: Mapping[str, NumpyArray], name: str) -> NumpyArray:
    """Return what an optimiser kept, of a state that was saved.

    Raises:
        ValueError: another optimiser saved it.
    """
    if name not in state:
        raise ValueError(
            f"its optimiser kept no {name!r}: it was another one, or had other settings; load_weights(path) takes the"
            " weights alone"
        )
    return state[name]


def rows_width(steps: Steps, widest: int) -> int:
    """Return N of ``Result.rows``: that of ``Steps.order``, or the most rows of a step where it counts sequences."""
    return widest if "sequences" in steps.rows else int(steps.order.shape[1])


def group_of(model: ModelV2, parameter: str, groups: Mapping[str, Group]) -> str:
    """Return the group whose loss trains a parameter.

    Raises:
        ConfigError: the model names a group that the algorithm does not have.
    """
    group = model.group_of(parameter) or next(iter(groups))
    if group not in groups:
        raise ConfigError(
            f"{type(model).__name__}.group_of({parameter!r}) is {group!r}, but the algorithm trains the groups"
            f" {', '.join(groups)}."
        )
    return group


def spelt(method: Callable[..., object]) -> str:
    """Return how a user knows a method: ``A2C.updates``."""
    return getattr(method, "__qualname__", type(method).__name__).rpartition("<locals>.")[2]


def as_losses(found: object, groups: Mapping[str, Group], batch: Batch, name: str) -> Losses:
    """Return what an algorithm's ``losses`` returned as :class:`Losses`.

    Args:
        found: what it returned.
        groups: the algorithm's.
        batch: whose losses they are.
        name: of the method, for messages.

    Raises:
        ConfigError: it returned something else, losses of other groups than the algorithm has, a loss that is no scalar
            of the framework, a metric that is no number, or numbers of rows that are not one for each.
    """
    first = next(iter(groups))
    if isinstance(found, tuple) and len(found) == 2 and all(isinstance(part, dict) for part in found):
        found = Losses(*found)
    if not isinstance(found, Losses) or not isinstance(found.by_group, dict) or not isinstance(found.metrics, dict):
        raise ConfigError(
            f'{name}() must return ({{"{first}": scalar}}, metrics), but returned {described(found)}. Without metrics'
            f' return {{"{first}": loss}}, {{}}.'
        )
    if found.by_group.keys() != groups.keys():
        raise ConfigError(
            f"{name}() returned the groups {', '.join(map(str, found.by_group))}, but the algorithm has the groups"
            f" {', '.join(groups)}: give one loss for each. Terms that train the same parameters are added up."
        )
    for group, loss in found.by_group.items():
        if not _is_of_framework(loss):
            raise ConfigError(
                f"{name}(): the loss {group!r} must be a scalar of the framework, but is {described(loss)}: compute it"
                " from what policy.evaluate(batch, training=True) returns, or nothing is learnt from it."
            )
        if tuple(loss.shape) != ():
            raise ConfigError(
                f"{name}(): the loss {group!r} must be a scalar, but has the shape {tuple(loss.shape)}: reduce it over"
                " the rows, by batch.mean(...)."
            )
    require_metrics(found.metrics, groups, f"{name}()")
    for key, value in dict(found.rows).items():
        count = batch["obs"][0].shape[0]
        if not _is_of_framework(value) or tuple(value.shape) != (count,):
            raise ConfigError(
                f"{name}(): Losses(rows={{{key!r}: ...}}) must be an array of the framework with a number for each row,"
                f" of shape ({count},), but is {described(value)}."
            )
    return found


def _is_of_framework(value: object) -> bool:
    """Return whether a value is an array of a framework, and none of NumPy's."""
    return hasattr(value, "shape") and not isinstance(value, np.generic | np.ndarray)


def require_metrics(metrics: Mapping[str, object], groups: Collection[str], where: str) -> None:
    """Refuse metrics that are no numbers, or have the name of a number that is reported anyhow.

    Raises:
        ConfigError: naming the metric.
    """
    of_groups = {f"{kind}_{group}" for kind in GROUP_METRICS for group in groups}
    reported = {"total_loss", "model", *GROUP_METRICS, *of_groups}
    for name, value in metrics.items():
        if not isinstance(name, str):
            raise ConfigError(f"{where}: the names of metrics are texts, but {name!r} came.")
        if name in reported:
            raise ConfigError(f"{where}: the metric {name!r} is reported anyhow; give yours another name.")
        if getattr(value, "shape", None) != () and not isinstance(value, (int, float)):
            raise ConfigError(
                f"{where}: the metric {name!r} must be one number, but is {described(value)}; reduce it, as by"
                " batch.mean(...)."
            )


def model_metrics(model: ModelV2) -> dict[str, Any]:
    """Return what a model reports of itself: numbers and arrays, also lists and dicts of them, by name.

    Raises:
        ModelError: it is no dict, or something else is in it.
    """
    where, found = f"{type(model).__name__}.metrics()", model.metrics()
    if not isinstance(found, Mapping):
        raise ModelError(f"{where} gave {described(found)}; return a dict of numbers by name.")
    for path, value in tree.iter_leaves(dict(found)):
        if not isinstance(value, int | float) and getattr(value, "shape", None) is None:
            name = ".".join(map(str, path))
            raise ModelError(f"{where}: {name!r} is {described(value)}; return numbers and arrays alone.")
    return dict(found)


def as_numpy(value: Array | float, numpy: Callable[[Array], NumpyArray]) -> NumpyArray:
    """Return a metric as NumPy has it; an algorithm may report tensors and plain numbers.

    Args:
        value: the metric.
        numpy: turns a tensor into an array.
    """
    return np.asarray(value if isinstance(value, int | float | np.generic | np.ndarray) else numpy(value))


def plain_metrics(found: Mapping[str, Any], numpy: Callable[[Array], NumpyArray]) -> dict[str, Any]:
    """Return metrics of a model as plain numbers, and as arrays of NumPy where they hold several."""

    def plain(value: Any) -> Any:
        array = as_numpy(value, numpy)
        return array.item() if array.size == 1 else array

    plainly: dict[str, Any] = tree.map_leaves(plain, dict(found))
    return plainly


def no_gradient(losses: LossFunction, group: str, cause: str) -> ConfigError:
    """Return the error for a loss that no parameter of its group has a gradient from; ``cause``: what cuts it off."""
    return ConfigError(
        f"{spelt(losses)}(): the loss {group!r} has no gradient, so nothing would be learnt from it: between the"
        f" model's output and the loss is {cause}."
    )


def described(value: object) -> str:
    """Return what came, for messages: ``a Tensor of shape (32,)``."""
    if value is None:
        return "None"
    if isinstance(value, tuple):
        return f"a tuple of {', '.join(described(part) for part in value)}"
    name = type(value).__name__
    shape = tuple(getattr(value, "shape", ()))
    return f"{'an' if name[0] in 'aeiou' else 'a'} {name}{f' of shape {shape}' if shape else ''}"


def with_custom_loss(policy: Policy, losses: dict[str, Array], batch: Batch) -> dict[str, Array]:
    """Return the losses to descend: the algorithm's, passed through the model's ``custom_loss``.

    Raises:
        ModelError: ``custom_loss`` does not return as many losses as it was given, or reads a column that is not there.
    """
    if not policy.model.has_custom_loss():
        return losses
    given = list(losses.values())
    try:
        returned = policy.model.custom_loss(given, _loss_inputs(policy, batch))
    except MissingColumn as error:
        raise ModelError(
            f"{type(policy.model).__name__}.custom_loss() reads a column {error.key!r}, but there are"
            f" {', '.join(sorted(error.there))}. Declare the column: an input of the model in view_requirements, a"
            " number of the environment's infos in `collect_infos`."
        ) from error
    changed = _one_by_one(returned, len(given))
    if not isinstance(changed, list) or len(changed) != len(given):
        came = described(changed) if hasattr(changed, "shape") else repr(changed)
        raise ModelError(
            f"{type(policy.model).__name__}.custom_loss() must return a list of {len(given)} losses, as many as it"
            f" was given, or one array of them, but returned {came}."
        )
    for loss in changed:
        if np.shape(loss) != ():
            raise ModelError(
                f"{type(policy.model).__name__}.custom_loss() returned a loss of shape {np.shape(loss)}; a loss is"
                " one number: take the mean over the rows."
            )
    return dict(zip(losses, changed, strict=True))


def _one_by_one(changed: object, count: int) -> object:
    """Return ``count`` losses in one array, which TensorFlow makes of ``policy_loss + x``, as a list of scalars."""
    shape = getattr(changed, "shape", None)
    if shape is not None and tuple(shape) == () and count == 1:
        return [changed]
    if shape is not None and tuple(shape) == (count,):
        return [cast(Array, changed)[number] for number in range(count)]
    return changed


def _loss_inputs(policy: Policy, batch: Batch) -> InputDict:
    """Return a minibatch as models get to see it: observations of several parts flat, sequences padded."""
    own = ("obs", "views", "sequences", "windows", "next_obs", "next_views")
    columns = {"is_training": True, **{name: column for name, column in batch.items() if name not in own}}
    seen = policy.model_inputs(batch["obs"], batch.mask, batch.get("views", {}), training=True)
    views = {name: lambda name=name: seen[name] for name in batch.get("views", {})}
    observed = "obs" if policy.preprocessor.is_array else "obs_flat"
    computed: dict[str, Callable[[], Any]] = {"obs": partial(seen.__getitem__, observed), **views}
    if "next_obs" in batch:
        led_to = batch.following()
        after = policy.model_inputs(led_to["obs"], led_to.mask, led_to.get("views", {}), training=True)
        computed["new_obs"] = partial(after.__getitem__, observed)
    scaled = seen.scaled()
    if scaled:
        scaled["obs"] = scaled[observed]
    inputs = InputDict(columns, computed, scaled)
    # Models that are called with it nest its observations, and change nothing in it.
    inputs.taken = inputs.owned = True
    sequences: Sequences | None = batch.get("sequences")
    if sequences is None:
        return inputs
    padding: Padding = sequences.padding(policy.runtime, time_major=policy.model.is_time_major())
    padded = padding.of_inputs(inputs)
    padded["seq_lens"] = padding.seq_lens
    padded.update({f"state_in_{i}": state for i, state in enumerate(sequences.state)})
    return padded
