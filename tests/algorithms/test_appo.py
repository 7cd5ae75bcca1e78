from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from anyspace import APPO
from anyspace.algorithms.appo import APPOConfig
from anyspace.errors import ConfigError
from anyspace.models.runtime import NumpyArray
from tests.support.hashes import VECTOR, sampled
from tests.support.keys import fingerprint

ENV = sampled(VECTOR, spaces.Discrete(3))
SMALL: dict[str, Any] = {"seed": 0, "num_envs_per_env_runner": 2, "train_batch_size": 20, "lr": 1e-2}
SMALL |= {"min_sample_timesteps_per_iteration": 1, "rollout_fragment_length": "auto", "model": {"fcnet_hiddens": [8]}}
LATE = {"target_network_update_freq": 1000}


def weights(algorithm: Any, pipeline: Any) -> NumpyArray:
    found = algorithm.policy.runtime.parameters(pipeline.model)
    return np.concatenate([found[name].reshape(-1) for name in sorted(found)])


def test_the_defaults_are_those_of_rllib() -> None:
    config = APPOConfig()
    expected = {
        **{"lr": 5e-4, "train_batch_size": 500, "rollout_fragment_length": 50, "grad_clip": 40.0, "clip_param": 0.4},
        **{"use_kl_loss": False, "kl_coeff": 1.0, "kl_target": 0.01, "vf_loss_coeff": 0.5, "entropy_coeff": 0.01},
        **{"tau": 1.0, "target_network_update_freq": 1, "replay_buffer_num_slots": 100, "replay_proportion": 0.0},
        **{"opt": "adam", "vtrace_clip_rho_threshold": 1.0, "vtrace_clip_pg_rho_threshold": 1.0},
    }
    assert {key: getattr(config, key) for key in expected} == expected


@pytest.mark.parametrize(
    ("every", "moved"), [(1, [1, 1, 1, 1]), (40, [0, 1, 0, 1]), (50, [0, 0, 1, 0]), (1000, [0, 0, 0, 0])]
)
def test_the_target_follows_as_often_as_it_is_told(every: int, moved: list[int]) -> None:
    with closing(APPO(ENV, SMALL, target_network_update_freq=every, preset="none")) as algorithm:
        np.testing.assert_array_equal(weights(algorithm, algorithm.target), weights(algorithm, algorithm.policy))
        for expected in moved:
            before = weights(algorithm, algorithm.target)
            algorithm.train()
            target, policy = weights(algorithm, algorithm.target), weights(algorithm, algorithm.policy)
            assert np.array_equal(target, policy if expected else before)
            assert not np.array_equal(policy, before)


def test_the_target_follows_as_far_as_it_is_told() -> None:
    with closing(APPO(ENV, SMALL, tau=0.25, preset="none")) as algorithm:
        before = weights(algorithm, algorithm.target)
        algorithm.train()
        expected = before + 0.25 * (weights(algorithm, algorithm.policy) - before)
        np.testing.assert_allclose(weights(algorithm, algorithm.target), expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("measured", "expected"), [(0.021, 1.5), (0.02, 1.0), (0.005, 1.0), (0.0049, 0.5)])
def test_the_kl_weight_adapts_when_the_target_moves(measured: float, expected: float) -> None:
    class Measured(APPO):
        def losses(self, policy: Any, batch: Any) -> Any:
            found = super().losses(policy, batch)
            return found.by_group, {**found.metrics, "kl": measured}

    settings = {**SMALL, "use_kl_loss": True, "kl_target": 0.01}
    with closing(Measured(ENV, settings, target_network_update_freq=40, preset="none")) as algorithm:
        assert algorithm.train()["learner"]["kl_coeff"] == 1.0
        assert algorithm.train()["learner"]["kl_coeff"] == pytest.approx(expected)


@pytest.mark.parametrize(("measured", "expected"), [((0.05, 0.0, 0.0), 1.0), ((0.0, 0.05, 0.05), 1.5)])
def test_the_kl_of_all_batches_of_a_round_counts(measured: tuple[float, ...], expected: float) -> None:
    """A new batch and two earlier ones: the mean of each one's latest gradient step."""

    told: list[float] = []

    class Measured(APPO):
        def losses(self, policy: Any, batch: Any) -> Any:
            found = super().losses(policy, batch)
            return found.by_group, {**found.metrics, "kl": told.pop(0)}

    settings = {**SMALL, "use_kl_loss": True, "kl_target": 0.01, "replay_proportion": 2.0, "num_epochs": 2}
    with closing(Measured(ENV, settings, target_network_update_freq=40, preset="none")) as algorithm:
        told += [0.0] * 6
        algorithm.train()
        told[:] = [value for latest in measured for value in (0.5, latest)]
        assert algorithm.train()["learner"]["kl_coeff"] == pytest.approx(expected)
        assert not told


def test_the_kl_is_to_the_target() -> None:
    with closing(APPO(ENV, SMALL, **LATE, use_kl_loss=True, preset="none")) as algorithm:
        found = [algorithm.train()["learner"]["kl"] for _ in range(3)]
    assert found[0] == pytest.approx(0, abs=1e-7)
    assert 0 < found[1] < found[2]


@pytest.mark.parametrize(
    ("given", "fitted"),
    [
        ({"kl_coeff": 0.5}, {"use_kl_loss": True}),
        ({"kl_target": 0.5}, {"use_kl_loss": True}),
        ({"gamma": 0.5}, {"use_kl_loss": False}),
    ],
)
def test_a_key_of_the_penalty_switches_it_on(given: dict[str, Any], fitted: dict[str, Any]) -> None:
    with closing(APPO(ENV, given, preset="none")) as algorithm:
        assert {key: getattr(algorithm.config, key) for key in fitted} == fitted


def test_target_and_weight_of_the_penalty_come_back_from_checkpoints(tmp_path: Path) -> None:
    settings = {**SMALL, **LATE, "kl_coeff": 0.5, "replay_proportion": 1.0, "store_buffer_in_checkpoints": True}
    with closing(APPO(ENV, settings, preset="none")) as algorithm:
        for _ in range(2):
            algorithm.train()
        algorithm.kl_coeff.assign(0.125)
        algorithm.save(tmp_path)
        assert not np.array_equal(weights(algorithm, algorithm.target), weights(algorithm, algorithm.policy))
        trajectory = algorithm.fleet.gather(20)
        with closing(APPO.load(tmp_path, env=ENV)) as loaded:
            assert isinstance(loaded, APPO)
            assert float(loaded.kl_coeff) == 0.125
            for found, one in ((loaded.target, algorithm.target), (loaded.policy, algorithm.policy)):
                np.testing.assert_array_equal(weights(loaded, found), weights(algorithm, one))
            # What is learnt from the same steps is the same, earlier ones among them.
            losses = []
            for each in (algorithm, loaded):
                each.policy.runtime.seed(1)
                updates = each.updates(each.policy, trajectory)
                result = each.learner.step(next(updates))
                losses.append(float(each.learner.step(updates.send(result)).metrics["total_loss"]))
            assert losses[0] == losses[1]


@pytest.mark.parametrize(("key", "value"), [("tau", 0.0), ("tau", 1.5), ("target_network_update_freq", 0)])
def test_ranges(key: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"config key `{key}` is {value}"):
        APPO(ENV, {key: value}, preset="none")


@pytest.mark.parametrize(
    ("key", "context", "first", "second"),
    [
        ("clip_param", {**LATE, "lr": 0.1}, 0.01, 0.5),
        ("use_kl_loss", LATE, False, True),
        ("kl_coeff", LATE, 0.1, 5.0),
        ("kl_target", {"target_network_update_freq": 40, "use_kl_loss": True}, 1e-9, 10.0),
        ("target_network_update_freq", {"replay_proportion": 1.0}, 1, 1000),
        ("tau", {"replay_proportion": 1.0}, 0.1, 1.0),
        ("vtrace_clip_rho_threshold", {"replay_proportion": 1.0, "lr": 0.1}, 1.0, 0.2),
        ("replay_proportion", {}, 0.0, 1.0),
        ("num_epochs", {}, 1, 2),
        ("vf_loss_coeff", {"grad_clip": 0.01}, 0.1, 1.0),
        ("entropy_coeff", {}, 0.0, 0.5),
    ],
)
def test_a_key_has_an_effect(key: str, context: dict[str, Any], first: Any, second: Any) -> None:
    found = [fingerprint(APPO, ENV, {**SMALL, **context, key: value}) for value in (first, second)]
    assert found[0] != found[1]
