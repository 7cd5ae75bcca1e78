from __future__ import annotations

from contextlib import closing
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from anyspace import A2C
from anyspace.algorithms.a2c import A2CConfig
from anyspace.errors import ConfigError
from anyspace.execution.learner import Steps
from tests.support.hashes import VECTOR, sampled
from tests.support.keys import fingerprint

ENV = sampled(VECTOR, spaces.Discrete(3))
SMALL: dict[str, Any] = {"seed": 0, "num_envs_per_env_runner": 2, "train_batch_size": 20, "lr": 1e-2}
SMALL |= {"min_sample_timesteps_per_iteration": 1, "model": {"fcnet_hiddens": [8]}}
LSTM = {"fcnet_hiddens": [8], "use_lstm": True, "lstm_cell_size": 4, "max_seq_len": 4}


def test_the_defaults_are_those_of_rllib() -> None:
    config = A2CConfig()
    expected = {
        **{"lr": 1e-4, "lambda_": 1.0, "use_gae": True, "use_critic": True, "grad_clip": 40.0, "vf_loss_coeff": 0.5},
        **{"entropy_coeff": 0.01, "entropy_coeff_schedule": None, "microbatch_size": None, "train_batch_size": 32},
        **{"rollout_fragment_length": "auto", "gamma": 0.99, "lr_schedule": None},
    }
    assert {key: getattr(config, key) for key in expected} == expected


@pytest.mark.parametrize("grad_clip", [None, 0.1])
@pytest.mark.parametrize("model", [{"fcnet_hiddens": [8]}, LSTM], ids=["dense", "lstm"])
def test_gradients_of_parts_are_summed_to_one_step(model: dict[str, Any], grad_clip: float | None) -> None:
    weights, results = [], []
    for size in (None, 7):
        settings = {**SMALL, "model": model, "microbatch_size": size, "grad_clip": grad_clip}
        with closing(A2C(ENV, settings, preset="none")) as algorithm:
            before = algorithm.policy.runtime.parameters(algorithm.policy.model)
            result = algorithm.train()["learner"]
            after = algorithm.policy.runtime.parameters(algorithm.policy.model)
            steps = {float(value) for name, value in algorithm.learner.state().items() if name.endswith("/step")}
        assert steps == {1.0}, "one step in all"
        weights.append(np.concatenate([(after[name] - before[name]).reshape(-1) for name in after]))
        results.append({name: value for name, value in result.items() if name != "model"})
    # Adam divides by the size of a gradient, so that its rounding shows.
    np.testing.assert_allclose(weights[1], weights[0], rtol=1e-3, atol=1e-5)
    assert ("grad_norm" in results[0]) is (grad_clip is not None)
    assert results[1] == pytest.approx(results[0], rel=1e-4, abs=1e-6)


def test_parts_hold_every_row_once() -> None:
    with closing(A2C(ENV, SMALL, microbatch_size=6, preset="none")) as algorithm:
        steps = next(algorithm.updates(algorithm.policy, algorithm.fleet.gather(20)))
    assert isinstance(steps, Steps)
    assert steps.summed
    assert steps.counted.sum(axis=1).max() == 6
    assert sorted(steps.order[steps.counted]) == list(range(20))


def test_steps_follow_each_other_unless_they_are_summed() -> None:
    with closing(A2C(ENV, SMALL, microbatch_size=6, preset="none")) as algorithm:
        steps = next(algorithm.updates(algorithm.policy, algorithm.fleet.gather(20)))
        assert isinstance(steps, Steps)
        algorithm.learner.steps(Steps(steps.rows, steps.order, steps.counted))
        found = {float(value) for name, value in algorithm.learner.state().items() if name.endswith("/step")}
    assert found == {len(steps.order)}


def test_schedules_move_with_the_sampled_steps() -> None:
    schedules = {"lr_schedule": [[0, 1e-3], [40, 0.0]], "entropy_coeff_schedule": [[0, 0.2], [20, 0.1]]}
    with closing(A2C(ENV, SMALL, **schedules, preset="none")) as algorithm:
        results = [algorithm.train()["learner"] for _ in range(3)]
    assert [result["lr"] for result in results] == pytest.approx([1e-3, 5e-4, 0])
    assert [result["entropy_coeff"] for result in results] == pytest.approx([0.2, 0.1, 0.1])


def test_the_reported_terms_are_means() -> None:
    with closing(A2C(ENV, SMALL, preset="none")) as algorithm:
        batch = next(algorithm.updates(algorithm.policy, algorithm.fleet.gather(20)))
    found = algorithm.losses(algorithm.policy, batch)
    terms = {name: float(value.detach()) for name, value in found.metrics.items()}  # type: ignore[union-attr]
    total = terms["policy_loss"] + 0.5 * terms["vf_loss"] - 0.01 * terms["entropy"]
    assert float(found.by_group["policy"].detach()) == pytest.approx(20 * total, rel=1e-5)


def test_without_a_critic_whole_episodes_are_collected() -> None:
    with closing(A2C(ENV, SMALL, use_critic=False, preset="none")) as algorithm:
        config = algorithm.config
        assert (config.use_gae, config.batch_mode) == (False, "complete_episodes")
        assert "vf_loss" not in algorithm.train()["learner"]
    with pytest.raises(ConfigError, match=r"`use_critic` is False.*complete_episodes"):
        A2C(ENV, use_critic=False, batch_mode="truncate_episodes", preset="none")


WHOLE = {"batch_mode": "complete_episodes"}


@pytest.mark.parametrize(
    ("key", "context", "first", "second"),
    [
        ("vf_loss_coeff", {"grad_clip": 0.01}, 0.1, 1.0),
        ("entropy_coeff", {}, 0.0, 0.5),
        ("entropy_coeff_schedule", {}, None, [(0, 1.0), (40, 0.0)]),
        ("lambda_", {}, 0.1, 1.0),
        ("use_critic", {**WHOLE, "use_gae": False}, True, False),
        ("grad_clip", {}, None, 0.01),
        ("microbatch_size", {"grad_clip": 0.01}, 3, 7),
        ("batch_mode", {}, "truncate_episodes", "complete_episodes"),
        ("lr", {}, 1e-3, 1e-2),
        ("min_sample_timesteps_per_iteration", {}, 1, 30),
    ],
)
def test_a_key_has_an_effect(key: str, context: dict[str, Any], first: Any, second: Any) -> None:
    found = [fingerprint(A2C, ENV, {**SMALL, **context, key: value}) for value in (first, second)]
    assert found[0] != found[1]
