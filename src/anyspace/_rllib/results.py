"""Results of training under the names that RLlib gave them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np

from anyspace.data.trajectory import Episode
from anyspace.errors import ConfigError
from anyspace.execution.metrics import TrainingResult

_LOG = logging.getLogger("anyspace")


def _number(name: str) -> Callable[[TrainingResult], Any]:
    # The mean return of no episode is NaN in RLlib; here it is left out.
    return lambda result: dict.get(result, name, float("nan"))


_OLD_OF_LEARNING = {"cur_lr": "lr", "cur_kl_coeff": "kl_coeff", "vf_explained_var": "explained_variance"}
_COUNTS = ("num_env_steps_sampled", "num_agent_steps_sampled", "num_steps_sampled")
_COUNTED = ("num_env_steps_trained", "num_agent_steps_trained", "num_steps_trained")
_ABSENT = {
    **dict.fromkeys(
        (*_COUNTED, *(f"{name}_this_iter" for name in _COUNTED), "num_env_steps_trained_lifetime"),
        "the rows that were learnt from are not counted: `timesteps_total` counts the steps that were taken, and"
        " `gradient_steps` in the numbers of learning of DQN and SAC their draws of `train_batch_size` rows",
    ),
    **dict.fromkeys(
        ("time_since_restore", "iterations_since_restore", "timesteps_since_restore"),
        "`time_total_s`, `training_iteration` and `timesteps_total` count from the beginning: subtract what they were"
        " when you restored",
    ),
    **dict.fromkeys(("done", "should_checkpoint"), "ask algo.should_stop(), or count `training_iteration`"),
    **dict.fromkeys(
        ("date", "timestamp", "pid", "hostname", "node_ip", "trial_id", "experiment_id"),
        "Ray notes it; Python's modules datetime, os and socket tell what there is of it",
    ),
    "config": "it is `algo.config`",
    **dict.fromkeys(
        ("timers", "perf", "sampler_perf"), "`time_this_iter_s`, `time_collect_s` and `steps_per_s` say what takes long"
    ),
    "counters": "`training_iteration`, `timesteps_total` and `episodes_total` count",
    **dict.fromkeys(
        ("num_healthy_workers", "num_recreated_workers", "num_remote_worker_restarts", "num_faulty_episodes"),
        "`fleet` has the numbers of workers, where there are some",
    ),
    "grad_gnorm": "the norm of gradients is not reported; `grad_clip` limits it",
    **dict.fromkeys(("min_q", "max_q"), "DQN reports `mean_q` alone; `losses` of a subclass may report more"),
}
"""Names of RLlib that nothing stands for, and what does instead."""


class _Numbers(dict[str, Any]):
    """Numbers by name; one of RLlib's that nothing stands for says what does instead."""

    def __missing__(self, name: str) -> Any:
        raise KeyError(f"there is no {name!r} here: {_ABSENT.get(name) or 'it has ' + ', '.join(self)}.")


def _info(result: TrainingResult) -> dict[str, Any]:
    learnt = result["learner"]
    stats = _Numbers({**learnt, **{old: learnt[new] for old, new in _OLD_OF_LEARNING.items() if new in learnt}})
    policy = {"learner_stats": stats, "model": learnt.get("model", {}), "custom_metrics": {}}
    counts = dict.fromkeys(_COUNTS, result["timesteps_total"])
    return _Numbers({"learner": {"default_policy": policy}, **counts})


def _hist_stats(result: OldResult) -> dict[str, list[float]]:
    rewards = [episode.total_reward for episode in result.episodes]
    lengths = [episode.length for episode in result.episodes]
    return _Numbers({"episode_reward": rewards, "episode_lengths": lengths, **result.hist_data})


def _itself(result: TrainingResult) -> TrainingResult:
    return result


_OLD_OF_EPISODES: dict[str, Callable[[OldResult], Any]] = {
    "episode_reward_mean": _number("episode_return_mean"),
    "episode_reward_min": _number("episode_return_min"),
    "episode_reward_max": _number("episode_return_max"),
    "env_runners": _itself,
    "sampler_results": _itself,
}
_OLD_OF_TRAINING: dict[str, Callable[[OldResult], Any]] = {
    **_OLD_OF_EPISODES,
    **dict.fromkeys(
        (
            "num_env_steps_sampled",
            "num_env_steps_sampled_lifetime",
            "num_agent_steps_sampled",
            "agent_timesteps_total",
        ),
        _number("timesteps_total"),
    ),
    "num_env_steps_sampled_this_iter": _number("timesteps_this_iter"),
    "num_episodes": _number("episodes_this_iter"),
    "num_episodes_lifetime": _number("episodes_total"),
    "hist_stats": _hist_stats,
    "info": _info,
    "learners": lambda result: {"default_policy": dict(result["learner"])},
    "custom_metrics": lambda result: {},
    **dict.fromkeys(("policy_reward_min", "policy_reward_mean", "policy_reward_max"), lambda result: {}),
}


class OldResult(TrainingResult):
    """A result dict that also answers to RLlib's names; the first one that is asked for says what it is called here.

    The numbers of learning are under ``info/learner/default_policy/learner_stats`` and ``learners/default_policy``,
    those of a model's ``metrics()`` there and under ``info/learner/default_policy``, each as ``model``. Those of
    collecting are under ``env_runners`` and ``sampler_results``. ``cur_kl_coeff`` is the weight after it was adapted.
    ``in`` and ``get`` know the old names as well; what is iterated over, written and drawn are today's. A name that
    nothing stands for is an error that says what does.

    Attributes:
        episodes: the latest ones, which ``hist_stats`` lists.
        hist_data: what callbacks noted of the iteration's episodes, which ``hist_stats`` lists too.
    """

    said: ClassVar[bool] = False
    episodes: Sequence[Episode] = ()
    hist_data: Mapping[str, list[float]] = MappingProxyType({})
    old: ClassVar[Mapping[str, Callable[[OldResult], Any]]] = _OLD_OF_TRAINING

    def __missing__(self, name: object) -> Any:
        if name not in self.old:
            if name in _ABSENT:
                raise KeyError(f"the result has no {name!r}: {_ABSENT[str(name)]}.")
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

    old: ClassVar[Mapping[str, Callable[[OldResult], Any]]] = {
        **_OLD_OF_EPISODES,
        "num_episodes": _number("episodes"),
        "hist_stats": lambda result: {"episode_reward": result["returns"], "episode_lengths": result["lengths"]},
        "evaluation": _itself,
    }


def averaged(numbers: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Return ``NAME_mean``, ``NAME_min`` and ``NAME_max`` of numbers of several episodes.

    Raises:
        ConfigError: something is no number.
    """
    table: dict[str, list[float]] = {}
    for one in numbers:
        for name, value in one.items():
            try:
                table.setdefault(name, []).append(float(value))
            except (TypeError, ValueError):
                raise ConfigError(
                    f"episode.custom_metrics[{name!r}] takes one number for an episode, but {value!r:.80} came. Give"
                    " several names, or a mean; what is to be kept as it is, keep in your callbacks object."
                ) from None
    return {
        f"{name}_{kind}": float(reduced(values))
        for name, values in table.items()
        for kind, reduced in (("mean", np.mean), ("min", np.min), ("max", np.max))
    }


def joined(data: Iterable[Mapping[str, Sequence[float]]]) -> dict[str, list[float]]:
    """Return the numbers of several episodes one after the other, by name.

    Raises:
        ConfigError: something is no list of numbers.
    """
    found: dict[str, list[float]] = {}
    for one in data:
        for name, values in one.items():
            try:
                found.setdefault(name, []).extend(map(float, values))
            except (TypeError, ValueError):
                raise ConfigError(
                    f"episode.hist_data[{name!r}] takes a list of numbers, but {values!r:.80} came."
                ) from None
    return found
