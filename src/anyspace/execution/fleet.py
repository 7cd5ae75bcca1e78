"""Who collects: this process, or workers with environments of their own."""

from __future__ import annotations

import contextlib
import copy
import logging
import pickle
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from anyspace.data.collector import Collector
from anyspace.data.env_calls import EnvCallError, EnvCalls
from anyspace.data.seeds import acting_seed, worker_seed
from anyspace.data.trajectory import Trajectory
from anyspace.execution.dispatch import Dispatcher
from anyspace.execution.evaluate import LocalEvaluator, Played, Request
from anyspace.execution.packing import BufferLayout
from anyspace.execution.rounds import Round, Tally
from anyspace.execution.worker import Episodes, Fragment, Gather, Job, Play, Recipe, Start
from anyspace.policy.policy import Policy

_LOG = logging.getLogger("anyspace")


class Fleet(Protocol):
    """Collects trajectories with the weights of the policy that it was built with."""

    def gather(self, steps: int) -> Trajectory:
        """Return about ``steps`` environment steps."""

    def restart(self, seed: int | None = None) -> None:
        """Let new episodes begin everywhere with the next call; ``seed`` None draws on as the environments stand."""

    def tell(self, calls: EnvCalls) -> None:
        """Let environments be told what they have not heard of ``calls``, and those that take their place all of it.

        Raises:
            EnvCallError: there is no such method, or it raised an error. Of workers it comes with the next ``gather``.
        """

    def metrics(self) -> dict[str, float]:
        """Return numbers about collecting since the last call, for reports."""

    def close(self) -> None:
        """Free the environments."""


class LocalFleet:
    """Collects in this process, with the learner's own policy: no weights are copied.

    Args:
        collector: steps the environments.
        fragment: steps of one environment in a fragment; None makes one fragment of what is asked for.
        whole_episodes: gather complete episodes instead of fragments.
        explore: sample actions.
    """

    def __init__(self, collector: Collector, *, fragment: int | None, whole_episodes: bool, explore: bool = True):
        self.collector = collector
        self._fragment = fragment
        self._whole_episodes = whole_episodes
        self._explore = explore

    def gather(self, steps: int) -> Trajectory:
        """Return at least ``steps`` rows; see :class:`Fleet`."""
        if self._whole_episodes:
            return self.collector.gather_episodes(steps, explore=self._explore)
        width = self.collector.source.num_envs
        fragment = self._fragment or -(-steps // width)
        count = -(-steps // (fragment * width))
        return Trajectory.side_by_side([self.collector.gather(fragment, explore=self._explore) for _ in range(count)])

    def restart(self, seed: int | None = None) -> None:
        """Let new episodes begin with the next call."""
        self.collector.restart(seed)

    def tell(self, calls: EnvCalls) -> None:
        """Let environments be told; see :class:`Fleet`."""
        self.collector.tell(calls)

    def metrics(self) -> dict[str, float]:
        """Return nothing: a local fleet never waits."""
        return {}

    def close(self) -> None:
        """Close the environments."""
        self.collector.source.close()


def publish(dispatcher: Dispatcher[Any, Any, Any], policy: Policy, layout: BufferLayout, interval: int = 1) -> None:
    """Send the weights of a policy to workers, if they have changed ``interval`` times since they were sent last.

    Those that were loaded are sent at once.
    """
    sent = dispatcher.version
    if sent is None or sent < policy.replaced_at or not 0 <= policy.version - sent < interval:
        dispatcher.publish(policy.version, layout.pack(policy.weights()))


LEAST_SECONDS = 0.1
"""Seconds that a fragment should take to collect, where sending it takes some milliseconds."""
WARM_UP = 2
"""Gatherings before fragments are timed."""


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How much each worker collects at a time, and when the learner goes on."""

    fragment: int | None = None
    """Steps of one environment in a fragment; None: each worker's share of what is asked for."""
    asynchronous: bool = False
    """Take the fragments that are ready first, whatever weights they were collected with."""
    any_order: bool = False
    """Let quick workers take over shares of slow ones."""
    broadcast_interval: int = 1
    """Versions of the weights from one that is sent to the next."""
    is_remote: bool = False
    """Whether fragments come from other processes, which takes a while."""


class WorkerFleet:
    """Collects with workers that have environments and a policy of their own.

    With the same seed and as many workers it collects the same steps wherever they are, unless fragments are taken as
    they come.

    Args:
        policy: the learner's; its weights are sent to the workers whenever they have changed.
        dispatcher: reaches the workers.
        recipe: what the workers are made of.
        pace: how much is asked for at a time.
        seed: of the environments.
        acting: of the random sources that actions are sampled from.
    """

    def __init__(
        self,
        policy: Policy,
        dispatcher: Dispatcher[Any, Any, Any],
        recipe: Recipe,
        pace: Pace,
        seed: int,
        acting: int,
    ):
        self._policy, self._dispatcher = policy, dispatcher
        self._recipe, self._pace = recipe, pace
        self._start = Start(0, seed, acting)
        self._calls = EnvCalls()
        self._gathered = 0
        self._next: dict[tuple[int, int], int] = {}
        self._gaps: Counter[int] = Counter()

    def gather(self, steps: int) -> Trajectory:
        """Return at least ``steps`` rows; see :class:`Fleet`."""
        dispatcher, version = self._dispatcher, self._policy.version
        publish(dispatcher, self._policy, self._recipe.layout, self._pace.broadcast_interval)
        width = self._recipe.num_envs * self._recipe.workers
        if self._recipe.whole_episodes:
            fragment, rounds = -(-steps // self._recipe.workers), 1
        else:
            fragment = self._pace.fragment or -(-steps // width)
            rounds = -(-steps // (fragment * width))
        job = Gather(fragment, self._start, self._policy.timestep, tuple(self._calls))
        found: Sequence[Fragment | Episodes]
        try:
            if self._pace.asynchronous:
                each = fragment if self._recipe.whole_episodes else fragment * self._recipe.num_envs
                found = dispatcher.stream(job, steps, each, version)
            else:
                jobs: list[list[Job]] = [[job] * rounds for _ in range(self._recipe.workers)]
                found = dispatcher.shares(jobs, version, any_order=self._pace.any_order)
        except EnvCallError as error:
            self._calls.forget(error.number)
            raise
        fragments = [one for one in found if isinstance(one, Fragment)]
        if self._pace.is_remote:
            self._advise(fragments)
        for one in fragments:
            if one.masks is not None:
                self._policy.masking.trained_with(one.masks)
        trajectory = Trajectory.side_by_side([self._marked(one) for one in fragments])
        # What comes out of Ray is read-only and keeps its room in the object store; what was joined is a copy already.
        return trajectory if trajectory.rewards.flags.writeable else copy.deepcopy(trajectory)

    def _marked(self, fragment: Fragment) -> Trajectory:
        """Return a fragment's steps; where some before them were dropped, their lanes are as of another incarnation."""
        trajectory, worker = fragment.trajectory, fragment.worker
        place = worker, int(trajectory.lanes[0, 1])
        self._gaps[worker] += fragment.number != self._next.get(place, 0)
        self._next[place] = fragment.number + 1
        if not self._gaps[worker]:
            return trajectory
        return replace(trajectory, lanes=trajectory.lanes + np.array([0, self._gaps[worker], 0]))

    def _advise(self, fragments: Sequence[Fragment]) -> None:
        """Say of the first fragments that they are too large, and of some after the warm-up that they are short."""
        self._gathered += 1
        if self._gathered == 1:
            self._require_room(max(map(size_of, fragments)))
        if self._gathered != WARM_UP + 1:
            return
        seconds = float(np.mean([one.seconds for one in fragments]))
        if seconds < LEAST_SECONDS:
            _LOG.warning(
                f"workers take {1000 * seconds:.0f} ms for a fragment, and sending one takes a few: below"
                f" {1000 * LEAST_SECONDS:.0f} ms one process (num_env_runners=0) is often as quick. Raise"
                " `rollout_fragment_length`, or `train_batch_size` and `num_envs_per_env_runner`."
            )

    def _require_room(self, size: int) -> None:
        """Say that all fragments that may be under way do not fit into memory, where each has ``size`` bytes."""
        count, room = self._dispatcher.most_under_way, self._dispatcher.store
        if count * size > room:
            _LOG.warning(
                f"{count} fragments may be under way, of {size / 1e6:,.1f} MB each, but Ray's object store has"
                f" {room / 1e6:,.0f} MB on this machine: it writes the rest to disk, which is slow. Give containers"
                " more /dev/shm (`--shm-size`), start Ray with a larger store (`--object-store-memory`), or lower"
                " `rollout_fragment_length`."
            )

    def restart(self, seed: int | None = None) -> None:
        """Let new episodes begin with the next call."""
        number, start = self._start.number + 1, self._start
        if seed is None:
            self._start = Start(number, start.seed, start.acting, reseeds=False)
        else:
            self._start = Start(number, seed, acting_seed(seed))

    def tell(self, calls: EnvCalls) -> None:
        """Let each worker tell its environments before it collects for the next request; see :class:`Fleet`."""
        self._calls = calls

    def metrics(self) -> dict[str, float]:
        """Return how long the learner waited, how old fragments were, and what became of workers."""
        tally, self._dispatcher.tally = self._dispatcher.tally, Tally()
        lags = tally.lags or [0]
        return {
            "waited_s": tally.waited,
            "lag_mean": float(np.mean(lags)),
            "lag_max": float(max(lags)),
            "restarts": float(tally.restarts),
            "lost": float(tally.lost),
            "stale": float(tally.stale),
            "requests": float(self._dispatcher.under_way),
        }

    def close(self) -> None:
        """End the workers."""
        self._dispatcher.close()


def size_of(fragment: Fragment) -> int:
    """Return how many bytes a fragment takes on its way."""
    buffers: list[pickle.PickleBuffer] = []
    skeleton = pickle.dumps(fragment, protocol=5, buffer_callback=buffers.append)
    return len(skeleton) + sum(buffer.raw().nbytes for buffer in buffers)


class WorkerEvaluator:
    """Plays evaluation episodes with workers, each a share of them.

    Args:
        policy: the learner's.
        dispatcher: reaches the workers.
        recipe: what the workers are made of.
        local: plays what is to be shown or filmed.
    """

    def __init__(
        self, policy: Policy, dispatcher: Dispatcher[Any, Any, Any], recipe: Recipe, local: LocalEvaluator
    ) -> None:
        self._policy, self._dispatcher, self._recipe, self._local = policy, dispatcher, recipe, local
        self._playing: Round | None = None

    def evaluate(self, request: Request) -> list[Played]:
        """Return the episodes that were played, in the order of the workers."""
        if request.is_watched:
            return self._local.evaluate(request)
        self._playing = self._begun(request)
        played = self._finished(waits=True)
        assert played is not None
        return played

    def beside(self, request: Request) -> list[Played] | None:
        """Return the episodes that were asked for last if they have been played, else None; ask if nobody plays."""
        if self._playing is None:
            self._playing = self._begun(request)
        return self._finished(waits=False)

    def finish(self) -> list[Played] | None:
        """Wait for the episodes that are still played beside training, and return them; None: there are none."""
        return self._finished(waits=True) if self.is_playing else None

    @property
    def is_playing(self) -> bool:
        """Whether episodes are played beside training."""
        return self._playing is not None

    def _begun(self, request: Request) -> Round:
        publish(self._dispatcher, self._policy, self._recipe.layout)
        workers, now = self._recipe.workers, self._policy.timestep
        jobs: list[list[Job]] = [[Play(share, now)] for share in shares_of(request, workers)]
        return self._dispatcher.begin(jobs + [[] for _ in range(workers - len(jobs))])

    def _finished(self, *, waits: bool) -> list[Played] | None:
        assert self._playing is not None
        try:
            found = self._dispatcher.finish(self._playing, self._policy.version, waits=waits)
        except BaseException:
            self._playing = None
            raise
        if found is None:
            return None
        self._playing = None
        return [played for one in found if isinstance(one, Episodes) for played in one.played]

    def close(self) -> None:
        """End the workers."""
        with contextlib.ExitStack() as stack:  # what one raises leaves the other not open
            stack.callback(self._dispatcher.close)
            self._local.close()


def shares_of(request: Request, workers: int) -> Iterator[Request]:
    """Yield what each of at most ``workers`` plays of a request, from a seed of its own, so that none samples alike."""
    for number in range(min(workers, request.episodes)):
        episodes = request.episodes // workers + (number < request.episodes % workers)
        seed = worker_seed(request.seed, number, 0)
        yield Request(episodes, seed, request.explore, longest=request.longest)
