"""The mathematics of GTrXL: relative attention, gates and blocks (spec 5.6).

Parisotto et al. 2019, "Stabilizing transformers for reinforcement learning"; relative attention after Dai et al. 2019,
"Transformer-XL".

Letters: S sequences, T steps, D width, H heads, d width of a head, τ steps of memory, K = τ + T keys, P distances.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from anyspace.models.torch.layers import Tanh

_MASKED = -1e30
"""The score of what is not attended to: its weight is exactly 0, and no gradient is NaN."""


def position_encoding(length: int, dim: int) -> torch.Tensor:
    """Return the encodings [length, dim] of the distances length - 1 to 0, sines first, then cosines.

    Distance p has sin(p f_j) and cos(p f_j) with f_j = 10000^(-2j / dim); of an odd ``dim`` the last cosine is left
    out.
    """
    distances = torch.arange(length - 1, -1, -1, dtype=torch.float64)
    frequencies = 10_000.0 ** (-torch.arange(0, dim, 2, dtype=torch.float64) / dim)
    angles = distances[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=1)[:, :dim].float()


def relative_shift(scores: torch.Tensor, keys: int) -> torch.Tensor:
    """Move scores by distance to the keys that are that far back: Transformer-XL's shift.

    Args:
        scores: [..., T, P] for the distances P - 1 to 0.
        keys: K, the last T of which are the queries' own steps; K < T + P.

    Returns:
        [..., T, K]: entry (i, j) is that of distance K - T + i - j; keys that lie ahead of a query, or further back
        than the distances go, have a score so low that their weight is 0.
    """
    steps, distances = scores.shape[-2:]
    # A row that is one longer than the row it is read as begins one column further right every time.
    padded = functional.pad(scores, (0, steps), value=_MASKED).flatten(-2)[..., :-steps]
    width = distances + steps - 1
    return padded.view(*scores.shape[:-1], width)[..., width - keys :]


class RelativeMultiHeadAttention(nn.Module):
    """Attention over memory and present steps by content and by distance; RelMHA of spec 5.6.

    A query attends to its own step and to as many before it as positions are given.

    Args:
        dim_in: width of steps and memory.
        dim_out: width of the output.
        heads: H.
        head_dim: d.
        layernorm: normalise steps and memory first.
        activation: follows the output projection; None: nothing does.
    """

    def __init__(
        self,
        dim_in: int,
        dim_out: int,
        heads: int,
        head_dim: int,
        *,
        layernorm: bool = True,
        activation: nn.Module | None = None,
    ):
        super().__init__()
        self.heads, self.head_dim = heads, head_dim
        width = heads * head_dim
        self.norm = nn.LayerNorm(dim_in) if layernorm else None
        self.query_key_value = xavier(dim_in, 3 * width)
        self.position = xavier(dim_in, width)
        self.content_bias = nn.Parameter(nn.init.xavier_uniform_(torch.empty(heads, head_dim)))
        self.position_bias = nn.Parameter(nn.init.xavier_uniform_(torch.empty(heads, head_dim)))
        self.output = xavier(width, dim_out)
        self.activation = activation

    def forward(
        self, x: torch.Tensor, memory: torch.Tensor, positions: torch.Tensor, mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return [S, T, dim_out].

        Args:
            x: the present steps [S, T, dim_in].
            memory: the steps before them [S, τ, dim_in], oldest first; it gets no gradient.
            positions: encodings [P, dim_in] of the distances P - 1 to 0, P > τ: nothing further back is attended to.
            mask: booleans that broadcast to [S, T, K]: False where a query may not attend to a key.
        """
        sequences, steps, _ = x.shape
        memory = memory.detach()
        if self.norm is not None:
            x, memory = self.norm(x), self.norm(memory)
        width = self.heads * self.head_dim
        of_query, of_key_value = self.query_key_value.weight.tensor_split([width])
        query = functional.linear(x, of_query)
        key, value = self._split(functional.linear(torch.cat([memory, x], dim=1), of_key_value)).chunk(2)
        weights = self.weights(query, key, self.position(positions), mask)
        mixed = torch.matmul(weights, value)  # [H, S, T, d]
        result: torch.Tensor = self.output(mixed.permute(1, 2, 0, 3).reshape(sequences, steps, width))
        return result if self.activation is None else self.activation(result)

    def weights(
        self, query: torch.Tensor, key: torch.Tensor, position: torch.Tensor, mask: torch.Tensor | None
    ) -> torch.Tensor:
        """Return the attention weights [H, S, T, K], each row with sum 1.

        Args:
            query: [S, T, H d].
            key: [H, S, K, d].
            position: [P, H d].
            mask: as :meth:`forward` takes it.
        """
        scale = self.head_dim**-0.5
        by_content = self._split(query + self.content_bias.flatten())
        by_position = self._split(query + self.position_bias.flatten())
        distances = by_position.flatten(1, 2) @ self._split(position[None])[:, 0].mT  # [H, S T, P]
        shifted = relative_shift(distances.view(self.heads, *query.shape[:2], -1), key.shape[2])
        scores = torch.baddbmm(
            shifted.flatten(0, 1), by_content.flatten(0, 1), key.flatten(0, 1).mT, beta=scale, alpha=scale
        ).view(shifted.shape)
        if mask is not None:
            scores = scores.masked_fill(~mask, _MASKED)
        return scores.softmax(dim=-1)

    def _split(self, x: torch.Tensor) -> torch.Tensor:
        """Return [S, T, c H d] as [c H, S, T, d]."""
        return x.reshape(*x.shape[:2], -1, self.head_dim).permute(2, 0, 1, 3)


class GRUGate(nn.Module):
    """A gate in place of a residual sum: how much of a sub-layer's output replaces what it was given.

    r = σ(x W_r + h U_r); z = σ(x W_z + h U_z - b); ĥ = tanh(x W_h + (r∘h) U_h); out = (1 - z)∘h + z∘ĥ.

    Args:
        dim: D.
        bias: initial b; the larger, the nearer the gate is to passing h through.
    """

    def __init__(self, dim: int, bias: float):
        super().__init__()
        self.of_input = xavier(dim, dim, dim, dim)
        self.of_skip = xavier(dim, dim, dim)
        self.of_reset = xavier(dim, dim)
        self.bias = nn.Parameter(torch.full((dim,), float(bias)))
        self.tanh = Tanh()

    def forward(self, h: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Return [..., D] from the skipped input h and the sub-layer's output x, both [..., D]."""
        dim = h.shape[-1]
        to_gates, to_candidate = self.of_input(x).split([2 * dim, dim], dim=-1)
        without_r = functional.pad(-self.bias, (dim, 0))
        r, z = (to_gates + functional.linear(h, self.of_skip.weight, without_r)).sigmoid().chunk(2, dim=-1)
        candidate = self.tanh(to_candidate + self.of_reset(r * h))
        return torch.lerp(h, candidate, z)


class GTrXLBlock(nn.Module):
    """Attention and a position-wise network, each after a layer norm and behind a gate.

    Args:
        dim: D.
        heads: H.
        head_dim: d.
        mlp_dim: hidden width of the position-wise network.
        gate_bias: initial bias of the gates.
    """

    def __init__(self, dim: int, heads: int, head_dim: int, mlp_dim: int, gate_bias: float):
        super().__init__()
        self.attention = RelativeMultiHeadAttention(dim, dim, heads, head_dim, activation=nn.ReLU())
        self.attention_gate = GRUGate(dim, gate_bias)
        self.mlp = nn.Sequential(nn.LayerNorm(dim), xavier(dim, mlp_dim), nn.ReLU(), xavier(mlp_dim, dim), nn.ReLU())
        self.mlp_gate = GRUGate(dim, gate_bias)

    def forward(
        self, x: torch.Tensor, memory: torch.Tensor, positions: torch.Tensor, mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return [S, T, D]; the arguments are those of :class:`RelativeMultiHeadAttention`."""
        attended: torch.Tensor = self.attention_gate(x, self.attention(x, memory, positions, mask))
        result: torch.Tensor = self.mlp_gate(attended, self.mlp(attended))
        return result


def xavier(width_in: int, *widths_out: int, bias: bool = False) -> nn.Linear:
    """Return a linear layer that computes several side by side, each with xavier uniform weights; biases are zero."""
    layer = nn.Linear(width_in, sum(widths_out), bias=bias)
    for part in torch.split(layer.weight.detach(), [*widths_out]):
        nn.init.xavier_uniform_(part)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer
