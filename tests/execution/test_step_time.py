from __future__ import annotations

import os
import time
from contextlib import closing
from typing import Any

import pytest

from anyspace import PPO
from anyspace.execution import step_time
from anyspace.execution.fleet import LocalFleet
from anyspace.policy.policy import Policy
from tests.execution.test_worker import Odd


class Slow(Odd):
    def step(self, action: Any) -> Any:
        time.sleep(0.005)
        return super().step(action)


@pytest.mark.parametrize(("env", "quick"), [("CartPole-v1", True), (Slow, False)])
def test_what_pays_goes_by_the_time_of_a_step(env: Any, quick: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_time, "SECONDS", 0.05)
    monkeypatch.setattr(step_time, "QUICK", 4e-3)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    settings = {"num_envs_per_env_runner": 2, "model": {"fcnet_hiddens": [4]}}
    with closing(PPO(env, settings, preset="none")) as algorithm:
        found = step_time.advice_on_workers(algorithm.fleet)
    assert found is not None
    assert found.startswith("a step of 2 environments takes ")
    assert ("one process is quickest" in found) is quick
    assert ("rollout_fragment_length" in found) is not quick


@pytest.mark.parametrize(
    ("vectorization", "milliseconds", "cores", "quick"),
    [("sync", 1.5, 2, True), ("sync", 2.5, 2, False), ("sync", 2.5, 1, True), ("async", 1.5, 2, False)],
)
def test_processes_pay_by_the_time_of_one_environment(
    vectorization: str, milliseconds: float, cores: int, quick: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = milliseconds / 1000
    monkeypatch.setattr(step_time, "_seconds_of_a_step", lambda fleet: (seconds, seconds))
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    settings = {"num_envs_per_env_runner": 2, "vectorization": vectorization, "model": {"fcnet_hiddens": [4]}}
    with closing(PPO("CartPole-v1", settings, preset="none")) as algorithm:
        assert ("one process is quickest" in str(step_time.advice_on_workers(algorithm.fleet))) is quick


@pytest.mark.parametrize(
    ("seconds", "told"), [(4.3e-5, "0.043 ms"), (2.34e-3, "2.3 ms"), (0.6712, "671 ms"), (12.0, "12,000 ms")]
)
def test_times_are_told_without_powers_of_ten(seconds: float, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_time, "_seconds_of_a_step", lambda fleet: (seconds, seconds))
    with closing(PPO("CartPole-v1", {"model": {"fcnet_hiddens": [4]}}, preset="none")) as algorithm:
        assert f"takes {told}: " in str(step_time.advice_on_workers(algorithm.fleet))


def test_the_time_of_acting_is_no_time_of_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_time, "SECONDS", 0.05)
    with closing(PPO("CartPole-v1", {"model": {"fcnet_hiddens": [4]}}, preset="none")) as algorithm:
        assert isinstance(algorithm.fleet, LocalFleet)
        envs, acting = algorithm.fleet.collector.source.envs, Policy.acting

        def slowly(*given: Any, **named: Any) -> Any:  # once for eight steps
            time.sleep(0.1)
            return acting(*given, **named)

        monkeypatch.setattr(Policy, "acting", slowly)
        found = step_time.advice_on_workers(algorithm.fleet)
        assert algorithm.fleet.collector.source.envs is envs
    assert found is not None
    assert "one process is quickest" in found


def test_workers_are_not_timed() -> None:
    settings = {"num_env_runners": 1, "fleet": "serial", "model": {"fcnet_hiddens": [4]}}
    with closing(PPO("CartPole-v1", settings, preset="none")) as algorithm:
        assert step_time.advice_on_workers(algorithm.fleet) is None
