"""The model configuration: every key, with its meaning and range."""

from __future__ import annotations

import dataclasses
import itertools
import math
import numbers
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NoReturn

from anyspace.config import MISTAKEN, copied, require
from anyspace.errors import ConfigError
from anyspace.frozen import Frozen

DEPRECATED_VALUE = -1
"""Default of the keys that only old configurations still name."""

FilterSpec = tuple[int, int | tuple[int, int], int]
"""One convolution: output channels, kernel (side, or height and width), stride."""

ActivationSpec = str | Callable[..., Any]
"""The name of an activation, a module class of PyTorch, a function of JAX or TensorFlow, or the path of either; on
PyTorch also a function without arguments that returns a module."""

InitializerSpec = str | Callable[..., Any]
"""The name of a function of `torch.nn.init`, whatever the framework, "normc", "fan_in_uniform", a function that fills a
tensor (on JAX and TensorFlow an array of NumPy), or its path."""

_SIZES = (
    "Write [64, 64]: the same sizes for policy and value, and `vf_share_layers` says whether they share the layers."
)


@dataclass(frozen=True)
class ModelConfig(Frozen):
    """How the default models are built, or which custom model takes their place."""

    _instead = "Give model={{{key!r}: {value}}} when you build it."

    fcnet_hiddens: list[int] = field(default_factory=lambda: [256, 256], metadata={MISTAKEN: _SIZES})
    """Sizes of the dense hidden layers, each at least 1."""
    fcnet_activation: ActivationSpec | None = "tanh"
    """Activation of these layers: relu, tanh, elu, swish, silu, linear; or an activation of torch.nn, its class, its
    name or its path. On JAX and TensorFlow a function: likewise, and both spellings, GELU and gelu, are known."""
    fcnet_weights_initializer: InitializerSpec | None = None
    """Initialiser of their weights: a name from torch.nn.init, normc, fan_in_uniform (within 1 / sqrt(inputs)), or a
    function; None: normc, rows of norm 1."""
    fcnet_weights_initializer_config: dict[str, Any] | None = None
    """Keyword arguments of that initialiser."""
    fcnet_bias_initializer: InitializerSpec | None = None
    """Initialiser of their biases, such as constant with {"val": 0.1}; None: zeros."""
    fcnet_bias_initializer_config: dict[str, Any] | None = None
    """Keyword arguments of that initialiser."""
    conv_filters: list[FilterSpec] | None = None
    """Convolutions as [channels, kernel or [height, width], stride], each at least 1; None picks them by image size."""
    conv_activation: ActivationSpec | None = "relu"
    """Activation of the convolutions, as `fcnet_activation` takes it."""
    conv_kernel_initializer: InitializerSpec | None = None
    """Initialiser of their kernels: a name from torch.nn.init, normc, or a function; None: xavier_uniform."""
    conv_kernel_initializer_config: dict[str, Any] | None = None
    """Keyword arguments of that initialiser."""
    conv_bias_initializer: InitializerSpec | None = None
    """Initialiser of their biases; None: zeros."""
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
    """Sizes of the dense layers after the main encoder (dense, convolutions, all components), each at least 1."""
    post_fcnet_activation: ActivationSpec | None = "relu"
    """Activation of these layers. A dense encoder uses it only if `fcnet_hiddens` is empty."""
    post_fcnet_weights_initializer: InitializerSpec | None = None
    """Initialiser of their weights: a name from torch.nn.init, normc, fan_in_uniform (within 1 / sqrt(inputs)), or a
    function; None: normc, rows of norm 1."""
    post_fcnet_weights_initializer_config: dict[str, Any] | None = None
    """Keyword arguments of that initialiser."""
    post_fcnet_bias_initializer: InitializerSpec | None = None
    """Initialiser of their biases, such as constant with {"val": 0.1}; None: zeros."""
    post_fcnet_bias_initializer_config: dict[str, Any] | None = None
    """Keyword arguments of that initialiser."""
    free_log_std: bool = False
    """Learn the log deviation of a float Box's Gaussian as one vector that does not depend on the observation."""
    log_std_clip_param: float = 20.0
    """Clamp Gaussian log standard deviations to plus and minus this value, above 0."""
    no_final_linear: bool = False
    """Resize the last hidden layer to `num_outputs`, with its activation, instead of adding a linear layer."""
    vf_share_layers: bool = True
    """Share the encoder between policy and value; False builds a second stack for the value."""
    use_lstm: bool = False
    """Put an LSTM on top of the model; excludes `use_gru` and `use_attention`."""
    max_seq_len: int = 20
    """Longest chunk, in steps, that a trajectory is cut into for models with memory, at least 1."""
    lstm_cell_size: int = 256
    """Width of the LSTM's or GRU's state, at least 1."""
    lstm_use_prev_action: bool = False
    """Feed the previous action to the LSTM or GRU."""
    lstm_use_prev_reward: bool = False
    """Feed the previous reward, as the environment gave it, to the LSTM or GRU."""
    lstm_weights_initializer: InitializerSpec | None = None
    """Initialiser of the LSTM's or GRU's weights; None: uniform within 1 / sqrt(`lstm_cell_size`), as PyTorch's."""
    lstm_weights_initializer_config: dict[str, Any] | None = None
    """Keyword arguments of that initialiser."""
    lstm_bias_initializer: InitializerSpec | None = None
    """Initialiser of the LSTM's or GRU's biases; None: as the weights."""
    lstm_bias_initializer_config: dict[str, Any] | None = None
    """Keyword arguments of that initialiser."""
    _time_major: bool = False
    """Give recurrent models their sequences as [T, S, ...] instead of [S, T, ...]. The rows of their outputs then lie
    step after step; the rows of their inputs lie sequence after sequence in any case."""
    use_attention: bool = False
    """Put a GTrXL (Parisotto et al., 2019) on top of the model; excludes `use_lstm` and `use_gru`."""
    attention_num_transformer_units: int = 1
    """Number of transformer blocks, at least 1."""
    attention_dim: int = 64
    """Width of each block's input and output, at least 1."""
    attention_num_heads: int = 1
    """Number of attention heads, at least 1."""
    attention_head_dim: int = 32
    """Width of each head, at least 1."""
    attention_memory_inference: int = 50
    """How many steps back the network attends to while it acts, at least 0."""
    attention_memory_training: int = 50
    """How many steps back the network attends to in gradient steps, at least 0."""
    attention_position_wise_mlp_dim: int = 32
    """Hidden width of the position-wise network, at least 1."""
    attention_init_gru_gate_bias: float = 2.0
    """Initial bias of the gates, any number; the larger, the more of the input passes unchanged."""
    attention_use_n_prev_actions: int = 0
    """How many previous actions are fed to the attention network, at least 0."""
    attention_use_n_prev_rewards: int = 0
    """How many previous rewards, as the environment gave them, are fed to the attention network, at least 0."""
    framestack: bool = True
    """Atari, preprocessor_pref deepmind: observe the last four frames; False observes one."""
    dim: int = 84
    """Atari: side of the pictures in pixels, at least 1."""
    grayscale: bool = False
    """Atari, preprocessor_pref rllib: pictures of one channel, the mean of the three."""
    zero_mean: bool = True
    """Atari, preprocessor_pref rllib: features in [-1, 0.992] instead of [0, 1]."""
    custom_model: str | type | None = None
    """A registered name, a class, or `package.module.Class` that takes the place of the default models."""
    custom_model_config: dict[str, Any] = field(default_factory=dict)
    """Keyword arguments of the custom model's constructor."""
    custom_action_dist: str | type | None = None
    """A registered name, a class or its path; Beta or SquashedGaussian (for bounded Boxes) in place of the default."""
    custom_preprocessor: str | None = None
    """Not supported: wrap the environment instead."""
    encoder_latent_dim: int | None = None
    """Not supported: it belonged to another kind of model."""
    always_check_shapes: bool = False
    """Check the output's shape in every forward pass, not only in the dummy passes before training."""
    lstm_use_prev_action_reward: bool | int = DEPRECATED_VALUE
    """Deprecated: use `lstm_use_prev_action` and `lstm_use_prev_reward`. False is accepted."""
    _use_default_native_models: bool | int = DEPRECATED_VALUE
    """Deprecated: it has had no effect for years. False is accepted."""
    _disable_preprocessor_api: bool = False
    """Give the model nested observations; indices, counted from 0, stay indices instead of one-hot vectors."""
    _disable_action_flattening: bool = False
    """Show nested actions nested in views and custom distributions, instead of as one flat array."""
    autoregressive_actions: bool = False
    """Let each part of an action depend on the parts before it, by a masked network (MADE, Germain et al., 2015)."""
    use_gru: bool = False
    """Put a GRU on top of the model, configured by the `lstm_` keys; excludes `use_lstm` and `use_attention`."""
    parametric_actions: Literal["given", "learned"] | None = None
    """Score Discrete actions by embeddings, given in the observation or learned; None: one output for each action."""
    action_embedding_key: str = "avail_actions"
    """Part of a Dict observation that holds given embeddings, a Box of shape (actions, width)."""
    action_embedding_dim: int = 16
    """Width of learned embeddings, at least 1."""
    mask_as_feature: bool = False
    """Let built-in models see the mask of an observation as a part of it; custom models always do."""

    def validate(self) -> None:
        """Raise :class:`ConfigError` for the first key that is out of range, contradictory or not supported."""
        if self.use_lstm and self.use_attention:
            raise ConfigError("Only one of `use_lstm` or `use_attention` may be set to True!")
        if self.use_gru and (self.use_lstm or self.use_attention):
            raise ConfigError("`use_gru` takes the place of `use_lstm` and `use_attention`; set one of the three.")
        kind, name = self.parametric_actions, self.action_embedding_key
        known = kind in (None, "given", "learned")
        require(known, "model.parametric_actions", kind, "it is 'given', 'learned' or None")
        require(name != "", "model.action_embedding_key", name, "it names a part of the observation")
        for key, least in _LEAST.items():
            value = getattr(self, key)
            require(value >= least, f"model.{key}", value, f"it must be at least {least}")
        for key in ("fcnet_hiddens", "post_fcnet_hiddens"):
            sizes = getattr(self, key)
            require(all(size >= 1 for size in sizes), f"model.{key}", sizes, "layer sizes are at least 1")
        require(
            self.log_std_clip_param > 0,
            "model.log_std_clip_param",
            self.log_std_clip_param,
            "a clamp to plus and minus a value needs that value above 0",
        )
        bias = self.attention_init_gru_gate_bias
        require(math.isfinite(bias), "model.attention_init_gru_gate_bias", bias, "it must be a finite number")
        if self.conv_filters is not None:
            check_filters(self.conv_filters)
        for item in dataclasses.fields(self):
            key, value = item.name, getattr(self, item.name)
            if key in _REFUSED and value != item.default and not (value is False and key in _DEPRECATED):
                raise ConfigError(f"config key `model.{key}` is {value!r}, but {_REFUSED[key]}.")
            if key.endswith("_initializer_config") and value:
                initializer = key.removesuffix("_config")
                reason = f"`model.{initializer}` is None, whose default takes no arguments; name the initialiser"
                require(getattr(self, initializer) is not None, f"model.{key}", value, reason)

    def require_effect(self) -> None:
        """Refuse memory keys without a memory, and `no_final_linear` with one, by a :class:`ConfigError`."""
        recurrent = self.use_lstm or self.use_gru
        for key, there, wanted in (
            ("lstm_use_prev_action", recurrent, "`use_lstm` or `use_gru`"),
            ("lstm_use_prev_reward", recurrent, "`use_lstm` or `use_gru`"),
            ("attention_use_n_prev_actions", self.use_attention, "`use_attention`"),
            ("attention_use_n_prev_rewards", self.use_attention, "`use_attention`"),
        ):
            if getattr(self, key) and not there:
                raise ConfigError(f"config key `model.{key}` is for a memory, but there is none; set {wanted} as well.")
        if self.no_final_linear and (recurrent or self.use_attention):
            raise ConfigError(
                "config key `model.no_final_linear` makes the last hidden layer the output, but a memory has linear"
                " outputs; leave it off."
            )

    def without_effect(self) -> dict[str, str]:
        """Return the keys that have no effect beside the others as they are, whatever the spaces, each with the reason.

        A custom model may read any key; those of Atari are not for models.
        """
        if self.custom_model is not None:
            return {}
        recurrent = self.use_lstm or self.use_gru
        keys = [item.name for item in dataclasses.fields(self)]
        idle: dict[str, str] = {}
        if not recurrent:
            reason = "there is no such memory (`use_lstm` and `use_gru` are False)"
            idle |= {key: reason for key in keys if key.startswith("lstm_")}
        if not self.use_attention:
            reason = "there is no such memory (`use_attention` is False)"
            idle |= {key: reason for key in keys if key.startswith("attention_")}
        if not recurrent and not self.use_attention:
            idle |= dict.fromkeys(("max_seq_len", "_time_major"), "there is no memory, which alone learns by sequences")
        for key, kind in (("action_embedding_key", "given"), ("action_embedding_dim", "learned")):
            if self.parametric_actions != kind:
                idle[key] = f"actions have no {kind} embeddings (`parametric_actions` is {self.parametric_actions!r})"
        return idle

    def least_sizes(self) -> Iterator[tuple[str, int]]:
        """Yield keys, each with a number of weights or of states that a built-in model cannot do without."""
        for key in ("fcnet_hiddens", "post_fcnet_hiddens"):
            yield key, layer_sizes(getattr(self, key))
        for channels, kernel, _ in self.conv_filters or []:
            yield "conv_filters", channels * (math.prod(kernel) if isinstance(kernel, tuple) else kernel**2)
        if self.use_lstm or self.use_gru:
            yield "lstm_cell_size", self.lstm_cell_size**2
        if self.use_attention:
            unit = self.attention_dim * self.attention_num_heads * self.attention_head_dim
            yield "attention_dim", unit
            yield "attention_num_transformer_units", self.attention_num_transformer_units * unit
            yield "attention_memory_inference", self.attention_memory_inference * self.attention_dim
            yield "attention_memory_training", self.attention_memory_training * self.attention_dim
            yield "attention_position_wise_mlp_dim", self.attention_position_wise_mlp_dim
            yield "attention_use_n_prev_actions", self.attention_use_n_prev_actions
            yield "attention_use_n_prev_rewards", self.attention_use_n_prev_rewards
        yield "action_embedding_dim", self.action_embedding_dim

    def __getitem__(self, key: object) -> NoReturn:
        raise TypeError(f"ModelConfig[{key!r}]: settings are attributes, model.fcnet_hiddens; as_dict() has all.")

    def as_dict(self) -> dict[str, Any]:
        """Return a new dict of all keys, as models receive it; dicts and lists in it are new as well."""
        return {item.name: copied(getattr(self, item.name)) for item in dataclasses.fields(self)}


def layer_sizes(hiddens: Sequence[int]) -> int:
    """Return how many weights dense layers of these sizes have at least: [64, 32] make 64 + 64 * 32, on one feature."""
    return sum(first * second for first, second in itertools.pairwise([1, *hiddens]))


def check_filters(filters: Sequence[Any]) -> None:
    """Raise a :class:`ConfigError` unless there are filters, each [channels, kernel or [height, width], stride]."""
    reason = (
        "it takes a list of one convolution or more, each [channels, kernel or [height, width], stride] of whole"
        " numbers of at least 1, such as [[16, [8, 8], 4], [32, 4, 2]]; None picks them by image size"
    )
    require(len(filters) > 0 and all(map(_is_filter, filters)), "model.conv_filters", filters, reason)


def _is_filter(layer: Any) -> bool:
    if not isinstance(layer, list | tuple) or len(layer) != 3:
        return False
    channels, kernel, stride = layer
    sides = kernel if isinstance(kernel, list | tuple) and len(kernel) == 2 else [kernel]
    return all(isinstance(number, numbers.Integral) and int(number) >= 1 for number in (channels, *sides, stride))


MODEL_DEFAULTS: dict[str, Any] = ModelConfig().as_dict()
"""The default of every model key, as a plain dict."""


def completed(model_config: Mapping[str, Any] | ModelConfig) -> dict[str, Any]:
    """Return every key of a model configuration; defaults of those that it leaves out are objects of their own."""
    given = model_config.as_dict() if isinstance(model_config, ModelConfig) else model_config
    return {**ModelConfig().as_dict(), **given}


_LEAST = {
    "max_seq_len": 1,
    "lstm_cell_size": 1,
    "attention_num_transformer_units": 1,
    "attention_dim": 1,
    "attention_num_heads": 1,
    "attention_head_dim": 1,
    "attention_memory_inference": 0,
    "attention_memory_training": 0,
    "attention_position_wise_mlp_dim": 1,
    "attention_use_n_prev_actions": 0,
    "attention_use_n_prev_rewards": 0,
    "dim": 1,
    "action_embedding_dim": 1,
}
_DEPRECATED = {
    "lstm_use_prev_action_reward": "it is deprecated; use `lstm_use_prev_action` and `lstm_use_prev_reward`",
    "_use_default_native_models": "it is deprecated and has no effect",
}
_REFUSED: dict[str, str] = (
    {key: "no transposed convolutions are built here" for key in MODEL_DEFAULTS if key.startswith("conv_transpose_")}
    | {
        "custom_preprocessor": "custom preprocessors are not supported; put a gymnasium wrapper around the"
        " environment (`wrappers=[...]`)",
        "encoder_latent_dim": "it belonged to another kind of model; use `fcnet_hiddens`",
    }
    | _DEPRECATED
)
