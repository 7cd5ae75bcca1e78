"""Dummy passes through a new policy's model, so that what does not fit is found before training starts."""

from __future__ import annotations

import copy
import itertools
import logging
import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np

from anyspace import nesting, tree
from anyspace.distributions import ActionDistribution
from anyspace.errors import AnyspaceError, ModelError
from anyspace.maths.gather import Window
from anyspace.maths.xp import Array
from anyspace.models.modelv2 import ModelV2
from anyspace.models.runtime import NumpyArray
from anyspace.policy.acting import on_device
from anyspace.policy.batch import Batch
from anyspace.policy.exploration import PerturbingExploration
from anyspace.policy.history import History
from anyspace.policy.pipeline import Evaluation, Pipeline
from anyspace.policy.sequences import Sequences
from anyspace.tree import Tree

_LOG = logging.getLogger("anyspace")


SAMPLES = 8
"""How many random observations a model may try that fails on zeros."""


def check_model(policy: Pipeline) -> None:
    """Run the model on zeros as it will be run when acting, and on sequences and views as in training.

    Zeros need not be an observation: a model of the user's may take the logarithm of a mask, or divide by a part. One
    that fails on them is run on samples of the observation space, and fits if it takes one of these.

    Raises:
        ModelError: an output, a value or a state has another shape than it must have, or the model itself failed.
    """
    try:
        _check_on(policy, policy.example)
    except ModelError as error:
        if error.__cause__ is None:  # a wrong shape, for one, which it has on anything else as well
            raise
        if not any(_takes(policy, leaves) for leaves in _samples(policy)):
            raise ModelError(f"{error} It fails on samples of the observation space as it does on zeros.") from error


def _samples(policy: Pipeline) -> Iterator[list[NumpyArray]]:
    """Yield samples of the observation space, encoded, two equal rows [2, ...] each; the space itself draws none."""
    # A space of a user's own may have no samples, or others than it says; then zeros decide.
    with suppress(Exception):
        for seed in range(SAMPLES):
            space = copy.deepcopy(policy.observation_space)
            space.seed(seed)
            yield [np.stack([leaf, leaf]) for leaf in policy.encode.single(space.sample())]


def _takes(policy: Pipeline, leaves: list[NumpyArray]) -> bool:
    try:
        _check_on(policy, leaves)
    except ModelError as error:
        if error.__cause__ is None:
            raise
        return False
    return True


def _check_on(policy: Pipeline, leaves: list[NumpyArray]) -> None:
    with policy.runtime.trial():
        evaluation = _check_evaluation(policy, leaves, np.ones(2, np.int64), "when acting")
        if policy.config.model.custom_action_dist is not None:
            _check_distribution(policy, evaluation.distribution)
        if policy.views.recurrent:
            _check_evaluation(policy, leaves, np.array([3, 1]), "on sequences of 3 steps and 1 step")
            _check_states(policy, leaves)
    policy.example = leaves
    if not evaluation.distribution.says_dependence:
        policy.inputs_decide = _inputs_decide(policy)


def _inputs_decide(policy: Pipeline) -> bool:
    """Return whether the log-probabilities of given inputs have no gradient in the weights of the model."""
    inputs = np.zeros((2, policy.num_outputs), np.float32)

    def compute() -> list[Array]:
        rebuilt = distribution_of(policy, policy.runtime.asarray(inputs))
        results = [logp_of_a_sample(policy, rebuilt)]
        with in_distribution(policy, "kl"):
            return [*results, rebuilt.kl(rebuilt)] if rebuilt.has_kl else results

    with same_randomness(policy):
        found = policy.runtime.reached(policy.model, compute)
    return found is not None and not any(found)


@contextmanager
def same_randomness(policy: Pipeline) -> Iterator[None]:
    """Let nothing that is drawn within change what is drawn later."""
    before = policy.runtime.rng_state()
    try:
        with policy.runtime.own_randomness("evaluation"):
            yield
    finally:
        policy.runtime.set_rng_state(before)


def _check_evaluation(policy: Pipeline, leaves: list[NumpyArray], lens: Any, when: str) -> Evaluation:
    """Evaluate rows that are sequences of the given lengths, each row a copy of the first of ``leaves``."""
    count, model, name = int(lens.sum()), policy.model, type(policy.model).__name__
    batch = blank_batch(policy, leaves, lens)
    with explained(policy, when):
        output, values = _forward(policy, batch)
        inputs = model.action_inputs(output, None)
    # Compiled frameworks have tensors within a compiled step alone, and NumPy's arrays outside.
    has_tensors = not isinstance(batch["obs"][0], np.ndarray)
    for method, result in (("forward", inputs), ("value_function", values)):
        if has_tensors and isinstance(result, np.ndarray):
            raise ModelError(
                f"{name}.{method}() gave a NumPy array {when}; return a tensor, so that it can be trained."
            )
    _check_width(policy, inputs, count, when)
    if policy.has_values and values is None:
        raise ModelError(
            f"{name}.value_function() returned None {when}. Let it return the values [N] of the latest pass."
        )
    shape = (count,) if values is None else _shape(values, f"{name}.value_function()")
    if shape != (count,):
        # One column too many would make [N, N] of the loss, and nobody would see why it does not learn.
        raise ModelError(
            f"{name}.value_function() gave values of shape {shape} for {count} observations {when}, but one each,"
            f" {(count,)}, is expected. Squeeze the last dimension."
        )
    with explained(policy, f"{when}, as its output became an action distribution"):
        return Evaluation(output, distribution_of(policy, inputs), values)


def _forward(policy: Pipeline, batch: Batch) -> tuple[Tree, Array | None]:
    """Run the model; from now on without its value function, if that says of itself that it is not implemented."""
    try:
        return policy.forward(batch, value=policy.has_values)
    except NotImplementedError:
        if not policy.has_values:
            raise
    # If it is forward() that is not implemented, this raises the error once more.
    found = policy.forward(batch, value=False)
    policy.has_values = False
    return found


def require_value(policy: Pipeline, algorithm: str) -> None:
    """Require that the model of an algorithm that learns a value has one.

    Raises:
        ModelError: it does not implement ``value_function``.
    """
    if not policy.has_values:
        raise ModelError(
            f"{type(policy.model).__name__} must implement value_function() to be trained by {algorithm}, which learns"
            " a value: let it return the values [N] of the latest pass."
        )


def blank_batch(policy: Pipeline, leaves: list[NumpyArray], lens: Any) -> Batch:
    """Return rows that are sequences of the given lengths, each row a copy of the first of ``leaves``."""
    count, history = int(lens.sum()), History.before(policy.views, leaves)
    batch = Batch(obs=[policy.runtime.asarray(np.repeat(leaf[:1], count, axis=0)) for leaf in leaves])
    mask = policy.masking.find(leaves)
    if mask is not None:
        batch["action_mask"] = policy.runtime.asarray(np.repeat(mask[:1], count, axis=0))
    batch["views"] = {
        name: on_device(policy.runtime, Window(window.stored, window.index[:1].repeat(count, axis=0)))
        for name, window in history.acting_windows(leaves).items()
    }
    if policy.views.recurrent:
        batch["sequences"] = Sequences(lens, [policy.runtime.asarray(state) for state in history.states()])
    return batch


def _check_width(policy: Pipeline, inputs: Array, count: int, when: str) -> None:
    """Require as many numbers as the action distribution takes."""
    model, wanted = type(policy.model), (count, policy.num_outputs)
    came = _shape(inputs, f"{model.__name__}.forward()")
    if came == wanted:
        return
    if model.action_inputs is ModelV2.action_inputs:
        raise ModelError(
            f"{model.__name__}.forward() gave an output of shape {came} for {count} observations {when}, but the"
            f" distribution of {policy.action_space} takes {wanted}. Make its last layer num_outputs ="
            f" {policy.num_outputs} wide."
        )
    advice = ""
    if policy.config.model.custom_action_dist is not None:
        advice = f" {dist_name(policy)} does not fit what this model makes of its output; leave custom_action_dist out."
    raise ModelError(
        f"{model.__name__}.action_inputs() gave shape {came} for {count} observations {when}, but the distribution of"
        f" {policy.action_space} takes {wanted}.{advice}"
    )


def _check_distribution(policy: Pipeline, distribution: ActionDistribution) -> None:
    """Sample from a distribution of the user's once, and score the sample."""
    runtime, name, count = policy.runtime, type(distribution).__name__, 2
    with same_randomness(policy), explained(policy, "when an action is drawn and scored"):
        drawn = sample(policy, distribution)
        _check_sample(policy, name, drawn, count)
        with in_distribution(policy, "logp"):
            results = {"logp": distribution.logp_of(drawn)}
        if distribution.has_entropy:
            with in_distribution(policy, "entropy"):
                results["entropy"] = distribution.entropy_from(lambda: runtime.rng("evaluation", distribution.inputs))
        if distribution.has_kl:
            with in_distribution(policy, "kl"):
                results["kl"] = distribution.kl(distribution)
        if isinstance(policy.exploration, PerturbingExploration):
            before = policy.exploration.state()
            policy.exploration.compare(distribution, distribution)
            policy.exploration.load_state(before)
    for method, result in results.items():
        shape = _shape(result, f"{name}.{method}()")
        if shape != (count,):
            raise ModelError(
                f"{name}.{method}() gave shape {shape} for {count} rows, but one number each, {(count,)}, is expected."
                " Sum over the dimensions of the action."
            )


def _check_sample(policy: Pipeline, name: str, drawn: Tree, count: int) -> None:
    """Require that what a distribution called ``name`` draws are actions of the space."""
    space, wrong = policy.action_space, f"{name}.sample() gave no {count} actions of {policy.action_space}"
    try:
        actions = policy.to_env(tree.map_leaves(policy.runtime.numpy, drawn))
    except Exception as error:
        raise ModelError(f"{wrong}: {type(error).__name__}: {error}. Give one array for each part of it.") from error
    wanted = [(count, *(leaf.shape or ())) for leaf in nesting.leaves(space)]
    came = [np.shape(leaf) for leaf in tree.leaves(actions)]
    if policy.env_action_space is space and came != wanted:
        raise ModelError(f"{wrong}: the shapes of its parts are {came}, but {wanted} are expected.")


def _shape(result: object, where: str) -> tuple[int, ...]:
    """Return the shape of what a method of the user's gave.

    Raises:
        ModelError: it is no array.
    """
    shape = getattr(result, "shape", None)
    if shape is None:
        raise ModelError(f"{where} gave {type(result).__name__}, but an array of the framework is expected.")
    return tuple(shape)


def sample(policy: Pipeline, distribution: ActionDistribution) -> Tree:
    """Return a sample as it comes back from a trajectory: tensors, even if the distribution gives NumPy's arrays."""
    runtime = policy.runtime
    rng = runtime.rng("evaluation", distribution.inputs)
    with in_distribution(policy, "sample"):
        sample = policy.exploration.choose(distribution, explore=True, rng=rng, noise=None)
    return tree.map_leaves(lambda leaf: runtime.asarray(runtime.numpy(leaf)), sample)


def logp_of_a_sample(policy: Pipeline, distribution: ActionDistribution) -> Array:
    """Draw a sample, and return its log-probabilities [N]."""
    drawn = sample(policy, distribution)
    with in_distribution(policy, "logp"):
        return distribution.logp_of(drawn)


def distribution_of(policy: Pipeline, inputs: Array, mask: Array | None = None) -> ActionDistribution:
    """Return the policy's distribution of its inputs [N, num_outputs]; see :meth:`Pipeline.distribution`."""
    with in_distribution(policy, "__init__"):
        return policy.distribution(inputs, mask)


def dist_name(policy: Pipeline) -> str:
    """Return how the class of a policy's distributions is called."""
    dist = _dist(policy)
    return str(getattr(dist, "__name__", dist))


def _dist(policy: Pipeline) -> object:
    return getattr(policy.dist_factory, "func", policy.dist_factory)


_ASKED = {
    "__init__": " It is called with (inputs, model), and with mask=... where it names that.",
    "sample": " Written as sample(self, rng), it is given the random source.",
}
"""How methods are called, where authors may expect something else."""


@contextmanager
def in_distribution(policy: Pipeline, method: str) -> Iterator[None]:
    """Say of an error within a distribution of the user's which method of it failed."""
    if policy.knows_distribution:
        yield
        return
    where = f"{dist_name(policy)}.{method}()"
    try:
        with policy.runtime.explaining(where):
            yield
    except AnyspaceError:
        raise
    except Exception as error:
        text = f"{type(error).__name__}: {' '.join(str(error).split()).rstrip('.')}"
        raise ModelError(
            f"{where} failed in a dummy pass, on what {type(policy.model).__name__} put out: {text}."
            f"{_asked(policy, method, error)} Its inputs have {policy.num_outputs} numbers a row. The traceback above"
            " names the line."
        ) from error


def _asked(policy: Pipeline, method: str, error: Exception) -> str:
    """Return how a method is called, if an error says that its author expected something else."""
    if not isinstance(error, TypeError):
        return ""
    frame, _ = [*traceback.walk_tb(error.__traceback__)][-1]
    call_failed = str(frame.f_globals.get("__name__")).startswith("anyspace.")
    # JAX cannot draw without the source, and says so by such an error.
    takes_source = method != "sample" or getattr(_dist(policy), "sample_takes_rng", True)
    return _ASKED.get(method, "") if call_failed or not takes_source else ""


def _check_states(policy: Pipeline, leaves: list[NumpyArray]) -> None:
    name, initial = type(policy.model).__name__, policy.views.initial
    # As many rows as nothing else of a state is long: one that has its axes in another order shows itself.
    lengths = {length for state in initial for length in state.shape}
    rows = next(count for count in itertools.count(2) if count not in lengths)
    leaves = [leaf[:1].repeat(rows, axis=0) for leaf in leaves]
    with explained(policy, "when acting"), policy.acting() as act:
        states = act(leaves, explore=False).state_out
    came, wanted = [state.shape for state in states], [(rows, *state.shape) for state in initial]
    if came != wanted:
        raise ModelError(
            f"{name}.forward() returned states of shapes {came} for {rows} rows of 1 step, but get_initial_state()"
            f" gives {len(initial)} of shapes {[state.shape for state in initial]}, so {wanted} are expected. Return"
            " the states after the last step in the order of get_initial_state(), with the batch dimension first."
        )


@contextmanager
def explained(policy: Pipeline, when: str) -> Iterator[None]:
    """Say of an error within the model what it was given."""
    try:
        yield
    except AnyspaceError:
        raise
    except Exception as error:
        states = [state.shape for state in policy.views.initial]
        model, width = policy.model, f"num_outputs = {policy.num_outputs}"
        makes_more = type(model).action_inputs is not ModelV2.action_inputs
        if makes_more and model.num_outputs not in (None, policy.num_outputs):
            width = f"{model.num_outputs} numbers a row, of which {policy.num_outputs} are made for the actions"
            if model.without_heads:
                width += f" ({model.without_heads} let it put out these {policy.num_outputs} itself)"
        raise ModelError(
            f"{type(policy.model).__name__} failed in a dummy pass {when}: {type(error).__name__}:"
            f" {' '.join(str(error).split())}. It was given obs of {policy.obs_space}"
            + (f", states of shapes {states}" if states else "")
            + f" and has to put out {width}. {_likely_cause(error)}"
        ) from error


def _likely_cause(error: Exception) -> str:
    if "dtype" in str(error) or "expected to be a float tensor" in str(error):
        return (
            "Observations are float32: in forward(), cast them to the type of the layer, or leave layers, and the"
            " framework's default type, at float32."
        )
    if isinstance(error, AttributeError | AssertionError) and "value" in str(error).lower():
        return "value_function() is called after forward(): let forward() keep the features that it needs."
    if not isinstance(error, AttributeError | NameError | KeyError) and _OF_SHAPES.search(str(error)):
        return "The traceback above names the layer; compare its width with these shapes."
    return "The traceback above names the line."


_OF_SHAPES = re.compile(
    r"(?<!['\"])\b(shapes?|sizes?|dims?|dimensions?|broadcast(ed|ing)?|mat1|contracting|axis|axes)\b", re.IGNORECASE
)
"""What frameworks speak of where widths do not fit; a word in quotes is a name."""
