import re

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, OneOf, Text, Tuple

from anyspace.config import merge
from anyspace.errors import ConfigError, ModelError
from anyspace.models import MODEL_DEFAULTS, FullyConnectedNetwork, ModelCatalog, ModelConfig, TorchModelV2, catalog
from anyspace.models.torch import ComplexInputNetwork, VisionNetwork
from anyspace.models.torch.runtime import TorchRuntime
from anyspace.policy.config import PolicyConfig
from anyspace.policy.policy import Policy
from anyspace.spaces import BoundedGraph, BoundedSequence, Repeated, Simplex
from anyspace.spaces.kinds.atari import AtariPixels, AtariRam
from tests.support.torch_nets import Dotted

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
    assert model.model_config.keys() == MODEL_DEFAULTS.keys()


@pytest.mark.spec(102)
@pytest.mark.parametrize("path", ["tests.support.torch_nets.Dotted", "tests.support.torch_nets:Dotted"])
def test_a_dotted_path_is_the_class_and_gets_the_real_configuration(path):
    models = [
        ModelCatalog.get_model_v2(
            OBS, ACTIONS, 3, {"custom_model": model, "custom_model_config": {"width": 9}, "fcnet_hiddens": [7]}
        )
        for model in (path, Dotted)
    ]
    for model in models:
        assert model.width == 9
        assert model.model_config["fcnet_hiddens"] == [7]
        assert len(model.model_config) == len(MODEL_DEFAULTS)
    assert type(models[0]).__name__ == type(models[1]).__name__ == "Dotted"
    for wrong in ("tests.support.torch_nets.Dottet", "no_such_module.Model"):
        with pytest.raises(ConfigError, match="cannot be imported"):
            build(wrong)


@pytest.mark.spec(92)
def test_custom_model_config_becomes_keyword_arguments():
    assert build(Mine, custom_model_config={"scale": 5}).given == (5, 2)
    assert build(TakingAny, custom_model_config={"scale": 5, "foo": 1}).given == {"scale": 5, "foo": 1}
    config = ModelConfig(custom_model=Mine, custom_model_config={"scale": 5})
    assert ModelCatalog.get_model_v2(OBS, ACTIONS, 3, config, scale=1, depth=7).given == (5, 7)


def test_what_a_constructor_does_with_its_keywords_changes_no_configuration():
    given = {"scale": [1, 2, 3]}
    for _ in range(2):
        model = build(TakingAny, custom_model_config=given)
        assert model.given["scale"].pop() == 3
    assert given == {"scale": [1, 2, 3]}


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
    keras = type("Net", (type("Model", (), {"__module__": "keras.src.models.model"}),), {})
    with pytest.raises(
        ModelError, match=r"custom_model is <class .*\n  class NetV2\(TFModelV2\):\n(?s:.*)self.net = Net\("
    ):
        build(keras)
    with pytest.raises(ModelError, match=r"`model_cls` must be a ModelV2 sub-class, but custom_model is <class"):
        build("no_model" if by_name else torch.nn.Linear)


def test_what_is_not_built_says_so():
    with pytest.raises(NotImplementedError, match="framework 'mx' has no network for the role 'dense' yet; give a `cu"):
        ModelCatalog.get_model_v2(OBS, ACTIONS, 3, {}, framework="mx")
    with pytest.raises(
        NotImplementedError, match=r"'mx' has no network for the role 'recurrent memory' yet; .* 'torch' or 'jax'"
    ):
        ModelCatalog.get_model_v2(OBS, ACTIONS, 3, {"use_lstm": True}, framework="mx")


VECTOR, MATRIX = Box(-1, 1, (4,)), Box(-1, 1, (2, 3))
FC, VISION, COMPLEX = FullyConnectedNetwork, VisionNetwork, ComplexInputNetwork


@pytest.mark.spec(59)
@pytest.mark.parametrize(
    ("space", "preprocessed", "raw"),
    [
        (VECTOR, FC, FC),
        (Box(0, 9, (4,), np.int64), FC, FC),
        (Box(0, 9, ()), COMPLEX, COMPLEX),
        (MATRIX, COMPLEX, COMPLEX),
        (Box(-1, 1, (2, 1, 3, 2)), COMPLEX, COMPLEX),
        (Box(0, 255, (12, 10), np.uint8), COMPLEX, COMPLEX),
        (Box(0, 255, (2, 12, 10, 3), np.uint8), COMPLEX, COMPLEX),
        (Box(-1, 1, (5, 4, 3)), VISION, VISION),
        (Box(0, 255, (12, 10, 3), np.uint8), VISION, VISION),
        (Box(0, 255, (3, 12, 10), np.uint8), VISION, VISION),
        (Discrete(3, start=1), FC, COMPLEX),
        (MultiDiscrete([2, 3]), FC, COMPLEX),
        (MultiBinary(4), COMPLEX, COMPLEX),
        (MultiBinary([2, 3]), COMPLEX, COMPLEX),
        (Dict(a=VECTOR, b=Discrete(3)), FC, COMPLEX),
        (Tuple((VECTOR, Dict(a=MultiBinary([2, 3])), MultiDiscrete([2, 3]), Box(0, 9, ()))), FC, COMPLEX),
        (Tuple((Simplex((3,)), VECTOR)), FC, COMPLEX),
        (Dict(a=VECTOR, b=Tuple((MATRIX,))), COMPLEX, COMPLEX),
        (Tuple((Box(0, 255, (12, 10, 3), np.uint8), Discrete(2))), COMPLEX, COMPLEX),
        # What RLlib did not know.
        (Simplex((3,)), COMPLEX, COMPLEX),
        (Repeated(Discrete(3), 4), COMPLEX, COMPLEX),
        (Dict(a=VECTOR, b=Repeated(Discrete(3), 4)), COMPLEX, COMPLEX),
        (Text(4), COMPLEX, COMPLEX),
        (BoundedSequence(VECTOR, 3), COMPLEX, COMPLEX),
        (BoundedGraph(VECTOR, None, max_nodes=3), COMPLEX, COMPLEX),
        (Tuple((OneOf((VECTOR, Discrete(2))), Discrete(2))), COMPLEX, COMPLEX),
        (AtariPixels((210, 160, 3), dim=42), VISION, VISION),
        (AtariRam(), FC, FC),
    ],
    ids=str,
)
def test_the_default_model_of_a_space(space, preprocessed, raw):
    policies = [
        Policy(space, ACTIONS, merge(PolicyConfig(), {"_disable_preprocessor_api": off}), TorchRuntime("cpu"), seed=0)
        for off in (False, True)
    ]
    assert [type(policy.model) for policy in policies] == [preprocessed, raw]


@pytest.mark.spec(59)
def test_what_goes_before_the_default_model():
    for space in (OBS, MATRIX):
        assert type(ModelCatalog.get_model_v2(space, ACTIONS, 3, {}, default_model=Mine)) is Mine
        model = ModelCatalog.get_model_v2(space, ACTIONS, 3, {"custom_model": Mine}, default_model=PassingOn)
        assert type(model) is Mine


def test_the_model_configuration_is_validated():
    with pytest.raises(ConfigError, match="lstm_cell_size"):
        build(Mine, lstm_cell_size=0)
    with pytest.raises(ConfigError, match="lstm_cell_size"):
        ModelCatalog.get_action_dist(ACTIONS, {"lstm_cell_size": 0})
