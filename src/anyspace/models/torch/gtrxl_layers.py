"""The mathematics of GTrXL: relative attention, gates and blocks.

Parisotto et al. 2019, "Stabilizing transformers for reinforcement learning"; relative attention after Dai et al. 2019,
"Transformer-XL".

Letters: S sequences, T steps, D width, H heads, d width of a head, τ steps of memory, K = τ + T keys, P distances.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from anyspace.maths.limits import IMPOSSIBLE
from anyspace.models import gtrxl
from anyspace.models.torch.layers import tanh_, xavier


def position_encoding(length: int, dim: int) -> torch.Tensor:
    """Return :func:`anyspace.models.gtrxl.position_encoding` as a tensor."""
    return torch.from_numpy(gtrxl.position_encoding(length, dim))


def relative_shift(scores: torch.Tensor, keys: int) -> torch.Tensor:
    """Move scores by distance to the keys that are that far back: Transformer-XL's shift.

    Two queries, distances 2, 1, 0 and three keys, of which the last two are the queries' own steps:
    [[a2, a1, a0], [b2, b1, b0]] becomes [[a1, a0, -1e30], [b2, b1, b0]].

    Args:
        scores: [..., T, P] for the distances P - 1 to 0.
        keys: K, the last T of which are the queries' own steps; K < T + P.

    Returns:
        [..., T, K]: entry (i, j) is that of distance K - T + i - j; keys that lie ahead of a query, or further back
        than the distances go, have a score so low that their weight is 0.
    """
    steps, distances = scores.shape[-2:]
    # Rows are padded by T and read as rows one shorter, so that each begins one column further right than the last.
    padded = functional.pad(scores, (0, steps), value=IMPOSSIBLE).flatten(-2)[..., :-steps]
    width = distances + steps - 1
    return padded.view(*scores.shape[:-1], width)[..., width - keys :]


class RelativeMultiHeadAttention(nn.Module):
    """Attention over memory and present steps by content and by distance.

    A query attends to its own step and to as many before it as positions are given.

    Its gradient can be taken once, not differentiated again.

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
        self.query_key_value = xavier(dim_in, 3 * width, called=False)
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
        sequences, steps, dim = x.shape
        weight = self.query_key_value.weight
        query_bias, value_bias = self.content_bias.flatten(), None
        memory = memory.detach()
        if self.norm is not None:
            # Gain and shift go to the weights behind them, so that nothing of the memory has a gradient. The shift of
            # keys adds the same to all scores of a query, which the softmax does not notice.
            memory, x = (functional.layer_norm(part, (dim,), eps=self.norm.eps) for part in (memory, x))
            shift, _, value_bias = functional.linear(weight, self.norm.bias).chunk(3)
            query_bias = query_bias + shift
            weight = weight * self.norm.weight
        of_query, of_key, of_value = weight.chunk(3)
        # q k^T = (q W_k) m^T: W_k is multiplied into the few queries, and W_v into the few weighted sums, instead of
        # into all steps m of memory and sequence.
        query = functional.linear(x, of_query, query_bias)
        by_content = torch.bmm(self._split(query), self._heads(of_key) * self._scale)
        query = query + (self.position_bias - self.content_bias).flatten()
        distances = self.position(positions * self._scale).view(-1, self.heads, self.head_dim).permute(1, 2, 0)
        by_distance = torch.bmm(self._split(query), distances)
        mix = mixing if torch.compiler.is_compiling() else _Mixing.apply
        mixed = mix(
            by_content.view(self.heads, sequences, steps, dim).transpose(0, 1),
            by_distance.view(self.heads, sequences, steps, -1).transpose(0, 1),
            memory,
            x,
            mask,
        )
        values = torch.bmm(mixed.transpose(0, 1).flatten(1, 2), self._heads(of_value).mT)  # [H, S T, d]
        values = values.transpose(0, 1).flatten(1)
        if value_bias is not None:
            values = values + value_bias
        result: torch.Tensor = self.output(values).view(sequences, steps, -1)
        return result if self.activation is None else self.activation(result)

    @property
    def _scale(self) -> float:
        return 1 / math.sqrt(self.head_dim)

    def _heads(self, weight: torch.Tensor) -> torch.Tensor:
        """Return weights [H d, D] as [H, d, D]."""
        return weight.view(self.heads, self.head_dim, -1)

    def _split(self, x: torch.Tensor) -> torch.Tensor:
        """Return [S, T, H d] as [H, S T, d]."""
        return x.view(-1, self.heads, self.head_dim).transpose(0, 1)


def mixing(
    by_content: torch.Tensor,
    by_distance: torch.Tensor,
    memory: torch.Tensor,
    x: torch.Tensor,
    mask: torch.Tensor | None,
) -> torch.Tensor:
    """Return the sum of steps, each with its weight, for every query: [S, H, T, D].

    softmax(C y^T + shift(B)) y for C = ``by_content``, B = ``by_distance`` and the steps y = (``memory``, ``x``).

    Args:
        by_content: [S, H, T, D], what scores steps by their product with it.
        by_distance: [S, H, T, P], scores for the distances P - 1 to 0.
        memory: [S, τ, D].
        x: [S, T, D].
        mask: booleans that broadcast to [S, T, K]: False where a query may not attend to a key.
    """
    steps = torch.cat([memory, x], dim=1)
    scores = by_content @ steps.mT[:, None] + relative_shift(by_distance, steps.shape[1])
    if mask is not None:
        scores = torch.where(mask.expand(*(1,) * (3 - mask.dim()), *mask.shape)[:, None], scores, IMPOSSIBLE)
    return scores.softmax(dim=-1) @ steps[:, None]


class _Mixing(torch.autograd.Function):
    """:func:`mixing` with its gradient written out; ``memory`` is taken to have none."""

    @staticmethod
    def forward(
        ctx: Any,
        by_content: torch.Tensor,
        by_distance: torch.Tensor,
        memory: torch.Tensor,
        x: torch.Tensor,
        mask: torch.Tensor | None,
    ) -> torch.Tensor:
        steps = torch.cat([memory, x], dim=1)
        queries = by_content.flatten(1, 2)
        scores = torch.bmm(queries, steps.mT).view(*by_content.shape[:3], -1)
        scores += relative_shift(by_distance, steps.shape[1])
        if mask is not None:
            lowered = torch.zeros(mask.shape, dtype=x.dtype, device=x.device).masked_fill_(~mask, IMPOSSIBLE)
            scores += lowered.expand(*(1,) * (3 - mask.dim()), *mask.shape)[:, None]
        weights = scores.softmax(dim=-1).flatten(1, 2)
        ctx.save_for_backward(queries, steps, weights)
        ctx.distances = by_distance.shape[3]
        return torch.bmm(weights, steps).view(by_content.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        queries, steps, weights = ctx.saved_tensors
        shape, of_sum = gradient.shape, gradient.flatten(1, 2)
        # Letters: Y steps, C queries, S = C Y^T + shifted distances, W = softmax(S), out = W Y. With G the gradient of
        # out: dW = G Y^T; dS = W∘(dW - sum(dW∘W)), the softmax's; dC = dS Y; dY = W^T G + dS^T C, of which only the
        # present steps' columns are wanted, for memory has no gradient; distances get dS shifted back.
        of_weights = torch.bmm(of_sum, steps.mT)
        of_scores = torch.ops.aten._softmax_backward_data(of_weights, weights, -1, weights.dtype)
        own = slice(steps.shape[1] - shape[2], None)
        of_x = torch.bmm(weights[..., own].mT, of_sum).baddbmm_(of_scores[..., own].mT, queries)
        of_distances = _shifted_back(of_scores.view(*shape[:3], -1), ctx.distances)
        return torch.bmm(of_scores, steps).view(shape), of_distances, None, of_x, None


def _shifted_back(gradient: torch.Tensor, distances: int) -> torch.Tensor:
    """Return the gradient [..., T, P] of the input of `relative_shift` from the gradient [..., T, K] of its output."""
    steps, keys = gradient.shape[-2:]
    whole = functional.pad(gradient, (distances + steps - 1 - keys, 0)).flatten(-2)
    return functional.pad(whole, (0, steps)).view(*gradient.shape[:-1], -1)[..., :distances]


class GRUGate(nn.Module):
    """A gate in place of a residual sum: how much of a sub-layer's output replaces its input.

    r = σ(x W_r + h U_r); z = σ(x W_z + h U_z - b); ĥ = tanh(x W_h + (r∘h) U_h); out = (1 - z)∘h + z∘ĥ.

    Args:
        dim: D.
        bias: initial b; the larger, the nearer the gate is to passing h through.
    """

    def __init__(self, dim: int, bias: float):
        super().__init__()
        self.of_input = xavier(dim, dim, dim, dim, called=False)
        self.of_skip = xavier(dim, dim, dim, called=False)
        self.of_reset = xavier(dim, dim, called=False)
        self.bias = nn.Parameter(torch.full((dim,), float(bias)))

    def forward(self, h: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Return [..., D] from the skipped input h and the sub-layer's output x, both [..., D]."""
        weights = (self.of_input.weight, self.of_skip.weight, self.of_reset.weight, self.bias)
        gate = gated if torch.compiler.is_compiling() else _Gate.apply
        result: torch.Tensor = gate(h.reshape(-1, h.shape[-1]), x.reshape(-1, h.shape[-1]), *weights)
        return result.view(h.shape)


def gated(
    h: torch.Tensor,
    x: torch.Tensor,
    of_input: torch.Tensor,
    of_skip: torch.Tensor,
    of_reset: torch.Tensor,
    bias: torch.Tensor,
) -> torch.Tensor:
    """Return the formula of :class:`GRUGate`, [N, D].

    Args:
        h: the skipped input [N, D].
        x: the sub-layer's output [N, D].
        of_input: W_r, W_z and W_h below each other, [3 D, D].
        of_skip: U_r and U_z, [2 D, D].
        of_reset: U_h [D, D].
        bias: b [D].
    """
    by_input, by_skip = functional.linear(x, of_input).chunk(3, dim=1), functional.linear(h, of_skip).chunk(2, dim=1)
    reset = torch.sigmoid(by_input[0] + by_skip[0])
    update = torch.sigmoid(by_input[1] + by_skip[1] - bias)
    candidate = torch.tanh(by_input[2] + functional.linear(reset * h, of_reset))
    return torch.lerp(h, candidate, update)


class _Gate(torch.autograd.Function):
    """:func:`gated` with its gradient written out: half as many passes over memory as one operation after another."""

    @staticmethod
    def forward(
        ctx: Any,
        h: torch.Tensor,
        x: torch.Tensor,
        of_input: torch.Tensor,
        of_skip: torch.Tensor,
        of_reset: torch.Tensor,
        bias: torch.Tensor,
    ) -> torch.Tensor:
        dim = h.shape[1]
        gates = torch.addmm(functional.pad(-bias, (dim, dim)), x, of_input.t())  # [N, 3D]: r, z, candidate
        opened, candidate = gates[:, : 2 * dim], gates[:, 2 * dim :]
        opened.addmm_(h, of_skip.t()).sigmoid_()
        reset = opened[:, :dim] * h
        candidate.addmm_(reset, of_reset.t())
        tanh_(candidate)
        ctx.save_for_backward(h, x, of_input, of_skip, of_reset, gates, reset)
        return torch.lerp(h, candidate, opened[:, dim:])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, ...]:
        h, x, of_input, of_skip, of_reset, gates, reset = ctx.saved_tensors
        r, z, candidate = gates.chunk(3, dim=1)
        # out = h + z∘(c - h), so with G its gradient: dh = G∘(1 - z), dc = G∘z, dz = G∘(c - h). Then through the tanh
        # and the sigmoids: `before_...` are the gradients of what goes into them. With R = before_candidate U_h, the
        # reset gate gets dr = R∘h, and dh gets R∘r and the product of both gates' gradients with U_r and U_z.
        before = torch.empty_like(gates)
        before_r, before_z, before_candidate = before.chunk(3, dim=1)
        torch.mul(gradient, z, out=before_candidate)
        of_h = gradient - before_candidate
        torch.ops.aten.tanh_backward.grad_input(before_candidate, candidate, grad_input=before_candidate)
        of_reset_h = before_candidate @ of_reset
        torch.ops.aten.sigmoid_backward.grad_input(of_reset_h * h, r, grad_input=before_r)
        torch.ops.aten.sigmoid_backward.grad_input(gradient * (candidate - h), z, grad_input=before_z)
        opened = before[:, : 2 * r.shape[1]]
        of_h.addcmul_(of_reset_h, r).addmm_(opened, of_skip)
        return (
            of_h,
            before @ of_input,
            before.t() @ x,
            opened.t() @ h,
            before_candidate.t() @ reset,
            -before_z.sum(dim=0),
        )


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
        self,
        x: torch.Tensor,
        memory: torch.Tensor,
        positions: torch.Tensor,
        mask: torch.Tensor | None = None,
        real: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return [S, T, D].

        Args:
            x: the present steps [S, T, D].
            memory: as for attention.
            positions: as for attention.
            mask: as for attention.
            real: which of 0..S*T-1 are steps; the others are padding and give 0. None: all are.
        """
        attention: torch.Tensor = self.attention(x, memory, positions, mask).flatten(0, 1)
        rows = x.flatten(0, 1)
        if real is not None:
            rows, attention = rows.index_select(0, real), attention.index_select(0, real)
        attended = self.attention_gate(rows, attention)
        result: torch.Tensor = self.mlp_gate(attended, self.mlp(attended))
        if real is not None:
            result = result.new_zeros(x.flatten(0, 1).shape).index_copy(0, real, result)
        return result.view(x.shape)
