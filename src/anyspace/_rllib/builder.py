"""RLlib's builder of configurations: methods that take keys by groups, and one that builds the algorithm."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Self

from anyspace._rllib import algorithms, keys
from anyspace._rllib.callbacks import DefaultCallbacks
from anyspace._rllib.defaults import get_algorithm_class
from anyspace._rllib.scripts import Keys
from anyspace.algorithms import config as settings
from anyspace.algorithms.layers import given_keys, key_hints, overridden
from anyspace.config import are_equal, copied
from anyspace.errors import ConfigError


class AlgorithmConfig(Keys, Mapping[str, Any]):
    """Keys of an algorithm, taken by methods that can be chained; :meth:`build` hands them to the algorithm.

    Which of the methods takes a key does not matter. A key is checked when the algorithm is built, where an unknown one
    is an error that says what stands for it. Keys are read and set as attributes or items, too: ``config.lr``,
    ``config["lr"]``; one that was not given has the algorithm's default. Dicts and lists may be changed in place. What
    is iterated over is what was given.

    Args:
        algo_class: the algorithm, or its name; a class such as ``PPOConfig`` has its own.
    """

    algorithm: ClassVar[type[algorithms.Algorithm] | None] = None

    def __init__(self, algo_class: type[algorithms.Algorithm] | str | None = None):
        kind = get_algorithm_class(algo_class) if isinstance(algo_class, str) else algo_class or self.algorithm
        config_class = settings.AlgorithmConfig if kind is None else kind.config_class
        defaults = {**keys.at_rest(config_class()), "callbacks": DefaultCallbacks}
        nested = {name: Shown(defaults[name], name) for name in _NESTED if name in defaults}
        self.__dict__["algo_class"], self.__dict__["_config_class"] = kind, config_class
        self.__dict__["_names"] = keys.names_of(config_class) | _ATTRIBUTES
        self.__dict__["_keys"] = Shown(defaults | nested, "")

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

    def multi_agent(self, **given: Any) -> Self:
        """Refuse several agents; what says that there is one is taken.

        Raises:
            ConfigError: a key says that there are several.
        """
        several = [name for name, value in given.items() if value is not None and value not in _ALONE.get(name, ())]
        if several:
            raise ConfigError(
                f"multi_agent({', '.join(f'{name}=' for name in several)}): there is one policy. Several agents in"
                " one environment are out of scope, unless they share it, by SuperSuit's pettingzoo_env_to_vec_env_v1;"
                " of others give one agent's view as a gymnasium.Env, and leave this out."
            )
        return self

    # ------------------------------------------------------------------------------------------- as a whole

    def build(self, env: Any = None, logger_creator: Any = None, *, use_copy: bool = True) -> Any:
        """Return the algorithm, which has a copy of the keys whatever ``use_copy`` says.

        Raises:
            ConfigError: a key is unknown or out of range, there is no algorithm, or a ``logger_creator`` came.
        """
        if logger_creator is not None:
            raise ConfigError(
                "build(logger_creator=...): algorithms log by algo.learn(steps, out='runs/mine'), or a loop over"
                " algo.train() writes down its results; leave it out."
            )
        return self._kind()(env, self.to_dict())

    build_algo = build

    def validate(self) -> None:
        """Raise :class:`ConfigError` for the first key that is unknown, out of range or contradictory."""
        kind = self._kind().config_class
        given = {name: value for name, value in self.to_dict().items() if name not in ("env", "callbacks")}
        given = keys.with_effect(kind, keys.with_rhythm(kind, keys.translated(kind, given)))
        paths = given_keys(kind(), given)
        found = overridden(kind(), given).fitted(paths)
        found.validate()
        found.require_effect(paths)

    def _kind(self) -> type[algorithms.Algorithm]:
        kind: type[algorithms.Algorithm] | None = self.algo_class
        if kind is None:
            raise ConfigError(
                "AlgorithmConfig(algo_class=PPO) names the algorithm that is to be built, or use PPOConfig."
            )
        return kind

    def to_dict(self) -> dict[str, Any]:
        """Return the keys that were given, or changed in place; ``config[key]`` reads the others."""
        return _Given(self._keys.given())

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

    def copy(self, copy_frozen: bool | None = None) -> Self:
        """Return a copy that can be changed on its own, whatever ``copy_frozen`` says."""
        return type(self)(self.algo_class)._take(copied(self._keys.given()))

    def __copy__(self) -> Self:
        return self.copy()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._keys.given()})"

    def __getitem__(self, key: str) -> Any:
        name = self._names.get(key, key)
        if name not in self._keys:
            advice = _METHODS.get(key) or key_hints(self._config_class()).whereabouts(name)
            raise KeyError(f"{type(self).__name__} has no key `{key}`.{advice}")
        return self._keys[name]

    def __getattr__(self, key: str) -> Any:
        if key.startswith("__") or "_keys" not in vars(self):  # a copy asks for attributes before it has any
            raise AttributeError(key)
        try:
            return self[key]
        except KeyError as error:
            raise AttributeError(*error.args) from None

    def __setitem__(self, key: str, value: Any) -> None:
        name = self._names.get(key, key)
        held = self._keys.get(name)
        if isinstance(held, Shown):
            self._keys[name] = Shown(held.defaults, name)
        self._take({name: value})

    __setattr__ = __setitem__

    def __iter__(self) -> Iterator[str]:
        return iter(self.to_dict())

    def __bool__(self) -> bool:
        return True  # `config or PPOConfig()` takes one to which nothing was given, too

    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __len__(self) -> int:
        return len(self.to_dict())

    def __contains__(self, key: object) -> bool:
        return self._names.get(key, key) in self._keys

    def _take(self, given: Mapping[str, Any]) -> Self:
        for key, value in given.items():
            name = self._names.get(key, key)
            held = self._keys.get(name)
            if isinstance(held, Shown) and (value is None or isinstance(value, Mapping)):
                held.take(value or {})
            else:
                self._keys.take({name: value})
        return self


_NESTED = {
    **dict.fromkeys(("model", "env_config", "exploration_config", "replay_buffer_config"), "the algorithm"),
    **dict.fromkeys(("q_model_config", "policy_model_config"), "`model`"),
}
"""Keys whose own keys add up over calls, and what goes for those that they were not given."""
_ATTRIBUTES = {"callbacks_class": "callbacks", "framework_str": "framework"}
"""What RLlib's builder calls the attributes of two keys."""
_ALONE: dict[str, tuple[Any, ...]] = {
    "policies": ({}, {"default_policy"}, ["default_policy"]),
    "policies_to_train": (["default_policy"],),
    "policy_map_capacity": (100,),
    "policy_states_are_swappable": (False,),
    "count_steps_by": ("env_steps", "agent_steps"),
    "algorithm_config_overrides_per_module": ({},),
}
"""The values, beside None, at which keys of several agents say that there is one."""
_METHODS = {
    "freeze": " An algorithm has a copy of the keys, so that nothing need be frozen: leave it out.",
    "pop": " Keys have defaults, and none goes away: read config[key], and give another value by config[key] = value.",
    "serialize": " to_dict() returns the keys that were given.",
    "get_evaluation_config_object": " Evaluation goes by the keys of training, and the `evaluation_` ones beside them.",
    "get_multi_agent_setup": " Several agents in one environment are out of scope.",
    "get_rollout_fragment_length": " build().config.steps_per_round is how many steps are collected before learning.",
}
"""Methods of RLlib's builder, and what to write instead."""


class Shown(dict[str, Any]):
    """Keys with their defaults, all of which can be read and changed; :meth:`given` tells what somebody did.

    Args:
        defaults: of the keys; they stay as they are.
        place: the key that they are the keys of; empty: they are the outermost ones.
    """

    def __init__(self, defaults: Mapping[str, Any], place: str):
        super().__init__(copied(dict(defaults)))
        self.defaults, self.place = defaults, place
        self._taken: set[str] = set()

    def __missing__(self, key: str) -> Any:
        raise KeyError(f"`{self.place}` was given no `{key}`, which is up to {_NESTED[self.place]}.")

    def take(self, keys: Mapping[str, Any]) -> None:
        """Take keys that somebody gives, though they may equal their defaults."""
        self.update(keys)
        self._taken |= keys.keys()

    def given(self) -> dict[str, Any]:
        """Return the keys that somebody gave, or changed in place; nested ones likewise, unless there are none."""
        found = {}
        for key, value in self.items():
            if isinstance(value, Shown):
                value = value.given()
                is_given = bool(value)
            else:
                is_default = key in self.defaults and are_equal(value, self.defaults[key])
                is_given = key in self._taken or not is_default
            if is_given:
                found[key] = value
        return found


class _Given(dict[str, Any]):
    """The keys of :meth:`AlgorithmConfig.to_dict`."""

    def __missing__(self, key: str) -> Any:
        raise KeyError(f"to_dict() returns the keys that were given, and `{key}` was not: config[{key!r}] reads it.")


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
