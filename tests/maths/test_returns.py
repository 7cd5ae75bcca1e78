from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from anyspace.maths import (
    discounted_cumsum,
    explained_variance,
    gae,
    lambda_returns,
    n_step,
    reverse_recurrence,
    vtrace,
)
from tests.support.frameworks import Framework

Data = dict[str, np.ndarray]


def random_data(length: int, batch: int, seed: int = 0) -> Data:
    """Transitions with frequent episode ends; next_values agree with values inside an episode."""
    rng = np.random.default_rng(seed)
    rewards, values, log_ratios = rng.normal(size=(3, length, batch))
    terminated = rng.random((length, batch)) < 0.1
    done = terminated | (rng.random((length, batch)) < 0.1)
    next_values = rng.normal(size=(length, batch))
    next_values[:-1] = np.where(done[:-1], next_values[:-1], values[1:])
    return {
        "rewards": rewards, "values": values, "next_values": next_values,
        "terminated": terminated, "done": done, "log_ratios": log_ratios,
    }  # fmt: skip


def native(framework: Framework, data: Data, *names: str) -> list[Any]:
    return [framework.array(data[name], bool if data[name].dtype == bool else np.float32) for name in names]


def episode_rest(done: np.ndarray, t: int, b: int) -> range:
    """Rows from t to the end of its episode, or of the array."""
    stop = next((i for i in range(t, len(done)) if done[i, b]), len(done) - 1)
    return range(t, stop + 1)


def over_rows(data: Data, function: Any) -> np.ndarray:
    length, batch = data["rewards"].shape
    return np.array([[function(t, b) for b in range(batch)] for t in range(length)])


def delta(data: Data, t: int, b: int, gamma: float) -> float:
    bootstrap = 0.0 if data["terminated"][t, b] else data["next_values"][t, b]
    return float(data["rewards"][t, b] + gamma * bootstrap - data["values"][t, b])


def close(ours: Any, reference: Any, tolerance: float = 2e-5) -> None:
    np.testing.assert_allclose(np.asarray(ours), reference, rtol=tolerance, atol=tolerance)


LENGTHS = [1, 31, 32, 70]


@pytest.mark.parametrize("length", LENGTHS)
def test_reverse_recurrence_is_the_loop(framework: Framework, length: int) -> None:
    rng = np.random.default_rng(length)
    b, a = rng.normal(size=(length, 3)), rng.uniform(-1, 1, size=(length, 3))
    a[rng.random(a.shape) < 0.2] = 0.0
    x = rng.normal(size=3)
    arguments = [framework.array(part) for part in (b, a, x)]
    expected = np.empty((length, 3))
    for t in reversed(range(length)):
        x = expected[t] = b[t] + a[t] * x
    close(framework.run(reverse_recurrence, *arguments), expected)
    for argument, before in zip(arguments, (b, a), strict=False):
        assert np.array_equal(np.asarray(argument), before.astype(np.float32))


def test_reverse_recurrence_has_the_loop_s_gradient() -> None:
    b = torch.randn(40, dtype=torch.float64, requires_grad=True)
    a = torch.rand(40, dtype=torch.float64, requires_grad=True)
    last = torch.randn((), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(reverse_recurrence, (b, a, last))


def test_discounted_cumsum_golden(framework: Framework) -> None:
    close(discounted_cumsum(framework.array([0, 1, 2, 3]), 0.9), [4.707, 5.23, 4.7, 3.0])
    close(discounted_cumsum(framework.array([0, 1, 2, 3], np.int32), 0.9), [4.707, 5.23, 4.7, 3.0])
    close(discounted_cumsum(framework.array([1, 2, 3]), 0.9, framework.array(0.8)), [5.8132, 5.348, 3.72])


def test_gae_golden(framework: Framework) -> None:
    rewards, values = framework.array([1, 2, 3]), framework.array([0.5, 0.6, 0.7])
    next_values = framework.array([0.6, 0.7, 0.8])
    never = framework.array([0, 0, 0], bool)
    advantages, targets = gae(rewards, values, next_values, never, never, gamma=0.9, lambda_=0.95)
    close(advantages, [4.9833455, 4.6121, 3.02], 1e-6)
    close(targets, [5.4833455, 5.2121, 3.72], 1e-6)
    advantages, targets = gae(rewards, values, next_values, never, never, gamma=0.9, lambda_=1.0)
    close(advantages, [5.3132, 4.748, 3.02], 1e-6)
    close(targets, [5.8132, 5.348, 3.72], 1e-6)


@pytest.mark.parametrize("length", LENGTHS)
def test_gae_is_the_discounted_sum_of_deltas(framework: Framework, length: int) -> None:
    data = random_data(length, 4)
    expected = over_rows(
        data,
        lambda t, b: sum((0.9 * 0.8) ** (i - t) * delta(data, i, b, 0.9) for i in episode_rest(data["done"], t, b)),
    )
    arguments = native(framework, data, "rewards", "values", "next_values", "terminated", "done")
    advantages, targets = framework.run(partial(gae, gamma=0.9, lambda_=0.8), *arguments)
    close(advantages, expected)
    close(targets, expected + data["values"])
    assert np.asarray(advantages).dtype == np.float32


def test_the_end_of_an_episode_decides_what_is_bootstrapped() -> None:
    one, flags = np.ones((1, 3)), np.array([[True, False, False]])
    done = np.array([[True, True, False]])
    next_values = np.array([[np.nan, 10.0, 10.0]])
    advantages, _ = gae(one, one, next_values, flags, done, gamma=0.9, lambda_=0.9)
    close(advantages, [[0.0, 9.0, 9.0]])
    advantages, _ = gae(one, one, next_values, flags * 1.0, done * 1.0, gamma=0.9, lambda_=0.9)
    close(advantages, [[0.0, 9.0, 9.0]])


@pytest.mark.parametrize("length", LENGTHS)
def test_lambda_returns_mix_the_n_step_returns(framework: Framework, length: int) -> None:
    data, gamma, lambda_ = random_data(length, 4), 0.9, 0.7

    def reference(t: int, b: int) -> float:
        rows, total, reward = episode_rest(data["done"], t, b), 0.0, 0.0
        for k, i in enumerate(rows):
            reward += gamma**k * data["rewards"][i, b]
            bootstrap = 0.0 if data["terminated"][i, b] else data["next_values"][i, b]
            weight = lambda_**k * (1.0 if i == rows[-1] else 1.0 - lambda_)
            total += weight * (reward + gamma ** (k + 1) * bootstrap)
        return total

    expected = over_rows(data, reference)
    arguments = native(framework, data, "rewards", "next_values", "terminated", "done")
    close(framework.run(partial(lambda_returns, gamma=gamma, lambda_=lambda_), *arguments), expected)
    arguments = native(framework, data, "rewards", "values", "next_values", "terminated", "done")
    close(framework.run(partial(gae, gamma=gamma, lambda_=lambda_), *arguments)[1], expected)


def test_n_step_golden(framework: Framework) -> None:
    rewards = framework.array([1, 2, 3, 4, 5])
    terminated = framework.array([0, 0, 0, 0, 1], bool)
    returns, discounts, steps = n_step(rewards, terminated, terminated, n=3, gamma=0.9)
    close(returns, [5.23, 7.94, 10.65, 8.5, 5], 1e-6)
    # The next observation of row t is that of row t + steps - 1: indices 3, 4, 5, 5, 5.
    assert (np.arange(5) + np.asarray(steps)).tolist() == [3, 4, 5, 5, 5]
    close(discounts, [0.729, 0.729, 0, 0, 0], 1e-6)
    never = framework.array([0, 0, 0, 0, 0], bool)
    close(n_step(rewards, never, never, n=3, gamma=0.9)[1], [0.729, 0.729, 0.729, 0.81, 0.9], 1e-6)


@pytest.mark.parametrize("n", [1, 3, 50])
@pytest.mark.parametrize("length", [1, 40])
def test_n_step_sums_at_most_n_rewards_of_one_episode(framework: Framework, n: int, length: int) -> None:
    data = random_data(length, 4)
    window = over_rows(data, lambda t, b: min(n, len(episode_rest(data["done"], t, b))))
    arguments = native(framework, data, "rewards", "terminated", "done")
    returns, discounts, steps = framework.run(partial(n_step, n=n, gamma=0.9), *arguments)
    assert np.array_equal(np.asarray(steps), window)
    assert np.asarray(steps).dtype.kind == "i"
    close(returns, over_rows(data, lambda t, b: sum(
        0.9**j * data["rewards"][t + j, b] for j in range(window[t, b])
    )))  # fmt: skip
    close(discounts, over_rows(data, lambda t, b: (
        0.0 if data["terminated"][t + window[t, b] - 1, b] else 0.9 ** window[t, b]
    )))  # fmt: skip


def test_n_step_refuses_no_step_at_all() -> None:
    with pytest.raises(ValueError, match="n=0"):
        n_step(np.ones(2), np.zeros(2), np.zeros(2), n=0, gamma=0.9)


def test_vtrace_golden(framework: Framework) -> None:
    data = [[0.2, -0.5, 0], [1, 2, 3], [0.5, 0.6, 0.7], [0.6, 0.7, 0.8], [0, 0, 1], [0, 0, 1]]
    targets, advantages = vtrace(*(framework.array(row) for row in data), gamma=0.9)
    close(targets, [3.7781, 3.0868, 3.0], 1e-4)
    close(advantages, [3.2781, 2.4868, 2.3], 1e-4)


@pytest.mark.parametrize("length", LENGTHS)
def test_vtrace_is_the_weighted_sum_of_deltas(framework: Framework, length: int) -> None:
    data, gamma = random_data(length, 4), 0.9
    ratio = np.exp(data["log_ratios"])

    def target(t: int, b: int) -> float:
        total, weight = float(data["values"][t, b]), 1.0
        for i in episode_rest(data["done"], t, b):
            total += weight * min(1.5, ratio[i, b]) * delta(data, i, b, gamma)
            weight *= gamma * min(1.0, ratio[i, b])
        return total

    def advantage(t: int, b: int) -> float:
        following = target(t + 1, b) if len(episode_rest(data["done"], t, b)) > 1 else data["next_values"][t, b]
        following = 0.0 if data["terminated"][t, b] else following
        return min(2.0, ratio[t, b]) * (data["rewards"][t, b] + gamma * following - data["values"][t, b])

    names = ("log_ratios", "rewards", "values", "next_values", "terminated", "done")
    targets, advantages = framework.run(
        partial(vtrace, gamma=gamma, clip_rho=1.5, clip_pg_rho=2.0), *native(framework, data, *names)
    )
    close(targets, over_rows(data, target))
    close(advantages, over_rows(data, advantage))


def test_vtrace_on_policy_is_gae_with_lambda_one() -> None:
    data = random_data(50, 3)
    names = ("rewards", "values", "next_values", "terminated", "done")
    arguments = [data[name] for name in names]
    targets, _ = vtrace(np.zeros((50, 3)), *arguments, gamma=0.9)
    close(targets, gae(*arguments, gamma=0.9, lambda_=1.0)[1], 1e-9)


def test_vtrace_lets_no_gradient_through() -> None:
    arguments = [torch.ones(3, requires_grad=True) for _ in range(4)]
    flags = torch.zeros(3)
    assert not any(result.requires_grad for result in vtrace(*arguments, flags, flags, gamma=0.9))


def test_explained_variance(framework: Framework) -> None:
    targets, predictions = framework.array([1, 2, 3]), framework.array([1.1, 1.9, 3.2])
    close(explained_variance(targets, predictions), 0.97667, 1e-5)
    close(explained_variance(targets, targets), 1.0)
    close(explained_variance(targets, targets * 0.0), 0.0)
    close(explained_variance(targets * 0.0 + 2.0, predictions), 0.0)
    padded = [framework.array([1, 2, 3, np.nan]), framework.array([1.1, 1.9, 3.2, np.inf])]
    close(explained_variance(*padded, framework.array([1, 1, 1, 0], bool)), 0.97667, 1e-5)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 70), st.integers(0, 2**16), st.floats(0, 1), st.floats(0, 1))
def test_torch_equals_numpy(length: int, seed: int, gamma: float, lambda_: float) -> None:
    data = random_data(length, 2, seed)
    names = ("rewards", "values", "next_values", "terminated", "done")
    arrays = [data[name] for name in names]
    tensors = [torch.tensor(array) for array in arrays]
    for ours, numpys in zip(
        gae(*tensors, gamma=gamma, lambda_=lambda_), gae(*arrays, gamma=gamma, lambda_=lambda_), strict=True
    ):
        close(ours, numpys, 1e-6)


@pytest.mark.parametrize("value", [0.1, 123.4, 1e6])
def test_equal_targets_leave_nothing_to_explain(framework: Framework, value: float) -> None:
    targets = framework.array(np.full(1000, value, np.float32))
    predictions = framework.array(np.random.default_rng(0).normal(size=1000).astype(np.float32))
    assert float(explained_variance(targets, predictions)) == 0.0
