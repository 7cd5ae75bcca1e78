"""RLlib's callbacks: methods with its names and arguments, told of what happens here."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from anyspace._rllib import advice
from anyspace.answers import Explains
from anyspace.data.trajectory import Episode
from anyspace.errors import ConfigError, nearest

_IN_INFO = "Put a number into the `info` of a step instead: it is reported as env/NAME, and as episode/NAME."
_NEVER: dict[str, str] = {
    "on_episode_step": f"steps are taken by vectors of environments, and no one is called between them. {_IN_INFO}",
    "on_episode_created": f"episodes are told of when they are over. {_IN_INFO}",
    "on_sample_end": "derive the algorithm and override `updates`, which is given all that was collected.",
    "on_postprocess_trajectory": "derive the algorithm and override `updates`, which is given all that was collected.",
    "on_learn_on_batch": "derive the algorithm and override `losses`, which is given each batch.",
    "on_create_policy": "derive the algorithm and override `setup`, or use on_algorithm_init.",
    "on_sub_environment_created": "make the environment in a function, `env=make_env`, and do it there.",
    "on_environment_created": "make the environment in a function, `env=make_env`, and do it there.",
    "on_workers_recreated": "read `fleet/restarts` in on_train_result, which counts the workers that were replaced.",
}
"""Methods of RLlib that nothing here calls, and what to do instead."""
_OF_NEW_STACK = {"env_runner", "metrics_logger", "rl_module"}
"""Arguments that methods have there alone."""


class DefaultCallbacks:
    """Base of callbacks, which the key ``callbacks`` of a configuration names by its class.

    Called are ``on_algorithm_init``, after each iteration ``on_episode_start`` and ``on_episode_end`` for each episode
    that has ended in it, then ``on_evaluate_start`` and ``on_evaluate_end`` around an evaluation, and at last
    ``on_train_result``. What an episode puts into ``episode.custom_metrics`` is in ``result["custom_metrics"]`` as its
    mean, smallest and largest value.

    Raises:
        ConfigError: a class has a method ``on_...`` that nothing here calls; the message says what to do instead.
    """

    def __init__(self, legacy_callbacks_dict: dict[str, Callable[..., Any]] | None = None):
        if legacy_callbacks_dict:
            raise ConfigError(
                "callbacks are methods of a class derived from DefaultCallbacks, not functions in a dict."
            )
        called = [name for name in dir(DefaultCallbacks) if name.startswith("on_")]
        for name in dir(type(self)):
            if name.startswith("on_") and name not in called:
                advice = _NEVER.get(name) or f"there is no such callback.{nearest(name, called)}"
                raise ConfigError(f"{type(self).__name__}.{name}() is not called here: {advice}")
        for name in called:
            wanted = inspect.signature(getattr(self, name)).parameters.keys() & _OF_NEW_STACK
            if wanted:
                raise ConfigError(
                    f"{type(self).__name__}.{name}() asks for `{min(wanted)}`, which belongs to RLlib's new API stack."
                    " Numbers of an episode go into `episode.custom_metrics`, those of an iteration into `result`."
                )

    def require_no_evaluation(self) -> None:
        """Raise :class:`ConfigError` where a method is to be called around evaluations."""
        for name in ("on_evaluate_start", "on_evaluate_end"):
            if getattr(type(self), name) is not getattr(DefaultCallbacks, name):
                raise ConfigError(
                    f"{type(self).__name__}.{name}() is not called with evaluation_parallel_to_training=True, where"
                    " workers play while training goes on; leave that key out, or read `evaluation` in on_train_result."
                )

    def on_algorithm_init(self, *, algorithm: Any, **kwargs: Any) -> None:
        """Take in that the algorithm is built."""

    def on_episode_start(
        self,
        *,
        worker: Any,
        base_env: Any,
        policies: dict[str, Any],
        episode: PastEpisode,
        env_index: int,
        **kwargs: Any,
    ) -> None:
        """Take in an episode, right before :meth:`on_episode_end`."""

    def on_episode_end(
        self,
        *,
        worker: Any,
        base_env: Any,
        policies: dict[str, Any],
        episode: PastEpisode,
        env_index: int,
        **kwargs: Any,
    ) -> None:
        """Take in an episode that is over."""

    def on_evaluate_start(self, *, algorithm: Any, **kwargs: Any) -> None:
        """Take in that an evaluation begins."""

    def on_evaluate_end(self, *, algorithm: Any, evaluation_metrics: dict[str, Any], **kwargs: Any) -> None:
        """Take in the numbers of an evaluation, under ``evaluation_metrics["evaluation"]``."""

    def on_train_result(self, *, algorithm: Any, result: dict[str, Any], **kwargs: Any) -> None:
        """Take in the result of an iteration, which may be added to."""


class _LastInfo(dict[str, float]):
    """The numbers of a last info; another name is an error that says what there is."""

    def __missing__(self, name: str) -> NoReturn:
        raise KeyError(
            f"last_info_for() has no {name!r}, but the numbers of the info alone: {', '.join(self) or 'none'}"
        )


class PastEpisode(Explains):
    """An episode that is over.

    Attributes:
        total_reward: sum of its rewards.
        length: number of steps.
        custom_metrics: numbers to report, by name; yours to fill.
        hist_data: lists of numbers, by name; yours to fill. ``hist_stats`` lists those of an iteration.
        user_data: yours to fill; nothing is reported of it.
        episode_id: counts episodes.
    """

    _foreign = advice.EPISODE

    def __init__(self, episode: Episode, number: int):
        self.total_reward, self.length, self.episode_id = episode.total_reward, episode.length, number
        self._infos = _LastInfo(episode.infos)
        self.custom_metrics: dict[str, float] = {}
        self.user_data: dict[str, Any] = {}
        self.hist_data: dict[str, list[float]] = {}

    def last_info_for(self, agent_id: object = None) -> dict[str, float]:
        """Return the numbers among the infos of the last step, by name."""
        return self._infos

    def get_return(self) -> float:
        """Return the sum of the rewards."""
        return self.total_reward


class Absent:
    """Stands for an argument of a callback that there is not; asking it for something is an error that says why."""

    def __init__(self, name: str):
        self._name = name

    def __getattr__(self, attribute: str) -> NoReturn:
        raise AttributeError(
            f"{self._name}.{attribute}: callbacks are told of episodes after the iteration, when the environment is in"
            f" another episode. {_IN_INFO} episode.last_info_for() gives those numbers."
        )


def tell(method: Callable[..., None], **arguments: Any) -> None:
    """Call a method of callbacks by its arguments' names, of which ``algorithm`` was ``trainer`` before RLlib 2.0."""
    asked = inspect.signature(method).parameters
    if "trainer" in asked and "algorithm" not in asked:
        arguments["trainer"] = arguments.pop("algorithm")
    method(**arguments)


def make_multi_callbacks(callback_class_list: Sequence[type[DefaultCallbacks]]) -> type[DefaultCallbacks]:
    """Return a class whose objects tell one object of each of the classes, in their order."""

    def __init__(self: Any) -> None:
        DefaultCallbacks.__init__(self)
        self.parts = [part() for part in callback_class_list]

    def telling(name: str) -> Callable[..., None]:
        def tell_all(self: Any, **arguments: Any) -> None:
            for part in self.parts:
                tell(getattr(part, name), **arguments)

        return tell_all

    kinds = [DefaultCallbacks, *callback_class_list]
    names = [name for name in vars(DefaultCallbacks) if name.startswith("on_")]
    methods = [name for name in names if len({getattr(kind, name) for kind in kinds}) > 1]
    return type("Several", (DefaultCallbacks,), {"__init__": __init__, **{name: telling(name) for name in methods}})
