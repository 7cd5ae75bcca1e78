"""Noise on parameters: when its deviation grows, against a reference in NumPy alone, and what acts on top of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete, MultiDiscrete, Tuple

from anyspace import DQN
from anyspace.distributions import Categorical, Deterministic, MultiActionDistribution, MultiCategorical
from anyspace.errors import ConfigError
from anyspace.policy.exploration import GaussianNoise, OrnsteinUhlenbeckNoise, ParameterNoise

THREE, PAIR, BOX = Discrete(3), MultiDiscrete([3, 2]), Box(-1, 1, (2,))
BITS = np.arange(4, dtype=np.uint32)
RNG = np.random.default_rng(0)
OWN, NOISY = (RNG.normal(size=(6, 5)).astype(np.float32) for _ in range(2))


def log_softmax(x: Any, mask: Any) -> Any:
    x = np.where(mask, x.astype(np.float64), -np.inf)
    return x - np.log(np.exp(x).sum(axis=-1, keepdims=True))


def divergence(one: Any, other: Any, mask: Any) -> Any:
    p, q = log_softmax(one, mask), log_softmax(other, mask)
    return np.where(mask, np.exp(p) * (np.where(mask, p, 0) - np.where(mask, q, 0)), 0).sum(axis=-1)


def grows(exploration: ParameterNoise, own: Any, perturbed: Any) -> bool:
    """Whether the deviation grows with one step of these distributions; it shrinks otherwise."""
    before = exploration.stddev
    exploration.compare(own, perturbed)
    exploration.begin(BITS)
    assert exploration.stddev == pytest.approx(before * 1.01) or exploration.stddev == pytest.approx(before / 1.01)
    return exploration.stddev > before


@pytest.mark.parametrize("as_array", [torch.from_numpy, np.asarray])
@pytest.mark.parametrize("masked", [False, True])
def test_the_deviation_goes_by_the_divergence_from_what_epsilon_greedy_does(as_array: Any, masked: bool) -> None:
    mask = RNG.integers(2, size=(6, 5)).astype(bool) if masked else np.ones((6, 5), bool)
    mask[:, 0] = True
    for size in np.geomspace(0.01, 1, 9):
        noisy = (OWN + size * NOISY).astype(np.float32)
        distance = divergence(OWN, noisy, mask).mean()
        for epsilon in (0.01, 0.1, 0.4, 1.0):
            delta = np.mean(-np.log(1 - epsilon + epsilon / mask.sum(axis=1)))
            exploration = ParameterNoise(Discrete(5), sub_exploration={"epsilon_schedule": [(0, epsilon)]})
            given = {"mask": as_array(mask)} if masked else {}
            own, perturbed = (Categorical(as_array(x), **given) for x in (OWN, noisy))
            assert grows(exploration, own, perturbed) == (distance <= delta)


def test_several_choices_diverge_by_their_sum_and_count_by_their_product() -> None:
    def distribution(x: Any) -> MultiCategorical:
        return MultiCategorical(torch.from_numpy(x), input_lens=(3, 2), action_space=PAIR)

    parts = [(OWN[:, a:b], (OWN + 0.3 * NOISY)[:, a:b]) for a, b in ((0, 3), (3, 5))]
    distance = sum(divergence(one, other, np.ones(one.shape, bool)) for one, other in parts).mean()
    pair = distribution(OWN), distribution((OWN + 0.3 * NOISY).astype(np.float32))
    # Of which epsilon is the distance delta? Of six actions, to both sides of it.
    border = (1 - np.exp(-distance)) / (1 - 1 / 6)
    for epsilon in (0.98 * border, 1.02 * border):
        assert grows(ParameterNoise(PAIR, sub_exploration={"epsilon_schedule": [(0, epsilon)]}), *pair) == (
            epsilon > border
        )


def test_masks_of_several_parts_are_counted_part_by_part() -> None:
    space = Tuple([Discrete(3), Discrete(2)])
    mask = [torch.tensor([[1, 1, 0], [1, 1, 1]]), None]
    distribution = MultiActionDistribution(
        torch.zeros(2, 5), mask=mask, child_distributions=[Categorical] * 2, input_lens=[3, 2], action_space=space
    )
    exploration = ParameterNoise(space, sub_exploration={"epsilon_schedule": [(0, 0.5)]})
    exploration.compare(distribution, distribution)
    np.testing.assert_allclose(exploration.state()["sums"], [2, 0, -np.log(0.5 + 0.5 / 4) - np.log(0.5 + 0.5 / 6)])


@pytest.mark.parametrize(
    ("second", "deviation"),
    [
        ({"ou_sigma": 0.4}, 0.5 * 0.4),
        ({"type": "OrnsteinUhlenbeckNoise"}, 0.5 * 0.2),
        ({"type": "GaussianNoise", "stddev": 0.3}, 0.5 * 0.3),
    ],
)
def test_numbers_differ_by_their_root_mean_square(second: dict[str, Any], deviation: float) -> None:
    second = {**second, "initial_scale": 0.5, "final_scale": 0.5}
    own = RNG.uniform(-1, 1, (7, 2)).astype(np.float32)
    for size in (0.9, 1.1):
        moves = RNG.normal(size=(7, 2))
        moves *= size * deviation / np.sqrt(np.mean(moves**2))
        pair = [Deterministic(torch.from_numpy(x.astype(np.float32))) for x in (own, own + moves)]
        assert grows(ParameterNoise(BOX, sub_exploration=second), *pair) == (size < 1)


def test_what_was_compared_since_the_noise_was_drawn_counts_together() -> None:
    exploration = ParameterNoise(THREE, initial_stddev=2.0, random_timesteps=0)  # epsilon is 0.01
    exploration.begin(BITS)
    assert exploration.stddev == 2.0, "nothing was compared before the first episode"
    near, far = (Categorical(torch.tensor([[0.0, 0.0, x]])) for x in (1e-3, 2.0))
    own = Categorical(torch.zeros(1, 3))
    for perturbed in (far, *[near] * 9):
        exploration.compare(own, perturbed)
    exploration.begin(BITS)
    assert exploration.stddev == pytest.approx(2 / 1.01)
    exploration.compare(own, near)
    exploration.begin(BITS)
    assert exploration.stddev == pytest.approx(2)


def test_weights_get_normal_noise_of_the_deviation() -> None:
    weights: dict[str, Any] = {
        "b": np.zeros((80, 50), np.float32),
        "a": np.full(3000, 5.0, np.float32),
        "norm": np.ones(4, np.float32),
        "count": np.asarray(3),
    }
    kept = {name: weight.copy() for name, weight in weights.items()}
    exploration = ParameterNoise(THREE, initial_stddev=0.3)
    takes = {"a", "b"}.__contains__
    assert all(exploration.perturbed(weights, takes)[name] is weight for name, weight in weights.items())
    exploration.begin(BITS)
    noisy = exploration.perturbed(weights, takes)
    assert noisy["norm"] is weights["norm"]
    assert noisy["count"] is weights["count"]
    for name, mean in (("a", 5.0), ("b", 0.0)):
        assert noisy[name].dtype == np.float32
        assert noisy[name].mean() == pytest.approx(mean, abs=0.02)
        assert noisy[name].std() == pytest.approx(0.3, rel=0.03)
        np.testing.assert_array_equal(weights[name], kept[name])
    # The noise stays while the weights move, until the next episode; its bits decide it.
    moved = exploration.perturbed({name: weight + 1 for name, weight in weights.items()}, takes)
    np.testing.assert_allclose(moved["a"] - noisy["a"], 1, atol=1e-5)
    exploration.begin(BITS + 1)
    assert (exploration.perturbed(weights, takes)["a"] != noisy["a"]).mean() > 0.9
    exploration.begin(BITS)
    np.testing.assert_array_equal(exploration.perturbed(weights, takes)["a"], noisy["a"])


def test_the_state_says_everything() -> None:
    def played(exploration: ParameterNoise, seed: int) -> list[Any]:
        rng, distribution = torch.Generator().manual_seed(seed), Deterministic(torch.zeros(3, 2))
        noise = exploration.draw(distribution, rng, 2)
        exploration.compare(distribution, Deterministic(torch.ones(3, 2)))
        weights = exploration.perturbed({"w": np.zeros(5, np.float32)}, lambda _: True)
        return [noise, weights["w"], exploration.state()["sums"]]

    one, other = (ParameterNoise(BOX, random_timesteps=0) for _ in range(2))
    one.begin(BITS)
    played(one, 0)
    one.begin(BITS + 1)
    played(one, 1)
    other.load_state(one.state())
    assert other.stddev == one.stddev == pytest.approx(1 / 1.01)
    for mine, theirs in zip(played(one, 2), played(other, 2), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_what_acts_on_top() -> None:
    exploration = ParameterNoise(THREE, random_timesteps=20)
    epsilons = []
    for timestep in (0, 19, 20, 1000):
        exploration.at(timestep)
        epsilons.append(exploration.sub.epsilon)  # type: ignore[union-attr]
    assert epsilons == [1, 1, 0.01, 0.01]
    assert ParameterNoise(THREE, random_timesteps=0).sub.epsilon == 0.01  # type: ignore[union-attr]
    best = Categorical(torch.tensor([[0.0, 3.0, 1.0]] * 4))
    assert exploration.choose(best, explore=False, rng=None, noise=None).tolist() == [1] * 4
    noise = exploration.draw(best, torch.Generator().manual_seed(0), 100)
    assert noise is not None
    chosen = torch.stack([exploration.choose(best, explore=True, rng=None, noise=row) for row in noise])
    assert 0.9 < (chosen == 1).float().mean() < 1

    numbers = ParameterNoise(BOX)
    assert isinstance(numbers.sub, OrnsteinUhlenbeckNoise)
    assert numbers.sub.random_timesteps == 10_000
    gaussian = ParameterNoise(BOX, sub_exploration={"type": "GaussianNoise", "random_timesteps": 3})
    assert isinstance(gaussian.sub, GaussianNoise)
    assert gaussian.sub.random_timesteps == 3


@pytest.mark.parametrize(
    ("space", "settings", "message"),
    [
        (THREE, {"initial_stddev": 0.0}, "`initial_stddev` is 0.0"),
        (THREE, {"random_timesteps": -1}, "`random_timesteps` is -1"),
        (Tuple([THREE, BOX]), {}, "is neither of them alone; take StochasticSampling"),
        (THREE, {"sub_exploration": {"type": "SoftQ"}}, "ParameterNoise takes EpsilonGreedy or PerWorkerEpsilonGreedy"),
        (BOX, {"sub_exploration": {"type": "EpsilonGreedy"}}, "takes OrnsteinUhlenbeckNoise or GaussianNoise"),
        (THREE, {"sub_exploration": {"epsilon": 1}}, "`sub_exploration` has 'epsilon', which EpsilonGreedy does not"),
    ],
)
def test_what_cannot_work_is_refused(space: Any, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ParameterNoise(space, **settings)


def test_distributions_without_a_divergence_are_named() -> None:
    with pytest.raises(ConfigError, match=r"Deterministic defines no kl\(\)"):
        ParameterNoise(THREE).compare(Deterministic(torch.zeros(1, 3)), Deterministic(torch.zeros(1, 3)))


@pytest.mark.parametrize("has_kl", [True, False])
def test_a_divergence_is_asked_for_when_an_algorithm_is_built(has_kl: bool) -> None:
    class Own(Categorical):
        pass

    Own.has_kl = has_kl
    settings: dict[str, Any] = {"model": {"custom_action_dist": Own, "fcnet_hiddens": [2]}, "hiddens": [2]}

    def build() -> DQN:
        return DQN("CartPole-v1", settings, exploration_config={"type": "ParameterNoise"}, preset="none")

    if has_kl:
        assert not build().policy.exploration.state()["sums"].any()
        return
    with pytest.raises(ConfigError, match=r"Own defines no kl\(\)"):
        build()
