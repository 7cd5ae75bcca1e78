"""What the learners of compiled frameworks share: rows of fixed shapes, the optimisers, what one step does.

A compiled step takes as arguments whatever changes between two steps, and arrays of few shapes: rows are repeated up to
one of a few numbers and do not count. Its functions are written over ``xp``, so that any framework compiles them.

Letters: S steps; N rows of a step; M rows that others point into.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from anyspace.execution.learner import Group, Result, Steps
from anyspace.maths.xp import Array, xp
from anyspace.models.runtime import NumpyArray
from anyspace.policy.batch import Batch
from anyspace.policy.columns import Columns, Named, columns_of, grid, padded_stored, size_for
from anyspace.policy.sequences import PaddedSequences

Weights = dict[str, Array]
"""Arrays by name."""

Slots = dict[str, dict[str, Array]]
"""What an optimiser keeps: for each kind of moment the arrays by name of the weight; ``step``, counts by group."""

MOST_BYTES = 2**27
"""The rows of several steps that one call takes: steps beyond that are taken by further calls."""


class Inputs(NamedTuple):
    """What changes from step to step, as arrays [S, ...]; of one step without the first axis."""

    rows: Named
    """The columns, [N, ...] in each step."""
    counted: Array
    """[N] ones, and zeros where a row does not count."""
    lens: Array | None
    """Lengths of the sequences that the rows are; None: they are none."""
    state: list[Array]
    """The states before the sequences."""
    tau: Array | None
    """How far the siblings follow; None: they stay."""


@dataclass(frozen=True)
class Stacked:
    """The rows of several steps for one call."""

    inputs: Inputs
    stored: Named
    """[M, ...] each, the same for all steps."""
    columns: Columns
    """What puts a batch together again."""
    there: npt.NDArray[np.bool_]
    """[S, N] which rows are the steps' own, in their order; the others are repeated."""

    def batch(self, inputs: Inputs, stored: Named) -> Batch:
        """Return the batch of one step, of the framework's arrays."""
        batch = self.columns.batch(inputs.rows, stored)
        counted = inputs.counted if batch.counted is None else batch.counted * inputs.counted
        batch["counted"] = counted
        if inputs.lens is not None:
            batch["sequences"] = PaddedSequences(inputs.lens, inputs.state, len(counted) // len(inputs.lens))
        return batch

    @property
    def key(self) -> tuple[str, ...]:
        """What compiled steps are told apart by, beside shapes: which columns there are."""
        return (*self.inputs.rows, "|", *self.stored)


def stacked(steps: Steps, max_seq_len: int, *, whole: bool, alone: bool = False) -> Stacked:
    """Return the rows of several steps, padded to one of a few shapes.

    Entries that do not count repeat the first one of their step; a step too many takes row 0.

    Args:
        steps: the steps.
        max_seq_len: longest sequence that the model learns from.
        whole: the model takes statistics of a batch: no row is repeated within a step, and steps are as long as the
            shortest.
        alone: each step is taken by a call of its own, so that their number does not matter.
    """
    order, counted = _fitted(steps, whole=whole, alone=alone)
    columns, sequences = columns_of(steps.rows), steps.rows.get("sequences")
    index, there, lens, state = order, counted, None, []
    if sequences is not None:
        padded = grid(sequences, order, max_seq_len)
        index, lens, state = padded.rows, padded.lens, padded.state
        there = padded.there & np.repeat(counted, index.shape[1] // order.shape[1], axis=1)
    rows = {name: array[index] for name, array in columns.rows.items()}
    missing = len(order) - len(steps.order)
    tau = None if steps.tau is None else np.pad(steps.tau, (0, missing)).astype(np.float32)
    inputs = Inputs(rows, there.astype(np.float32), lens, state, tau)
    return Stacked(inputs, padded_stored(columns.stored), columns, there[: len(steps.order)])


def _fitted(steps: Steps, *, whole: bool, alone: bool) -> tuple[NumpyArray, npt.NDArray[np.bool_]]:
    """Return the entries of each step and which of them count, [S, N], of one of a few shapes."""
    count, width = steps.order.shape
    size = size_for(width)
    if whole:
        size = width = int(steps.counted.sum(axis=1).min())
    shape = (count if alone else size_for(count), size)
    order, counted = np.zeros(shape, np.int64), np.zeros(shape, np.bool_)
    order[:count] = steps.order[:, :1]
    counted[:count, :width] = steps.counted[:, :width]
    order[:count, :width] = np.where(counted[:count, :width], steps.order[:, :width], order[:count, :width])
    return order, counted


def parts_of(steps: Steps) -> list[Steps]:
    """Return steps in parts whose rows fit a reasonable share of memory."""
    bytes_of_row = sum(array[:1].nbytes for array in columns_of(steps.rows).rows.values())
    lens = steps.rows["sequences"].lens.max() if "sequences" in steps.rows else 1
    each = max(1, MOST_BYTES // max(1, int(bytes_of_row * lens * steps.order.shape[1])))
    at_once = 1 << (each.bit_length() - 1)
    if steps.summed or at_once >= len(steps.order):
        return [steps]
    slices = [slice(first, first + at_once) for first in range(0, len(steps.order), at_once)]
    taus = [None if steps.tau is None else steps.tau[some] for some in slices]
    return [Steps(steps.rows, steps.order[s], steps.counted[s], tau) for s, tau in zip(slices, taus, strict=True)]


def joined(results: list[Result], steps: Steps) -> Result:
    """Return what several calls report as one result of all of their steps."""
    if len(results) == 1:
        return results[0]
    metrics = {name: np.concatenate([one.metrics[name] for one in results]) for name in results[0].metrics}
    width = steps.order.shape[1]
    rows = {name: np.concatenate([_as_wide(one.rows[name], width) for one in results]) for name in results[0].rows}
    return Result(metrics, rows)


def _as_wide(values: NumpyArray, width: int) -> NumpyArray:
    """Return [S, n] as [S, width], with NaN behind."""
    return np.pad(values, ((0, 0), (0, width - values.shape[1])), constant_values=np.nan)


def of_rows(values: NumpyArray, there: npt.NDArray[np.bool_]) -> NumpyArray:
    """Return numbers of padded rows [S, N] as those of the steps' own rows, filled up with NaN."""
    lens = there.sum(axis=1)
    found = np.full((len(lens), lens.max()), np.nan, np.promote_types(values.dtype, np.float32))
    found[np.arange(lens.max()) < lens[:, None]] = values[: len(lens)][there]
    return found


# ------------------------------------------------------------------------------------------ optimisers


def new_slots(groups: Mapping[str, Group], own: Mapping[str, list[str]], weights: Mapping[str, NumpyArray]) -> Slots:
    """Return what the optimisers keep, zeros at first.

    Args:
        groups: the algorithm's.
        own: the names of the weights of each group.
        weights: all of them.
    """
    slots: Slots = {"step": {name: np.zeros((), np.float32) for name in groups}}
    for group, names in own.items():
        for kind in _kinds(groups[group]):
            slots.setdefault(kind, {}).update({name: np.zeros_like(weights[name]) for name in names})
    return slots


def _kinds(group: Group) -> list[str]:
    if group.optimiser == "adam":
        return ["exp_avg", "exp_avg_sq"]
    return ["momentum"] * bool(group.momentum) + ["square_avg"] * (group.optimiser == "rmsprop")


def slots_by_name(slots: Slots, own: Mapping[str, list[str]]) -> dict[str, NumpyArray]:
    """Return what the optimisers keep by the names of weights: ``logits.bias/exp_avg``, ``logits.bias/step``."""
    named = {
        f"{name}/{kind}": np.array(value)
        for kind, values in slots.items()
        if kind != "step"
        for name, value in values.items()
    }
    counts = {f"{name}/step": np.array(slots["step"][group]) for group, names in own.items() for name in names}
    return {**named, **counts}


def slots_from(state: Mapping[str, NumpyArray], slots: Slots, own: Mapping[str, list[str]]) -> Slots:
    """Return what :func:`slots_by_name` named, in the place of ``slots``."""
    restored: Slots = {
        kind: {name: np.array(state[f"{name}/{kind}"]).reshape(np.shape(value)) for name, value in values.items()}
        for kind, values in slots.items()
        if kind != "step"
    }
    counts = {
        group: np.array(state[f"{names[0]}/step"], np.float32).reshape(()) if names else slots["step"][group]
        for group, names in own.items()
    }
    return {"step": counts, **restored}


def moved(
    groups: Mapping[str, Group],
    rates: Mapping[str, Array],
    weights: Weights,
    slots: Slots,
    gradients: Mapping[str, Weights],
) -> tuple[Weights, Slots, dict[str, Array]]:
    """Return the weights after one step of the optimisers, what these keep then, and the norms of clipped gradients.

    Args:
        groups: the algorithm's.
        rates: learning rate of each group.
        weights: all that gradients move.
        slots: as :func:`new_slots` returns them.
        gradients: of each group, of its own weights.
    """
    weights, metrics = dict(weights), {}
    slots = {kind: dict(values) for kind, values in slots.items()}
    for name, group in groups.items():
        own = gradients[name]
        if not own:
            continue
        if group.grad_clip is not None:
            norm = _norm(own)
            metrics["grad_norm" if len(groups) == 1 else f"grad_norm_{name}"] = norm
            scale = xp(norm).clip(group.grad_clip / (norm + 1e-6), None, 1.0)
            own = {key: gradient * scale for key, gradient in own.items()}
        count = slots["step"][name] = slots["step"][name] + 1.0
        step = {"adam": _adam, "rmsprop": _rmsprop, "sgd": _sgd}[group.optimiser]
        for key, gradient in own.items():
            weights[key] = weights[key] - rates[name] * step(group, slots, key, gradient, count)
    return weights, slots, metrics


def _norm(gradients: Weights) -> Array:
    squares = [xp(gradient).sum(gradient * gradient) for gradient in gradients.values()]
    return sum(squares[1:], start=squares[0]) ** 0.5


def _adam(group: Group, slots: Slots, name: str, gradient: Array, count: Array) -> Array:
    """m and v are means of g and g^2; the step is m / (sqrt(v) + epsilon), both without their bias."""
    first = slots["exp_avg"][name] = 0.9 * slots["exp_avg"][name] + 0.1 * gradient
    second = slots["exp_avg_sq"][name] = 0.999 * slots["exp_avg_sq"][name] + 0.001 * gradient * gradient
    spread = (second / (1.0 - 0.999**count)) ** 0.5 + group.epsilon
    return first / (1.0 - 0.9**count) / spread


def _rmsprop(group: Group, slots: Slots, name: str, gradient: Array, count: Array) -> Array:
    """v is the mean of g^2; the step is g / (sqrt(v) + epsilon)."""
    kept = slots["square_avg"][name]
    second = slots["square_avg"][name] = group.decay * kept + (1.0 - group.decay) * gradient * gradient
    return _with_momentum(group, slots, name, gradient / (second**0.5 + group.epsilon))


def _sgd(group: Group, slots: Slots, name: str, gradient: Array, count: Array) -> Array:
    """The step is the gradient."""
    return _with_momentum(group, slots, name, gradient)


def _with_momentum(group: Group, slots: Slots, name: str, step: Array) -> Array:
    if not group.momentum:
        return step
    moving = slots["momentum"][name] = group.momentum * slots["momentum"][name] + step
    return moving


def nearer(own: Weights, others: Weights, tau: Array | float, trained: Callable[[str], bool]) -> Weights:
    """Return weights moved towards others by ``tau`` of the way; what is not trained is copied, unless ``tau`` is 0."""
    found = {}
    for name, value in own.items():
        if trained(name):
            found[name] = value + tau * (others[name] - value)
        else:
            found[name] = _copied(value, others[name], tau)
    return found


def _copied(value: Array, other: Array, tau: Array | float) -> Array:
    if isinstance(tau, float):
        return other if tau else value
    return xp(tau).where(tau > 0, other, value)


def chosen(condition: Array, new: Weights, old: Weights) -> Weights:
    """Return the new arrays where a scalar condition holds, else the old ones."""
    return {name: xp(condition).where(condition, value, old[name]) for name, value in new.items()}
