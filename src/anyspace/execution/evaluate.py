"""Evaluation: whole episodes on separate environments, acting deterministically."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

import gymnasium as gym
import numpy as np

from anyspace.data.batching import environment
from anyspace.data.environments import EnvSpec
from anyspace.data.masks import InfoMasks
from anyspace.data.trajectory import Episode
from anyspace.data.vector import VectorSource, blame, make_separate_source, make_source
from anyspace.errors import NonFiniteError
from anyspace.policy.policy import Policy


@dataclass(frozen=True)
class EvaluationResult:
    """Statistics of evaluation episodes."""

    episodes: int
    episode_return_mean: float
    episode_return_std: float
    episode_return_min: float
    episode_return_max: float
    episode_len_mean: float

    def as_dict(self) -> dict[str, float]:
        """Return the statistics by name."""
        return asdict(self)


class EvaluationEnvs:
    """Environments apart from those that train, kept from one evaluation to the next."""

    def __init__(self) -> None:
        self._source: VectorSource | None = None

    def take(self, spec: EnvSpec, width: int) -> VectorSource:
        """Return ``width`` environments; of a vector environment that a user gave, a copy of its own width."""
        given = isinstance(spec.env, gym.vector.VectorEnv)
        if self._source is None or (self._source.num_envs != width and not given):
            self.close()
            self._source = make_separate_source(spec, width)
        return self._source

    def close(self) -> None:
        """Close them."""
        if self._source is not None:
            self._source.close()
            self._source = None


def rendering_source(spec: EnvSpec) -> VectorSource:
    """Return one environment that shows itself in a window."""
    return make_source(replace(spec, env_config={**spec.env_config, "render_mode": "human"}), 1, "sync")


def evaluate(
    policy: Policy, source: VectorSource, episodes: int, *, seed: int, explore: bool = False
) -> EvaluationResult:
    """Return the statistics of ``episodes`` episodes.

    Each environment plays a fixed share of them, so that short episodes are not counted more often than long
    ones. Messages count the steps of this evaluation as :class:`anyspace.data.collector.Collector` does.

    Raises:
        ObservationError: an observation is outside its space; names step and environment.
        NonFiniteError: a reward is NaN or infinite.
    """
    shares = np.full(source.num_envs, episodes // source.num_envs)
    shares[: episodes % source.num_envs] += 1
    finished: list[Episode] = []
    returns, lengths = np.zeros(source.num_envs), np.zeros(source.num_envs, np.int64)
    masks = InfoMasks(policy.masking, source.num_envs)
    t = 0

    def place(row: tuple[int, ...]) -> str:
        return f"evaluation step {t}, {environment(row[0])}"

    with policy.acting():
        try:
            obs, infos = source.reset(seed)
            leaves = [*policy.encode(obs, environment), *masks.first(infos)]
        except Exception as error:
            blame(error, "evaluation step 0", source.num_envs)
        acting, history = np.ones(source.num_envs, np.bool_), policy.begin(leaves)
        while shares.any():
            policy.require_valid(leaves, place)
            policy.require_choice(leaves, acting, place)
            acted = policy.act(leaves, history, explore=explore)
            actions = policy.to_env(acted.raw)
            # A source may write its next step into the same arrays.
            seen = [leaf.copy() for leaf in leaves] if policy.views.depth else leaves
            t += 1
            try:
                step = source.step(actions)
                leaves = [*policy.encode(step.obs, environment), *masks.later(step)]
            except Exception as error:
                blame(error, f"evaluation step {t}", source.num_envs)
            if policy.views.depth:
                history = policy.follow(history, policy.columns(seen, acted, step.rewards), step.begun, leaves)
            acting, counted = step.acting, ~step.ignored
            wrong = np.flatnonzero(counted & ~np.isfinite(step.rewards))
            if len(wrong):
                raise NonFiniteError(f"{place((wrong[0],))}: the reward is {step.rewards[wrong[0]]}.")
            returns += np.where(counted, step.rewards, 0.0)
            lengths += counted
            for b in np.flatnonzero(step.game_over & counted):
                if shares[b]:
                    finished.append(Episode(float(returns[b]), int(lengths[b])))
                    shares[b] -= 1
                returns[b] = lengths[b] = 0
    return _summary(finished)


def _summary(finished: list[Episode]) -> EvaluationResult:
    totals = np.array([episode.total_reward for episode in finished])
    return EvaluationResult(
        episodes=len(finished),
        episode_return_mean=float(totals.mean()),
        episode_return_std=float(totals.std()),
        episode_return_min=float(totals.min()),
        episode_return_max=float(totals.max()),
        episode_len_mean=float(np.mean([episode.length for episode in finished])),
    )
