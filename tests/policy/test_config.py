import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete

from anyspace.config import merge
from anyspace.errors import ConfigError
from anyspace.models.torch.runtime import TorchRuntime
from anyspace.policy.config import PolicyConfig
from anyspace.policy.policy import Policy


@pytest.mark.parametrize(
    ("overrides", "preprocesses"),
    [
        ({}, True),
        ({"preprocessor_pref": "deepmind"}, True),
        ({"preprocessor_pref": None}, False),
        ({"_disable_preprocessor_api": True}, False),
        ({"model": {"_disable_preprocessor_api": True}}, False),
    ],
)
def test_what_switches_preprocessing_off(overrides, preprocesses):
    assert merge(PolicyConfig(), overrides).preprocesses is preprocesses


@pytest.mark.spec(39, 41)
@pytest.mark.parametrize(
    ("name", "largest"), [("NoFilter", 500), ("MeanStdFilter", 500), ("ConcurrentMeanStdFilter", 10)]
)
def test_the_filters(name, largest):
    config = PolicyConfig(observation_filter=name)
    policy = Policy(Box(-1000, 1000, (1,)), Discrete(2), config, TorchRuntime("cpu"))
    policy.push([np.array([[-1], [0], [1]], np.float32)])
    assert policy.filter.active is (name != "NoFilter")
    assert policy.model_inputs([torch.full((1, 1), 500.0)])["obs_flat"].item() == pytest.approx(largest, rel=1e-4)


@pytest.mark.spec(39)
def test_an_unknown_filter_names_the_known_ones():
    with pytest.raises(ConfigError, match=r"'Mean', but the filters are NoFilter, MeanStd.*Unknown observation_filter"):
        PolicyConfig(observation_filter="Mean").validate()


def test_the_model_is_validated_too():
    with pytest.raises(ConfigError, match=r"model\.fcnet_hiddens"):
        merge(PolicyConfig(), {"model": {"fcnet_hiddens": [0]}}).validate()
