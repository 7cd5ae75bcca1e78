"""GTrXL in plain NumPy, number by number, as Parisotto et al. (arXiv:1910.06764) write it: the oracle of its tests."""

from __future__ import annotations

import numpy as np


def sub(weights, prefix):
    """Return the weights of a part, by their names in it."""
    return {name[len(prefix) + 1 :]: value for name, value in weights.items() if name.startswith(prefix + ".")}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def layer_norm(w, x):
    centred = x - x.mean(axis=-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-5) * w["weight"] + w["bias"]


def encoding(distance, dim):
    angles = [distance * 10_000 ** (-2 * j / dim) for j in range((dim + 1) // 2)]
    return np.array([*np.sin(angles), *np.cos(angles)][:dim])


def attention(w, x, memory, heads, *, reach=None, allowed=None, activation=True):
    """Return [T, D] and the attention weights [H, T, K], for one sequence x [T, D] after memory [τ, D].

    ``reach``: how far back is attended to; ``allowed``: [T, K], which keys each query may attend to.
    """
    z = np.concatenate([memory, x])
    steps, keys = len(x), len(z)
    if "norm.weight" in w:
        z = layer_norm(sub(w, "norm"), z)
    q, k, v = np.split(z @ w["query_key_value.weight"].T, 3, axis=1)
    q = q[-steps:]
    width = q.shape[1] // heads
    weights, outputs = np.zeros((heads, steps, keys)), np.zeros((steps, heads * width))
    for head in range(heads):
        own = slice(head * width, (head + 1) * width)
        for i in range(steps):
            attended = []
            for j in range(keys):
                distance = keys - steps + i - j
                if distance < 0 or (reach is not None and distance > reach):
                    continue
                if allowed is not None and not allowed[i, j]:
                    continue
                r = (w["position.weight"] @ encoding(distance, x.shape[1]))[own]
                by_content = (q[i, own] + w["content_bias"][head]) @ k[j, own]
                by_position = (q[i, own] + w["position_bias"][head]) @ r
                attended.append((j, (by_content + by_position) / np.sqrt(width)))
            scores = np.exp(np.array([score for _, score in attended]))
            weights[head, i, [j for j, _ in attended]] = scores / scores.sum()
            outputs[i, own] = weights[head, i] @ v[:, own]
    out = outputs @ w["output.weight"].T
    return (np.maximum(out, 0) if activation else out), weights


def gate(w, h, x):
    w_r, w_z, w_h = np.split(w["of_input.weight"], 3)
    u_r, u_z = np.split(w["of_skip.weight"], 2)
    r = sigmoid(x @ w_r.T + h @ u_r.T)
    z = sigmoid(x @ w_z.T + h @ u_z.T - w["bias"])
    candidate = np.tanh(x @ w_h.T + (r * h) @ w["of_reset.weight"].T)
    return (1 - z) * h + z * candidate


def block(w, x, memory, heads, **rules):
    a, _ = attention(sub(w, "attention"), x, memory, heads, **rules)
    e = gate(sub(w, "attention_gate"), x, a)
    hidden = np.maximum(layer_norm(sub(w, "mlp.0"), e) @ w["mlp.1.weight"].T, 0)
    return gate(sub(w, "mlp_gate"), e, np.maximum(hidden @ w["mlp.3.weight"].T, 0))


def episode(w, features, heads, blocks, reach):
    """Return what a GTrXL makes of a whole episode [T, F] -> [T, D], and each block's inputs."""
    x = features @ w["embedding.weight"].T + w["embedding.bias"]
    inputs = []
    for i in range(blocks):
        inputs.append(x)
        x = block(sub(w, f"blocks.{i}"), x, x[:0], heads, reach=reach)
    return x, inputs
