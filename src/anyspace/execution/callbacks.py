"""What a user has done beside training: after an iteration, an episode, an evaluation, a checkpoint."""

from __future__ import annotations

import functools
import importlib
import inspect
import logging
import math
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from anyspace.answers import Explains
from anyspace.data.rendering import pictured
from anyspace.data.trajectory import Episode
from anyspace.errors import ConfigError, nearest
from anyspace.execution.added_numbers import noted, require_numbers
from anyspace.execution.callback_checks import require_function, require_known_methods
from anyspace.execution.film import FilmError, video_files
from anyspace.execution.log import flat_metrics
from anyspace.execution.run_files import VIDEOS
from anyspace.failures import Failures
from anyspace.foreign_names import CALLBACK
from anyspace.importing import import_path

_LOG = logging.getLogger("anyspace")

CallbackFunction = Callable[[Any, dict[str, Any]], bool | None]
"""``f(algorithm, result)``, called after every iteration; False ends the run."""


class Callback(Explains):
    """What happens beside training: override what you need, and hand an object to ``learn(callback=...)``.

    ``algorithm`` is the one that trains. An error that a method raises ends the run, which is saved like after any
    other error. A checkpoint holds nothing of a callback: one that goes on with a run begins anew.
    """

    _foreign = CALLBACK

    if not TYPE_CHECKING:  # type checkers refuse what is unknown

        def __init__(self, *given, **named):
            kinds = type(self).__mro__
            if (given or named) and kinds[kinds.index(Callback) :] == (Callback, Explains, object):
                raise TypeError(
                    f"{type(self).__name__}: Callback takes no arguments: leave `verbose` and the like out of"
                    " super().__init__()."
                )
            super().__init__(*given, **named)

        __init__.__signature__ = inspect.signature(lambda self: None)

    def on_start(self, algorithm: Any) -> None:
        """Take in that a run begins, before its first iteration."""

    def on_episode(self, algorithm: Any, episode: Episode) -> None:
        """Take in an episode that training has ended; the episodes of an iteration come when it is over."""

    def on_evaluation(self, algorithm: Any, evaluation: dict[str, Any]) -> bool | None:
        """Take in an evaluation of ``evaluate_every``; return False to end the run."""
        return None

    def on_iteration(self, algorithm: Any, result: dict[str, Any]) -> bool | None:
        """Take in an iteration; return False to end the run.

        Numbers that you put into ``result``, or dicts of numbers, are written to ``metrics.csv`` and to TensorBoard
        with the others. Those that count steps, iterations and seconds stay as they are.
        """
        return None

    def on_checkpoint(self, algorithm: Any, path: Path) -> None:
        """Take in that the run's latest checkpoint was written into the folder ``path``."""

    def on_end(self, algorithm: Any, result: dict[str, Any] | None) -> None:
        """Take in that the run is over, whatever ended it; ``result``: the last iteration's, None if there is none."""


OneCallback = Callback | CallbackFunction
AnyCallbacks = OneCallback | Sequence[OneCallback] | None
"""What ``learn(callback=...)`` takes."""


class _Function(Callback):
    """A function that is called after every iteration."""

    def __init__(self, function: CallbackFunction):
        self._function = function

    def on_iteration(self, algorithm: Any, result: dict[str, Any]) -> bool | None:
        return self._function(algorithm, result)


class Callbacks:
    """Several callbacks, told one after the other.

    Args:
        given: a :class:`Callback`, a function of an algorithm and a result, several of either, or None.

    Raises:
        ConfigError: something else came.
    """

    def __init__(self, given: AnyCallbacks):
        parts = [] if given is None else [given] if not isinstance(given, Sequence) or isinstance(given, str) else given
        self._parts = [_callback(part) for part in parts]
        self._watching = [part for part in self._parts if type(part).on_episode is not Callback.on_episode]

    def start(self, algorithm: Any) -> None:
        """Tell that a run begins."""
        for part in self._parts:
            part.on_start(algorithm)

    def iteration(self, algorithm: Any, result: dict[str, Any], episodes: Iterable[Episode]) -> bool:
        """Tell of an iteration and of what was in it; return whether the run is to go on.

        Raises:
            ConfigError: a callback returned something else than a truth value or None, put what is no number into the
                result, or changed a number there that the run goes by.
        """
        goes_on = True
        if self._watching:
            for episode in episodes:
                for part in self._watching:
                    part.on_episode(algorithm, episode)
        evaluation = result.get("evaluation")
        for part in self._parts:
            if evaluation is not None:
                before = noted(evaluation)
                goes_on &= _answer(part, "on_evaluation", part.on_evaluation(algorithm, evaluation))
                require_numbers(_name(part, "on_evaluation"), before, evaluation)
            before = noted(result)
            goes_on &= _answer(part, "on_iteration", part.on_iteration(algorithm, result))
            require_numbers(_name(part, "on_iteration"), before, result)
        return goes_on

    def checkpoint(self, algorithm: Any, path: Path) -> None:
        """Tell that a checkpoint was written."""
        for part in self._parts:
            part.on_checkpoint(algorithm, path)

    def end(self, algorithm: Any, result: dict[str, Any] | None) -> None:
        """Tell all of them that the run is over, also where one of them fails."""
        with ExitStack() as stack:
            for part in reversed(self._parts):
                stack.callback(part.on_end, algorithm, result)


@functools.cache
def _tell_once(text: str) -> None:
    """Warn, but not again for each of many short runs, such as the trials of a sweep."""
    _LOG.warning(text)


class _GoesByNumber(Callback):
    """Goes by one number of the results, and says at the end if none of them had it: a slip in its name, mostly."""

    def __init__(self, metric: str):
        self.metric = metric
        self._names: set[str] = set()

    def on_start(self, algorithm: Any) -> None:
        """Begin anew."""
        self._names = set()

    def on_end(self, algorithm: Any, result: dict[str, Any] | None) -> None:
        """Warn where the number never came."""
        if self._names and self.metric not in self._names:
            if self.metric == "episode_return_mean":
                _tell_once(
                    f"{type(self).__name__} did nothing: no episode ended while training, so that none has a return."
                )
                return
            evaluated = " Evaluations come with `evaluate_every`." if self.metric.startswith("evaluation/") else ""
            _LOG.warning(
                f"{type(self).__name__} did nothing: no result had a number called {self.metric!r}."
                f"{evaluated or nearest(self.metric, sorted(self._names))}"
            )

    def _value(self, result: dict[str, Any]) -> float | None:
        numbers = flat_metrics(result)
        self._names |= numbers.keys()
        return numbers.get(self.metric)


class StopWithoutImprovement(_GoesByNumber):
    """Ends the run when a number has not risen for a while.

    Args:
        patience: environment steps without a new highest value after which the run ends, at least 1.
        metric: the path of the number in the result, such as ``episode_return_mean`` or
            ``evaluation/episode_return_mean``. Iterations that lack it are passed over; a warning at the end says if
            all of them did.
        least_gain: how much a value has to lie above the highest one so far, at least 0.
    """

    def __init__(self, patience: int, metric: str = "episode_return_mean", least_gain: float = 0.0):
        if patience < 1 or least_gain < 0:
            raise ConfigError(
                f"StopWithoutImprovement(patience={patience}, least_gain={least_gain}): patience is at least 1 step,"
                " and least_gain at least 0."
            )
        super().__init__(metric)
        self.patience, self.least_gain = patience, least_gain
        self.highest: float | None = None
        self._risen_at = 0

    def on_start(self, algorithm: Any) -> None:
        """Begin to count."""
        super().on_start(algorithm)
        self.highest, self._risen_at = None, algorithm.timesteps_total

    def on_iteration(self, algorithm: Any, result: dict[str, Any]) -> bool | None:
        """Compare with the highest value so far."""
        value = self._value(result)
        if (
            value is not None
            and math.isfinite(value)
            and (self.highest is None or value > self.highest + self.least_gain)
        ):
            self.highest, self._risen_at = value, algorithm.timesteps_total
        return algorithm.timesteps_total - self._risen_at < self.patience if self.highest is not None else None


class PruneTrial(_GoesByNumber):
    """Reports a number to a trial of Optuna after every iteration, and ends the run where the trial is hopeless.

    After ``learn``, raise ``optuna.TrialPruned`` if it was::

        pruning = PruneTrial(trial)
        algorithm.learn(50_000, callback=pruning)
        if pruning.pruned:
            raise optuna.TrialPruned

    Args:
        trial: of Optuna.
        metric: the path of the number in the result. Iterations that lack it are passed over; a warning at the end says
            if all of them did.
    """

    def __init__(self, trial: Any, metric: str = "episode_return_mean"):
        super().__init__(metric)
        self.trial = trial
        self.pruned = False

    def on_iteration(self, algorithm: Any, result: dict[str, Any]) -> bool | None:
        """Report, and ask whether to go on."""
        value = self._value(result)
        if value is not None:
            self.trial.report(value, algorithm.timesteps_total)
            self.pruned = bool(self.trial.should_prune())
        return not self.pruned


class RecordVideo(Callback):
    """Films the policy every so many steps, on an environment apart from those that train.

    A video that fails, such as on a full disk or in the environment's render(), is a warning, once until one succeeds.

    Args:
        every: environment steps from one video to the next, at least 1.
        episodes: of one video, at least 1.
        folder: for the videos, ``step-000050000.mp4`` and ``.gif``; None: ``videos`` in the run's folder. Without
            imageio-ffmpeg (``pip install 'anyspace[video]'``) there are GIFs alone.
        explore: sample actions instead of taking the deterministic ones.
    """

    def __init__(
        self, every: int, episodes: int = 1, folder: str | os.PathLike[str] | None = None, explore: bool = False
    ):
        if every < 1 or episodes < 1:
            raise ConfigError(f"RecordVideo(every={every}, episodes={episodes}): both are at least 1.")
        self.every, self.episodes, self.explore = every, episodes, explore
        # Absolute: an environment may change the current folder.
        self.folder = None if folder is None else Path(folder).expanduser().absolute()
        self._due, self._failures = every, Failures()

    def on_start(self, algorithm: Any) -> None:
        """Find out whether there will be pictures, and where to put them."""
        pictured(algorithm.env_spec)
        if self.folder is None and algorithm.run_folder is None:
            raise ConfigError("RecordVideo() has no place for its videos: give `folder`, or learn(out=...).")
        self._due = (algorithm.timesteps_total // self.every + 1) * self.every

    def on_iteration(self, algorithm: Any, result: dict[str, Any]) -> bool | None:
        """Film, if it is time to."""
        steps = algorithm.timesteps_total
        if steps >= self._due:
            self._due = (steps // self.every + 1) * self.every
            folder = self.folder or algorithm.run_folder / VIDEOS
            try:
                algorithm.record(video_files(folder, steps), self.episodes, explore=self.explore)
            except Exception as error:  # whatever it is, a film is not worth the training
                if self._failures.add("video", error):
                    told = str(error) if isinstance(error, FilmError) else f"{type(error).__name__}: {error}"
                    video = f"the video at {steps:,} steps"
                    _LOG.warning(f"RecordVideo: {video} failed ({told.rstrip('.')}). Training goes on.")
            else:
                self._failures.end("video")
        return None


class WeightsAndBiases(Callback):
    """Sends the numbers of every iteration to Weights & Biases (``pip install wandb``), with the run's configuration.

    Numbers that callbacks after this one add are not sent: hand it over last.

    Args:
        project: where a run is begun, which ends with training; None: Weights & Biases' default.
        name: of that run; None: one that Weights & Biases makes up.
        run: one that you have begun yourself, by ``wandb.init(...)``; it goes on after training.
    """

    def __init__(self, project: str | None = None, name: str | None = None, run: Any = None):
        if run is not None and (project, name) != (None, None):
            raise ConfigError(
                f"WeightsAndBiases(project={project!r}, name={name!r}, run=...): a run that has begun has a project and"
                " a name already."
            )
        self.project, self.name, self._given = project, name, run
        self._run: Any = run

    def on_start(self, algorithm: Any) -> None:
        """Begin a run, if none was given."""
        if self._given is None:
            try:
                wandb = importlib.import_module("wandb")
            except ModuleNotFoundError as error:
                if error.name != "wandb":
                    raise
                raise ConfigError("WeightsAndBiases needs the package: pip install wandb") from None
            self._run = wandb.init(project=self.project, name=self.name)
        self._run.config.update(algorithm.description(), allow_val_change=True)
        self._run.define_metric("*", step_metric="timesteps_total")

    def on_iteration(self, algorithm: Any, result: dict[str, Any]) -> bool | None:
        """Send the numbers."""
        self._run.log(flat_metrics(result))
        return None

    def on_end(self, algorithm: Any, result: dict[str, Any] | None) -> None:
        """End the run, if it was begun here."""
        if self._given is None and self._run is not None:
            self._run.finish()
            self._run = None


def named_callback(path: str) -> OneCallback:
    """Return the callback that ``package.module:name`` names: a function, an object, or a class that takes nothing.

    Raises:
        ConfigError: nothing of that name can be imported, it is no callback, or a class that takes arguments.
    """
    found = import_path(path)
    if isinstance(found, type) and issubclass(found, Callback):
        require_no_arguments(
            found, f"name an object of yours in its place: a line such as `mine = {found.__name__}(...)` in a module"
        )
        return found()
    return _callback(found)


def require_no_arguments(kind: type, instead: str) -> None:
    """Raise :class:`ConfigError` for a class of callbacks that cannot be made without arguments.

    Args:
        kind: the class.
        instead: what to do instead.
    """
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    parameters = inspect.signature(kind).parameters.values()
    needed = [one.name for one in parameters if one.default is one.empty and one.kind not in kinds]
    if needed:
        raise ConfigError(f"the callback {kind.__name__} needs arguments ({', '.join(needed)}): {instead}.")


def _callback(part: object) -> Callback:
    if isinstance(part, Callback):
        require_known_methods(type(part), Callback)
        return part
    return _Function(require_function(part, Callback))


def _name(part: Callback, method: str) -> str:
    if isinstance(part, _Function):
        return f"the callback {getattr(part._function, '__name__', repr(part._function))}()"
    return f"{type(part).__name__}.{method}()"


def _answer(part: Callback, method: str, answer: object) -> bool:
    if answer is None or isinstance(answer, bool | np.bool_):
        return answer is None or bool(answer)
    raise ConfigError(
        f"{_name(part, method)} returned {answer!r}: return False to end the run, and nothing (or True) to go on."
    )
