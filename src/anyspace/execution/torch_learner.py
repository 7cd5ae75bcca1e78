"""Gradient steps with PyTorch."""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from anyspace.errors import ConfigError
from anyspace.execution.groups import Group, Rated, metric_name
from anyspace.execution.learner import (
    LossFunction,
    Result,
    Steps,
    as_losses,
    described,
    group_of,
    kept_in,
    model_metrics,
    no_gradient,
    plain_metrics,
    rows_width,
    spelt,
    with_custom_loss,
)
from anyspace.execution.torch_packs import Followed, Pack, clip, move
from anyspace.models.host import require_none_late
from anyspace.models.runtime import NumpyArray
from anyspace.models.torch.base import TorchModelV2
from anyspace.models.torch.layers import within
from anyspace.models.torch.untouched import Untouched
from anyspace.policy.batch import Batch
from anyspace.policy.gradients import reached_by_value
from anyspace.policy.pipeline import Pipeline
from anyspace.policy.policy import Policy
from anyspace.policy.sequences import take_sequences


class TorchLearner(Rated):
    """Optimises the parameters of the policy's model; see :class:`anyspace.execution.learner.Learner`.

    Parameters and gradients of a group are laid side by side in one tensor each (per element type), so that clipping
    and the optimiser cost a few kernels instead of a few for every parameter. The model's parameters are views of it.

    Args:
        policy: whose model learns.
        losses: the algorithm's.
        groups: how the parameters of each loss are moved.

    Raises:
        ConfigError: the model puts a parameter into a group that the algorithm does not have.
    """

    def __init__(self, policy: Policy, losses: LossFunction, groups: Mapping[str, Group]):
        super().__init__(groups)
        self.policy = policy
        self.losses = losses
        self._there: list[tuple[int, bool]] = []
        self._followed: dict[int, Followed] = {}
        self._packed: dict[str, nn.Parameter] = {}
        self._packs: dict[str, list[Pack]] = {group: [] for group in groups}
        self._has_moved = False
        self._known: frozenset[str] = frozenset()
        self._pack()
        self._untouched = Untouched(self._module, self._packed, functools.partial(reached_by_value, policy))
        self.at(0)

    def _pack(self) -> None:
        """Take in the parameters that are to be trained, and keep the moments of those that were there before."""
        there = [
            (id(weight), weight.requires_grad)
            for module in within(self._module)
            for weight in module._parameters.values()
            if weight is not None
        ]
        if there == self._there:
            return
        self._there = there
        self._followed.clear()
        now = {name: one for name, one in self._module.named_parameters() if one.requires_grad}
        if [*map(id, now.values())] == [*map(id, self._packed.values())]:
            return
        before, self._packed = self.state(), now
        parameters: dict[str, dict[torch.dtype, dict[str, nn.Parameter]]] = {name: {} for name in self.groups}
        for name, parameter in now.items():
            parameters[group_of(self.policy.model, name, self.groups)].setdefault(parameter.dtype, {})[name] = parameter
        self._packs = {group: [Pack(one) for one in by_type.values()] for group, by_type in parameters.items()}
        for name, value in self._slots():
            if name in before and before[name].size == value.numel():
                value.copy_(torch.from_numpy(before[name]).view(value.shape))

    @property
    def _module(self) -> TorchModelV2:
        assert isinstance(self.policy.model, TorchModelV2)
        return self.policy.model

    def at(self, timestep: int) -> None:
        """Take in how many environment steps were sampled so far, and what was frozen, released or exchanged since."""
        self._pack()
        if not self._has_moved:
            self._known = frozenset(self._module.state_dict())
        super().at(timestep)

    def step(self, batch: Batch) -> Result:
        """Take one gradient step; see the protocol."""
        return self._part(batch, begins=True, ends=True)

    def _part(self, batch: Batch, *, begins: bool, ends: bool) -> Result:
        """Take a gradient step, or a part of one: gradients add up from its beginning, and its end moves parameters."""
        with self.policy.runtime.own_randomness("learning"):
            return self._step(batch, begins=begins, ends=ends)

    def _step(self, batch: Batch, *, begins: bool, ends: bool) -> Result:
        found = as_losses(self.losses(self.policy, batch), self.groups, batch, spelt(self.losses))
        self._require_gradients(found.by_group)
        losses = with_custom_loss(self.policy, found.by_group, batch)
        metrics = {name: _detached(value) for name, value in found.metrics.items()}
        if begins:
            self._clear_gradients()
        self._backward(losses)
        self._untouched.count()
        if ends:
            self._move(metrics)
        metrics["total_loss"] = functools.reduce(operator.add, [loss.detach() for loss in losses.values()])
        return Result(metrics, {name: value.detach() for name, value in found.rows.items()})

    def _move(self, metrics: dict[str, torch.Tensor | float]) -> None:
        """Let the optimisers move the parameters by their gradients, and report the norms of those that are clipped."""
        if not self._has_moved:
            require_none_late(type(self._module).__name__, self._known, self._module.state_dict())
        for name, group in self.groups.items():
            packs = self._packs[name]
            if group.grad_clip is not None and packs:
                metrics[metric_name("grad_norm", name, self.groups)] = clip(packs, group.grad_clip)
            move(packs, group, self._rates[name])
        self._has_moved = True
        with torch.no_grad():
            for update in self.policy.model.update_ops():
                update()

    def _require_gradients(self, losses: dict[str, torch.Tensor]) -> None:
        """Refuse losses that could not move a parameter."""
        for name, loss in losses.items():
            where = f"{spelt(self.losses)}(): the loss {name!r}"
            if not isinstance(loss, torch.Tensor):
                raise ConfigError(f"{where} must be a torch.Tensor, but is {described(loss)}.")
            for pack in self._packs[name]:
                if not loss.requires_grad:
                    raise no_gradient(self.losses, name, "a detach(), a no_grad(), an item() or NumPy")
                if loss.device != pack.values.device:
                    raise ConfigError(
                        f"{where} is on {loss.device}, but the model is on {pack.values.device}: leave it there."
                    )

    def _clear_gradients(self) -> None:
        for packs in self._packs.values():
            for pack in packs:
                pack.clear_gradients()

    def _backward(self, losses: dict[str, torch.Tensor]) -> None:
        """Add the gradient of each loss to the parameters of its own group, and to no others."""
        if len(losses) == 1:
            (loss,) = losses.values()
            torch.autograd.backward(loss)
            return
        remaining = len(losses)
        for name, loss in losses.items():
            remaining -= 1
            own = [parameter for pack in self._packs[name] for parameter in pack.parameters]
            if own:
                torch.autograd.backward(loss, inputs=own, retain_graph=remaining > 0)

    def steps(self, steps: Steps) -> Result:
        """Take several gradient steps, one after the other; the rows of an epoch are gathered at once."""
        results: list[Result] = []
        apart, last = not steps.summed, len(steps.order) - 1
        for number, batch in enumerate(self._batches(steps)):
            results.append(self._part(batch, begins=apart or number == 0, ends=apart or number == last))
            if steps.tau is not None:
                for sibling in self.policy.siblings:
                    self.follow(sibling, float(steps.tau[number]))
        # A number that only some steps report has fewer entries.
        names = dict.fromkeys(name for one in results for name in one.metrics)
        metrics = {name: self._stacked([one.metrics[name] for one in results if name in one.metrics]) for name in names}
        named = results[0].rows if results else {}
        rows = {name: _side_by_side([one.rows[name] for one in results], steps) for name in named}
        return Result(metrics, rows)

    def _stacked(self, numbers: list[torch.Tensor | float]) -> torch.Tensor:
        """Return what several steps reported as one tensor [S]; a plain number counts as a double."""
        tensors = [number for number in numbers if isinstance(number, torch.Tensor)]
        if len(tensors) == len(numbers):
            return torch.stack(tensors)
        device = self.policy.runtime.device
        return torch.stack([torch.as_tensor(number, dtype=torch.float64, device=device) for number in numbers])

    def _batches(self, steps: Steps) -> Iterator[Batch]:
        runtime, lens = self.policy.runtime, steps.counted.sum(axis=1)
        sequences = steps.rows.get("sequences")
        at_once = int(lens.max(initial=0)) if sequences is None else len(sequences.lens)
        if sequences is None:
            at_once = max(at_once, len(steps.rows["obs"][0]))
        first = 0
        while first < len(lens):
            stop = first + max(1, int(np.searchsorted(np.cumsum(lens[first:]), at_once, side="right")))
            order = steps.order[first:stop][steps.counted[first:stop]]
            if sequences is None:
                gathered = steps.rows.take(runtime.asarray(order))
            else:
                gathered = take_sequences(steps.rows, order, runtime)
            start = 0
            for length in map(int, lens[first:stop]):
                yield gathered.slice(start, start + length)
                start += length
            first = stop

    def follow(self, target: Pipeline, tau: float) -> None:
        """Move a sibling's weights towards the policy's; buffers, such as batch statistics, are copied.

        A ``tau`` of 0 changes nothing.
        """
        if tau == 0:
            return
        if id(target) not in self._followed:
            self._followed[id(target)] = Followed(self._module, target)
        with torch.no_grad():
            self._followed[id(target)].move(tau)

    def is_finite(self) -> bool:
        """Whether every parameter is finite."""
        return all(bool(pack.values.isfinite().all()) for packs in self._packs.values() for pack in packs)

    def model_metrics(self) -> dict[str, Any]:
        """Return what the model reports, of the latest gradient step; {} before it."""
        return plain_metrics(model_metrics(self.policy.model), self.policy.runtime.numpy) if self._has_moved else {}

    def state(self) -> dict[str, NumpyArray]:
        """Return the optimisers' moments and step counts by parameter name."""
        state: dict[str, NumpyArray] = {}
        for name, packs in self._packs.items():
            for pack in packs:
                first, second, step = (
                    value.detach().cpu().numpy().copy() for value in (pack.first, pack.second, pack.step)
                )
                state |= pack.slots(self.groups[name], first, second, step)
        return state

    def load_state(self, state: dict[str, NumpyArray]) -> None:
        """Restore what :meth:`state` returned; what was frozen then has no moments yet."""
        self._pack()  # the policy's state, which is restored before, says what is frozen
        for name, value in self._slots():
            if f"{name.rpartition('/')[0]}/step" not in state:
                continue
            value.copy_(torch.from_numpy(np.array(kept_in(state, name))).view(value.shape))

    def _slots(self) -> Iterator[tuple[str, torch.Tensor]]:
        for group, packs in self._packs.items():
            for pack in packs:
                yield from pack.slots(self.groups[group], pack.first, pack.second, pack.step)


def _detached(value: torch.Tensor | float) -> torch.Tensor | float:
    """Return a number that holds on to nothing of the step that made it."""
    return value.detach() if isinstance(value, torch.Tensor) else value


def _side_by_side(rows: list[torch.Tensor], steps: Steps) -> torch.Tensor:
    """Return numbers of the rows of each step [n] as [S, N], NaN where there is no row."""
    width = rows_width(steps, max(map(len, rows)))
    found = rows[0].new_full((len(rows), width), torch.nan, dtype=torch.promote_types(rows[0].dtype, torch.float32))
    for number, row in enumerate(rows):
        found[number, : len(row)] = row
    return found
