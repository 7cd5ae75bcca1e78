"""Environments in processes of their own: errors arrive whole."""

from __future__ import annotations

import functools
import multiprocessing
import os
import signal
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

from anyspace import PPO
from anyspace.data import processes
from anyspace.data.environments import EnvSpec
from anyspace.data.sources import make_source
from anyspace.errors import ConfigError, EnvironmentSetupError
from tests.support.environments import Samples

PARENT = os.getpid()


class TwoParts(Exception):
    """Cannot be made from one argument, as Gymnasium would do."""

    def __init__(self, part: str, number: int):
        super().__init__(f"{part} {number}")
        self.part, self.number = part, number

    def __reduce__(self) -> Any:
        return TwoParts, (self.part, self.number)


class Fails(Samples):
    """Fails in its worker process: where it is made, or in its first step."""

    def __init__(self, error: BaseException | None = None, made: bool = False, code: int | None = None):
        super().__init__(Box(-1, 1, (1,)), Discrete(2))
        self.error, self.code = error, code
        if made and error is not None and os.getpid() != PARENT:
            raise error

    def step(self, action: Any) -> Any:
        if self.code is not None:
            os._exit(self.code)
        if self.error is not None:
            raise self.error
        return super().step(action)


def stepped(**arguments: Any) -> None:
    with closing(make_source(EnvSpec(Fails, arguments), 2, "async")) as source:
        source.reset(0)
        source.step(np.zeros(2, np.int64))


class Dies(Fails):
    """Ends its worker process where it is made."""

    def __init__(self) -> None:
        super().__init__()
        if os.getpid() != PARENT:
            os._exit(3)


@pytest.mark.parametrize(("method", "advice"), [("fork", ""), ("spawn", "under a main guard, `if __name__")])
def test_a_process_that_cannot_begin_says_what_to_do(method: str, advice: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new one that imports a program without a main guard ends just so. It seems alive for a moment after its end."""
    monkeypatch.setattr("multiprocessing.get_start_method", lambda: method)
    monkeypatch.setattr("multiprocessing.process.BaseProcess.is_alive", lambda process: True)
    with pytest.raises(EnvironmentSetupError, match=r"process ended with exit code 3 before .*'sync'") as caught:
        make_source(EnvSpec(Dies), 2, "async")
    assert advice in str(caught.value)
    assert ("main guard" in str(caught.value)) == bool(advice)


def test_a_process_that_may_start_none_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(multiprocessing.current_process()._config, "daemon", True)  # type: ignore[attr-defined]
    with pytest.raises(EnvironmentSetupError, match=r"those of a multiprocessing\.Pool are\. Use vectorization='sync'"):
        stepped()


def test_an_error_keeps_its_type_its_parts_and_its_traceback() -> None:
    with pytest.raises(TwoParts, match=r"^gear 3") as caught:
        stepped(error=TwoParts("gear", 3))
    assert (caught.value.part, caught.value.number) == ("gear", 3)
    assert "In the process of environment 0:" in caught.value.__notes__[0]
    assert "raise self.error" in caught.value.__notes__[0]


def test_an_error_that_cannot_be_sent_is_told_by_its_name() -> None:
    class Local(Exception):
        pass

    with pytest.raises(RuntimeError, match=r"^Local: gear") as caught:
        stepped(error=Local("gear"))
    assert "raise self.error" in caught.value.__notes__[0]


def test_an_environment_that_cannot_be_made_in_its_process() -> None:
    with pytest.raises(ConnectionError, match=r"^no simulator"):
        stepped(error=ConnectionError("no simulator"), made=True)


def _unreachable(files: tuple[str, ...]) -> Fails:
    """Return an environment, made where the first file is not there."""
    if Path(files[0]).exists():
        raise ConnectionRefusedError("no simulator")
    return Fails()


def test_a_lost_connection_of_the_environment_that_is_looked_at_first_is_told_as_it_is(tmp_path: Path) -> None:
    """It is made in this process; at first, and where environments are made again."""
    gone = tmp_path / "gone"
    make = functools.partial(_unreachable, (str(gone),))
    with closing(processes.Processes([make, make], shared_memory=True)) as envs:
        envs.reset(seed=1)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(processes.Processes, "_poll_pipe_envs", _interrupted)
            with pytest.raises(KeyboardInterrupt):
                envs.step(np.zeros(2, np.int64))
        gone.touch()
        for start in (envs.reset, lambda: processes.Processes([make], shared_memory=True)):
            with pytest.raises(ConnectionRefusedError, match=r"^no simulator"):
                start()


def test_a_process_that_ends() -> None:
    with pytest.raises(EnvironmentSetupError, match=r"^environment \d: its process ended with exit code 7"):
        stepped(code=7)


class Stumbles(Samples):
    """Fails in its second step, once: a file remembers it. Its observations come from its own random source."""

    def __init__(self, file: str):
        super().__init__(Box(-1, 1, (1,)), Discrete(2))
        self.file, self.taken = Path(file), 0

    def reset(self, **arguments: Any) -> Any:
        super().reset(**arguments)
        return self.np_random.random(1).astype(np.float32), {}

    def step(self, action: Any) -> Any:
        self.taken += 1
        if self.taken == 2 and not self.file.exists():
            self.file.touch()
            raise ConnectionError("lost")
        return super().step(action)


def test_environments_are_made_again_after_an_error_or_an_interrupt(tmp_path: Path) -> None:
    """And the random sources of new ones follow from the seed."""
    actions, again = np.zeros(2, np.int64), []
    for file in "ab":
        with closing(make_source(EnvSpec(Stumbles, {"file": str(tmp_path / file)}), 2, "async")) as source:
            envs: Any = source.envs
            first = source.reset(3)[0]
            source.step(actions)
            with pytest.raises(ConnectionError):
                source.step(actions)
            again.append(source.reset()[0])
            assert source.step(actions).obs.shape == (2, 1)
            kept = [process.pid for process in envs.processes]
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(processes.Processes, "_poll_pipe_envs", _interrupted)
                with pytest.raises(KeyboardInterrupt):
                    source.step(actions)
            later = source.reset()[0]
            source.step(actions)
            source.reset()
            assert not {process.pid for process in envs.processes} & {*kept}
    np.testing.assert_array_equal(*again)
    assert len({float(one[0, 0]) for one in (first, again[0], later)}) == 3


def test_a_run_goes_on_after_an_error_and_closes_at_once_after_an_interrupt(tmp_path: Path) -> None:
    settings = {"train_batch_size": 8, "minibatch_size": 8, "num_envs_per_env_runner": 2, "vectorization": "async"}
    algorithm = PPO(Stumbles, settings, preset="none", env_config={"file": str(tmp_path / "told")})
    with closing(algorithm):
        with pytest.raises(ConnectionError):
            algorithm.train()
        assert algorithm.train()["timesteps_total"] == 8
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(processes.Processes, "_poll_pipe_envs", _interrupted)
            with pytest.raises(KeyboardInterrupt):
                algorithm.train()


def _interrupted(*_: Any) -> bool:
    raise KeyboardInterrupt


class Hangs(Samples):
    """Waits for something that never comes: in its constructor, a reset or a step of one of the environments."""

    def __init__(self, where: str, stopped: bool = False):
        super().__init__(Box(-1, 1, (1,)), Discrete(2))
        self.where, self.stopped = where, stopped
        self.wait("making it")

    def wait(self, where: str) -> None:
        if where == self.where and os.getpid() != PARENT:
            if self.stopped:
                os.kill(os.getpid(), signal.SIGSTOP)
            time.sleep(100)

    def reset(self, **arguments: Any) -> Any:
        self.wait("reset()")
        return super().reset(**arguments)

    def step(self, action: Any) -> Any:
        self.wait("step()")
        return super().step(action)


@pytest.mark.parametrize("where", ["making it", "reset()", "step()"])
def test_an_environment_that_hangs_is_told_with_its_place(where: str) -> None:
    began = time.monotonic()

    def stepped() -> None:
        with closing(make_source(EnvSpec(Hangs, {"where": where}), 2, "async", 0.4)) as source:
            source.reset(0)
            source.step(np.zeros(2, np.int64))

    with pytest.raises(EnvironmentSetupError) as caught:
        stepped()
    assert f"environment 0: {where} has not returned after 0.4 s, the time that config key `env_timeout_s`" in str(
        caught.value
    )
    assert "In the process of environment 0, where it is now:" in caught.value.__notes__[0]
    assert "time.sleep(100)" in caught.value.__notes__[0]
    assert time.monotonic() - began < 60


def test_a_process_that_answers_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_GRACE", 0.2)
    source = make_source(EnvSpec(Hangs, {"where": "step()", "stopped": True}), 2, "async", 0.4)
    source.reset(0)
    with pytest.raises(EnvironmentSetupError, match=r"environment 0: .* Its process answers nothing at all"):
        source.step(np.zeros(2, np.int64))
    source.close()


def test_the_time_limit_is_a_key_and_what_hangs_ends_a_run_that_is_saved(tmp_path: Path) -> None:
    """PPO is told of it as of any other fault of an environment, and the processes are gone."""
    settings = {"train_batch_size": 8, "minibatch_size": 8, "num_envs_per_env_runner": 2, "vectorization": "async"}
    algorithm = PPO(Hangs, settings, preset="none", env_config={"where": "step()"}, env_timeout_s=0.3)
    with closing(algorithm), pytest.raises(EnvironmentSetupError, match=r"step \d, environment 0: step\(\) has not"):
        algorithm.train()
    algorithm = PPO(Hangs, settings, preset="none", env_config={"where": "step()"}, env_timeout_s=0.3)
    with closing(algorithm), pytest.raises(EnvironmentSetupError, match=r"evaluation step \d, environment 0: step\(\)"):
        algorithm.evaluate(2)
    with pytest.raises(ConfigError, match="env_timeout_s"):
        PPO("CartPole-v1", env_timeout_s=0.0, preset="none")
