import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete, Tuple

from anyspace.distributions import Deterministic, MultiActionDistribution
from anyspace.errors import ConfigError
from anyspace.policy.exploration import ALONE, GaussianNoise, OrnsteinUhlenbeckNoise, Place

TWO = Box(-1, 1, (2,))
STEADY = {"random_timesteps": 0, "initial_scale": 0.5, "final_scale": 0.5}


def centred(rows, value=0.2):
    return Deterministic(torch.full((rows, 2), value))


def source(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.spec(146)
def test_gaussian_noise_is_added_and_clipped():
    exploration = GaussianNoise(TWO, stddev=0.1, **STEADY)
    noise = exploration.draw(centred(3000), source(), 3)
    assert noise.shape == (3, 3000, 2)
    moved = exploration.choose(centred(3000), explore=True, rng=None, noise=noise[1])
    np.testing.assert_allclose(moved.mean(0), [0.2, 0.2], atol=0.005)
    np.testing.assert_allclose(moved.std(0), [0.05, 0.05], atol=0.003)
    at_once = exploration.choose(centred(3000), explore=True, rng=source(5), noise=None)
    np.testing.assert_allclose(at_once.std(0), [0.05, 0.05], atol=0.003)
    assert (
        exploration.choose(centred(2), explore=False, rng=None, noise=noise[0]).tolist()
        == [[pytest.approx(0.2)] * 2] * 2
    )
    clipped = exploration.choose(centred(3000, 0.99), explore=True, rng=None, noise=noise[1])
    assert clipped.max() == 1
    as_arrays = exploration.choose(
        Deterministic(np.full((3000, 2), 0.2, np.float32)), explore=True, rng=None, noise=noise[1].numpy()
    )
    np.testing.assert_array_equal(as_arrays, moved)


def test_the_scale_falls_with_the_steps_and_the_first_are_random():
    exploration = GaussianNoise(TWO, stddev=0.01, random_timesteps=8, scale_timesteps=100)
    scales = []
    for timestep in (0, 8, 58, 108, 500):
        exploration.at(timestep)
        scales.append(exploration.scale)
    np.testing.assert_allclose(scales, [1, 1, 0.51, 0.02, 0.02])
    exploration.at(0)
    noise = exploration.draw(centred(4), source(), 4)  # samples 0 to 15
    is_random = [
        (exploration.choose(centred(4), explore=True, rng=None, noise=row) - 0.2).abs().max() > 0.1 for row in noise
    ]
    assert is_random == [True, True, False, False]
    exploration.at(8)
    assert exploration.draw(centred(4), source(), 4).shape == (4, 4, 2)


@pytest.mark.parametrize("kind", [GaussianNoise, OrnsteinUhlenbeckNoise])
def test_the_scale_counts_the_steps_of_other_processes(kind):
    def drawn(place, **settings):
        return kind(TWO, place, random_timesteps=0, **settings).draw(centred(2), source(), 4)

    settings = {"initial_scale": 1.0, "final_scale": 0.0, "scale_timesteps": 24}
    steady = drawn(ALONE, initial_scale=1.0, final_scale=1.0)
    # Two environments in each of three processes: 6 samples a step.
    np.testing.assert_allclose(drawn(Place(1, 3), **settings)[:, 0, 0] / steady[:, 0, 0], [1, 0.75, 0.5, 0.25], 1e-5)


@pytest.mark.spec(146)
def test_ou_noise_moves_as_its_equation_says():
    exploration = OrnsteinUhlenbeckNoise(
        Box(np.array([-1, -np.inf], np.float32), np.array([1, np.inf], np.float32), (2,), np.float32), **STEADY
    )
    first, second = exploration.draw(centred(3), source(1), 4), exploration.draw(centred(3), source(2), 2)
    pushes = [torch.randn((4, 3, 2), generator=source(1)), torch.randn((2, 3, 2), generator=source(2))]
    x, path = np.zeros((3, 2)), []
    for push in torch.cat(pushes).numpy().astype(np.float64):
        x = x + 0.15 * (0 - x) + 0.2 * push
        path.append(0.5 * 0.1 * x * np.array([2.0, 1.0]))  # scale, base scale, high - low or 1
    np.testing.assert_allclose(torch.cat([first, second]), path, atol=1e-6)
    np.testing.assert_allclose(exploration.state()["x"], x, atol=1e-6)


def test_ou_noise_goes_on_after_a_checkpoint_and_is_left_alone_by_others():
    one, other = OrnsteinUhlenbeckNoise(TWO, **STEADY), OrnsteinUhlenbeckNoise(TWO, **STEADY)
    one.draw(centred(3), source(1), 4)
    before = one.state()
    one.choose(centred(1), explore=True, rng=source(), noise=None)
    np.testing.assert_array_equal(one.state()["x"], before["x"])
    other.load_state(before)
    assert torch.equal(one.draw(centred(3), source(2), 4), other.draw(centred(3), source(2), 4))
    assert one.draw(centred(5), source(2), 1).shape == (1, 5, 2)
    # Beside collecting x is drawn from its stationary distribution.
    moved = one.choose(centred(20_000, 0.0), explore=True, rng=source(), noise=None)
    np.testing.assert_allclose(moved.std(0), 0.5 * 0.1 * 2 * 0.2 / np.sqrt(1 - 0.85**2), rtol=0.03)


def test_other_leaves_stay_as_they_are():
    space = Tuple([Discrete(3), TWO])
    from anyspace.distributions import Categorical

    distribution = MultiActionDistribution(
        torch.tensor([[0.0, 1.0, 0.0, 0.3, 0.4]] * 4),
        child_distributions=[Categorical, Deterministic],
        input_lens=[3, 2],
        action_space=space,
    )
    exploration = GaussianNoise(space, **STEADY)
    choice, moved = exploration.choose(distribution, explore=True, rng=source(), noise=None)
    assert choice.tolist() == [1] * 4
    assert ((moved - torch.tensor([0.3, 0.4])).abs() > 0).all()


def test_what_has_no_float_box_gets_no_noise():
    for kind in (GaussianNoise, OrnsteinUhlenbeckNoise):
        with pytest.raises(
            ConfigError, match=rf"{kind.__name__} adds noise to float Boxes, but Discrete\(2\) has none"
        ):
            kind(Discrete(2))


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (GaussianNoise, {"stddev": -1.0}, "`stddev` is -1.0"),
        (GaussianNoise, {"scale_timesteps": 0}, "`scale_timesteps` is 0"),
        (GaussianNoise, {"random_timesteps": -1}, "`random_timesteps` is -1"),
        (OrnsteinUhlenbeckNoise, {"ou_theta": 0.0}, "`ou_theta` is 0.0"),
        (OrnsteinUhlenbeckNoise, {"ou_sigma": -0.5}, "`ou_sigma` is -0.5"),
    ],
)
def test_settings_out_of_range(kind, settings, message):
    with pytest.raises(ConfigError, match=message):
        kind(TWO, **settings)
