import re

import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Tuple

from anyspace.errors import ConfigError, ModelError, UnsupportedSpaceError
from anyspace.models import FullyConnectedNetwork, ModelCatalog, ModelConfig, TorchModelV2, catalog
from anyspace.spaces import DictFlatteningPreprocessor

OBS, ACTIONS = Box(-1, 1, (4,)), Discrete(3)


@pytest.fixture(autouse=True)
def empty_registry(monkeypatch):
    monkeypatch.setattr(catalog, "_custom_models", {})


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
