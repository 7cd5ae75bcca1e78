"""RLlib's builder of configurations: methods that take keys by groups, and one that builds the algorithm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from anyspace._rllib import algorithms
from anyspace._rllib.keys import CALLED
from anyspace._rllib.scripts import Keys
from anyspace.algorithms.config import RENAMED
from anyspace.config import copied, is_nested
from anyspace.errors import ConfigError


class AlgorithmConfig(Keys):
    """Keys of an algorithm, taken by methods that can be chained; :meth:`build` hands them to the algorithm.

    Which of the methods takes a key does not matter. A key is checked when the algorithm is built, where an unknown one
    is an error that says what stands for it. Keys are read and set as attributes or items, too: ``config.lr``,
    ``config["lr"]``; one that was not given has the algorithm's default.

    Args:
        algo_class: the algorithm; a class such as ``PPOConfig`` has its own.
    """

    algorithm: ClassVar[type[algorithms.Algorithm] | None] = None

    def __init__(self, algo_class: type[algorithms.Algorithm] | None = None):
        self.__dict__["algo_class"] = algo_class or self.algorithm
        self.__dict__["_keys"] = {}

    # ------------------------------------------------------------------------------------------- groups

    def environment(self, env: Any = None, **keys: Any) -> Self:
        """Take the environment, and keys of it such as ``env_config`` and ``clip_actions``."""
        return self._take({"env": env, **keys} if env is not None else keys)

    def framework(self, framework: str = "torch", **keys: Any) -> Self:
        """Take the framework: torch, tf2 (tf) or jax."""
        return self._take({"framework": framework, **keys})

    def training(self, **keys: Any) -> Self:
        """Take keys of learning, such as ``lr``, ``gamma`` and ``model``; those of ``model`` add up over calls."""
        return self._take(keys)

    def env_runners(self, **keys: Any) -> Self:
        """Take keys of collecting, such as ``num_envs_per_env_runner``."""
        return self._take(keys)

    def rollouts(self, **keys: Any) -> Self:
        """Take keys of collecting, by their older names too, such as ``num_rollout_workers``."""
        return self._take(keys)

    def exploration(self, **keys: Any) -> Self:
        """Take ``explore`` and ``exploration_config``."""
        return self._take(keys)

    def evaluation(self, **keys: Any) -> Self:
        """Take keys of evaluation: ``evaluation_interval`` counts iterations, ``evaluation_duration`` episodes."""
        return self._take(keys)

    def callbacks(self, callbacks_class: type | None = None, **keys: Any) -> Self:
        """Take a class derived from ``DefaultCallbacks``."""
        return self._take({"callbacks": callbacks_class, **keys})

    def offline_data(self, **keys: Any) -> Self:
        """Take keys of recorded steps: ``input_``, ``output`` and those beside them."""
        return self._take(keys)

    def resources(self, **keys: Any) -> Self:
        """Take keys of resources, such as ``num_gpus``."""
        return self._take(keys)

    def learners(self, **keys: Any) -> Self:
        """Take keys of learners, such as ``num_gpus_per_learner``."""
        return self._take(keys)

    def debugging(self, **keys: Any) -> Self:
        """Take ``seed`` and ``log_level``."""
        return self._take(keys)

    def reporting(self, **keys: Any) -> Self:
        """Take keys of reports, such as ``metrics_num_episodes_for_smoothing``."""
        return self._take(keys)

    def checkpointing(self, **keys: Any) -> Self:
        """Take keys of checkpoints."""
        return self._take(keys)

    def fault_tolerance(self, **keys: Any) -> Self:
        """Take keys of faults, such as ``restart_failed_env_runners``."""
        return self._take(keys)

    def experimental(self, **keys: Any) -> Self:
        """Take keys that begin with an underscore, such as ``_disable_preprocessor_api``."""
        return self._take(keys)

    def python_environment(self, **keys: Any) -> Self:
        """Take keys of the processes' environment, which change nothing here."""
        return self._take(keys)

    def rl_module(self, **keys: Any) -> Self:
        """Take the switches of RLlib's new stack, which have to be off."""
        return self._take(keys)

    @staticmethod
    def is_multi_agent() -> bool:
        """Whether there are several agents: no."""
        return False

    def api_stack(self, **keys: Any) -> Self:
        """Take the switches of RLlib's new stack, which have to be off."""
        return self._take(keys)

    def multi_agent(self, **keys: Any) -> Self:
        """Refuse several agents.

        Raises:
            ConfigError: always, if there are keys.
        """
        if any(value is not None for value in keys.values()):
            raise ConfigError("multi_agent: several agents in one environment are out of scope.")
        return self

    # ------------------------------------------------------------------------------------------- as a whole

    def build(self, env: Any = None, *, use_copy: bool = True) -> Any:
        """Return the algorithm, which has a copy of the keys whatever ``use_copy`` says.

        Raises:
            ConfigError: a key is unknown or out of range, or there is no algorithm.
        """
        if self.algo_class is None:
            raise ConfigError(
                "AlgorithmConfig(algo_class=PPO) names the algorithm that is to be built, or use PPOConfig."
            )
        return self.algo_class(env, self.to_dict())

    build_algo = build

    def to_dict(self) -> dict[str, Any]:
        """Return the keys that were given."""
        given = {key: value for key, value in self._keys.items() if value != {}}
        return {key: dict(value) if isinstance(value, _Nested) else value for key, value in given.items()}

    def update_from_dict(self, config_dict: Mapping[str, Any]) -> Self:
        """Take keys from a dict."""
        return self._take(config_dict)

    @staticmethod
    def overrides(**keys: Any) -> dict[str, Any]:
        """Return keys as a dict, for ``evaluation_config``."""
        return keys

    @classmethod
    def from_dict(cls, config_dict: Mapping[str, Any]) -> Self:
        """Return a configuration with the keys of a dict."""
        return cls()._take(config_dict)

    def copy(self) -> Self:
        """Return a copy that can be changed on its own."""
        found = type(self)(self.algo_class)
        return found._take(copied(self.to_dict()))

    def __getattr__(self, key: str) -> Any:
        if key.startswith("__"):
            raise AttributeError(key)
        name = _NAMES.get(key, key)
        if name in self._keys:
            return self._keys[name]
        if self.algo_class is None:
            raise AttributeError(f"{type(self).__name__} has no `{key}`; it was not given.")
        config = self.algo_class.config_class()
        if not hasattr(config, name):
            raise AttributeError(f"{type(self).__name__} has no key `{key}`.")
        value = getattr(config, name)
        if is_nested(value):
            value = vars(value)
        return self._keys.setdefault(name, _Nested(value)) if isinstance(value, dict) else value

    def __setattr__(self, key: str, value: Any) -> None:
        self._take({key: value})

    def __getitem__(self, key: str) -> Any:
        return getattr(self, key)

    def __setitem__(self, key: str, value: Any) -> None:
        self._take({key: value})

    def get(self, key: str, default: Any = None) -> Any:
        """Return a key, or ``default`` if there is none of that name."""
        try:
            return getattr(self, key)
        except AttributeError:
            return default

    def _take(self, keys: Mapping[str, Any]) -> Self:
        for given, value in keys.items():
            key = _NAMES.get(given, given)
            if key in _NESTED and isinstance(value, Mapping):
                before = self._keys.get(key) or (getattr(self, key) if self.algo_class is not None else _Nested({}))
                self._keys[key] = _Nested(before.defaults if isinstance(before, _Nested) else {}, {**before, **value})
            else:
                self._keys[key] = value
        return self


_NAMES = {**RENAMED, **CALLED}
"""Older names of keys: whichever a script uses, the latest value is the one that counts."""
_NESTED = ("model", "env_config", "exploration_config")


class _Nested(dict[str, Any]):
    """Keys that were given, through which the defaults of the others are read."""

    def __init__(self, defaults: Mapping[str, Any], given: Mapping[str, Any] | None = None):
        super().__init__(given or {})
        self.defaults = defaults

    def __missing__(self, key: str) -> Any:
        return self.defaults[key]

    def __contains__(self, key: object) -> bool:
        return super().__contains__(key) or key in self.defaults

    def get(self, key: str, default: Any = None) -> Any:
        """Return a key that was given, else its default, else ``default``."""
        return self[key] if key in self else default  # noqa: SIM401 (this is `get`)


class PPOConfig(AlgorithmConfig):
    """The builder of PPO's configurations."""

    algorithm = algorithms.PPO


class DQNConfig(AlgorithmConfig):
    """The builder of DQN's configurations."""

    algorithm = algorithms.DQN


class A2CConfig(AlgorithmConfig):
    """The builder of A2C's configurations."""

    algorithm = algorithms.A2C


class APPOConfig(AlgorithmConfig):
    """The builder of APPO's configurations."""

    algorithm = algorithms.APPO


class IMPALAConfig(AlgorithmConfig):
    """The builder of IMPALA's configurations."""

    algorithm = algorithms.IMPALA


class PGConfig(AlgorithmConfig):
    """The builder of PG's configurations."""

    algorithm = algorithms.PG


class SACConfig(AlgorithmConfig):
    """The builder of SAC's configurations."""

    algorithm = algorithms.SAC


class MARWILConfig(AlgorithmConfig):
    """The builder of MARWIL's configurations."""

    algorithm = algorithms.MARWIL


class BCConfig(AlgorithmConfig):
    """The builder of BC's configurations."""

    algorithm = algorithms.BC
