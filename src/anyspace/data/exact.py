"""What keeps a run that goes on from equalling one that never stopped: refused before training starts."""

from __future__ import annotations

from gymnasium.vector import SyncVectorEnv

from anyspace.data.vector import VectorSource
from anyspace.errors import ConfigError

_REFUSED = "config key `exact_resume`: "


def require_exact(vectorization: str, *, in_order: bool, beside: bool) -> None:
    """Raise :class:`ConfigError` where settings say already that environments cannot be put back.

    Args:
        vectorization: the key.
        in_order: whether each round learns from fragments of the newest weights, in the order of the workers.
        beside: whether episodes of evaluations are under way while training goes on.
    """
    if vectorization == "async":
        raise ConfigError(
            f"{_REFUSED}environments in processes of their own (vectorization='async') may draw from random sources of"
            " those processes, which no checkpoint holds; take vectorization='sync', or 'native'."
        )
    if not in_order:
        raise ConfigError(
            f"{_REFUSED}fragments that workers collect ahead, with older weights or in any order, are in no checkpoint;"
            " take max_requests_in_flight_per_env_runner=1, broadcast_interval=1 and sample_order='workers'."
        )
    if beside:
        raise ConfigError(
            f"{_REFUSED}evaluations that workers play while training goes on are in no checkpoint, and are reported"
            " whenever they are over; take evaluation_parallel_to_training=False."
        )


def require_exact_source(source: VectorSource) -> None:
    """Raise :class:`ConfigError` unless a reset with a seed puts environments into a state that the seed decides.

    Args:
        source: the environments.
    """
    if source.running_statistics:
        raise ConfigError(
            f"{_REFUSED}{' and '.join(dict.fromkeys(source.running_statistics))} around the environment keeps running"
            " statistics, which no checkpoint holds: leave it out, and set observation_filter='MeanStdFilter' or"
            " normalize_rewards=True, whose statistics are saved."
        )
    if not (source.is_native or isinstance(source.envs.unwrapped, SyncVectorEnv)):
        raise ConfigError(
            f"{_REFUSED}of {source.name}, a vector environment that was given as it is, nobody knows whether a reset"
            " with a seed puts all of it back: give what makes one of its environments, such as an id or a class."
        )
