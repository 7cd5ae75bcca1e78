"""Gradient steps with JAX: several in one compiled loop."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import io_callback

from anyspace import tree
from anyspace.execution.learner import (
    Group,
    LossFunction,
    Result,
    Steps,
    as_losses,
    group_of,
    spelt,
    with_custom_loss,
)
from anyspace.execution.xla import (
    Inputs,
    Pack,
    Slots,
    Stacked,
    Weights,
    chosen,
    joined,
    moved,
    nearer,
    new_slots,
    of_rows,
    parts_of,
    slots_by_name,
    slots_from,
    stacked,
)
from anyspace.maths.xp import Array
from anyspace.models.host import calling_back
from anyspace.models.jax.base import JaxModelV2, as_numpy, jax_base
from anyspace.models.jax.failures import explained
from anyspace.models.jax.runtime import JaxRuntime
from anyspace.models.runtime import NumpyArray
from anyspace.policy.batch import Batch
from anyspace.policy.pipeline import Pipeline
from anyspace.policy.policy import Policy

Carry = tuple[list[Weights], Slots]
"""What one step hands to the next: the arrays of the policy's model and of its siblings, and the moments."""

BuildBatch = Callable[[Inputs, dict[str, Array]], Batch]
"""What puts a batch together of the inputs of one step and of what is stored."""

Reported = tuple[dict[str, Array], dict[str, Array], dict[str, Array]]
"""Metrics, the model's own metrics, and results by row."""


class JaxLearner:
    """Optimises the arrays of the policy's model; see :class:`anyspace.execution.learner.Learner`.

    What a compiled step takes: the arrays of the policy's model and of its siblings, the moments, the padded rows, a
    random key, the values of all cells, the learning rates. `steps` takes all of its steps in one call, in a loop.

    Args:
        policy: whose model learns.
        losses: the algorithm's.
        groups: how the parameters of each loss are moved.

    Attributes:
        loops: whether `steps` makes one call; else it makes one for each step, as with convolutions.
        compilations: how often a step was traced, alone or within a loop.

    Raises:
        ConfigError: the model puts a parameter into a group that the algorithm does not have.
    """

    def __init__(self, policy: Policy, losses: LossFunction, groups: Mapping[str, Group]):
        assert isinstance(policy.runtime, JaxRuntime)
        self.policy, self.losses, self.groups = policy, losses, dict(groups)
        self.runtime = policy.runtime
        # On the CPU XLA runs convolutions within a loop twenty times as long as outside of one.
        self.loops, self.compilations = not (self._model.convolves and self.runtime.device == "cpu"), 0
        shapes: dict[str, dict[str, tuple[int, ...]]] = {name: {} for name in groups}
        held = self._model.held()
        for name, array in held.arrays().items():
            if name in held.trained:
                shapes[group_of(self.policy.model, name, self.groups)][name] = tuple(array.shape)
        self._packs = {name: Pack(group, shapes[name]) for name, group in groups.items()}
        self._slots = new_slots(self._packs)
        self._compiled: dict[Any, Callable[..., Any]] = {}
        self._model_metrics: dict[str, float] | None = None
        self.at(0)

    @property
    def _model(self) -> JaxModelV2:
        return jax_base(self.policy.model)

    def at(self, timestep: int) -> None:
        """Take in how many environment steps were sampled so far."""
        self._rates = {name: group.lr(timestep) for name, group in self.groups.items()}

    def learning_rates(self) -> dict[str, float]:
        """Return the present learning rate of each group."""
        return dict(self._rates)

    # ------------------------------------------------------------------------------------- steps

    def step(self, batch: Batch) -> Result:
        """Take one gradient step; see the protocol."""
        sequences = batch.get("sequences")
        order = np.arange(len(batch["obs"][0]) if sequences is None else len(sequences.lens))[None]
        result = self._take(Steps(batch, order, np.ones(order.shape, np.bool_)), loops=False)
        return Result(*(tree.map_leaves(lambda leaf: leaf[0], part) for part in (result.metrics, result.rows)))

    def steps(self, steps: Steps) -> Result:
        """Take several gradient steps, in as few calls as memory allows."""
        return joined([self._take(part, loops=self.loops) for part in parts_of(steps)], steps)

    def _take(self, steps: Steps, *, loops: bool) -> Result:
        batches, count = self.stacked(steps, alone=not loops and not steps.summed), len(steps.order)
        keys = self.runtime.keys(len(batches.inputs.counted))
        carry: Carry = [model.held().on_device() for model in self._models()], self._slots
        given = (batches.inputs, keys)
        changing = batches.stored, self.runtime.cell_values(), self._rates
        with explained(spelt(self.losses)), self.runtime.on_device():
            if steps.summed:
                carry, found = self._function("summed", batches)(carry, given, *changing)
            elif loops:
                carry, found = self._function("loop", batches)(carry, given, *changing, np.int32(count))
            else:
                run, results = self._function("step", batches), []
                for number in range(count):
                    one = jax.tree.map(lambda leaf, number=number: leaf[number], given)
                    carry, result = run(carry, one, *changing)
                    results.append(result)
                found = jax.tree.map(lambda *parts: np.stack(parts), *results)
        weights, self._slots = carry
        # Siblings that do not follow are as they were.
        for model, values in zip(self._models()[: None if steps.tau is not None else 1], weights, strict=False):
            model.held().write(values)
        return self._reported(found, batches, count)

    def _reported(self, found: Reported, batches: Stacked, count: int) -> Result:
        """Return what steps report, of those that were taken."""
        metrics, of_model, rows = jax.tree.map(np.asarray, found)
        self._model_metrics = {name: float(value[count - 1]) for name, value in of_model.items()}
        return Result(
            {name: value[:count] for name, value in metrics.items()},
            {name: of_rows(value, batches.there) for name, value in rows.items()},
        )

    def stacked(self, steps: Steps, *, alone: bool = False) -> Stacked:
        """Return the rows of steps as compiled steps take them."""
        whole = self.runtime.has_batch_statistics(self.policy.model)
        return stacked(steps, self.policy.max_seq_len, whole=whole, alone=alone)

    def _function(self, kind: str, batches: Stacked) -> Callable[..., Any]:
        """Return a compiled function; what it is compiled for are the columns, and their shapes."""
        key = (kind, len(self.policy.siblings), *batches.key)
        if key not in self._compiled:
            kinds: dict[str, Callable[..., Any]] = {"loop": self._loop, "step": self._step, "summed": self._summed}
            self._compiled[key] = jax.jit(partial(kinds[kind], batches.put_together))
        return self._compiled[key]

    # ------------------------------------------------------------------------------- what is traced

    def _loop(
        self, build: BuildBatch, carry: Carry, inputs: Any, stored: Any, cells: Any, rates: Any, count: Array
    ) -> tuple[Carry, Reported]:
        """Take the first ``count`` of S steps; what they report is [S, ...], zeros behind."""
        self.compilations += 1
        # It is traced once, for the shapes of what it reports and for the loop.
        move = jax.jit(lambda carry, one: self._move(build, carry, one, stored, cells, rates))

        def step_of(number: Array | int) -> Any:
            return jax.tree.map(lambda leaf: leaf[number], inputs)

        length = inputs[0].counted.shape[0]
        shapes = jax.eval_shape(move, carry, step_of(0))[1]
        kept = jax.tree.map(lambda one: jnp.zeros((length, *one.shape), one.dtype), shapes)

        def again(number: Array, before: tuple[Carry, Reported]) -> tuple[Carry, Reported]:
            carry, reported = move(before[0], step_of(number))
            return carry, jax.tree.map(lambda array, value: array.at[number].set(value), before[1], reported)

        found: tuple[Carry, Reported] = jax.lax.fori_loop(0, count, again, (carry, kept))
        return found

    def _step(self, build: BuildBatch, carry: Carry, inputs: Any, stored: Any, cells: Any, rates: Any) -> Any:
        self.compilations += 1
        return self._move(build, carry, inputs, stored, cells, rates)

    def _move(
        self, build: BuildBatch, carry: Carry, inputs: tuple[Inputs, Array], stored: Any, cells: Any, rates: Any
    ) -> tuple[Carry, Reported]:
        """Take one step."""
        (weights, *siblings), slots = carry
        own, key = inputs
        (metrics, of_model, rows), kept, gradients = self.gradients(
            [weights, *siblings], build(own, stored), cells, key
        )
        after, slots, norms = moved(self._packs, rates, weights, slots, gradients)
        after |= kept
        if own.tau is not None:
            siblings = [nearer(one, after, own.tau, self._model.held().trained.__contains__) for one in siblings]
        return ([after, *siblings], slots), ({**metrics, **norms}, of_model, rows)

    def _summed(self, build: BuildBatch, carry: Carry, inputs: Any, stored: Any, cells: Any, rates: Any) -> Any:
        """Take one step on the sum of the gradients of all parts."""
        self.compilations += 1
        (weights, *siblings), slots = carry
        zeros = {
            group: {name: jnp.zeros(shape) for name, shape in pack.shapes.items()}
            for group, pack in self._packs.items()
        }

        def part(carry: Any, one: tuple[Inputs, Array]) -> Any:
            weights, total = carry
            own, key = one
            reported, kept, gradients = self.gradients([weights, *siblings], build(own, stored), cells, key)
            counts = own.counted.any()
            added = {
                group: {name: total[group][name] + jnp.where(counts, value, 0.0) for name, value in values.items()}
                for group, values in gradients.items()
            }
            return ({**weights, **chosen(counts, kept, weights)}, added), reported

        (weights, total), (metrics, of_model, rows) = jax.lax.scan(part, (weights, zeros), inputs)
        after, slots, norms = moved(self._packs, rates, weights, slots, total)
        count = inputs[0].counted.shape[0]
        repeated = {name: jnp.broadcast_to(norm, (count,)) for name, norm in norms.items()}
        return ([after, *siblings], slots), ({**metrics, **repeated}, of_model, rows)

    def gradients(
        self, weights: list[Weights], batch: Batch, cells: Any, key: Array
    ) -> tuple[Reported, Weights, dict[str, Weights]]:
        """Return what a batch reports, the arrays that the model itself changed, and each group's gradients.

        The gradient of a group is that of its own loss alone. Losses are traced once; what the passes back from them
        have in common the compiler finds.
        """
        traced = jax.jit(lambda weights: self.traced_losses(weights, batch, cells, key))
        found: Any = None
        gradients: dict[str, Weights] = {}
        kept: dict[str, Weights] = {}
        for group, pack in self._packs.items():

            def loss(own: Weights, group: str = group) -> Any:
                by_group, rest = traced([{**weights[0], **own}, *weights[1:]])
                return by_group[group], (by_group, rest)

            mine = {name: weights[0][name] for name in pack.shapes}
            (_, (by_group, (reported, changed))), gradients[group] = jax.value_and_grad(loss, has_aux=True)(mine)
            kept[group] = {name: jax.lax.stop_gradient(value) for name, value in changed.items()}
            found = found or (by_group, reported)
        by_group, (metrics, of_model, rows) = found
        total = sum(by_group.values())
        return ({**metrics, "total_loss": total}, of_model, rows), kept[next(iter(self._packs))], gradients

    def traced_losses(self, weights: list[Weights], batch: Batch, cells: Any, key: Array) -> Any:
        """Return the losses by group, and what else comes of the pass, as functions of what is handed over alone."""
        policy = self.policy
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.runtime.tracing(cells, key))
            stack.enter_context(calling_back(_asked))
            readers = [
                stack.enter_context(model.bound(own)) for model, own in zip(self._models(), weights, strict=True)
            ]
            batch = Batch(batch)
            found = as_losses(self.losses(policy, batch), self.groups, spelt(self.losses))
            by_group = with_custom_loss(policy, found.by_group, batch)
            for update in policy.model.update_ops():
                update()
            of_model = {name: jnp.asarray(value, jnp.float32) for name, value in policy.model.metrics().items()}
            changed = self._changed(weights[0], readers[0]())
        metrics = {name: jnp.asarray(value, jnp.float32) for name, value in found.metrics.items()}
        return by_group, ((metrics, of_model, found.rows), changed)

    def _changed(self, before: Weights, after: Weights) -> Weights:
        """Return the arrays that the model itself has set in a pass: batch statistics, say."""
        return {name: value for name, value in after.items() if value is not before[name]}

    # -------------------------------------------------------------------------------------- others

    def _models(self) -> list[JaxModelV2]:
        return [jax_base(pipeline.model) for pipeline in (self.policy, *self.policy.siblings)]

    def model_metrics(self) -> dict[str, float]:
        """Return the model's own metrics, of the latest gradient step."""
        return dict(self.policy.model.metrics()) if self._model_metrics is None else dict(self._model_metrics)

    def follow(self, target: Pipeline, tau: float) -> None:
        """Move a sibling's arrays towards the policy's; what is not trained is copied. A ``tau`` of 0 does nothing."""
        if tau:
            theirs = jax_base(target.model).held()
            theirs.write(nearer(theirs.arrays(), self._model.held().arrays(), tau, theirs.trained.__contains__))

    def is_finite(self) -> bool:
        """Whether every parameter is finite."""
        held = self._model.held()
        return all(
            bool(np.isfinite(as_numpy(one)).all()) for name, one in held.arrays().items() if name in held.trained
        )

    def state(self) -> dict[str, NumpyArray]:
        """Return the optimisers' moments and step counts by parameter name."""
        return slots_by_name(self._slots, self._packs)

    def load_state(self, state: dict[str, NumpyArray]) -> None:
        """Restore what :meth:`state` returned."""
        self._slots = slots_from(state, self._packs)


def _asked(read: Callable[[], list[NumpyArray]], example: list[NumpyArray]) -> list[Array]:
    """Have the host asked at every step; the arrays of later ones are brought to the example's shapes."""
    kinds = [jax.eval_shape(lambda part=part: jnp.asarray(part)) for part in example]

    def columns() -> list[NumpyArray]:
        # A shape is fixed when a step is compiled: of a longer batch the rest is left out, a shorter one is repeated.
        return [
            part[np.arange(len(like)) % len(part)].astype(kind.dtype)
            for part, like, kind in zip(read(), example, kinds, strict=True)
        ]

    return list(io_callback(columns, kinds))
