import functools
import math
import re

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Text, Tuple

from anyspace.distributions import (
    ActionDistribution,
    Categorical,
    Deterministic,
    DiagGaussian,
    MultiActionDistribution,
    MultiCategorical,
)
from anyspace.errors import ConfigError, ModelError, UnsupportedSpaceError
from anyspace.models import FullyConnectedNetwork, ModelCatalog, ModelConfig, TorchModelV2, catalog
from anyspace.spaces import DictFlatteningPreprocessor
from catalogue import ACTION_SPACES

OBS, ACTIONS = Box(-1, 1, (4,)), Discrete(3)


@pytest.fixture(autouse=True)
def empty_registries(monkeypatch):
    monkeypatch.setattr(catalog, "_custom_models", {})
    monkeypatch.setattr(catalog, "_custom_action_dists", {})


def expected(space):
    """Return class and input size of a space's distribution, worked out without the library."""
    if isinstance(space, Dict | Tuple):
        children = space.spaces.values() if isinstance(space, Dict) else space.spaces
        return MultiActionDistribution, sum(expected(child)[1] for child in children)
    if isinstance(space, Discrete):
        return Categorical, space.n
    if isinstance(space, MultiDiscrete):
        return MultiCategorical, space.nvec.sum()
    if np.issubdtype(space.dtype, np.floating):
        return DiagGaussian, 2 * math.prod(space.shape)
    return MultiCategorical, (space.high.astype(int) - space.low.astype(int) + 1).sum()


def class_of(factory):
    return factory.func if isinstance(factory, functools.partial) else factory


class Seven(ActionDistribution):
    """As in the walkthrough, with bodies."""

    @staticmethod
    def required_model_output_shape(action_space, model_config):
        return 7

    def __init__(self, inputs, model):
        super().__init__(inputs, model)
        assert model.num_outputs == 7


# -------------------------------------------------------------------------------------- distributions


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
    assert (factory.keywords["input_lens"], size) == ([2, 7], 9)
    factory, size = ModelCatalog.get_action_dist(Box(0, 1, (2,), np.bool_))
    assert (class_of(factory), factory.keywords["input_lens"]) == (MultiCategorical, [2, 2])


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
    factory, size = ModelCatalog.get_action_dist(Box(-1, 1, (3,)), dist_type=Deterministic)
    assert (factory, size) == (Deterministic, 3)


@pytest.mark.spec(53)
@pytest.mark.parametrize("limit", [0.5, 2.0])
def test_log_standard_deviations_are_clamped(limit):
    inputs = torch.tensor([[0.0, 0.0, 0.0, -9.0, 0.1, 9.0]])
    for space, pick in ((Box(-1, 1, (3,)), lambda d: d), (Tuple((Box(-1, 1, (3,)),)), lambda d: d.children[0])):
        factory, _ = ModelCatalog.get_action_dist(space, {"log_std_clip_param": limit})
        torch.testing.assert_close(pick(factory(inputs, None)).log_std, torch.tensor([[-limit, 0.1, limit]]))
    by_default, _ = ModelCatalog.get_action_dist(Box(-1, 1, (1,)))
    assert by_default(torch.tensor([[0.0, 99.0]]), None).log_std.item() == 20


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (MultiBinary(3), "action: no action distribution covers MultiBinary(3); supported are Discrete, MultiDiscrete"),
        (Dict(a=Tuple((Discrete(2), Text(3)))), 'action["a"][1]: no action distribution covers Text('),
        (
            Box(0, 2**30, (2,), np.int64),
            "action: Box(0, 1073741824, (2,), int64) has a component of 1073741825 integer",
        ),
        (Tuple((Discrete(2), Box(-(2**62), 2**62, (1,), np.int64))), "action[1]: "),
        (Dict([]), "action: Dict() holds no value to choose"),
        (Box(0, 1, (0,)), "holds no value to choose"),
    ],
    ids=str,
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


def test_unusable_custom_distributions_are_refused():
    ModelCatalog.register_custom_action_dist("my_dist", Seven)
    ModelCatalog.register_custom_action_dist("no_dist", dict)
    with pytest.raises(ModelError, match=r"registered as 'my_dits'. Did you mean .*'my_dist'.* Call ModelCatalog"):
        ModelCatalog.get_action_dist(ACTIONS, {"custom_action_dist": "my_dits"})
    for wrong in (dict, "no_dist"):
        with pytest.raises(ModelError, match="must be an ActionDistribution sub-class, but <class 'dict'> came"):
            ModelCatalog.get_action_dist(ACTIONS, {"custom_action_dist": wrong})


# ---------------------------------------------------------------------------------------------- models


class Mine(TorchModelV2):
    def __init__(self, obs_space, action_space, num_outputs, model_config, name, *, scale=1, depth=2):
        super().__init__(obs_space, action_space, num_outputs, model_config, name)
        self.given = (scale, depth)


class PassingOn(FullyConnectedNetwork):
    def __init__(self, *arguments, **keywords):
        super().__init__(*arguments, **keywords)


class TakingAny(Mine):
    def __init__(self, *arguments, **keywords):
        super().__init__(*arguments)
        self.given = keywords


def build(model, **config):
    return ModelCatalog.get_model_v2(OBS, ACTIONS, 3, {"custom_model": model, **config}, name="special")


@pytest.mark.spec(93)
@pytest.mark.parametrize("by_name", [True, False])
def test_a_custom_model_gets_the_contracts_arguments(by_name):
    ModelCatalog.register_custom_model("mine", Mine)
    model = build("mine" if by_name else Mine, fcnet_hiddens=[9])
    assert type(model) is Mine
    assert (model.obs_space, model.action_space, model.num_outputs, model.name) == (OBS, ACTIONS, 3, "special")
    assert model.model_config["fcnet_hiddens"] == [9]
    assert len(model.model_config) == 61


@pytest.mark.spec(92)
def test_custom_model_config_becomes_keyword_arguments():
    assert build(Mine, custom_model_config={"scale": 5}).given == (5, 2)
    assert build(TakingAny, custom_model_config={"scale": 5, "foo": 1}).given == {"scale": 5, "foo": 1}
    config = ModelConfig(custom_model=Mine, custom_model_config={"scale": 5})
    assert ModelCatalog.get_model_v2(OBS, ACTIONS, 3, config, scale=1, depth=7).given == (5, 7)


@pytest.mark.spec(92)
@pytest.mark.parametrize("kind", [Mine, PassingOn])
def test_unknown_keywords_are_dropped_with_a_warning(kind):
    given = {"foo": 1, "bar": 2} | ({"scale": 5} if kind is Mine else {})
    with pytest.warns(
        UserWarning, match=rf"{kind.__name__} does not take '(foo|bar)' of the custom_model_config"
    ) as warned:
        model = build(kind, custom_model_config=given)
    assert sorted(re.search("'(foo|bar)'", str(warning.message))[1] for warning in warned) == ["bar", "foo"]
    assert kind is PassingOn or model.given == (5, 2)
    assert model.model_config["custom_model_config"] == given


def test_other_type_errors_of_a_constructor_come_through():
    class Broken(Mine):
        def __init__(self, *arguments, foo=None):
            raise TypeError("unexpected keyword argument 'depth' of something inside")

    with pytest.raises(TypeError, match="of something inside"):
        build(Broken, custom_model_config={"foo": 1})


@pytest.mark.spec(98)
def test_an_unregistered_model_is_named_with_the_nearest():
    ModelCatalog.register_custom_model("my_model", Mine)
    with pytest.raises(ModelError, match=r"registered as 'my_modle'. Did you mean 'my_model'\? Call ModelCatalog"):
        build("my_modle")
    with pytest.raises(ModelError, match=r"registered as 'xyz'. Call ModelCatalog.register_custom_model\('xyz', You"):
        build("xyz")


@pytest.mark.parametrize("by_name", [True, False])
def test_what_is_no_model_is_refused(by_name):
    ModelCatalog.register_custom_model("no_model", torch.nn.Linear)
    with pytest.raises(ModelError, match=r"`model_cls` must be a ModelV2 sub-class, but custom_model is <class"):
        build("no_model" if by_name else torch.nn.Linear)


def test_what_is_not_built_says_so():
    with pytest.raises(NotImplementedError, match="no default model is built for framework 'tf' yet"):
        ModelCatalog.get_model_v2(OBS, ACTIONS, 3, {}, framework="tf")
    with pytest.raises(NotImplementedError, match="model interfaces are not built yet"):
        ModelCatalog.get_model_v2(OBS, ACTIONS, 3, {}, model_interface=Mine)


@pytest.mark.parametrize("space", [Discrete(3), MultiDiscrete([2, 3]), Dict(a=OBS), Tuple((OBS,))], ids=str)
def test_no_default_model_takes_unprocessed_structures(space):
    with pytest.raises(UnsupportedSpaceError, match=r"no default model takes .* unprocessed yet; .* `custom_model`"):
        ModelCatalog.get_model_v2(space, ACTIONS, 3, {})


@pytest.mark.parametrize("space", [OBS, Box(0, 9, ()), MultiBinary(4), MultiBinary([2, 3])], ids=str)
def test_the_default_model_of_arrays(space):
    assert type(ModelCatalog.get_model_v2(space, ACTIONS, 3, {})) is FullyConnectedNetwork
    assert type(ModelCatalog.get_model_v2(space, ACTIONS, 3, {}, default_model=Mine)) is Mine
    assert type(ModelCatalog.get_model_v2(space, ACTIONS, 3, {"custom_model": Mine}, default_model=PassingOn)) is Mine


def test_the_model_configuration_is_validated():
    with pytest.raises(ConfigError, match="use_lstm"):
        build(Mine, use_lstm=True)
    with pytest.raises(ConfigError, match="use_lstm"):
        ModelCatalog.get_action_dist(ACTIONS, {"use_lstm": True})


def test_the_preprocessor_of_a_space():
    assert type(ModelCatalog.get_preprocessor_for_space(Dict(a=OBS))) is DictFlatteningPreprocessor
