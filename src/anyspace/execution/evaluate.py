"""Evaluation: whole episodes on separate environments, acting deterministically."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from anyspace.data.trajectory import Episode
from anyspace.data.vector import VectorSource
from anyspace.errors import NonFiniteError
from anyspace.policy.policy import Policy
from anyspace.spaces import require_valid


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


def evaluate(
    policy: Policy, source: VectorSource, episodes: int, *, seed: int, explore: bool = False
) -> EvaluationResult:
    """Return the statistics of ``episodes`` episodes.

    Each environment plays a fixed share of them, so that short episodes are not counted more often than long
    ones.

    Raises:
        ObservationError: an observation is outside its space; names step and environment.
        NonFiniteError: a return is NaN or infinite.
    """
    shares = np.full(source.num_envs, episodes // source.num_envs)
    shares[: episodes % source.num_envs] += 1
    finished: list[Episode] = []
    returns, lengths = np.zeros(source.num_envs), np.zeros(source.num_envs, np.int64)
    obs = source.reset(seed)
    t = 0

    def place(row: tuple[int, ...]) -> str:
        return f"evaluation step {t}, environment {row[0]}"

    with policy.acting():
        while shares.any():
            leaves = policy.encode(obs)
            require_valid(policy.encode.specs, leaves, place)
            step = source.step(policy.to_env(policy.act(leaves, explore=explore)))
            counted = ~step.ignored
            returns += np.where(counted, step.rewards, 0.0)
            lengths += counted
            for b in np.flatnonzero((step.terminated | step.truncated) & counted):
                if shares[b]:
                    finished.append(Episode(float(returns[b]), int(lengths[b])))
                    shares[b] -= 1
                returns[b] = lengths[b] = 0
            obs = step.obs
            t += 1
    totals = np.array([episode.total_reward for episode in finished])
    if not np.isfinite(totals).all():
        raise NonFiniteError(f"an evaluation episode has the return {totals[~np.isfinite(totals)][0]}.")
    return EvaluationResult(
        episodes=len(finished),
        episode_return_mean=float(totals.mean()),
        episode_return_std=float(totals.std()),
        episode_return_min=float(totals.min()),
        episode_return_max=float(totals.max()),
        episode_len_mean=float(np.mean([episode.length for episode in finished])),
    )
