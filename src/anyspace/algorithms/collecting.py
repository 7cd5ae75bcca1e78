"""The environments of an algorithm: who steps them, what they are told, and when they are closed."""

from __future__ import annotations

from abc import ABC
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anyspace.algorithms.config import AlgorithmConfig
from anyspace.data.env_calls import EnvCallError, EnvCalls
from anyspace.data.rewards import RewardTransform
from anyspace.data.seeds import environment_seed
from anyspace.errors import ConfigError
from anyspace.execution.counters import Counters
from anyspace.policy.policy import Policy

if TYPE_CHECKING:  # a policy that is loaded alone imports no code that collects
    from anyspace.data.environments import EnvSpec
    from anyspace.data.vector import VectorSource
    from anyspace.execution.evaluate import Evaluator
    from anyspace.execution.fleet import Fleet


class Collects(ABC):
    """Has environments that training steps, and others that evaluation plays."""

    policy: Policy
    config: AlgorithmConfig
    counters: Counters
    rewards: RewardTransform
    seed: int
    _here: Path

    def _begin_collecting(self, spec: EnvSpec | None, source: VectorSource | None) -> None:
        """Take in the environment; ``source``: those that were made to see its spaces, for the first fleet."""
        self._env_spec, self._source = spec, source
        self._fleet: Fleet | None = None
        self._evaluator: Evaluator | None = None
        self._calls = EnvCalls()

    @property
    def env_spec(self) -> EnvSpec:
        """The environment; a :class:`ConfigError` where none was given, or a checkpoint could not name it."""
        if self._env_spec is None:
            raise ConfigError(
                "there is no environment: none was given, or the checkpoint could not name it (it was a local object)."
                f" Give it: {type(self).__name__}(env=...), Algorithm.load(path, env=...), `anyspace evaluate --env`,"
                " `anyspace train module:Class --resume RUN --trust`."
            )
        return self._env_spec

    @property
    def has_environment(self) -> bool:
        """Whether there is an environment; learning from recorded steps takes none."""
        return self._env_spec is not None

    @property
    def fleet(self) -> Fleet:
        """Who collects; the environments start with the first use."""
        if self._fleet is None:
            from anyspace.algorithms.settings import written

            seed = environment_seed(self.seed, self.counters.training_iteration)
            fleet = written(self.new_fleet(seed), self.policy, self.config, self._here)
            try:
                if self._calls:
                    fleet.tell(self._calls)
            except BaseException as error:
                if isinstance(error, EnvCallError):
                    self._calls.forget(error.number)
                fleet.close()
                raise
            self._fleet = fleet
        return self._fleet

    def new_fleet(self, seed: int) -> Fleet:
        """Return who collects: this process, or workers. ``seed`` is of the environments' first reset."""
        from anyspace.algorithms.settings import new_fleet

        seeds = (seed, self.seed, self.counters.vector_steps)
        return new_fleet(self.env_spec, self._source, self.policy, self.config, self.rewards, *seeds)

    def call_envs(self, method: str, *arguments: Any) -> None:
        """Call a method of every environment that training steps, wherever it is: to set the level of a curriculum.

        Environments in other processes are called there, and those of workers before they collect for the next round.
        The method is to set something, and to work at any time: a worker or a process that takes the place of another
        calls it again, before its first reset, with the latest arguments; and of several calls between two rounds
        workers hear the last. What it returns is dropped. Checkpoints hold nothing of it. Evaluation plays environments
        as they are made; of a vector environment that you gave, it plays copies.

        Args:
            method: the name of a method of the environment, or of one of its wrappers.
            arguments: that it is called with. Environments receive copies.

        Raises:
            ConfigError: no environment is stepped, the method is one of Gymnasium's, an argument cannot be copied, or
                ``exact_resume`` is on.
            EnvironmentSetupError: the environment has no such method, or it raised an error; new episodes begin then.
                Of workers it comes with the next round.

        An example is a task that grows harder: ``algo.call_envs("set_level", 3)`` calls ``env.set_level(3)``.
        """
        if self.config.exact_resume:
            raise ConfigError(
                f"call_envs({method!r}): with `exact_resume` a run goes on as if it had not ended, but checkpoints do"
                " not hold what environments were told. Switch it off, or let environments count by themselves."
            )
        fleet, told = self.fleet, self._calls.add(method, arguments)
        try:
            fleet.tell(self._calls)
        except BaseException:
            self._calls.forget(told.number)
            raise

    @property
    def evaluator(self) -> Evaluator:
        """Who evaluates; the environments start with the first use."""
        if self._evaluator is None:
            from anyspace.algorithms.scaling import new_evaluator

            self._evaluator = new_evaluator(self.env_spec, self.policy, self.config, self.seed)
        return self._evaluator

    def close(self) -> None:
        """Close every environment, write the rest of `output`; what trains or evaluates afterwards makes new ones."""
        every = (self._source, self._fleet, self._evaluator)
        self._source = self._fleet = self._evaluator = None
        with ExitStack() as stack:  # one that raises, or Ctrl-C, leaves none of the others open
            for opened in every:
                if opened is not None:
                    stack.callback(opened.close)
