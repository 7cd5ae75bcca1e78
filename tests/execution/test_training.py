"""Rounds of training: what they gather, in which order things happen, and what they report."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode

from anyspace import PPO
from anyspace.algorithms.ppo import PPOConfig
from anyspace.errors import NonFiniteError
from anyspace.execution.learner import Losses
from anyspace.policy.batch import Batch
from anyspace.policy.policy import Policy
from tests.support.environments import Script, ScriptVector
from tests.support.tasks import Countdown, Endless

FAST: dict[str, Any] = {
    "train_batch_size": 24,
    "minibatch_size": 8,
    "num_epochs": 1,
    "seed": 0,
    "model": {"fcnet_hiddens": [8]},
}


@dataclass(frozen=True)
class GradualConfig(PPOConfig):
    """Gathers eight steps at a time, 20 or more to an iteration."""

    @property
    def steps_per_round(self) -> int:
        return 8

    @property
    def steps_per_iteration(self) -> int:
        return 20


class Gradual(PPO):
    """PPO in small rounds that notes what it sees."""

    config_class = GradualConfig

    def setup(self) -> None:
        super().setup()
        self.seen: list[dict[str, Any]] = []

    def parts(self) -> dict[str, Any]:
        return {**super().parts(), "seen": self.seen}

    def updates(self, policy: Any, trajectory: Any) -> Any:
        rate = self.learner.learning_rates()["policy"]
        self.seen.append(
            {
                "steps": trajectory.num_steps,
                "timestep": policy.timestep,
                "lr": rate,
                "total": self.timesteps_total,
                "filter": next((int(n) for name, n in policy.filter.state().items() if name.endswith(".n")), None),
                "first": trajectory.obs[0][0, 0].copy(),
                "last": trajectory.obs[0][-1, 0].copy(),
            }
        )
        overall = yield from super().updates(policy, trajectory)
        return {**overall, "round": len(self.seen), "a_tensor": torch.tensor(0.5), "a_number": np.float32(0.25)}


def test_an_iteration_runs_rounds_until_there_are_enough_steps() -> None:
    algorithm = Gradual(Countdown, FAST, env_config={"horizon": 1000}, preset="none")
    result = algorithm.train()
    assert [round_["steps"] for round_ in algorithm.seen] == [8, 8, 8], "16 are too few, 24 are enough"
    assert result["timesteps_this_iter"] == result["timesteps_total"] == algorithm.timesteps_total == 24
    assert result["training_iteration"] == algorithm.counters.training_iteration == 1
    assert algorithm.counters.vector_steps == 24
    assert [round_["total"] for round_ in algorithm.seen] == [0, 8, 16]
    for before, after in zip(algorithm.seen, algorithm.seen[1:], strict=False):
        np.testing.assert_array_equal(before["last"], after["first"], err_msg="rounds go on where the one before ended")
    assert algorithm.train()["timesteps_total"] == 48


def test_schedules_and_exploration_go_by_the_steps_before_each_round() -> None:
    algorithm = Gradual("CartPole-v1", FAST, lr_schedule=[[0, 1e-3], [10, 0.0]], preset="none")
    told: list[int] = []
    algorithm.policy.exploration.at = told.append  # type: ignore[method-assign]
    result = algorithm.train()
    assert [round_["timestep"] for round_ in algorithm.seen] == [0, 8, 16]
    assert told == [0, 8, 16]
    assert [round_["lr"] for round_ in algorithm.seen] == pytest.approx([1e-3, 2e-4, 0])
    assert result["learner"]["lr"] == 0


def test_the_filter_takes_in_a_round_after_it_was_learnt_from() -> None:
    algorithm = Gradual(Endless, FAST, env_config={"horizon": 1000}, observation_filter="MeanStdFilter", preset="none")
    algorithm.train()
    assert [round_["filter"] for round_ in algorithm.seen] == [0, 8, 16]
    assert 24 in [int(n) for name, n in algorithm.policy.filter.state().items() if name.endswith(".n")]


def test_reports_are_of_all_rounds_and_what_a_round_returns_of_the_latest() -> None:
    class Marked(Gradual):
        def losses(self, policy: Any, batch: Any) -> Any:
            found = super().losses(policy, batch)
            return Losses(found.by_group, {**found.metrics, "which": float(len(self.seen))}, found.rows)

    result = Marked(Countdown, FAST, minibatch_size=4, preset="none")
    learner = result.train()["learner"]
    assert learner["which"] == 2, "the mean of rounds 1, 2 and 3"
    assert learner["round"] == 3
    assert (learner["a_tensor"], learner["a_number"]) == (0.5, 0.25)
    assert {type(value) for name, value in learner.items() if name != "model"} == {float}


def test_infos_and_episodes_are_of_all_rounds() -> None:
    class Tells(Countdown):
        def step(self, action: Any) -> Any:
            obs, reward, terminated, truncated, _ = super().step(action)
            return obs, reward, terminated, truncated, {"count": self.t}

    result = Gradual(Tells, FAST, preset="none").train()
    assert result["env"]["count"] == pytest.approx(np.mean([1 + t % 5 for t in range(24)]))
    assert result["episodes_this_iter"] == result["episodes_total"] == 24 // 5


def test_one_round_is_an_iteration_unless_said_otherwise() -> None:
    algorithm = PPO(Endless, FAST, preset="none")
    assert (algorithm.config.steps_per_round, algorithm.config.steps_per_iteration) == (24, 0)
    assert algorithm.train()["timesteps_this_iter"] == 24


def test_a_round_without_gradient_steps_is_no_error() -> None:
    class Waiting(PPO):
        """Learns in every second iteration."""

        def updates(self, policy: Any, trajectory: Any) -> Any:
            if self.training_iteration % 2:
                return (yield from super().updates(policy, trajectory))
            return {"waited": 1}

    algorithm = Waiting(Endless, FAST, preset="none")
    weights = {name: value.copy() for name, value in algorithm.policy.weights().items()}
    idle = algorithm.train()
    assert set(idle["learner"]) == {"waited", "lr", "model"}
    assert idle["learner"]["waited"] == 1.0
    assert idle["timesteps_total"] == 24
    for name, value in algorithm.policy.weights().items():
        if name.startswith("model/"):
            np.testing.assert_array_equal(value, weights[name])
    busy = algorithm.train()
    assert {"total_loss", "policy_loss", "vf_loss", "kl", "lr"} <= set(busy["learner"])
    assert "waited" not in busy["learner"]
    assert algorithm.train()["learner"].keys() == idle["learner"].keys()


def test_updates_may_return_nothing() -> None:
    class Silent(PPO):
        def updates(self, policy: Any, trajectory: Any) -> Any:
            yield from super().updates(policy, trajectory)

    assert "entropy" not in Silent(Endless, FAST, preset="none").train()["learner"]


class Rare(PPO):
    """Yields single batches; every second gradient step reports one number more."""

    wrong: Any = None

    def setup(self) -> None:
        super().setup()
        self.calls, self.rare = 0, []  # type: ignore[var-annotated]

    def parts(self) -> dict[str, Any]:
        return {**super().parts(), "calls": self.calls, "rare": self.rare}

    def updates(self, policy: Any, trajectory: Any) -> Any:
        inner = super().updates(policy, trajectory)
        steps = next(inner)
        for order in steps.order:
            result = yield steps.rows.take(torch.from_numpy(order))
            self.rare.append(result.metrics.get("rare"))
        return {"sent": len(self.rare)}

    def losses(self, policy: Any, batch: Any) -> Any:
        losses = super().losses(policy, batch)
        self.calls += 1
        metrics = {**losses.metrics, "plain": 0.5, "whole": 3}
        if self.calls % 2 == 0:
            metrics["rare"] = self.calls if self.wrong is None else self.wrong
        return losses.by_group, metrics


def test_numbers_that_only_some_steps_report_and_plain_ones() -> None:
    algorithm = Rare(Endless, FAST, minibatch_size=4, preset="none")
    learner = algorithm.train()["learner"]
    assert learner["sent"] == 6
    assert learner["rare"] == (2 + 4 + 6) / 3
    assert (learner["plain"], learner["whole"]) == (0.5, 3.0)
    assert algorithm.rare == [None, 2, None, 4, None, 6]
    assert {type(value) for name, value in learner.items() if name != "model"} == {float}


def test_the_same_numbers_of_steps_in_one_call() -> None:
    class AtOnce(Rare):
        def updates(self, policy: Any, trajectory: Any) -> Any:
            return PPO.updates(self, policy, trajectory)

    learner = AtOnce(Endless, FAST, minibatch_size=4, preset="none").train()["learner"]
    assert learner["rare"] == (2 + 4 + 6) / 3
    assert (learner["plain"], learner["whole"]) == (0.5, 3.0)


def test_a_number_that_is_not_finite_names_iteration_and_step() -> None:
    class Bad(Rare):
        wrong = float("nan")

    with pytest.raises(NonFiniteError, match=r"iteration 1, gradient step 2 of 6: rare is nan"):
        Bad(Endless, FAST, minibatch_size=4, preset="none").train()


def test_a_number_of_a_round_that_is_not_finite_is_named() -> None:
    class Bad(PPO):
        def updates(self, policy: Any, trajectory: Any) -> Any:
            yield from super().updates(policy, trajectory)
            return {"share": float("nan")}

    with pytest.raises(NonFiniteError, match=r"iteration 1: .*updates\(\) reports that share is nan\."):
        Bad(Endless, FAST, preset="none").train()


def test_a_weight_that_became_infinite_is_found() -> None:
    class Explodes(PPO):
        def losses(self, policy: Any, batch: Any) -> Any:
            found = super().losses(policy, batch)
            return {"policy": found.by_group["policy"]}, found.metrics

        def updates(self, policy: Any, trajectory: Any) -> Any:
            overall = yield from super().updates(policy, trajectory)
            with torch.no_grad():
                policy.model.logits.bias[0] = float("inf")
            return overall

    with pytest.raises(NonFiniteError, match=r"iteration 1: a weight became NaN or infinite in the last gradient step"):
        Explodes(Endless, FAST, preset="none").train()


def test_losses_are_a_pair_to_those_who_take_them_apart() -> None:
    class Half(PPO):
        def losses(self, policy: Policy, batch: Batch) -> Any:
            losses, metrics = super().losses(policy, batch)
            return {name: 0.5 * loss for name, loss in losses.items()}, {**metrics, "half": 1.0}

    with closing(Half("CartPole-v1", FAST, preset="none")) as algorithm:
        assert algorithm.train()["learner"]["half"] == 1.0


def test_a_round_of_steps_that_a_vector_environment_takes_to_reset_itself() -> None:
    """There is nothing to learn from, and nothing fails."""
    envs = ScriptVector([Script(0)], AutoresetMode.NEXT_STEP)
    settings = {**FAST, "train_batch_size": 1, "minibatch_size": None}
    with closing(PPO(envs, settings, preset="none")) as algorithm:
        results = [algorithm.train() for _ in range(12)]
    empty = [result for result in results if result["timesteps_this_iter"] == 0]
    assert len(empty) > 1
    assert all("total_loss" not in result["learner"] for result in empty)
    assert "total_loss" in results[-1]["learner"]
