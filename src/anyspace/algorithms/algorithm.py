"""``Algorithm``: what a user holds."""

from __future__ import annotations

import secrets
import time
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NoReturn, Self

import gymnasium as gym
from typing_extensions import TypeVar

from anyspace.algorithms import contract
from anyspace.algorithms.acting import Acts
from anyspace.algorithms.collecting import Collects
from anyspace.algorithms.config import AlgorithmConfig
from anyspace.algorithms.layers import given_keys
from anyspace.algorithms.listed_keys import ListsKeys
from anyspace.algorithms.playing import Plays
from anyspace.algorithms.saving import attributes, checkpoints, savable, state
from anyspace.algorithms.saving.reading import Reader, building
from anyspace.algorithms.saving.trust import remember
from anyspace.algorithms.saving.writing import Saves
from anyspace.algorithms.settled import Settled
from anyspace.answers import answers, takes_no_policy
from anyspace.data.environments import EnvLike
from anyspace.data.masks import tell_origin
from anyspace.data.rewards import RewardTransform
from anyspace.execution.backends import backend_of
from anyspace.execution.counters import Counters
from anyspace.execution.groups import Group
from anyspace.execution.learner import Learner, Losses
from anyspace.execution.metrics import TrainingResult
from anyspace.execution.run_files import run_folder_of
from anyspace.folders import PathLike, current_folder
from anyspace.policy.plan import Plan
from anyspace.policy.policy import Policy
from anyspace.policy.schedules import scheduled

if TYPE_CHECKING:  # a policy that is loaded alone imports no code that collects and trains
    from anyspace.algorithms.presets import Preset
    from anyspace.data.environments import EnvSpec
    from anyspace.data.trajectory import Trajectory
    from anyspace.data.vector import VectorSource
    from anyspace.execution.callbacks import AnyCallbacks
    from anyspace.execution.training import Updates
    from anyspace.models.runtime import Runtime
    from anyspace.policy.batch import Batch

C = TypeVar("C", bound=AlgorithmConfig, default=Any)


class Algorithm(Acts, Collects, Plays, Saves, Settled, Generic[C], metaclass=ListsKeys):
    """An environment, a policy and the rule by which it learns.

    Args:
        env: a Gymnasium id, a name passed to ``register_env``, ``package.module:EnvClass``, a class, a callable or an
            instance. It may also stand in the config as ``env``.
        config: keys to override, nested for ``model``: ``{"model": {"fcnet_hiddens": [64, 64]}, "lr": 3e-4}``.
        preset: the shipped settings to start from: ``"auto"``, which is taken by itself, chooses by the environment, of
            which it may make one to see the spaces; ``"none"`` keeps the defaults, and so does a whole configuration.
        overrides: single keys, laid over ``config``.

    Raises:
        ConfigError: a key is unknown, out of range or not built.
        EnvironmentSetupError: the environment cannot be made.
        UnsupportedSpaceError: a leaf of one of its spaces is not supported.

    A subclass names its ``config_class`` and implements :meth:`updates` and :meth:`losses`, or :meth:`losses` alone.
    """

    config_class: ClassVar[type[AlgorithmConfig]]
    default_preset: ClassVar[str] = "auto"
    config: C
    _here: Path
    """The folder that settings are relative to, the current one at first: an environment may change to another."""
    preset: str
    """The preset that the settings started from; ``none``: the plain defaults, or a whole configuration."""

    @takes_no_policy
    def __init__(
        self,
        env: EnvLike | None = None,
        config: Mapping[str, Any] | AlgorithmConfig | None = None,
        *,
        preset: str | Preset | None = None,
        **overrides: Any,
    ):
        from anyspace.algorithms.settings import chosen

        self._here = current_folder()
        choice = chosen(type(self), env, config, preset, overrides)
        source, spaces = choice.opened()
        self._given, self.preset = choice.given, choice.preset
        try:
            self._build(choice.spec, choice.settings, *spaces, source)
        except Exception:
            if source is not None:
                source.close()
            raise

    def __repr__(self) -> str:
        place = "without an environment" if self._env_spec is None else f"on {self._env_spec.name}"
        return f"<{type(self).__name__} {place} after {self.timesteps_total:,} steps, {self.config.framework}>"

    # ---------------------------------------------------------------------------- to be implemented

    @classmethod
    def plan(cls, config: C) -> Plan:
        """Return which model, distribution and exploration the policy is built from."""
        return Plan()

    @abstractmethod
    def updates(self, policy: Policy, trajectory: Trajectory) -> Updates:
        """Yield what to learn from ``trajectory``: batches, or several gradient steps; their results are sent back.

        Returns:
            Metrics of the round as a whole.
        """

    @abstractmethod
    def losses(self, policy: Policy, batch: Batch) -> Losses:
        """Return the scalar loss of each parameter group, and metrics that are still tensors.

        A pair of both will do.
        """

    def groups(self) -> dict[str, Group]:
        """Return how the parameters of each loss are moved, by :meth:`losses`'s names; called before :meth:`setup`."""
        config = self.config
        lr = scheduled(config.lr, config.lr_schedule, "lr_schedule", self.counters)
        return {"policy": Group(lr, grad_clip=config.grad_clip, epsilon=config.adam_epsilon)}

    def setup(self) -> None:
        """Prepare what the algorithm keeps between iterations; the policy is there already."""

    def parts(self) -> dict[str, Any]:
        """Return everything that a further iteration depends on, by name: what a checkpoint holds.

        A part has ``state()`` and ``load_state()``, or is a module or an optimiser of the framework, an array, a
        number, a text, or a list, dict or deque of plain values; numbers and texts are attributes of the same names.
        """
        return {"policy": self.policy, "learner": self.learner, "rewards": self.rewards, "counters": self.counters}

    # --------------------------------------------------------------------------------------- build

    @classmethod
    def name(cls) -> str:
        """Return the algorithm's lower-case name."""
        return cls.__name__.lower()

    def _build(
        self,
        spec: EnvSpec | None,
        settings: AlgorithmConfig,
        observation_space: gym.Space[Any],
        action_space: gym.Space[Any],
        source: VectorSource | None,
        seed: int | None = None,
    ) -> None:
        from anyspace.algorithms.scaling import require_exploration
        from anyspace.execution.training import Training

        seed = settings.seed if seed is None else seed
        self.seed = secrets.randbits(31) if seed is None else seed
        self.config = settings  # type: ignore[assignment]
        self.counters = Counters(settings.return_window, settings.evaluate_every)
        self.rewards = RewardTransform(settings.clip_rewards, settings.normalize_rewards)
        runtime, plan = self.make_runtime(), contract.require_plan(type(self), self.plan(self.config))
        self.policy = Policy(observation_space, action_space, settings, runtime, plan, self.seed)
        require_exploration(self.policy.exploration, settings)
        savable.require_spaces(self.policy.observation_space, self.policy.env_action_space)
        self.learner = self.make_learner()
        self._training = Training(self.policy, self.learner, self.rewards, self.counters, self.updates)
        self._begin_collecting(spec, source)
        tell_origin(self.policy, source, spec, self._given)
        self._begin_saving()
        self._attributes = attributes.Attributes(self)
        parts = contract.set_up(self)
        self._is_built = True
        added = self._attributes.added()
        checkpoints.require_savable(self, parts, added, self.policy.runtime)
        self._attributes.note(added)
        remember(state.run_description(type(self), spec, self.seed, self.preset, self.config), self.config_class)

    def make_runtime(self) -> Runtime:
        """Return the framework's runtime."""
        return backend_of(self.config.framework).runtime(self.config)

    def make_learner(self) -> Learner:
        """Return the framework's learner."""
        groups = contract.groups_of(self)
        contract.require_parameters(self.policy, groups)
        return backend_of(self.config.framework).learner(self.policy, self.losses, groups)

    # ------------------------------------------------------------------------------------ training

    @answers("train()")
    def train(self) -> dict[str, Any]:
        """Run one iteration: collect, learn from it, evaluate where that is due; return a result dict.

        Raises:
            ObservationError: an observation is outside its space; names step and environment.
            NonFiniteError: a reward, a loss or a weight is NaN or infinite; names the place.
        """
        self._attributes.check(self.parts())
        from anyspace.algorithms.scaling import explored

        started, config, counters = time.perf_counter(), self.config, self.counters
        done = self._training.iteration(
            self.fleet,
            steps=config.steps_per_round,
            at_least=config.steps_per_iteration,
            width=config.num_envs,
            rows=config.rows_per_step,
        )
        self._attributes.check(self.parts())
        learnt = self._training.metrics(done)
        evaluation = self._due_evaluation() if counters.evaluation_due else None
        counters.judge(evaluation)
        elapsed = time.perf_counter() - started
        counters.time_total_s += elapsed
        learner = {"learner": {**learnt, "model": self.learner.model_metrics()}}
        more: dict[str, Any] = {"exploration": explored(self.policy.exploration, config), "fleet": self.fleet.metrics()}
        more |= {"evaluation": evaluation, "preset": self.preset}
        found = {**done.report(counters, elapsed), **learner, **{key: value for key, value in more.items() if value}}
        return TrainingResult(found)

    @property
    def timesteps_total(self) -> int:
        """Environment steps so far."""
        return self.counters.timesteps_total

    @property
    def training_iteration(self) -> int:
        """Iterations so far."""
        return self.counters.training_iteration

    def should_stop(self) -> bool:
        """Whether the mean return has reached ``stop_return`` (see :class:`Counters`)."""
        return self.config.stop_return is not None and self.counters.reached(self.config.stop_return)

    @answers("learn()")
    def learn(
        self,
        total_steps: float | None = None,
        *,
        callback: AnyCallbacks = None,
        out: PathLike | None = None,
        overwrite: bool = False,
        progress: bool = True,
        total_timesteps: float | None = None,
    ) -> dict[str, Any]:
        """Train until ``total_steps`` environment steps in all, or until ``stop_return``, and return the last result.

        Args:
            total_steps: counted from the algorithm's beginning, resumed steps included.
            callback: ``f(algorithm, result)`` after every iteration, a :class:`Callback`, or several of them.
            out: a folder for checkpoints, metrics and the learning curve; None writes nothing. An algorithm goes on in
                the run folder that it wrote or was loaded from; a folder that holds another run is refused.
            overwrite: let the run take the place of another one in the folder.
            progress: show steps, steps/s, return and time left.
            total_timesteps: in place of ``total_steps``, how many steps from now on.

        Raises:
            ConfigError: there is nothing to do, or the folder is not free, or it cannot be written.
            CheckpointError: the last checkpoint could not be written.
        """
        from anyspace.algorithms.settings import write_all
        from anyspace.execution import run

        until = run.last_step(self.timesteps_total, total_steps, total_timesteps)
        saving = run.Saving(self.config.checkpoint_every, self.config.keep, self.config.exact_resume)
        try:
            return run.learn(self, until, out, overwrite, saving, progress, callback)
        finally:
            write_all(self._fleet)

    # --------------------------------------------------------------------------------- checkpoints

    @classmethod
    @answers("load()")
    def load(
        cls,
        path: PathLike,
        *,
        env: EnvLike | None = None,
        config: Mapping[str, Any] | None = None,
        trust: bool = False,
        **overrides: Any,
    ) -> Self:
        """Return the algorithm of a checkpoint or run folder, ready to act, evaluate or train on.

        Acting needs no environment; it is made when training or evaluation first asks for it. Of ``env`` one is made
        and closed, to see that it fits. No code that a checkpoint names is imported or called unless you trust it, hand
        it over, or have built an algorithm with it already.

        Args:
            path: a folder that :meth:`save` wrote, or a run folder.
            env: in place of the recorded environment; needed where that was a local object without a name. A vector
                environment says how many there are.
            config: keys to change, and code in place of what is recorded.
            trust: import and call the code that the checkpoint names. Only for checkpoints whose author you trust.
            overrides: single keys to change.

        Raises:
            CheckpointError: the checkpoint is missing, damaged, of other spaces or another algorithm, or it names code
                that is neither trusted nor handed over: the message lists all of it.
            EnvironmentSetupError: ``env`` is no environment, or cannot be made.
        """
        from anyspace.algorithms.settings import environment_spec, require_fitting

        reader = Reader(cls, trust=trust)
        loaded = reader.read(path, env, (config or {}, overrides))
        spec = None if loaded.env is None else environment_spec(loaded.env, loaded.settings)
        self: Self = object.__new__(loaded.kind)
        self._here = current_folder()
        contract.tell_of_own_init(loaded.kind)
        self._given, self.preset = given_keys(loaded.settings, config or {}, overrides), loaded.preset
        with building(path, loaded.kind.config_class, config or {}, overrides, trust=trust):
            self._build(spec, loaded.settings, *loaded.spaces, None, loaded.seed)
        if spec is not None and env is not None:
            require_fitting(spec, self.policy)
        changed = checkpoints.restored(
            self, self.parts(), loaded.parts, loaded.tensors, self.policy.runtime, path, loaded.pieces
        )
        self._pieces = loaded.pieces
        for name, value in changed.items():
            setattr(self, name, value)
        self.run_folder = run_folder_of(Path(path).expanduser().resolve())
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"a {type(self).__name__} holds environments and random sources, so it is neither pickled nor copied:"
            " save() it, and load() it where you need it, or hand over get_weights()."
        )
