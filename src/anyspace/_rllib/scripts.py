"""What a training script of RLlib's old stack asks of an algorithm, beside what algorithms here do."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, Unpack

from gymnasium.vector import SyncVectorEnv

from anyspace import algorithms
from anyspace._rllib.callbacks import Absent, DefaultCallbacks, PastEpisode, tell
from anyspace._rllib.keys import translated, with_effect, with_rhythm
from anyspace._rllib.policies import Handed, ScriptPolicy, own_state
from anyspace._rllib.results import EvaluationResult, OldResult, averaged
from anyspace.algorithms import checkpoints, state
from anyspace.data.environments import EnvLike
from anyspace.data.trajectory import Episode
from anyspace.data.vector import VectorSource
from anyspace.errors import ConfigError
from anyspace.execution.callbacks import require_no_arguments
from anyspace.execution.checkpoint import STATE_FILE, find_checkpoint, read_checkpoint
from anyspace.execution.fleet import LocalFleet
from anyspace.execution.pieces import pieces_of
from anyspace.policy.history import PolicyState
from anyspace.policy.seeing import ActingOptions


class Keys:
    """Keys of a configuration that methods took, one group after the other: what a builder is."""

    def to_dict(self) -> dict[str, Any]:
        """Return the keys that were given."""
        raise NotImplementedError


class Script(algorithms.Algorithm[Any]):
    """An algorithm as old scripts use one: with RLlib's defaults, more of its keys, its callbacks and result keys.

    A key that nothing here depends on is left out, which a message says, instead of being refused.
    """

    default_preset = "none"
    _callbacks: DefaultCallbacks | None = None

    def __init__(self, env: EnvLike | None = None, config: Any = None, *, preset: Any = None, **overrides: Any):
        if isinstance(config, Keys):
            config = config.to_dict()
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
            tell(self._callbacks.on_algorithm_init, algorithm=self)

    def train(self) -> dict[str, Any]:
        """Run one iteration; see :meth:`anyspace.algorithms.Algorithm.train`."""
        result = OldResult(super().train())
        result.episodes = tuple(self.counters.latest.episodes)
        if "evaluation" in result:
            result["evaluation"] = EvaluationResult(result["evaluation"])
        if self._callbacks is not None:
            episodes = self._tell(self._callbacks, self.counters.new)
            result["custom_metrics"] = averaged(episode.custom_metrics for episode in episodes)
            tell(self._callbacks.on_train_result, algorithm=self, result=result)
        return result

    def _tell(self, callbacks: DefaultCallbacks, new: list[Episode]) -> list[PastEpisode]:
        """Tell of the episodes of an iteration; return them with what was noted of them."""
        before = self.counters.episodes_total - len(new)
        episodes = [PastEpisode(episode, before + number) for number, episode in enumerate(new)]
        absent = {"worker": Absent("worker"), "base_env": Absent("base_env")}
        for episode in episodes:
            for told in (callbacks.on_episode_start, callbacks.on_episode_end):
                told(**absent, policies={"default_policy": self.get_policy()}, episode=episode, env_index=0)
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
            tell(self._callbacks.on_evaluate_start, algorithm=self)
        played = super().evaluate(episodes, explore=explore, render=render, progress=progress, seed=seed)
        found = EvaluationResult(played)
        if self._callbacks is not None:
            tell(self._callbacks.on_evaluate_end, algorithm=self, evaluation_metrics={"evaluation": found})
        return found

    def get_policy(self, policy_id: str = "default_policy") -> ScriptPolicy:
        """Return the policy, of which there is one, with RLlib's methods around it."""
        return ScriptPolicy(self)

    def compute_single_action(
        self,
        observation: Any,
        state: PolicyState | Sequence[Any] | None = None,
        *,
        prev_action: Any = None,
        policy_id: str = "default_policy",
        full_fetch: bool = False,
        clip_action: bool | None = None,
        unsquash_action: bool | None = None,
        timestep: int | None = None,
        **options: Unpack[ActingOptions],
    ) -> Any:
        """Return the action for one observation; see :meth:`anyspace.algorithms.Algorithm.compute_single_action`.

        Whoever hands in a list of arrays, RLlib's state, gets RLlib's ``(action, state, info)`` from then on, with an
        empty ``info``; so does, with ``full_fetch``, anybody.

        Args:
            observation: as the environment returns it.
            state: what the call before returned; None or the policy's initial states at first.
            prev_action: not read, since the state holds the last action.
            policy_id: not read, as there is one policy.
            full_fetch: return three values.
            clip_action: not read: actions are what the environment takes.
            unsquash_action: likewise.
            timestep: not read.
            **options: see :class:`~anyspace.policy.policy.ActingOptions`.
        """
        policy = self.get_policy()
        is_of_rllib = full_fetch or (isinstance(state, Sequence) and not isinstance(state, str))
        found = super().compute_single_action(observation, own_state(policy, state), **options)
        if not is_of_rllib:
            return found
        if not policy.is_recurrent():
            return found, [], {}
        action, after = found
        return action, Handed([after]), {}

    compute_action = compute_single_action

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

    def save(self, path: str | os.PathLike[str] | None = None) -> Path:
        """Write a checkpoint into a folder, or into one of its own below ``runs``, and return it."""
        if path is None:
            path = Path("runs") / f"{self.name()}-{time.strftime('%Y%m%d-%H%M%S')}-{self.training_iteration:06d}"
        return super().save(path)

    def restore(self, checkpoint_path: str | os.PathLike[str]) -> None:
        """Go on from a checkpoint of the same configuration: everything that a further iteration depends on.

        Raises:
            CheckpointError: it is of another algorithm, other spaces or another model.
        """
        folder, policy = find_checkpoint(checkpoint_path), self.policy
        file = folder / STATE_FILE
        saved, tensors = state.upgraded(*read_checkpoint(checkpoint_path), file)
        state.check(saved, state.ENTRIES, file)
        mine = (policy.observation_space, policy.env_action_space)
        state.require_equal_spaces(mine, state.spaces_of(saved, file), checkpoint_path)
        pieces, before = pieces_of(folder, saved), policy.version
        self._pieces = {}  # If this fails half-way, the files so far no longer say what is replayed.
        changed = checkpoints.restored(
            self, self.parts(), saved["parts"], tensors, policy.runtime, checkpoint_path, pieces
        )
        self._pieces = pieces
        for name, value in changed.items():
            setattr(self, name, value)
        policy.version = policy.replaced_at = max(before, policy.version) + 1  # Workers fetch weights of a new one.
        self.restart_episodes()

    @classmethod
    def from_checkpoint(
        cls, checkpoint: str | os.PathLike[str], *, trust: bool = False, callbacks: type[DefaultCallbacks] | None = None
    ) -> Self:
        """Return the algorithm of a checkpoint; see :meth:`anyspace.algorithms.Algorithm.load`.

        Args:
            checkpoint: a folder that :meth:`save` wrote, or a run folder.
            trust: import and call the code that the checkpoint names.
            callbacks: the class of callbacks, which is in no checkpoint.
        """
        loaded = cls.load(checkpoint, trust=trust)
        assert isinstance(loaded, cls)
        loaded._callbacks = _built(callbacks)
        loaded._attributes.note({"_callbacks": loaded._callbacks})
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
