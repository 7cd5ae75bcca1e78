"""GTrXL over arrays: relative attention, gates, blocks, and their memory.

Parisotto et al. 2019, "Stabilizing transformers for reinforcement learning"; relative attention after Dai et al. 2019,
"Transformer-XL". `models/torch/gtrxl_layers.py` is the same with gradients of its own.

Letters: N rows, S sequences of T steps each (N = S T), F features, D width, H heads, d width of a head, τ steps of
memory that are seen, K = τ + T keys.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from anyspace.maths.xp import Array, xp
from anyspace.models.gtrxl import GTrXLSizes, position_encoding
from anyspace.models.modelv2 import State
from anyspace.models.pure.activations import relu, sigmoid
from anyspace.models.pure.dense import Dense, Parameters, dense
from anyspace.models.pure.drawing import Drawing
from anyspace.models.pure.initializers import ones, xavier_uniform, zeros

_MASKED = -1e30
"""The score of a key that is not attended to: its weight is exactly 0, and no gradient is NaN."""

_EPSILON = 1e-5
"""Added to the variance in layer norms."""

Gate = Callable[[Array, Array], Array]
"""The skipped input h [N, D] and the output x [N, D] of what was skipped -> [N, D]."""


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
        self.sizes = sizes
        self._embedding = draw.xavier(f"{name}.embedding", width_in, sizes.attention_dim, bias=True)
        self._blocks = [f"{name}.blocks.{i}" for i in range(sizes.num_transformer_units)]
        for block in self._blocks:
            _draw_block(draw, block, sizes)
        self._positions = position_encoding(sizes.memory + 1, sizes.attention_dim)

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
        *memories, counter = state
        x = dense(p, [self._embedding])(features)
        ns, sequences, dim, memory = xp(x), counter.shape[0], x.shape[1], self.sizes.memory
        steps = x.shape[0] // sequences
        x = ns.reshape(x, (sequences, steps, dim))
        reach = self.sizes.memory_training if training else self.sizes.memory_inference
        positions = ns.asarray(self._positions[memory - reach :], like=x)
        keys = ns.asarray(np.arange(-reach, steps, dtype=np.float32), like=x)
        mask = (keys >= -counter)[:, None] if reach else None  # [S, 1, K]

        def rows(x: Array) -> Array:
            return ns.reshape(ns.swapaxes(x, 0, 1) if time_major else x, (sequences * steps, x.shape[2]))

        state_out = []
        for name, earlier in zip(self._blocks, memories, strict=True):
            state_out.append(rows(x))
            earlier = ns.reshape(earlier, (sequences, memory, dim))[:, memory - reach :]
            x = block(p, name, x, earlier, positions, mask, self.sizes)
        return rows(x), [*state_out, rows(counter[:, None] + keys[reach:, None] + 1.0)]


def _draw_block(draw: Drawing, name: str, sizes: GTrXLSizes) -> None:
    """Add the weights of a block: Xavier uniform, biases of the gates as configured."""
    dim, width, heads = sizes.attention_dim, sizes.num_heads * sizes.head_dim, (sizes.num_heads, sizes.head_dim)
    for norm in ("attention.norm", "mlp.0"):
        draw.filled(f"{name}.{norm}.weight", (dim,), ones)
        draw.filled(f"{name}.{norm}.bias", (dim,), zeros)
    draw.xavier(f"{name}.attention.query_key_value", dim, width, parts=3)
    draw.xavier(f"{name}.attention.position", dim, width)
    draw.xavier(f"{name}.attention.output", width, dim)
    draw.filled(f"{name}.attention.content_bias", heads, xavier_uniform)
    draw.filled(f"{name}.attention.position_bias", heads, xavier_uniform)
    draw.xavier(f"{name}.mlp.1", dim, sizes.position_wise_mlp_dim)
    draw.xavier(f"{name}.mlp.3", sizes.position_wise_mlp_dim, dim)
    for gate in ("attention_gate", "mlp_gate"):
        for part, count in (("of_input", 3), ("of_skip", 2), ("of_reset", 1)):
            draw.xavier(f"{name}.{gate}.{part}", dim, dim, parts=count)
        draw.value(f"{name}.{gate}.bias", [sizes.init_gru_gate_bias] * dim)


def block(
    p: Parameters,
    name: str,
    x: Array,
    memory: Array,
    positions: Array,
    mask: Array | None,
    sizes: GTrXLSizes,
) -> Array:
    """Return attention and a position-wise network, each after a layer norm and behind a gate: [S, T, D].

    Args:
        p: the weights.
        name: of the block.
        x: the present steps [S, T, D].
        memory: the steps before them [S, τ, D], oldest first; it gets no gradient.
        positions: encodings [τ + 1, D] of the distances τ to 0: nothing further back is attended to.
        mask: booleans [S, 1, K]: False where a key may not be attended to; None: nowhere.
        sizes: of the network.
    """
    ns, dim = xp(x), x.shape[2]
    h = ns.reshape(x, (-1, dim))
    attended = relu(ns)(attention(p, f"{name}.attention", x, memory, positions, mask, sizes))
    h = gate(p, f"{name}.attention_gate")(h, attended)
    normed = _normed(h) * p[f"{name}.mlp.0.weight"] + p[f"{name}.mlp.0.bias"]
    mlp = dense(p, [Dense(f"{name}.mlp.{i}", relu, bias=False) for i in (1, 3)])
    return ns.reshape(gate(p, f"{name}.mlp_gate")(h, mlp(normed)), x.shape)


def attention(
    p: Parameters,
    name: str,
    x: Array,
    memory: Array,
    positions: Array,
    mask: Array | None,
    sizes: GTrXLSizes,
) -> Array:
    """Return attention of the present steps to themselves and the steps before, by content and by distance: [N, D].

    Arguments are as for :func:`block`. Write m for a normed step less its gain g and shift s. A query q scores a key
    by q·(W_k (g∘m)) = (W_k q∘g)·m, and gives values sum w W_v (g∘m) = W_v g∘(sum w m): so W_k and W_v are multiplied
    into the few queries and weighted sums instead of into all steps. The shift of keys adds the same to all scores of a
    query, which the softmax does not notice; that of values adds W_v s, for weights sum to 1.
    """
    ns, (sequences, steps, dim) = xp(x), x.shape
    heads, width = sizes.num_heads, sizes.head_dim

    def split(rows: Array) -> Array:
        """Return [N, H d] as [H, N, d]."""
        return ns.swapaxes(ns.reshape(rows, (-1, heads, width)), 0, 1)

    def by_query(scores: Array) -> Array:
        """Return [H, N, ...] as [S, H, T, ...]."""
        return ns.swapaxes(ns.reshape(scores, (heads, sequences, steps, scores.shape[2])), 0, 1)

    x, memory = _normed(x), ns.stop_gradient(_normed(memory))
    weight, shift = p[f"{name}.query_key_value.weight"], p[f"{name}.norm.bias"]
    weights = ns.reshape(weight * p[f"{name}.norm.weight"], (3, heads, width, dim))
    of_query, of_key, of_value = (weights[i] for i in range(3))  # [H, d, D]
    shifts = ns.reshape(weight @ shift[:, None], (3, heads * width))
    content, distance = (ns.reshape(p[f"{name}.{part}_bias"], (heads * width,)) for part in ("content", "position"))
    scale = width**-0.5
    query = ns.reshape(x, (-1, dim)) @ ns.swapaxes(ns.reshape(of_query, (-1, dim)), 0, 1) + shifts[0]
    by_content = split(query + content) @ (of_key * scale)  # [H, N, D]
    encoded = (positions * scale) @ ns.swapaxes(p[f"{name}.position.weight"], 0, 1)  # [P, H d]
    by_distance = split(query + distance) @ ns.moveaxis(ns.reshape(encoded, (-1, heads, width)), 0, 2)  # [H, N, P]
    keys = ns.concatenate([memory, x], axis=1)  # [S, K, D]
    scores = by_query(by_content) @ ns.swapaxes(keys, 1, 2)[:, None]  # [S, H, T, K]
    scores = scores + relative_shift(by_query(by_distance), keys.shape[1])
    if mask is not None:
        scores = ns.where(mask[:, None], scores, _MASKED)
    mixed = ns.exp(ns.log_softmax(scores)) @ keys[:, None]  # [S, H, T, D]
    mixed = ns.reshape(ns.swapaxes(mixed, 0, 1), (heads, sequences * steps, dim))
    values = mixed @ ns.swapaxes(of_value, 1, 2)  # [H, N, d]
    values = ns.reshape(ns.swapaxes(values, 0, 1), (-1, heads * width)) + shifts[2]
    return dense(p, [Dense(f"{name}.output", bias=False)])(values)


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
    padded = ns.concatenate([scores, ns.full((*lead, steps, steps), _MASKED, like=scores)], axis=-1)
    width = distances + steps - 1
    moved = ns.reshape(padded, (*lead, steps * (distances + steps)))[..., : steps * width]
    return ns.reshape(moved, (*lead, steps, width))[..., width - keys :]


def gate(p: Parameters, name: str) -> Gate:
    """Return the gate that stands for a residual sum.

    r = σ(x W_r + h U_r); z = σ(x W_z + h U_z - b); ĥ = tanh(x W_h + (r∘h) U_h); out = h + z∘(ĥ - h).

    Its weights are ``name.of_input.weight`` (W_r, W_z, W_h below each other, [3 D, D]), ``name.of_skip.weight`` (U_r,
    U_z, [2 D, D]), ``name.of_reset.weight`` (U_h, [D, D]) and ``name.bias``, b [D].
    """
    ns, bias = xp(p[f"{name}.bias"]), p[f"{name}.bias"]
    of_input, of_skip, of_reset = (
        ns.swapaxes(p[f"{name}.{part}.weight"], 0, 1) for part in ("of_input", "of_skip", "of_reset")
    )
    dim = bias.shape[0]

    def forward(h: Array, x: Array) -> Array:
        by_input, by_skip = x @ of_input, h @ of_skip
        reset = sigmoid(ns, by_input[:, :dim] + by_skip[:, :dim])
        update = sigmoid(ns, by_input[:, dim : 2 * dim] + (by_skip[:, dim:] - bias))
        candidate = ns.tanh(by_input[:, 2 * dim :] + (reset * h) @ of_reset)
        return h + update * (candidate - h)

    return forward


def _normed(x: Array) -> Array:
    """Return ``x`` [..., D] less its mean and over its deviation."""
    ns = xp(x)
    centred = x - ns.mean(x, axis=-1, keepdims=True)
    return centred / (ns.mean(centred * centred, axis=-1, keepdims=True) + _EPSILON) ** 0.5
