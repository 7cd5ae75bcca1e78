"""The model configuration: every key of the old ``MODEL_DEFAULTS``, each with its meaning and range."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from anyspace.config import require
from anyspace.errors import ConfigError

DEPRECATED_VALUE = -1
"""Default of the keys that only old configurations still name."""

FilterSpec = tuple[int, int | tuple[int, int], int]
"""One convolution: output channels, kernel (side, or height and width), stride."""


@dataclass(frozen=True)
class ModelConfig:
    """How the default models are built, or which custom model takes their place (spec chapter 4)."""

    fcnet_hiddens: list[int] = field(default_factory=lambda: [256, 256])
    """Sizes of the dense hidden layers, each at least 1."""
    fcnet_activation: str | type | None = "tanh"
    """Activation of those layers: relu, tanh, elu, swish, silu, linear, or a class of the framework or its name."""
    fcnet_weights_initializer: str | None = None
    """Initialiser of their weights; None is normalised columns (spec 5.2)."""
    fcnet_weights_initializer_config: dict[str, Any] | None = None
    """Keyword arguments of that initialiser."""
    fcnet_bias_initializer: str | None = None
    """Initialiser of their biases; None is zeros."""
    fcnet_bias_initializer_config: dict[str, Any] | None = None
    """Keyword arguments of that initialiser."""
    conv_filters: list[FilterSpec] | None = None
    """Convolutions as [channels, kernel, stride]; None picks them by image size."""
    conv_activation: str | None = "relu"
    """Activation of the convolutions."""
    conv_kernel_initializer: str | None = None
    """Initialiser of their kernels."""
    conv_kernel_initializer_config: dict[str, Any] | None = None
    """Keyword arguments of that initialiser."""
    conv_bias_initializer: str | None = None
    """Initialiser of their biases."""
    conv_bias_initializer_config: dict[str, Any] | None = None
    """Keyword arguments of that initialiser."""
    conv_transpose_kernel_initializer: str | None = None
    """Not supported: no transposed convolutions are built here."""
    conv_transpose_kernel_initializer_config: dict[str, Any] | None = None
    """Not supported: no transposed convolutions are built here."""
    conv_transpose_bias_initializer: str | None = None
    """Not supported: no transposed convolutions are built here."""
    conv_transpose_bias_initializer_config: dict[str, Any] | None = None
    """Not supported: no transposed convolutions are built here."""
    post_fcnet_hiddens: list[int] = field(default_factory=list)
    """Sizes of the dense layers after the main encoder, each at least 1."""
    post_fcnet_activation: str | type | None = "relu"
    """Their activation; a dense encoder uses it only where `fcnet_hiddens` is empty (spec 5.2)."""
    post_fcnet_weights_initializer: str | None = None
    """Initialiser of their weights; None is normalised columns (spec 5.2)."""
    post_fcnet_weights_initializer_config: dict[str, Any] | None = None
    """Keyword arguments of that initialiser."""
    post_fcnet_bias_initializer: str | None = None
    """Initialiser of their biases; None is zeros."""
    post_fcnet_bias_initializer_config: dict[str, Any] | None = None
    """Keyword arguments of that initialiser."""
    free_log_std: bool = False
    """Make the log deviation of a float Box's Gaussian a learnt vector that does not depend on the observation."""
    log_std_clip_param: float = 20.0
    """Clamp Gaussian log standard deviations to plus and minus this value, above 0."""
    no_final_linear: bool = False
    """Resize the last hidden layer to `num_outputs`, with its activation, instead of adding a linear layer."""
    vf_share_layers: bool = True
    """Share the encoder between policy and value; False builds a second stack for the value."""
    use_lstm: bool = False
    """Put an LSTM on top of the model."""
    max_seq_len: int = 20
    """Longest chunk, in steps, that a trajectory is cut into for recurrent training."""
    lstm_cell_size: int = 256
    """Width of the LSTM's state."""
    lstm_use_prev_action: bool = False
    """Feed the previous action to the LSTM."""
    lstm_use_prev_reward: bool = False
    """Feed the previous reward to the LSTM."""
    lstm_weights_initializer: str | None = None
    """Initialiser of the LSTM's weights."""
    lstm_weights_initializer_config: dict[str, Any] | None = None
    """Keyword arguments of that initialiser."""
    lstm_bias_initializer: str | None = None
    """Initialiser of the LSTM's biases."""
    lstm_bias_initializer_config: dict[str, Any] | None = None
    """Keyword arguments of that initialiser."""
    _time_major: bool = False
    """Give recurrent models [T, B, ...] instead of [B, T, ...]."""
    use_attention: bool = False
    """Put a GTrXL on top of the model."""
    attention_num_transformer_units: int = 1
    """Number of transformer blocks."""
    attention_dim: int = 64
    """Width of each block's input and output."""
    attention_num_heads: int = 1
    """Number of attention heads."""
    attention_head_dim: int = 32
    """Width of each head."""
    attention_memory_inference: int = 50
    """Past block inputs kept as memory when acting, in steps."""
    attention_memory_training: int = 50
    """Past block inputs kept as memory when training, in steps."""
    attention_position_wise_mlp_dim: int = 32
    """Hidden width of the position-wise network."""
    attention_init_gru_gate_bias: float = 2.0
    """Initial bias of the gates; larger is nearer to passing the input through."""
    attention_use_n_prev_actions: int = 0
    """How many previous actions are fed to the attention network."""
    attention_use_n_prev_rewards: int = 0
    """How many previous rewards are fed to the attention network."""
    framestack: bool = True
    """Atari, preprocessor_pref deepmind: observe the last four frames; False observes one."""
    dim: int = 84
    """Atari: side of the pictures in pixels, at least 1."""
    grayscale: bool = False
    """Atari, preprocessor_pref rllib: pictures of one channel, the mean of the three."""
    zero_mean: bool = True
    """Atari, preprocessor_pref rllib: features in [-1, 0.992] instead of [0, 1]."""
    custom_model: str | type | None = None
    """A registered name or a class that takes the place of the default models."""
    custom_model_config: dict[str, Any] = field(default_factory=dict)
    """Keyword arguments of the custom model's constructor."""
    custom_action_dist: str | type | None = None
    """A registered name or a class in place of the default distribution; Beta or SquashedGaussian for bounded Boxes."""
    custom_preprocessor: str | None = None
    """Not supported: wrap the environment instead."""
    encoder_latent_dim: int | None = None
    """Not supported: it belonged to another kind of model."""
    always_check_shapes: bool = False
    """Check the shapes of every forward pass, not only of the first."""
    lstm_use_prev_action_reward: bool | int = DEPRECATED_VALUE
    """Deprecated: use `lstm_use_prev_action` and `lstm_use_prev_reward`. False is accepted."""
    _use_default_native_models: bool | int = DEPRECATED_VALUE
    """Deprecated: it has had no effect for years. False is accepted."""
    _disable_preprocessor_api: bool = False
    """Give the model nested observations, indices (counted from 0) as they are instead of one-hot."""
    _disable_action_flattening: bool = False
    """Keep nested actions nested in views."""

    def validate(self) -> None:
        """Raise :class:`ConfigError` for the first key that is out of range, contradictory or not built."""
        if self.use_lstm and self.use_attention:
            raise ConfigError("Only one of `use_lstm` or `use_attention` may be set to True!")
        for key in ("fcnet_hiddens", "post_fcnet_hiddens"):
            sizes = getattr(self, key)
            require(all(size >= 1 for size in sizes), f"model.{key}", sizes, "layer sizes are at least 1")
        require(
            self.log_std_clip_param > 0,
            "model.log_std_clip_param",
            self.log_std_clip_param,
            "a clamp to plus and minus a value needs that value above 0",
        )
        require(self.dim >= 1, "model.dim", self.dim, "the side of a picture is at least 1")
        for item in dataclasses.fields(self):
            key, value = item.name, getattr(self, item.name)
            if key in _REFUSED and value != item.default and not (value is False and key in _DEPRECATED):
                raise ConfigError(f"config key `model.{key}` is {value!r}, but {_REFUSED[key]}.")

    def as_dict(self) -> dict[str, Any]:
        """Return a new dict of all keys, as models receive it."""
        return {item.name: _copy(getattr(self, item.name)) for item in dataclasses.fields(self)}


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return dict(value)
    return list(value) if isinstance(value, list) else value


MODEL_DEFAULTS: dict[str, Any] = ModelConfig().as_dict()
"""The defaults of every model key, as a plain dict (spec chapter 4)."""

_NOT_BUILT = (
    "fcnet_weights",
    "fcnet_bias",
    "post_fcnet_weights",
    "post_fcnet_bias",
    "conv_filters",
    "conv_activation",
    "conv_kernel",
    "conv_bias",
    "use_lstm",
    "lstm_",
    "max_seq_len",
    "_time_major",
    "use_attention",
    "attention_",
    "always_check_shapes",
    "_disable_action_flattening",
)
_DEPRECATED = {
    "lstm_use_prev_action_reward": "it is deprecated; use `lstm_use_prev_action` and `lstm_use_prev_reward`",
    "_use_default_native_models": "it is deprecated and has no effect",
}
_REFUSED: dict[str, str] = (
    {
        key: "it is not built yet in this version; leave it at its default"
        for key in MODEL_DEFAULTS
        if key.startswith(_NOT_BUILT)
    }
    | {key: "no transposed convolutions are built here" for key in MODEL_DEFAULTS if key.startswith("conv_transpose_")}
    | {
        "custom_preprocessor": "custom preprocessors are not supported; put a gymnasium wrapper around the"
        " environment (`wrappers=[...]`)",
        "encoder_latent_dim": "it belonged to another kind of model; use `fcnet_hiddens`",
    }
    | _DEPRECATED
)
