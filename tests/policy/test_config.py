import pytest
from gymnasium.spaces import Box, Discrete

from anyspace.config import merge
from anyspace.errors import ConfigError
from anyspace.models.torch.runtime import TorchRuntime
from anyspace.policy.config import PolicyConfig
from anyspace.policy.policy import Policy
from anyspace.spaces import MeanStdFilter, NoFilter


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


@pytest.mark.spec(39)
@pytest.mark.parametrize(
    ("name", "kind", "clip"),
    [
        ("NoFilter", NoFilter, None),
        ("MeanStdFilter", MeanStdFilter, None),
        ("ConcurrentMeanStdFilter", MeanStdFilter, 10),
    ],
)
def test_the_filters(name, kind, clip):
    config = PolicyConfig(observation_filter=name)
    chosen = Policy(Box(-1, 1, (3,)), Discrete(2), config, TorchRuntime("cpu")).filter
    assert (type(chosen), chosen.clip, chosen.shape) == (kind, clip, (3,))


@pytest.mark.spec(39)
def test_an_unknown_filter_names_the_known_ones():
    with pytest.raises(ConfigError, match=r"'Mean', but the filters are NoFilter, MeanStd.*Unknown observation_filter"):
        PolicyConfig(observation_filter="Mean").validate()


def test_the_model_is_validated_too():
    with pytest.raises(ConfigError, match=r"model\.fcnet_hiddens"):
        merge(PolicyConfig(), {"model": {"fcnet_hiddens": [0]}}).validate()
