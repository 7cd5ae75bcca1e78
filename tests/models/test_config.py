import dataclasses
import re

import pytest
from gymnasium.spaces import Box, Discrete

from anyspace import PPO
from anyspace.algorithms.ppo import PPOConfig
from anyspace.config import merge
from anyspace.errors import ConfigError
from anyspace.models import MODEL_DEFAULTS, FullyConnectedNetwork, ModelCatalog, ModelConfig

DEPRECATED_MARKER = -1
TABLE = {
    "fcnet_hiddens": [256, 256],
    "fcnet_activation": "tanh",
    "fcnet_weights_initializer": None,
    "fcnet_weights_initializer_config": None,
    "fcnet_bias_initializer": None,
    "fcnet_bias_initializer_config": None,
    "conv_filters": None,
    "conv_activation": "relu",
    "conv_kernel_initializer": None,
    "conv_kernel_initializer_config": None,
    "conv_bias_initializer": None,
    "conv_bias_initializer_config": None,
    "conv_transpose_kernel_initializer": None,
    "conv_transpose_kernel_initializer_config": None,
    "conv_transpose_bias_initializer": None,
    "conv_transpose_bias_initializer_config": None,
    "post_fcnet_hiddens": [],
    "post_fcnet_activation": "relu",
    "post_fcnet_weights_initializer": None,
    "post_fcnet_weights_initializer_config": None,
    "post_fcnet_bias_initializer": None,
    "post_fcnet_bias_initializer_config": None,
    "free_log_std": False,
    "log_std_clip_param": 20.0,
    "no_final_linear": False,
    "vf_share_layers": True,
    "use_lstm": False,
    "max_seq_len": 20,
    "lstm_cell_size": 256,
    "lstm_use_prev_action": False,
    "lstm_use_prev_reward": False,
    "lstm_weights_initializer": None,
    "lstm_weights_initializer_config": None,
    "lstm_bias_initializer": None,
    "lstm_bias_initializer_config": None,
    "_time_major": False,
    "use_attention": False,
    "attention_num_transformer_units": 1,
    "attention_dim": 64,
    "attention_num_heads": 1,
    "attention_head_dim": 32,
    "attention_memory_inference": 50,
    "attention_memory_training": 50,
    "attention_position_wise_mlp_dim": 32,
    "attention_init_gru_gate_bias": 2.0,
    "attention_use_n_prev_actions": 0,
    "attention_use_n_prev_rewards": 0,
    "framestack": True,
    "dim": 84,
    "grayscale": False,
    "zero_mean": True,
    "custom_model": None,
    "custom_model_config": {},
    "custom_action_dist": None,
    "custom_preprocessor": None,
    "encoder_latent_dim": None,
    "always_check_shapes": False,
    "lstm_use_prev_action_reward": DEPRECATED_MARKER,
    "_use_default_native_models": DEPRECATED_MARKER,
    "_disable_preprocessor_api": False,
    "_disable_action_flattening": False,
}
"""The defaults of RLlib 2.40, written out."""

FURTHER = {
    "autoregressive_actions": False,
    "use_gru": False,
    "parametric_actions": None,
    "action_embedding_key": "avail_actions",
    "action_embedding_dim": 16,
    "mask_as_feature": False,
}
"""Keys of this library's own."""

REASONS = {
    "custom_preprocessor": "put a gymnasium wrapper around the environment",
    "encoder_latent_dim": "it belonged to another kind of model; use `fcnet_hiddens`",
    "lstm_use_prev_action_reward": "it is deprecated; use `lstm_use_prev_action` and `lstm_use_prev_reward`",
    "_use_default_native_models": "it is deprecated and has no effect",
} | {key: "no transposed convolutions are built here" for key in TABLE if key.startswith("conv_transpose_")}


def another(key):
    """Return a value that is not the default, and that would be allowed if the key were."""
    known = {
        "conv_filters": [(16, 4, 2)],
        "encoder_latent_dim": 8,
        "fcnet_hiddens": [3],
        "post_fcnet_hiddens": [3],
        "custom_model_config": {"width": 3},
    }
    if key in known:
        return known[key]
    default = TABLE[key]
    if default is None:
        return ({"gain": 2} if key in REASONS else None) if key.endswith("_config") else "something"
    if isinstance(default, str):
        return "something"
    return not default if isinstance(default, bool) else default + 2


@pytest.mark.spec(48)
def test_the_61_keys_and_their_defaults_and_those_of_our_own():
    assert len(TABLE) == 61
    assert {key: MODEL_DEFAULTS[key] for key in TABLE} == TABLE
    assert list(MODEL_DEFAULTS) == [*TABLE, *FURTHER]
    assert {key: MODEL_DEFAULTS[key] for key in FURTHER} == FURTHER
    assert ModelConfig().as_dict() == MODEL_DEFAULTS
    assert all(type(MODEL_DEFAULTS[key]) is type(value) for key, value in TABLE.items())


@pytest.mark.spec(58)
@pytest.mark.parametrize("key", TABLE)
def test_keys_that_can_have_no_effect_are_refused_and_no_others(key):
    value = another(key)
    merge(ModelConfig(), {key: TABLE[key]}).validate()
    if key not in REASONS:
        merge(ModelConfig(), {key: value}).validate()
        return
    with pytest.raises(ConfigError, match=re.escape(f"config key `model.{key}` is {value!r}, but ")) as refused:
        merge(ModelConfig(), {key: value}).validate()
    assert REASONS[key] in str(refused.value)


@pytest.mark.spec(52)
@pytest.mark.parametrize("key", [key for key in TABLE if re.fullmatch(r"((post_)?fcnet|lstm)_\w+_initializer", key)])
def test_initialisers_that_cannot_be_are_refused(key):
    model = {"use_lstm": key.startswith("lstm"), "fcnet_hiddens": [4], "post_fcnet_hiddens": [4]}
    with pytest.raises(ConfigError, match=rf"`model.{key}` is 'xavier_unifrm', .*Did you mean .*'xavier_uniform'"):
        PPO("CartPole-v1", config={"model": {**model, key: "xavier_unifrm"}}, preset="none")
    with pytest.raises(ConfigError, match=rf"`model.{key}_config` is .*`model.{key}` is None"):
        PPO("CartPole-v1", config={"model": {**model, f"{key}_config": {"gain": 2.0}}}, preset="none")


@pytest.mark.spec(38)
@pytest.mark.parametrize("preprocessing", [True, False])
def test_custom_preprocessors_are_refused(preprocessing):
    config = {"model": {"custom_preprocessor": "my_prep"}, "_disable_preprocessor_api": not preprocessing}
    with pytest.raises(ConfigError, match=r"custom_preprocessor.*put a gymnasium wrapper around the environment"):
        PPO("CartPole-v1", config=config, preset="none")
    assert issubclass(ConfigError, ValueError)


@pytest.mark.parametrize("key", ["lstm_use_prev_action_reward", "_use_default_native_models"])
def test_deprecated_keys_may_be_switched_off(key):
    merge(ModelConfig(), {key: False}).validate()
    with pytest.raises(ConfigError, match=f"`model.{key}` is True, but it is deprecated"):
        merge(ModelConfig(), {key: True}).validate()


@pytest.mark.spec(82)
def test_both_wrappers_are_refused():
    with pytest.raises(ConfigError, match=re.escape("Only one of `use_lstm` or `use_attention` may be set to True!")):
        PPO("CartPole-v1", config={"model": {"use_lstm": True, "use_attention": True}}, preset="none")


@pytest.mark.spec(50)
@pytest.mark.parametrize("preprocessing", [True, False])
def test_unknown_keys_are_refused_and_all_keys_listed(preprocessing):
    with pytest.raises(ConfigError, match=r"unknown config key `model\.foo`") as refused:
        PPO("CartPole-v1", config={"model": {"foo": 1}, "_disable_preprocessor_api": not preprocessing}, preset="none")
    assert all(key in str(refused.value) for key in TABLE)
    with pytest.raises(ConfigError, match=r"unknown config key `fcnet_hidens`.*'fcnet_hiddens'"):
        ModelCatalog.get_model_v2(Box(-1, 1, (2,)), Discrete(2), 2, {"fcnet_hidens": [1]})


def test_the_whole_old_dictionary_is_accepted():
    config = merge(PPOConfig(), {"model": {**MODEL_DEFAULTS, "fcnet_hiddens": [5]}})
    config.validate()
    assert config.model == ModelConfig(fcnet_hiddens=[5])


def test_changing_a_dictionary_changes_no_defaults():
    config = ModelConfig(custom_model_config={"a": [1]}, conv_filters=[[16, [8, 8], 4]])
    mine = config.as_dict()
    mine["custom_model_config"]["b"] = 2
    mine["custom_model_config"]["a"].pop()
    mine["conv_filters"][0][1].pop()
    mine["fcnet_hiddens"].append(3)
    assert config.as_dict()["custom_model_config"] == {"a": [1]}
    assert config.conv_filters == [[16, [8, 8], 4]]
    assert config.fcnet_hiddens == ModelConfig().fcnet_hiddens == [256, 256]


def test_changing_a_models_configuration_changes_no_defaults():
    model = FullyConnectedNetwork(Box(-1, 1, (2,)), Discrete(2), 2, {"fcnet_activation": "relu"}, "net")
    model.model_config["custom_model_config"]["x"] = model.model_config["fcnet_hiddens"][0] = 1
    assert ModelConfig().as_dict() == MODEL_DEFAULTS


def test_refusals_rest_on_the_true_defaults(monkeypatch):
    monkeypatch.setitem(MODEL_DEFAULTS, "encoder_latent_dim", 8)
    ModelConfig().validate()
    with pytest.raises(ConfigError, match="encoder_latent_dim"):
        ModelConfig(encoder_latent_dim=8).validate()


def test_configurations_cannot_be_changed_in_place():
    with pytest.raises(dataclasses.FrozenInstanceError):
        ModelConfig().use_lstm = True


@pytest.mark.spec(57)
def test_ppo_separates_the_value_by_default():
    assert (PPOConfig().model.vf_share_layers, ModelConfig().vf_share_layers) == (False, True)
    algorithm = PPO("CartPole-v1", config={"model": {"fcnet_hiddens": [8]}}, preset="none")
    model = algorithm.policy.model
    assert [tuple(weight.shape) for weight in model.value_encoder.parameters()] == [(8, 4), (8,)]
    shared = {weight.data_ptr() for weight in model.value_encoder.parameters()}
    assert shared.isdisjoint(weight.data_ptr() for weight in model.encoder.parameters())
    algorithm.close()
