"""Results of training under the names that RLlib gave them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

import numpy as np

from anyspace.execution.metrics import TrainingResult

_LOG = logging.getLogger("anyspace")


def _number(name: str) -> Callable[[TrainingResult], Any]:
    # The mean return of no episode is NaN in RLlib; here it is left out.
    return lambda result: dict.get(result, name, float("nan"))


_OLD_OF_LEARNING = {"cur_lr": "lr", "cur_kl_coeff": "kl_coeff", "vf_explained_var": "explained_variance"}
_COUNTS = (
    *("num_env_steps_sampled", "num_env_steps_trained", "num_agent_steps_sampled", "num_agent_steps_trained"),
    *("num_steps_sampled", "num_steps_trained"),
)


def _info(result: TrainingResult) -> dict[str, Any]:
    learnt = result["learner"]
    stats = {**learnt, **{old: learnt[new] for old, new in _OLD_OF_LEARNING.items() if new in learnt}}
    policy = {"learner_stats": stats, "model": learnt.get("model", {}), "custom_metrics": {}}
    counts = dict.fromkeys(_COUNTS, result["timesteps_total"])
    return {"learner": {"default_policy": policy}, **counts}


def _itself(result: TrainingResult) -> TrainingResult:
    return result


_OLD_OF_EPISODES: dict[str, Callable[[TrainingResult], Any]] = {
    "episode_reward_mean": _number("episode_return_mean"),
    "episode_reward_min": _number("episode_return_min"),
    "episode_reward_max": _number("episode_return_max"),
    "env_runners": _itself,
    "sampler_results": _itself,
}
_OLD_OF_TRAINING: dict[str, Callable[[TrainingResult], Any]] = {
    **_OLD_OF_EPISODES,
    **dict.fromkeys(
        (
            "num_env_steps_sampled",
            "num_env_steps_sampled_lifetime",
            "num_env_steps_trained",
            "num_agent_steps_sampled",
            "num_agent_steps_trained",
            "agent_timesteps_total",
        ),
        _number("timesteps_total"),
    ),
    "num_env_steps_sampled_this_iter": _number("timesteps_this_iter"),
    "num_episodes": _number("episodes_this_iter"),
    "num_episodes_lifetime": _number("episodes_total"),
    "time_since_restore": _number("time_total_s"),
    "info": _info,
    "learners": lambda result: {"default_policy": dict(result["learner"])},
    "custom_metrics": lambda result: {},
    **dict.fromkeys(("policy_reward_min", "policy_reward_mean", "policy_reward_max"), lambda result: {}),
}


class OldResult(TrainingResult):
    """A result dict that also answers to RLlib's names; the first one that is asked for says what it is called here.

    The numbers of learning are under ``info/learner/default_policy/learner_stats`` and ``learners/default_policy``,
    those of a model's ``metrics()`` there and under ``info/learner/default_policy``, each as ``model``. Those of
    collecting are under ``env_runners`` and ``sampler_results``. ``in`` and ``get`` know the old names as well; what is
    iterated over, written and drawn are today's.
    """

    said: ClassVar[bool] = False
    old: ClassVar[Mapping[str, Callable[[TrainingResult], Any]]] = _OLD_OF_TRAINING

    def __missing__(self, name: object) -> Any:
        if name not in self.old:
            return super().__missing__(name)
        if not OldResult.said:
            OldResult.said = True
            _LOG.warning("result[%r] is RLlib's name. Here results have: %s.", name, ", ".join(self))
        return self.old[str(name)](self)

    def get(self, name: Any, default: Any = None) -> Any:
        """Return what is called ``name``, here or in RLlib, or ``default``."""
        return self[name] if name in self else default  # noqa: SIM401 (this is `get`)

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or name in self.old


class EvaluationResult(OldResult):
    """What an evaluation found; RLlib puts it under ``evaluation``, which is this dict itself.

    It has no numbers of learning, and counts no steps.
    """

    old: ClassVar[Mapping[str, Callable[[TrainingResult], Any]]] = {
        **_OLD_OF_EPISODES,
        "num_episodes": _number("episodes"),
        "evaluation": _itself,
    }


def averaged(numbers: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Return ``NAME_mean``, ``NAME_min`` and ``NAME_max`` of numbers of several episodes."""
    table: dict[str, list[float]] = {}
    for one in numbers:
        for name, value in one.items():
            table.setdefault(name, []).append(float(value))
    return {
        f"{name}_{kind}": float(reduced(values))
        for name, values in table.items()
        for kind, reduced in (("mean", np.mean), ("min", np.min), ("max", np.max))
    }
