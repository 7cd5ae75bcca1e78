"""Episodes that do not end: when a word is due, and what to do about them."""

from __future__ import annotations

import logging

import gymnasium as gym

from anyspace.data.environments import EnvSpec

LONG_EPISODE = 10_000
"""Steps of one episode after which training says that it does not end, and evaluation cuts it unless told otherwise."""


class EndlessWatch:
    """Says once, in a log line, that an episode of training does not end.

    Args:
        spec: the environment.
        limited: whether something is known to end its episodes.
    """

    def __init__(self, spec: EnvSpec, *, limited: bool) -> None:
        self._spec, self._silent = spec, limited

    def __call__(self, longest: int) -> None:
        """Take in the steps of the longest episode under way."""
        if self._silent or longest < LONG_EPISODE:
            return
        self._silent = True
        logging.getLogger("anyspace").warning(
            f"{self._spec.name}: an episode has not ended after {longest:,} steps. Training goes on, but the return of"
            f" an episode is known at its end alone. If that never comes, {advice(self._spec)}."
        )


def advice(spec: EnvSpec) -> str:
    """Return how to limit the episodes of an environment, as the end of a sentence."""
    if isinstance(spec.env, gym.vector.VectorEnv):
        return (
            "put a limit around each environment of the vector:"
            " gymnasium.wrappers.TimeLimit(env, max_episode_steps=1000)"
        )
    if spec.is_id:
        return (
            "give it a limit: env_config={'max_episode_steps': 1000}, on the command line"
            " --env-config '{\"max_episode_steps\": 1000}'"
        )
    return (
        "put a limit around it: wrappers=[limited], where `def limited(env): return"
        " gymnasium.wrappers.TimeLimit(env, max_episode_steps=1000)`, on the command line --wrappers"
        " your_module:limited"
    )
