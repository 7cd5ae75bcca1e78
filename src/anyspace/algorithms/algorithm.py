"""``Algorithm``: what a user holds."""

from __future__ import annotations

import os
import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import gymnasium as gym
import numpy as np

from anyspace import config as configs
from anyspace.algorithms import checkpoints
from anyspace.algorithms.config import AlgorithmConfig
from anyspace.algorithms.presets import Preset, preset_names
from anyspace.algorithms.settings import environment_spec, overridden, preset_for, training_source
from anyspace.data.collector import Collector
from anyspace.data.environments import EnvLike, EnvSpec
from anyspace.data.rewards import RewardTransform
from anyspace.data.trajectory import Trajectory
from anyspace.data.vector import VectorSource
from anyspace.errors import CheckpointError, ConfigError, NonFiniteError
from anyspace.execution.checkpoint import read_checkpoint, write_checkpoint
from anyspace.execution.evaluate import EvaluationEnvs, evaluate, rendering_source
from anyspace.execution.fleet import Fleet, LocalFleet
from anyspace.execution.learner import Batch, Learner, Result
from anyspace.execution.metrics import mean_results
from anyspace.execution.progress import Progress
from anyspace.execution.run import RunFolder, Snapshot, run
from anyspace.maths.xp import Array
from anyspace.models.runtime import NumpyArray, Runtime
from anyspace.policy.history import PolicyState
from anyspace.policy.policy import Policy
from anyspace.policy.schedules import scheduled
from anyspace.spaces import bounded
from anyspace.tree import Tree

Updates = Generator[Batch, Result, Result]
"""Yields batches to learn from, is sent back each step's result, and returns metrics of the whole iteration."""

C = TypeVar("C", bound=AlgorithmConfig)


class Algorithm(ABC, Generic[C]):
    """An environment, a policy and the rule by which it learns.

    Args:
        env: a Gymnasium id, a name passed to ``register_env``, ``package.module:EnvClass``, a class, a
            callable or an instance. It may also stand in the config as ``env``.
        config: keys to override, nested for ``model``: ``{"model": {"fcnet_hiddens": [64, 64]}, "lr": 3e-4}``.
        preset: ``"auto"`` starts from the shipped settings for this environment instead of the defaults.
        overrides: single keys, laid over ``config``.

    Raises:
        ConfigError: a key is unknown, out of range or not built.
        EnvironmentSetupError: the environment cannot be made.
        UnsupportedSpaceError: a leaf of one of its spaces is not supported.

    A subclass names its ``config_class`` and implements :meth:`updates` and :meth:`losses`; a user may
    subclass an algorithm and override :meth:`losses` alone.
    """

    config_class: ClassVar[type[AlgorithmConfig]]
    config: C

    def __init__(
        self,
        env: EnvLike | None = None,
        config: Mapping[str, Any] | AlgorithmConfig | None = None,
        *,
        preset: str | None = None,
        **overrides: Any,
    ):
        given = {} if config is None or isinstance(config, AlgorithmConfig) else dict(config)
        named_env = given.pop("env", None)
        env = named_env if env is None else env
        if env is None:
            raise ConfigError(f"{type(self).__name__} needs an environment: {type(self).__name__}(env='CartPole-v1').")
        base = config if isinstance(config, AlgorithmConfig) else self.config_class()
        settings = overridden(base, given, overrides)
        if preset is not None:
            if isinstance(config, AlgorithmConfig):
                raise ConfigError(
                    f"preset={preset!r} takes the place of the defaults, but `config` is a whole configuration; leave"
                    " one of them out, or give `config` as a dict of the keys to override."
                )
            chosen = preset_for(self._preset_name(), environment_spec(env, settings), preset)
            settings = overridden(self.config_class(), chosen.settings, given, overrides)
        settings.validate()
        spec = environment_spec(env, settings)
        source = training_source(spec, settings)
        try:
            self._build(spec, settings, source.observation_space, source.action_space, source)
        except Exception:
            source.close()
            raise

    # ---------------------------------------------------------------------------- to be implemented

    @abstractmethod
    def updates(self, policy: Policy, trajectory: Trajectory) -> Updates:
        """Yield the batches to learn from ``trajectory``; each step's result is sent back.

        Returns:
            Metrics of the iteration as a whole.
        """

    @abstractmethod
    def losses(self, policy: Policy, batch: Batch) -> tuple[dict[str, Array], Result]:
        """Return the scalar loss of each parameter group, and metrics that are still tensors."""

    def setup(self) -> None:
        """Prepare what the algorithm keeps between iterations; the policy is there already."""

    def coefficients(self) -> dict[str, float]:
        """Return the coefficients that change while training, for checkpoints and results."""
        return {}

    def load_coefficients(self, values: dict[str, float]) -> None:
        """Restore what :meth:`coefficients` returned."""

    # --------------------------------------------------------------------------------------- build

    @classmethod
    def name(cls) -> str:
        """Return the algorithm's lower-case name."""
        return cls.__name__.lower()

    @classmethod
    def preset(cls, env: EnvLike, preset: str = "auto") -> Preset:
        """Return the shipped settings for an environment: its own, or the general ones for its spaces."""
        return preset_for(cls._preset_name(), EnvSpec(env), preset)

    @classmethod
    def _preset_name(cls) -> str:
        """Return the name under which presets are shipped: a subclass has those of the algorithm that it changes."""
        names = [base.name() for base in cls.__mro__ if issubclass(base, Algorithm)]
        return next((name for name in names if preset_names(name)), cls.name())

    def _build(
        self,
        spec: EnvSpec | None,
        settings: AlgorithmConfig,
        observation_space: gym.Space[Any],
        action_space: gym.Space[Any],
        source: VectorSource | None,
    ) -> None:
        self._env_spec = spec
        self.seed = secrets.randbits(31) if settings.seed is None else settings.seed
        self.config = settings  # type: ignore[assignment]
        self.progress = Progress(settings.return_window, settings.evaluate_every)
        self.rewards = RewardTransform(settings.clip_rewards, settings.normalize_rewards, settings.gamma)
        self._learning_rate = scheduled(settings.lr, settings.lr_schedule, "lr_schedule")
        self.policy = Policy(observation_space, action_space, settings, self.make_runtime(), seed=self.seed)
        self.learner = self.make_learner()
        self._source = source
        self._fleet: Fleet | None = None
        self._evaluation_envs = EvaluationEnvs()
        self.setup()

    def make_runtime(self) -> Runtime:
        """Return the framework's runtime."""
        from anyspace.models.torch.runtime import TorchRuntime

        return TorchRuntime(self.config.device)

    def make_learner(self) -> Learner:
        """Return the framework's learner."""
        from anyspace.execution.torch_learner import TorchLearner

        return TorchLearner(
            self.policy,
            self.losses,
            learning_rate=self._learning_rate(0),
            grad_clip=self.config.grad_clip,
            adam_epsilon=self.config.adam_epsilon,
        )

    def require_entropy(self) -> None:
        """Refuse an entropy bonus for a distribution without an entropy.

        Raises:
            ConfigError: the policy's distribution does not define one.
        """
        blank = self.policy.runtime.asarray(np.zeros((1, self.policy.num_outputs), np.float32))
        distribution = self.policy.distribution(blank)
        if not distribution.has_entropy:
            raise ConfigError(
                f"`entropy_coeff` is not 0, but {type(distribution).__name__} defines no entropy(); set it to 0 or"
                " implement entropy()."
            )

    @property
    def env_spec(self) -> EnvSpec:
        """The environment.

        Raises:
            ConfigError: the algorithm was loaded from a checkpoint that could not name it.
        """
        if self._env_spec is None:
            raise ConfigError(
                "the checkpoint does not name its environment (it was a local object): give it, as in"
                " Algorithm.load(path, env=...)."
            )
        return self._env_spec

    @property
    def fleet(self) -> Fleet:
        """Who collects; the environments start with the first use."""
        if self._fleet is None:
            source = self._source or training_source(self.env_spec, self.config)
            if self._source is None:
                self._require_same_spaces(source)
            self.rewards.is_atari = source.is_atari
            seed = int(np.random.SeedSequence([self.seed, self.training_iteration]).generate_state(1)[0])
            fragment = self.config.rollout_fragment_length
            self._fleet = LocalFleet(
                Collector(source, self.policy, self.rewards, seed, self.progress.vector_steps),
                fragment=None if fragment == "auto" else fragment,
                whole_episodes=self.config.batch_mode == "complete_episodes",
                explore=self.config.explore,
            )
        return self._fleet

    def _require_same_spaces(self, source: VectorSource) -> None:
        for kind, mine, theirs in (
            ("observation", self.policy.observation_space, bounded(source.observation_space, self.config.max_len)),
            ("action", self.policy.action_space, source.action_space),
        ):
            if mine != theirs:
                raise CheckpointError(
                    f"the {kind} space of {self.env_spec.name} is {theirs}, but the checkpoint was trained with"
                    f" {mine}; use the environment it was trained on, or start a new run."
                )

    # ------------------------------------------------------------------------------------ training

    def train(self) -> dict[str, Any]:
        """Collect one batch, learn from it, and return a result dict.

        Raises:
            ObservationError: an observation is outside its space; names step and environment.
            NonFiniteError: a reward, a loss or a weight is NaN or infinite; names the place.
        """
        started = time.perf_counter()
        config, runtime = self.config, self.policy.runtime
        with runtime.threads_for(config.num_envs_per_env_runner):
            trajectory = self.fleet.gather(None, config.train_batch_size)
        collected = time.perf_counter()
        self.learner.set_learning_rate(self._learning_rate(self.timesteps_total))
        rows = config.minibatch_size or config.train_batch_size
        with runtime.threads_for(rows), runtime.own_randomness("learning"):
            learnt = self._learn(trajectory)
        self._push_filter(trajectory)

        progress = self.progress
        progress.count(trajectory, self.config.num_envs_per_env_runner)
        evaluation = self.evaluate() if progress.evaluation_due else None
        progress.judge(evaluation)
        elapsed = time.perf_counter() - started
        progress.time_total_s += elapsed
        return {
            "training_iteration": progress.training_iteration,
            "timesteps_total": progress.timesteps_total,
            "timesteps_this_iter": trajectory.num_steps,
            "episodes_total": progress.episodes_total,
            "episodes_this_iter": len(trajectory.episodes),
            **progress.latest.statistics(),
            "time_total_s": progress.time_total_s,
            "time_this_iter_s": elapsed,
            "time_collect_s": collected - started,
            "steps_per_s": trajectory.num_steps / elapsed,
            "learner": {**learnt, "model": dict(self.policy.model.metrics())},
            **({"env": _means(trajectory.infos)} if trajectory.infos else {}),
            **({"evaluation": evaluation} if evaluation else {}),
        }

    def _learn(self, trajectory: Trajectory) -> dict[str, float]:
        results: list[Result] = []
        updates = self.updates(self.policy, trajectory)
        result: Result | None = None
        while True:
            try:
                batch = next(updates) if result is None else updates.send(result)
            except StopIteration as end:
                overall: Result = end.value
                break
            result = self.learner.step(batch)
            results.append(result)
        iteration = self.progress.training_iteration + 1
        means = mean_results(results, self.policy.runtime.numpy, iteration)
        if not self.learner.is_finite():
            raise NonFiniteError(
                f"iteration {iteration}: a weight became NaN or infinite in the last gradient step. Lower `lr` or set"
                " `grad_clip`. Checkpoints saved so far are whole; this model is not."
            )
        return {
            **means,
            **{name: float(self.policy.runtime.numpy(value)) for name, value in overall.items()},
            **self.coefficients(),
            "lr": self._learning_rate(self.timesteps_total),
        }

    def _push_filter(self, trajectory: Trajectory) -> None:
        rows = np.flatnonzero(trajectory.valid)
        self.policy.push([leaf[rows] for leaf in trajectory.all_obs()])

    @property
    def timesteps_total(self) -> int:
        """Environment steps so far."""
        return self.progress.timesteps_total

    @property
    def training_iteration(self) -> int:
        """Iterations so far."""
        return self.progress.training_iteration

    def should_stop(self) -> bool:
        """Whether the mean return has reached ``stop_return`` (see :class:`Progress`)."""
        goal = self.config.stop_return
        return goal is not None and self.progress.reached(goal)

    def is_best(self) -> bool:
        """Whether the latest iteration brought the highest mean return so far (see :class:`Progress`)."""
        return self.progress.is_best

    def learn(
        self, total_steps: int, *, out: str | os.PathLike[str] | None = None, progress: bool = True
    ) -> dict[str, Any]:
        """Train until ``total_steps`` environment steps in all, or until ``stop_return``, and return the last result.

        Args:
            total_steps: counted from the algorithm's beginning, resumed steps included.
            out: a folder for checkpoints, metrics and the learning curve; None writes nothing.
            progress: show steps, steps/s, return and time left.
        """
        folder = None
        if out is not None:
            title = f"{type(self).__name__} on {self.env_spec.name}"
            folder = RunFolder(Path(out), self.description(), title)
        return run(
            self,
            total_steps,
            folder=folder,
            checkpoint_every=self.config.checkpoint_every,
            progress=progress,
        )

    def evaluate(self, episodes: int | None = None, *, explore: bool = False, render: bool = False) -> dict[str, float]:
        """Play whole episodes on separate environments and return their statistics.

        Args:
            episodes: how many; None takes ``evaluation_episodes``.
            explore: sample actions instead of taking the deterministic ones.
            render: show them in a window.
        """
        episodes = self.config.evaluation_episodes if episodes is None else episodes
        if episodes < 1:
            raise ConfigError(f"evaluate() was asked for {episodes} episodes, but it needs at least 1.")
        source = (
            rendering_source(self.env_spec) if render else self._evaluation_envs.take(self.env_spec, min(episodes, 8))
        )
        seed = int(np.random.SeedSequence([self.seed, self.timesteps_total, 1]).generate_state(1)[0])
        try:
            self._require_same_spaces(source)
            with self.policy.runtime.threads_for(source.num_envs):
                return evaluate(self.policy, source, episodes, seed=seed, explore=explore).as_dict()
        finally:
            if render:
                source.close()

    # -------------------------------------------------------------------------------------- acting

    def compute_single_action(
        self,
        observation: Tree,
        state: PolicyState | None = None,
        *,
        info: dict[str, Any] | None = None,
        mask: Any = None,
        prev_reward: float | None = None,
        explore: bool = False,
    ) -> Any:
        """Return the environment action for one raw observation; see :meth:`Policy.compute_actions`."""
        return self.policy.compute_single_action(
            observation, state, info=info, mask=mask, prev_reward=prev_reward, explore=explore
        )

    def compute_actions(
        self,
        observations: Tree,
        state: PolicyState | None = None,
        *,
        info: dict[str, Any] | None = None,
        mask: Any = None,
        prev_reward: NumpyArray | None = None,
        explore: bool = False,
    ) -> Any:
        """Return environment actions for stacked raw observations; see :meth:`Policy.compute_actions`."""
        return self.policy.compute_actions(
            observations, state, info=info, mask=mask, prev_reward=prev_reward, explore=explore
        )

    # --------------------------------------------------------------------------------- checkpoints

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write a checkpoint into the folder ``path`` and return it; a kill leaves the previous one whole."""
        write_checkpoint(Path(path), *self.snapshot())
        return Path(path)

    def snapshot(self) -> Snapshot:
        """Return the state and the tensors that a checkpoint holds."""
        return checkpoints.snapshot(self)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        env: EnvLike | None = None,
        config: Mapping[str, Any] | None = None,
        **overrides: Any,
    ) -> Algorithm[Any]:
        """Return the algorithm of a checkpoint or run folder, ready to act, evaluate or train on.

        Acting needs no environment; it is made when training or evaluation first asks for it.

        Args:
            path: a folder that :meth:`save` wrote, or a run folder.
            env: in place of the recorded environment; needed where that was a local object without a name.
            config: keys to change.
            overrides: single keys to change.

        Raises:
            CheckpointError: the checkpoint is missing, truncated, or of other spaces or another algorithm.
        """
        state, tensors = read_checkpoint(path)
        kind = checkpoints.kind_of(state, cls, path)
        settings = checkpoints.stored_settings(state, kind.config_class, config or {}, overrides)
        settings.validate()
        named = state["env"] if env is None else env
        spec = None if named is None else environment_spec(named, settings)
        self: Algorithm[Any] = kind.__new__(kind)
        self._build(spec, settings, *checkpoints.spaces_of(state), None)
        checkpoints.restore(self, state, tensors, path)
        return self

    def load_weights(self, path: str | os.PathLike[str]) -> None:
        """Start from the weights and filter statistics of another run; counters and optimiser stay new.

        Raises:
            CheckpointError: its spaces or its model differ from this one's.
        """
        checkpoints.load_weights(self, path)

    def description(self) -> dict[str, Any]:
        """Return algorithm, environment, seed and configuration as plain values."""
        return {
            "algorithm": type(self).__name__,
            "env": None if self._env_spec is None else self._env_spec.describe(),
            "seed": self.seed,
            "config": configs.as_plain(self.config),
        }

    def close(self) -> None:
        """Close every environment."""
        self._evaluation_envs.close()
        if self._source is not None:
            self._source.close()
        if self._fleet is not None and self._source is None:
            self._fleet.close()


def _means(infos: dict[str, tuple[float, int]]) -> dict[str, float]:
    return {name: total / count for name, (total, count) in infos.items()}
