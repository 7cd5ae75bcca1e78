"""The joint distribution of the parts of an action, over a plain-array network, against sums over all actions."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Tuple

from anyspace import tree
from anyspace.distributions import AutoregressiveActions, Beta, DiagGaussian, Dirichlet, autoregressive, parts
from anyspace.errors import ModelError
from anyspace.maths.xp import xp
from anyspace.models import ModelCatalog
from anyspace.spaces import ActionMasks, Simplex, decode, flatten_actions
from tests.support.catalogue import ACTION_SPACES, rows_of
from tests.support.frameworks import Framework

C = 3
DISCRETE: dict[str, gym.Space[Any]] = {
    "pair": Tuple((Discrete(3), Discrete(4, start=5))),
    "grid": MultiDiscrete([[2, 3], [1, 4]], start=[[0, -1], [7, 2]]),
    "bits": MultiBinary([2, 2]),
    "levels": Box(np.array([0, -1]), np.array([2, 1]), dtype=np.int8),
    "unsorted": Dict([("z", Discrete(2)), ("b", Tuple((MultiBinary(2), Box(5, 6, (), np.int32)))), ("a", Discrete(3))]),
    "truths": Dict({"yes": Box(0, 1, (2,), np.bool_), "which": Discrete(2)}),
}
MIXED: dict[str, gym.Space[Any]] = {
    "continuous last": Tuple((Discrete(3), MultiDiscrete([2, 2]), Box(-1, 1, (2,)))),
    "continuous first": Dict(aim=Box(-1, 1, ()), fire=Discrete(2)),
    "shares between": Tuple((Discrete(2), Simplex((3,)), Discrete(3))),
}


def options_of(space: gym.Space[Any]) -> list[int]:
    """Return the options of every choice, 0 for each continuous leaf, worked out without the library."""
    if isinstance(space, Dict | Tuple):
        children = space.spaces.values() if isinstance(space, Dict) else space.spaces
        return [count for child in children for count in options_of(child)]
    if isinstance(space, Discrete):
        return [int(space.n)]
    if isinstance(space, MultiDiscrete):
        return space.nvec.ravel().tolist()
    if isinstance(space, MultiBinary):
        return [2] * math.prod(space.shape)
    if isinstance(space, Simplex) or space.dtype.kind == "f":
        return [0]
    return (space.high.astype(int) - space.low.astype(int) + 1).ravel().tolist()


def several_parts() -> list[str]:
    return [name for name, space in ACTION_SPACES.items() if len(options_of(space)) > 1]


class Network:
    """Parameters of each part from the context and the parts before it, by loops over parts; it counts its calls."""

    def __init__(self, widths: list[tuple[int, int]], seed: int = 0, scale: float = 1.0) -> None:
        rng = np.random.default_rng(seed)
        self.calls = 0
        encodings, parameters = (sum(width) for width in zip(*widths, strict=True))
        self.context = rng.normal(0, scale, (C, parameters))
        self.actions = np.zeros((encodings, parameters))
        row = column = 0
        for encoding, width in widths:
            self.actions[:row, column : column + width] = rng.normal(0, scale, (row, width))
            row, column = row + encoding, column + width

    def __call__(self, context: Any, encoded: Any) -> Any:
        self.calls += 1
        ns = xp(context)
        first, second = ns.cast(self.context, like=context), ns.cast(self.actions, like=context)
        return 2.0 * ns.tanh(context @ first + encoded @ second)


class Model:
    def __init__(self, network: Any) -> None:
        self.action_network = network


Build = Callable[..., AutoregressiveActions]


def building(space: gym.Space[Any], seed: int = 0, **config: Any) -> tuple[Build, Network]:
    """Return what builds the distribution from contexts, and its network."""
    factory, _ = ModelCatalog.get_action_dist(space, {"autoregressive_actions": True, **config})
    of_space = factory.keywords["parts"].parts  # type: ignore[attr-defined]
    network = Network([(part.encoding, part.parameters) for part in of_space], seed)
    return lambda inputs, **extras: factory(inputs, Model(network), **extras), network  # type: ignore[return-value]


def contexts(rows: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, C))


def all_actions(space: gym.Space[Any]) -> np.ndarray:
    return np.array(list(itertools.product(*map(range, options_of(space)))))


def reference(space: gym.Space[Any], network: Network, context: np.ndarray, allowed: np.ndarray | None = None) -> Any:
    """Return the probabilities of all actions, in the order of `all_actions`, by the product of the conditionals."""
    options = options_of(space)
    firsts = np.cumsum([0, *options])
    probabilities = []
    for action in all_actions(space):
        encoded, p = np.zeros(firsts[-1]), 1.0
        for first, count, choice in zip(firsts, options, action, strict=False):
            logits = network(context[None], encoded[None])[0, first : first + count]
            weights = np.exp(logits) * (1 if allowed is None else allowed[first : first + count])
            p *= weights[choice] / weights.sum()
            encoded[first + choice] = 1
        probabilities.append(p)
    return np.array(probabilities)


def close(ours: Any, expected: Any, tolerance: float = 1e-4) -> None:
    np.testing.assert_allclose(np.asarray(ours), expected, rtol=tolerance, atol=tolerance)


# ------------------------------------------------------------------------------------- probabilities


@pytest.mark.spec(167)
@pytest.mark.parametrize("name", DISCRETE)
def test_every_action_has_the_product_of_its_parts_probabilities_and_they_sum_to_one(
    framework: Framework, name: str
) -> None:
    space = DISCRETE[name]
    build, network = building(space)
    (context,) = contexts(1)
    actions = all_actions(space)
    dist = build(framework.array(np.tile(context, (len(actions), 1))))
    p = np.exp(np.asarray(dist.logp(framework.array(actions, np.int64))))
    close(p, reference(space, network, context))
    close(p.sum(), 1.0)


@pytest.mark.spec(167)
@pytest.mark.parametrize("name", [*DISCRETE, *MIXED])
def test_scoring_is_one_pass_and_sampling_one_per_part(framework: Framework, name: str) -> None:
    space = (DISCRETE | MIXED)[name]
    build, network = building(space)
    dist = build(framework.array(contexts(4)))
    actions = dist.sample(framework.rng(0))
    assert network.calls == len(options_of(space))
    logp = dist.logp(actions)
    assert network.calls == len(options_of(space)) + 1
    assert np.array_equal(np.asarray(dist.sampled_action_logp()), np.asarray(logp))


@pytest.mark.parametrize("name", MIXED)
def test_densities_of_continuous_parts_are_conditional(framework: Framework, name: str) -> None:
    space = MIXED[name]
    build, network = building(space)
    dist = build(framework.array(contexts(5)))
    actions = dist.sample(framework.rng(0))
    columns = np.split(
        np.concatenate([np.asarray(leaf).reshape(5, -1) for leaf in tree.leaves(actions)], -1).astype(np.float64),
        np.cumsum(SIZES[name])[:-1],
        axis=1,
    )
    encoded = np.zeros((5, sum(count or size for count, size in zip(options_of(space), SIZES[name], strict=True))))
    expected, row, column = np.zeros(5), 0, 0
    for values, count, kind in zip(columns, options_of(space), KINDS[name], strict=True):
        width = count or kind.required_model_output_shape(Box(-1, 1, values.shape[1:]), None)
        parameters = network(contexts(5), encoded)[:, column : column + width]
        if count:
            log_probs = parameters - np.log(np.exp(parameters).sum(-1, keepdims=True))
            expected += log_probs[np.arange(5), values[:, 0].astype(int)]
            values = np.eye(count)[values[:, 0].astype(int)]
        else:
            expected += kind(parameters).logp(values)
        encoded[:, row : row + values.shape[1]] = values
        row, column = row + values.shape[1], column + width
    close(dist.logp(actions), expected)


SIZES = {"continuous last": [1, 1, 1, 2], "continuous first": [1, 1], "shares between": [1, 3, 1]}
KINDS: dict[str, list[Any]] = {
    "continuous last": [None, None, None, DiagGaussian],
    "continuous first": [DiagGaussian, None],
    "shares between": [None, Dirichlet, None],
}


@pytest.mark.spec(166)
def test_actions_are_drawn_with_their_probabilities(framework: Framework) -> None:
    space, rows = DISCRETE["pair"], 40_000
    build, network = building(space)
    (context,) = contexts(1)
    actions = build(framework.array(np.tile(context, (rows, 1)))).sample(framework.rng(0))
    assert isinstance(actions, tuple)
    p = reference(space, network, context).reshape(3, 4)
    counts = np.zeros((3, 4))
    np.add.at(counts, tuple(np.asarray(part) for part in actions), 1)
    assert np.all(np.abs(counts / rows - p) < 4 * np.sqrt(p * (1 - p) / rows))
    independent = p.sum(1, keepdims=True) * p.sum(0)
    assert np.abs(counts / rows - independent).max() > 0.05, "the parts are not correlated: the test shows nothing"


# --------------------------------------------------------------------------------------------- structure


@pytest.mark.parametrize("name", several_parts())
@pytest.mark.parametrize("convert", [np.asarray, torch.as_tensor], ids=["numpy", "torch"])
def test_actions_are_structured_as_by_default(convert: Any, name: str) -> None:
    space, rows = ACTION_SPACES[name], 6
    build, _ = building(space)
    default, size = ModelCatalog.get_action_dist(space)
    expected = default(convert(np.zeros((rows, size), np.float32)), None).sample()
    dist = build(convert(contexts(rows).astype(np.float32)))
    for actions in (dist.sample(), dist.deterministic_sample()):
        found, wanted = list(tree.iter_leaves(actions)), list(tree.iter_leaves(expected))
        assert [(path, leaf.shape, leaf.dtype) for path, leaf in found] == [
            (path, leaf.shape, leaf.dtype) for path, leaf in wanted
        ]
        env_actions = decode(space, tree.map_leaves(np.asarray, actions))
        assert all(row in space for row in rows_of(space, env_actions, rows))
        close(dist.logp(flatten_actions(space, actions)), dist.logp(actions))
        assert np.isfinite(np.asarray(dist.logp(actions))).all()


def test_keys_in_another_order_and_components_in_a_list(framework: Framework) -> None:
    build, _ = building(DISCRETE["unsorted"])
    dist = build(framework.array(contexts(5)))
    actions = dist.sample(framework.rng(0))
    close(dist.logp({"a": actions["a"], "b": list(actions["b"]), "z": actions["z"]}), dist.logp(actions))
    build, _ = building(DISCRETE["levels"])
    dist = build(framework.array(contexts(5)))
    actions = dist.sample(framework.rng(0))
    close(dist.logp([actions[:, 0], actions[:, 1]]), dist.logp(actions))


@pytest.mark.parametrize("convert", [np.asarray, torch.as_tensor], ids=["numpy", "torch"])
def test_batches_of_more_axes(convert: Any) -> None:
    build, _ = building(MIXED["continuous last"])
    flat, deep = build(convert(contexts(6))), build(convert(contexts(6).reshape(2, 3, C)))
    actions = flat.sample()
    again = tree.map_leaves(lambda leaf: leaf.reshape((2, 3, *leaf.shape[1:])), actions)
    close(deep.logp(again), np.asarray(flat.logp(actions)).reshape(2, 3))
    close(deep.entropy(), np.asarray(flat.entropy()).reshape(2, 3))
    assert deep.kl(deep).shape == (2, 3)
    assert [leaf.shape for leaf in tree.leaves(deep.sample())] == [(2, 3), (2, 3, 2), (2, 3, 2)]


def test_each_part_takes_its_likeliest_value_given_those_before(framework: Framework) -> None:
    space = DISCRETE["grid"]
    build, network = building(space)
    found = np.asarray(build(framework.array(contexts(4))).deterministic_sample()).reshape(4, -1)
    for context, action in zip(contexts(4), found, strict=True):
        p = reference(space, network, context).reshape(2, 3, 1, 4)
        for choice in action:
            assert p.reshape(len(p), -1).sum(1).argmax() == choice
            p = p[choice]


@pytest.mark.parametrize("name", ["unsorted", "continuous last", "continuous first"])
def test_noise_drawn_ahead_is_the_noise_of_sample(framework: Framework, name: str) -> None:
    build, _ = building((DISCRETE | MIXED)[name])
    dist = build(framework.array(contexts(5)))
    noise = dist.draw_noise(framework.rng(3), 1)
    assert noise.shape == (1, 5, dist.noise_width)
    ahead, now = dist.sample_from_noise(noise[0]), dist.sample(framework.rng(3))
    assert all(map(np.array_equal, tree.leaves(ahead), tree.leaves(now)))


def test_parts_without_such_noise_are_sampled_step_by_step(framework: Framework) -> None:
    build, _ = building(MIXED["shares between"])
    assert build(framework.array(contexts(2))).draw_noise(framework.rng(0), 3) is None


def test_only_sampling_changes_the_latest_sample(framework: Framework) -> None:
    build, _ = building(MIXED["continuous first"])
    dist = build(framework.array(contexts(5)))
    with pytest.raises(AssertionError, match="sample"):
        dist.sampled_action_logp()
    before = dist.sample(framework.rng(0))
    dist.logp(build(framework.array(contexts(5))).sample(framework.rng(1)))
    dist.entropy(framework.rng(2))
    assert dist.last_sample is before


# ------------------------------------------------------------------------------------------------- masks


def some_masks(space: gym.Space[Any], rows: int, seed: int = 0) -> np.ndarray:
    """Draw masks [rows, A] that allow something everywhere, but for the last row, which allows nothing."""
    rng, options = np.random.default_rng(seed), options_of(space)
    columns = [np.eye(count)[rng.integers(count, size=rows)] for count in options if count]
    mask = (np.concatenate(columns, -1) + (rng.random((rows, sum(options))) < 0.3)) > 0
    mask[-1] = False
    return mask


@pytest.mark.parametrize("name", ["grid", "unsorted"])
def test_what_is_masked_has_probability_0_whatever_comes_before(framework: Framework, name: str) -> None:
    space, rows = DISCRETE[name], 7
    build, network = building(space)
    mask = some_masks(space, rows)
    split = ActionMasks(space).split(framework.array(mask, bool))
    dist = build(framework.array(contexts(rows)), mask=split)
    effective = np.where(mask.any(1, keepdims=True), mask, True)
    p = [reference(space, network, context, row) for context, row in zip(contexts(rows), effective, strict=True)]
    for action, expected in zip(all_actions(space), np.transpose(p), strict=True):
        close(np.exp(np.asarray(dist.logp(framework.array(np.tile(action, (rows, 1)), np.int64)))), expected)
    entropy = [-(row[row > 0] * np.log(row[row > 0])).sum() for row in p]
    close(dist.entropy(), entropy)


@pytest.mark.parametrize("name", [name for name in several_parts() if any(options_of(ACTION_SPACES[name]))])
def test_no_sample_is_masked(name: str) -> None:
    space, rows = ACTION_SPACES[name], 200
    build, _ = building(space)
    mask = some_masks(space, rows)[:-1]
    dist = build(contexts(rows)[:-1], mask=ActionMasks(space).split(mask))
    firsts, chosen = np.cumsum([0, *options_of(space)])[:-1], [count > 0 for count in options_of(space)]
    rng = np.random.default_rng(0)
    noise = dist.draw_noise(rng, 1)
    drawn = [dist.sample(rng), dist.deterministic_sample()]
    for actions in drawn if noise is None else [*drawn, dist.sample_from_noise(noise[0])]:
        assert np.isfinite(dist.logp(actions)).all()
        leaves = [leaf for leaf in tree.leaves(actions) if leaf.dtype.kind == "i"]
        picked = np.concatenate([leaf.reshape(rows - 1, -1) for leaf in leaves], axis=1)
        assert mask[np.arange(rows - 1)[:, None], firsts[chosen] + picked].all()


def test_a_leaf_may_have_no_mask(framework: Framework) -> None:
    build, _ = building(DISCRETE["pair"])
    dist = build(framework.array(contexts(100)), mask=[None, framework.array(np.tile([0, 1, 0, 0], (100, 1)))])
    first, second = dist.sample(framework.rng(0))
    assert set(np.unique(first)) == {0, 1, 2}
    assert set(np.unique(second)) == {1}


# ----------------------------------------------------------------------------------- entropy, divergence


@pytest.mark.spec(168)
@pytest.mark.parametrize("name", ["pair", "unsorted"])
def test_entropy_and_divergence_equal_sums_over_all_actions(framework: Framework, name: str) -> None:
    space = DISCRETE[name]
    (build, network), (others_build, others_network) = building(space), building(space, seed=1)
    dist, other = build(framework.array(contexts(4))), others_build(framework.array(contexts(4, 1)))
    p = np.array([reference(space, network, context) for context in contexts(4)])
    q = np.array([reference(space, others_network, context) for context in contexts(4, 1)])
    assert dist.has_entropy
    assert dist.has_kl
    assert not dist.entropy_takes_rng
    close(framework.run(lambda x: build(x).entropy(), dist.inputs), -(p * np.log(p)).sum(1))
    close(
        framework.run(lambda x, y: build(x).kl(others_build(y)), dist.inputs, other.inputs), (p * np.log(p / q)).sum(1)
    )


@pytest.mark.spec(168)
def test_a_continuous_last_part_is_weighted_by_what_is_enumerated(framework: Framework) -> None:
    space = MIXED["continuous last"]
    build, _ = building(space)
    others_build, _ = building(space, seed=1)
    dist, other = build(framework.array(contexts(4))), others_build(framework.array(contexts(4)))
    discrete, entropy, divergence = Tuple(space.spaces[:2]), np.zeros(4), np.zeros(4)
    for action in all_actions(discrete):
        encoded = np.concatenate([*(np.eye(n)[c] for n, c in zip((3, 2, 2), action, strict=True)), np.zeros(2)])
        mine, theirs = (
            np.array([model(context[None], encoded[None])[0] for context in contexts(4)])
            for model in (dist.model.action_network, other.model.action_network)
        )
        logs = [[x[:, s] - np.log(np.exp(x[:, s]).sum(1, keepdims=True)) for s in SLICES] for x in (mine, theirs)]
        log_p, log_q = (sum(part[:, c] for part, c in zip(parts_, action, strict=True)) for parts_ in logs)
        normal = DiagGaussian(mine[:, 7:])
        entropy += np.exp(log_p) * (normal.entropy() - log_p)
        divergence += np.exp(log_p) * (log_p - log_q + normal.kl(DiagGaussian(theirs[:, 7:])))
    close(dist.entropy(), entropy)
    close(dist.kl(other), divergence)


SLICES = (slice(0, 3), slice(3, 5), slice(5, 7))


@pytest.mark.parametrize("masked", [False, True])
def test_the_divergence_is_infinite_only_where_something_possible_is_forbidden(masked: bool) -> None:
    space = DISCRETE["pair"]
    build, _ = building(space)
    mine = np.array([[1, 1, 0, 0, 1, 1, 1]], bool)
    theirs = np.array([[1, 1, 0, 0, 0, 1, 1]], bool) if masked else np.array([[1, 1, 1, 1, 1, 1, 1]], bool)
    split = ActionMasks(space).split
    inputs = torch.tensor(contexts(1), requires_grad=True)
    kl = build(inputs, mask=split(mine)).kl(build(inputs.detach(), mask=split(theirs)))
    assert torch.isinf(kl).item() is masked
    kl.sum().backward()
    assert masked or torch.isfinite(inputs.grad).all()


def test_sums_are_cut_to_what_fits_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    build, network = building(DISCRETE["grid"])
    dist = build(contexts(4))
    whole, network.calls = dist.entropy(), 0
    dist.entropy()
    assert network.calls == 1
    monkeypatch.setattr(autoregressive, "ROWS_PER_PASS", 10)
    close(dist.entropy(), whole, 1e-6)
    assert network.calls == 1 + 3, "six prefixes, two at a time"


@pytest.mark.parametrize(
    ("space", "known"),
    [
        (MultiBinary(7), True),
        (MultiBinary(8), False),
        (Tuple((Discrete(64), Discrete(1000))), True),
        (Tuple((Discrete(65), Discrete(2))), False),
        (MIXED["continuous last"], True),
        (MIXED["continuous first"], False),
        (MIXED["shares between"], False),
    ],
    ids=str,
)
def test_what_can_be_summed_up_is_declared(space: gym.Space[Any], known: bool) -> None:
    assert parts.MAX_PREFIXES == 64
    build, _ = building(space)
    dist = build(contexts(2))
    assert (dist.has_kl, dist.entropy_takes_rng, dist.has_entropy) == (known, not known, True)
    if not known:
        with pytest.raises(NotImplementedError, match="AutoregressiveActions has no kl"):
            dist.kl(dist)


def test_a_part_without_entropy_is_declared() -> None:
    build, _ = building(Tuple((Discrete(2), Box(-1, 1, (2,)))), custom_action_dist="SquashedGaussian")
    dist = build(contexts(2))
    assert not dist.has_entropy
    assert dist.has_kl
    with pytest.raises(NotImplementedError, match="SquashedGaussian has no entropy"):
        dist.entropy()


def test_what_cannot_be_summed_up_is_estimated_without_bias(
    framework: Framework, monkeypatch: pytest.MonkeyPatch
) -> None:
    space, rows = DISCRETE["unsorted"], 20_000
    exact_build, _ = building(space)
    monkeypatch.setattr(parts, "MAX_PREFIXES", 1)
    build, _ = building(space)
    (context,) = contexts(1)
    estimates = np.asarray(build(framework.array(np.tile(context, (rows, 1)))).entropy(framework.rng(0)))
    exact = float(np.asarray(exact_build(context[None]).entropy())[0])
    assert abs(estimates.mean() - exact) < 4 * estimates.std() / rows**0.5
    assert estimates.std() > 0.01


def test_the_gradient_of_the_estimate_has_no_bias(monkeypatch: pytest.MonkeyPatch) -> None:
    space, rows = DISCRETE["unsorted"], 40_000
    exact_build, _ = building(space)
    monkeypatch.setattr(parts, "MAX_PREFIXES", 1)
    build, _ = building(space)
    context = torch.tensor(contexts(1), requires_grad=True)
    exact_build(context).entropy().sum().backward()
    many = torch.tensor(np.tile(contexts(1), (rows, 1)), requires_grad=True)
    build(many).entropy(torch.Generator().manual_seed(0)).sum().backward()
    deviation = many.grad.std(0) / rows**0.5
    assert ((many.grad.mean(0) - context.grad[0]).abs() < 4 * deviation).all()
    assert (context.grad[0].abs() > 20 * deviation).any(), "all gradients are near 0: the test shows nothing"


@pytest.mark.parametrize("name", [*DISCRETE, *MIXED])
def test_gradients_are_finite_under_masks(name: str) -> None:
    space = (DISCRETE | MIXED)[name]
    build, _ = building(space)
    mask = ActionMasks(space).split(torch.tensor(some_masks(space, 6)))
    inputs = torch.tensor(contexts(6), requires_grad=True)
    dist = build(inputs, mask=mask)
    total = dist.logp(dist.sample()) + dist.entropy()
    if dist.has_kl:
        total = total + dist.kl(build(torch.tensor(contexts(6, 1)), mask=mask))
    total.sum().backward()
    assert torch.isfinite(inputs.grad).all()
    assert (inputs.grad != 0).any()


# ------------------------------------------------------------------------------------------------ faults


def test_a_model_without_the_network_is_named() -> None:
    factory, _ = ModelCatalog.get_action_dist(DISCRETE["pair"], {"autoregressive_actions": True})
    for model, name in ((None, "NoneType"), ("a model", "str")):
        with pytest.raises(ModelError, match=f"a model with an `action_network`, got {name}. Build the model by"):
            factory(contexts(2), model).sample()


def test_a_network_of_another_width_is_named() -> None:
    factory, _ = ModelCatalog.get_action_dist(DISCRETE["pair"], {"autoregressive_actions": True})
    with pytest.raises(ModelError, match=r"Model.action_network gave 8 numbers per row, but the parts of .* take 7"):
        factory(contexts(2), Model(Network([(3, 4), (4, 4)]))).sample()


def test_one_part_alone_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Discrete\(3\) has 1 part to choose"):
        parts.ActionParts(Discrete(3), [[parts.ActionPart.choice(3)]])


def test_continuous_leaves_are_drawn_as_by_default() -> None:
    space = Tuple((Discrete(2), Box(-1, 1, (2,)), Box(-np.inf, 1, (1,)), Simplex((3,))))
    for config, kinds in (({}, (DiagGaussian, DiagGaussian)), ({"custom_action_dist": "Beta"}, (Beta, DiagGaussian))):
        factory, _ = ModelCatalog.get_action_dist(
            space, {"autoregressive_actions": True, "log_std_clip_param": 0.5, **config}
        )
        _, bounded, half, shares = (part.build for part in factory.keywords["parts"].parts)  # type: ignore[attr-defined]
        assert (bounded.func, half.func, shares.func) == (*kinds, Dirichlet)
        assert half.keywords["log_std_clip"] == 0.5
