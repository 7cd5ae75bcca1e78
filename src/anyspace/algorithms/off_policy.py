"""What algorithms share that learn from replayed steps: keys, when to learn, and from what."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Collection, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

import numpy as np

from anyspace.algorithms.algorithm import Algorithm
from anyspace.algorithms.config import AlgorithmConfig
from anyspace.config import require
from anyspace.data.rows import FEATURES_AT_A_TIME
from anyspace.data.seeds import replay_seed
from anyspace.data.trajectory import Ints, Trajectory
from anyspace.data.transitions import transitions
from anyspace.errors import ConfigError, NonFiniteError
from anyspace.execution.learner import Result, Steps
from anyspace.models.runtime import NumpyArray
from anyspace.policy.batch import Batch
from anyspace.policy.pipeline import Pipeline
from anyspace.policy.policy import Policy

if TYPE_CHECKING:
    from anyspace.data.replay import DrawnWindows, Replay
    from anyspace.execution.training import Updates

C = TypeVar("C", bound="OffPolicyConfig")

_LOG = logging.getLogger("anyspace")

_OF_PRIORITIES = ("alpha", "beta", "eps")
"""What the keys of prioritised replay end in."""

_ROUNDING = 1e-9
"""What sums of fractions of gradient steps may lack of a whole one."""

_LARGEST_PRIORITY = 0.9
"""Share of a sequence's largest error in its priority, the rest being the mean's (Kapturowski et al., 2019)."""


@dataclass(frozen=True)
class OffPolicyConfig(AlgorithmConfig):
    """The keys of algorithms that learn from steps again and again."""

    train_batch_size: int = 32
    """Transitions that a gradient step learns from, at least 1; with a memory, sequences of `model.max_seq_len`."""
    rollout_fragment_length: int | Literal["auto"] = 1
    """Steps of each environment that are taken before learning goes on, at least 1; auto: 1."""
    min_sample_timesteps_per_iteration: int = 1000
    """Environment steps of an iteration, at least 1: how often results are reported."""
    num_steps_sampled_before_learning_starts: int = 1000
    """Environment steps that are taken before learning starts, at least 0."""
    training_intensity: float | None = None
    """Steps learnt from for each step taken, above 0, over all environments; None: a gradient step for each."""
    n_step: int = 1
    """Rewards that a return sums up before it bootstraps, at least 1."""
    target_network_update_freq: int = 500
    """Environment steps from one move of the target networks to the next, at least 0; 0: after each gradient step."""
    tau: float = 1.0
    """How far such a move goes towards the networks that learn, in (0, 1]."""
    replay_capacity: int = 50_000
    """Steps that are kept, of all environments together, with those that vector environments spend on resets; more than
    memory has room for are refused."""
    prioritized_replay: bool = False
    """Draw a transition more often, the larger its error was when it was last learnt from."""
    prioritized_replay_alpha: float = 0.6
    """How much the size of an error matters, at least 0; 0 draws evenly."""
    prioritized_replay_beta: float = 0.4
    """How far importance weights make up for uneven draws, in [0, 1]."""
    prioritized_replay_eps: float = 1e-6
    """Added to each error, above 0, so that every transition is drawn at times."""
    replay_burn_in: int = 0
    """With a memory: steps ahead of each sequence that states are computed from, and not learnt from; at least 0."""
    store_buffer_in_checkpoints: bool = False
    """Write the transitions into the latest checkpoint; else a run that goes on collects anew. With `exact_resume`
    exact ones hold them, and no others."""

    def validate(self) -> None:
        """Raise :class:`ConfigError` for the first key that is out of range, contradictory or not built."""
        super().validate()
        for key in ("train_batch_size", "n_step", "min_sample_timesteps_per_iteration", "replay_capacity"):
            require(getattr(self, key) >= 1, key, getattr(self, key), "it must be at least 1")
        for key in (
            "num_steps_sampled_before_learning_starts",
            "target_network_update_freq",
            "replay_burn_in",
            "prioritized_replay_alpha",
        ):
            require(getattr(self, key) >= 0, key, getattr(self, key), "it must not be negative")
        intensity = self.training_intensity
        require(intensity is None or intensity > 0, "training_intensity", intensity, "it must be above 0")
        require(0 < self.tau <= 1, "tau", self.tau, "it lies above 0 and up to 1")
        require(
            0 <= self.prioritized_replay_beta <= 1,
            "prioritized_replay_beta",
            self.prioritized_replay_beta,
            "it lies in [0, 1]",
        )
        require(
            self.prioritized_replay_eps > 0, "prioritized_replay_eps", self.prioritized_replay_eps, "it must be above 0"
        )
        starts = self.num_steps_sampled_before_learning_starts
        require(
            starts <= self.replay_capacity,
            "num_steps_sampled_before_learning_starts",
            starts,
            f"the {self.replay_capacity} transitions of `replay_capacity` are all that is kept",
        )
        if self.normalize_rewards:
            raise ConfigError(
                "`normalize_rewards` divides by a deviation that moves while training, so that replayed rewards would"
                " be of many scales; switch it off, and scale rewards by a wrapper or clip them (`clip_rewards`)."
            )

    def fitted(self, given: Collection[str]) -> Self:
        """Return these settings with the keys that nobody gave fitted to those that somebody did."""
        fitted = super().fitted(given)
        starts, capacity = fitted.num_steps_sampled_before_learning_starts, fitted.replay_capacity
        if starts > capacity and "num_steps_sampled_before_learning_starts" not in given:
            return dataclasses.replace(fitted, num_steps_sampled_before_learning_starts=capacity)
        if starts > capacity and "replay_capacity" not in given:
            return dataclasses.replace(fitted, replay_capacity=starts)
        return fitted

    def without_effect(self) -> dict[str, str]:
        """Return the keys that have no effect beside the others as they are, each with the reason."""
        idle = super().without_effect()
        if not self.prioritized_replay:
            keys = (f"prioritized_replay_{name}" for name in _OF_PRIORITIES)
            idle |= dict.fromkeys(keys, "all transitions are drawn alike (`prioritized_replay` is False)")
        return idle

    def short(self) -> Self:
        """Return these settings for one short iteration: as many steps as a window takes, and a few gradient steps."""
        model = self.model
        longest = model.max_seq_len + self.replay_burn_in + self.n_step
        return dataclasses.replace(
            self.without_workers(),
            min_sample_timesteps_per_iteration=(longest + 1) * self.num_envs_per_env_runner,
            rollout_fragment_length=1,
            num_steps_sampled_before_learning_starts=0,
            training_intensity=None,
        )

    @property
    def steps_per_round(self) -> int:
        """Environment steps that are collected before learning goes on."""
        fragment = self.rollout_fragment_length
        return (1 if fragment == "auto" else fragment) * self.num_envs

    @property
    def steps_per_iteration(self) -> int:
        """Environment steps that one iteration collects at least."""
        return self.min_sample_timesteps_per_iteration

    @property
    def rows_per_step(self) -> int:
        """How many rows a gradient step takes."""
        model = self.model
        remembers = model.use_lstm or model.use_gru or model.use_attention
        return self.train_batch_size * (model.max_seq_len if remembers else 1)

    @property
    def priorities(self) -> dict[str, float] | None:
        """By what transitions are drawn: keyword arguments of :class:`Priorities`, or None where all are alike."""
        if not self.prioritized_replay:
            return None
        return {name: getattr(self, f"prioritized_replay_{name}") for name in _OF_PRIORITIES}


class OffPolicy(Algorithm[C]):
    """Keeps transitions and takes gradient steps on draws of them, as many as the steps that were taken allow.

    A class that derives from it has a configuration, a plan, groups and losses.

    Attributes:
        replay: the transitions.
        target: a sibling of the policy, whose weights start equal and follow the policy's.
        owed: gradient steps, and fractions of one, that are due for the steps that were taken.
        moved_at: when the target last moved, in environment steps.
        gradient_steps: that were taken so far.
    """

    replay: Replay
    target: Pipeline

    def setup(self) -> None:
        """Make room for transitions, and the target."""
        from anyspace.data.replay import Replay

        config, policy = self.config, self.policy
        recurrent = policy.views.recurrent
        require(
            recurrent or not config.replay_burn_in,
            "replay_burn_in",
            config.replay_burn_in,
            "there is no state to burn in: the model has no memory",
        )
        window = config.replay_burn_in + self.learnt_length + config.n_step - 1 + policy.views.lookahead
        collected = len(config.collect_infos)
        self.replay = Replay(policy, config.replay_capacity, config.num_envs, window, config.priorities, collected)
        self.replay.in_checkpoints = config.store_buffer_in_checkpoints and not config.exact_resume
        self.draws = np.random.default_rng(replay_seed(self.seed))
        self.target = policy.sibling()
        self.owed, self.moved_at, self.gradient_steps = 0.0, 0, 0

    @property
    def learnt_length(self) -> int:
        """Steps of a window that are learnt from: `model.max_seq_len` with a memory, else 1."""
        return self.config.model.max_seq_len if self.policy.views.recurrent else 1

    def parts(self) -> dict[str, Any]:
        """Return what a checkpoint holds: the target, the replayed transitions if asked for, and when to learn."""
        own = {"target": self.target, "replay": self.replay, "draws": self.draws}
        numbers = {name: getattr(self, name) for name in ("owed", "moved_at", "gradient_steps")}
        return {**super().parts(), **own, **numbers}

    def train(self) -> dict[str, Any]:
        """Run one iteration, as :meth:`Algorithm.train` does; tell of a run that ends before learning starts."""
        result = super().train()
        starts = self.config.num_steps_sampled_before_learning_starts
        added, total = self.replay.added, self.counters.total_steps
        if added < starts and total is not None and self.timesteps_total >= total:
            anew = " A run that goes on without its replay (`store_buffer_in_checkpoints`) collects them anew."
            _LOG.warning(
                f"nothing was learnt in these {added:,} steps: learning starts after {starts:,}"
                f" (`num_steps_sampled_before_learning_starts`).{anew if added < self.timesteps_total else ''}"
                " Train for longer, or lower that key."
            )
        return result

    def updates(self, policy: Policy, trajectory: Trajectory) -> Updates:
        """Keep the steps, and yield draws for the gradient steps that are due.

        Nothing is due for steps that were taken before there was a window of them to learn from.

        Returns:
            How many transitions are kept, and how many gradient steps were taken so far.
        """
        config, steps = self.config, trajectory.num_steps
        self.replay.add(trajectory)
        if self.replay.added >= config.num_steps_sampled_before_learning_starts and self.replay.has_windows:
            rows, intensity = config.train_batch_size * self.learnt_length, config.training_intensity
            self.owed += steps if intensity is None else steps * intensity / rows
            taken = yield from self._gradient_steps(policy, int(self.owed + _ROUNDING), self.timesteps_total + steps)
            self.owed -= taken
            self.gradient_steps += taken
        return {"replay_size": len(self.replay), "gradient_steps": self.gradient_steps}

    def _gradient_steps(self, policy: Policy, count: int, now: int) -> Generator[Batch | Steps, Result, int]:
        """Yield draws for ``count`` gradient steps; return how many could be taken."""
        taken = 0
        while taken < count:
            number = min(count - taken, self._at_once(policy))
            drawn = self.replay.draw(number * self.config.train_batch_size, self.draws)
            batch = None if drawn is None else self._batch(policy, drawn)
            if drawn is None or batch is None:
                break
            taken += number
            tau = self._moves(number, now, last=taken == count)
            if number == 1:
                result = yield batch
                self._reweigh(policy, drawn, batch, result)
                if tau[0]:
                    self.learner.follow(self.target, float(tau[0]))
            else:
                order = np.arange(len(drawn.rows)).reshape(number, -1)
                yield Steps(batch, order, np.ones(order.shape, np.bool_), tau)
        return taken

    def _at_once(self, policy: Policy) -> int:
        """Return for how many gradient steps draws are made together: where no result is needed in between."""
        config = self.config
        if config.prioritized_replay or policy.views.recurrent:
            return 1
        features = policy.preprocessor.size * config.train_batch_size * (config.n_step + 1)
        return max(1, FEATURES_AT_A_TIME // features)

    def _batch(self, policy: Policy, drawn: DrawnWindows) -> Batch | None:
        """Return what is learnt from in windows; None where no step of them is."""
        config = self.config
        batch = transitions(
            policy,
            drawn.trajectory,
            n=config.n_step,
            gamma=config.gamma,
            burn_in=config.replay_burn_in,
            lookahead=policy.views.lookahead,
            weights=drawn.weights,
        )
        return batch if len(batch["obs"][0]) else None

    def _moves(self, number: int, now: int, *, last: bool) -> NumpyArray:
        """Return how far the target moves after each of the next gradient steps, [number]."""
        config = self.config
        if config.target_network_update_freq == 0:
            return np.full(number, config.tau)
        moves = np.zeros(number)
        if last and now - self.moved_at >= config.target_network_update_freq:
            moves[-1], self.moved_at = config.tau, now
        return moves

    def _reweigh(self, policy: Policy, drawn: DrawnWindows, batch: Batch, result: Result) -> None:
        """Set the priorities of windows by the errors of their rows."""
        if not self.config.prioritized_replay:
            return
        if "td_error" not in result.rows:
            raise ConfigError(
                f"{type(self).__name__}.losses() returns no errors of rows, by which `prioritized_replay` draws: return"
                ' Losses(..., rows={"td_error": errors}), or switch it off.'
            )
        errors = np.abs(policy.runtime.numpy(result.rows["td_error"]))
        windows: Ints | None = batch.get("windows")
        if windows is not None:
            errors = _of_sequences(errors, windows, len(drawn.rows))
        if not np.isfinite(errors).all():
            raise NonFiniteError(
                f"{type(self).__name__}.losses(): Losses(rows={{'td_error': ...}}) holds errors that are NaN or"
                f" infinite, by which `prioritized_replay` cannot draw, after {self.timesteps_total} steps."
            )
        self.replay.reweigh(drawn.rows, errors)


def _of_sequences(errors: NumpyArray, windows: Ints, count: int) -> NumpyArray:
    """Return one error for each of ``count`` windows: the largest of its rows, mixed with their mean.

    Args:
        errors: of rows, [N].
        windows: which window each row that is learnt from belongs to; -1 for the others, [N].
        count: of windows.
    """
    counted = windows >= 0
    errors, windows = np.where(counted, errors, 0.0), np.where(counted, windows, 0)
    largest, sums, rows = np.zeros(count), np.zeros(count), np.zeros(count)
    np.maximum.at(largest, windows, errors)
    np.add.at(sums, windows, errors)
    np.add.at(rows, windows, counted)
    found: NumpyArray = _LARGEST_PRIORITY * largest + (1 - _LARGEST_PRIORITY) * sums / np.maximum(rows, 1)
    return found
