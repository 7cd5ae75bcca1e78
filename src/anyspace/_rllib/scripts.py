"""What a training script of RLlib's old stack asks of an algorithm, beside what algorithms here do."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self, Unpack

from anyspace import algorithms, foreign_names, nesting
from anyspace._rllib import advice
from anyspace._rllib.callbacks import Absent, DefaultCallbacks, PastEpisode, tell
from anyspace._rllib.keys import translated, with_effect, with_rhythm
from anyspace._rllib.policies import ONLY_POLICY, ScriptPolicy, Weights, acting_options, own_state, require_only_policy
from anyspace._rllib.results import EvaluationResult, OldResult, averaged, joined
from anyspace._rllib.workers import Workers
from anyspace.algorithms.saving import checkpoints, state
from anyspace.answers import answers
from anyspace.data.environments import EnvLike
from anyspace.data.trajectory import Episode
from anyspace.errors import ConfigError, ObservationError
from anyspace.execution.callbacks import require_no_arguments
from anyspace.execution.checkpoint import STATE_FILE, find_checkpoint, read_checkpoint
from anyspace.execution.pieces import pieces_of
from anyspace.models.runtime import NumpyArray
from anyspace.policy.history import PolicyState
from anyspace.policy.seeing import ActingOptions
from anyspace.spaces.uniform import raw_space


class Keys:
    """Keys of a configuration that methods took, one group after the other: what a builder is."""

    def to_dict(self) -> dict[str, Any]:
        """Return the keys that were given."""
        raise NotImplementedError


_FOREIGN = {**foreign_names.ALGORITHM, **advice.ALGORITHM}


class Saved(type(Path())):  # type: ignore[misc]
    """The folder of a checkpoint: a path, which RLlib's older releases returned as a text, newer ones in a result."""

    @property
    def checkpoint(self) -> Saved:
        """The folder itself."""
        return self

    @property
    def path(self) -> str:
        """The folder as a text."""
        return str(self)

    def __add__(self, end: str) -> str:
        return str(self) + end


class Script(algorithms.Algorithm[Any]):
    """An algorithm as old scripts use one: with RLlib's defaults, more of its keys, its callbacks and result keys.

    A key that nothing here depends on is left out, which a message says, instead of being refused.
    """

    _foreign = _FOREIGN
    default_preset = "none"
    _callbacks: DefaultCallbacks | None = None

    def __init__(
        self,
        first: Any = None,
        second: Any = None,
        /,
        *,
        env: EnvLike | None = None,
        config: Any = None,
        preset: Any = None,
        **overrides: Any,
    ):
        if isinstance(first, Keys | Mapping):  # RLlib's classes take the configuration first
            first, second = second, first
        env, config = _one_of("env", first, env), _one_of("config", second, config)
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
            result.hist_data = joined(episode.hist_data for episode in episodes)
            tell(self._callbacks.on_train_result, algorithm=self, result=result)
        return result

    def _tell(self, callbacks: DefaultCallbacks, new: list[Episode]) -> list[PastEpisode]:
        """Tell of the episodes of an iteration; return them with what was noted of them."""
        before = self.counters.episodes_total - len(new)
        episodes = [PastEpisode(episode, before + number) for number, episode in enumerate(new)]
        absent = {"worker": Absent("worker"), "base_env": Absent("base_env")}
        for episode in episodes:
            for told in (callbacks.on_episode_start, callbacks.on_episode_end):
                told(**absent, policies=self.workers.policy_map, episode=episode, env_index=0)
        return episodes

    @answers("evaluate()")
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

    def get_policy(self, policy_id: str = ONLY_POLICY) -> ScriptPolicy:
        """Return the policy, of which there is one, with RLlib's methods around it; see :class:`ScriptPolicy`."""
        return ScriptPolicy(self, policy_id)

    @answers("compute_single_action()")
    def compute_single_action(
        self,
        observation: Any,
        state: PolicyState | Sequence[Any] | None = None,
        prev_action: Any = None,
        prev_reward: Any = None,
        info: Any = None,
        *,
        policy_id: str = ONLY_POLICY,
        full_fetch: bool = False,
        explore: bool | None = None,
        mask: Any = None,
        ended: Any = None,
        clip_action: bool | None = None,
        unsquash_action: bool | None = None,
        timestep: int | None = None,
        episode: Any = None,
    ) -> Any:
        """Return the action for one observation; see :meth:`anyspace.algorithms.Algorithm.compute_single_action`.

        Whoever hands in a list of arrays, RLlib's state, gets RLlib's ``(action, state, info)`` from then on, with an
        empty ``info``; so does, with ``full_fetch``, anybody.

        Args:
            observation: as the environment returns it.
            state: what the call before returned; None or the policy's initial states at first.
            prev_action: not read, since the state holds the last action.
            prev_reward: the reward of the previous step, where the model looks at it.
            info: what came beside the observation, from which masks are read.
            policy_id: of the one policy.
            full_fetch: return three values.
            explore: sample, instead of taking the deterministic action.
            mask: see :class:`~anyspace.policy.policy.ActingOptions`.
            ended: likewise.
            clip_action: not read: actions are what the environment takes.
            unsquash_action: True or None: actions are what the environment takes.
            timestep: not read.
            episode: not read.

        Raises:
            ConfigError: ``policy_id`` is another one, or ``unsquash_action`` is False where that means something.
        """
        policy = self.get_policy(policy_id)
        space, scales = self.policy.action_space, self.config.normalize_actions
        if unsquash_action is False and raw_space(space, normalize=scales) != space:
            raise ConfigError(
                "compute_single_action(unsquash_action=False): actions are always what the environment takes; build the"
                " algorithm with normalize_actions=False, or leave this out."
            )
        options = acting_options(explore, prev_reward=prev_reward, info=info, mask=mask, ended=ended)
        is_of_rllib = full_fetch or (isinstance(state, Sequence) and not isinstance(state, str))
        found = super().compute_single_action(observation, own_state(policy, state), **options)
        if not is_of_rllib:
            return found
        if not policy.is_recurrent():
            return found, [], {}
        action, after = found
        return action, [after], {}

    compute_action = compute_single_action

    def compute_actions(
        self,
        observations: Any,
        state: PolicyState | None = None,
        *,
        policy_id: str = ONLY_POLICY,
        **options: Unpack[ActingOptions],
    ) -> Any:
        """Return actions for stacked observations; see :meth:`anyspace.algorithms.Algorithm.compute_actions`.

        Raises:
            ConfigError: ``policy_id`` is another one.
            ObservationError: a dict of observations by agent came.
        """
        require_only_policy(policy_id)
        space = self.policy.observation_space
        if isinstance(observations, Mapping) and not any(nesting.has_part(space, key) for key in observations):
            raise ObservationError(
                f"compute_actions: a dict by {', '.join(map(repr, observations))} came, but observations are stacked,"
                " [N, ...]: compute_actions(np.stack([*observations.values()])) returns as many actions."
            )
        return super().compute_actions(observations, state, **options)

    def get_weights(self, policies: Sequence[str] | None = None) -> dict[str, NumpyArray]:
        """Return copies of the weights by name, which are under ``"default_policy"`` as well.

        Raises:
            ConfigError: ``policies`` names another one.
        """
        for name in policies or ():
            require_only_policy(name)
        return Weights(super().get_weights())

    def set_weights(self, weights: Mapping[str, Any]) -> None:
        """Take over what :meth:`get_weights` returned, or a dict of it by the name of the policy."""
        is_nested = isinstance(weights, Mapping) and [*weights] == [ONLY_POLICY]
        super().set_weights(weights[ONLY_POLICY] if is_nested else weights)

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

    @answers("save()")
    def save(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        checkpoint_dir: str | os.PathLike[str] | None = None,
    ) -> Saved:
        """Write a checkpoint into a folder, or into one of its own below ``runs``, and return it."""
        path = checkpoint_dir if path is None else path
        if path is None:
            path = Path("runs") / f"{self.name()}-{time.strftime('%Y%m%d-%H%M%S')}-{self.training_iteration:06d}"
        return Saved(super().save(path))

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


def _one_of(name: str, in_place: Any, named: Any) -> Any:
    """Return an argument that may be given in its place or by its name."""
    if in_place is not None and named is not None:
        raise TypeError(f"`{name}` is given twice, in its place and by its name; give one.")
    return named if in_place is None else in_place


def _built(callbacks: Any) -> DefaultCallbacks | None:
    if callbacks is None:
        return None
    if not (isinstance(callbacks, type) and issubclass(callbacks, DefaultCallbacks)):
        raise ConfigError(f"`callbacks` is a class derived from DefaultCallbacks, but {callbacks!r} came.")
    require_no_arguments(callbacks, "derive a class from it that gives them, and hand over that one")
    return callbacks()
