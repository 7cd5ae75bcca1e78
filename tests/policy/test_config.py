import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete

from anyspace.config import merge
from anyspace.errors import ConfigError
from anyspace.models.torch.runtime import TorchRuntime
from anyspace.policy.batch import Batch
from anyspace.policy.config import PolicyConfig
from anyspace.policy.history import History
from anyspace.policy.policy import Policy
from anyspace.policy.sequences import Sequences


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


@pytest.mark.parametrize(
    "model",
    [
        {"lstm_use_prev_action": True},
        {"lstm_use_prev_reward": True, "use_attention": True},
        {"attention_use_n_prev_actions": 1, "use_lstm": True},
        {"attention_use_n_prev_rewards": 2},
        {"no_final_linear": True, "use_gru": True},
    ],
    ids=str,
)
def test_what_has_no_effect_on_the_memory_is_refused(model):
    key = next(iter(model))
    with pytest.raises(ConfigError, match=rf"`model.{key}` .* memory"):
        merge(PolicyConfig(), {"model": model}).validate()


@pytest.mark.parametrize("memory", ["use_lstm", "use_gru", "use_attention"])
def test_deviations_of_their_own_under_a_memory(memory):
    config = merge(PolicyConfig(), {"model": {memory: True, "free_log_std": True}})
    policy = Policy(Box(-1, 1, (3,)), Box(-1, 1, (2,)), config, TorchRuntime("cpu"))
    assert policy.model.logits.out_features == 2
    with torch.no_grad():
        policy.model.log_std.copy_(torch.tensor([0.1, 0.2]))
    out = policy.evaluate(Batch(obs=[torch.rand(4, 3)], sequences=_single_steps(policy, 4)), value=False).output
    torch.testing.assert_close(out[:, 2:], torch.tensor([[0.1, 0.2]]).expand(4, 2))


def _single_steps(policy, count):
    leaves = [np.zeros((count, 3), np.float32)]
    return Sequences(
        np.ones(count, np.int64), [torch.from_numpy(state) for state in History.before(policy.views, leaves).states()]
    )
