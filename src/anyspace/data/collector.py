"""Policy and environments -> Trajectory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from anyspace.data.batching import environment
from anyspace.data.contract import blame
from anyspace.data.env_calls import EnvCall, EnvCallError
from anyspace.data.record import Record
from anyspace.data.rewards import ReturnMoments
from anyspace.data.stepping import LAST_OBSERVATION, Stepping
from anyspace.data.trajectory import Bools, Episode, Ints, Trajectory
from anyspace.data.vector import Step, VectorSource
from anyspace.errors import NonFiniteError, ObservationError
from anyspace.models.runtime import NumpyArray
from anyspace.policy.acting import Actor
from anyspace.policy.policy import Policy


class Collector:
    """Steps a source with a policy; episodes go on from one call to the next.

    Messages count vector steps from 1: step k is the k-th call of the vector environment's ``step`` in this
    run, and names what that call returned, the observation as well as the reward. Where an episode ended in
    it, that holds for its last observation and, unless the source spends a step on it, for the first one of
    the next episode too. Step 0 is the first reset; later resets bear the number of the step before them.

    Args:
        source: the environments.
        policy: chooses the actions.
        returns: takes the moments of discounted returns, where rewards are to be scaled by them.
        seed: of the environments' first reset.
        steps_before: vector steps of this run before this collector, for messages.
        worker: number of the worker that collects, from 0, and how often it was replaced; None: there are no workers.
        watch: is told how long the longest episode under way is, now and then.
        collect: names of infos whose numbers are columns of the trajectories.
    """

    def __init__(
        self,
        source: VectorSource,
        policy: Policy,
        returns: ReturnMoments | None = None,
        seed: int | None = None,
        steps_before: int = 0,
        worker: tuple[int, int] | None = None,
        watch: Callable[[int], None] | None = None,
        collect: Sequence[str] = (),
    ):
        self.source = source
        self.policy = policy
        self._stepping = Stepping(source, policy)
        self._moments = returns
        self._watch = watch
        self._seed = seed
        self._running = False
        self._begun: Bools = np.ones(source.num_envs, np.bool_)
        self._lanes: Ints = np.array([[*(worker or (0, 0)), number] for number in range(source.num_envs)])
        self._returns = np.zeros(source.num_envs)
        self._lengths = np.zeros(source.num_envs, np.int64)
        self._place = "" if worker is None else f"worker {worker[0]}, "
        self._steps_before, self._heard = steps_before, 0
        self._collect = collect

    def restart(self, seed: int | None = None) -> None:
        """Let new episodes begin with the next call, everywhere.

        Args:
            seed: of the reset; None draws on where the environments' random sources stand.
        """
        self._running, self._seed = False, seed

    def tell(self, calls: Iterable[EnvCall]) -> None:
        """Make those of some calls that the environments have not heard yet; new episodes begin where one fails.

        Raises:
            EnvCallError: there is no such method, or it raised an error; says which call it was.
        """
        for told in calls:
            if told.number <= self._heard:
                continue
            self._heard = told.number
            try:
                self.source.call(told.method, told.arguments)
            except BaseException as error:
                self.restart()
                if isinstance(error, EnvCallError):
                    error.number = told.number
                raise

    def gather(self, steps: int, *, explore: bool = True) -> Trajectory:
        """Return ``steps`` steps of every environment.

        Raises:
            ObservationError: an observation is outside its space, NaN or infinite; names step and environment.
            NonFiniteError: a reward is NaN or infinite.
        """
        record = self._begin(steps)
        with self.policy.acting("acting") as actor:
            for _, noise in zip(range(steps), self._noises(actor, steps, explore), strict=False):
                self._step(actor, record, explore, noise)
        trajectory = self._finish(record)
        self._running = True
        return trajectory

    def gather_episodes(self, min_steps: int, *, explore: bool = True) -> Trajectory:
        """Return whole episodes: at least ``min_steps`` steps, and on until every episode has ended.

        Every environment starts a new episode first. What comes after an environment's last episode is not valid.
        """
        self._running = False
        steps = 1 + min_steps // self.source.num_envs
        record = self._begin(steps)
        running, valid_steps, overtime = np.ones(self.source.num_envs, np.bool_), 0, 0
        lives_on = np.zeros(self.source.num_envs, np.bool_)
        with self.policy.acting("acting") as actor:
            noises = self._noises(actor, steps, explore)
            while running.any():
                step = self._step(actor, record, explore, next(noises), running)
                valid_steps += int(np.count_nonzero(~step.ignored & running))
                if valid_steps >= min_steps:
                    # A step that is spent on a reset follows the end of the game, or of a life.
                    running = running & ~(step.game_over | (step.ignored & ~lives_on))
                    overtime += 1
                    if self._watch is not None:
                        self._watch(overtime)
                lives_on = step.life_lost
        return self._finish(record)

    def _noises(self, actor: Actor, steps: int, explore: bool) -> Iterator[NumpyArray | None]:
        """Yield the noise of one step after the other without end, drawn for ``steps`` of them at a time.

        None stands for noise that is not needed, or that cannot be drawn ahead.
        """
        ahead = explore and self.policy.knows_distribution
        blank = self.policy.new_distribution(self.source.num_envs) if ahead else None
        while True:
            drawn = None if blank is None else actor.draw_noise(blank, steps)
            yield from [None] * steps if drawn is None else drawn

    def _begin(self, steps: int) -> Record:
        """Start new episodes if none are running, and return room for ``steps`` steps."""
        if not self._running:
            try:
                self._stepping.reset(self._seed)
            except Exception as error:
                blame(error, self._name(0), self.source.num_envs)
            self.policy.masking.trained_with(self._stepping.mask_origin)
            self._seed = None
            self._begun = np.ones(self.source.num_envs, np.bool_)
            self._returns[:] = 0
            self._lengths[:] = 0
            if self._moments is not None:
                self._moments.restart()
        self._running = False  # if this rollout fails, the next one starts new episodes
        return Record(self._stepping.leaves, self._stepping.history.windows, steps, self.policy.stacks, self._collect)

    def _step(
        self, actor: Actor, record: Record, explore: bool, noise: NumpyArray | None, running: Bools | None = None
    ) -> Step:
        """Take a step and write it down; where ``running``, bool [B], does not hold, it does not count."""
        try:
            acted = self._stepping.act(actor, explore=explore, noise=noise)
        except Exception as error:
            self._require_valid_obs(record, error)
            raise
        try:
            stepped = self._stepping.step(acted)
            ignored = stepped.step.ignored
            record.add(acted.raw, stepped, ignored if running is None else ignored | ~running)
        except Exception as error:
            # A bad observation makes bad actions, at which environments may trip: name the cause, not the fall.
            self._require_valid_obs(record, error)
            blame(error, self._name(record.t + 1), self.source.num_envs)
        return stepped.step

    def _finish(self, record: Record) -> Trajectory:
        self._require_valid_obs(record)
        trajectory = record.trajectory(self._begun, self._lanes, self.policy.version)
        finite = np.isfinite(trajectory.rewards)
        if not finite.all():
            t, b = np.argwhere(~finite)[0]
            raise NonFiniteError(
                f"{self._name(t + 1)}, environment {b}: the reward is {trajectory.rewards[t, b]};"
                " rewards must be finite. Nothing was learnt from this batch."
            )
        trajectory.episodes = self._ended_episodes(trajectory, record)
        if self._moments is not None:
            trajectory.reward_moments = self._moments(trajectory)
        self._begun = trajectory.restarts()[-1]
        self._steps_before += len(trajectory.rewards)
        return trajectory

    def _require_valid_obs(self, record: Record, cause: Exception | None = None) -> None:
        final, obs = record.final_obs(), [leaf[: record.t + 1] for leaf in record.obs]
        try:
            self.policy.require_valid(obs, lambda row: f"{self._name(row[0])}, {environment(row[1])}")
            if len(final.t):
                self.policy.require_valid(
                    final.leaves,
                    lambda row: (
                        f"{self._name(final.t[row[0]] + 1)}, {environment(final.b[row[0]])}, {LAST_OBSERVATION}"
                    ),
                )
            used = record.used(now=cause is not None)
            self.policy.require_choice(
                [leaf[: len(used)] for leaf in obs],
                used,
                lambda row: f"{self._name(row[0])}, {environment(row[1])}",
            )
        except ObservationError as error:
            raise error from cause

    def _name(self, t: int) -> str:
        """Name the step that led to ``obs[t]`` of the trajectory that is being written."""
        return f"{self._place}step {self._steps_before + t}"

    def _ended_episodes(self, trajectory: Trajectory, record: Record) -> list[Episode]:
        """Return the episodes that end in the trajectory and carry the others' sums on, over lost lives too."""
        done = trajectory.done & trajectory.valid & ~record.life_lost()
        if not done.any():
            self._returns += trajectory.rewards.sum(axis=0, dtype=np.float64)
            self._lengths += trajectory.valid.sum(axis=0)
            return self._watched([])
        rewards = np.cumsum(trajectory.rewards, axis=0, dtype=np.float64)
        lengths = np.cumsum(trajectory.valid, axis=0)
        episodes = []
        for t, b in np.argwhere(done):
            total, length = self._returns[b] + rewards[t, b], self._lengths[b] + lengths[t, b]
            episodes.append(Episode(float(total), int(length), record.last_infos.get((int(t), int(b)), {})))
            self._returns[b], self._lengths[b] = -rewards[t, b], -lengths[t, b]
        self._returns += rewards[-1]
        self._lengths += lengths[-1]
        return self._watched(episodes)

    def _watched(self, episodes: list[Episode]) -> list[Episode]:
        if self._watch is not None:
            self._watch(int(self._lengths.max()))
        return episodes
