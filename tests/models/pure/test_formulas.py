"""The formulas against what is written in their docstrings, in every framework."""

import jax
import numpy as np
import pytest

from anyspace.maths.xp import xp
from anyspace.models.pure.dense import Dense, dense, sigmoid
from anyspace.models.pure.gtrxl import gate
from anyspace.models.pure.recurrent import gru, lstm
from tests.support.frameworks import FRAMEWORKS

N, F, H = 5, 3, 4


def numbers(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).normal(size=shape).astype(np.float32)


def logistic(x):
    return 1 / (1 + np.exp(-x))


def arrays(framework, p):
    return {name: framework.array(value) for name, value in p.items()}


@pytest.fixture(params=FRAMEWORKS, ids=lambda framework: framework.name)
def framework(request):
    return request.param


def test_dense_layers(framework):
    ns, make = xp(framework.array(0)), framework.array
    p = {"a": numbers(F, H), "b": numbers(H), "c": numbers(H, 2)}
    network = dense(arrays(framework, p), [Dense("a", "b", ns.tanh), Dense("c")])
    x = numbers(N, F)
    np.testing.assert_allclose(network(make(x)), np.tanh(x @ p["a"] + p["b"]) @ p["c"], rtol=1e-5, atol=1e-6)
    assert dense({}, [])(x) is x


def test_a_sigmoid_of_any_size(framework):
    ns, make = xp(framework.array(0)), framework.array
    x = np.array([-1e4, -2.0, 0.0, 3.0, 1e4], np.float32)
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(sigmoid(ns, make(x)), logistic(x), atol=1e-6)


def test_a_step_of_an_lstm(framework):
    ns, make = xp(framework.array(0)), framework.array
    p = {"rnn/input": numbers(F, 4 * H), "rnn/hidden": numbers(H, 4 * H), "rnn/bias": numbers(4 * H)}
    x, h, c = numbers(N, F), numbers(N, H), numbers(N, H, seed=1)
    i, f, g, o = np.split(x @ p["rnn/input"] + h @ p["rnn/hidden"] + p["rnn/bias"], 4, axis=1)
    cell = logistic(f) * c + logistic(i) * np.tanh(g)
    step = lstm(ns, arrays(framework, p), "rnn")
    remembered, state = step(make(x), [make(h), make(c)])
    np.testing.assert_allclose(remembered, logistic(o) * np.tanh(cell), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(state[0], remembered)
    np.testing.assert_allclose(state[1], cell, rtol=1e-4, atol=1e-5)


def test_a_step_of_a_gru(framework):
    ns, make = xp(framework.array(0)), framework.array
    p = {"rnn/input": numbers(F, 3 * H), "rnn/hidden": numbers(H, 3 * H)}
    p |= {"rnn/input_bias": numbers(3 * H), "rnn/hidden_bias": numbers(3 * H, seed=1)}
    x, h = numbers(N, F), numbers(N, H)
    r, z, n = np.split(x @ p["rnn/input"] + p["rnn/input_bias"], 3, axis=1)
    r2, z2, n2 = np.split(h @ p["rnn/hidden"] + p["rnn/hidden_bias"], 3, axis=1)
    kept, new = logistic(z + z2), np.tanh(n + logistic(r + r2) * n2)
    step = gru(ns, arrays(framework, p), "rnn")
    remembered, (state,) = step(make(x), [make(h)])
    np.testing.assert_allclose(remembered, (1 - kept) * new + kept * h, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(state, remembered)


def test_a_gate(framework):
    ns, make = xp(framework.array(0)), framework.array
    bias = numbers(H)
    p = {"g/input": numbers(H, 3 * H), "g/skip": numbers(H, 2 * H), "g/reset": numbers(H, H)}
    h, x = numbers(N, H), numbers(N, H, seed=1)
    by_input, by_skip = np.split(x @ p["g/input"], 3, axis=1), np.split(h @ p["g/skip"], 2, axis=1)
    r, z = logistic(by_input[0] + by_skip[0]), logistic(by_input[1] + by_skip[1] - bias)
    expected = (1 - z) * h + z * np.tanh(by_input[2] + (r * h) @ p["g/reset"])
    p["g/bias"] = np.concatenate([np.zeros(H, np.float32), bias])
    gated = gate(ns, arrays(framework, p), "g")(make(h), make(x))
    np.testing.assert_allclose(gated, expected, rtol=1e-4, atol=1e-5)


def test_formulas_are_made_and_compiled_inside_of_a_traced_function():
    p = {"rnn/input": numbers(F, 4 * H), "rnn/hidden": numbers(H, 4 * H), "rnn/bias": numbers(4 * H)}
    x, state = numbers(N, F), [numbers(N, H), numbers(N, H, seed=1)]
    ns = xp(jax.numpy.zeros(0))

    def loss(p):
        return (lstm(ns, p, "rnn")(x, state)[0] ** 2).mean()

    value, gradient = jax.jit(jax.value_and_grad(loss))(p)
    expected = (lstm(xp(x), p, "rnn")(x, state)[0] ** 2).mean()
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    changed = p | {"rnn/bias": p["rnn/bias"] - 1e-2 * np.asarray(gradient["rnn/bias"])}
    assert (lstm(xp(x), changed, "rnn")(x, state)[0] ** 2).mean() < expected
