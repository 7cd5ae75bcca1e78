import numpy as np
import pytest
import torch
from gymnasium.spaces import Dict, Discrete, MultiBinary, Tuple

from anyspace.distributions import Categorical
from anyspace.errors import ConfigError
from anyspace.models.action_dists import choose_options
from anyspace.models.config import ModelConfig
from anyspace.policy.exploration import EpsilonGreedy, PerWorkerEpsilonGreedy, Place

THREE = Discrete(3)


def epsilons(exploration, timesteps):
    found = []
    for timestep in timesteps:
        exploration.at(timestep)
        found.append(exploration.epsilon)
    return found


@pytest.mark.spec(146)
def test_epsilon_falls_and_stays():
    exploration = EpsilonGreedy(THREE, final_epsilon=0.02, epsilon_timesteps=10_000)
    found = epsilons(exploration, [0, 5000, 9999, 10_000, 10**7])
    np.testing.assert_allclose(found, [1.0, 0.51, 0.020098, 0.02, 0.02], atol=1e-9)
    exploration = EpsilonGreedy(
        THREE, initial_epsilon=0.8, final_epsilon=0.2, warmup_timesteps=10, epsilon_timesteps=30
    )
    np.testing.assert_allclose(epsilons(exploration, [0, 10, 25, 40, 50]), [0.8, 0.8, 0.5, 0.2, 0.2])
    exploration = EpsilonGreedy(THREE, epsilon_schedule=[(0, 0.5), (10, 0.1), (20, 0.3)])
    np.testing.assert_allclose(epsilons(exploration, [5, 10, 15, 99]), [0.3, 0.1, 0.2, 0.3])


@pytest.mark.spec(146)
@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_actions_are_random_as_often_as_epsilon_says(kind):
    convert = np.asarray if kind == "numpy" else torch.from_numpy
    exploration = EpsilonGreedy(THREE, epsilon_schedule=[(0, 0.6)])
    blank = Categorical(torch.zeros(4000, 3))
    noise = exploration.draw(blank, torch.Generator().manual_seed(0), 2)
    assert noise.shape == (2, 4000, 4)
    inputs = np.tile(np.array([[0.0, 2.0, 1.0]], np.float32), (4000, 1))
    mask = np.tile(np.array([[True, True, False]]), (4000, 1))
    for given, shares in ((None, [0.2, 0.6, 0.2]), (mask, [0.3, 0.7, 0])):
        distribution = Categorical(convert(inputs), mask=None if given is None else convert(given))
        row = noise[0].numpy() if kind == "numpy" else noise[0]
        taken = np.asarray(exploration.choose(distribution, explore=True, rng=None, noise=row))
        np.testing.assert_allclose(np.bincount(taken, minlength=3) / 4000, shares, atol=0.03)
        best = np.asarray(exploration.choose(distribution, explore=False, rng=None, noise=row))
        assert set(best.tolist()) == {1}


def test_noise_drawn_ahead_and_at_once_are_alike():
    exploration = EpsilonGreedy(THREE, epsilon_schedule=[(0, 0.6)])
    distribution = Categorical(torch.randn(50, 3))
    ahead = exploration.draw(distribution, torch.Generator().manual_seed(3), 1)[0]
    one = exploration.choose(distribution, explore=True, rng=None, noise=ahead)
    other = exploration.choose(distribution, explore=True, rng=torch.Generator().manual_seed(3), noise=None)
    assert torch.equal(one, other)


def test_epsilon_goes_by_the_steps_of_a_rollout():
    exploration = EpsilonGreedy(THREE, epsilon_schedule=[(19, 1.0), (20, 0.0)])
    noise = exploration.draw(Categorical(torch.zeros(4, 3)), torch.Generator().manual_seed(0), 8)
    # Four environments: steps 0 to 4 are the samples 0 to 19.
    np.testing.assert_array_equal(noise[..., 0].numpy() < 0, (np.arange(8) < 5)[:, None].repeat(4, axis=1))
    exploration.at(20)
    noise = exploration.draw(Categorical(torch.zeros(4, 3)), torch.Generator().manual_seed(0), 8)
    assert noise.shape == (8, 4, 0)
    assert exploration.choose(Categorical(torch.eye(3)), explore=True, rng=None, noise=noise[0, :3]).tolist() == [
        0,
        1,
        2,
    ]


@pytest.mark.spec(146)
def test_composite_actions_are_random_part_by_part_among_what_is_allowed():
    space = Tuple([THREE, Dict(bits=MultiBinary(2))])
    factory, width = choose_options(space, ModelConfig())
    mask = torch.tensor([[1, 0, 1, 1, 1, 0, 1]], dtype=torch.bool).repeat(3000, 1)
    distribution = factory(torch.zeros(3000, width), mask=[mask[:, :3], mask[:, 3:]])
    exploration = EpsilonGreedy(space, epsilon_schedule=[(0, 1.0)])
    choice, parts = exploration.choose(distribution, explore=True, rng=torch.Generator().manual_seed(0), noise=None)
    np.testing.assert_allclose(np.bincount(choice) / 3000, [0.5, 0, 0.5], atol=0.04)
    np.testing.assert_allclose(parts["bits"].float().mean(0), [0.5, 1], atol=0.04)
    both = (choice == 0) & (parts["bits"][:, 0] == 0)
    assert float(both.float().mean()) == pytest.approx(0.25, abs=0.04)


def test_epsilon_by_process():
    found = [PerWorkerEpsilonGreedy(THREE, Place(i, 8)).epsilon for i in range(8)]
    np.testing.assert_allclose(found, [0.4 ** (1 + i) for i in range(8)])
    steady = PerWorkerEpsilonGreedy(THREE, Place(3, 8))
    assert epsilons(steady, [0, 10**6]) == [found[3]] * 2
    alone = PerWorkerEpsilonGreedy(THREE, epsilon_timesteps=10)
    np.testing.assert_allclose(epsilons(alone, [0, 10]), [1, 0.05])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"initial_epsilon": 1.5}, "`initial_epsilon` is 1.5"),
        ({"final_epsilon": -0.1}, "`final_epsilon` is -0.1"),
        ({"epsilon_timesteps": 0}, "`epsilon_timesteps` is 0"),
        ({"warmup_timesteps": -1}, "`warmup_timesteps` is -1"),
        ({"epsilon_schedule": [(5, 0.1), (5, 0.2)]}, "`epsilon_schedule` is .* must rise"),
    ],
)
def test_settings_out_of_range(settings, message):
    with pytest.raises(ConfigError, match=message):
        EpsilonGreedy(THREE, **settings)
