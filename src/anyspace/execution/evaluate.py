"""Evaluation: whole episodes on separate environments, acting deterministically."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple, Protocol

import gymnasium as gym
import numpy as np

from anyspace.data import rendering
from anyspace.data.batching import environment
from anyspace.data.contract import blame
from anyspace.data.endless import LONG_EPISODE, advice
from anyspace.data.environments import EnvSpec, quiet_passive_checks
from anyspace.data.infos import numbers_of_step
from anyspace.data.sources import Vectorization, make_separate_source, make_source
from anyspace.data.stepping import Stepping, require_same_spaces
from anyspace.data.trajectory import Bools
from anyspace.data.vector import Step, VectorSource
from anyspace.errors import ConfigError, NonFiniteError
from anyspace.execution.metrics import mean_by_name
from anyspace.execution.randomness import seeded, undisturbed
from anyspace.execution.report import EvaluationReport
from anyspace.policy.policy import Policy

WIDTH = 8
"""How many evaluation episodes are played side by side."""


class Played(NamedTuple):
    """An episode of an evaluation."""

    total_reward: float
    """Sum of the environment's rewards."""
    length: int
    """Number of steps."""
    cut: bool = False
    """Whether it had not ended, but reached the limit of steps."""
    infos: dict[str, float] = {}  # noqa: RUF012
    """Numbers among the infos of its last step, by name; never written to."""


@dataclass(frozen=True)
class EvaluationResult:
    """Statistics of evaluation episodes."""

    episodes: int
    episodes_cut: int
    """How many of them had not ended when they reached the limit of steps: their returns so far count."""
    episode_return_mean: float
    episode_return_std: float
    episode_return_min: float
    episode_return_max: float
    episode_len_mean: float
    returns: list[float]
    """Of each episode, in the order of their ends."""
    lengths: list[int]
    """Likewise."""
    episode: dict[str, float]
    """The mean over the episodes that gave it of each number among the infos of last steps."""

    def as_dict(self) -> dict[str, Any]:
        """Return the statistics by name."""
        return asdict(self)


@dataclass(frozen=True)
class Request:
    """What is to be played."""

    episodes: int
    """How many, at least 1."""
    seed: int
    """Of the environments, and of the actions that are sampled."""
    explore: bool = False
    """Sample actions instead of taking the deterministic ones."""
    render: bool = False
    """Show one environment in a window."""
    progress: bool = False
    """Show how far it is."""
    longest: int = 0
    """Steps of the longest episode that training has seen lately."""
    film: Callable[[rendering.Picture, float], None] | None = None
    """Takes a picture after each step of a single environment, and how many of them are a second."""

    @property
    def is_watched(self) -> bool:
        """Whether somebody looks on, so that this process plays in a single environment."""
        return self.render or self.film is not None

    def __post_init__(self) -> None:
        if self.episodes < 1:
            raise ConfigError(f"evaluate() was asked for {self.episodes} episodes, but it needs at least 1.")


class Evaluator(Protocol):
    """Plays whole episodes apart from training."""

    def evaluate(self, request: Request) -> list[Played]:
        """Return the episodes that were played."""

    def beside(self, request: Request) -> list[Played] | None:
        """Return episodes that were played beside training since they were asked for; None: they are still played."""

    def finish(self) -> list[Played] | None:
        """Wait for the episodes that are played beside training, and return them; None: there are none."""

    @property
    def is_playing(self) -> bool:
        """Whether episodes are played beside training."""

    def close(self) -> None:
        """Free the environments."""


class LocalEvaluator:
    """Plays in this process, on environments apart from those that train, kept from one evaluation to the next.

    Args:
        policy: plays.
        spec: the environment.
        max_steps: most steps of an episode, None for no limit. ``"auto"`` sets none where one is known to end the
            environment's episodes, and else `LONG_EPISODE` or ten times the longest episode of training.
        vectorization: how several environments run; what is shown or filmed runs in this process.
        timeout: seconds that a step of an environment in a process of its own may take; None: any number.
    """

    def __init__(
        self,
        policy: Policy,
        spec: EnvSpec,
        max_steps: int | Literal["auto"] | None = "auto",
        vectorization: Vectorization = "auto",
        timeout: float | None = None,
    ) -> None:
        self._policy, self._spec, self._max_steps = policy, spec, max_steps
        self._vectorization, self._timeout = vectorization, timeout
        self._source: VectorSource | None = None
        self._told = False

    def evaluate(self, request: Request) -> list[Played]:
        """Return the episodes that were played, at most `WIDTH` of them side by side.

        Raises:
            CheckpointError: the environment's spaces are not the policy's.
            EnvironmentSetupError: it is watched, and shows or draws nothing.
        """
        if request.is_watched:
            film = request.film
            spec = rendering.shown(self._spec) if film is None else rendering.filmed(self._spec, film)
            source = make_source(spec, 1, "sync")
            try:
                return self._played(source, request)
            finally:
                source.close()
        try:
            return self._played(self._with_width(min(request.episodes, WIDTH)), request)
        except BaseException:
            # Maybe it was interrupted in the middle of a step: nobody plays on in these environments.
            self.close()
            raise

    def beside(self, request: Request) -> list[Played]:
        """Return the episodes that were played: there is only one process."""
        return self.evaluate(request)

    def finish(self) -> None:
        """Return None: nothing is played beside training."""

    is_playing = False

    def _played(self, source: VectorSource, request: Request) -> list[Played]:
        require_same_spaces(self._policy, source.observation_space, source.action_space, self._spec.name)
        limit = self._limit(source, request.longest)
        with (
            undisturbed(self._policy.observation_space, self._policy.action_space),
            seeded(self._policy.runtime, request.seed),
            self._policy.runtime.threads_for(source.num_envs),
            EvaluationReport(request.episodes, request.progress) as report,
        ):
            played = evaluate(
                self._policy,
                source,
                request.episodes,
                seed=request.seed,
                explore=request.explore,
                limit=limit,
                watch=report.update if request.progress else None,
            )
        cut = sum(episode.cut for episode in played)
        if cut and not self._told:
            self._told = True
            logging.getLogger("anyspace").warning(
                f"{self._spec.name}: {cut} of {len(played)} evaluation episodes had not ended after {limit:,} steps and"
                " were cut: they count with their returns so far. If they would have ended, raise the config key"
                f" `evaluation_max_episode_steps`. If they never do, {advice(self._spec)}."
            )
        return played

    def _limit(self, source: VectorSource, longest: int) -> int | None:
        if self._max_steps != "auto":
            return self._max_steps
        return None if source.is_limited else max(LONG_EPISODE, 10 * longest)

    def _with_width(self, width: int) -> VectorSource:
        """Return ``width`` environments; of a vector environment that a user gave, a copy of its own width."""
        given = isinstance(self._spec.env, gym.vector.VectorEnv)
        if self._source is None or (self._source.num_envs != width and not given):
            self.close()
            try:
                self._source = make_separate_source(self._spec, width, self._vectorization, self._timeout)
            except OSError as error:
                error.add_note(
                    "Evaluation makes environments of its own beside those that train. Where there can be but one, such"
                    " as one for each port, call close() before evaluate()."
                )
                raise
        return self._source

    def close(self) -> None:
        """Close the environments."""
        if self._source is not None:
            source, self._source = self._source, None
            with quiet_passive_checks():
                source.close()


def evaluate(
    policy: Policy,
    source: VectorSource,
    episodes: int,
    *,
    seed: int,
    explore: bool = False,
    limit: int | None = None,
    watch: Callable[[int, int], None] | None = None,
) -> list[Played]:
    """Return ``episodes`` episodes, in the order of their ends.

    Each environment plays a fixed share of them, so that short episodes are not counted more often than long
    ones. Messages count the steps of this evaluation as :class:`anyspace.data.collector.Collector` does.

    Args:
        policy: plays.
        source: the environments.
        episodes: how many.
        seed: of the environments.
        explore: sample actions instead of taking the deterministic ones.
        limit: most steps of an episode; one that has not ended then is cut. None sets no limit.
        watch: is told after each step how many episodes are over, and how many steps were taken.

    Raises:
        ObservationError: an observation is outside its space; names step and environment.
        NonFiniteError: a reward is NaN or infinite.
    """
    width, t = source.num_envs, 0
    stepping, tally = Stepping(source, policy), _Tally(width, episodes, limit)

    def place(row: tuple[int, ...]) -> str:
        return f"evaluation step {t}, {environment(row[0])}"

    with policy.acting("evaluation") as actor:
        _begin(stepping, seed, t)
        acting = np.ones(width, np.bool_)
        while tally.open:
            policy.require_valid(stepping.leaves, place)
            policy.require_choice(stepping.leaves, acting, place)
            acted = stepping.act(actor, explore=explore)
            t += 1
            try:
                step = stepping.step(acted).step
            except Exception as error:
                blame(error, f"evaluation step {t}", width)
            acting = step.acting
            _require_finite(step, place)
            tally.add(step)
            if watch is not None:
                watch(len(tally.played), t * width)
            if tally.stuck:
                # Vector environments begin anew all together: those that were cut have waited for the others.
                _begin(stepping, None, t)
                tally.begin()
                acting = np.ones(width, np.bool_)
    return tally.played


def _begin(stepping: Stepping, seed: int | None, t: int) -> None:
    try:
        stepping.reset(seed)
    except Exception as error:
        blame(error, f"evaluation step {t}", stepping.source.num_envs)


def _require_finite(step: Step, place: Callable[[tuple[int, ...]], str]) -> None:
    wrong = np.flatnonzero(~step.ignored & ~np.isfinite(step.rewards))
    if len(wrong):
        raise NonFiniteError(f"{place((wrong[0],))}: the reward is {step.rewards[wrong[0]]}.")


class _Tally:
    """Returns and lengths of running episodes, and the episodes that are over, a fixed share of each environment's.

    Args:
        width: how many environments.
        episodes: how many episodes are wanted.
        limit: most steps of an episode.
    """

    def __init__(self, width: int, episodes: int, limit: int | None):
        self.played: list[Played] = []
        self._wanted = np.full(width, episodes // width)
        self._wanted[: episodes % width] += 1
        self._limit = limit
        self.begin()

    def begin(self) -> None:
        """Take in that new episodes begin everywhere."""
        width = len(self._wanted)
        self._returns, self._lengths, self._cut = np.zeros(width), np.zeros(width, np.int64), np.zeros(width, np.bool_)

    @property
    def open(self) -> bool:
        """Whether episodes are missing."""
        return bool(self._wanted.any())

    @property
    def stuck(self) -> bool:
        """Whether all environments that are to play on are in episodes that were cut."""
        return bool(self._cut.any()) and self.open and not self._wanted[~self._cut].any()

    def add(self, step: Step) -> None:
        """Take in a step."""
        counted = ~step.ignored
        self._returns += np.where(counted, step.rewards, 0.0)
        self._lengths += counted
        over = step.game_over & counted
        limited = self._lengths >= self._limit if self._limit is not None else np.zeros_like(over)
        infos = _numbers_of(step, over | limited) if step.infos and (over | limited).any() else {}
        for b in map(int, np.flatnonzero(over)):
            self._finish(b, infos, cut=False)
            self._returns[b] = self._lengths[b] = 0
            self._cut[b] = False
        for b in map(int, np.flatnonzero(limited & ~over & ~self._cut)):
            self._finish(b, infos, cut=True)
            self._cut[b] = True

    def _finish(self, b: int, infos: Mapping[int, dict[str, float]], *, cut: bool) -> None:
        if self._wanted[b] and not self._cut[b]:
            self.played.append(Played(float(self._returns[b]), int(self._lengths[b]), cut, infos.get(b, {})))
            self._wanted[b] -= 1


def _numbers_of(step: Step, rows: Bools) -> dict[int, dict[str, float]]:
    """Return the numbers among the infos of ``rows`` by row and name."""
    found: dict[int, dict[str, float]] = {}
    for name, who, values in numbers_of_step(step.infos, rows, step.ended):
        for b, value in zip(who.tolist(), values.tolist(), strict=True):
            found.setdefault(b, {})[name] = value
    return found


def summary(played: Sequence[Played]) -> EvaluationResult:
    """Return the statistics of one episode or more."""
    returns, lengths = [episode.total_reward for episode in played], [episode.length for episode in played]
    totals = np.array(returns)
    return EvaluationResult(
        episodes=len(played),
        episodes_cut=sum(episode.cut for episode in played),
        episode_return_mean=float(totals.mean()),
        episode_return_std=float(totals.std()),
        episode_return_min=float(totals.min()),
        episode_return_max=float(totals.max()),
        episode_len_mean=float(np.mean(lengths)),
        returns=returns,
        lengths=lengths,
        episode=mean_by_name([episode.infos for episode in played]),
    )
