"""MARWIL and BC: their losses against NumPy in float64, the moving norm, bootstraps, all that they combine with."""

from __future__ import annotations

import json
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Tuple

from anyspace import BC, DQN, MARWIL, Algorithm
from anyspace.data.offline import write_spaces
from anyspace.data.rows import Rows
from anyspace.errors import ConfigError
from anyspace.spaces import Simplex
from tests.support.environments import Script

SMALL: dict[str, Any] = {
    "preset": "none",
    "seed": 3,
    "train_batch_size": 12,
    "model": {"fcnet_hiddens": [5], "vf_share_layers": True},
}
VECTOR = Box(-1, 1, (3,))


def steps(actions: Any, rows: int = 12, seed: int = 0, **columns: Any) -> dict[str, Any]:
    """Return the columns of random steps, of which the fifth ended an episode and the ninth was cut."""
    rng = np.random.default_rng(seed)
    obs = rng.uniform(-1, 1, (rows + 1, 3))
    ends = np.zeros((2, rows), bool)
    ends[0, 4:5] = ends[1, 8:9] = True
    return {
        "type": "SampleBatch",
        "obs": obs[:-1].tolist(),
        "new_obs": obs[1:].tolist(),
        "actions": actions,
        "rewards": rng.normal(size=rows).tolist(),
        "terminateds": ends[0].tolist(),
        "truncateds": ends[1].tolist(),
        "eps_id": np.cumsum(np.concatenate([[0], (ends[0] | ends[1])[:-1]])).tolist(),
        **columns,
    }


def written(folder: Path, *lines: dict[str, Any], actions: Any = None) -> str:
    (folder / "steps.json").write_text("".join(json.dumps(line) + "\n" for line in lines))
    write_spaces(folder, VECTOR, Discrete(3) if actions is None else actions)
    return str(folder)


def choices(rows: int = 12, n: int = 3, seed: int = 1) -> list[int]:
    return np.random.default_rng(seed).integers(n, size=rows).tolist()


# ------------------------------------------------------------------------------------- NumPy in float64


def layers(algorithm: Algorithm[Any]) -> tuple[Any, ...]:
    found = [parameter.detach().numpy().astype(np.float64) for parameter in algorithm.policy.model.parameters()]
    (w1, b1), (w2, b2), (w3, b3) = zip(found[::2], found[1::2], strict=True)
    return (w1, b1), (w2, b2), (w3, b3)


def outputs_and_values(algorithm: Algorithm[Any], obs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return what a network of one shared tanh layer puts out, and its values."""
    (w1, b1), (w2, b2), (w3, b3) = layers(algorithm)
    features = np.tanh(obs @ w1.T + b1)
    heads = {len(bias): features @ weight.T + bias for weight, bias in ((w2, b2), (w3, b3))}
    return heads[max(heads)], heads[1][:, 0]


def discounted(
    rewards: list[float], ends: np.ndarray, cuts: np.ndarray, bootstraps: np.ndarray, gamma: float
) -> np.ndarray:
    """Return discounted returns; where an episode is cut, the value of what the step led to stands in for the rest."""
    found, after = np.zeros(len(rewards)), 0.0
    for t in reversed(range(len(rewards))):
        if ends[t]:
            after = 0.0
        elif cuts[t] or t == len(rewards) - 1:
            after = bootstraps[t]
        found[t] = after = rewards[t] + gamma * after
    return found


def log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


@pytest.mark.parametrize("rounds", [1, 4])
def test_steps_of_short_rounds_are_learnt_from_as_whole_episodes(rounds, tmp_path):
    """DQN writes a few steps at a time: returns go to the episode's end, and memories see all of it."""
    settings = {"rollout_fragment_length": rounds, "num_steps_sampled_before_learning_starts": 100}
    env = partial(Script, ends=((5, "terminated"), (7, "terminated")))
    with closing(
        DQN(env, preset="none", output=str(tmp_path), min_sample_timesteps_per_iteration=24, **settings)
    ) as dqn:
        dqn.train()
    small = {**SMALL, "input": str(tmp_path), "train_batch_size": 12}
    with closing(MARWIL(**small, gamma=0.9)) as marwil:
        trajectory = marwil.fleet.gather(12)
        batch = next(marwil.updates(marwil.policy, trajectory)).rows
        ends = trajectory.terminated[:, 0]
        returns = discounted(trajectory.rewards[:, 0].tolist(), ends, ~ends & False, np.zeros(12), 0.9)
        np.testing.assert_allclose(np.sort(batch["value_targets"]), np.sort(returns), rtol=1e-5)
    small["model"] = {"use_lstm": True, "lstm_cell_size": 4, "max_seq_len": 20, "fcnet_hiddens": [4]}
    with closing(BC(**small)) as bc:
        batch = next(bc.updates(bc.policy, bc.fleet.gather(12))).rows
        assert sorted(batch["sequences"].lens) == [5, 7]


# ----------------------------------------------------------------------------------------------- losses


@pytest.mark.spec(151)
@pytest.mark.parametrize("beta", [1.0, 0.3])
def test_losses_are_the_papers(beta, tmp_path):
    line = steps(choices())
    start, rate, gamma, vf_coeff = 2.0, 0.25, 0.9, 0.7
    with closing(
        MARWIL(
            input=written(tmp_path, line),
            beta=beta,
            gamma=gamma,
            vf_coeff=vf_coeff,
            moving_average_sqd_adv_norm_start=start,
            moving_average_sqd_adv_norm_update_rate=rate,
            **SMALL,
        )
    ) as algorithm:
        obs, new_obs = (np.array(line[name]) for name in ("obs", "new_obs"))
        logits, values = outputs_and_values(algorithm, obs)
        _, next_values = outputs_and_values(algorithm, new_obs)
        ends, cuts = (np.array(line[name]) for name in ("terminateds", "truncateds"))
        returns = discounted(line["rewards"], ends, cuts, next_values, gamma)
        advantages = returns - values
        norm = start + rate * ((advantages**2).mean() - start)
        weights = np.exp(beta * advantages / (1e-8 + np.sqrt(norm)))
        logp = log_softmax(logits)[np.arange(12), line["actions"]]
        policy_loss, vf_loss = -(weights * logp).mean(), 0.5 * (advantages**2).mean()

        learner = algorithm.train()["learner"]
    assert learner["policy_loss"] == pytest.approx(policy_loss, rel=1e-5)
    assert learner["vf_loss"] == pytest.approx(vf_loss, rel=1e-5)
    assert learner["total_loss"] == pytest.approx(policy_loss + vf_coeff * vf_loss, rel=1e-5)
    assert learner["squared_norm"] == pytest.approx(norm, rel=1e-6)
    assert learner["weight"] == pytest.approx(weights.mean(), rel=1e-5)


@pytest.mark.spec(151)
def test_golden_numbers_of_the_moving_norm(tmp_path):
    """Advantages of 1, 2 and 3 have a mean square of 14/3: 100 becomes 100 + 0.01 (14/3 - 100) = 99.0466667."""
    line = steps(choices(3), 3, rewards=[1.0, 2.0, 3.0], terminateds=[True] * 3, truncateds=[False] * 3)
    with closing(
        MARWIL(input=written(tmp_path, line), moving_average_sqd_adv_norm_update_rate=0.01, **SMALL)
    ) as algorithm:
        model = algorithm.policy.model
        for parameter in model.parameters():
            torch.nn.init.zeros_(parameter)
        learner = algorithm.train()["learner"]
        assert float(algorithm.squared_norm) == pytest.approx(99.0466667, rel=1e-7)
    # All three actions are alike: log-probability -ln 3, weights exp(A / 9.9522192).
    weights = np.exp(np.array([1, 2, 3]) / 9.952219)
    assert learner["policy_loss"] == pytest.approx(weights.mean() * np.log(3), rel=1e-5)
    assert learner["vf_loss"] == pytest.approx(7 / 3, rel=1e-6)


@pytest.mark.spec(151)
@pytest.mark.parametrize("case", ["choices", "masked", "tuple", "autoregressive"])
def test_without_beta_it_is_behaviour_cloning(case, tmp_path):
    line, small = steps(choices()), dict(SMALL)
    if case == "masked":
        line["action_mask"] = [[number == choice or number == 2 for number in range(3)] for choice in choices()]
    folder = written(tmp_path, line)
    if case in ("tuple", "autoregressive"):
        folder = recorded("tuple", tmp_path / "recorded")
        small["model"] = {**SMALL["model"], "autoregressive_actions": case == "autoregressive"}
    with closing(BC(input=folder, **small)) as bc, closing(MARWIL(input=folder, beta=0.0, **small)) as marwil:
        mean = None
        if case == "choices":
            logits, _ = outputs_and_values(bc, np.array(line["obs"]))
            mean = -log_softmax(logits)[np.arange(12), line["actions"]].mean()
        for _ in range(3):
            one, other = bc.train()["learner"], marwil.train()["learner"]
            assert one == other
            assert "vf_loss" not in one
            if mean is not None:
                assert one["policy_loss"] == one["total_loss"] == pytest.approx(mean, rel=1e-5)
            mean = None
        for mine, theirs in zip(bc.policy.weights().values(), marwil.policy.weights().values(), strict=True):
            np.testing.assert_array_equal(mine, theirs)


@pytest.mark.spec(151)
@pytest.mark.parametrize("kind", [BC, MARWIL])
def test_the_mean_log_deviation_is_weighed(kind, tmp_path):
    actions = np.random.default_rng(2).normal(size=(12, 2))
    line = steps(actions.tolist())
    folder = written(tmp_path, line, actions=Box(-1, 1, (2,)))
    settings = {**SMALL, "gamma": 0.9} if kind is MARWIL else SMALL
    with closing(kind(input=folder, bc_logstd_coeff=0.4, **settings)) as algorithm:
        outputs, values = outputs_and_values(algorithm, np.array(line["obs"]))
        mean, log_std = outputs[:, :2], outputs[:, 2:]
        logp = (-0.5 * ((actions - mean) / np.exp(log_std)) ** 2 - log_std - 0.5 * np.log(2 * np.pi)).sum(axis=1)
        weights = np.ones(12)
        if kind is MARWIL:
            _, next_values = outputs_and_values(algorithm, np.array(line["new_obs"]))
            ends, cuts = (np.array(line[name]) for name in ("terminateds", "truncateds"))
            weights = np.exp((discounted(line["rewards"], ends, cuts, next_values, 0.9) - values) / 10)
        expected = -(weights * (logp + 0.4 * log_std.mean(axis=1))).mean()
        assert algorithm.train()["learner"]["policy_loss"] == pytest.approx(expected, rel=1e-5)
    with pytest.raises(ConfigError, match="Categorical has no `log_std`"):
        kind("CartPole-v1", input="sampler", bc_logstd_coeff=0.4, **SMALL)


def test_no_gradient_flows_through_the_weights(tmp_path):
    """The gradient of the policy loss is that of -mean(w logp) with w held fixed."""
    with closing(MARWIL(input=written(tmp_path, steps(choices())), vf_coeff=0.0, **SMALL)) as algorithm:
        (asked,) = [next(algorithm.updates(algorithm.policy, algorithm.fleet.gather(12)))]
        batch = asked.rows
        losses = algorithm.losses(algorithm.policy, batch)
        model = algorithm.policy.model
        (gradient,) = torch.autograd.grad(losses.by_group["policy"], [next(model.parameters())], retain_graph=True)
        logp = algorithm.policy.evaluate(batch, training=True).distribution.logp(batch["actions"])
        weights = torch.exp(batch["advantages"] / 10)
        (expected,) = torch.autograd.grad(-(weights * logp).mean(), [next(model.parameters())])
        torch.testing.assert_close(gradient, expected)


def test_minibatches_and_epochs_take_every_step(tmp_path):
    folder = written(tmp_path, steps(choices()))
    with closing(BC(input=folder, minibatch_size=4, num_epochs=2, **SMALL)) as algorithm:
        (asked,) = [next(algorithm.updates(algorithm.policy, algorithm.fleet.gather(12)))]
        assert asked.counted.shape == (6, 4)
        assert sorted(asked.order[:3].ravel().tolist()) == list(range(12))


# ---------------------------------------------------------------------------------------------- axes

MEMORIES: dict[str, dict[str, Any]] = {
    "none": {},
    "lstm": {"use_lstm": True, "lstm_cell_size": 4, "max_seq_len": 5, "lstm_use_prev_action": True},
    "gru": {"use_gru": True, "lstm_cell_size": 4, "max_seq_len": 5, "lstm_use_prev_reward": True},
    "gtrxl": {
        "use_attention": True,
        "attention_dim": 4,
        "attention_head_dim": 4,
        "attention_memory_inference": 3,
        "attention_memory_training": 3,
        "max_seq_len": 5,
    },
}
ACTIONS = {
    "discrete": Discrete(3),
    "multidiscrete": MultiDiscrete([3, 2]),
    "bits": MultiBinary(2),
    "box": Box(-2, 3, (2,)),
    "integers": Box(-2, 3, (2,), np.int64),
    "simplex": Simplex((3,)),
    "tuple": Tuple((Discrete(2), Box(-1, 1, (1,)))),
    "dict": Dict(a=MultiDiscrete([2, 2]), b=Tuple((Simplex((2,)), Discrete(3, start=4)))),
}
CELLS = [*zip(ACTIONS, [*MEMORIES] * 2, strict=True), ("tuple", "gtrxl"), ("dict", "lstm")]


def recorded(action: str, folder: Path) -> str:
    """Record steps with such actions."""
    from tests.data.offline.test_trajectories import drawn

    env = drawn(VECTOR, ACTIONS[action])
    with closing(MARWIL(env, input="sampler", output=str(folder), **{**SMALL, "train_batch_size": 23})) as recording:
        recording.train()
    return str(folder)


@pytest.mark.parametrize(("action", "memory"), CELLS)
def test_every_action_space_and_memory(action, memory, tmp_path):
    """Steps are recorded by a policy of one kind, and learnt from by one of another."""
    recorded(action, tmp_path)
    small = {**SMALL, "model": {"fcnet_hiddens": [5], "vf_share_layers": True, **MEMORIES[memory]}}
    with closing(MARWIL(input=str(tmp_path), **small, minibatch_size=8, lr=1e-2)) as algorithm:
        before = algorithm.policy.weights()
        losses = [algorithm.train()["learner"] for _ in range(2)]
        assert all(np.isfinite(loss["total_loss"]) for loss in losses)
        assert any((before[name] != value).any() for name, value in algorithm.policy.weights().items())
        algorithm.save(tmp_path / "saved")
        next_loss = algorithm.train()["learner"]["total_loss"]
    with closing(Algorithm.load(tmp_path / "saved")) as again:
        assert type(again) is MARWIL
        assert float(again.squared_norm) == losses[-1]["squared_norm"]
        assert np.isfinite(again.train()["learner"]["total_loss"])
    assert np.isfinite(next_loss)


def test_sequences_begin_with_the_initial_state(tmp_path):
    model = {"fcnet_hiddens": [5], **MEMORIES["lstm"]}
    with closing(BC(input=written(tmp_path, steps(choices())), **{**SMALL, "model": model})) as algorithm:
        rows = Rows(algorithm.policy, algorithm.fleet.gather(12)).batch()
        assert rows["sequences"].lens.tolist() == [5, 4, 3]
        assert all((state == 0).all() for state in rows["sequences"].state)
        previous = rows["views"]["prev_actions"].leaves()[0].numpy()
        assert previous[[1, 2, 3, 4]].tolist() == algorithm.fleet.gather(12).actions[:4, 0].tolist()


def test_masks_of_recorded_steps_are_respected(tmp_path):
    masks = np.random.default_rng(3).integers(2, size=(12, 3))
    masks[np.arange(12), choices()] = 1
    with closing(BC(input=written(tmp_path, steps(choices(), action_mask=masks.tolist())), **SMALL)) as algorithm:
        logits, _ = outputs_and_values(algorithm, np.array(steps(choices())["obs"]))
        masked = np.where(masks, logits, -np.inf)
        expected = -(logits[np.arange(12), choices()] - np.log(np.exp(masked).sum(axis=1))).mean()
        assert algorithm.train()["learner"]["policy_loss"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"beta": 1.5}, "`beta` is 1.5"),
        ({"beta": -0.1}, "`beta`"),
        ({"bc_logstd_coeff": -1.0}, "`bc_logstd_coeff`"),
        ({"vf_coeff": -1.0}, "`vf_coeff`"),
        ({"moving_average_sqd_adv_norm_start": 0.0}, "norm_start"),
        ({"moving_average_sqd_adv_norm_update_rate": 2.0}, "update_rate"),
        ({"minibatch_size": 0}, "`minibatch_size`"),
        ({"input_max_bad_lines": -1}, "`input_max_bad_lines`"),
    ],
)
def test_keys_out_of_range_are_refused(config, text, tmp_path):
    with pytest.raises(ConfigError, match=text):
        MARWIL(input=str(tmp_path), **config)


def test_bc_has_no_beta(tmp_path):
    with pytest.raises(ConfigError, match=r"`beta` is 0\.5, but BC imitates every action alike"):
        BC(input=str(tmp_path), beta=0.5)


def test_a_discount_of_recorded_returns_is_learnt(tmp_path):
    """Values come to the returns of what was recorded: 1 + 0.5 * 4, and 4."""
    obs = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    line = {
        "type": "SampleBatch",
        "obs": obs,
        "new_obs": [obs[1], [0.0, 0.0, 1.0]],
        "actions": [0, 1],
        "rewards": [1.0, 4.0],
        "dones": [False, True],
        "eps_id": [1, 1],
    }
    folder = written(tmp_path, line)
    with closing(MARWIL(input=folder, gamma=0.5, lr=0.02, **{**SMALL, "train_batch_size": 2})) as algorithm:
        for _ in range(150):
            learner = algorithm.train()["learner"]
        assert learner["explained_variance"] > 0.99
        _, values = outputs_and_values(algorithm, np.array(obs))
        np.testing.assert_allclose(values, [3.0, 4.0], atol=0.05)
        assert algorithm.compute_actions(np.array(obs, np.float32)).tolist() == [0, 1]
