"""What an environment returns beside Gymnasium's API: told in terms of its code, at every step, however it runs."""

from __future__ import annotations

import logging
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import closing
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, Tuple
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import RecordEpisodeStatistics, TimeLimit, TransformReward

from anyspace import PPO
from anyspace.data.contract import described
from anyspace.data.environments import EnvSpec
from anyspace.data.sources import make_separate_source, make_source
from anyspace.data.vector import VectorSource
from anyspace.errors import EnvironmentSetupError, NonFiniteError, ObservationError
from tests.support.environments import Samples

BOX = Box(-1, 1, (3,))
ACTION = np.zeros(1, np.int64)
Change = Callable[..., Any]


class Odd(Samples):
    """Returns what ``of_step`` and ``of_reset`` make of what it should return; of steps from number ``since`` on."""

    def __init__(self, of_step: Change | None = None, of_reset: Change | None = None, space: Any = BOX, since: int = 1):
        super().__init__(space, Discrete(2))
        self.of_step, self.of_reset, self.since, self.steps = of_step, of_reset, since, 0

    def reset(self, **arguments: Any) -> Any:
        returned = super().reset(**arguments)
        return returned if self.of_reset is None else self.of_reset(*returned)

    def step(self, action: Any) -> Any:
        self.steps += 1
        returned = super().step(action)
        return returned if self.of_step is None or self.steps < self.since else self.of_step(*returned)


def source_of(make: Callable[[], gym.Env[Any, Any]], vectorization: Any = "sync") -> VectorSource:
    return make_source(EnvSpec(make), 1, vectorization)


def stepped(make: Callable[[], gym.Env[Any, Any]], vectorization: Any = "sync", steps: int = 2) -> Any:
    with closing(source_of(make, vectorization)) as source:
        source.reset(0)
        return [source.step(ACTION) for _ in range(steps)][-1]


@pytest.mark.parametrize("vectorization", ["sync", "async"])
def test_nothing_is_lost_where_close_fails(vectorization: Any, caplog: pytest.LogCaptureFixture) -> None:
    class FailsToClose(Samples):
        def close(self) -> None:
            raise OSError("the window is gone")

    def make() -> gym.Env[Any, Any]:
        return FailsToClose(BOX, Discrete(2))

    stepped(make, vectorization)
    envs = SyncVectorEnv([make])
    VectorSource(envs).close()
    assert {record.message for record in caplog.records if record.name == "anyspace"} == {
        f"{kind}.close() failed (OSError: the window is gone); nothing else is lost by that."
        for kind in ("FailsToClose", "SyncVectorEnv")
    }


def refused(make: Callable[[], gym.Env[Any, Any]], message: str, vectorization: Any = "sync", steps: int = 2) -> None:
    with pytest.raises(EnvironmentSetupError, match=rf"^environment 0: Odd\.{message}"):
        stepped(make, vectorization, steps)


# --------------------------------------------------------------------------------------------- reset

RESETS = [
    (lambda obs, info: obs, BOX, r"reset\(\) returned an array of shape \(3,\)"),
    (lambda obs, info: obs, Dict(a=BOX, b=Discrete(2)), r"reset\(\) returned a dict \('a', 'b'\)"),
    (lambda obs, info: obs, Tuple([BOX, Discrete(2)]), r"reset\(\) returned the observation alone"),
    (lambda obs, info: obs, Tuple([BOX, Dict(x=BOX)]), r"reset\(\) returned the observation alone"),
    (lambda obs, info: None, BOX, r"reset\(\) returned None"),
    (lambda obs, info: (obs, 0.0, info), BOX, r"reset\(\) returned a tuple of 3 values"),
]


@pytest.mark.parametrize(("change", "space", "message"), RESETS)
def test_a_reset_that_returns_no_pair(change: Change, space: Any, message: str) -> None:
    refused(lambda: Odd(of_reset=change, space=space), f"{message}.*reset returns .*: write `return obs, {{}}`")


def test_keys_that_a_wrapper_took_for_observation_and_info() -> None:
    refused(
        lambda: RecordEpisodeStatistics(Odd(of_reset=lambda obs, info: obs, space=Dict(a=BOX, b=Discrete(2)))),
        r"reset\(\) returned the observation alone, whose keys were taken for a pair",
    )


class NoSeed(Samples):
    def reset(self) -> Any:  # type: ignore[override]
        return super().reset()


class NoOptions(Samples):
    def reset(self, seed: Any = None) -> Any:  # type: ignore[override]
        return super().reset(seed=seed)


class NoAction(Samples):
    def step(self) -> Any:  # type: ignore[override]
        return super().step(0)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (NoSeed, r"NoSeed\.reset\(\) does not take .* write `def reset\(self, \*, seed=None, options=None\)`"),
        (NoOptions, r"NoOptions\.reset\(seed: 'Any' = None\).* does not take .* write `def reset"),
        (NoAction, r"NoAction\.step\(\) .*does not take .* write `def step\(self, action\)`"),
    ],
)
@pytest.mark.parametrize("wrapped", [False, True])
def test_arguments_that_are_not_taken(kind: type[Samples], message: str, wrapped: bool) -> None:
    def make() -> Any:
        env: Any = kind(BOX, Discrete(2))
        return TimeLimit(env, 5) if wrapped else env

    with pytest.raises(EnvironmentSetupError, match=message.replace(r"\(\) does", r"\(\).* does")):
        stepped(make)


# ---------------------------------------------------------------------------------------------- step

FIVE = Tuple([Discrete(2)] * 5)
STEPS = [
    (lambda obs, r, term, trunc, info: (obs, r, term or trunc, info), BOX, r"a tuple of 4 .*old gym.*truncated"),
    (lambda obs, *_: obs, BOX, "the observation alone"),
    (lambda obs, *_: obs, FIVE, "the observation alone"),
    (lambda *_: None, BOX, "None, but"),
    (lambda obs, r, *rest: (obs, None, *rest), BOX, "None as its reward, but a reward is one number"),
    (lambda obs, r, *rest: (obs, "1", *rest), BOX, r"'1' \(str\) as its reward"),
    (lambda obs, r, *rest: (obs, 1j, *rest), BOX, r"1j \(complex\) as its reward"),
    (lambda obs, r, *rest: (obs, np.ones(2), *rest), BOX, r"an array of shape \(2,\) .* as its reward.*LinearReward"),
    (lambda obs, r, *rest: (obs, [1.0, 2.0], *rest), BOX, "a list of 2 values as its reward.*LinearReward"),
    (lambda obs, r, *rest: (obs, [[1.0], [1.0, 2.0]], *rest), BOX, "a list of 2 values as its reward, but"),
    (lambda obs, r, *rest: (obs, {"a": 1, "b": 2}, *rest), BOX, r"a dict \('a', 'b'\) as its reward.*several agents"),
    (lambda obs, r, term, trunc, info: (obs, r, "no", trunc, info), BOX, "'no' .*as `terminated`.* True or False"),
    (lambda obs, r, term, trunc, info: (obs, r, term, None, info), BOX, "None as `truncated`"),
    (lambda obs, r, term, trunc, info: (obs, r, 2, trunc, info), BOX, r"2 \(int\) as `terminated`"),
    (lambda obs, r, term, trunc, info: (obs, r, np.nan, trunc, info), BOX, "nan .*as `terminated`"),
    (lambda obs, r, term, trunc, info: (obs, r, np.zeros(2, bool), trunc, info), BOX, r"an array .*`terminated`"),
    (lambda obs, r, term, trunc, info: (obs, r, {"__all__": False}, trunc, info), BOX, "a dict .*`terminated`"),
    (
        lambda obs, r, term, trunc, info: (obs, r, term, info, trunc),
        BOX,
        "an empty dict as `truncated`.* in this",
    ),
]


@pytest.mark.parametrize(("change", "space", "message"), STEPS)
def test_a_step_that_returns_something_else(change: Change, space: Any, message: str) -> None:
    refused(lambda: Odd(change, space=space), rf"step\(\) returned {message}")


@pytest.mark.parametrize("vectorization", ["sync", "async"])
def test_every_step_is_looked_at(vectorization: Any) -> None:
    def make() -> Odd:
        return Odd(lambda obs, r, term, trunc, info: (obs, r, term, info), since=4)

    stepped(make, vectorization, steps=3)
    refused(make, r"step\(\) returned a tuple of 4 values", vectorization, steps=4)


def test_training_and_evaluation_name_the_step() -> None:
    config = {"train_batch_size": 8, "minibatch_size": 4, "num_epochs": 1, "num_envs_per_env_runner": 2}
    algo = PPO(lambda: Odd(lambda obs, r, *rest: (obs, None, *rest), since=2), config)
    with pytest.raises(EnvironmentSetupError, match=r"^step 2, environment 0: Odd\.step\(\) returned None"):
        algo.train()
    with pytest.raises(EnvironmentSetupError, match=r"^evaluation step 2, environment 0: Odd\.step\(\) returned None"):
        algo.evaluate(1)


@pytest.mark.parametrize(
    ("reward", "number"),
    [(np.ones(1), 1.0), ([2.0], 2.0), (np.array(3), 3.0), (True, 1.0), (np.float16(0.5), 0.5), (4, 4.0)],
)
def test_one_number_in_any_form_is_a_reward(reward: Any, number: float) -> None:
    assert stepped(lambda: Odd(lambda obs, r, *rest: (obs, reward, *rest))).rewards == [number]


@pytest.mark.parametrize(
    ("reward", "error", "message"),
    [
        (10**400, EnvironmentSetupError, "step 1: a reward is too large for a float"),
        ([10**400], EnvironmentSetupError, "step 1, environment 0: .* a list of 1 values as its reward"),
        (np.inf, NonFiniteError, "step 1, environment 0: the reward is inf"),
        (1e300, EnvironmentSetupError, r"step 1, environment 0: the reward is 1e\+300, but .* beyond 3\.4e\+38"),
    ],
)
def test_a_reward_too_large_for_a_float(reward: Any, error: type[Exception], message: str) -> None:
    config = {"train_batch_size": 4, "minibatch_size": 4, "num_epochs": 1}
    with pytest.raises(error, match=message):
        PPO(lambda: Odd(lambda obs, r, *rest: (obs, reward, *rest)), config).train()


@pytest.mark.parametrize("false", [False, 0, 0.0, np.bool_(False), np.array(False), np.zeros(1, np.bool_), np.int8(0)])
def test_one_truth_value_in_any_form_is_a_flag(false: Any) -> None:
    def ends(obs: Any, r: Any, term: Any, trunc: Any, info: Any) -> Any:
        return obs, r, false, type(false)(1) if isinstance(false, int | float) else np.ones_like(false), info

    step = stepped(lambda: Odd(ends), steps=1)
    assert (step.terminated.tolist(), step.truncated.tolist()) == ([False], [True])


def test_a_list_of_five_is_a_step() -> None:
    assert stepped(lambda: Odd(lambda *returned: list(returned))).rewards.shape == (1,)


@pytest.mark.parametrize("info", [None, "words", 3, [1, 2]])
def test_no_dict_for_an_info_is_said_once_and_taken_as_empty(info: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "anyspace"):
        step = stepped(lambda: Odd(lambda *returned: (*returned[:4], info), lambda obs, _: (obs, info)), steps=3)
    assert step.infos == {}
    assert len(caplog.messages) == 1
    assert "Odd.reset() returned" in caplog.text
    assert "an info is a dict" in caplog.text


# ------------------------------------------------------------------------------- wrappers in between


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (STEPS[0][0], r"step\(\): TimeLimit around it cannot take apart what it returned \(.*got 4\).*old gym"),
        (STEPS[3][0], r"step\(\): TimeLimit around it cannot take apart what it returned"),
    ],
)
def test_wrappers_that_take_apart_too_little(change: Change, message: str) -> None:
    refused(lambda: TimeLimit(Odd(change), 5), message)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda obs, r, *rest: (obs, None, *rest), "returned None as its reward"),
        (lambda obs, r, term, trunc, info: (obs, r, "no", trunc, info), "returned 'no' .*as `terminated`"),
        (lambda obs, r, term, trunc, info: (obs, r, True, trunc, None), "returned None in the place of its info"),
    ],
)
def test_wrappers_that_trip_over_what_is_beneath(change: Change, message: str) -> None:
    refused(lambda: RecordEpisodeStatistics(Odd(change)), rf"step\(\) {message}")


class NoStep(gym.Env[Any, Any]):
    """Has no ``step`` of its own."""

    observation_space, action_space = BOX, Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        return np.zeros(3, np.float32), {}


@pytest.mark.parametrize("make", [NoStep, lambda: TimeLimit(NoStep(), 3)], ids=["bare", "wrapped"])
def test_a_step_that_is_not_there(make: Callable[[], gym.Env[Any, Any]]) -> None:
    message = r"^environment 0: NoStep\.step\(\) is not defined: write `def step\(self, action\)`\."
    with pytest.raises(EnvironmentSetupError, match=message):
        stepped(make)


def test_errors_of_environments_and_wrappers_stay_what_they_are() -> None:
    def fails(*returned: Any) -> Any:
        raise TypeError("too many values to unpack")

    with pytest.raises(TypeError, match=r"^too many values to unpack$"):
        stepped(lambda: TransformReward(Odd(fails), lambda reward: reward))
    with pytest.raises(ZeroDivisionError):
        stepped(lambda: TransformReward(Odd(), lambda reward: 1 / 0))


# ------------------------------------------------------------------------------- vector environments


def test_a_vector_environment_over_such_an_environment() -> None:
    for change, match in ((STEPS[0][0], "expected 5, got 4"), (STEPS[3][0], "non-iterable")):
        makers: list[Any] = [lambda change=change: Odd(change)]
        source = VectorSource(SyncVectorEnv(makers, autoreset_mode=AutoresetMode.SAME_STEP))
        source.reset(0)
        with pytest.raises(EnvironmentSetupError, match=rf"^SyncVectorEnv cannot take apart .*{match}.*terminated"):
            source.step(ACTION)


class OddVector(SyncVectorEnv):
    """Changes what its step returns."""

    change: Change
    result: Any = None

    def step(self, actions: Any) -> Any:
        return self.change(*super().step(actions))

    def reset(self, **arguments: Any) -> Any:
        return super().reset(**arguments) if self.result is None else self.result


def odd_vector(change: Change) -> OddVector:
    envs = OddVector([lambda: Odd(), lambda: Odd()], autoreset_mode=AutoresetMode.SAME_STEP)
    envs.change = change
    return envs


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda obs, r, *rest: (obs, np.ones((2, 3)), *rest),
            r"an array of shape \(2, 3\).*for each of 2 .*LinearReward",
        ),
        (lambda obs, r, *rest: (obs, None, *rest), "returned None as its rewards"),
        (lambda obs, r, *rest: (obs, r + 1j, *rest), "as its rewards"),
        (
            lambda obs, r, term, *rest: (obs, r, np.array(["no", "no"]), *rest),
            "as `terminated`, but it is True or False",
        ),
        (lambda obs, r, term, trunc, info: (obs, r, term, np.full(2, 2), info), "as `truncated`"),
        (lambda obs, r, *rest: (obs, r, *rest[:2]), "returned a tuple of 4 values"),
    ],
)
def test_values_of_vector_environments(change: Change, message: str) -> None:
    source = VectorSource(odd_vector(change))
    source.reset(0)
    with pytest.raises(EnvironmentSetupError, match=rf"^OddVector\.step\(\) .*{message}"):
        source.step(np.zeros(2, np.int64))


def test_other_forms_of_values_of_vector_environments() -> None:
    def change(obs: Any, r: Any, term: Any, trunc: Any, info: Any) -> Any:
        return obs, [[1.0], [2.0]], [0, 0], np.zeros((2, 1), np.uint8), [{"x": 1}, {"x": 2.5}]

    source = VectorSource(odd_vector(change))
    source.reset(0)
    step = source.step(np.zeros(2, np.int64))
    assert step.rewards.tolist() == [1.0, 2.0]
    assert (step.terminated.dtype, step.truncated.shape) == (np.bool_, (2,))
    assert step.infos["x"].tolist() == [1, 2.5]


def test_a_vector_environment_whose_reset_returns_no_pair() -> None:
    envs = odd_vector(lambda *returned: returned)
    envs.result = np.zeros((2, 3))
    with pytest.raises(EnvironmentSetupError, match=r"OddVector\.reset\(\) returned an array of shape \(2, 3\)"):
        VectorSource(envs).reset(0)


def test_environments_of_a_given_vector_environment_are_looked_at_themselves() -> None:
    def flags(obs: Any, r: Any, term: Any, trunc: Any, info: Any) -> Any:
        return obs, np.ones(1), "no", trunc, info

    envs = SyncVectorEnv([lambda: Odd(), lambda: Odd(flags)], autoreset_mode=AutoresetMode.SAME_STEP)
    source = make_source(EnvSpec(envs), 2)
    assert source.envs is envs
    source.reset(0)
    with pytest.raises(EnvironmentSetupError, match=r"^environment 1: Odd\.step\(\) returned 'no' .* as `terminated`"):
        source.step(np.zeros(2, np.int64))
    separate = make_separate_source(EnvSpec(envs), 2)
    separate.reset(0)
    with pytest.raises(EnvironmentSetupError, match=r"^environment 1: Odd\.step\(\) returned 'no' .* as `terminated`"):
        separate.step(np.zeros(2, np.int64))


# --------------------------------------------------------------------------------------- small integers


@pytest.mark.parametrize("vectorization", ["sync", "async"])
@pytest.mark.parametrize("where", ["middle", "end"])
def test_small_integers_do_not_wrap(vectorization: Any, where: str) -> None:
    """NumPy stacks int64 as int8 without a word, and 300 would become 44."""
    space = Dict(a=Box(-100, 100, (2,), np.int8), b=Discrete(3))

    def change(obs: Any, r: Any, term: Any, trunc: Any, info: Any) -> Any:
        return {"a": np.array([1, 300]), "b": 1}, r, where == "end", trunc, info

    with pytest.raises(ObservationError, match=r'environment 0: obs\["a"\]: expected values that int8 .*got 300'):
        stepped(lambda: Odd(change, space=space), vectorization)


def test_wider_integers_that_fit_are_taken() -> None:
    space = Box(-100, 100, (2,), np.int8)
    step = stepped(lambda: Odd(lambda obs, *rest: (np.array([-100, 99]), *rest), space=space), steps=1)
    assert step.obs.tolist() == [[-100, 99]]
    assert step.obs.dtype == np.int8


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "None"),
        (np.ones((2, 3)), "an array of shape (2, 3) (float64)"),
        ([1, 2], "a list of 2 values"),
        ({}, "an empty dict"),
        ("no", "'no' (str)"),
    ],
)
def test_values_in_a_few_words(value: Any, words: str) -> None:
    assert described(value) == words


# ------------------------------------------------------------------------------------------ sys.exit


class Quits(Samples):
    """Ends the program in a step, in a reset, or where it is made."""

    def __init__(self, where: str = "step"):
        super().__init__(BOX, Discrete(2))
        self.where = where
        if where == "made":
            sys.exit()

    def reset(self, **arguments: Any) -> Any:
        if self.where == "reset":
            raise SystemExit("the window was closed")
        return super().reset(**arguments)

    def step(self, action: Any) -> Any:
        if self.where == "step":
            sys.exit(0)
        return super().step(action)

    def action_masks(self) -> Any:
        if self.where == "action_masks":
            sys.exit(0)
        return [1, 1]


ENDED = r"ended the program \(sys\.exit\(\)\), which is not for an environment to decide"


@pytest.mark.parametrize("vectorization", ["sync", "async"])
@pytest.mark.parametrize("where", ["step", "reset", "action_masks"])
def test_an_environment_that_ends_the_program(where: str, vectorization: str) -> None:
    with pytest.raises(RuntimeError, match=rf"environment 0: Quits\.{where}\(\) {ENDED}") as ended:
        stepped(partial(Quits, where), vectorization)
    told = "".join(traceback.format_exception(ended.value))
    assert "sys.exit(0)" in told or "the window was closed" in told


def test_an_environment_that_ends_the_program_where_it_is_made() -> None:
    with pytest.raises(RuntimeError, match=rf"what makes Quits {ENDED}"):
        EnvSpec(Quits, {"where": "made"}).make()


def test_a_vector_environment_that_ends_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    source = VectorSource(SyncVectorEnv([partial(Quits, "nowhere")] * 2))
    monkeypatch.setattr(source.envs, "reset", lambda **_: sys.exit(1))
    with pytest.raises(RuntimeError, match=f"SyncVectorEnv {ENDED}"):
        source.reset(0)


class Stop(SystemExit):
    """Of the program's own."""


def test_whoever_else_ends_the_program_does_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(error: BaseException) -> Any:
        def made() -> Any:
            signal.raise_signal(signal.SIGTERM)
            raise error

        return EnvSpec(made).make()

    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
    try:
        with pytest.raises(SystemExit, match="7"):
            stop(RuntimeError())
    finally:
        signal.signal(signal.SIGTERM, before)
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        for error in (Stop(3), KeyboardInterrupt()):
            with pytest.raises(type(error)):
                stop(error)
    finally:
        signal.signal(signal.SIGTERM, before)
