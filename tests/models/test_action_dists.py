import functools
import math
import re

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Text, Tuple
from hypothesis import given, settings
from hypothesis import strategies as st

from anyspace import tree
from anyspace._rllib.torch.dists import TorchDiagGaussian
from anyspace.distributions import (
    ActionDistribution,
    Bernoulli,
    Beta,
    Categorical,
    Deterministic,
    DiagGaussian,
    Dirichlet,
    GumbelSoftmax,
    MultiActionDistribution,
    MultiCategorical,
    SlateMultiCategorical,
    SquashedGaussian,
)
from anyspace.errors import ConfigError, ModelError, UnsupportedSpaceError
from anyspace.models import ModelCatalog, ModelConfig, action_dists
from anyspace.spaces import ActionMasks, Simplex, decode, normalize_action
from tests.fuzz.generator import action_spaces
from tests.support.catalogue import ACTION_SPACES, rows_of

OBS, ACTIONS = Box(-1, 1, (4,)), Discrete(3)


@pytest.fixture(autouse=True)
def empty_registry(monkeypatch):
    monkeypatch.setattr(action_dists, "_registered", {})


def expected(space):
    """Return class and input size of a space's distribution, worked out without the library."""
    if isinstance(space, Dict | Tuple):
        children = space.spaces.values() if isinstance(space, Dict) else space.spaces
        return MultiActionDistribution, sum(expected(child)[1] for child in children)
    if isinstance(space, Discrete):
        return Categorical, space.n
    if isinstance(space, MultiDiscrete):
        return MultiCategorical, space.nvec.sum()
    if isinstance(space, MultiBinary):
        return Bernoulli, math.prod(space.shape)
    if isinstance(space, Simplex):
        return Dirichlet, math.prod(space.shape)
    if np.issubdtype(space.dtype, np.floating):
        return DiagGaussian, 2 * math.prod(space.shape)
    return MultiCategorical, (space.high.astype(int) - space.low.astype(int) + 1).sum()


def class_of(factory):
    return factory.func if isinstance(factory, functools.partial) else factory


class Seven(ActionDistribution):
    """As on RLlib's page on models, with bodies."""

    @staticmethod
    def required_model_output_shape(action_space, model_config):
        return 7

    def __init__(self, inputs, model):
        super().__init__(inputs, model)
        assert model.num_outputs == 7


@pytest.mark.spec(133)
@pytest.mark.parametrize("name", ACTION_SPACES)
def test_the_distribution_of_every_action_space(name):
    space = ACTION_SPACES[name]
    factory, size = ModelCatalog.get_action_dist(space, {})
    kind, width = expected(space)
    assert (class_of(factory), size, type(size)) == (kind, width, int)
    distribution = factory(torch.zeros(5, size), None)
    assert distribution.logp(distribution.sample()).shape == (5,)


def test_bounds_of_each_component_count():
    space = Box(np.array([0, -3]), np.array([1, 3]), dtype=np.int8)
    factory, size = ModelCatalog.get_action_dist(space)
    assert (factory.keywords["input_lens"], size) == ((2, 7), 9)
    factory, size = ModelCatalog.get_action_dist(Box(0, 1, (2,), np.bool_))
    assert (class_of(factory), factory.keywords["input_lens"]) == (MultiCategorical, (2, 2))


def test_children_follow_the_spaces_own_order():
    space = Dict([("z", Discrete(2)), ("a", Tuple((Box(-1, 1, (2,)), MultiDiscrete([2, 3])))), ("k", Dict([]))])
    factory, size = ModelCatalog.get_action_dist(space)
    assert (factory.keywords["input_lens"], size) == ([2, 4, 5], 11)
    assert factory.keywords["action_space"] is space
    distribution = factory(torch.zeros(3, 11), "a model")
    assert [type(child) for child in distribution.children] == [Categorical, DiagGaussian, MultiCategorical]
    assert {child.model for child in distribution.children} == {"a model"}
    assert list(distribution.sample()) == ["z", "a", "k"]


def test_deterministic_by_name():
    factory, size = ModelCatalog.get_action_dist(Box(-1, 1, (2, 3)), dist_type="deterministic")
    assert (class_of(factory), size) == (Deterministic, 6)
    assert factory(torch.ones(4, 6), None).sample().shape == (4, 2, 3)
    assert class_of(ModelCatalog.get_action_dist(Discrete(3), dist_type="deterministic")[0]) is Categorical
    with pytest.raises(ConfigError, match="dist_type is 'certain', but the only one by name is 'deterministic'"):
        ModelCatalog.get_action_dist(Box(-1, 1, (2,)), dist_type="certain")


def test_a_distribution_class_as_type():
    space = Box(-1, 1, (3, 2))
    for asked in ({"dist_type": Deterministic}, {"config": {"custom_action_dist": Deterministic}}):
        factory, size = ModelCatalog.get_action_dist(space, **asked)
        assert (class_of(factory), size, factory.keywords) == (Deterministic, 6, {"action_space": space})


@pytest.mark.spec(53)
@pytest.mark.parametrize("limit", [0.5, 2.0])
def test_log_standard_deviations_are_clamped(limit):
    inputs = torch.tensor([[0.0, 0.0, 0.0, -9.0, 0.1, 9.0]])
    for space, pick in ((Box(-1, 1, (3,)), lambda d: d), (Tuple((Box(-1, 1, (3,)),)), lambda d: d.children[0])):
        factory, _ = ModelCatalog.get_action_dist(space, {"log_std_clip_param": limit})
        torch.testing.assert_close(pick(factory(inputs, None)).log_std, torch.tensor([[-limit, 0.1, limit]]))
    for custom in (DiagGaussian, type("Mine", (DiagGaussian,), {}), TorchDiagGaussian):
        config = {"log_std_clip_param": limit, "custom_action_dist": custom}
        factory, _ = ModelCatalog.get_action_dist(Box(-1, 1, (3,)), config)
        torch.testing.assert_close(factory(inputs, None).log_std, torch.tensor([[-limit, 0.1, limit]]))
    by_default, _ = ModelCatalog.get_action_dist(Box(-1, 1, (1,)))
    assert by_default(torch.tensor([[0.0, 99.0]]), None).log_std.item() == 20


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (Text(3), "supported are Discrete, MultiDiscrete, MultiBinary, Box, Simplex, and Tuple and Dict of them"),
        (Dict(a=Tuple((Discrete(2), Text(3)))), 'action["a"][1]: no action distribution covers Text('),
        (
            Box(0, 2**30, (2,), np.int64),
            "action: Box(0, 1073741824, (2,), int64) has a component of 1073741825 integer",
        ),
        (Tuple((Discrete(2), Box(-(2**62), 2**62, (1,), np.int64))), "action[1]: "),
        (Dict([]), "action: Dict() holds no value to choose"),
        (Box(0, 1, (0,)), "holds no value to choose"),
    ],
)
def test_spaces_without_a_distribution_are_refused(space, message):
    with pytest.raises(UnsupportedSpaceError, match=re.escape(message)):
        ModelCatalog.get_action_dist(space)


@pytest.mark.spec(144)
@pytest.mark.parametrize("by_name", [True, False])
def test_a_custom_distribution_sets_the_models_outputs(by_name):
    ModelCatalog.register_custom_action_dist("seven", Seven)
    config = {"custom_action_dist": "seven" if by_name else Seven, "fcnet_hiddens": [4]}
    factory, size = ModelCatalog.get_action_dist(ACTIONS, config)
    model = ModelCatalog.get_model_v2(OBS, ACTIONS, size, config)
    out, _ = model({"obs": torch.zeros(2, 4)})
    distribution = factory(out, model)
    assert (size, model.num_outputs, out.shape) == (7, 7, (2, 7))
    assert type(distribution) is Seven
    assert distribution.model is model


def test_a_distribution_says_how_many_numbers_it_needs():
    class Silent(ActionDistribution):
        pass

    with pytest.raises(ModelError, match=r"Silent must say how many numbers .* required_model_output_shape"):
        ModelCatalog.get_action_dist(Discrete(2), {"custom_action_dist": Silent})


def test_what_required_model_output_shape_is_given_and_may_return():
    given = []

    class Shaped(Seven):
        @staticmethod
        def required_model_output_shape(self, model_config):
            given.append((self, model_config))
            return (2, np.int64(3))

    factory, size = ModelCatalog.get_action_dist(ACTIONS, ModelConfig(custom_action_dist=Shaped))
    assert (factory, size, type(size)) == (Shaped, 6, int)
    assert given == [(ACTIONS, ModelConfig(custom_action_dist=Shaped).as_dict())]


@pytest.mark.spec(145)
@pytest.mark.parametrize("by_name", [True, False])
def test_a_custom_multi_action_distribution_gets_its_children(by_name):
    class Mine(MultiActionDistribution):
        def __init__(self, inputs, model, *, child_distributions, input_lens, action_space):
            self.given = (child_distributions, input_lens, action_space)
            super().__init__(
                inputs,
                model,
                child_distributions=child_distributions,
                input_lens=input_lens,
                action_space=action_space,
            )

    space = Tuple((Discrete(2), Box(-1, 1, (3,))))
    ModelCatalog.register_custom_action_dist("mine", Mine)
    factory, size = ModelCatalog.get_action_dist(space, {"custom_action_dist": "mine" if by_name else Mine})
    distribution = factory(torch.zeros(4, 8), None)
    children, lens, given_space = distribution.given
    assert (size, lens, given_space is space) == (8, [2, 6], True)
    assert [class_of(child) for child in children] == [Categorical, DiagGaussian]
    assert [type(part) for part in distribution.children] == [Categorical, DiagGaussian]


@pytest.mark.parametrize("nested", [False, True])
def test_a_custom_distribution_of_a_tuple_scores_flat_actions(nested):
    class Mine(ActionDistribution):
        """Says what it was given."""

        has_entropy, has_kl, depends_on_model = True, False, False

        def __init__(self, inputs, model):
            super().__init__(inputs, model)

        @staticmethod
        def required_model_output_shape(action_space, model_config):
            return 2

        def sample(self):
            return torch.tensor([1, 2]), torch.tensor([[0.5, 1.5], [2.5, 3.5]])

        def logp(self, actions):
            self.given = actions
            return self.inputs[:, 0]

        def kl(self, other):
            return self.inputs[:, 0]

    config = {"custom_action_dist": Mine, "_disable_action_flattening": nested}
    factory, _ = ModelCatalog.get_action_dist(Tuple((Discrete(3), Box(-1, 1, (2,)))), config)
    distribution = factory(torch.zeros(2, 2), None)
    assert isinstance(distribution, Mine)
    kept = (
        "has_entropy",
        "has_kl",
        "depends_on_model",
        "says_dependence",
        "sample_takes_rng",
        "__name__",
        "__module__",
        "__doc__",
    )
    assert [getattr(type(distribution), name) for name in kept] == [getattr(Mine, name) for name in kept]
    actions, flat = distribution.sample(), torch.tensor([[1, 0.5, 1.5], [2, 2.5, 3.5]])
    distribution.logp(actions)
    assert distribution.given is actions if nested else torch.equal(distribution.given, flat)
    distribution.logp(flat)
    assert distribution.given is flat


@pytest.mark.parametrize("path", [f"{__name__}:Seven", f"{__name__}.Seven"])
def test_a_custom_distribution_may_be_a_path(path):
    by_path, by_class = (
        ModelCatalog.get_action_dist(ACTIONS, {"custom_action_dist": given}) for given in (path, Seven)
    )
    assert by_path[1] == by_class[1]
    assert getattr(by_path[0], "func", by_path[0]).__mro__[1:] == getattr(by_class[0], "func", by_class[0]).__mro__[1:]


def test_unusable_custom_distributions_are_refused():
    ModelCatalog.register_custom_action_dist("my_dist", Seven)
    ModelCatalog.register_custom_action_dist("no_dist", dict)
    with pytest.raises(ModelError, match=r"registered as 'my_dits'. Did you mean .*'my_dist'.* Call ModelCatalog"):
        ModelCatalog.get_action_dist(ACTIONS, {"custom_action_dist": "my_dits"})
    for wrong in (dict, "no_dist"):
        with pytest.raises(ModelError, match="must be an ActionDistribution sub-class, but <class 'dict'> came"):
            ModelCatalog.get_action_dist(ACTIONS, {"custom_action_dist": wrong})


# ------------------------------------------------------------------------------------ bounded float Boxes


@pytest.mark.parametrize("chosen", ["Beta", Beta, "SquashedGaussian", SquashedGaussian], ids=str)
def test_float_boxes_are_drawn_between_their_bounds_where_asked(chosen):
    kind = {"Beta": Beta, "SquashedGaussian": SquashedGaussian}.get(chosen, chosen)
    grid = Box(np.array([[0, -5]], np.float32), np.array([[1, 900]], np.float32))
    factory, size = ModelCatalog.get_action_dist(grid, {"custom_action_dist": chosen})
    assert (class_of(factory), size) == (kind, 4)
    torch.manual_seed(0)
    samples = factory(3 * torch.randn(2000, 4), None).sample().numpy()
    assert samples.shape == (2000, 1, 2)
    assert (np.abs(samples) < 1).all()
    assert samples.min() < -0.9
    assert samples.max() > 0.9
    actions = decode(grid, samples)
    assert ((grid.low < actions) & (actions < grid.high)).all()


def test_a_type_means_the_same_as_a_custom_distribution():
    by_type, _ = ModelCatalog.get_action_dist(Box(0, 1, (2,)), dist_type=Beta)
    by_config, _ = ModelCatalog.get_action_dist(Box(0, 1, (2,)), {"custom_action_dist": "Beta"})
    assert by_type.keywords == by_config.keywords
    assert by_type.func is by_config.func


def test_the_configuration_goes_before_the_type():
    for dist_type in ("deterministic", SquashedGaussian):
        factory, _ = ModelCatalog.get_action_dist(Box(0, 1, (2,)), {"custom_action_dist": "Beta"}, dist_type)
        assert class_of(factory) is Beta


def test_other_leaves_keep_their_distribution():
    space = Dict(
        speed=Tuple((Box(0, 9, ()), Box(-np.inf, np.inf, (2,)))),
        half=Box(0, np.inf, (1,)),
        levels=Box(0, 9, (2,), np.uint8),
        gear=Discrete(3),
        split=Simplex((2,)),
    )
    factory, _ = ModelCatalog.get_action_dist(space, {"custom_action_dist": "Beta"})
    kinds = [class_of(child) for child in factory.keywords["child_distributions"]]
    assert kinds == [Beta, DiagGaussian, DiagGaussian, MultiCategorical, Categorical, Dirichlet]


@pytest.mark.parametrize("space", [Discrete(3), Box(0, np.inf, (2,)), Box(0, 9, (2,), np.int32)], ids=str)
def test_a_bounded_distribution_without_a_bounded_box_is_refused(space):
    with pytest.raises(UnsupportedSpaceError, match="Beta is for float Boxes whose components all have both bounds"):
        ModelCatalog.get_action_dist(space, {"custom_action_dist": "Beta"})


@pytest.mark.parametrize(
    ("space", "dist"),
    [
        (Discrete(4), None),
        (Dict(a=Box(-1, 1, (2,)), b=Discrete(4)), None),
        (Tuple([Box(-1, 1, (2,)), Box(-1, 1, (1,))]), None),
        (Simplex((4,)), None),
        (Box(-1, 1, (2,)), "Beta"),
    ],
    ids=["index", "mixed", "boxes", "shares", "beta"],
)
def test_free_deviations_are_refused_where_there_are_none(space, dist):
    config = ModelConfig(free_log_std=True, custom_action_dist=dist)
    with pytest.raises(ConfigError, match=r"`free_log_std` makes the second half .* Switch it off"):
        action_dists.choose(space, config)


@pytest.mark.parametrize("dist", [None, "SquashedGaussian"])
def test_free_deviations_of_a_gaussian(dist):
    assert action_dists.choose(Box(-1, 1, (2, 2)), ModelConfig(free_log_std=True, custom_action_dist=dist))[1] == 8


def test_a_registered_name_goes_before_a_built_in_one():
    ModelCatalog.register_custom_action_dist("Beta", Seven)
    assert ModelCatalog.get_action_dist(Discrete(2), {"custom_action_dist": "Beta"}) == (Seven, 7)
    with pytest.raises(ModelError, match="Did you mean 'SquashedGaussian'"):
        ModelCatalog.get_action_dist(Discrete(2), {"custom_action_dist": "SquashedGausian"})


@pytest.mark.parametrize(
    ("kind", "space", "width", "shape"),
    [(SlateMultiCategorical, MultiDiscrete([4, 4]), 12, (2,)), (GumbelSoftmax, Discrete(5, start=2), 5, (5,))],
    ids=["slates", "relaxed"],
)
def test_other_built_in_classes_serve_a_whole_space(kind, space, width, shape):
    factory, size = ModelCatalog.get_action_dist(space, {"custom_action_dist": kind})
    assert size == width
    samples = factory(torch.zeros(5, size), None).sample()
    assert samples.shape == (5, *shape)
    assert all(row in space for row in rows_of(space, decode(space, samples.numpy()), 5))


# --------------------------------------------------------------------------------------------- every space


def leaves_of(space):
    if isinstance(space, Dict | Tuple):
        children = space.spaces.values() if isinstance(space, Dict) else space.spaces
        return [leaf for child in children for leaf in leaves_of(child)]
    return [space]


def is_real(leaf):
    return isinstance(leaf, Box) and leaf.dtype.kind == "f"


@pytest.mark.spec(143)
@given(action_spaces(), st.integers(0, 1000), st.sampled_from([None, "Beta", "SquashedGaussian"]))
@settings(deadline=None, max_examples=150)
def test_samples_of_any_space_are_likely_decodable_and_members(space, seed, bounded):
    if not any(is_real(leaf) and leaf.is_bounded("both") for leaf in leaves_of(space)):
        bounded = None
    factory, size = ModelCatalog.get_action_dist(space, {"custom_action_dist": bounded})
    rng = np.random.default_rng(seed)
    distribution = factory((4 * rng.standard_normal((6, size))).astype(np.float32), None)
    for samples in (distribution.sample(rng), distribution.deterministic_sample()):
        assert np.isfinite(distribution.logp(samples)).all()
        actions = decode(space, samples)
        assert all(row in space for row in rows_of(space, actions, 6))


@pytest.mark.spec(142)
@given(action_spaces(), st.integers(0, 1000))
@settings(deadline=None, max_examples=100)
def test_normalising_undoes_decoding(space, seed):
    factory, size = ModelCatalog.get_action_dist(space)
    rng = np.random.default_rng(seed)
    samples = factory(rng.standard_normal((6, size)).astype(np.float32), None).sample(rng)
    again = normalize_action(space, decode(space, samples))
    for leaf, raw, back in zip(leaves_of(space), tree.leaves(samples), tree.leaves(again), strict=True):
        if is_real(leaf):
            scaled, low, high = leaf.bounded_below & leaf.bounded_above, leaf.low.astype(float), leaf.high.astype(float)
            raw = np.clip(raw, np.where(scaled, -1, low), np.where(scaled, 1, high))
            raw = np.where(low == high, 0, raw)
            # What the cast to the space's dtype rounds off, on the scale of [-1, 1].
            with np.errstate(invalid="ignore", divide="ignore"):
                scale = np.where(scaled & (low < high), np.maximum(abs(low), abs(high)) / (high - low), abs(raw))
            assert (np.abs(raw - back) <= 2 * np.finfo(leaf.dtype).eps * np.maximum(scale, 1) + 1e-6).all()
        else:
            rounding = np.finfo(leaf.dtype).eps if isinstance(leaf, Simplex) else 0
            np.testing.assert_allclose(back, raw, atol=rounding)


def options_of(space):
    """Return how many options each component of each leaf has, worked out without the library."""
    if isinstance(space, Dict | Tuple):
        return [count for leaf in leaves_of(space) for count in options_of(leaf)]
    if isinstance(space, Discrete):
        return [int(space.n)]
    if isinstance(space, MultiDiscrete):
        return space.nvec.ravel().tolist()
    if isinstance(space, MultiBinary):
        return [2] * math.prod(space.shape)
    if isinstance(space, Box) and not is_real(space):
        return (space.high.astype(int) - space.low.astype(int) + 1).ravel().tolist()
    return []


@pytest.mark.parametrize("convert", [np.asarray, torch.as_tensor], ids=["numpy", "torch"])
@given(action_spaces(), st.integers(0, 1000))
@settings(deadline=None, max_examples=60)
def test_masked_samples_are_allowed(convert, space, seed):
    rows, rng, layout, counts = 5, np.random.default_rng(seed), ActionMasks(space), options_of(space)
    assert layout.width == sum(counts)
    mask = rng.random((rows, layout.width)) < 0.4
    free = rng.integers(0, [[count] for count in counts], (len(counts), rows)).T if counts else np.zeros((rows, 0), int)
    firsts = np.cumsum([0, *counts])[:-1]
    mask[np.arange(rows)[:, None], firsts + free] = True
    factory, size = ModelCatalog.get_action_dist(space)
    inputs = convert((4 * rng.standard_normal((rows, size))).astype(np.float32))
    distribution = factory(inputs, None, mask=layout.split(convert(mask)))
    for samples in (distribution.sample(), distribution.deterministic_sample()):
        assert np.isfinite(np.asarray(distribution.logp(samples))).all()
        leaves = zip(leaves_of(space), tree.leaves(samples), strict=True)
        indices = [np.asarray(part).reshape(rows, -1) for leaf, part in leaves if options_of(leaf)]
        picked = np.concatenate([np.zeros((rows, 0), int), *indices], axis=1)
        assert mask[np.arange(rows)[:, None], firsts + picked].all()


# ----------------------------------------------------------------------------------- one number an option


def test_distributions_that_take_a_number_for_each_option():
    space = Tuple([Discrete(3, start=2), Dict(bits=MultiBinary((2, 1)), kinds=MultiDiscrete([2, 4]))])
    for temperature in (1.0, 0.5):
        factory, width = action_dists.choose_options(space, ModelConfig(), temperature=temperature)
        assert width == ActionMasks(space).width == 3 + 4 + 6
        inputs = torch.randn(500, width, generator=torch.Generator().manual_seed(0))
        distribution = factory(inputs)
        best, kinds = distribution.deterministic_sample()
        assert torch.equal(best, inputs[:, :3].argmax(1))
        assert torch.equal(kinds["bits"].reshape(500, 2), inputs[:, 3:7].reshape(500, 2, 2).argmax(2))
        assert torch.equal(kinds["kinds"], torch.stack([inputs[:, 7:9].argmax(1), inputs[:, 9:].argmax(1)], dim=1))
        parts = inputs.double().split([3, 2, 2, 2, 4], dim=1)
        chosen = [best, *kinds["bits"].reshape(500, 2).T, *kinds["kinds"].T]
        logps = [
            torch.log_softmax(part / temperature, 1)[torch.arange(500), i]
            for part, i in zip(parts, chosen, strict=True)
        ]
        found = distribution.logp((best, kinds)).double()
        torch.testing.assert_close(found, sum(logps), rtol=1e-4, atol=1e-4)
        mask = torch.ones(500, width, dtype=torch.bool)
        mask[:, [0, 3, 5, 7, 9]] = False
        masked = factory(inputs, mask=ActionMasks(space).split(mask))
        choice, others = masked.sample(torch.Generator().manual_seed(1))
        assert (choice > 0).all()
        assert (others["bits"] == 1).all()
        assert (others["kinds"][:, 0] == 1).all()
        assert (others["kinds"][:, 1] > 0).all()


def test_options_need_discrete_leaves_and_choices_by_themselves():
    with pytest.raises(UnsupportedSpaceError, match=r"^action\[1\]: Q-learning .* Take SAC or PPO"):
        action_dists.choose_options(Tuple([Discrete(2), Box(-1, 1, (2,))]), ModelConfig())
    with pytest.raises(ConfigError, match="each choice is made by itself"):
        action_dists.choose_options(MultiDiscrete([2, 2]), ModelConfig(autoregressive_actions=True))
    with pytest.raises(UnsupportedSpaceError, match="more than 10,000,000 actions"):
        action_dists.choose_options(Discrete(10**8), ModelConfig())
    mine = action_dists.choose_options(Discrete(3), ModelConfig(custom_action_dist=GumbelSoftmax))
    assert (class_of(mine[0]), mine[1]) == (GumbelSoftmax, 3)
