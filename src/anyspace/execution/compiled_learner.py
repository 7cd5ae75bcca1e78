"""What learners of compiled frameworks share: groups, rates, what a traced step computes, what is reported."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

import numpy as np

from anyspace import tree
from anyspace.errors import ConfigError, ModelError
from anyspace.execution.groups import Group, Rated
from anyspace.execution.learner import (
    LossFunction,
    Result,
    Steps,
    as_losses,
    group_of,
    model_metrics,
    plain_metrics,
    spelt,
    with_custom_loss,
)
from anyspace.execution.xla import (
    GroupWeights,
    Slots,
    Stacked,
    even_parts,
    joined,
    of_rows,
    parts_of,
    slots_by_name,
    stacked,
)
from anyspace.maths.xp import Array
from anyspace.models.host import changed_in, once_in_a_trace, plain_values
from anyspace.models.modelv2 import ModelV2
from anyspace.models.runtime import NumpyArray
from anyspace.policy.batch import Batch
from anyspace.policy.policy import Policy


class Traced(NamedTuple):
    """What the losses of a batch come to, within a trace."""

    by_group: dict[str, Array]
    metrics: Mapping[str, Array | float]
    of_model: Mapping[str, Any]
    """The model's own metrics."""
    rows: Mapping[str, Array]


Model = TypeVar("Model", bound=ModelV2)
"""The base class of a framework's models."""
R = TypeVar("R")


class CompiledLearner(Rated, ABC, Generic[Model]):
    """Optimises a policy's model in compiled steps; see :class:`anyspace.execution.learner.Learner`.

    A framework's class calls `at` when it is built.

    Args:
        policy: whose model learns.
        losses: the algorithm's.
        groups: how the parameters of each loss are moved.

    Attributes:
        compilations: how often a step was traced, alone or within a loop.

    Raises:
        ConfigError: the model puts a parameter into a group that the algorithm does not have.
    """

    counter: ClassVar[str]
    """What counts steps in the framework."""
    draw: ClassVar[str]
    """What draws random numbers there."""

    def __init__(self, policy: Policy, losses: LossFunction, groups: Mapping[str, Group]):
        super().__init__(groups)
        self.policy, self.losses = policy, losses
        self.compilations = 0
        self._by_group: dict[str, GroupWeights] = {}
        self._whole = False
        self._model_metrics: dict[str, Any] = {}

    @abstractmethod
    def _base(self, model: ModelV2) -> Model:
        """Return the model that holds the arrays: a model of the framework, or what one is wrapped around."""

    @property
    def _model(self) -> Model:
        return self._base(self.policy.model)

    def _models(self) -> list[Model]:
        return [self._base(pipeline.model) for pipeline in (self.policy, *self.policy.siblings)]

    def _take_over(self, shapes: Mapping[str, tuple[int, ...]], in_double: frozenset[str]) -> None:
        """Divide the weights that are trained, by name, among the groups; some of them are float64."""
        by_group: dict[str, dict[str, tuple[int, ...]]] = {name: {} for name in self.groups}
        for name, shape in shapes.items():
            by_group[group_of(self.policy.model, name, self.groups)][name] = shape
        self._by_group = {name: GroupWeights(group, by_group[name], in_double) for name, group in self.groups.items()}
        self._whole = self.policy.runtime.has_batch_statistics(self.policy.model)

    # ------------------------------------------------------------------------------------- steps

    def step(self, batch: Batch) -> Result:
        """Take one gradient step; see the protocol."""
        sequences = batch.get("sequences")
        order = np.arange(len(batch["obs"][0]) if sequences is None else len(sequences.lens))[None]
        steps = Steps(self._on_host(batch), order, np.ones(order.shape, np.bool_))
        result = self._take(steps, alone=True)
        return Result(*(tree.map_leaves(lambda leaf: leaf[0], part) for part in (result.metrics, result.rows)))

    def steps(self, steps: Steps) -> Result:
        """Take several gradient steps, in as few calls as memory allows."""
        steps = replace(steps, rows=self._on_host(steps.rows))
        parts = [part for some in (even_parts(steps) if self._whole else [steps]) for part in parts_of(some)]
        return joined([self._take(part, alone=False) for part in parts], steps)

    @abstractmethod
    def _take(self, steps: Steps, *, alone: bool) -> Result:
        """Take steps whose rows fit memory; ``alone``: there is one, and no room for more."""

    def _on_host(self, batch: Batch) -> Batch:
        """Return a batch whose columns are NumPy's."""
        return batch

    def stacked(self, steps: Steps, *, alone: bool = False) -> Stacked:
        """Return the rows of steps as compiled steps take them."""
        packs = self.policy.model.packs_sequences()
        return stacked(steps, self.policy.max_seq_len, whole=self._whole, packs=packs, alone=alone)

    def _result(self, metrics: Any, of_model: Any, rows: Any, batches: Stacked, count: int) -> Result:
        """Return what steps report [S, ...], of the ``count`` that were taken."""
        last = tree.map_leaves(lambda value: value[count - 1], dict(of_model))
        self._model_metrics = plain_metrics(last, np.asarray)
        return Result(
            {name: value[:count] for name, value in metrics.items()},
            {name: of_rows(value, batches.places) for name, value in rows.items()},
        )

    # ------------------------------------------------------------------------------- what is traced

    def losses_of(self, batch: Batch) -> Traced:
        """Return what the losses of a batch come to, and do what the model wants to be done after a step."""
        try:
            returned = self.losses(self.policy, batch)
        except TypeError as error:
            if "must be Tensor, not" not in str(error):  # PyTorch's words
                raise
            raise ConfigError(
                f"{spelt(self.losses)}() calls PyTorch on an array of another framework: {error}. Call xp(array), as in"
                f" xp(logp).exp(logp), or take framework='torch' in place of {self.policy.runtime.framework!r}."
            ) from error
        found = as_losses(returned, self.groups, batch, spelt(self.losses))
        with self._asking_readers():
            by_group = self._once("custom_loss", lambda: with_custom_loss(self.policy, found.by_group, batch))
        for update in self.policy.model.update_ops():
            update()
        of_model = self._once("metrics", lambda: model_metrics(self.policy.model))
        return Traced(by_group, found.metrics, of_model, found.rows)

    def _once(self, method: str, call: Callable[[], R]) -> R:
        """Return what a method of the model gives in a trace, in which Python runs once for all steps.

        Raises:
            ModelError: it counts in Python, or draws from a source that is none of the framework's.
        """
        model = self.policy.model
        with self._guarding(method):
            if not self._in_trace():
                return call()
            before = plain_values([model])
            found = call()
            once = plain_values([model])
            is_new = any(isinstance(once[name], int | float) for name in once.keys() - before.keys())
            if changed_in(before, once) is None and not is_new:
                return found
            attributes = dict(vars(model))
            self._discard(call)
            name = changed_in(once, plain_values([model]))
            vars(model).update(attributes)
        if name is not None:
            where = f"{type(model).__name__}.{method}()"
            raise ModelError(once_in_a_trace(name, counter=self.counter, draw=self.draw, method=where))
        return found

    @abstractmethod
    def _in_trace(self) -> bool:
        """Return whether what runs is compiled, so that Python does not run again at the next step."""

    @abstractmethod
    def _discard(self, call: Callable[[], object]) -> None:
        """Call something in a trace of its own, which nobody compiles."""

    @abstractmethod
    def _guarding(self, method: str) -> AbstractContextManager[None]:
        """Return a context for a method of the model, whose name errors say; weights that it makes are refused."""

    @abstractmethod
    def _asking_readers(self) -> AbstractContextManager[object]:
        """Return a context in which readers of recorded steps are asked at every step of what is traced."""

    # -------------------------------------------------------------------------------------- others

    def model_metrics(self) -> dict[str, Any]:
        """Return the model's own metrics, of the latest gradient step; {} before it."""
        return dict(self._model_metrics)

    def state(self) -> dict[str, NumpyArray]:
        """Return the optimisers' moments and step counts by parameter name."""
        return slots_by_name(self._host_slots(), self._by_group)

    @abstractmethod
    def _host_slots(self) -> Slots:
        """Return what the optimisers keep, as arrays that NumPy takes."""
