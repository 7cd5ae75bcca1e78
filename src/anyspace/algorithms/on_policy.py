"""What algorithms share that learn from what the present policy has just done: keys, rows, minibatches."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Self

import numpy as np

from anyspace.algorithms.config import AlgorithmConfig
from anyspace.config import require, whole
from anyspace.data.rows import Rows
from anyspace.data.trajectory import Bools, Floats, Ints, Trajectory
from anyspace.errors import ConfigError
from anyspace.execution.learner import Steps, described
from anyspace.maths import returns
from anyspace.models.runtime import NumpyArray
from anyspace.policy.batch import Batch
from anyspace.policy.exploration import StochasticSampling
from anyspace.policy.pipeline import Pipeline
from anyspace.policy.policy import Policy


@dataclass(frozen=True)
class OnPolicyConfig(AlgorithmConfig):
    """The keys of algorithms that learn from each step once, soon after it was taken."""

    batch_mode: Literal["truncate_episodes", "complete_episodes"] = "truncate_episodes"
    """truncate_episodes: a fragment may end within an episode, and the value stands in for the rest of it;
    complete_episodes: whole episodes only."""
    train_batch_size: int = 32
    """Environment steps per training iteration, at least 1; those that vector environments spend on resets are among
    them, and not learnt from."""

    def validate(self) -> None:
        """Raise :class:`ConfigError` for the first key that is out of range, contradictory or not built."""
        super().validate()
        require(self.train_batch_size >= 1, "train_batch_size", self.train_batch_size, "it must be at least 1")

    def short(self) -> Self:
        """Return these settings for one short iteration: two steps of each environment."""
        steps = 2 * self.num_envs_per_env_runner
        return dataclasses.replace(self.without_workers(), train_batch_size=steps, rollout_fragment_length="auto")

    @property
    def steps_per_round(self) -> int:
        """Environment steps that are collected before learning."""
        return self.train_batch_size

    @property
    def sends_logp(self) -> bool:
        """Whether workers send the log-probabilities of actions, because the learner can compute them no more."""
        return self.is_stale

    @property
    def collects_whole_episodes(self) -> bool:
        """Whether trajectories end with the episodes that are in them."""
        return self.batch_mode == "complete_episodes"


class TimeMajor(NamedTuple):
    """What an estimator goes by: [T, B] each, 0 where a step is not learnt from."""

    log_ratios: NumpyArray
    """Log-probability of the action under the learner's weights less that under the weights that acted."""
    rewards: Floats
    values: NumpyArray
    """Of the observations that were acted on; 0 without a critic."""
    next_values: NumpyArray
    """Of the observations that the steps led to."""
    terminated: Bools
    done: Bools
    """The episode ended here, or nothing follows that is learnt from."""


Estimator = Callable[[TimeMajor], tuple[NumpyArray, NumpyArray]]
"""Makes advantages and value targets, [T, B] each, of what happened."""


def gae(*, gamma: float, lambda_: float) -> Estimator:
    """Return the generalised advantage estimator for :func:`training_rows`; see :func:`anyspace.maths.returns.gae`.

    Args:
        gamma: discount, in [0, 1].
        lambda_: in [0, 1]: 1 is unbiased, 0 leans on the value alone.
    """

    def estimate(steps: TimeMajor) -> tuple[NumpyArray, NumpyArray]:
        return returns.gae(
            steps.rewards,
            steps.values,
            steps.next_values,
            steps.terminated,
            steps.done,
            gamma=gamma,
            lambda_=lambda_,
        )

    return estimate


def monte_carlo(*, gamma: float) -> Estimator:
    """Return the estimator of discounted returns, which end with the value of the next observation where a step is cut.

    Advantages and value targets are the same: there is no baseline.
    """

    def estimate(steps: TimeMajor) -> tuple[NumpyArray, NumpyArray]:
        found = returns.lambda_returns(
            steps.rewards, steps.next_values, steps.terminated, steps.done, gamma=gamma, lambda_=1.0
        )
        return found, found

    return estimate


def vtrace(*, gamma: float, clip_rho: float, clip_pg_rho: float) -> Estimator:
    """Return the V-trace estimator with its constants; see :func:`anyspace.maths.returns.vtrace`."""

    def estimate(steps: TimeMajor) -> tuple[NumpyArray, NumpyArray]:
        targets, advantages = returns.vtrace(
            steps.log_ratios,
            steps.rewards,
            steps.values,
            steps.next_values,
            steps.terminated,
            steps.done,
            gamma=gamma,
            clip_rho=clip_rho,
            clip_pg_rho=clip_pg_rho,
        )
        return advantages, targets

    return estimate


def require_own_samples(policy: Policy, algorithm: str) -> None:
    """Raise :class:`ConfigError` unless actions are samples of the policy's own distribution."""
    asked = policy.config.exploration_config
    explorer = policy.exploration
    own = type(explorer) is StochasticSampling and not explorer.random_timesteps
    if asked and not own:
        raise ConfigError(
            f"config key `exploration_config` is {asked!r}, but {algorithm} learns from samples of its own"
            " distribution; leave it out."
        )
    if not own:
        raise ConfigError(
            f"{algorithm} learns from samples of its own distribution, but the plan explores by"
            f" {type(policy.exploration).__name__}; leave `exploration` at StochasticSampling."
        )


def has_entropy(policy: Policy, *, asked: bool) -> bool:
    """Return whether there can be an entropy bonus: whether the policy's distribution has an entropy.

    Args:
        policy: that learns.
        asked: whether somebody asked for a bonus, in contrast to a default or a preset.

    Raises:
        ConfigError: a bonus was asked for, but the distribution does not define an entropy.
    """
    distribution = policy.new_distribution(1)
    if asked and not distribution.has_entropy:
        raise ConfigError(
            f"`entropy_coeff` is not 0, but {type(distribution).__name__} defines no entropy(); set it to 0 or"
            " implement entropy()."
        )
    return distribution.has_entropy


def explained(policy: Policy, batch: Batch) -> dict[str, float]:
    """Return how well the values of training rows explain their targets, as a metric: none beyond float32's range."""
    with np.errstate(over="ignore", invalid="ignore"):
        share = float(policy.runtime.numpy(returns.explained_variance(batch["value_targets"], batch["vf_preds"])))
    return {"explained_variance": share} if math.isfinite(share) else {}


def training_rows(
    policy: Policy, trajectory: Trajectory, estimate: Estimator, *, value: bool = True, under: Pipeline | None = None
) -> Batch:
    """Return the valid steps of a trajectory as rows [N, ...] with all that a loss needs.

    Values, log-probabilities and distribution inputs come from one batched pass in evaluation mode. Advantages are not
    standardised. Without a critic the values are 0, so that the advantages are the discounted returns.

    Args:
        policy: that learns.
        trajectory: what happened.
        estimate: makes advantages and value targets.
        value: whether there is a critic.
        under: a sibling of the policy whose values and distributions count, in place of the policy's. The trajectory
            has to say its ``action_logp`` then; see :func:`anyspace.data.rows.with_logp`.

    Returns:
        The columns of :meth:`Rows.batch`, and ``action_logp`` (of the weights that acted), ``action_dist_inputs``,
        ``vf_preds``, ``advantages``, ``value_targets``; ``target_logp`` (of the sibling's weights) where there is one.

    Raises:
        ConfigError: an on-policy algorithm is to learn from actions that are no samples: `explore` is False.
    """
    if isinstance(policy.config, OnPolicyConfig) and not policy.config.explore:
        raise ConfigError(
            "config key `explore` is False, so that the steps are of the most likely actions, but this algorithm learns"
            " from samples of its own distribution; leave it out. To record what a policy does, let it gather steps:"
            " algorithm.fleet.gather(1000)."
        )
    rows, asarray = Rows(policy, trajectory), policy.runtime.asarray
    batch = rows.batch()
    evaluated = rows.evaluate(value=value, under=under)
    with policy.runtime.no_grad():
        logp = evaluated.distribution.logp_of(batch["actions"])
    batch["action_logp"] = logp
    if under is not None:
        batch["target_logp"] = logp
    values = rows.to_time(evaluated.values)
    log_ratios = np.zeros_like(values)
    if trajectory.action_logp is not None:
        batch["action_logp"] = asarray(rows.from_time(trajectory.action_logp))
        log_ratios = rows.to_time(policy.runtime.numpy(logp)) - np.where(trajectory.valid, trajectory.action_logp, 0)
    advantages, targets = _estimated(
        estimate,
        TimeMajor(
            log_ratios,
            trajectory.rewards,
            values,
            rows.to_time(evaluated.next_values),
            trajectory.terminated,
            trajectory.done | _ends(trajectory.valid),
        ),
    )
    batch["action_dist_inputs"] = evaluated.dist_inputs
    batch["vf_preds"] = asarray(evaluated.values)
    batch["advantages"] = asarray(rows.from_time(advantages))
    batch["value_targets"] = asarray(rows.from_time(targets))
    return batch


def _estimated(estimate: Estimator, steps: TimeMajor) -> tuple[NumpyArray, NumpyArray]:
    """Return what an estimator makes of steps.

    Raises:
        ConfigError: it is none, or returns something else than two arrays of NumPy of the steps' shape.
    """
    if not callable(estimate):
        raise ConfigError(
            f"training_rows() takes an estimator, such as gae(gamma=0.99, lambda_=0.95), but {estimate!r} came."
        )
    found: Any = estimate(steps)
    shape, parts = np.shape(steps.rewards), found if isinstance(found, tuple | list) else [found]
    if len(parts) != 2 or any(not isinstance(part, np.ndarray) or part.shape != shape for part in parts):
        raise ConfigError(
            f"an estimator returns advantages and value targets, two arrays of NumPy of shape {shape} (steps,"
            f" environments), but {', '.join(map(described, parts))} came."
        )
    return parts[0], parts[1]


def _ends(valid: Bools) -> Bools:
    """Return the steps that no valid step follows, [T, B]."""
    follows = np.zeros_like(valid)
    follows[:-1] = valid[1:]
    return valid & ~follows


def minibatches(policy: Policy, batch: Batch, size: int | None, epochs: int = 1) -> Steps:
    """Return gradient steps on slices of ``size`` rows, shuffled anew in each epoch; no row is dropped.

    A remainder of fewer than two rows joins the last slice, so that no gradient rests on a single row; with a model
    that takes statistics of a batch every remainder does. Where steps of such a model are compiled, a remainder is
    filled up by rows of its epoch instead, which are taken twice then: wider slices would be compiled anew. Rows that
    are steps of sequences stay together: whole sequences are shuffled, and cut where a slice has at least ``size``
    rows.

    Args:
        policy: that learns.
        batch: all rows.
        size: rows of a slice; None takes all.
        epochs: how often each row is taken.

    Raises:
        ConfigError: ``size`` or ``epochs`` is no whole number of at least 1.
    """
    size = None if size is None else _at_least_one(size, "size")
    epochs, runtime = _at_least_one(epochs, "epochs"), policy.runtime
    whole = runtime.has_batch_statistics(policy.model)
    fills = whole and runtime.compiles(policy.model)
    sequences = batch.get("sequences")
    slices: list[NumpyArray] = []
    for _ in range(epochs):
        if sequences is None:
            count = len(batch["obs"][0])
            order = runtime.numpy(runtime.permutation(count))
            if fills and size is not None and count > size:
                order = np.concatenate([order, order[: -count % size]])
            slices += [order[start:stop] for start, stop in _slices(len(order), size or count, whole)]
        else:
            order = runtime.numpy(runtime.permutation(len(sequences.lens)))
            cuts = _cuts(sequences.lens[order], size, whole)
            slices += [order[start:stop] for start, stop in itertools.pairwise(cuts)]
    longest = max(map(len, slices))
    steps = np.zeros((len(slices), longest), np.int64)
    counted = np.arange(longest) < np.array([len(one) for one in slices])[:, None]
    steps[counted] = np.concatenate(slices)
    return Steps(batch, steps, counted)


def _at_least_one(value: int, name: str) -> int:
    expected = f"minibatches({name}=...) takes a whole number of at least 1"
    number = whole(value, expected)
    if number < 1:
        raise ConfigError(f"{expected}, but {value!r} came.")
    return number


def _slices(count: int, size: int, whole: bool) -> Iterator[tuple[int, int]]:
    """Yield where slices of ``size`` of ``count`` rows begin and end: 0-4, 4-9 for slices of 4 of 9 rows."""
    starts = list(range(0, count, size))
    rest = count - starts[-1]
    if len(starts) > 1 and (rest == 1 or (whole and rest < size)):
        starts.pop()
    return zip(starts, [*starts[1:], count], strict=True)


def _cuts(lens: Ints, size: int | None, whole: bool) -> list[int]:
    """Return where slices of sequences of these lengths begin and end: as many as rows would make, if that is possible.

    Lengths 3, 1, 2, 2 and a size of 4 give [0, 2, 4]: two slices of two sequences, of four rows each.
    """
    stops = np.cumsum(lens)
    count = int(stops[-1])
    borders = [stop for _, stop in _slices(count, size or count, whole)]
    cuts = np.unique(np.searchsorted(stops, borders) + 1)
    kept, rows = [0], 0
    for cut in map(int, cuts):
        # No slice is left with a single row.
        if stops[cut - 1] - rows > 1:
            kept.append(cut)
            rows = stops[cut - 1]
    if kept[-1] != len(stops):
        kept[-1 if len(kept) > 1 else 1 :] = [len(stops)]
    return kept
