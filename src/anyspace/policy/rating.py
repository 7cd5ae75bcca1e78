"""What a policy says of raw observations beside its action: values, and how likely an action is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Unpack

import numpy as np

from anyspace import tree
from anyspace.distributions import ActionDistribution
from anyspace.errors import ObservationError
from anyspace.maths.xp import Array
from anyspace.models.runtime import NumpyArray, Runtime
from anyspace.policy.acting import on_device
from anyspace.policy.batch import Batch
from anyspace.policy.history import History, PolicyState
from anyspace.policy.pipeline import Evaluation, Pipeline
from anyspace.policy.seeing import ROW, SeeingOptions, Sees
from anyspace.policy.sequences import Sequences
from anyspace.spaces import Encoder, find_fault, normalize_action
from anyspace.spaces.encoding import batch_shape
from anyspace.tree import Tree


class RatedActions(NamedTuple):
    """What a policy says of actions; see :meth:`anyspace.Policy.evaluate_actions`."""

    values: NumpyArray | None
    """[N] of the observations; see :meth:`anyspace.Policy.predict_values`. None where the model gives none."""
    logp: NumpyArray
    """[N] log-probabilities of the actions; of continuous parts log-densities of the samples in [-1, 1]. DQN's are
    those of the softmax of its values, which it does not act by."""
    entropy: NumpyArray | None
    """[N] of the action distributions, in nats; None where there is no formula, as for SAC's squashed Gaussians."""


def evaluated(
    pipeline: Pipeline, leaves: Sequence[NumpyArray], history: History | None, *, value: bool = True
) -> Evaluation:
    """Run the model on encoded observations.

    Args:
        pipeline: whose model it is.
        leaves: encoded observations [N, ...], and the mask beside them if there is one.
        history: the steps before; None where the model looks at none.
        value: whether to ask for the value as well.
    """
    runtime, views, masking = pipeline.runtime, pipeline.views, pipeline.masking
    obs, mask = masking.observation(leaves), masking.find(leaves)
    batch = Batch(obs=[runtime.asarray(leaf) for leaf in obs])
    if mask is not None:
        batch["action_mask"] = runtime.asarray(mask)
    if history is not None and views.depth:
        batch["views"] = {name: on_device(runtime, window) for name, window in history.acting_windows(obs).items()}
        if views.recurrent:
            # The states before sequences of one step each.
            batch["sequences"] = Sequences(np.ones(len(obs[0]), np.int64), list(map(runtime.asarray, history.states())))
    with runtime.no_grad(), runtime.own_randomness("models that evaluate"):
        return pipeline.evaluate(batch, value=value)


def samples_of(pipeline: Pipeline, actions: Tree, count: int) -> Tree:
    """Return environment actions as samples of the action distribution, tensors [N, ...].

    Args:
        pipeline: whose action space it is.
        actions: stacked as a Gymnasium vector environment takes them.
        count: N.

    Raises:
        ObservationError: one is not in the action space, or they are of another number.
    """
    space = pipeline.action_space
    encode = Encoder(space)
    try:
        leaves = encode(actions)
    except ObservationError as error:  # which speaks of observations
        raise ObservationError(
            f"actions: expected actions of {space}, stacked as a vector environment takes them, got {actions!r:.80}."
        ) from error
    fault = find_fault(encode, leaves)
    if fault is not None:
        raise ObservationError(f"{fault.leaf.place('action')}: row {fault.index[0]}: {fault.what}.")
    for spec, leaf in zip(encode.specs, leaves, strict=True):
        rows = batch_shape(spec, leaf)
        if rows[:1] != (count,):
            came = rows[0] if rows else "one that is not stacked"
            raise ObservationError(f"actions: expected {count}, one for each observation, got {came}.")
    in_numpy = tree.map_leaves(np.asarray, actions)  # of whatever framework they are
    samples = normalize_action(space, in_numpy, normalize=pipeline.config.normalize_actions)
    return tree.map_leaves(pipeline.runtime.asarray, samples)


class Rates(Sees):
    """Says of raw observations what they are worth, and how likely actions are."""

    def predict_values(
        self, observations: Tree, state: PolicyState | None = None, **options: Unpack[SeeingOptions]
    ) -> NumpyArray:
        """Return the values [N] that the critic gives to stacked raw observations [N, ...].

        They are expected sums of discounted rewards, in the environment's unit unless `normalize_rewards` or
        `clip_rewards` changed it. DQN's is the value of the best action; SAC has a critic of actions alone.

        Args:
            observations: see :meth:`compute_actions`.
            state: what :meth:`compute_actions` returned for the observations before; it is not changed.
            options: see :meth:`compute_actions`; there is nothing to explore.

        Raises:
            ObservationError: see :meth:`compute_actions`.
            NotImplementedError: the model has no ``value_function``.
        """
        if not self.has_values:
            name = type(self.model).__name__
            raise NotImplementedError(f"{name} has no value_function(): it gives no values to observations alone.")
        return self.runtime.numpy(evaluated(self, *self._given(observations, state, options)).values)

    def get_distribution(
        self, observations: Tree, state: PolicyState | None = None, **options: Unpack[SeeingOptions]
    ) -> ActionDistribution:
        """Return the action distribution of stacked raw observations [N, ...].

        Its ``inputs`` [N, ...] are what the model put out, before masks. A Discrete action has ``probs`` [N, n], in
        which masked options are 0; an action of several parts has ``children`` or ``option_log_probs()``.
        Its methods take and return samples, tensors of the framework (of JAX and TensorFlow arrays of NumPy, but for
        distributions of your own): indices from 0, and numbers in which -1 and 1 stand for the bounds of a Box.
        Arguments and errors are as for :meth:`predict_values`.
        """
        return evaluated(self, *self._given(observations, state, options), value=False).distribution

    def evaluate_actions(
        self, observations: Tree, actions: Tree, state: PolicyState | None = None, **options: Unpack[SeeingOptions]
    ) -> RatedActions:
        """Return values, log-probabilities and entropies [N] of environment actions on stacked raw observations.

        Args:
            observations: see :meth:`compute_actions`.
            actions: of the environment, stacked as a Gymnasium vector environment takes them.
            state: see :meth:`predict_values`.
            options: see :meth:`predict_values`.

        Raises:
            ObservationError: see :meth:`compute_actions`; or an action is not in the action space, or there are not as
                many as observations.
        """
        leaves, history = self._given(observations, state, options)
        samples = samples_of(self, actions, len(leaves[0]))
        found = evaluated(self, leaves, history, value=self.has_values)
        with self.runtime.no_grad():
            logp = found.distribution.logp_of(samples)
            entropy = _entropy(found.distribution, self.runtime)
        numpy = self.runtime.numpy
        values = None if found.values is None else numpy(found.values)
        return RatedActions(values, numpy(logp), None if entropy is None else numpy(entropy))

    def _given(
        self, observations: Tree, state: PolicyState | None, options: SeeingOptions
    ) -> tuple[list[NumpyArray], History]:
        leaves = self._stacked(self._encoded(self.encode, observations, ROW))
        return self._seen(leaves, state, options, "mask", single=False)


def _entropy(distribution: ActionDistribution, runtime: Runtime) -> Array | None:
    """Return entropies [N], or None where there is no formula for them."""
    try:
        return distribution.entropy_from(lambda: runtime.rng("evaluation", distribution.inputs))
    except NotImplementedError:
        return None
