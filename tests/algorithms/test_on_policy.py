from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from anyspace import PPO
from anyspace.algorithms.on_policy import gae, minibatches, training_rows
from anyspace.policy.sequences import Sequences
from tests.support.tasks import Countdown, Endless

SMALL = {"train_batch_size": 64, "minibatch_size": 16, "num_epochs": 1, "seed": 0, "model": {"fcnet_hiddens": [8]}}


@pytest.mark.spec(4)
def test_every_column_has_a_row_for_each_valid_step() -> None:
    algorithm = PPO("CartPole-v1", SMALL, num_envs_per_env_runner=4)
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
    algorithm = PPO(Countdown, SMALL, env_config={"horizon": 3}, num_envs_per_env_runner=2)
    policy = algorithm.policy
    trajectory = algorithm.fleet.gather(16)
    gamma, lambda_ = 0.9, 0.8
    batch = training_rows(policy, trajectory, gae(gamma=gamma, lambda_=lambda_))

    def evaluated(leaves: list[np.ndarray]) -> tuple[np.ndarray, float]:
        with policy.runtime.no_grad():
            evaluation = policy.evaluate(
                {"obs": [policy.runtime.asarray(np.ascontiguousarray(leaf)) for leaf in leaves]}
            )
        assert evaluation.values is not None
        return evaluation.dist_inputs[0].numpy(), float(evaluation.values[0])

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
    algorithm = PPO(Countdown, SMALL, env_config={"horizon": 4})
    trajectory = algorithm.fleet.gather(8)
    batch = training_rows(algorithm.policy, trajectory, gae(gamma=0.5, lambda_=1.0), value=False)
    np.testing.assert_allclose(batch["advantages"], [1.875, 1.75, 1.5, 1.0] * 2, rtol=1e-6)
    np.testing.assert_array_equal(batch["vf_preds"], np.zeros(8))


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(("lens", "size"), [((5, 8, 1, 3, 8), 11), ((15, 22, 1), 14), ((1, 1, 1, 1), 2), ((3,), None)])
def test_minibatches_of_sequences_drop_nothing_and_have_two_rows(lens: Any, size: int | None, seed: int) -> None:
    policy = PPO(Endless, {**SMALL, "seed": seed}).policy
    rows, starts = np.arange(sum(lens)), np.cumsum(lens) - lens
    batch = {
        "action_logp": policy.runtime.asarray(rows),
        "sequences": Sequences(np.array(lens), [policy.runtime.asarray(starts)]),
    }
    seen: list[int] = []
    for part in minibatches(policy, batch, size):
        assert len(part["action_logp"]) == part["sequences"].lens.sum() >= 2
        firsts = np.cumsum(part["sequences"].lens) - part["sequences"].lens
        np.testing.assert_array_equal(part["action_logp"][firsts], part["sequences"].state[0])
        seen += part["action_logp"].tolist()
    assert sorted(seen) == list(rows)


@pytest.mark.parametrize(
    ("rows", "size", "expected"), [(64, 16, [16] * 4), (60, 16, [16, 16, 16, 12]), (33, 16, [16, 17]), (20, None, [20])]
)
def test_minibatches_shuffle_and_drop_nothing(rows: int, size: int | None, expected: list[int]) -> None:
    algorithm = PPO(Endless, SMALL)
    batch = {
        "action_logp": algorithm.policy.runtime.asarray(np.arange(rows)),
        "obs": [algorithm.policy.runtime.asarray(np.arange(rows))],
    }
    parts = list(minibatches(algorithm.policy, batch, size))
    assert [len(part["action_logp"]) for part in parts] == expected
    seen = np.concatenate([part["action_logp"] for part in parts])
    assert sorted(seen) == list(range(rows))
    assert list(seen) != list(range(rows))
    assert all((part["obs"][0] == part["action_logp"]).all() for part in parts), "columns stay aligned"
