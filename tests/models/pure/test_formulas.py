"""The formulas against what is written in their docstrings, in every framework."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tensorflow as tf

from anyspace.maths.sequences import Resets
from anyspace.maths.xp import Namespace, xp
from anyspace.models.pure.activations import sigmoid, tanh
from anyspace.models.pure.dense import Dense, dense
from anyspace.models.pure.gates import gate
from anyspace.models.pure.recurrent import gru, lstm, unrolled
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
    p = {"a.weight": numbers(H, F), "a.bias": numbers(H), "c.weight": numbers(2, H)}
    network = dense(arrays(framework, p), [Dense("a", tanh), Dense("c", bias=False)])
    x = numbers(N, F)
    expected = np.tanh(x @ p["a.weight"].T + p["a.bias"]) @ p["c.weight"].T
    np.testing.assert_allclose(network(framework.array(x)), expected, rtol=1e-5, atol=1e-6)
    assert dense({}, [])(x) is x


def test_a_sigmoid_of_any_size(framework):
    ns, make = xp(framework.array(0)), framework.array
    x = np.array([-1e4, -2.0, 0.0, 3.0, 1e4], np.float32)
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(sigmoid(ns, make(x)), logistic(x), atol=1e-6)


def recurrent_weights(gates):
    p = {"rnn.weight_ih_l0": numbers(gates * H, F), "rnn.weight_hh_l0": numbers(gates * H, H)}
    return p | {"rnn.bias_ih_l0": numbers(gates * H), "rnn.bias_hh_l0": numbers(gates * H, seed=1)}


def by_hand_lstm(p, x, h, c):
    bias = p["rnn.bias_ih_l0"] + p["rnn.bias_hh_l0"]
    i, f, g, o = np.split(x @ p["rnn.weight_ih_l0"].T + h @ p["rnn.weight_hh_l0"].T + bias, 4, axis=1)
    cell = logistic(f) * c + logistic(i) * np.tanh(g)
    return logistic(o) * np.tanh(cell), cell


def by_hand_gru(p, x, h):
    r, z, n = np.split(x @ p["rnn.weight_ih_l0"].T + p["rnn.bias_ih_l0"], 3, axis=1)
    r2, z2, n2 = np.split(h @ p["rnn.weight_hh_l0"].T + p["rnn.bias_hh_l0"], 3, axis=1)
    kept = logistic(z + z2)
    return ((1 - kept) * np.tanh(n + logistic(r + r2) * n2) + kept * h,)


RECURRENT = {"lstm": (lstm, by_hand_lstm, 4, 2), "gru": (gru, by_hand_gru, 3, 1)}


@pytest.mark.parametrize("kind", RECURRENT)
def test_a_step_of_a_memory(framework, kind):
    make, by_hand, gates, parts = RECURRENT[kind]
    p, x, state = recurrent_weights(gates), numbers(N, F), [numbers(N, H, seed=i) for i in range(parts)]
    step = make(arrays(framework, p), "rnn")
    remembered, new = step(framework.array(x), [framework.array(part) for part in state])
    for own, wanted in zip(new, by_hand(p, x, *state), strict=True):
        np.testing.assert_allclose(own, wanted, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(new[0], remembered)


@pytest.mark.parametrize("kind", RECURRENT)
def test_a_memory_over_sequences_is_its_steps_and_padding_leaves_states_as_they_are(framework, kind):
    make, by_hand, gates, parts = RECURRENT[kind]
    p, x, state = recurrent_weights(gates), numbers(6, N, F), [numbers(N, H, seed=i) for i in range(parts)]
    lens = np.array([6, 1, 4, 2, 6], np.int32)
    out, last = framework.run(
        lambda p, x, state, lens: unrolled(make(p, "rnn"), x, state, lens),
        arrays(framework, p),
        framework.array(x),
        [framework.array(part) for part in state],
        framework.array(lens, np.int32),
    )
    for t in range(6):
        inside = t < lens
        new = by_hand(p, x[t], *state)
        state = [np.where(inside[:, None], after, before) for after, before in zip(new, state, strict=True)]
        np.testing.assert_allclose(np.asarray(out[t])[inside], state[0][inside], rtol=1e-4, atol=1e-5)
    for own, wanted in zip(last, state, strict=True):
        np.testing.assert_allclose(own, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", RECURRENT)
def test_sequences_that_share_a_lane_are_what_each_is_alone(framework, kind):
    make, by_hand, gates, parts = RECURRENT[kind]
    p, x, state = recurrent_weights(gates), numbers(6, 2, F), [numbers(2, H, seed=i) for i in range(parts)]
    fresh = [numbers(3, H, seed=10 + i) for i in range(parts)]
    # The first lane holds sequences of 2, 3 and 1 steps, the second one of 1 and 3, and two steps of padding.
    begins = np.array([[-1, -1, 1, -1, -1, 0], [-1, 2, -1, -1, -1, -1]], np.int32)
    out, _ = framework.run(
        lambda p, x, state, lens, begins, fresh: unrolled(make(p, "rnn"), x, state, lens, Resets(begins, fresh)),
        arrays(framework, p),
        framework.array(x),
        [framework.array(part) for part in state],
        framework.array(np.array([6, 4], np.int32), np.int32),
        framework.array(begins.reshape(-1), np.int32),
        [framework.array(part) for part in fresh],
    )
    for lane, (length, row) in enumerate(zip((6, 4), begins, strict=True)):
        own = [part[lane][None] for part in state]
        for t in range(length):
            own = own if row[t] < 0 else [part[row[t]][None] for part in fresh]
            own = by_hand(p, x[t, lane][None], *own)
            np.testing.assert_allclose(np.asarray(out[t, lane]), own[0][0], rtol=1e-4, atol=1e-5)


def gradients_of_jax(loss, *arguments):
    return jax.tree.leaves(jax.grad(loss, argnums=tuple(range(len(arguments))))(*arguments))


def gradients_of_tensorflow(loss, *arguments):
    flat = tf.nest.flatten(arguments)

    @tf.function
    def run():
        with tf.GradientTape() as tape:
            tape.watch(flat)
            value = loss(*arguments)
        return tape.gradient(value, flat)

    return run()


@pytest.mark.parametrize("resets", [False, True])
@pytest.mark.parametrize("kind", RECURRENT)
@pytest.mark.parametrize(
    ("array", "gradients"), [(jnp.asarray, gradients_of_jax), (tf.constant, gradients_of_tensorflow)], ids=["jax", "tf"]
)
def test_the_given_gradient_of_a_memory_is_that_which_is_derived(array, gradients, kind, resets, monkeypatch):
    make, _, gates, parts = RECURRENT[kind]
    p = {name: array(value) for name, value in recurrent_weights(gates).items()}
    x, state = array(numbers(6, 3, F)), [array(numbers(3, H, seed=i)) for i in range(parts)]
    fresh = [array(numbers(2, H, seed=10 + i)) for i in range(parts)]
    begins = array(np.array([-1, -1, 1, -1, -1, -1, *[-1] * 6, -1, 0, -1, -1, -1, -1], np.int32))
    weight, lens = array(numbers(6, 3, H, seed=5)), array(np.array([6, 1, 4], np.int32))

    def loss(p, x, state):
        out, last = unrolled(make(p, "rnn"), x, state, lens, Resets(begins, fresh) if resets else None)
        sums = [xp(x).sum((i + 2) * one * one) for i, one in enumerate(last)]
        return xp(x).sum(out * weight) + sum(sums)

    given = gradients(loss, p, x, state)
    monkeypatch.setattr(type(xp(x)), "with_gradient", Namespace.with_gradient)
    derived = gradients(loss, p, x, state)
    for own, wanted in zip(given, derived, strict=True):
        assert np.abs(wanted).max() > 0.01
        np.testing.assert_allclose(own, wanted, rtol=1e-4, atol=1e-5)


def test_a_gate(framework):
    p = {"g.of_input.weight": numbers(3 * H, H), "g.of_skip.weight": numbers(2 * H, H)}
    p |= {"g.of_reset.weight": numbers(H, H), "g.bias": numbers(H)}
    h, x = numbers(N, H), numbers(N, H, seed=1)
    by_input = np.split(x @ p["g.of_input.weight"].T, 3, axis=1)
    by_skip = np.split(h @ p["g.of_skip.weight"].T, 2, axis=1)
    r, z = logistic(by_input[0] + by_skip[0]), logistic(by_input[1] + by_skip[1] - p["g.bias"])
    expected = (1 - z) * h + z * np.tanh(by_input[2] + (r * h) @ p["g.of_reset.weight"].T)
    gated = gate(arrays(framework, p), "g")(framework.array(h), framework.array(x))
    np.testing.assert_allclose(gated, expected, rtol=1e-4, atol=1e-5)


def test_formulas_are_made_and_compiled_inside_of_a_traced_function():
    p, x, state = recurrent_weights(4), numbers(N, F), [numbers(N, H), numbers(N, H, seed=1)]

    def loss(p):
        return (lstm(p, "rnn")(x, state)[0] ** 2).mean()

    value, gradient = jax.jit(jax.value_and_grad(loss))(p)
    expected = loss(p)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    changed = p | {"rnn.bias_ih_l0": p["rnn.bias_ih_l0"] - 1e-2 * np.asarray(gradient["rnn.bias_ih_l0"])}
    assert loss(changed) < expected
