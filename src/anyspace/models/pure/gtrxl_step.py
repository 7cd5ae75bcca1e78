"""One step of a GTrXL in NumPy, as acting takes it.

`pure/gtrxl.py` is the same network over whole sequences. For one query to a row it pays to work in place, and on
weights of attention that were folded into each other before.

Letters: N rows, F features, D width, H heads, d width of a head, M steps of memory that are seen, K = M + 1 keys.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from anyspace.maths.arrays import Floats
from anyspace.maths.xp import Array
from anyspace.models.pure.dense import Dense, Parameters, dense
from anyspace.models.pure.gates import gate
from anyspace.models.pure.recurrent import Step

Attention = Callable[[Floats, Floats, npt.NDArray[np.bool_]], Floats]
"""A step [N, D], the M steps before it [N, M, D] and which keys are not there [N, 1, K] -> [N, D]."""


class Block(NamedTuple):
    """What the formulas know of a block beside its parameters."""

    heads: int
    """H."""
    head_dim: int
    """d."""
    attention_epsilon: float
    """Added to the variance in the layer norm of attention."""
    mlp_epsilon: float
    """Added to the variance in the layer norm of the position-wise network."""
    mlp: Sequence[Dense]
    """The position-wise network, behind its layer norm."""


def gtrxl_step(p: Parameters, name: str, blocks: Sequence[Block], *, memory: int, reach: int) -> Step:
    """Return one step of a GTrXL.

    Its states are each block's inputs of the steps before [N, memory * D] or [N, memory, D], oldest first, and the
    number of steps that the episode had [N, 1].

    With ``reach`` 3, a counter of 1 says that only the latest of the three steps before belongs to the episode: of the
    ages -3, -2, -1, 0 of the keys, those below -1 are not attended to.

    Args:
        p: the weights that :func:`folded` returns.
        name: of the network.
        blocks: of the network, at least one.
        memory: the steps that a state holds.
        reach: M, the steps before the present one that are attended to, at most ``memory``.
    """
    run = [_block(p, f"{name}.blocks.{i}", block) for i, block in enumerate(blocks)]
    embedding = dense(p, [Dense(f"{name}.embedding")])
    ages, skipped = np.arange(-reach, 1, dtype=np.float32), memory - reach

    def step(x: Array, state: list[Array]) -> tuple[Array, list[Array]]:
        *memories, counter = state
        x, new = embedding(x), []
        before_episode = (ages < -counter)[:, None]  # [N, 1, K]
        for block, earlier in zip(run, memories, strict=True):
            new.append(x)
            steps = earlier.reshape(len(x), memory, x.shape[1])
            x = block(x, steps[:, skipped:], before_episode)
        return x, [*new, counter + 1]

    return step


def _block(p: Parameters, name: str, block: Block) -> Attention:
    """Return attention and a position-wise network, each after a layer norm and behind a gate."""
    attention = _attention(p, f"{name}.attention", block)
    attention_gate, mlp_gate = gate(p, f"{name}.attention_gate"), gate(p, f"{name}.mlp_gate")
    mlp, gain, shift = dense(p, block.mlp), p[f"{name}.mlp.0.weight"], p[f"{name}.mlp.0.bias"]

    def forward(x: Floats, memory: Floats, missing: npt.NDArray[np.bool_]) -> Floats:
        attended = attention_gate(x, attention(x, memory, missing))
        centred, scale = _centred(attended, block.mlp_epsilon)
        result: Floats = mlp_gate(attended, mlp(centred * scale[..., None] * gain + shift))
        return result

    return forward


def folded(p: Parameters, name: str, blocks: Sequence[Block], positions: Floats) -> dict[str, Floats]:
    """Return the parameters of :func:`gtrxl_step`, with the matrices of attention multiplied into each other.

    With one query a row, keys and values need not be computed. Write n for a normed step less its gain and shift, so
    that a step is n∘g + s. A key k scores q·k = (W_q (n∘g + s) + u)·(W_k (m∘g + s)), where m is the key's normed step:
    W_k and both gains go to the query's side (``to_scores``), and terms that all keys of a query share fall out of the
    softmax. Likewise W_v and W_o are one matrix (``to_output``) on the weighted sum of normed steps.

    Args:
        p: the weights as they are trained: under ``name.blocks.i.attention``, ``norm.weight`` and ``norm.bias`` [D],
            ``query_key_value.weight`` [3 H d, D], ``position.weight`` [H d, D], ``content_bias`` and ``position_bias``
            [H, d], ``output.weight`` [D, H d]; all others as the formulas take them.
        name: of the network.
        blocks: of the network.
        positions: the encodings [K, D] of the distances M to 0.
    """
    result = dict(p)
    for i, block in enumerate(blocks):
        of = f"{name}.blocks.{i}.attention"
        result |= {f"{of}.{part}": values for part, values in _folded_attention(p, of, block, positions).items()}
    return result


def _folded_attention(p: Parameters, name: str, block: Block, positions: Floats) -> dict[str, Floats]:
    heads, width = block.heads, block.head_dim
    keys, dim = positions.shape
    gain, shift = p[f"{name}.norm.weight"], p[f"{name}.norm.bias"]
    query, key, value = p[f"{name}.query_key_value.weight"].reshape(3, heads, width, dim)
    by_distance = (positions @ p[f"{name}.position.weight"].T).reshape(keys, heads, width).transpose(1, 2, 0)
    # What a query [H, d] is multiplied by: D columns for the content of a key, K for its distance.
    score = np.concatenate([key * gain, by_distance], axis=2) * np.float32(width**-0.5)  # [H, d, D + K]
    # u and v of Transformer-XL: what is added to a query when it scores contents, and when it scores distances.
    offsets = np.concatenate(
        [
            np.broadcast_to(p[f"{name}.content_bias"][..., None], (heads, width, dim)),
            np.broadcast_to(p[f"{name}.position_bias"][..., None], (heads, width, keys)),
        ],
        axis=2,
    )
    shifted = query @ shift
    to_scores = ((query * gain).transpose(0, 2, 1) @ score).transpose(1, 0, 2).reshape(dim, -1)  # [D, H (D + K)]
    output = p[f"{name}.output.weight"].reshape(-1, heads, width).transpose(1, 2, 0)  # [H, d, D out]
    return {
        "to_scores": to_scores,
        "score_bias": ((shifted[..., None] + offsets) * score).sum(axis=1).reshape(-1),
        "to_output": ((value * gain).transpose(0, 2, 1) @ output).reshape(heads * dim, -1),
        "output_bias": ((value @ shift)[:, None] @ output).sum(axis=(0, 1)),
    }


def _attention(p: Parameters, name: str, block: Block) -> Attention:
    """Return attention of one step to itself and the steps before it, on folded parameters; a ReLU follows."""
    heads, epsilon = block.heads, block.attention_epsilon
    to_scores, score_bias, to_output, output_bias = (
        p[f"{name}.{part}"] for part in ("to_scores", "score_bias", "to_output", "output_bias")
    )

    def forward(x: Floats, memory: Floats, missing: npt.NDArray[np.bool_]) -> Floats:
        # Normed steps are centred * scale. The scale of a key is a number, so it is applied to scores and weights.
        centred, scale = _centred(np.concatenate([memory, x[:, None]], axis=1), epsilon)  # [N, K, D], [N, K]
        scoring = ((centred[:, -1] * scale[:, -1:]) @ to_scores + score_bias).reshape(len(x), heads, -1)
        dim = x.shape[1]
        # By content: a product with each key; by distance: the last K numbers as they are. [N, H, K]
        scores = (scoring[..., :dim] @ centred.transpose(0, 2, 1)) * scale[:, None] + scoring[..., dim:]
        np.copyto(scores, -np.inf, where=missing)
        # Softmax, and the scale of the steps that are summed.
        weights = np.exp(scores - np.maximum.reduce(scores, axis=2, keepdims=True))
        weights *= scale[:, None] / np.add.reduce(weights, axis=2, keepdims=True)
        mixed = (weights @ centred).reshape(len(x), -1)  # [N, H D]
        attended: Floats = np.maximum(mixed @ to_output + output_bias, 0)
        return attended

    return forward


def _centred(x: Floats, epsilon: float) -> tuple[Floats, Floats]:
    """Return ``x`` [..., D] less its mean, and [...] by which that is multiplied to be of variance 1."""
    centred = x - np.add.reduce(x, axis=-1, keepdims=True) / x.shape[-1]  # np.mean takes as long again to call
    squares: Floats = np.einsum("...d,...d->...", centred, centred)
    return centred, np.float32(1) / np.sqrt(squares / np.float32(x.shape[-1]) + np.float32(epsilon))
