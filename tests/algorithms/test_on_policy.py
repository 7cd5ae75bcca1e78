from __future__ import annotations

from contextlib import closing
from typing import Any

import numpy as np
import pytest
import torch

from anyspace import A2C, APPO, IMPALA, PG, PPO, Algorithm
from anyspace.algorithms.on_policy import TimeMajor, _cuts, _slices, gae, minibatches, training_rows
from anyspace.errors import ConfigError
from anyspace.models import FullyConnectedNetwork
from anyspace.policy.batch import Batch
from anyspace.policy.exploration import StochasticSampling
from anyspace.policy.plan import Plan
from anyspace.policy.sequences import Sequences
from tests.support.batches import batches_of
from tests.support.tasks import Countdown, Endless

SMALL = {"train_batch_size": 64, "minibatch_size": 16, "num_epochs": 1, "seed": 0, "model": {"fcnet_hiddens": [8]}}


@pytest.mark.spec(4)
def test_every_column_has_a_row_for_each_valid_step() -> None:
    algorithm = PPO("CartPole-v1", SMALL, num_envs_per_env_runner=4, preset="none")
    trajectory = algorithm.fleet.gather(64)
    assert not trajectory.valid.all(), "the test needs ignored rows"
    batch = training_rows(algorithm.policy, trajectory, gae(gamma=0.9, lambda_=0.9))
    assert {"obs", "actions", "action_logp", "action_dist_inputs", "vf_preds", "advantages", "value_targets"} == set(
        batch
    )
    assert {len(column) for name, column in batch.items() if name != "obs"} == {trajectory.num_steps}
    assert [len(leaf) for leaf in batch["obs"]] == [trajectory.num_steps]


def test_columns_agree_with_a_loop_over_single_steps() -> None:
    """Values, log-probabilities and advantages of the batched pass equal those computed step by step."""
    algorithm = PPO(Countdown, SMALL, env_config={"horizon": 3}, num_envs_per_env_runner=2, preset="none")
    policy = algorithm.policy
    trajectory = algorithm.fleet.gather(16)
    gamma, lambda_ = 0.9, 0.8
    batch = training_rows(policy, trajectory, gae(gamma=gamma, lambda_=lambda_))

    def evaluated(leaves: list[np.ndarray]) -> tuple[np.ndarray, float]:
        with policy.runtime.no_grad():
            evaluation = policy.evaluate(
                Batch(obs=[policy.runtime.asarray(np.ascontiguousarray(leaf)) for leaf in leaves])
            )
        assert evaluation.values is not None
        return evaluation.output[0].numpy(), float(evaluation.values[0])

    row = 0
    steps, width = trajectory.valid.shape
    following = np.zeros(width)
    expected = np.zeros((steps, width))
    for t in reversed(range(steps)):
        for b in range(width):
            _, value = evaluated([leaf[t, b][None] for leaf in trajectory.obs])
            _, next_value = evaluated(trajectory.next_obs(t, b))
            delta = trajectory.rewards[t, b] - value + (0 if trajectory.terminated[t, b] else gamma * next_value)
            following[b] = delta + (0 if trajectory.done[t, b] else gamma * lambda_ * following[b])
            expected[t, b] = following[b]
    for t in range(steps):
        for b in range(width):
            logits, value = evaluated([leaf[t, b][None] for leaf in trajectory.obs])
            logp = logits - np.log(np.exp(logits).sum())
            assert batch["action_logp"][row] == pytest.approx(logp[trajectory.actions[t, b]], abs=1e-5)
            assert batch["vf_preds"][row] == pytest.approx(value, abs=1e-6)
            assert batch["advantages"][row] == pytest.approx(expected[t, b], abs=1e-5)
            assert batch["value_targets"][row] == pytest.approx(expected[t, b] + value, abs=1e-5)
            row += 1


def test_without_a_critic_advantages_are_discounted_returns() -> None:
    algorithm = PPO(Countdown, SMALL, env_config={"horizon": 4}, preset="none")
    trajectory = algorithm.fleet.gather(8)
    batch = training_rows(algorithm.policy, trajectory, gae(gamma=0.5, lambda_=1.0), value=False)
    np.testing.assert_allclose(batch["advantages"], [1.875, 1.75, 1.5, 1.0] * 2, rtol=1e-6)
    np.testing.assert_array_equal(batch["vf_preds"], np.zeros(8))


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(("lens", "size"), [((5, 8, 1, 3, 8), 11), ((15, 22, 1), 14), ((1, 1, 1, 1), 2), ((3,), None)])
def test_minibatches_of_sequences_drop_nothing_and_have_two_rows(lens: Any, size: int | None, seed: int) -> None:
    policy = PPO(Endless, {**SMALL, "seed": seed}, preset="none").policy
    rows, starts = np.arange(sum(lens)), np.cumsum(lens) - lens
    batch = Batch(
        action_logp=policy.runtime.asarray(rows),
        sequences=Sequences(np.array(lens), [policy.runtime.asarray(starts)]),
    )
    seen: list[int] = []
    for part in batches_of(policy, minibatches(policy, batch, size)):
        assert len(part["action_logp"]) == part["sequences"].lens.sum() >= 2
        firsts = np.cumsum(part["sequences"].lens) - part["sequences"].lens
        np.testing.assert_array_equal(part["action_logp"][firsts], part["sequences"].state[0])
        seen += part["action_logp"].tolist()
    assert sorted(seen) == list(rows)


@pytest.mark.parametrize(
    ("rows", "size", "expected"), [(64, 16, [16] * 4), (60, 16, [16, 16, 16, 12]), (33, 16, [16, 17]), (20, None, [20])]
)
def test_minibatches_shuffle_and_drop_nothing(rows: int, size: int | None, expected: list[int]) -> None:
    algorithm = PPO(Endless, SMALL, preset="none")
    batch = Batch(
        action_logp=algorithm.policy.runtime.asarray(np.arange(rows)),
        obs=[algorithm.policy.runtime.asarray(np.arange(rows))],
    )
    parts = list(batches_of(algorithm.policy, minibatches(algorithm.policy, batch, size)))
    assert [len(part["action_logp"]) for part in parts] == expected
    seen = np.concatenate([part["action_logp"] for part in parts])
    assert sorted(seen) == list(range(rows))
    assert list(seen) != list(range(rows))
    assert all((part["obs"][0] == part["action_logp"]).all() for part in parts), "columns stay aligned"


# ------------------------------------------------------------------------------------- who acted, and how


@pytest.mark.parametrize("model", [{}, {"use_lstm": True, "lstm_cell_size": 4, "max_seq_len": 5}], ids=["flat", "lstm"])
def test_log_probabilities_of_who_acted_reach_the_batch_and_the_estimator(model: dict[str, Any]) -> None:
    settings = {**SMALL, "model": {"fcnet_hiddens": [8], **model}}
    algorithm = PPO("CartPole-v1", settings, num_envs_per_env_runner=4, preset="none")
    policy, trajectory = algorithm.policy, algorithm.fleet.gather(64)
    valid = trajectory.valid
    assert not valid.all(), "the test needs ignored rows"
    seen: list[TimeMajor] = []

    def estimate(steps: TimeMajor) -> tuple[np.ndarray, np.ndarray]:
        seen.append(steps)
        return steps.rewards, steps.values

    own = training_rows(policy, trajectory, estimate)
    assert not seen[0].log_ratios.any(), "the learner's own weights acted"

    acted = np.random.default_rng(0).normal(-1, 0.3, valid.shape).astype(np.float32)
    acted[~valid] = np.nan  # nobody acted there
    trajectory.action_logp = acted
    batch = training_rows(policy, trajectory, estimate)
    t, b = np.nonzero(valid)
    if model:  # sequences come environment by environment
        t, b = (axis[np.lexsort((t, b))] for axis in (t, b))
    np.testing.assert_array_equal(batch["action_logp"], acted[t, b])
    assert seen[1].log_ratios.shape == valid.shape
    assert not seen[1].log_ratios[~valid].any()
    np.testing.assert_allclose(seen[1].log_ratios[t, b], np.asarray(own["action_logp"]) - acted[t, b], rtol=1e-6)
    for name in ("vf_preds", "action_dist_inputs", "advantages"):
        assert torch.equal(batch[name], own[name])


def test_the_ratio_is_to_those_who_acted() -> None:
    algorithm = PPO("CartPole-v1", SMALL, num_envs_per_env_runner=4, minibatch_size=None, preset="none")
    trajectory = algorithm.fleet.gather(64)
    own = training_rows(algorithm.policy, trajectory, gae(gamma=0.9, lambda_=0.9))["action_logp"]
    trajectory.action_logp = np.zeros(trajectory.valid.shape, np.float32)
    trajectory.action_logp[trajectory.valid] = np.asarray(own) - np.log(1.5)
    steps = next(algorithm.updates(algorithm.policy, trajectory))
    result = algorithm.learner.steps(steps)
    assert float(result.metrics["ratio_error"][0]) == pytest.approx(0.5, rel=1e-4)


def test_what_an_estimator_goes_by() -> None:
    algorithm = PPO(Countdown, SMALL, env_config={"horizon": 4}, preset="none")
    trajectory = algorithm.fleet.gather(8)
    found: list[TimeMajor] = []

    def estimate(steps: TimeMajor) -> tuple[np.ndarray, np.ndarray]:
        found.append(steps)
        return np.arange(steps.rewards.size).reshape(steps.rewards.shape), steps.next_values

    batch = training_rows(algorithm.policy, trajectory, estimate)
    np.testing.assert_array_equal(batch["advantages"], np.arange(len(trajectory.rewards))[trajectory.valid[:, 0]])
    np.testing.assert_array_equal(batch["value_targets"], found[0].next_values[trajectory.valid])
    np.testing.assert_array_equal(batch["vf_preds"], found[0].values[trajectory.valid])
    assert found[0].terminated is trajectory.terminated
    np.testing.assert_array_equal(found[0].done, trajectory.done)
    training_rows(algorithm.policy, trajectory, estimate, value=False)
    assert not found[1].values.any()
    assert not found[1].next_values.any()


class Timid(StochasticSampling):
    """An exploration of a user's."""


def test_another_exploration_than_sampling_is_refused() -> None:
    class Mine(PPO):
        @classmethod
        def plan(cls, config: Any) -> Plan:
            return Plan(exploration=Timid)

    with pytest.raises(ConfigError) as caught:
        Mine(Endless, SMALL, preset="none")
    assert str(caught.value) == (
        "Mine learns from samples of its own distribution, but the plan explores by Timid; leave `exploration` at"
        " StochasticSampling."
    )


@pytest.mark.parametrize("kind", [PG, A2C, PPO, IMPALA, APPO], ids=lambda kind: kind.__name__)
def test_the_most_likely_actions_are_gathered_and_not_learnt_from(kind: type[Any]) -> None:
    with closing(kind("CartPole-v1", seed=0, train_batch_size=16, explore=False, preset="none")) as algorithm:
        trajectory = algorithm.fleet.gather(16)
        observations = trajectory.obs[0][:16, 0]
        np.testing.assert_array_equal(trajectory.actions[:16, 0], algorithm.compute_actions(observations))
        with pytest.raises(ConfigError, match=r"`explore` is False, .* let it gather steps: algorithm.fleet.gather"):
            algorithm.train()


# ------------------------------------------------------------------------------------------- minibatches


@pytest.mark.parametrize(
    ("count", "size", "whole", "expected"),
    [
        (9, 4, False, [(0, 4), (4, 9)]),  # a single row joins its neighbour
        (10, 4, False, [(0, 4), (4, 8), (8, 10)]),
        (10, 4, True, [(0, 4), (4, 10)]),  # so does every remainder of a model with batch statistics
        (8, 4, True, [(0, 4), (4, 8)]),
        (3, 4, True, [(0, 3)]),
        (1, 4, False, [(0, 1)]),
        (3, 1, False, [(0, 1), (1, 3)]),
    ],
)
def test_where_slices_of_rows_begin_and_end(
    count: int, size: int, whole: bool, expected: list[tuple[int, int]]
) -> None:
    assert list(_slices(count, size, whole)) == expected


@pytest.mark.parametrize(
    ("lens", "size", "whole", "expected"),
    [
        ([3, 1, 2, 2], 4, False, [0, 2, 4]),
        ([3, 1, 2, 2], None, False, [0, 4]),
        ([3, 1, 2, 1], 4, False, [0, 2, 4]),
        ([3, 1, 2, 1], 4, True, [0, 4]),  # three rows would be left over
        ([4, 1], 4, False, [0, 2]),  # no slice of a single row
        ([1, 3, 1], 2, False, [0, 3]),
        ([2, 2, 2], 3, False, [0, 2, 3]),  # a sequence is not cut: four rows and two
        ([9, 2], 4, False, [0, 1, 2]),  # one long sequence is more than a slice
    ],
)
def test_where_slices_of_sequences_begin_and_end(
    lens: list[int], size: int | None, whole: bool, expected: list[int]
) -> None:
    assert _cuts(np.array(lens), size, whole) == expected


class Normed(FullyConnectedNetwork):
    """Takes statistics of a batch."""

    def __init__(self, *arguments: Any):
        super().__init__(*arguments)
        self.norm = torch.nn.BatchNorm1d(1)

    def forward(self, input_dict: Any, state: Any, seq_lens: Any) -> Any:
        return super().forward({"obs_flat": self.norm(input_dict["obs_flat"])}, state, seq_lens)


@pytest.mark.parametrize(("rows", "expected"), [(64, [16] * 4), (60, [16, 16, 28]), (33, [16, 17]), (15, [15])])
def test_models_with_batch_statistics_get_whole_minibatches(rows: int, expected: list[int]) -> None:
    policy = PPO(Endless, {**SMALL, "model": {"fcnet_hiddens": [8], "custom_model": Normed}}, preset="none").policy
    steps = minibatches(policy, Batch(obs=[torch.zeros(rows, 1)]), 16)
    assert steps.counted.sum(1).tolist() == expected


def test_every_epoch_takes_every_row_once_in_an_order_of_its_own() -> None:
    policy = PPO(Endless, SMALL, preset="none").policy
    steps = minibatches(policy, Batch(obs=[torch.arange(10.0)[:, None]]), 4, epochs=3)
    assert steps.order.shape == steps.counted.shape == (9, 4)
    assert steps.counted.sum(1).tolist() == [4, 4, 2] * 3
    assert steps.counted[2].tolist() == [True, True, False, False], "those that count come first"
    assert steps.tau is None
    epochs = [steps.order[first : first + 3][steps.counted[first : first + 3]].tolist() for first in (0, 3, 6)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len(set(map(tuple, epochs))) == 3


@pytest.mark.parametrize("settings", [{"size": 0}, {"size": 2.5}, {"size": 4, "epochs": 0}])
def test_minibatches_of_nothing_are_refused(settings: dict[str, Any]) -> None:
    policy = PPO(Endless, SMALL, preset="none").policy
    with pytest.raises(ConfigError, match=r"^minibatches\((size|epochs)=...\) takes a whole number of at least 1, but"):
        minibatches(policy, Batch(obs=[torch.arange(10.0)[:, None]]), **settings)


@pytest.mark.parametrize(
    ("estimate", "message"),
    [
        (0.99, r"takes an estimator, such as gae\(.*\), but 0\.99 came"),
        (
            lambda steps: steps.rewards,
            r"two arrays of NumPy of shape \(8, 1\) .*, but a ndarray .* came",
        ),
        (
            lambda steps: (steps.rewards[0], steps.rewards),
            r"but a ndarray of shape \(1,\), a ndarray of",
        ),
        (lambda steps: (torch.zeros(8, 1), steps.rewards), r"but a Tensor of shape \(8, 1\), a ndarray"),
    ],
)
def test_estimators_that_are_none(estimate: Any, message: str) -> None:
    with closing(PPO(Endless, SMALL, preset="none")) as algorithm, pytest.raises(ConfigError, match=message):
        training_rows(algorithm.policy, algorithm.fleet.gather(8), estimate)


@pytest.mark.parametrize("kind", [A2C, IMPALA])
def test_an_endless_reward_cut_by_truncation_is_worth_two(kind: type[Algorithm[Any]]) -> None:
    settings = {"train_batch_size": 20, "rollout_fragment_length": "auto", "min_sample_timesteps_per_iteration": 1}
    shared = {"num_envs_per_env_runner": 2, "lr": 1e-2, "gamma": 0.5, "model": {"fcnet_hiddens": [8]}, "seed": 0}
    with closing(kind(Endless, settings, **shared, preset="none")) as algorithm:
        for _ in range(100):
            algorithm.train()
        trajectory = algorithm.fleet.gather(64)
    batch = next(algorithm.updates(algorithm.policy, trajectory))
    np.testing.assert_allclose(batch["vf_preds"], 2.0, rtol=0.05)
