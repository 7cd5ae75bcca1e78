"""What the learners of compiled frameworks share: rows of fixed shapes, the optimisers, what one step does.

A compiled step takes as arguments whatever changes between two steps, and arrays of few shapes: rows are repeated up to
one of a few numbers and do not count. Its functions are written over ``xp``, so that any framework compiles them.

Letters: S steps; N rows of a step; M rows that others point into.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from anyspace.execution.groups import Group, metric_name
from anyspace.execution.learner import Result, Steps, kept_in, rows_width
from anyspace.maths.arrays import Bools, Ints
from anyspace.maths.gather import rows_of
from anyspace.maths.xp import Array, xp
from anyspace.models.runtime import NumpyArray
from anyspace.policy.batch import Batch
from anyspace.policy.columns import Build, Columns, Named, columns_of, padded_stored, put_together, size_for
from anyspace.policy.lanes import Lanes, in_lanes, places_of, put_in_lanes

Weights = dict[str, Array]
"""Arrays by name."""

Slots = dict[str, dict[str, Array]]
"""What the optimisers keep for each group: moments as ``logits.bias/exp_avg``, and the count ``step``."""

MOST_BYTES = 2**27
"""The rows of several steps that one call takes: steps beyond that are taken by further calls."""


class StepInputs(NamedTuple):
    """What changes from step to step, as arrays [S, ...]; of one step without the first axis."""

    rows: Named
    """The columns, [N, ...] in each step."""
    counted: Array
    """[N] ones, and zeros where a row does not count."""
    lanes: Lanes | None
    """Of the sequences that the rows are; None: they are none."""
    tau: Array | None
    """How far the siblings follow; None: they stay."""


BuildBatch = Callable[[StepInputs, Named], Batch]
"""What puts a batch together of the inputs of one step and of what is stored."""


@dataclass(frozen=True)
class Stacked:
    """The rows of several steps for one call."""

    inputs: StepInputs
    stored: Named
    """[M, ...] each, the same for all steps."""
    columns: Columns
    """What puts a batch together again."""
    places: Ints
    """[S, n] which rows are the steps' own, in their order, -1 behind; the others are repeated."""

    @property
    def put_together(self) -> BuildBatch:
        """What makes the batch of one step, of the framework's arrays; it holds on to no rows while it is kept."""
        return partial(_batch, self.columns.built)

    @property
    def key(self) -> tuple[str, ...]:
        """What compiled steps are told apart by, beside shapes: which columns there are."""
        return (*self.inputs.rows, "|", *self.stored)


def _batch(built: dict[str, Build], inputs: StepInputs, stored: Named) -> Batch:
    batch = put_together(built, inputs.rows, stored)
    batch["counted"] = counted = inputs.counted if batch.counted is None else batch.counted * inputs.counted
    if inputs.lanes is not None:
        batch["sequences"] = in_lanes(counted, inputs.lanes)
    return batch


def stacked(steps: Steps, max_seq_len: int, *, whole: bool, packs: bool = False, alone: bool = False) -> Stacked:
    """Return the rows of several steps, padded to one of a few shapes.

    Entries that do not count repeat the first one of their step; a step too many takes row 0.

    Args:
        steps: the steps.
        max_seq_len: longest sequence that the model learns from.
        whole: the model takes statistics of a batch: no row is repeated within a step, and the steps, which
            :func:`even_parts` returned, are of one length.
        packs: sequences share lanes.
        alone: each step is taken by a call of its own, so that their number does not matter.
    """
    order, counted = _fitted(steps, whole=whole, alone=alone)
    columns, sequences = columns_of(steps.rows), steps.rows.get("sequences")
    if sequences is None:
        index, places, lanes = order, places_of(counted), None
    else:
        index, places, lanes = put_in_lanes(sequences, order, counted, max_seq_len, packs=packs)
    there = np.zeros(index.shape, np.float32)
    number, entry = np.nonzero(places >= 0)
    there[number, places[number, entry]] = 1.0
    rows = {name: rows_of(array, index) for name, array in columns.rows.items()}
    missing = len(order) - len(steps.order)
    tau = None if steps.tau is None else np.pad(steps.tau, (0, missing)).astype(np.float32)
    inputs = StepInputs(rows, there, lanes, tau)
    return Stacked(inputs, padded_stored(columns.stored), columns, places[: len(steps.order)])


def _fitted(steps: Steps, *, whole: bool, alone: bool) -> tuple[Ints, Bools]:
    """Return the entries of each step and which of them count, [S, N], of one of a few shapes."""
    count, width = steps.order.shape
    size = width if whole else size_for(width)
    shape = (count if alone else size_for(count), size)
    order, counted = np.zeros(shape, np.int64), np.zeros(shape, np.bool_)
    order[:count] = steps.order[:, :1]
    counted[:count, :width] = steps.counted[:, :width]
    order[:count, :width] = np.where(counted[:count, :width], steps.order[:, :width], order[:count, :width])
    return order, counted


def even_parts(steps: Steps) -> list[Steps]:
    """Return steps in parts whose steps are of one length each: [256, 256, 511, 256] rows in three parts.

    Gradients that are summed are of one step, which takes all rows at once where its parts differ in length.
    """
    lens = steps.counted.sum(axis=1)
    (cuts,) = np.nonzero(np.diff(lens))
    if steps.summed and len(cuts):
        order = steps.order[steps.counted][None]
        return [replace(steps, order=order, counted=np.ones(order.shape, np.bool_))]
    slices = [slice(first, stop) for first, stop in pairwise([0, *(cuts + 1).tolist(), len(lens)])]
    return [
        replace(
            steps,
            order=steps.order[some, : lens[some.start]],
            counted=steps.counted[some, : lens[some.start]],
            tau=None if steps.tau is None else steps.tau[some],
        )
        for some in slices
    ]


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
    metrics = {name: np.concatenate([one.metrics[name] for one in results]) for name in results[0].metrics}
    widest = max((rows.shape[1] for one in results for rows in one.rows.values()), default=0)
    width = max(widest, rows_width(steps, widest))
    rows = {name: np.concatenate([_as_wide(one.rows[name], width) for one in results]) for name in results[0].rows}
    return Result(metrics, rows)


def _as_wide(values: NumpyArray, width: int) -> NumpyArray:
    """Return [S, n] as [S, width], with NaN behind."""
    return np.pad(values, ((0, 0), (0, width - values.shape[1])), constant_values=np.nan)


def of_rows(values: NumpyArray, places: Ints) -> NumpyArray:
    """Return numbers of padded rows [S, N] as those of the steps' own rows [S, n], filled up with NaN."""
    found = np.take_along_axis(values[: len(places)], places, axis=1).astype(np.promote_types(values.dtype, np.float32))
    found[places < 0] = np.nan
    return found


# ------------------------------------------------------------------------------------------ optimisers


@dataclass(frozen=True)
class GroupWeights:
    """The weights that one group moves."""

    group: Group
    shapes: dict[str, tuple[int, ...]]
    """By name."""
    in_double: frozenset[str] = frozenset()
    """The names of those that are float64; the optimiser moves all others in float32."""


def new_slots(by_group: Mapping[str, GroupWeights]) -> Slots:
    """Return what the optimisers keep, zeros at first."""
    return {
        group: {
            "step": np.zeros((), np.float32),
            **{
                f"{name}/{kind}": np.zeros(shape, np.float64 if name in own.in_double else np.float32)
                for name, shape in own.shapes.items()
                for kind in own.group.kinds
            },
        }
        for group, own in by_group.items()
    }


def slots_by_name(slots: Slots, by_group: Mapping[str, GroupWeights]) -> dict[str, NumpyArray]:
    """Return what the optimisers keep by the names of weights: ``logits.bias/exp_avg``, ``logits.bias/step``."""
    found: dict[str, NumpyArray] = {}
    for group, own in by_group.items():
        # Not in their own order: what JAX compiles returns dicts sorted by name.
        for name in own.shapes:
            for kept in (f"{name}/{kind}" for kind in own.group.kinds):
                found[kept] = np.array(slots[group][kept])
            found[f"{name}/step"] = np.array(slots[group]["step"])
    return found


def slots_from(state: Mapping[str, NumpyArray], by_group: Mapping[str, GroupWeights]) -> Slots:
    """Return what :func:`slots_by_name` named; what was frozen then has no moments yet."""
    slots = new_slots(by_group)
    for group, own in by_group.items():
        for name, shape in own.shapes.items():
            if f"{name}/step" not in state:
                continue
            for kept in (f"{name}/{kind}" for kind in own.group.kinds):
                slots[group][kept] = np.array(kept_in(state, kept), slots[group][kept].dtype).reshape(shape)
            slots[group]["step"] = np.array(state[f"{name}/step"], np.float32).reshape(())
    return slots


def moved(
    by_group: Mapping[str, GroupWeights],
    rates: Mapping[str, Array],
    weights: Weights,
    slots: Slots,
    gradients: Mapping[str, Weights],
) -> tuple[Weights, Slots, dict[str, Array]]:
    """Return the weights after one step of the optimisers, what these keep then, and the norms of clipped gradients.

    Args:
        by_group: the weights of each group.
        rates: learning rate of each group.
        weights: all of the model.
        slots: as :func:`new_slots` returns them.
        gradients: of each group, of its own weights, float32 at least; narrower weights are moved in float32, too.
    """
    weights, slots, metrics = dict(weights), {group: dict(kept) for group, kept in slots.items()}, {}
    for group, own in by_group.items():
        if not own.shapes:
            continue
        kept, limit, scale = slots[group], own.group.grad_clip, None
        if limit is not None:
            sums = [xp(one).sum(one * one) for one in gradients[group].values()]
            squares = [xp(one).cast(one, like=kept["step"]) for one in sums]
            norm = xp(squares[0]).sqrt(functools.reduce(operator.add, squares))
            metrics[metric_name("grad_norm", group, by_group)] = norm
            scale = xp(norm).clip(limit / (norm + 1e-6), None, 1.0)
        kept["step"] = kept["step"] + 1.0
        step = _stepping(own.group, kept)
        for name in own.shapes:
            gradient = gradients[group][name]
            ns = xp(gradient)
            gradient = gradient if scale is None else gradient * ns.cast(scale, like=gradient)
            change = ns.cast(rates[group], like=gradient) * step(name, gradient)
            weights[name] = ns.cast(ns.widened(weights[name]) - change, like=weights[name])
    return weights, slots, metrics


def _stepping(group: Group, kept: dict[str, Array]) -> Callable[[str, Array], Array]:
    """Return what gives the step of one weight, by its name and its gradient."""
    if group.optimiser == "adam":
        # What is the same for all weights is traced once.
        count = kept["step"]
        return partial(_adam, group, kept, 1.0 - 0.9**count, 1.0 - 0.999**count)
    return partial(_rmsprop if group.optimiser == "rmsprop" else _sgd, group, kept)


def _adam(group: Group, kept: dict[str, Array], of_first: Array, of_second: Array, name: str, gradient: Array) -> Array:
    """m and v are means of g and g^2; the step is m / (sqrt(v) + epsilon), both divided to be without their bias."""
    first = kept[f"{name}/exp_avg"] = 0.9 * kept[f"{name}/exp_avg"] + 0.1 * gradient
    second = kept[f"{name}/exp_avg_sq"] = 0.999 * kept[f"{name}/exp_avg_sq"] + 0.001 * gradient * gradient
    ns = xp(second)
    of_first, of_second = (ns.cast(one, like=second) for one in (of_first, of_second))
    spread = ns.sqrt(second / of_second) + group.epsilon
    return first / of_first / spread


def _rmsprop(group: Group, kept: dict[str, Array], name: str, gradient: Array) -> Array:
    """v is the mean of g^2; the step is g / (sqrt(v) + epsilon)."""
    before = kept[f"{name}/square_avg"]
    second = kept[f"{name}/square_avg"] = group.decay * before + (1.0 - group.decay) * gradient * gradient
    return _with_momentum(group, kept, name, gradient / (xp(second).sqrt(second) + group.epsilon))


def _sgd(group: Group, kept: dict[str, Array], name: str, gradient: Array) -> Array:
    """The step is the gradient."""
    return _with_momentum(group, kept, name, gradient)


def _with_momentum(group: Group, kept: dict[str, Array], name: str, step: Array) -> Array:
    if not group.momentum:
        return step
    moving = kept[f"{name}/momentum"] = group.momentum * kept[f"{name}/momentum"] + step
    return moving


def nearer(own: Weights, others: Weights, tau: Array | float, trained: Callable[[str], bool]) -> Weights:
    """Return weights moved towards others by ``tau`` of the way; what is not trained is copied, unless ``tau`` is 0.

    With a ``tau`` of 1 they are the others, bit for bit, whatever they were.
    """
    found, arrives, moves = {}, tau >= 1, tau > 0
    for name, value in own.items():
        other = others[name]
        if trained(name):
            ns = xp(value)
            wide, goal = ns.widened(value), ns.widened(other)
            between = wide + ns.cast(tau, like=wide) * (goal - wide)
            found[name] = _either(arrives, other, ns.cast(between, like=value))
        else:
            found[name] = _either(moves, other, value)
    return found


def _either(condition: Array | bool, one: Array, other: Array) -> Array:
    if isinstance(condition, bool | np.bool_):
        return one if condition else other
    return xp(condition).where(condition, one, other)


def chosen(condition: Array, new: Weights, old: Weights) -> Weights:
    """Return the new arrays where a scalar condition holds, else the old ones."""
    return {name: xp(condition).where(condition, value, old[name]) for name, value in new.items()}
