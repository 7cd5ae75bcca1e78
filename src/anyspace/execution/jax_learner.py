"""Gradient steps with JAX: several in one compiled loop."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import io_callback

from anyspace import tree
from anyspace.execution.compiled_learner import CompiledLearner
from anyspace.execution.groups import Group
from anyspace.execution.learner import LossFunction, Result, Steps, no_gradient, spelt
from anyspace.execution.xla import (
    BuildBatch,
    Slots,
    Stacked,
    StepInputs,
    Weights,
    chosen,
    moved,
    nearer,
    new_slots,
    slots_from,
)
from anyspace.maths.xp import Array, xp
from anyspace.models.host import calling_back
from anyspace.models.jax.base import JaxModelV2, as_numpy, jax_base
from anyspace.models.jax.failures import explained
from anyspace.models.jax.reach import dependent
from anyspace.models.jax.runtime import COUNTER, DRAW, JaxRuntime
from anyspace.models.modelv2 import ModelV2
from anyspace.models.runtime import NumpyArray
from anyspace.policy.batch import Batch
from anyspace.policy.columns import filled_up
from anyspace.policy.pipeline import Pipeline
from anyspace.policy.policy import Policy

Carry = tuple[list[Weights], Slots]
"""What one step hands to the next: the arrays of the policy's model and of its siblings, and the moments."""

Reported = tuple[dict[str, Array], dict[str, Array], dict[str, Array]]
"""Metrics, the model's own metrics, and results by row."""


class JaxLearner(CompiledLearner[JaxModelV2]):
    """Optimises the arrays of the policy's model.

    What a compiled step takes: the arrays of the policy's model and of its siblings, the moments, the padded rows, a
    random key, the values of all cells, the learning rates. `steps` takes all of its steps in one call, in a loop.

    Attributes:
        loops: whether `steps` makes one call; else it makes one for each step, as with convolutions.
    """

    counter, draw = COUNTER, DRAW

    def __init__(self, policy: Policy, losses: LossFunction, groups: Mapping[str, Group]):
        super().__init__(policy, losses, groups)
        assert isinstance(policy.runtime, JaxRuntime)
        self.runtime = policy.runtime
        # On the CPU XLA runs convolutions within a loop twenty times as long as outside of one.
        self.loops = not (self._model.convolves and self.runtime.device == "cpu")
        held = self._model.held()
        trained = {name: one for name, one in held.arrays().items() if name in held.trained}
        in_double = frozenset(name for name, one in trained.items() if one.dtype == np.float64)
        self._take_over({name: tuple(one.shape) for name, one in trained.items()}, in_double)
        self._slots = new_slots(self._by_group)
        self._compiled: dict[Any, Callable[..., Any]] = {}
        self.at(0)

    def _base(self, model: ModelV2) -> JaxModelV2:
        return jax_base(model)

    # ------------------------------------------------------------------------------------- steps

    def _on_host(self, batch: Batch) -> Batch:
        # Columns of a user's distribution are JAX's: each length of them would be compiled.
        return Batch({name: tree.map_leaves(_on_host, column) for name, column in batch.items()})

    def _take(self, steps: Steps, *, alone: bool) -> Result:
        loops = self.loops and not alone
        batches, count = self.stacked(steps, alone=not loops and not steps.summed), len(steps.order)
        keys = filled_up(self.runtime.keys(count), len(batches.inputs.counted))
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
        metrics, of_model, rows = jax.tree.map(np.asarray, found)
        return self._result(metrics, of_model, rows, batches, count)

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
        self, build: BuildBatch, carry: Carry, inputs: tuple[StepInputs, Array], stored: Any, cells: Any, rates: Any
    ) -> tuple[Carry, Reported]:
        """Take one step."""
        # Where nothing is compiled (`jax.disable_jit`) they are NumPy's.
        carry, inputs, stored, rates = jax.tree.map(jnp.asarray, (carry, inputs, stored, rates))
        (weights, *siblings), slots = carry
        own, key = inputs
        (metrics, of_model, rows), kept, gradients = self.gradients(
            [weights, *siblings], build(own, stored), cells, key
        )
        # What a pass has set, running statistics or a projected weight, is where the step starts from.
        after, slots, norms = moved(self._by_group, rates, {**weights, **kept}, slots, gradients)
        if own.tau is not None:
            siblings = [nearer(one, after, own.tau, self._model.held().trained.__contains__) for one in siblings]
        return ([after, *siblings], slots), ({**metrics, **norms}, of_model, rows)

    def _summed(self, build: BuildBatch, carry: Carry, inputs: Any, stored: Any, cells: Any, rates: Any) -> Any:
        """Take one step on the sum of the gradients of all parts."""
        self.compilations += 1
        (weights, *siblings), slots = carry
        zeros = {
            group: {name: xp(weights[name]).widened(jnp.zeros_like(weights[name])) for name in part.shapes}
            for group, part in self._by_group.items()
        }

        def part(carry: Any, one: tuple[StepInputs, Array]) -> Any:
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
        after, slots, norms = moved(self._by_group, rates, weights, slots, total)
        count = inputs[0].counted.shape[0]
        repeated = {name: jnp.broadcast_to(norm, (count,)) for name, norm in norms.items()}
        return ([after, *siblings], slots), ({**metrics, **repeated}, of_model, rows)

    def gradients(
        self, weights: list[Weights], batch: Batch, cells: Any, key: Array
    ) -> tuple[Reported, Weights, dict[str, Weights]]:
        """Return what a batch reports, the arrays that the model itself changed, and each group's gradients.

        The gradient of a group is that of its own loss alone. There is one pass forward, whatever the number of groups:
        what it asks of the host it asks once.
        """
        own = {name: weights[0][name] for part in self._by_group.values() for name in part.shapes}

        def losses(own: Weights) -> Any:
            return self.traced_losses([{**weights[0], **own}, *weights[1:]], batch, cells, key)

        by_group, moved_by, (reported, changed) = jax.linearize(losses, own, has_aux=True)
        learnt_from = dependent(moved_by, own)
        gradients = {}
        for group, part in self._by_group.items():
            if part.shapes and not learnt_from[group]:
                raise no_gradient(self.losses, group, "a jax.lax.stop_gradient, or NumPy")
            # The transpose of one output alone: `jax.vjp` would go through all losses for each group.
            pull_back = jax.linear_transpose(lambda moving, group=group: moved_by(moving)[group], own)
            (found,) = pull_back(jnp.ones_like(by_group[group]))
            gradients[group] = {name: xp(found[name]).widened(found[name]) for name in part.shapes}
        kept = {name: jax.lax.stop_gradient(value) for name, value in changed.items()}
        metrics, of_model, rows = reported
        return ({**metrics, "total_loss": sum(by_group.values())}, of_model, rows), kept, gradients

    def traced_losses(self, weights: list[Weights], batch: Batch, cells: Any, key: Array) -> Any:
        """Return the losses by group, and what else comes of the pass, as functions of what is handed over alone."""
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.runtime.tracing(cells, key))
            readers = [
                stack.enter_context(model.bound(own)) for model, own in zip(self._models(), weights, strict=True)
            ]
            found = self.losses_of(Batch(batch))
            of_model = tree.map_leaves(lambda value: jnp.asarray(value, jnp.float32), dict(found.of_model))
            changed = self._changed(weights[0], readers[0]())
        metrics = {name: jnp.asarray(value, jnp.float32) for name, value in found.metrics.items()}
        return found.by_group, ((metrics, of_model, dict(found.rows)), changed)

    def _changed(self, before: Weights, after: Weights) -> Weights:
        """Return the arrays that the model itself has set in a pass: batch statistics, say."""
        return {name: value for name, value in after.items() if value is not before[name]}

    # -------------------------------------------------------------------------------------- others

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

    def _asking_readers(self) -> AbstractContextManager[object]:
        return calling_back(_asked)

    @contextlib.contextmanager
    def _guarding(self, method: str) -> Iterator[None]:
        with explained(f"{type(self._model).__name__}.{method}()"), self._model.making_nothing(method):
            yield

    def _in_trace(self) -> bool:
        return True

    def _discard(self, call: Callable[[], object]) -> None:
        jax.make_jaxpr(lambda: (call(), 0)[1])()

    def _host_slots(self) -> Slots:
        return self._slots

    def load_state(self, state: dict[str, NumpyArray]) -> None:
        """Restore what :meth:`state` returned."""
        self._slots = slots_from(state, self._by_group)


def _on_host(leaf: Any) -> Any:
    return np.asarray(leaf) if isinstance(leaf, jax.Array) else leaf


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
