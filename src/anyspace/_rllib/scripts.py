"""What a training script of RLlib's old stack asks of an algorithm, beside what algorithms here do."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, Self

from gymnasium.vector import SyncVectorEnv

from anyspace import algorithms
from anyspace._rllib.callbacks import Absent, DefaultCallbacks, PastEpisode
from anyspace._rllib.keys import translated, with_effect, with_rhythm
from anyspace._rllib.results import EvaluationResult, OldResult, averaged
from anyspace.data.environments import EnvLike
from anyspace.data.trajectory import Episode
from anyspace.data.vector import VectorSource
from anyspace.errors import ConfigError
from anyspace.execution.callbacks import require_no_arguments
from anyspace.execution.fleet import LocalFleet
from anyspace.policy.policy import Policy


class Script(algorithms.Algorithm[Any]):
    """An algorithm as old scripts use one: with RLlib's defaults, more of its keys, its callbacks and result keys.

    A key that nothing here depends on is left out, which a message says, instead of being refused.
    """

    default_preset = "none"
    _callbacks: DefaultCallbacks | None = None

    def __init__(self, env: EnvLike | None = None, config: Any = None, *, preset: Any = None, **overrides: Any):
        if config is None or isinstance(config, Mapping):
            keys = {**(config or {}), **overrides}
            self._callbacks = _built(keys.pop("callbacks", None))
            if self._callbacks is not None and keys.get("evaluation_parallel_to_training"):
                self._callbacks.require_no_evaluation()
            keys = translated(type(self).config_class, keys)
            if preset in (None, "none"):
                keys = with_effect(type(self).config_class, with_rhythm(type(self).config_class, keys))
            super().__init__(env, keys, preset=preset)
        else:
            super().__init__(env, config, preset=preset, **overrides)
        if self._callbacks is not None:
            self._callbacks.on_algorithm_init(algorithm=self)

    def train(self) -> dict[str, Any]:
        """Run one iteration; see :meth:`anyspace.algorithms.Algorithm.train`."""
        result = OldResult(super().train())
        if "evaluation" in result:
            result["evaluation"] = EvaluationResult(result["evaluation"])
        if self._callbacks is not None:
            episodes = self._tell(self._callbacks, self.counters.new)
            result["custom_metrics"] = averaged(episode.custom_metrics for episode in episodes)
            self._callbacks.on_train_result(algorithm=self, result=result)
        return result

    def _tell(self, callbacks: DefaultCallbacks, new: list[Episode]) -> list[PastEpisode]:
        """Tell of the episodes of an iteration; return them with what was noted of them."""
        before = self.counters.episodes_total - len(new)
        episodes = [PastEpisode(episode, before + number) for number, episode in enumerate(new)]
        absent = {"worker": Absent("worker"), "base_env": Absent("base_env")}
        for episode in episodes:
            for told in (callbacks.on_episode_start, callbacks.on_episode_end):
                told(**absent, policies={"default_policy": self.policy}, episode=episode, env_index=0)
        return episodes

    def evaluate(
        self,
        episodes: int | None = None,
        *,
        explore: bool = False,
        render: bool = False,
        progress: bool = False,
        seed: int | None = None,
    ) -> dict[str, Any]:
        """Play whole episodes; see :meth:`anyspace.algorithms.Algorithm.evaluate`."""
        if self._callbacks is not None:
            self._callbacks.on_evaluate_start(algorithm=self)
        played = super().evaluate(episodes, explore=explore, render=render, progress=progress, seed=seed)
        found = EvaluationResult(played)
        if self._callbacks is not None:
            self._callbacks.on_evaluate_end(algorithm=self, evaluation_metrics={"evaluation": found})
        return found

    def get_policy(self, policy_id: str = "default_policy") -> Policy:
        """Return the policy, of which there is one."""
        return self.policy

    @property
    def iteration(self) -> int:
        """Iterations so far."""
        return self.training_iteration

    @property
    def workers(self) -> Workers:
        """The environments that training steps."""
        return Workers(self)

    env_runner_group = workers

    def stop(self) -> None:
        """Close every environment."""
        self.close()

    def restore(self, checkpoint_path: str | os.PathLike[str]) -> None:
        """Start from the weights and filter statistics of a checkpoint; ``from_checkpoint`` goes on with its run."""
        self.load_weights(checkpoint_path)

    @classmethod
    def from_checkpoint(cls, checkpoint: str | os.PathLike[str], *, trust: bool = False) -> Self:
        """Return the algorithm of a checkpoint; see :meth:`anyspace.algorithms.Algorithm.load`."""
        loaded = cls.load(checkpoint, trust=trust)
        assert isinstance(loaded, cls)
        return loaded


def _built(callbacks: Any) -> DefaultCallbacks | None:
    if callbacks is None:
        return None
    if not (isinstance(callbacks, type) and issubclass(callbacks, DefaultCallbacks)):
        raise ConfigError(f"`callbacks` is a class derived from DefaultCallbacks, but {callbacks!r} came.")
    require_no_arguments(callbacks, "derive a class from it that gives them, and hand over that one")
    return callbacks()


class Workers:
    """The environments that training steps, as scripts ask for them."""

    def __init__(self, algorithm: Script):
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
                f"foreach_env: the environments of {self._algorithm.env_spec.name} are no objects in this process. Give"
                " vectorization='sync' and num_env_runners=0."
            )
        return [func(env.unwrapped) for env in envs.envs]

    def foreach_worker(self, func: Callable[[Any], Any]) -> list[Any]:
        """Return what ``func`` returns of the one worker, which has ``foreach_env``."""
        return [func(self)]

    foreach_env_runner = foreach_worker

    def local_worker(self) -> Workers:
        """Return the one worker."""
        return self
