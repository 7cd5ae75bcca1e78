from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete, Tuple

from anyspace.distributions import (
    ActionDistribution,
    Categorical,
    Deterministic,
    DiagGaussian,
    MultiActionDistribution,
    MultiCategorical,
)
from tests.support.frameworks import Framework

# Keys out of alphabetical order on purpose: the space's own order counts.
SPACE = Dict(
    [
        ("move", Tuple((Discrete(3), Box(-1, 1, (2,))))),
        ("aim", Dict([("z", Box(-1, 1, ())), ("a", MultiDiscrete([[2, 2], [2, 2]]))])),
        ("fire", Discrete(2, start=5)),
    ]
)
LENS = [3, 4, 2, 8, 2]
GRID = partial(MultiCategorical, input_lens=[2] * 4, action_space=SPACE["aim"]["a"])
SCALAR = partial(DiagGaussian, action_space=SPACE["aim"]["z"])
CHILDREN = [Categorical, DiagGaussian, SCALAR, GRID, Categorical]
ROWS = 5


def inputs(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(ROWS, sum(LENS)))


def build(framework: Framework, seed: int = 0, **changes: Any) -> MultiActionDistribution:
    settings: dict[str, Any] = {
        "child_distributions": CHILDREN, "input_lens": LENS, "action_space": SPACE, **changes
    }  # fmt: skip
    return MultiActionDistribution(framework.array(inputs(seed)), None, **settings)


def parts(actions: Any) -> list[Any]:
    return [*actions["move"], actions["aim"]["z"], actions["aim"]["a"], actions["fire"]]


def flat(actions: Any) -> np.ndarray:
    return np.concatenate([np.asarray(part).reshape(ROWS, -1) for part in parts(actions)], -1)


def singles(seed: int = 0) -> list[ActionDistribution]:
    slices = np.split(inputs(seed), np.cumsum(LENS)[:-1], -1)
    return [child(part, None) for child, part in zip(CHILDREN, slices, strict=True)]


def close(ours: Any, expected: Any) -> None:
    np.testing.assert_allclose(np.asarray(ours), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.spec(141)
def test_samples_are_structured_like_the_space(framework: Framework) -> None:
    dist = build(framework)
    for actions in (dist.sample(framework.rng(0)), dist.deterministic_sample()):
        assert list(actions) == ["move", "aim", "fire"]
        assert isinstance(actions["move"], tuple)
        assert list(actions["aim"]) == ["z", "a"]
        assert [part.shape[1:] for part in parts(actions)] == [(), (2,), (), (2, 2), ()]
        assert all(len(part) == ROWS for part in parts(actions))


@pytest.mark.spec(141)
def test_logp_entropy_and_kl_are_sums_over_children(framework: Framework) -> None:
    dist, other = build(framework), build(framework, seed=1)
    mine, theirs = singles(), singles(seed=1)
    actions = dist.sample(framework.rng(0))
    values = [np.asarray(part) for part in parts(actions)]
    expected = sum(child.logp(value) for child, value in zip(mine, values, strict=True))
    close(dist.logp(actions), expected)
    close(dist.sampled_action_logp(), expected)
    close(dist.entropy(), sum(child.entropy() for child in mine))
    close(dist.kl(other), sum(a.kl(b) for a, b in zip(mine, theirs, strict=True)))
    assert dist.has_entropy
    assert dist.has_kl


@pytest.mark.spec(141)
def test_flat_and_reordered_actions(framework: Framework) -> None:
    dist = build(framework)
    actions = dist.sample(framework.rng(0))
    expected = np.asarray(dist.logp(actions))
    close(dist.logp(framework.array(flat(actions))), expected)
    reordered = {
        "fire": actions["fire"],
        "aim": {"a": actions["aim"]["a"], "z": actions["aim"]["z"]},
        "move": list(actions["move"]),
    }
    close(dist.logp(reordered), expected)


@pytest.mark.spec(141)
def test_logp_has_no_side_effects(framework: Framework) -> None:
    dist = build(framework)
    actions = dist.sample(framework.rng(0))
    before = flat(actions), np.asarray(dist.sampled_action_logp()), inputs().astype(np.float32)
    elsewhere = framework.array(flat(build(framework, seed=2).sample(framework.rng(1))))
    assert not np.array_equal(np.asarray(dist.logp(elsewhere)), before[1])
    assert np.array_equal(flat(dist.last_sample), before[0])
    assert np.array_equal(np.asarray(dist.sampled_action_logp()), before[1])
    assert np.array_equal(np.asarray(dist.inputs), before[2])


def test_a_sample_s_logp_needs_a_sample(framework: Framework) -> None:
    with pytest.raises(AssertionError, match="sample"):
        build(framework).sampled_action_logp()


def test_noise_drawn_ahead_is_the_noise_of_sample(framework: Framework) -> None:
    dist = build(framework)
    assert dist.noise_width == 3 + 2 + 1 + 8 + 2
    assert dist.draw_noise(framework.rng(3), 7).shape == (7, ROWS, dist.noise_width)
    ahead = dist.sample_from_noise(dist.draw_noise(framework.rng(3), 1)[0])
    assert np.array_equal(flat(ahead), flat(dist.sample(framework.rng(3))))


def test_children_draw_independently(framework: Framework) -> None:
    space = Tuple((Discrete(2), Discrete(2)))
    dist = MultiActionDistribution(
        framework.array(np.zeros((4000, 4))),
        child_distributions=[Categorical, Categorical],
        input_lens=[2, 2],
        action_space=space,
    )
    first, second = (np.asarray(part) for part in dist.sample(framework.rng(0)))
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.07


def test_each_child_gets_its_own_mask(framework: Framework) -> None:
    only_one = framework.array(np.tile([0, 1, 0], (ROWS, 1)), bool)
    grid = framework.array(np.tile([1, 0, 0, 1, 1, 0, 0, 1], (ROWS, 1)), bool)
    dist = build(framework, mask=[only_one, None, None, grid, None])
    actions = dist.sample(framework.rng(0))
    assert np.asarray(actions["move"][0]).tolist() == [1] * ROWS
    assert np.asarray(actions["aim"]["a"]).tolist() == [[[0, 1], [0, 1]]] * ROWS


class Plain(ActionDistribution):
    """A child as users write one: no mask, no random source, no noise."""

    def __init__(self, inputs: Any, model: Any) -> None:
        super().__init__(inputs, model)

    def sample(self) -> Any:  # type: ignore[override]
        return self.inputs[:, 0]

    def logp(self, actions: Any) -> Any:
        return 0.5 * actions


def test_children_of_users(framework: Framework) -> None:
    dist = build(framework, child_distributions=[Categorical, DiagGaussian, Plain, GRID, Categorical])
    assert dist.draw_noise(framework.rng(0), 2) is None
    actions = dist.sample(framework.rng(0))
    assert np.array_equal(actions["aim"]["z"], dist.inputs[:, 7])
    others, values = singles(), [np.asarray(part) for part in parts(actions)]
    expected = sum(others[i].logp(values[i]) for i in (0, 1, 3, 4))
    close(dist.sampled_action_logp(), expected + 0.5 * np.asarray(actions["aim"]["z"]))
    assert not dist.has_entropy
    assert not dist.has_kl


class Estimated(DiagGaussian):
    """Its entropy is an estimate from one sample."""

    def entropy(self, rng: Any = None) -> Any:
        return -self.logp(DiagGaussian.sample(self, rng))


class Summed(MultiActionDistribution):
    """Says itself what its entropy is, and takes no random source."""

    def entropy(self) -> Any:
        return 0 * self.children[1].logp(self.children[1].deterministic_sample()) + 3


def test_entropies_of_children_that_are_estimates_draw_from_the_source(framework: Framework) -> None:
    children = [Categorical, Estimated, SCALAR, GRID, Categorical]
    dist = build(framework, child_distributions=children)
    assert dist.entropy_takes_rng
    found = [np.asarray(dist.entropy_from(lambda seed=seed: framework.rng(seed))) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(found[0], found[1])
    assert not np.allclose(found[0], found[2])
    rest = sum(child.entropy() for i, child in enumerate(singles()) if i != 1)
    drawn = [np.asarray(dist.entropy_from(lambda seed=seed: framework.rng(seed))) - rest for seed in range(300)]
    np.testing.assert_allclose(np.mean(drawn, 0), singles()[1].entropy(), atol=0.3)
    assert not build(framework).entropy_takes_rng
    slices: dict[str, Any] = {"child_distributions": children, "input_lens": LENS, "action_space": SPACE}
    close(Summed(framework.array(inputs()), None, **slices).entropy_from(lambda: framework.rng(0)), 3)


def test_a_child_without_entropy_is_declared_and_named(framework: Framework) -> None:
    children = [Categorical, partial(DiagGaussian), Deterministic, GRID, Categorical]
    dist = build(framework, child_distributions=children, input_lens=[3, 4, 2, 8, 2])
    assert not dist.has_entropy
    assert not dist.has_kl
    with pytest.raises(NotImplementedError, match="Deterministic has no entropy"):
        dist.entropy()
    with pytest.raises(NotImplementedError, match="Deterministic has no kl"):
        dist.kl(dist)


def test_children_see_the_model() -> None:
    model = object()
    dist = MultiActionDistribution(
        np.zeros((1, 2)), model, child_distributions=[Plain], input_lens=[2], action_space=Tuple((Box(0, 1),))
    )
    assert dist.children[0].model is model


def test_lengths_must_cover_the_inputs(framework: Framework) -> None:
    with pytest.raises(ValueError, match="19"):
        build(framework, input_lens=[3, 4, 2, 8, 1])
    with pytest.raises(ValueError, match="10"):
        build(framework).logp(framework.array(np.zeros((ROWS, 10))))


def test_a_subclass_that_replaces_sample_is_sampled_step_by_step() -> None:
    class Zero(MultiActionDistribution):
        def sample(self, rng: Any = None) -> Any:
            actions = super().sample(rng)
            return tuple(part * 0 for part in actions)

    space = gym.spaces.Tuple((Discrete(2),))
    dist = Zero(np.zeros((3, 2)), child_distributions=[Categorical], input_lens=[2], action_space=space)
    assert dist.draw_noise(None, 1) is None
    assert dist.sample()[0].tolist() == [0, 0, 0]


def test_a_flat_list_holds_the_children_in_their_order(framework: Framework) -> None:
    dist = build(framework)
    actions = dist.sample(framework.rng(1))
    wanted = np.asarray(dist.logp(actions))
    leaves = parts(actions)
    np.testing.assert_allclose(np.asarray(dist.logp(leaves)), wanted, rtol=1e-6)
    # Numbers without axes may come as columns, and the list as NumPy arrays.
    columns = [np.asarray(np.asarray(leaf)).reshape(ROWS, -1) for leaf in leaves]
    np.testing.assert_allclose(np.asarray(dist.logp(columns)), wanted, rtol=1e-6)


def test_a_list_for_a_tuple_is_no_flat_list(framework: Framework) -> None:
    space = Tuple((Dict(a=Discrete(3), b=Discrete(2)), Discrete(2)))
    given = {"child_distributions": [Categorical] * 3, "input_lens": [3, 2, 2], "action_space": space}
    dist = MultiActionDistribution(framework.array(inputs()[:, :7]), None, **given)
    zeros = framework.array(np.zeros(ROWS, np.int64))
    nested = dist.logp(({"a": zeros, "b": zeros}, zeros))
    np.testing.assert_array_equal(np.asarray(dist.logp([{"b": zeros, "a": zeros}, zeros])), np.asarray(nested))


def test_members_by_the_names_of_rllib(framework: Framework) -> None:
    dist = build(framework, input_lens=np.array(LENS))
    assert dist.flat_child_distributions is dist.children
    assert dist.input_lens == LENS
    assert dist.action_space_struct["move"] == SPACE["move"].spaces
    with pytest.raises(NotImplementedError, match=r"ModelCatalog\.get_action_dist"):
        MultiActionDistribution.required_model_output_shape(SPACE, {})
