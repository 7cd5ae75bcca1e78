"""What ``algo.workers`` gives a script: the environments that training steps, and the policy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gymnasium.vector import SyncVectorEnv

from anyspace._rllib import advice
from anyspace._rllib.policies import ONLY_POLICY, ScriptPolicy
from anyspace.algorithms import Algorithm
from anyspace.answers import Explains
from anyspace.data.vector import VectorSource
from anyspace.errors import ConfigError
from anyspace.execution.fleet import LocalFleet


class Workers(Explains):
    """The environments that training steps, as scripts ask for them, and the policy."""

    _foreign = advice.WORKERS

    def __init__(self, algorithm: Algorithm[Any]):
        self._algorithm = algorithm

    def foreach_env(self, func: Callable[[Any], Any]) -> list[Any]:
        """Return what ``func`` returns of each environment, which it may change.

        Raises:
            ConfigError: the environments are not objects in this process.
        """
        fleet = self._algorithm.fleet
        source = fleet.collector.source if isinstance(fleet, LocalFleet) else None
        envs = source.envs.unwrapped if isinstance(source, VectorSource) else None
        if not isinstance(envs, SyncVectorEnv):
            raise ConfigError(
                f"foreach_env: the environments of {self._algorithm.env_spec.name} are no objects in this process."
                " algo.call_envs('set_task', 3) calls a method of each, wherever it is; objects are there with"
                " vectorization='sync' and num_env_runners=0."
            )
        return [func(env.unwrapped) for env in envs.envs]

    def foreach_worker(self, func: Callable[[Any], Any]) -> list[Any]:
        """Return what ``func`` returns of the one worker, which has ``foreach_env``."""
        return [func(self)]

    foreach_env_runner = foreach_worker

    def get_policy(self, policy_id: str = ONLY_POLICY) -> ScriptPolicy:
        """Return the policy; see :class:`ScriptPolicy`."""
        return ScriptPolicy(self._algorithm, policy_id)

    @property
    def policy_map(self) -> dict[str, ScriptPolicy]:
        """The one policy by its name."""
        return {ONLY_POLICY: self.get_policy()}

    def foreach_policy(self, func: Callable[[ScriptPolicy, str], Any]) -> list[Any]:
        """Return what ``func`` returns of the one policy and its name."""
        return [func(self.get_policy(), ONLY_POLICY)]

    def local_worker(self) -> Workers:
        """Return the one worker."""
        return self
