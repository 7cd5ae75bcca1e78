"""What runs beside environments of its own: a worker, in this process or another one. It knows no Ray."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import logging
import pickle
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, NoReturn

import gymnasium as gym

from anyspace.data.collector import Collector
from anyspace.data.endless import EndlessWatch
from anyspace.data.env_calls import EnvCall
from anyspace.data.environments import EnvSpec, adopt_ids, registered_ids
from anyspace.data.rewards import ReturnMoments
from anyspace.data.rows import with_logp
from anyspace.data.seeds import worker_seed
from anyspace.data.sources import Vectorization, make_source
from anyspace.data.stepping import differing_space
from anyspace.data.trajectory import Trajectory
from anyspace.distributions import ActionDistribution
from anyspace.errors import AnyspaceError, EnvironmentSetupError
from anyspace.execution.backends import backend_of
from anyspace.execution.evaluate import LocalEvaluator, Played, Request
from anyspace.execution.packing import BufferLayout, Packed
from anyspace.models import action_dists, catalog
from anyspace.policy.config import PolicyConfig
from anyspace.policy.exploration import Place
from anyspace.policy.masking import MaskOrigin
from anyspace.policy.plan import Plan
from anyspace.policy.policy import Policy
from anyspace.spaces.kinds.registered import Registration, adopt, registered_spaces


class Start(NamedTuple):
    """When all environments were last told to begin anew."""

    number: int
    """How often they were told so."""
    seed: int
    """Of the environments."""
    acting: int
    """Of the random sources that actions are sampled from."""
    reseeds: bool = True
    """Whether workers that go on take these seeds; else their random sources go on where they are."""


class Gather(NamedTuple):
    """A request for steps."""

    steps: int
    """Of each environment; with whole episodes, of all environments of the worker together, at least."""
    start: Start
    timestep: int
    """Environment steps so far, by which exploration goes: they move on before the weights do."""
    calls: tuple[EnvCall, ...] = ()
    """What environments were told so far, see :class:`EnvCalls`."""


class Play(NamedTuple):
    """A request for evaluation episodes."""

    request: Request
    timestep: int
    """Environment steps so far; see :class:`Gather`."""


Job = Gather | Play


class Fragment(NamedTuple):
    """What a worker collected."""

    worker: int
    number: int
    """How many its worker collected before."""
    trajectory: Trajectory
    steps: int
    """For how many it counts; those in which a vector environment resets itself are among them."""
    seconds: float
    """That collecting took."""
    masks: MaskOrigin | None
    """Where the masks of actions came from."""
    warnings: tuple[str, ...] = ()
    """What the worker had to say meanwhile."""


class Episodes(NamedTuple):
    """Evaluation episodes that a worker played."""

    worker: int
    played: list[Played]
    warnings: tuple[str, ...] = ()


class Built(NamedTuple):
    """A worker is ready."""

    process: int


class Failure(NamedTuple):
    """An error that came up in a worker."""

    worker: int
    error: Exception
    text: str
    """Its traceback."""
    warnings: tuple[str, ...] = ()
    """What the worker had to say before."""

    def reraise(self) -> NoReturn:
        """Raise the error here; one that is not this library's has the traceback of the worker as a note."""
        if not isinstance(self.error, AnyspaceError):
            self.error.add_note(f"In worker {self.worker}:\n{self.text}")
        raise self.error


@dataclass(frozen=True)
class Names:
    """What was registered by name in this process, for workers in other processes."""

    models: dict[str, type]
    distributions: dict[str, type[ActionDistribution]]
    environments: dict[str, gym.envs.registration.EnvSpec]
    spaces: list[Registration]

    @classmethod
    def here(cls) -> Names:
        """Return the names that this process knows."""
        return cls(catalog.registered_models(), action_dists.registered(), registered_ids(), registered_spaces())

    def adopt(self) -> None:
        """Make them known in this process."""
        for name, model in self.models.items():
            catalog.ModelCatalog.register_custom_model(name, model)
        for name, distribution in self.distributions.items():
            action_dists.register(name, distribution)
        adopt_ids(self.environments)
        adopt(self.spaces)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All that workers are made of; the same for each of them."""

    spec: EnvSpec
    config: PolicyConfig
    plan: Plan
    observation_space: gym.Space[Any]
    action_space: gym.Space[Any]
    layout: BufferLayout
    """Of the policy's weights."""
    seed: int
    """Of the policy's random sources, until a request says more."""
    workers: int
    """How many there are."""
    num_envs: int
    """Environments of one worker."""
    vectorization: Vectorization
    whole_episodes: bool
    collect: tuple[str, ...]
    """Names of infos whose numbers are columns of the trajectories."""
    returns: tuple[bool | float, float] | None
    """How rewards are clipped, and the discount, where the moments of discounted returns are taken."""
    limit: float | None
    """Seconds that a step of an environment in a process of its own may take."""
    with_logp: bool
    """Send the log-probabilities of actions: the learner's weights may have changed when it learns."""
    collects: bool
    """Whether workers collect, so that their environments are made when they are built; others only evaluate."""
    steps_before: int
    """Steps of the run before these workers, for messages."""
    max_episode_steps: int | Literal["auto"] | None
    """Of evaluation episodes."""


class Worker:
    """A policy of its own, and environments.

    Args:
        recipe: what it is made of.
        number: which of the workers it is, from 0.
        incarnation: how often it was replaced.

    Attributes:
        warnings: what it had to say since its latest answer.
    """

    def __init__(self, recipe: Recipe, number: int, incarnation: int):
        self.number, self.incarnation = number, incarnation
        self._recipe, self._version, self._begun = recipe, -1, -1
        self._spec = replace(recipe.spec, worker_index=number + 1)
        config = dataclasses.replace(recipe.config, device="cpu")
        runtime, place = backend_of(config.framework).runtime(config), Place(number, recipe.workers)
        with _collected([]):  # the learner's own policy has said it already
            self.policy = Policy(
                recipe.observation_space, recipe.action_space, config, runtime, recipe.plan, recipe.seed, place
            )
        self.warnings: list[str] = []
        with _collected(self.warnings):
            self._collector = self._new_collector() if recipe.collects else None
        self._evaluator: LocalEvaluator | None = None
        self._fragments = itertools.count()

    def do(self, job: Job, version: int, weights: Packed) -> Fragment | Episodes:
        """Return what a request asks for.

        Args:
            job: the request.
            version: of the weights.
            weights: packed as the recipe's layout says.
        """
        if version != self._version:
            self.policy.load_weights(self._recipe.layout.unpack(weights))
            self._version = self.policy.version = version
        with _collected(self.warnings):
            found = self._gather(job) if isinstance(job, Gather) else self._play(job)
        said, self.warnings = self.warnings, []
        return found._replace(warnings=tuple(said))

    def _gather(self, job: Gather) -> Fragment:
        recipe, began, number = self._recipe, time.perf_counter(), next(self._fragments)
        self.policy.at(job.timestep)
        assert self._collector is not None, "workers that only evaluate are not asked for steps"
        self._collector.tell(job.calls)
        if self._begun != job.start.number:
            self._begin(self._collector, job.start)
        with self.policy.runtime.threads_for(recipe.num_envs):
            gather = self._collector.gather_episodes if recipe.whole_episodes else self._collector.gather
            trajectory = gather(job.steps, explore=recipe.config.explore)
            if recipe.with_logp:
                trajectory = with_logp(self.policy, trajectory)
        steps = trajectory.num_steps if recipe.whole_episodes else trajectory.valid.size
        return Fragment(self.number, number, trajectory, steps, time.perf_counter() - began, self.policy.masking.origin)

    def _begin(self, collector: Collector, start: Start) -> None:
        """Let new episodes begin, from the seeds where these are new or the worker is."""
        # From seeds that are new to all, nothing was played yet.
        place = (self.number, self.incarnation if self._begun < 0 else 0)
        if start.reseeds or self._begun < 0:
            self.policy.runtime.seed(worker_seed(start.acting, *place))
            collector.restart(worker_seed(start.seed, *place))
        else:
            collector.restart()
        self._begun = start.number

    def _new_collector(self) -> Collector:
        recipe = self._recipe
        source = make_source(self._spec, recipe.num_envs, recipe.vectorization, recipe.limit)
        differing = differing_space(self.policy, source.observation_space, source.action_space)
        if differing is not None:
            source.close()
            kind, mine, theirs = differing
            raise EnvironmentSetupError(
                f"worker {self.number}: the {kind} space of its {recipe.spec.name} is {theirs}, but that of the first"
                f" one made is {mine}. All environments of a run need the same spaces, in every worker; do not draw"
                " them at random."
            )
        return Collector(
            source,
            self.policy,
            None if recipe.returns is None else ReturnMoments(recipe.num_envs, *recipe.returns),
            steps_before=recipe.steps_before,
            worker=(self.number, self.incarnation),
            watch=EndlessWatch(recipe.spec, limited=source.is_limited),
            collect=recipe.collect,
        )

    def _play(self, job: Play) -> Episodes:
        recipe = self._recipe
        if self._evaluator is None:
            self._evaluator = LocalEvaluator(
                self.policy, self._spec, recipe.max_episode_steps, recipe.vectorization, recipe.limit
            )
        self.policy.at(job.timestep)
        return Episodes(self.number, self._evaluator.evaluate(job.request))

    def close(self) -> None:
        """Close the environments."""
        if self._collector is not None:
            self._collector.source.close()
        if self._evaluator is not None:
            self._evaluator.close()


@contextlib.contextmanager
def _collected(warnings: list[str]) -> Iterator[None]:
    """Add the warnings of this library to a list in place of printing them: each worker would print its own."""
    logger = logging.getLogger("anyspace")
    propagate, handlers = logger.propagate, logger.handlers
    logger.propagate, logger.handlers = False, [_WarningList(warnings)]
    try:
        yield
    finally:
        logger.propagate, logger.handlers = propagate, handlers


class _WarningList(logging.Handler):
    def __init__(self, warnings: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._warnings = warnings

    def emit(self, record: logging.LogRecord) -> None:
        self._warnings.append(record.getMessage())


def failure(number: int, error: Exception, warnings: Sequence[str] = ()) -> Failure:
    """Return an error of worker ``number``, and what it had to say, in a form that arrives in another process."""
    text = "".join(traceback.format_exception(error))
    try:
        arrives = type(pickle.loads(pickle.dumps(error))) is type(error)
    except Exception:
        arrives = False
    if not arrives:
        told = RuntimeError(f"{type(error).__qualname__}: {error}")
        for note in getattr(error, "__notes__", ()):
            told.add_note(note)
        return Failure(number, told, text, tuple(warnings))
    return Failure(number, error, text, tuple(warnings))
