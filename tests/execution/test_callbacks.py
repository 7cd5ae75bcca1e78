"""What a user has done beside training."""

from __future__ import annotations

import inspect
import re
import sys
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from anyspace import PPO, Callback
from anyspace.errors import ConfigError
from anyspace.execution import callbacks
from anyspace.execution.callbacks import Callbacks, PruneTrial, StopWithoutImprovement, WeightsAndBiases, named_callback
from anyspace.execution.log import read_metrics
from tests.support.counts import Counts, ran

SMALL: dict[str, Any] = {
    "num_envs_per_env_runner": 2,
    "train_batch_size": 64,
    "minibatch_size": 32,
    "num_epochs": 1,
    "seed": 0,
    "model": {"fcnet_hiddens": [4]},
}


pytestmark = pytest.mark.usefixtures("without_curves")


class Diary(Callback):
    """Notes every call."""

    def __init__(self) -> None:
        self.notes: list[tuple[Any, ...]] = []

    def on_start(self, algorithm: Any) -> None:
        self.notes.append(("start", algorithm.timesteps_total))

    def on_episode(self, algorithm: Any, episode: Any) -> None:
        self.notes.append(("episode", episode.total_reward))

    def on_evaluation(self, algorithm: Any, evaluation: dict[str, float]) -> None:
        self.notes.append(("evaluation", evaluation["episodes"]))

    def on_iteration(self, algorithm: Any, result: dict[str, Any]) -> None:
        self.notes.append(("iteration", result["timesteps_total"]))

    def on_checkpoint(self, algorithm: Any, path: Path) -> None:
        self.notes.append(("checkpoint", algorithm.timesteps_total, path.name))

    def on_end(self, algorithm: Any, result: dict[str, Any] | None) -> None:
        self.notes.append(("end", None if result is None else result["timesteps_total"]))


def test_everything_is_told_in_order(tmp_path: Path) -> None:
    diary = Diary()
    ran(Counts([1.0, 2.0]), tmp_path / "run", 20, every=10, callback=diary)
    assert diary.notes == [
        ("start", 0),
        ("episode", 1.0),
        ("episode", -1.0),
        ("iteration", 10),
        ("checkpoint", 10, "checkpoint"),
        ("episode", 2.0),
        ("episode", -2.0),
        ("iteration", 20),
        ("checkpoint", 20, "checkpoint"),
        ("end", 20),
    ]


def test_an_algorithm_tells_of_its_episodes_and_evaluations() -> None:
    diary, returns = Diary(), []
    algorithm = PPO("CartPole-v1", SMALL, preset="none", evaluate_every=1, evaluation_episodes=2)
    algorithm.learn(
        128, progress=False, callback=[diary, lambda algo, result: returns.append(result["episodes_this_iter"])]
    )
    kinds = [kind for kind, *_ in diary.notes]
    assert kinds.count("evaluation") == kinds.count("iteration") == len(returns) > 1
    assert kinds.count("episode") == sum(returns) == algorithm.counters.episodes_total > 0
    assert kinds.index("evaluation") < kinds.index("iteration")


def test_numbers_of_a_callback_are_logged_with_the_others(tmp_path: Path) -> None:
    def add(algorithm: Any, result: dict[str, Any]) -> None:
        result["twice"] = np.float32(2 * result["timesteps_total"])
        result["mine"] = {"half": result["timesteps_total"] / 2}

    ran(Counts(), tmp_path / "run", 20, callback=add)
    rows = read_metrics(tmp_path / "run" / "metrics.csv")
    assert [(float(row["twice"]), float(row["mine/half"])) for row in rows] == [(20, 5), (40, 10)]


@pytest.mark.parametrize("no", [False, np.False_])
def test_false_ends_the_run_which_is_saved(tmp_path: Path, no: Any) -> None:
    diary = Diary()
    result = ran(
        Counts(),
        tmp_path / "run",
        100,
        callback=[lambda algo, result: no if algo.timesteps_total == 30 else True, diary],
    )
    assert result["timesteps_total"] == 30
    assert diary.notes[-2:] == [("checkpoint", 30, "checkpoint"), ("end", 30)]


def test_an_evaluation_may_end_the_run() -> None:
    class Enough(Callback):
        def on_evaluation(self, algorithm: Any, evaluation: dict[str, float]) -> bool:
            return False

    algorithm = PPO("CartPole-v1", SMALL, preset="none", evaluate_every=1, evaluation_episodes=1)
    algorithm.learn(6400, progress=False, callback=Enough())
    assert algorithm.training_iteration == 1


def test_what_no_log_could_hold_is_refused_by_the_name_of_the_method() -> None:
    class Noted(Callback):
        def on_evaluation(self, algorithm: Any, evaluation: dict[str, Any]) -> None:
            evaluation["level"] = "hard"

    with pytest.raises(ConfigError, match=r"Noted.on_evaluation\(\) put 'level': 'hard' into the result"):
        Callbacks(Noted()).iteration(None, {"evaluation": {"episode_returns": [1.0]}}, [])


def test_an_error_in_a_callback_ends_the_run_which_is_saved(tmp_path: Path) -> None:
    def fail(algorithm: Any, result: dict[str, Any]) -> None:
        if algorithm.timesteps_total == 30:
            raise ZeroDivisionError("mine")

    diary = Diary()
    with pytest.raises(ZeroDivisionError, match="mine") as caught:
        ran(Counts(), tmp_path / "run", 100, callback=[diary, fail])
    assert "saved at 20 steps" in caught.value.__notes__[0]
    assert diary.notes[-1] == ("end", 30)


class Past:
    """Somebody's class, made with a number."""

    def __init__(self, verbose: int = 0):
        self.verbose = verbose


@pytest.mark.parametrize(
    ("callback", "message"),
    [
        (Diary, "the callback is the class Diary: hand over an object, Diary()."),
        (
            7,
            "a callback is a function f(algorithm, result) or an object of a subclass of anyspace.Callback, but 7",
        ),
        (
            Past,
            "the callback is the class Past: hand over an object, Past(), of a class derived from anyspace.Callback",
        ),
        ("EvalCallback", "the callback is the text 'EvalCallback'. PPO(env, evaluate_every=10_000"),
        ("mine:notice", "the callback is the text 'mine:notice'. Hand over the function itself"),
        (lambda algo: None, "the callback <lambda>(algo) is called as <lambda>(algorithm, result): let it take two"),
        (lambda algo, result: 3.5, "the callback <lambda>() returned 3.5: return False to end the run, and nothing"),
        (
            lambda algo, result: result.update(picture="a.png"),
            "the callback <lambda>() put 'picture': 'a.png' into the result: names are texts, and values numbers",
        ),
    ],
)
def test_slips_are_named(callback: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        ran(Counts(), None, 20, callback=callback)


def of_stable_baselines(name: str, *bases: type) -> type:
    return type(name, bases, {"__module__": "stable_baselines3.common.callbacks"})


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (
            of_stable_baselines("EvalCallback"),
            "the callback EvalCallback is of Stable-Baselines3.*evaluate_every=10_000",
        ),
        (
            type("Mine", (of_stable_baselines("BaseCallback"),), {}),
            "the callback Mine is .*Derive the class from anyspace",
        ),
        (of_stable_baselines("Rare"), "the callback Rare is .*Derive the class from anyspace.Callback"),
    ],
)
def test_callbacks_of_stable_baselines_have_counterparts(kind: type, message: str) -> None:
    for callback in (kind, kind(), [kind()]):
        with pytest.raises(ConfigError, match=message):
            Callbacks(callback)


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("_on_step", "Mine._on_step() is never called: override on_iteration(self, algorithm, result)."),
        ("_init_callback", "Mine._init_callback() is never called: override on_start(self, algorithm)."),
        ("on_train_result", "Mine.on_train_result() is never called: override on_iteration(self, algorithm, result)."),
        ("on_iterations", "Mine.on_iterations() is never called: override on_iteration(self, algorithm, result)."),
        ("_on_end", "Mine._on_end() is never called: override on_end(self, algorithm, result)."),
        ("on_bell", "Mine.on_bell() is never called: a callback's methods are on_start, on_episode, on_evaluation,"),
    ],
)
def test_a_method_that_nothing_calls_is_refused(method: str, message: str) -> None:
    kind = type("Mine", (Callback,), {method: lambda self: None})
    with pytest.raises(ConfigError, match=re.escape(message)):
        Callbacks(kind())
    Callbacks(
        type("Mine", (Callback, type("Other", (), {method: lambda self: None})), {"_on_bell": len, "step": len})()
    )


def test_callbacks_are_made_without_verbose() -> None:
    class Mine(Callback):
        def __init__(self, verbose: int = 0):
            super().__init__(verbose)  # type: ignore[call-arg]

    class Named:
        def __init__(self, name: str):
            self.name = name

    class Both(Callback, Named):
        def __init__(self) -> None:
            super().__init__("mine")  # type: ignore[call-arg]

    with pytest.raises(TypeError, match=r"^Mine: Callback takes no arguments: leave `verbose` and the like out"):
        Mine(1)
    assert Both().name == "mine"
    assert not inspect.signature(Callback).parameters


@pytest.mark.parametrize("value", ["a.png", [1, 2], 10**400, {"deep": {"name": "x"}}, {1: 2.0}])
@pytest.mark.parametrize("place", ["", "learner", "learner/deep"])
def test_what_would_be_written_nowhere_is_refused_wherever_it_is_put(place: str, value: Any) -> None:
    def put(algorithm: Any, result: dict[str, Any]) -> None:
        for name in filter(None, place.split("/")):
            result = result[name]
        result["mine"] = value

    own = {"preset": "none", "learner": {"loss": 1.0, "deep": {"own": [1, 2]}}}
    with pytest.raises(ConfigError, match=re.escape(f"the callback put() put 'mine': {value!r} into the result")):
        Callbacks(put).iteration(None, own, [])


@pytest.mark.parametrize("name", ["timesteps_total", "timesteps_this_iter", "training_iteration", "time_total_s"])
def test_the_numbers_that_a_run_goes_by_stay(tmp_path: Path, name: str) -> None:
    def sets(algorithm: Any, result: dict[str, Any]) -> None:
        result[name] = 7

    def clears(algorithm: Any, result: dict[str, Any]) -> None:
        result.clear()

    for callback, change in ((sets, f"sets() set {name!r} to 7 in"), (clears, rf"clears() took {name!r} out of")):
        with pytest.raises(ConfigError, match=re.escape(f"the callback {change} the result, but the run and its log")):
            Callbacks(callback).iteration(None, {name: 10, "loss": 1.0}, [])
        Callbacks(callback).iteration(None, {"loss": 1.0}, [])


def test_a_callback_that_changes_the_steps_harms_no_log(tmp_path: Path) -> None:
    ran(Counts(), tmp_path, 30)
    with pytest.raises(ConfigError, match="'timesteps_total'"):
        ran(Counts(start=30), tmp_path, 60, callback=lambda algo, result: result.update(timesteps_total=7))
    assert [row["timesteps_total"] for row in read_metrics(tmp_path / "metrics.csv")] == ["10", "20", "30"]


def test_a_run_ends_without_improvement() -> None:
    returns = [1.0, 5.0, 5.0, 6.0, 6.2, 6.4, 6.4, 9.0]
    assert ran(Counts(returns), None, 200, callback=StopWithoutImprovement(20))["timesteps_total"] == 100
    stop = StopWithoutImprovement(20, least_gain=0.5)
    assert ran(Counts(returns), None, 200, callback=stop)["timesteps_total"] == 60
    assert stop.highest == 6.0
    assert ran(Counts(returns), None, 50, callback=StopWithoutImprovement(1, "no/such"))["timesteps_total"] == 50


@pytest.mark.parametrize(
    ("metric", "advice"),
    [
        ("episode_reward_mean", " Did you mean 'episode_return_mean'?"),
        ("evaluation/episode_return_mean", " Evaluations come with `evaluate_every`."),
        ("zzz", ""),
        ("episode_return_mean", None),
    ],
)
def test_a_number_that_never_came_is_told_at_the_end(
    caplog: pytest.LogCaptureFixture, metric: str, advice: str | None
) -> None:
    trial = SimpleNamespace(report=lambda value, steps: None, should_prune=lambda: False)
    for callback in (StopWithoutImprovement(1000, metric), PruneTrial(trial, metric)):
        caplog.clear()
        ran(Counts(), None, 20, callback=callback)
        told = f"{type(callback).__name__} did nothing: no result had a number called {metric!r}.{advice}"
        assert caplog.messages == ([] if advice is None else [told])


def test_that_no_episode_ended_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    class Endless(Counts):
        def train(self) -> dict[str, Any]:
            return {**super().train(), "episode_return_mean": None}

    callbacks._tell_once.cache_clear()
    trial = SimpleNamespace(report=lambda value, steps: None, should_prune=lambda: False)
    for _ in range(2):
        ran(Endless(), None, 20, callback=PruneTrial(trial))
    assert caplog.messages == ["PruneTrial did nothing: no episode ended while training, so that none has a return."]


def test_bad_patience_is_refused() -> None:
    with pytest.raises(ConfigError, match="patience is at least 1 step"):
        StopWithoutImprovement(0)


def notice(algorithm: Any, result: dict[str, Any]) -> None:
    """A callback that has a name."""


def test_callbacks_go_by_name() -> None:
    here = "tests.execution.test_callbacks"
    assert isinstance(named_callback(f"{here}:Diary"), Diary)
    with pytest.raises(ConfigError, match="no_such"):
        named_callback(f"{here}:no_such")
    with pytest.raises(ConfigError, match=r"but \{.* came"):
        named_callback(f"{here}:SMALL")
    shipped = "anyspace.execution.callbacks"
    assert isinstance(named_callback(f"{shipped}:WeightsAndBiases"), WeightsAndBiases)
    with pytest.raises(ConfigError, match=r"StopWithoutImprovement needs arguments \(patience\): name an object"):
        named_callback(f"{shipped}:StopWithoutImprovement")
    ran(Counts(), None, 20, callback=named_callback(f"{here}:notice"))


def test_a_value_that_is_no_number_is_no_improvement() -> None:
    stop = StopWithoutImprovement(20)
    assert ran(Counts([float("nan"), 1.0, 2.0, 3.0, 4.0]), None, 50, callback=stop)["timesteps_total"] == 50
    assert stop.highest == 4.0


def test_all_are_told_of_the_end_and_the_first_error_stands() -> None:
    class FailsAtTheEnd(Callback):
        def on_end(self, algorithm: Any, result: dict[str, Any] | None) -> None:
            raise RuntimeError("at the end")

    def fail(algorithm: Any, result: dict[str, Any]) -> None:
        raise ZeroDivisionError("mine")

    diary = Diary()
    with pytest.raises(ZeroDivisionError, match="mine") as caught:
        ran(Counts(), None, 20, callback=[FailsAtTheEnd(), diary, fail])
    assert "(a callback failed at the end as well: RuntimeError('at the end'))" in caught.value.__notes__
    assert diary.notes[-1] == ("end", 10)
    diary = Diary()
    with pytest.raises(RuntimeError, match="at the end"):
        ran(Counts(), None, 20, callback=[FailsAtTheEnd(), diary])
    assert diary.notes[-1] == ("end", 20)


def test_what_an_evaluation_returns_may_be_put_into_the_result() -> None:
    algorithm = PPO("CartPole-v1", SMALL, preset="none")
    algorithm.learn(64, progress=False, callback=lambda algo, result: result.update(mine=algo.evaluate(1)))
    with pytest.raises(ConfigError, match="put 'name'"):
        ran(Counts(), None, 20, callback=lambda algo, result: result.update(name=np.array("text")))


def trained(callback: Any, steps: int = 10) -> None:
    with closing(PPO("CartPole-v1", SMALL, preset="none")) as algorithm:
        algorithm.learn(steps, callback=callback, progress=False)


class Sink:
    """Stands in for the package wandb and for a run of it."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.config = self

    def init(self, project: str | None, name: str | None) -> Sink:
        self.calls.append(("init", (project, name)))
        return self

    def update(self, values: dict[str, Any], allow_val_change: bool) -> None:
        self.calls.append(("config", values))

    def define_metric(self, name: str, step_metric: str) -> None:
        self.calls.append(("axis", step_metric))

    def log(self, numbers: dict[str, float]) -> None:
        self.calls.append(("log", numbers))

    def finish(self) -> None:
        self.calls.append(("finish", None))


def test_numbers_go_to_weights_and_biases(monkeypatch: pytest.MonkeyPatch) -> None:
    sink = Sink()
    monkeypatch.setitem(sys.modules, "wandb", sink)
    trained([WeightsAndBiases("walks", "first")], 100)
    assert [name for name, _ in sink.calls] == ["init", "config", "axis", "log", "log", "finish"]
    assert sink.calls[0][1] == ("walks", "first")
    assert sink.calls[1][1]["config"]["train_batch_size"] == 64
    first, second = (sink.calls[at][1][sink.calls[2][1]] for at in (3, 4))
    assert 0 < first < 100 <= second
    assert all(isinstance(value, int | float) for value in sink.calls[3][1].values())


def test_a_run_of_weights_and_biases_that_has_begun_goes_on() -> None:
    sink = Sink()
    trained(WeightsAndBiases(run=sink))
    assert [name for name, _ in sink.calls] == ["config", "axis", "log"]
    with pytest.raises(ConfigError, match="has a project"):
        WeightsAndBiases("walks", run=sink)


def test_without_the_package_nothing_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ConfigError, match="pip install wandb"):
        trained(WeightsAndBiases())
