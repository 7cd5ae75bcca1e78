"""Gradient steps with TensorFlow: several in one compiled loop."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf

from anyspace import tree
from anyspace.errors import ModelError
from anyspace.execution.compiled_learner import CompiledLearner
from anyspace.execution.groups import Group
from anyspace.execution.learner import LossFunction, Result, Steps, no_gradient, spelt
from anyspace.execution.xla import (
    BuildBatch,
    Slots,
    Stacked,
    StepInputs,
    Weights,
    moved,
    nearer,
    new_slots,
    slots_from,
)
from anyspace.maths.xp import Array, xp
from anyspace.models.host import calling_back, require_none_late
from anyspace.models.modelv2 import ModelV2
from anyspace.models.runtime import NumpyArray
from anyspace.models.tf.base import COUNTER, DRAW, TFModelV2, tf_base
from anyspace.models.tf.held import Variables
from anyspace.models.tf.runtime import TFRuntime, arrays_of, tensors
from anyspace.models.tf.ways import AS_A_GRAPH, EAGERLY, NotByXLA, Way, Ways
from anyspace.policy.batch import Batch
from anyspace.policy.columns import filled_up
from anyspace.policy.pipeline import Pipeline
from anyspace.policy.policy import Policy

Reported = dict[str, dict[str, Array]]
"""``metrics``, the model's own as ``of_model``, results by row as ``rows``, and at last ``weights`` that NumPy runs."""


class TFLearner(CompiledLearner[TFModelV2]):
    """Optimises the variables of the policy's model.

    All steps of a call run in one loop, which XLA compiles. What it takes: the padded rows, the number of steps, seeds,
    the values of all cells, the learning rates. The variables of the model, of its siblings and of the optimisers are
    read and assigned within it.
    """

    counter, draw = COUNTER, DRAW

    def __init__(self, policy: Policy, losses: LossFunction, groups: Mapping[str, Group]):
        super().__init__(policy, losses, groups)
        assert isinstance(policy.runtime, TFRuntime)
        self.runtime = policy.runtime
        self._trained: Variables = {}
        self._adopted: Variables = {}
        self._slots: dict[str, Variables] = {}
        self._ways: dict[Any, Way] = {}
        self._has_run = False
        self.at(0)

    def _base(self, model: ModelV2) -> TFModelV2:
        return tf_base(model)

    def at(self, timestep: int) -> None:
        """Take in how many environment steps were sampled so far, and what was frozen or released since."""
        super().at(timestep)
        self._take_in()

    def _take_in(self) -> None:
        """Take in the variables that are to be trained, and keep what optimisers know of those that were before."""
        trained = self._model.trained()
        if [*map(id, trained.values())] == [*map(id, self._trained.values())]:
            return
        before = self.state() if self._trained else {}
        self._trained = trained
        in_double = frozenset(name for name, variable in trained.items() if variable.dtype == tf.float64)
        self._take_over({name: tuple(variable.shape) for name, variable in trained.items()}, in_double)
        held = self._model.held().variables
        adopted = {id(one) for model in self._model.adopting.values() for one in model.adopted.values()}
        self._adopted = {name: one for name, one in held.items() if id(one) in adopted}
        with self.runtime.on_device():
            self._slots = tree.map_leaves(lambda value: tf.Variable(value, trainable=False), new_slots(self._by_group))
        self._ways.clear()
        self._set_slots({**self.state(), **{name: value for name, value in before.items() if name in self.state()}})

    # ------------------------------------------------------------------------------------- steps

    def _on_host(self, batch: Batch) -> Batch:
        # Columns of a user's distribution are tensors.
        return Batch({name: arrays_of(column) for name, column in batch.items()})

    def _take(self, steps: Steps, *, alone: bool) -> Result:
        batches = self.stacked(steps)
        count = len(steps.order)
        seeds = filled_up(self.runtime.seeds(count), len(batches.inputs.counted))
        rates = {name: np.float32(rate) for name, rate in self._rates.items()}
        arguments = batches.inputs, seeds, batches.stored, self.runtime.cell_values(), rates, np.int32(count)
        with self.runtime.on_device():
            if self._model.has_custom_loss() and not self._has_run:
                self._require_built_layers(batches, tensors(arguments))
            known = None if self._has_run else self._model.held().variables
            found = arrays_of(self._way(steps.summed, batches)(*tensors(arguments)))
            if known is not None:
                require_none_late(type(self._model).__name__, known, self._model.held().variables)
            self._has_run = True
        self._model.synchronise(found["weights"])
        if steps.tau is not None:
            for sibling in self.policy.siblings:
                tf_base(sibling.model).synchronise()
        return self._result(found["metrics"], found["of_model"], found["rows"], batches, count)

    def _require_built_layers(self, batches: Stacked, arguments: Any) -> None:
        """Require that ``custom_loss`` calls no layer for the first time: its weights would be in no checkpoint.

        Where there are layers without weights, the losses run once to find out.

        Raises:
            ModelError: it does.
        """
        waiting = {path: one for path, one in self._model.held().parts.items() if not getattr(one, "built", True)}
        if not waiting:
            return
        (inputs, seeds, stored, cells, *_), ways = arguments, self.runtime.ways
        own = _of_step(inputs, 0)
        settled, ways.number = ways.number, EAGERLY
        try:
            self._gradients(batches.put_together(own, stored), cells, seeds[0])
        finally:
            ways.number = settled
        for path, layer in waiting.items():
            if layer.built:
                shape = (None, *(layer.get_build_config() or {}).get("input_shape", (None, "..."))[1:])
                raise ModelError(
                    f"{type(self._model).__name__}.{path} is called for the first time in custom_loss(), which makes"
                    " its weights too late for checkpoints. Make them in the constructor, by"
                    f" self.{path}.build({shape})."
                )

    def _way(self, summed: bool, batches: Stacked) -> Way:
        """Return what runs the loop; it is traced anew for other columns, and for other shapes of them."""
        key = (summed, len(self.policy.siblings), *batches.key)
        if key not in self._ways:
            loop = partial(self._loop, batches.put_together, summed)
            name = f"{type(self._model).__name__} in {spelt(self.losses)}"
            # On the CPU XLA runs convolutions within a loop twenty times as long as outside of one.
            slow = self._model.held().convolves and self.runtime.device == "cpu"
            self._ways[key] = Way(loop, self.runtime.ways, name, AS_A_GRAPH if slow else 0)
        return self._ways[key]

    # ------------------------------------------------------------------------------- what is traced

    def _loop(
        self,
        build: BuildBatch,
        summed: bool,
        inputs: StepInputs,
        seeds: Array,
        stored: Any,
        cells: Any,
        rates: Any,
        count: Array,
    ) -> Reported:
        """Take the first ``count`` of S steps, and return what they report, ``[S, ...]``."""
        self.compilations += not self.runtime.ways.eager
        totals = self._zeros() if summed else {}

        def body(number: Array) -> tuple[Reported, dict[str, Weights]]:
            own = _of_step(inputs, number)
            reported, gradients = self._gradients(build(own, stored), cells, seeds[number])
            if summed:
                return reported, gradients
            norms = self._move(gradients, rates, own.tau)
            return {**reported, "metrics": {**reported["metrics"], **norms}}, {}

        run = _unrolled if self.runtime.ways.eager else _looped
        length = int(seeds.shape[0])
        reported, totals = run(body, totals, length, count)
        if summed:
            norms = self._move(totals, rates, None)
            reported["metrics"] |= {name: tf.broadcast_to(norm, (length,)) for name, norm in norms.items()}
        # Read here, variables cost a tenth of what reading them one by one does.
        return {**reported, "weights": tree.map_leaves(tf.convert_to_tensor, self._adopted)}

    def _zeros(self) -> dict[str, Weights]:
        return {
            group: {name: self._gradient(name, None) for name in part.shapes} for group, part in self._by_group.items()
        }

    def _gradients(self, batch: Batch, cells: Any, seed: Array) -> tuple[Reported, dict[str, Weights]]:
        """Return what a batch reports, and each group's gradients, which are those of its own loss alone."""
        with contextlib.ExitStack() as stack, _recorded() as gradients_of:
            stack.enter_context(self.runtime.recording(cells, seed))
            for model in self._models():
                stack.enter_context(model.bound())
            found = self.losses_of(batch)
            of_model = tree.map_leaves(_single, dict(found.of_model))
        by_group = found.by_group
        metrics = {**tree.map_leaves(_single, dict(found.metrics)), "total_loss": sum(by_group.values())}
        gradients: dict[str, Weights] = {}
        for group, part in self._by_group.items():
            names = list(part.shapes)
            variables = [self._trained[name] for name in names]
            given = gradients_of(by_group[group], variables)
            if variables and all(one is None for one in given):
                raise no_gradient(self.losses, group, "a tf.stop_gradient, or NumPy")
            gradients[group] = {name: self._gradient(name, one) for name, one in zip(names, given, strict=True)}
        return {"metrics": metrics, "of_model": of_model, "rows": dict(found.rows)}, gradients

    def _gradient(self, name: str, found: Any) -> Array:
        """Return a weight's gradient, float32 at least; zeros where None was found."""
        gradient = tf.zeros_like(self._trained[name]) if found is None else tf.convert_to_tensor(found)
        return xp(gradient).widened(gradient)

    def _move(self, gradients: dict[str, Weights], rates: Any, tau: Array | None) -> dict[str, Array]:
        """Assign all variables after one step of the optimisers, and return the norms of clipped gradients."""
        weights, slots = tree.map_leaves(tf.convert_to_tensor, (self._trained, self._slots))
        after, slots_after, norms = moved(self._by_group, rates, weights, slots, gradients)
        for name, variable in self._trained.items():
            variable.assign(after[name])
        for kind, values in self._slots.items():
            for name, variable in values.items():
                variable.assign(slots_after[kind][name])
        if tau is not None:
            for sibling in self.policy.siblings:
                self._follow(tf_base(sibling.model), tau)
        return norms

    def _follow(self, target: TFModelV2, tau: Array | float) -> None:
        theirs, ours = target.held().variables, self._model.held().variables
        own, others = tree.map_leaves(tf.convert_to_tensor, (theirs, ours))
        moving = target.held().trained().keys()
        for name, value in nearer(own, others, tau, moving.__contains__).items():
            theirs[name].assign(value)

    # -------------------------------------------------------------------------------------- others

    def follow(self, target: Pipeline, tau: float) -> None:
        """Move a sibling's variables towards the policy's; what is not trained is copied. 0 changes nothing."""
        if tau:
            self._follow(tf_base(target.model), tau)
            tf_base(target.model).synchronise()

    def is_finite(self) -> bool:
        """Whether every parameter is finite."""
        return all(bool(np.isfinite(variable.numpy()).all()) for variable in self._trained.values())

    def _asking_readers(self) -> AbstractContextManager[object]:
        return _calling_back(self.runtime.ways)

    def load_state(self, state: dict[str, NumpyArray]) -> None:
        """Restore what :meth:`state` returned."""
        self._take_in()  # the policy's state, which is restored before, says what is frozen
        self._set_slots(state)

    def _set_slots(self, state: dict[str, NumpyArray]) -> None:
        for kind, values in slots_from(state, self._by_group).items():
            for name, value in values.items():
                self._slots[kind][name].assign(value)

    def _guarding(self, method: str) -> AbstractContextManager[None]:
        return self._model.remaking_nothing(method)

    def _in_trace(self) -> bool:
        return not tf.executing_eagerly()

    def _discard(self, call: Callable[[], object]) -> None:
        tf.function(lambda: (call(), 0)[1], autograph=False).get_concrete_function()

    def _host_slots(self) -> Slots:
        return {kind: {name: one.numpy() for name, one in values.items()} for kind, values in self._slots.items()}


def _calling_back(ways: Ways) -> AbstractContextManager[None]:
    """Let readers be asked at every step of a graph; a plain call asks them by itself."""

    def call(read: Callable[[], list[NumpyArray]], example: list[NumpyArray]) -> list[Array]:
        if ways.number == 0:
            raise NotByXLA("custom_loss() asks a reader of recorded steps, which is Python's.")
        found: list[Array] = tf.numpy_function(read, [], [tf.as_dtype(column.dtype) for column in example])
        for column, of_example in zip(found, example, strict=True):
            column.set_shape([None, *of_example.shape[1:]])
        return found

    return contextlib.nullcontext() if ways.eager else calling_back(call)


@contextlib.contextmanager
def _recorded() -> Iterator[Callable[[Array, list[tf.Variable]], list[Array | None]]]:
    """Yield what returns the gradients of a loss that is computed in the context: it may be asked for several."""
    if not tf.executing_eagerly():
        # A graph is a record itself. A persistent tape would prepare gradients of gradients of every memory's loop.
        yield tf.gradients
        return
    with tf.GradientTape(persistent=True) as tape:
        yield tape.gradient


def _single(value: Array | float) -> Array:
    return tf.cast(tf.convert_to_tensor(value), tf.float32)


def _of_step(inputs: StepInputs, number: Array | int) -> StepInputs:
    """Return what one of S steps is made of; TensorFlow cuts a part out of arrays of eight axes at most."""

    def own(leaf: Array | None) -> Array | None:
        if leaf is None:
            return None
        return leaf[number] if len(leaf.shape) <= 8 else tf.gather(leaf, number)

    found: StepInputs = tf.nest.map_structure(own, inputs)
    return found


def _unrolled(body: Any, totals: dict[str, Weights], length: int, count: Array) -> tuple[Reported, dict[str, Weights]]:
    """Call ``body`` for each step, in Python; add up what else it gives, where there are totals."""
    results = []
    for number in range(int(count)):
        reported, added = body(number)
        totals = tree.map_leaves(tf.add, totals, added) if totals else totals
        results.append(reported)
    return tree.map_leaves(lambda *values: tf.stack(values), *results), totals


def _looped(body: Any, totals: dict[str, Weights], length: int, count: Array) -> tuple[Reported, dict[str, Weights]]:
    """Do as `_unrolled` does, in a loop of TensorFlow's: results are ``[length, ...]``, zeros after ``count``."""
    # What a step returns has to be known before the loop is made of it.
    step = tf.function(body, autograph=False).get_concrete_function(tf.TensorSpec((), tf.int32))
    shapes, _ = step.structured_outputs
    kept = tf.nest.map_structure(
        lambda one: tf.TensorArray(one.dtype, length, element_shape=one.shape, clear_after_read=False), shapes
    )

    def again(number: Array, kept: Any, totals: Any) -> tuple[Array, Any, Any]:
        reported, added = step(number)
        written = tf.nest.map_structure(lambda array, value: array.write(number, value), kept, reported)
        return number + 1, written, tf.nest.map_structure(tf.add, totals, added)

    start = tf.constant(0), kept, totals
    _, kept, totals = tf.while_loop(
        lambda number, *_: number < count, again, start, maximum_iterations=length, parallel_iterations=1
    )
    return tf.nest.map_structure(lambda array: array.stack(), kept), totals
