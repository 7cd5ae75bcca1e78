"""A second framework, JAX, by the seam alone: two models, a runtime, a learner, and PPO over them.

Nothing of the library is changed or patched for it. Outside of compiled calls all arrays are NumPy's, the weights too,
and a model runs the same lines in NumPy there. A gradient step is compiled for few shapes: rows are padded by
repeating real ones that do not count, and whatever changes is an argument.

It leaves out what its models do not have: views, dropout, batch statistics.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeAlias, get_args

import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from anyspace import tree
from anyspace.algorithms.ppo import PPO
from anyspace.errors import CheckpointError
from anyspace.execution.learner import Group, LossFunction, Result, Steps, as_losses, with_custom_loss
from anyspace.maths.cell import Cell
from anyspace.maths.xp import Array, xp
from anyspace.models.modelv2 import ModelV2, State
from anyspace.models.runtime import Layer, NumpyArray, RandomSource
from anyspace.policy.batch import Batch
from anyspace.policy.pipeline import Pipeline
from anyspace.policy.policy import Policy
from anyspace.policy.sequences import PaddedSequences

Weights: TypeAlias = dict[str, Array]

jax.tree_util.register_dataclass(PaddedSequences, ["lens", "state"], ["longest"])


# ------------------------------------------------------------------------------------------- models


class JaxModel(ModelV2):
    """A model whose weights are a dict of arrays: NumPy's, or within a compiled step that step's arguments.

    Attributes:
        weights: by name; what lies before the last slash is the layer.
    """

    framework = "jax"

    def __init__(
        self,
        obs_space: gym.Space[Any],
        action_space: gym.Space[Any],
        num_outputs: int,
        model_config: dict[str, Any],
        name: str = "jax_model",
    ):
        super().__init__(obs_space, action_space, num_outputs, model_config, name)
        self.weights: Weights = {}
        self._rng = np.random.default_rng(random.getrandbits(64))
        self.build(obs_space.shape[0], num_outputs, model_config["fcnet_hiddens"])

    def build(self, width_in: int, num_outputs: int, hiddens: Sequence[int]) -> None:
        """Draw the weights."""
        raise NotImplementedError

    def add_dense(self, name: str, widths: Sequence[int], last_gain: float = 1.0) -> None:
        """Add layers of the given widths, the first of which is that of the input; kernels are orthogonal."""
        for i, (width_in, width_out) in enumerate(itertools.pairwise(widths)):
            gain = last_gain if i == len(widths) - 2 else 1.0
            square, _ = np.linalg.qr(self._rng.standard_normal((max(width_in, width_out), min(width_in, width_out))))
            kernel = square if width_in >= width_out else square.T
            self.weights[f"{name}/{i}/kernel"] = (gain * kernel).astype(np.float32)
            self.weights[f"{name}/{i}/bias"] = np.zeros(width_out, np.float32)

    def dense(self, name: str, x: Array, layers: int, *, linear_end: bool = True) -> Array:
        """Run layers; tanh lies between them, and behind the last one unless that is linear."""
        for i in range(layers):
            x = x @ self.weights[f"{name}/{i}/kernel"] + self.weights[f"{name}/{i}/bias"]
            if i < layers - 1 or not linear_end:
                x = xp(x).tanh(x)
        return x

    @contextlib.contextmanager
    def bound(self, weights: Weights) -> Iterator[None]:
        """Run with these weights; afterwards the model is as it was, so that nothing of a trace stays in it."""
        before = dict(vars(self))
        self.weights = weights
        try:
            yield
        finally:
            vars(self).clear()
            vars(self).update(before)


class DenseModel(JaxModel):
    """Dense layers to the logits, and as many of their own to the value, which is computed when asked for."""

    def build(self, width_in: int, num_outputs: int, hiddens: Sequence[int]) -> None:
        self.layers = len(hiddens) + 1
        self.add_dense("logits", [width_in, *hiddens, num_outputs], 0.01)
        self.add_dense("value", [width_in, *hiddens, 1], 0.01)

    def forward(self, input_dict: dict[str, Any], state: State, seq_lens: None) -> tuple[Array, State]:
        self._obs = input_dict["obs_flat"]
        return self.dense("logits", self._obs, self.layers), state

    def value_function(self) -> Array:
        return self.dense("value", self._obs, self.layers)[:, 0]


class LSTMModel(JaxModel):
    """Dense layers, an LSTM, and linear logits and values of what it remembers."""

    def build(self, width_in: int, num_outputs: int, hiddens: Sequence[int]) -> None:
        self.layers = len(hiddens)
        self.width = self.model_config["lstm_cell_size"]
        self.add_dense("encoder", [width_in, *hiddens])
        limit = self.width**-0.5
        for name, shape in (("input", (hiddens[-1],)), ("hidden", (self.width,)), ("bias", ())):
            numbers = self._rng.uniform(-limit, limit, (*shape, 4 * self.width))
            self.weights[f"lstm/{name}"] = numbers.astype(np.float32)
        self.add_dense("logits", [self.width, num_outputs], 0.01)
        self.add_dense("value", [self.width, 1], 0.01)

    def get_initial_state(self) -> State:
        return [np.zeros(self.width, np.float32), np.zeros(self.width, np.float32)]

    def forward(self, input_dict: dict[str, Any], state: State, seq_lens: Array) -> tuple[Array, State]:
        features = self.dense("encoder", input_dict["obs_flat"], self.layers, linear_end=False)
        gates = features @ self.weights["lstm/input"] + self.weights["lstm/bias"]
        count = len(seq_lens)
        time_major = self.is_time_major()
        ns = xp(gates)
        gates = ns.moveaxis(gates.reshape((count, -1, 4 * self.width)), 0, 1)  # [T, S, 4 H]
        inside = ns.arange(len(gates), like=seq_lens)[:, None] < seq_lens  # [T, S]
        out, state = _unrolled(self._step, tuple(state), (gates, inside[..., None]))
        out = out if time_major else ns.moveaxis(out, 0, 1)
        self._remembered = out.reshape(-1, self.width)
        return self.dense("logits", self._remembered, 1), list(state)

    def _step(self, state: tuple[Array, Array], inputs: tuple[Array, Array]) -> tuple[tuple[Array, Array], Array]:
        """Take one step; padding leaves the states as they are."""
        (hidden, cell), (gates, inside) = state, inputs
        gates = gates + hidden @ self.weights["lstm/hidden"]
        ns = xp(gates)
        entry, keep, new, out = (gates[:, i * self.width : (i + 1) * self.width] for i in range(4))
        new_cell = _sigmoid(keep) * cell + _sigmoid(entry) * ns.tanh(new)
        new_hidden = _sigmoid(out) * ns.tanh(new_cell)
        hidden, cell = ns.where(inside, new_hidden, hidden), ns.where(inside, new_cell, cell)
        return (hidden, cell), hidden

    def value_function(self) -> Array:
        return self.dense("value", self._remembered, 1)[:, 0]


def _sigmoid(x: Array) -> Array:
    return 0.5 + 0.5 * xp(x).tanh(0.5 * x)


def _unrolled(step: Callable[..., Any], state: Any, inputs: tuple[Array, ...]) -> tuple[Array, Any]:
    """Return the outputs of all steps [T, ...] and the last state."""
    if not isinstance(inputs[0], np.ndarray):
        state, out = jax.lax.scan(step, state, inputs)
        return out, state
    outs = []
    for t in range(len(inputs[0])):
        state, out = step(state, tuple(array[t] for array in inputs))
        outs.append(out)
    return xp(outs[0]).stack(outs), state


# ------------------------------------------------------------------------------------------ runtime


class JaxRuntime:
    """JAX on the CPU; see :class:`anyspace.models.runtime.Runtime`.

    Attributes:
        cells: every cell that was made, for the learner to bind.
    """

    framework = "jax"
    device = "cpu"

    def __init__(self) -> None:
        self.cells: list[Cell] = []
        self._key: Array | None = None
        self.seed(0)

    @contextlib.contextmanager
    def initialising(self, seed: int) -> Iterator[None]:
        """Seed Python's ``random``, of which models draw their seeds, and put it back afterwards."""
        before = random.getstate()
        random.seed(seed)
        yield
        random.setstate(before)

    def cell(self, value: float | NumpyArray) -> Cell:
        self.cells.append(Cell(value))
        return self.cells[-1]

    @contextlib.contextmanager
    def tracing(self, cells: Sequence[Array], key: Array) -> Iterator[None]:
        """Let cells have these values and draws for learning come from this key, as long as a step is traced."""
        for cell, value in zip(self.cells, cells, strict=True):
            cell.bind(value)
        self._key = jax.random.wrap_key_data(key)
        try:
            yield
        finally:
            self._key = None
            for cell in self.cells:
                cell.bind(None)

    def place(self, model: ModelV2) -> None:
        """Do nothing: weights lie in NumPy's arrays."""

    def asarray(self, array: NumpyArray) -> NumpyArray:
        return array

    def numpy(self, tensor: Array) -> NumpyArray:
        return np.asarray(tensor)

    def threads_for(self, rows: int) -> AbstractContextManager[object]:
        """XLA chooses its own threads."""
        return contextlib.nullcontext()

    def compiled(self, model: ModelV2) -> None:
        """The model is its own twin."""

    def acting(self) -> AbstractContextManager[object]:
        return contextlib.nullcontext()

    def no_grad(self) -> AbstractContextManager[object]:
        return contextlib.nullcontext()

    def seed(self, seed: int) -> None:
        names = get_args(RandomSource)
        streams = np.random.SeedSequence(seed).spawn(len(names))
        self._generators = {name: np.random.default_rng(one) for name, one in zip(names, streams, strict=True)}

    def rng(self, source: RandomSource) -> np.random.Generator | Array:
        """Return NumPy's generator; a key that was not used before while a step is traced."""
        if self._key is None:
            return self._generators[source]
        assert source == "learning", source
        self._key, key = jax.random.split(self._key)
        return key

    def keys(self, count: int) -> npt.NDArray[np.uint32]:
        """Draw the keys of gradient steps, [count, 2]."""
        return self._generators["learning"].integers(2**32, size=(count, 2), dtype=np.uint32)

    def own_randomness(self, source: RandomSource) -> AbstractContextManager[object]:
        """JAX has no global source."""
        return contextlib.nullcontext()

    def rng_state(self) -> dict[str, npt.NDArray[np.uint8]]:
        return {
            name: np.frombuffer(json.dumps(generator.bit_generator.state).encode(), np.uint8)
            for name, generator in self._generators.items()
        }

    def set_rng_state(self, state: Mapping[str, npt.NDArray[np.uint8]]) -> None:
        for name, data in state.items():
            self._generators[name].bit_generator.state = json.loads(data.tobytes())

    def permutation(self, n: int) -> NumpyArray:
        return self._generators["learning"].permutation(n)

    def set_training(self, model: ModelV2, training: bool) -> None:
        """Do nothing: the layers behave alike."""

    def has_batch_statistics(self, model: ModelV2) -> bool:
        return False

    def trained(self, model: ModelV2) -> frozenset[str]:
        return frozenset(_jax(model).weights)

    def reached(self, model: ModelV2, compute: Any) -> None:
        """A traced step alone has gradients."""

    def parameters(self, model: ModelV2) -> dict[str, NumpyArray]:
        return {name: np.array(value) for name, value in _jax(model).weights.items()}

    def load_parameters(self, model: ModelV2, values: dict[str, NumpyArray]) -> None:
        own = {name: value.shape for name, value in _jax(model).weights.items()}
        if own != {name: value.shape for name, value in values.items()}:
            raise CheckpointError(f"the weights do not fit the model, which has {own}.")
        _jax(model).weights = {name: np.array(values[name]) for name in own}

    def layers(self, model: ModelV2) -> list[Layer]:
        by_layer: dict[str, dict[str, Array]] = {}
        for name, value in _jax(model).weights.items():
            layer, _, part = name.rpartition("/")
            by_layer.setdefault(layer, {})[part] = value
        return [
            Layer(layer, "Layer", ", ".join(f"{part} {value.shape}" for part, value in parts.items()), _size(parts))
            for layer, parts in by_layer.items()
        ]


# ------------------------------------------------------------------------------------------ learner


class JaxLearner:
    """Adam in compiled steps; see :class:`anyspace.execution.learner.Learner`.

    What a step takes: the weights of the policy's model and of its siblings, the moments, the padded rows, a random
    key, the values of all cells, the learning rates. `steps` takes all its steps in one call, a scan over them.

    Args:
        policy: whose model learns.
        losses: the algorithm's.
        groups: how the parameters of each loss are moved; by Adam.

    Attributes:
        scans: whether `steps` makes one call; else it makes one for each step.
        compilations: how often a step was traced, alone or within a scan.
    """

    def __init__(self, policy: Policy, losses: LossFunction, groups: Mapping[str, Group]):
        assert all(group.optimiser == "adam" for group in groups.values())
        self.policy, self.losses, self.groups = policy, losses, dict(groups)
        self.scans, self.compilations = True, 0
        model = _jax(policy.model)
        first = next(iter(groups))
        self._own: dict[str, list[str]] = {name: [] for name in groups}
        for name in model.weights:
            self._own[model.group_of(name) or first].append(name)
        zeros = {name: np.zeros_like(value) for name, value in model.weights.items()}
        self._slots = {"exp_avg": zeros, "exp_avg_sq": zeros, "step": dict.fromkeys(groups, np.zeros((), np.float32))}
        self._compiled = {False: jax.jit(self._traced_step), True: jax.jit(self._traced_scan)}
        self.at(0)

    def at(self, timestep: int) -> None:
        self._rates = {name: group.lr(timestep) for name, group in self.groups.items()}

    def learning_rates(self) -> dict[str, float]:
        return dict(self._rates)

    # ------------------------------------------------------------------------------------- steps

    def step(self, batch: Batch) -> Result:
        """Take one gradient step: of several, the only one."""
        sequences = batch.get("sequences")
        order = np.arange(len(batch["obs"][0]) if sequences is None else len(sequences.lens))[None]
        result = self._take(Steps(batch, order, np.ones(order.shape, np.bool_)), scans=False)
        return Result(*(tree.map_leaves(lambda leaf: leaf[0], part) for part in (result.metrics, result.rows)))

    def steps(self, steps: Steps) -> Result:
        """Take several gradient steps, in one call where that is wanted."""
        return self._take(steps, scans=self.scans)

    def _take(self, steps: Steps, *, scans: bool) -> Result:
        count, width = steps.order.shape
        columns, keys = self.padded(steps, self.size(count if scans else 1, width)), self.policy.runtime.keys(count)
        inputs = {"columns": columns, "key": keys, "tau": steps.tau}
        changing = [cell.host for cell in self.policy.runtime.cells], self._rates
        carry = self.weights(), self._slots
        if scans:
            missing = len(columns["counted"]) - count
            inputs |= {"key": _longer(keys, missing), "tau": None if steps.tau is None else _longer(steps.tau, missing)}
            carry, found = self._compiled[True](carry, inputs, *changing)
        else:
            results = []
            for number in range(count):
                one = jax.tree.map(lambda leaf, number=number: leaf[number], inputs)
                carry, result = self._compiled[False](carry, one, *changing)
                results.append(result)
            found = jax.tree.map(lambda *parts: np.stack(parts), *results)
        weights, self._slots = carry
        for model, values in zip(self._models(), weights, strict=True):
            model.weights = {name: np.asarray(value) for name, value in values.items()}
        metrics, rows = jax.tree.map(lambda leaf: np.asarray(leaf)[:count], found)
        there = columns["counted"][:count] > 0
        return Result(metrics, {name: _of_counted(values, there) for name, values in rows.items()})

    @staticmethod
    def size(count: int, width: int) -> tuple[int, int]:
        """Return for how many steps of how many rows, or sequences, to compile: the next powers of two.

        It goes by these two numbers alone, so that a run that goes on from a checkpoint takes the same steps.
        """
        return 1 << (count - 1).bit_length(), 1 << (width - 1).bit_length()

    def padded(self, steps: Steps, size: tuple[int, int]) -> dict[str, Any]:
        """Return the columns of all steps, [S, N, ...] each, and ``counted`` among them.

        ``size`` is S and N, both at least what is needed; in place of N sequences there are N times as many rows as the
        longest has steps. Entries that do not count repeat the first one of their step; a step too many takes row 0.
        """
        assert "views" not in steps.rows, "views are left out here"
        count = max(size[0], len(steps.order))
        shape = (count, size[1])
        order, counted = np.zeros(shape, np.int64), np.zeros(shape, np.bool_)
        order[: len(steps.order)] = steps.order[:, :1]
        counted[: len(steps.order), : steps.order.shape[1]] = steps.counted
        order[counted] = steps.order[steps.counted]
        columns: dict[str, Any] = {}
        index = order
        if (sequences := steps.rows.get("sequences")) is not None:
            lens, starts = sequences.lens[order], (np.cumsum(sequences.lens) - sequences.lens)[order]
            longest = max(self.policy.max_seq_len, int(sequences.lens.max()))
            times = np.arange(longest)
            index = (starts[..., None] + np.minimum(times, lens[..., None] - 1)).reshape(count, -1)
            counted = ((times < lens[..., None]) & counted[..., None]).reshape(count, -1)
            state = [part[order] for part in sequences.state]
            columns["sequences"] = PaddedSequences(lens.astype(np.int32), state, longest)
        for name, column in steps.rows.items():
            if name != "sequences":
                columns[name] = tree.map_leaves(lambda leaf: leaf[index], column)
        return {**columns, "counted": counted.astype(np.float32)}

    # ------------------------------------------------------------------------------- what is traced

    def _traced_scan(self, carry: Any, inputs: Any, cells: Any, rates: Any) -> Any:
        self.compilations += 1
        return jax.lax.scan(lambda carry, one: self._move(carry, one, cells, rates), carry, inputs)

    def _traced_step(self, carry: Any, inputs: Any, cells: Any, rates: Any) -> Any:
        self.compilations += 1
        return self._move(carry, inputs, cells, rates)

    def _move(self, carry: Any, inputs: dict[str, Any], cells: Any, rates: dict[str, Array]) -> Any:
        """Take one step: return weights and slots after it, and what it reports. One that counts nothing moves none."""
        (weights, *siblings), slots = carry
        columns, tau = inputs["columns"], inputs["tau"]
        metrics, rows, gradients = self.gradients([weights, *siblings], columns, cells, inputs["key"])
        moved, changed = dict(weights), {name: dict(values) for name, values in slots.items()}
        for name, group in self.groups.items():
            own = {key: gradients[key] for key in self._own[name]}
            if group.grad_clip is not None:
                norm = jnp.sqrt(sum(jnp.sum(gradient**2) for gradient in own.values()))
                metrics["grad_norm" if len(self.groups) == 1 else f"grad_norm_{name}"] = norm
                scale = jnp.minimum(1.0, group.grad_clip / (norm + 1e-6))
                own = {key: gradient * scale for key, gradient in own.items()}
            t = changed["step"][name] = slots["step"][name] + 1
            for key, gradient in own.items():
                # Adam: the moments, then the step by both without their bias.
                first = changed["exp_avg"][key] = 0.9 * slots["exp_avg"][key] + 0.1 * gradient
                second = changed["exp_avg_sq"][key] = 0.999 * slots["exp_avg_sq"][key] + 0.001 * gradient**2
                spread = jnp.sqrt(second / (1 - 0.999**t)) + group.epsilon
                moved[key] = weights[key] - rates[name] * first / (1 - 0.9**t) / spread
        following = siblings if tau is None else [_nearer(one, moved, tau) for one in siblings]
        counts = columns["counted"].any()
        after = jax.tree.map(lambda new, old: jnp.where(counts, new, old), ([moved, *following], changed), carry)
        return after, (metrics, rows)

    def gradients(
        self, weights: list[Weights], columns: dict[str, Any], cells: Any, key: Array
    ) -> tuple[dict[str, Array], dict[str, Array], Weights]:
        """Return metrics, results by row and the gradients; each group's are of its own loss alone."""

        def losses(own: Weights) -> tuple[dict[str, Array], Any]:
            return self.traced_losses([own, *weights[1:]], columns, cells, key)

        by_group, pull, (metrics, rows) = jax.vjp(losses, weights[0], has_aux=True)
        gradients = {}
        for name, own in self._own.items():
            (found,) = pull({one: jnp.full_like(loss, one == name) for one, loss in by_group.items()})
            gradients |= {key: found[key] for key in own}
        return {**metrics, "total_loss": sum(by_group.values())}, rows, gradients

    def traced_losses(self, weights: list[Weights], columns: dict[str, Any], cells: Any, key: Array) -> Any:
        """Return the losses by group, and metrics and results by row, as functions of what is handed over alone."""
        policy = self.policy
        with contextlib.ExitStack() as stack:
            stack.enter_context(policy.runtime.tracing(cells, key))
            for model, own in zip(self._models(), weights, strict=True):
                stack.enter_context(model.bound(own))
            batch = Batch(columns)
            found = as_losses(self.losses(policy, batch), self.groups)
            by_group = with_custom_loss(policy, found.by_group, batch)
        metrics = {name: jnp.asarray(value, jnp.float32) for name, value in found.metrics.items()}
        return by_group, (metrics, found.rows)

    # -------------------------------------------------------------------------------------- others

    def weights(self) -> list[Weights]:
        """Return the weights of the policy's model and of its siblings."""
        return [model.weights for model in self._models()]

    def _models(self) -> list[JaxModel]:
        return [_jax(pipeline.model) for pipeline in (self.policy, *self.policy.siblings)]

    def follow(self, target: Pipeline, tau: float) -> None:
        _jax(target.model).weights = _nearer(_jax(target.model).weights, _jax(self.policy.model).weights, tau)

    def is_finite(self) -> bool:
        return all(bool(np.isfinite(weight).all()) for weight in _jax(self.policy.model).weights.values())

    def state(self) -> dict[str, NumpyArray]:
        return {
            f"{name}/{slot}": np.array(value) for slot, values in self._slots.items() for name, value in values.items()
        }

    def load_state(self, state: dict[str, NumpyArray]) -> None:
        self._slots = {
            slot: {name: np.array(state[f"{name}/{slot}"]) for name in values} for slot, values in self._slots.items()
        }


class JaxPPO(PPO):
    """PPO on JAX; the model comes as ``{"model": {"custom_model": DenseModel}}``."""

    def make_runtime(self) -> JaxRuntime:
        return JaxRuntime()

    def make_learner(self) -> JaxLearner:
        return JaxLearner(self.policy, self.losses, self.groups())


def _jax(model: ModelV2) -> JaxModel:
    assert isinstance(model, JaxModel)
    return model


def _size(arrays: Mapping[str, Array]) -> int:
    return sum(array.size for array in arrays.values())


def _longer(array: NumpyArray, by: int) -> NumpyArray:
    """Return an array [S, ...] with more entries, zeros."""
    return np.concatenate([array, np.zeros((by, *array.shape[1:]), array.dtype)])


def _nearer(own: Weights, others: Weights, tau: Array) -> Weights:
    """Return weights moved towards others by ``tau`` of the way."""
    return {name: value + tau * (others[name] - value) for name, value in own.items()}


def _of_counted(values: NumpyArray, counted: npt.NDArray[np.bool_]) -> NumpyArray:
    """Return numbers of padded rows [S, N] as those of the rows that count, filled up with NaN."""
    lens = counted.sum(axis=1)
    found = np.full((len(lens), lens.max()), np.nan, values.dtype)
    found[np.arange(lens.max()) < lens[:, None]] = values[counted]
    return found
