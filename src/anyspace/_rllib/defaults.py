"""The dictionaries of defaults of RLlib 1.x, under the names of then, and algorithms by their names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from anyspace._rllib import algorithms
from anyspace.algorithms import ALGORITHMS
from anyspace.algorithms.config import AlgorithmConfig
from anyspace.config import copied
from anyspace.errors import ConfigError, nearest

_OLD = {
    "lambda_": "lambda",
    "num_env_runners": "num_workers",
    "evaluation_num_env_runners": "evaluation_num_workers",
    "num_cpus_per_env_runner": "num_cpus_per_worker",
    "num_gpus_per_env_runner": "num_gpus_per_worker",
    "custom_resources_per_env_runner": "custom_resources_per_worker",
    "num_envs_per_env_runner": "num_envs_per_worker",
    "num_epochs": "num_sgd_iter",
    "minibatch_size": "sgd_minibatch_size",
}
"""Names of keys here -> in RLlib 1.x."""


def default_config(algorithm: str) -> dict[str, Any]:
    """Return the defaults of an algorithm, which scripts copy and change: a dict with RLlib 1.x's names of keys."""
    kind: type[algorithms.Algorithm] = getattr(algorithms, algorithm)
    return _as_dict(kind.config_class())


def _as_dict(config: AlgorithmConfig) -> dict[str, Any]:
    found = {_OLD.get(key, key): copied(value) for key, value in vars(config).items()}
    return {**found, "model": config.model.as_dict()}


class _Common(dict[str, Any]):
    """Keys without the defaults of an algorithm."""

    def __missing__(self, key: str) -> NoReturn:
        raise KeyError(
            f"COMMON_CONFIG has no {key!r}, for an algorithm knows its own defaults: ppo.DEFAULT_CONFIG, or that of"
            " another one, has them all."
        )

    def copy(self) -> _Common:
        """Return a copy."""
        return _Common(self)


COMMON_CONFIG: dict[str, Any] = _Common()
"""What all algorithms share: nothing, for an algorithm knows its own defaults."""


def with_common_config(extra_config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys that an algorithm adds to the common ones."""
    return _Common(extra_config)


def get_algorithm_class(alg: str, return_config: bool = False) -> Any:
    """Return the class of an algorithm, and if asked for its defaults, which it has anyway.

    Raises:
        ConfigError: there is none of that name.
    """
    if alg not in ALGORITHMS:
        raise ConfigError(f"there is no algorithm {alg!r}.{nearest(alg, ALGORITHMS)} Known: {', '.join(ALGORITHMS)}.")
    kind = getattr(algorithms, alg)
    return (kind, default_config(alg)) if return_config else kind


def __getattr__(name: str) -> dict[str, Any]:
    """Return ``PPO_DEFAULT_CONFIG`` and the like."""
    algorithm, _, rest = name.partition("_")
    if rest != "DEFAULT_CONFIG" or algorithm not in ALGORITHMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return globals().setdefault(name, default_config(algorithm))  # type: ignore[no-any-return]
