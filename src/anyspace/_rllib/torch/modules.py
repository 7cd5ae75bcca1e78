"""Modules of RLlib's old networks, with their old signatures and the old names of their parameters.

`anyspace.rllib` offers them as `models.torch.modules`; our own networks (`gtrxl_layers`, `noisy`) are faster versions
of the same formulas.

Letters: B sequences, T steps, D width, H heads, d width of a head, M steps of memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.distributions import Distribution, Independent, Normal
from torch.nn import functional

from anyspace._rllib.torch.layers import Reshape, get_activation_fn, get_initializer
from anyspace.models.torch.gtrxl_layers import position_encoding, relative_shift
from anyspace.models.torch.initializers import Initializer
from anyspace.models.torch.slim import Activation, SlimFC


class GRUGate(nn.Module):
    """A GRU that joins a layer's input h and output x: (1 - z) h + z tanh(x W_h + (r h) U_h).

    r = sigmoid(x W_r + h U_r) and z = sigmoid(x W_z + h U_z - b). Called as ``gate((h, x))``, both [..., D].

    Source: Parisotto et al., "Stabilizing transformers for reinforcement learning", 2019.

    Args:
        dim: D.
        init_bias: b at first; above 0 the gate passes its first input on.
    """

    _w_r: nn.Parameter
    _w_z: nn.Parameter
    _w_h: nn.Parameter
    _u_r: nn.Parameter
    _u_z: nn.Parameter
    _u_h: nn.Parameter

    def __init__(self, dim: int, init_bias: float = 0.0):
        super().__init__()
        for name in ("_w_r", "_w_z", "_w_h", "_u_r", "_u_z", "_u_h"):
            self.register_parameter(name, nn.Parameter(nn.init.xavier_uniform_(torch.empty(dim, dim))))
        self._bias_z = nn.Parameter(torch.full((dim,), float(init_bias)))

    def forward(self, inputs: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return [..., D]."""
        h, x = inputs
        reset = torch.sigmoid(x @ self._w_r + h @ self._u_r)
        update = torch.sigmoid(x @ self._w_z + h @ self._u_z - self._bias_z)
        return (1 - update) * h + update * torch.tanh(x @ self._w_h + (reset * h) @ self._u_h)


class SkipConnection(nn.Module):
    """Adds a layer's input to its output, or joins them by another layer.

    Args:
        layer: the layer.
        fan_in_layer: called as ``fan_in_layer((input, output))``, a `GRUGate` for example; None adds them.
    """

    def __init__(self, layer: nn.Module, fan_in_layer: nn.Module | None = None):
        super().__init__()
        self._layer, self._fan_in_layer = layer, fan_in_layer

    def forward(self, inputs: torch.Tensor, **arguments: Any) -> torch.Tensor:
        """Return the joined output; keyword arguments go to the layer."""
        outputs: torch.Tensor = self._layer(inputs, **arguments)
        if self._fan_in_layer is None:
            return outputs + inputs
        joined: torch.Tensor = self._fan_in_layer((inputs, outputs))
        return joined


class MultiHeadAttention(nn.Module):
    """Attention of each step to itself and the steps before it, [B, T, in_dim] -> [B, T, out_dim], without positions.

    Source: Vaswani et al., "Attention is all you need", 2017.

    Args:
        in_dim: width of the input.
        out_dim: width of the output.
        num_heads: H.
        head_dim: d.
    """

    def __init__(self, in_dim: int, out_dim: int, num_heads: int, head_dim: int):
        super().__init__()
        self._num_heads, self._head_dim = num_heads, head_dim
        self._qkv_layer = SlimFC(in_dim, 3 * num_heads * head_dim, use_bias=False)
        self._linear_layer = SlimFC(num_heads * head_dim, out_dim, use_bias=False)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the output layer's image of the weighted sums."""
        parts = self._qkv_layer(inputs).unflatten(2, (3, self._num_heads, self._head_dim))
        query, key, value = parts.permute(2, 0, 3, 1, 4)  # [B, H, T, d] each
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        output: torch.Tensor = self._linear_layer(mixed.transpose(1, 2).flatten(2))
        return output


class RelativePositionEmbedding(nn.Module):
    """Encodings of the distances T - 1 to 0, [T, 1, out_dim]: sines first, then cosines.

    Args:
        out_dim: their width.
    """

    inverse_freq: torch.Tensor

    def __init__(self, out_dim: int):
        super().__init__()
        self.out_dim = out_dim
        self.register_buffer("inverse_freq", 10_000.0 ** (-torch.arange(0, out_dim, 2.0) / out_dim))

    def forward(self, seq_length: int) -> torch.Tensor:
        """Return the encodings of ``seq_length`` distances."""
        return position_encoding(seq_length, self.out_dim).to(self.inverse_freq.device)[:, None]


class RelativeMultiHeadAttention(nn.Module):
    """Attention of each step to itself, the steps before it and a memory, by content and by distance.

    Called as ``attention(steps [B, T, in_dim], memory=[B, M, in_dim])`` -> [B, T, out_dim]. No gradient reaches the
    memory.

    Source: Dai et al., "Transformer-XL", 2019.

    Args:
        in_dim: width of steps and memory, and of the encodings of distances.
        out_dim: width of the output.
        num_heads: H.
        head_dim: d.
        input_layernorm: normalise steps and memory first.
        output_activation: follows the output layer.
    """

    def __init__(
        self,
        in_dim: int,
        out_dim: int,
        num_heads: int,
        head_dim: int,
        input_layernorm: bool = False,
        output_activation: Activation = None,
    ):
        super().__init__()
        self._num_heads, self._head_dim = num_heads, head_dim
        width = num_heads * head_dim
        self._qkv_layer = SlimFC(in_dim, 3 * width, use_bias=False)
        self._linear_layer = SlimFC(width, out_dim, use_bias=False, activation_fn=output_activation)
        self._uvar = nn.Parameter(nn.init.xavier_uniform_(torch.empty(num_heads, head_dim)))
        self._vvar = nn.Parameter(nn.init.xavier_uniform_(torch.empty(num_heads, head_dim)))
        self._pos_proj = SlimFC(in_dim, width, use_bias=False)
        self._rel_pos_embedding = RelativePositionEmbedding(in_dim)
        self._input_layernorm = nn.LayerNorm(in_dim) if input_layernorm else None

    def forward(self, inputs: torch.Tensor, memory: torch.Tensor) -> torch.Tensor:
        """Return the output layer's image of the weighted sums."""
        steps = torch.cat([memory.detach(), inputs], dim=1)
        if self._input_layernorm is not None:
            steps = self._input_layernorm(steps)
        parts = self._qkv_layer(steps).unflatten(2, (3, self._num_heads, self._head_dim))
        query, key, value = parts.permute(2, 0, 3, 1, 4)  # [B, H, M + T, d] each
        query = query[:, :, memory.shape[1] :]
        distances = self._pos_proj(self._rel_pos_embedding(steps.shape[1])[:, 0])
        distances = distances.unflatten(1, (self._num_heads, self._head_dim)).transpose(0, 1)  # [H, M + T, d]
        by_content = (query + self._uvar[:, None]) @ key.mT
        by_distance = relative_shift((query + self._vvar[:, None]) @ distances.mT, steps.shape[1])
        after = torch.ones(by_content.shape[2:], dtype=torch.bool, device=steps.device).triu(memory.shape[1] + 1)
        scores = ((by_content + by_distance) / math.sqrt(self._head_dim)).masked_fill(after, -math.inf)
        output: torch.Tensor = self._linear_layer((scores.softmax(dim=-1) @ value).transpose(1, 2).flatten(2))
        return output


class NoisyLayer(nn.Module):
    """A dense layer whose weights and biases carry noise of learnt size, [N, in_size] -> [N, out_size].

    It is `anyspace.models.torch.noisy.NoisyLinear` with the old names and shapes of parameters, and an activation.
    Noise is drawn in every pass from PyTorch's global source, when acting as well.

    Source: Fortunato et al., "Noisy networks for exploration", 2018.

    Args:
        in_size: width of the input.
        out_size: width of the output.
        sigma0: how large the noise on biases is at first, in units of 1 / sqrt(in_size).
        activation: as `layers.activation_factory` takes it; None or "linear": none.
    """

    def __init__(self, in_size: int, out_size: int, sigma0: float, activation: Activation = "relu"):
        super().__init__()
        self.in_size, self.out_size, self.sigma0 = in_size, out_size, sigma0
        kind = get_activation_fn(activation)
        self.activation = None if kind is None else kind()
        bound = 1 / math.sqrt(in_size)
        self.sigma_w = nn.Parameter(torch.empty(in_size, out_size).uniform_(-bound, bound))
        self.sigma_b = nn.Parameter(torch.full((out_size,), sigma0 * bound))
        self.w = nn.Parameter(nn.init.xavier_uniform_(torch.empty(in_size, out_size)))
        self.b = nn.Parameter(torch.zeros(out_size))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the layer's output, with new noise."""
        draws = torch.randn(self.in_size + self.out_size, device=inputs.device)
        noise = draws.sign() * draws.abs().sqrt()
        e_in, e_out = noise[: self.in_size], noise[self.in_size :]
        y: torch.Tensor = inputs @ self.w + self.b + e_out * ((inputs * e_in) @ self.sigma_w + self.sigma_b)
        if self.activation is None:
            return y
        activated: torch.Tensor = self.activation(y)
        return activated


class ConvTranspose2DStack(nn.Module):
    """Makes pictures of vectors by transposed convolutions: [..., input_size] -> a Normal over [..., C, H, W].

    Its deviations are 1, and the log-probability is that of whole pictures.

    Args:
        input_size: width of the vectors.
        filters: (channels of the input, kernel, stride) of each layer.
        initializer: fills the kernels; "default": Xavier uniform.
        bias_init: what the biases start at.
        activation_fn: after each layer but the last.
        output_shape: (C, H, W), which the layers must give.
    """

    def __init__(
        self,
        *,
        input_size: int,
        filters: Sequence[Sequence[int]] = ((1024, 5, 2), (128, 5, 2), (64, 6, 2), (32, 6, 2)),
        initializer: str | Initializer = "default",
        bias_init: float = 0,
        activation_fn: Activation = "relu",
        output_shape: tuple[int, ...] = (3, 64, 64),
    ):
        super().__init__()
        self.output_shape = tuple(output_shape)
        kind: Callable[[], nn.Module] | None = get_activation_fn(activation_fn)
        first = filters[0][0]
        layers: list[nn.Module] = [nn.Linear(input_size, first), Reshape([-1, first, 1, 1])]
        widths = [*(channels for channels, _, _ in filters), self.output_shape[0]]
        for place, (_, kernel, stride) in enumerate(filters):
            layer = nn.ConvTranspose2d(widths[place], widths[place + 1], kernel, stride)
            get_initializer(initializer)(layer.weight)
            assert layer.bias is not None
            nn.init.constant_(layer.bias, bias_init)
            layers.append(layer)
            if kind is not None and place < len(filters) - 1:
                layers.append(kind())
        self._model = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> Distribution:
        """Return the distribution over pictures."""
        mean = self._model(x).view(*x.shape[:-1], *self.output_shape)
        return Independent(Normal(mean, 1.0), len(self.output_shape))
