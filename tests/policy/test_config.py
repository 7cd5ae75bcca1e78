import pytest

from anyspace.config import merge
from anyspace.errors import ConfigError
from anyspace.policy.config import PolicyConfig


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


@pytest.mark.parametrize("name", ["NoFilter", "MeanStdFilter", "ConcurrentMeanStdFilter"])
def test_the_filters(name):
    PolicyConfig(observation_filter=name).validate()


def test_an_unknown_filter_names_the_known_ones():
    with pytest.raises(ConfigError, match=r"'Mean', but the filters are NoFilter, MeanStd.*Unknown observation_filter"):
        PolicyConfig(observation_filter="Mean").validate()


def test_the_model_is_validated_too():
    with pytest.raises(ConfigError, match=r"model\.fcnet_hiddens"):
        merge(PolicyConfig(), {"model": {"fcnet_hiddens": [0]}}).validate()
