from __future__ import annotations

import contextlib
from contextlib import closing
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch

from anyspace import PPO
from anyspace.distributions import Deterministic
from anyspace.errors import ConfigError
from anyspace.execution.learner import Result, Steps
from anyspace.models import ModelCatalog
from anyspace.policy.batch import Batch
from anyspace.policy.policy import Policy
from tests.support.batches import batches_of
from tests.support.catalogue import ACTION_SPACES, OBSERVATION_SPACES, UNSTACKED
from tests.support.tasks import Countdown, Endless

FAST: dict[str, Any] = {
    "train_batch_size": 64,
    "minibatch_size": 32,
    "num_epochs": 2,
    "seed": 0,
    "model": {"fcnet_hiddens": [8]},
}


class Drawn(gym.Env[Any, Any]):
    """Draws observations from its space; checks actions; ends after five steps."""

    def __init__(self, observation_space: gym.Space[Any], action_space: gym.Space[Any]):
        self.observation_space, self.action_space = observation_space, action_space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        self.t = 0
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action), (action, self.action_space)
        self.t += 1
        return self.observation_space.sample(), float(self.t), self.t % 10 == 5, self.t % 10 == 7, {}


@pytest.mark.parametrize("name", UNSTACKED)
def test_every_observation_space_trains(name: str) -> None:
    env = Drawn(OBSERVATION_SPACES[name], gym.spaces.Discrete(3, start=2))
    result = PPO(lambda: env, FAST, observation_filter="MeanStdFilter", preset="none").train()
    assert np.isfinite(result["learner"]["total_loss"])


@pytest.mark.spec(143)
@pytest.mark.parametrize("name", ACTION_SPACES)
def test_every_action_space_trains_and_actions_are_members(name: str) -> None:
    env = Drawn(gym.spaces.Box(-1, 1, (3,)), ACTION_SPACES[name])
    result = PPO(lambda: env, FAST, preset="none").train()
    assert np.isfinite(result["learner"]["total_loss"])


@pytest.mark.parametrize(
    ("settings", "share", "told"),
    [
        ({}, 1.0, ["100% of the values are so far from the returns"]),
        ({"vf_clip_param": 1e9}, 0.0, []),
        (
            {"vf_clip_param": None, "model": {"fcnet_hiddens": [4], "vf_share_layers": True}},
            None,
            ["the value's loss is"],
        ),
        ({"use_critic": False}, None, []),
    ],
)
def test_values_that_are_not_learnt_are_told_of_once(
    settings: dict[str, Any], share: float | None, told: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    def env() -> gym.Env[Any, Any]:
        drawn = Drawn(gym.spaces.Box(-1, 1, (3,)), gym.spaces.Discrete(2))
        return gym.wrappers.TransformReward(drawn, lambda reward: 1e3 * reward)

    with closing(PPO(env, {**FAST, **settings}, preset="none")) as algorithm:
        for iteration in (0, 9, 10):
            caplog.clear()
            algorithm.counters.training_iteration = iteration
            assert algorithm.train()["learner"].get("vf_clipped") == share
            messages = [record.message for record in caplog.records if "PPO: " in record.message]
            assert len(messages) == (len(told) if iteration == 9 else 0)
            assert all(text in message for text, message in zip(told, messages, strict=False))


def first_batch(algorithm: PPO) -> tuple[Policy, Batch]:
    updates = algorithm.updates(algorithm.policy, algorithm.fleet.gather(algorithm.config.train_batch_size))
    steps = next(updates)
    assert isinstance(steps, Steps)
    return algorithm.policy, next(batches_of(algorithm.policy, steps))


@pytest.mark.parametrize("env", ["CartPole-v1", "Pendulum-v1"])
def test_the_loss_equals_an_independent_computation(env: str) -> None:
    algorithm = PPO(
        env, FAST, entropy_coeff=0.03, vf_loss_coeff=0.7, kl_coeff=0.2, vf_clip_param=0.5, clip_param=0.1, preset="none"
    )
    policy, batch = first_batch(algorithm)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in policy.model.parameters():  # type: ignore[attr-defined]
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    found = algorithm.losses(policy, batch)
    losses, metrics = found.by_group, found.metrics

    evaluation = policy.evaluate(batch)
    if env == "CartPole-v1":
        new = torch.distributions.Categorical(logits=evaluation.output)
        old = torch.distributions.Categorical(logits=batch["action_dist_inputs"])
        logp, entropy = new.log_prob(batch["actions"]), new.entropy()
        kl = torch.distributions.kl_divergence(old, new)
    else:
        (mean, log_std), (old_mean, old_log_std) = (
            x.chunk(2, 1) for x in (evaluation.output, batch["action_dist_inputs"])
        )
        new_normal, old_normal = (
            torch.distributions.Normal(mean, log_std.exp()),
            torch.distributions.Normal(old_mean, old_log_std.exp()),
        )
        logp, entropy = new_normal.log_prob(batch["actions"]).sum(1), new_normal.entropy().sum(1)
        kl = torch.distributions.kl_divergence(old_normal, new_normal).sum(1)
    ratio = (logp - batch["action_logp"]).exp()
    advantages = batch["advantages"]
    surrogate = torch.minimum(ratio * advantages, ratio.clamp(0.9, 1.1) * advantages)
    assert evaluation.values is not None
    vf = (evaluation.values - batch["value_targets"]).square().clamp(0, 0.5)
    expected = (-surrogate + 0.7 * vf - 0.03 * entropy + 0.2 * kl).mean()
    torch.testing.assert_close(losses["policy"], expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(metrics["kl"], kl.mean(), rtol=1e-5, atol=1e-6)
    assert (surrogate != ratio * advantages).any(), "nothing was clipped: the test shows nothing"


@pytest.mark.parametrize("env", ["CartPole-v1", "Pendulum-v1"])
def test_the_ratio_is_one_on_the_first_minibatch_of_every_update(env: str) -> None:
    algorithm = PPO(env, FAST, observation_filter="MeanStdFilter", num_envs_per_env_runner=4, lr=1e-2, preset="none")
    for _ in range(4):
        assert algorithm.train()["learner"]["ratio_error"] <= 1e-5


def test_advantages_are_standardised_over_the_whole_batch() -> None:
    algorithm = PPO("CartPole-v1", FAST, minibatch_size=None, preset="none")
    _, batch = first_batch(algorithm)
    assert float(batch["advantages"].mean()) == pytest.approx(0, abs=1e-6)
    assert float(batch["advantages"].std(correction=0)) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(("measured", "expected"), [(0.021, 0.3), (0.02, 0.2), (0.005, 0.2), (0.0049, 0.1)])
def test_the_kl_weight_adapts(measured: float, expected: float) -> None:
    algorithm = PPO(Endless, FAST, kl_coeff=0.2, kl_target=0.01, preset="none")
    updates = algorithm.updates(algorithm.policy, algorithm.fleet.gather(64))
    next(updates)
    with contextlib.suppress(StopIteration):
        while True:
            updates.send(Result({"kl": torch.tensor([measured] * 4, dtype=torch.float64)}))
    assert float(algorithm.kl_coeff) == pytest.approx(expected)


def test_the_kl_weight_goes_by_the_mean_of_all_steps_and_the_ratio_error_by_the_first() -> None:
    algorithm = PPO(Endless, FAST, kl_coeff=0.2, kl_target=0.01, preset="none")
    updates = algorithm.updates(algorithm.policy, algorithm.fleet.gather(64))
    next(updates)
    with pytest.raises(StopIteration) as end:
        updates.send(Result({"kl": torch.tensor([0.0, 0.0, 0.01, 0.09]), "ratio_error": torch.tensor([0.1, 9.0])}))
    assert float(algorithm.kl_coeff) == pytest.approx(0.3)
    assert end.value.value["kl_coeff"] == pytest.approx(0.3)
    assert float(end.value.value["ratio_error"]) == pytest.approx(0.1)


def test_the_kl_weight_is_a_cell_that_losses_read() -> None:
    algorithm = PPO("CartPole-v1", FAST, kl_coeff=0.2, preset="none")
    policy, batch = first_batch(algorithm)
    with torch.no_grad():
        policy.model.logits.bias[0] += 1.0  # type: ignore[attr-defined]
    found = []
    for weight in (0.0, 1.0, 5.0):
        algorithm.kl_coeff.assign(weight)
        losses = algorithm.losses(policy, batch)
        found.append(float(losses.by_group["policy"].detach()) - weight * float(losses.metrics["kl"]))
    assert float(losses.metrics["kl"]) > 0.01
    assert found == pytest.approx([found[0]] * 3, abs=1e-6)


def test_losses_without_a_kl_are_named() -> None:
    class Silent(PPO):
        def losses(self, policy: Any, batch: Any) -> Any:
            return super().losses(policy, batch).by_group, {}

    small = {"train_batch_size": 16, "minibatch_size": None, "num_epochs": 1}
    with pytest.raises(ConfigError, match=r"Silent.losses\(\) reports no 'kl'"):
        Silent("CartPole-v1", small, preset="none").train()
    assert "total_loss" in Silent("CartPole-v1", small, kl_coeff=0.0, preset="none").train()["learner"]


def test_use_kl_loss_false_leaves_the_penalty_out() -> None:
    algorithm = PPO(Endless, FAST, use_kl_loss=False, preset="none")
    algorithm.train()
    assert float(algorithm.kl_coeff) == 0


def value_of(algorithm: PPO, observation: Any) -> float:
    leaves = algorithm.policy.encode(np.asarray([observation]))
    value = algorithm.policy.evaluate(Batch(obs=[algorithm.policy.runtime.asarray(leaf) for leaf in leaves])).values
    assert value is not None
    return float(value[0].detach())


EXACT: dict[str, Any] = {
    "gamma": 0.9,
    "lambda_": 0.95,
    "lr": 3e-3,
    "lr_schedule": [[0, 1e-2], [6_000, 1e-4]],
    "train_batch_size": 512,
    "minibatch_size": 128,
    "num_epochs": 6,
    "vf_clip_param": None,
    "num_envs_per_env_runner": 4,
    "seed": 0,
    "model": {"fcnet_hiddens": [32]},
}


def test_an_endless_reward_cut_by_truncation_is_worth_ten() -> None:
    algorithm = PPO(Endless, EXACT, preset="none")
    algorithm.learn(6_000, progress=False)
    assert value_of(algorithm, [1.0]) == pytest.approx(1 / (1 - 0.9), rel=1e-3)


def test_a_terminated_reward_is_worth_the_finite_sum() -> None:
    algorithm = PPO(Countdown, EXACT, preset="none")
    algorithm.learn(6_000, progress=False)
    for taken in range(5):
        assert value_of(algorithm, taken) == pytest.approx(sum(0.9**k for k in range(5 - taken)), rel=1e-3)


@pytest.mark.spec(57)
def test_ppo_separates_policy_and_value_layers_by_default() -> None:
    algorithm = PPO(Endless, preset="none")
    assert algorithm.config.model.vf_share_layers is False
    assert algorithm.policy.model.value_encoder is not None  # type: ignore[attr-defined]


def test_the_defaults_are_those_of_rllib() -> None:
    config = PPO.config_class()
    expected = {
        "lr": 5e-5,
        "train_batch_size": 4000,
        "num_epochs": 30,
        "minibatch_size": 128,
        "lambda_": 1.0,
        "use_gae": True,
        "use_critic": True,
        "kl_coeff": 0.2,
        "kl_target": 0.01,
        "vf_loss_coeff": 1.0,
        "entropy_coeff": 0.0,
        "clip_param": 0.3,
        "vf_clip_param": 10.0,
        "grad_clip": None,
        "gamma": 0.99,
        "lr_schedule": None,
        "entropy_coeff_schedule": None,
    }
    assert {key: getattr(config, key) for key in expected} == expected


def test_schedules_move_with_the_sampled_steps() -> None:
    algorithm = PPO(
        Endless,
        FAST,
        lr_schedule=[[0, 1.0e-3], [128, 0.0]],
        entropy_coeff_schedule=[[0, 0.2], [64, 0.1]],
        preset="none",
    )
    first, second, third = algorithm.train(), algorithm.train(), algorithm.train()
    assert [result["learner"]["lr"] for result in (first, second, third)] == pytest.approx([1e-3, 5e-4, 0])
    assert [result["learner"]["entropy_coeff"] for result in (first, second)] == pytest.approx([0.2, 0.1])


def test_an_entropy_bonus_wants_an_entropy() -> None:
    class NoEntropy(Deterministic):
        @staticmethod
        def required_model_output_shape(action_space: Any, model_config: Any) -> int:
            return 1

    ModelCatalog.register_custom_action_dist("no_entropy", NoEntropy)
    with pytest.raises(ConfigError, match=r"entropy_coeff.*NoEntropy defines no entropy"):
        PPO("Pendulum-v1", FAST, entropy_coeff=0.1, model={"custom_action_dist": "no_entropy"}, preset="none")


def test_without_gae_and_critic_whole_episodes_are_wanted_and_it_trains() -> None:
    with pytest.raises(ConfigError, match=r"`use_gae` is False.*complete_episodes"):
        PPO(Endless, use_gae=False, batch_mode="truncate_episodes", preset="none")
    with pytest.raises(ConfigError, match=r"`use_critic` is False.*complete_episodes"):
        PPO(Endless, use_critic=False, batch_mode="truncate_episodes", preset="none")
    with pytest.raises(ConfigError, match="`use_gae` needs a critic, but `use_critic` is False"):
        PPO(Endless, use_critic=False, use_gae=True, preset="none")
    result = PPO(
        Countdown, FAST, use_gae=False, use_critic=False, batch_mode="complete_episodes", preset="none"
    ).train()
    assert "vf_loss" not in result["learner"]
    assert result["timesteps_this_iter"] % 5 == 0


@pytest.mark.parametrize(
    ("given", "fitted"),
    [
        ({"train_batch_size": 64}, {"minibatch_size": 64}),
        ({"minibatch_size": 5000}, {"train_batch_size": 5000}),
        ({"use_critic": False}, {"use_gae": False, "batch_mode": "complete_episodes"}),
        ({"use_gae": False}, {"batch_mode": "complete_episodes"}),
        ({"gamma": 0.5}, {"minibatch_size": 128, "train_batch_size": 4000, "kl_coeff": 0.2}),
    ],
)
def test_keys_that_nobody_gave_are_fitted_to_those_that_somebody_did(
    given: dict[str, Any], fitted: dict[str, Any]
) -> None:
    for algorithm in (
        PPO(Countdown, given, preset="none"),
        PPO(Countdown, **given, preset="none"),
        PPO(Countdown, PPO.config_class(**given), preset="none"),
    ):
        assert {key: getattr(algorithm.config, key) for key in given | fitted} == given | fitted
