"""GTrXL over arrays: relative attention, gates, blocks, and their memory.

Parisotto et al. 2019, "Stabilizing transformers for reinforcement learning"; relative attention after Dai et al. 2019,
"Transformer-XL". `models/torch/gtrxl_layers.py` is the same with gradients of its own.

Letters: N rows, S sequences of T steps each (N = S T), F features, D width, H heads, d width of a head, τ steps of
memory that are seen, K = τ + T keys.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from anyspace.maths.arrays import Floats
from anyspace.maths.limits import IMPOSSIBLE
from anyspace.maths.xp import Array, xp
from anyspace.models.gtrxl import GTrXLSizes, position_encoding
from anyspace.models.modelv2 import State
from anyspace.models.pure.activations import relu
from anyspace.models.pure.dense import Dense, Parameters, dense
from anyspace.models.pure.drawing import Drawing
from anyspace.models.pure.gates import gate
from anyspace.models.pure.gtrxl_step import Block, folded, gtrxl_step
from anyspace.models.pure.initializers import ones, xavier_uniform, zeros
from anyspace.models.pure.recurrent import Step

_EPSILON = 1e-5
"""Added to the variance in layer norms."""

Attention = Callable[[Array, Array, Array | None], Array]
"""Present steps [S, T, D], the steps before them [S, τ, D], oldest first, which get no gradient, and booleans
[S, 1, K], False where a key may not be attended to, or None -> [S, T, D] or [N, D]."""
Network = Callable[[Array, State], tuple[Array, State]]
"""Features [N, F] and states -> features [S, T, D] and the states of every step [S, T, ...]."""


class GTrXL:
    """Gated Transformer-XL over features: features of each step that take the steps before into account.

    A step attends to itself and to ``memory_inference`` steps before it (in gradient steps, ``memory_training``). It
    makes no difference where sequences are cut and which of these steps come from memory. Steps before the episode are
    never attended to. So acting step by step gives the same as one pass over the sequence.

    The state has each block's inputs of the last M steps and, last, the number of steps that the episode had. With one
    block, D = 2 and M = 3, after two steps of an episode with block inputs a and b, it is [[0, 0], a, b] and [2].

    Args:
        draw: draws the weights.
        name: of the network.
        width_in: width of the features.
        sizes: of the network.
    """

    def __init__(self, draw: Drawing, name: str, width_in: int, sizes: GTrXLSizes):
        self.sizes, self._name = sizes, name
        draw.xavier(f"{name}.embedding", width_in, sizes.attention_dim, bias=True)
        for block in _blocks(name, sizes):
            _draw_block(draw, block, sizes)
        self._positions = position_encoding(sizes.memory + 1, sizes.attention_dim)

    def step(self, p: Parameters) -> Step:
        """Return one step of acting in NumPy, made of weights that stay as they are."""
        sizes, name = self.sizes, self._name
        blocks = [Block(sizes.num_heads, sizes.head_dim, _EPSILON, _EPSILON, _mlp(of)) for of in _blocks(name, sizes)]
        reach = sizes.memory_inference
        p = folded(p, name, blocks, self._positions[sizes.memory - reach :])
        return gtrxl_step(p, name, blocks, memory=sizes.memory, reach=reach)

    def __call__(
        self, p: Parameters, features: Array, state: State, *, training: bool = False, time_major: bool = False
    ) -> tuple[Array, State]:
        """Return features [N, D] and, of every row, the inputs of each block [N, D] and the counter [N, 1].

        Args:
            p: the weights.
            features: [N, width_in], sequence after sequence. Sequences that are shorter are padded on the right; what
                the padding holds matters to no other row.
            state: for each block its inputs of the M steps before the sequence, [S, M, D], oldest first (where M is 1,
                also [S, D]); last, [S, 1], how many of these steps belong to the episode, which may be more than M.
            training: whether this is a gradient step.
            time_major: the rows that are returned lie step after step.

        Raises:
            ModelError: the state has another number of arrays, or another shape.
        """
        self.sizes.require_state(state)
        reach = self.sizes.memory_training if training else self.sizes.memory_inference
        x, state_out = gtrxl(p, self._name, self.sizes, self._positions, reach)(features, state)
        ns = xp(x)

        def rows(x: Array) -> Array:
            return ns.reshape(ns.swapaxes(x, 0, 1) if time_major else x, (-1, x.shape[2]))

        return rows(x), [rows(part) for part in state_out]


def gtrxl(p: Parameters, name: str, sizes: GTrXLSizes, positions: Floats, reach: int) -> Network:
    """Return a GTrXL made of weights: features [N, F] and states -> features [S, T, D] and states [S, T, ...].

    Args:
        p: the weights.
        name: of the network.
        sizes: of the network.
        positions: encodings [M + 1, D] of the distances M to 0.
        reach: τ, the steps before the present one that are attended to, at most M.
    """
    embedding, dim, memory = dense(p, [Dense(f"{name}.embedding")]), sizes.attention_dim, sizes.memory
    positions = positions[memory - reach :]
    blocks = [block(p, of, sizes, positions) for of in _blocks(name, sizes)]

    def forward(features: Array, state: State) -> tuple[Array, State]:
        *memories, counter = state
        x = embedding(features)
        ns, sequences = xp(x), counter.shape[0]
        steps = x.shape[0] // sequences
        x = ns.reshape(x, (sequences, steps, dim))
        keys = ns.asarray(np.arange(-reach, steps, dtype=np.float32), like=x)
        mask = (keys >= -counter)[:, None] if reach else None  # [S, 1, K]
        state_out = []
        for run, earlier in zip(blocks, memories, strict=True):
            state_out.append(x)
            x = run(x, ns.reshape(earlier, (sequences, memory, dim))[:, memory - reach :], mask)
        return x, [*state_out, counter[:, None] + keys[reach:, None] + 1.0]

    return forward


def _mlp(name: str) -> list[Dense]:
    """Return the position-wise network of a block, behind its layer norm."""
    return [Dense(f"{name}.mlp.{i}", relu, bias=False) for i in (1, 3)]


def _blocks(name: str, sizes: GTrXLSizes) -> list[str]:
    """Return the names of the blocks."""
    return [f"{name}.blocks.{i}" for i in range(sizes.num_transformer_units)]


def _draw_block(draw: Drawing, name: str, sizes: GTrXLSizes) -> None:
    """Add the weights of a block: Xavier uniform, biases of the gates as configured."""
    dim, width, heads = sizes.attention_dim, sizes.num_heads * sizes.head_dim, (sizes.num_heads, sizes.head_dim)
    for norm in ("attention.norm", "mlp.0"):
        draw.filled(f"{name}.{norm}.weight", (dim,), ones)
        draw.filled(f"{name}.{norm}.bias", (dim,), zeros)
    draw.xavier(f"{name}.attention.query_key_value", dim, 3 * width)
    draw.xavier(f"{name}.attention.position", dim, width)
    draw.xavier(f"{name}.attention.output", width, dim)
    draw.filled(f"{name}.attention.content_bias", heads, xavier_uniform)
    draw.filled(f"{name}.attention.position_bias", heads, xavier_uniform)
    draw.xavier(f"{name}.mlp.1", dim, sizes.position_wise_mlp_dim)
    draw.xavier(f"{name}.mlp.3", sizes.position_wise_mlp_dim, dim)
    for of_gate in ("attention_gate", "mlp_gate"):
        for part, count in (("of_input", 3), ("of_skip", 2), ("of_reset", 1)):
            draw.xavier(f"{name}.{of_gate}.{part}", dim, dim, parts=count)
        draw.value(f"{name}.{of_gate}.bias", [sizes.init_gru_gate_bias] * dim)


def block(p: Parameters, name: str, sizes: GTrXLSizes, positions: Floats) -> Attention:
    """Return attention and a position-wise network, each after a layer norm and behind a gate."""
    attend, dim = attention(p, f"{name}.attention", sizes, positions), sizes.attention_dim
    attention_gate, mlp_gate = gate(p, f"{name}.attention_gate"), gate(p, f"{name}.mlp_gate")
    mlp = dense(p, _mlp(name))
    gain, shift = p[f"{name}.mlp.0.weight"], p[f"{name}.mlp.0.bias"]
    activate = relu(xp(gain))

    def forward(x: Array, memory: Array, mask: Array | None) -> Array:
        rows = xp(x).reshape(x, (-1, dim))
        attended = attention_gate(rows, activate(attend(x, memory, mask)))
        centred, scale = _centred(attended)
        result = mlp_gate(attended, mlp(centred * scale[:, None] * gain + shift))
        return xp(x).reshape(result, x.shape)

    return forward


def attention(p: Parameters, name: str, sizes: GTrXLSizes, positions: Floats) -> Attention:
    """Return attention of the present steps to themselves and the steps before, by content and by distance: [N, D].

    Write m for a normed step less its gain g and shift s. A query q scores a key by q·W_k (g∘m) = (g∘W_k q)·m, and what
    it gets is the sum of w W_v (g∘m) = W_v (g∘(the sum of w m)): so W_k and W_v are multiplied into the few queries and
    weighted sums instead of into all steps. The shift of keys adds the same to all scores of a query, which the softmax
    does not notice; that of values adds W_v s, for weights sum to 1.

    Args:
        p: the weights.
        name: of the attention.
        sizes: of the network.
        positions: encodings [τ + 1, D] of the distances τ to 0: nothing further back is attended to.
    """
    weight, gain, shift = (p[f"{name}.{part}"] for part in ("query_key_value.weight", "norm.weight", "norm.bias"))
    ns, dim, heads, width = xp(weight), sizes.attention_dim, sizes.num_heads, sizes.head_dim
    weights = ns.reshape(weight * gain, (3, heads, width, dim))
    of_query = ns.swapaxes(ns.reshape(weights[0], (heads * width, dim)), 0, 1)
    shifts = ns.reshape(weight @ shift[:, None], (3, heads * width))
    encoded = ns.asarray(positions, like=weight) @ ns.swapaxes(p[f"{name}.position.weight"], 0, 1)
    by_distance = ns.moveaxis(ns.reshape(encoded, (-1, heads, width)), 0, 2)  # [H, d, τ + 1]
    # What a query is multiplied by, D columns for the content of a key and τ + 1 for its distance, and what is added:
    # Transformer-XL's u and v are parts of the query when it scores contents, and when it scores distances.
    scoring = [weights[1], by_distance]
    offsets = [
        ns.reshape(shifts[0] + ns.reshape(p[f"{name}.{part}_bias"], (heads * width,)), (heads, 1, width)) @ columns
        for part, columns in zip(("content", "position"), scoring, strict=True)
    ]
    score, offset = (ns.concatenate(parts, axis=2) * width**-0.5 for parts in (scoring, offsets))
    of_value = ns.swapaxes(weights[2], 1, 2)  # [H, D, d]
    output = dense(p, [Dense(f"{name}.output", bias=False)])

    def forward(x: Array, memory: Array, mask: Array | None) -> Array:
        sequences, steps, _ = x.shape

        # Normed steps are centred * scale. The scale of a key is a number, so it is applied to scores and weights.
        centred, scale = _centred(ns.concatenate([ns.stop_gradient(memory), x], axis=1))  # [S, K, D], [S, K]
        before = centred.shape[1] - steps
        query = ns.reshape(centred[:, before:] * scale[:, before:, None], (-1, dim)) @ of_query  # [N, H d]
        scored = ns.swapaxes(ns.reshape(query, (-1, heads, width)), 0, 1) @ score + offset  # [H, N, D + τ + 1]
        scored = ns.swapaxes(ns.reshape(scored, (heads, sequences, steps, -1)), 0, 1)  # [S, H, T, D + τ + 1]
        by_content = ns.reshape(scored[..., :dim], (sequences, heads * steps, dim)) @ ns.swapaxes(centred, 1, 2)
        by_distance = ns.reshape(relative_shift(scored[..., dim:], centred.shape[1]), by_content.shape)
        scores = by_content * scale[:, None] + by_distance  # [S, H T, K]
        if mask is not None:
            scores = ns.where(mask, scores, IMPOSSIBLE)
        mixed = (ns.softmax(scores) * scale[:, None]) @ centred  # [S, H T, D]
        mixed = ns.swapaxes(ns.reshape(mixed, (sequences, heads, steps, dim)), 0, 1)
        values = ns.reshape(mixed, (heads, sequences * steps, dim)) @ of_value  # [H, N, d]
        return output(ns.reshape(ns.swapaxes(values, 0, 1), (-1, heads * width)) + shifts[2])

    return forward


def relative_shift(scores: Array, keys: int) -> Array:
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
    ns, (*lead, steps, distances) = xp(scores), scores.shape
    if steps == 1:
        return scores[..., distances - keys :]
    # Rows are padded by T and read as rows one shorter, so that each begins one column further right than the last.
    padded = ns.concatenate([scores, ns.full((*lead, steps, steps), IMPOSSIBLE, like=scores)], axis=-1)
    width = distances + steps - 1
    moved = ns.reshape(padded, (*lead, steps * (distances + steps)))[..., : steps * width]
    return ns.reshape(moved, (*lead, steps, width))[..., width - keys :]


def _centred(x: Array) -> tuple[Array, Array]:
    """Return ``x`` [..., D] less its mean, and [...] by which that is multiplied to be of variance 1."""
    ns, part = xp(x), 1 / x.shape[-1]
    centred = x - ns.sum(x, axis=-1, keepdims=True) * part
    return centred, 1.0 / ns.sqrt(ns.sum(centred * centred, axis=-1) * part + _EPSILON)
