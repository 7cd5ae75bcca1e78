"""Bare loops of gradient steps in JAX: networks, losses and learning rates of `bare.py`, in compiled calls.

A call is a step, or the 8 steps of `dqn-8` and `sac-8`. One fixed batch, no replay, no environment: what a step costs
at least. No episode ends in the batch. SAC's networks all move by their gradients at the same weights, as this
library's do; in `bare.py` the critics move before the actor. Prints one JSON line. Threads are 1, or as many as there
are cores, which JAX takes by itself.

    python benchmarks/bare_jax.py sac 2000 1
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

HIDDEN = 256


def main(name: str, steps: int, threads: int) -> None:
    """Measure one loop with one thread, or with those that JAX takes by itself."""
    if threads not in (1, os.cpu_count()):
        sys.exit(f"Threads are 1 or {os.cpu_count()}, as many as there are cores; {threads} came.")
    if threads == 1:
        os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
    loop, each = LOOPS[name]
    call = loop(each)
    for _ in range(50):
        call()
    started = time.perf_counter()
    for _ in range(steps // each):
        call()
    print(json.dumps({"rate": steps / (time.perf_counter() - started)}))


def looped(step: Callable[..., Any], carry: Any, batch: Any, each: int) -> Callable[[], None]:
    """Return a compiled call of ``each`` steps of what is handed from step to step."""
    import jax

    def several(carry: Any, batch: Any) -> Any:
        return jax.lax.scan(lambda carry, _: (step(carry, batch), None), carry, length=each)[0]

    run = jax.jit(step if each == 1 else several)

    def call() -> None:
        nonlocal carry
        carry = jax.block_until_ready(run(carry, batch))  # type: ignore[no-untyped-call]

    return call


def mlp(key: Any, width_in: int, width_out: int) -> list[Any]:
    """Return two hidden layers."""
    import jax

    sizes = [width_in, HIDDEN, HIDDEN, width_out]
    keys = jax.random.split(key, 3)
    return [
        (jax.random.normal(one, (a, b)) / math.sqrt(a), jax.numpy.zeros(b))
        for one, a, b in zip(keys, sizes[:-1], sizes[1:], strict=True)
    ]


def applied(layers: list[Any], x: Any) -> Any:
    """Run a network with relus."""
    import jax

    for kernel, bias in layers[:-1]:
        x = jax.nn.relu(x @ kernel + bias)
    return x @ layers[-1][0] + layers[-1][1]


def adam(weights: Any, moments: Any, gradients: Any, rate: float) -> tuple[Any, Any]:
    """Return weights and moments after one step."""
    import jax

    first, second, count = moments
    first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, gradients)
    second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, second, gradients)
    count = count + 1.0
    scale, spread = 1 / (1 - 0.9**count), 1 / (1 - 0.999**count)
    moved = jax.tree.map(
        lambda w, m, v: w - rate * m * scale / (jax.numpy.sqrt(v * spread) + 1e-8), weights, first, second
    )
    return moved, (first, second, count)


def moments_of(weights: Any) -> tuple[Any, Any, Any]:
    """Return Adam's moments before the first step."""
    import jax

    zeros = jax.tree.map(jax.numpy.zeros_like, weights)
    return zeros, zeros, jax.numpy.zeros(())


def dqn(each: int = 1) -> Callable[[], None]:
    """CartPole's sizes, a batch of 128, clipped gradients; the target is copied every 500 steps."""
    import jax
    import jax.numpy as jnp

    keys = jax.random.split(jax.random.key(0), 5)
    q, shapes = mlp(keys[0], 4, 2), [(128, 4), (128, 4), (128,)]
    obs, after, rewards = (jax.random.normal(key, shape) for key, shape in zip(keys[1:4], shapes, strict=True))
    batch = obs, after, rewards, jax.random.randint(keys[4], (128, 1), 0, 2)

    def step(carry: Any, batch: Any) -> Any:
        q, target, moments, number = carry
        obs, after, rewards, actions = batch
        y = rewards + 0.99 * applied(target, after).max(axis=1)

        def loss(q: Any) -> Any:
            error = jnp.take_along_axis(applied(q, obs), actions, 1)[:, 0] - y
            return jnp.where(jnp.abs(error) < 1, 0.5 * error**2, jnp.abs(error) - 0.5).mean()

        gradients = jax.grad(loss)(q)
        norm = jnp.sqrt(sum(jnp.sum(g * g) for g in jax.tree.leaves(gradients)))
        gradients = jax.tree.map(lambda g: g * jnp.minimum(1.0, 10.0 / norm), gradients)
        q, moments = adam(q, moments, gradients, 1e-4)
        number = number + 1
        target = jax.lax.cond(number % 500 == 0, lambda: q, lambda: target)
        return q, target, moments, number

    return looped(step, (q, q, moments_of(q), 0), batch, each)


def sac(each: int = 1, width: int = 3, numbers: int = 1) -> Callable[[], None]:
    """A batch of 256, two critics; the targets follow by 0.005. ``width`` and ``numbers`` are Pendulum's."""
    import jax
    import jax.numpy as jnp

    keys = jax.random.split(jax.random.key(0), 7)
    actor, critics = mlp(keys[0], width, 2 * numbers), [mlp(key, width + numbers, 1) for key in keys[1:3]]
    weights = {"actor": actor, "critics": critics, "alpha": jnp.zeros(())}
    shapes = [(256, width), (256, width), (256,), (256, numbers)]
    batch = [jax.random.normal(key, shape) for key, shape in zip(keys[3:], shapes, strict=True)]

    def sampled(actor: Any, of: Any, key: Any) -> Any:
        mean, log_std = jnp.split(applied(actor, of), 2, axis=1)
        log_std = jnp.clip(log_std, -20, 2)
        noise = jax.random.normal(key, mean.shape)
        raw = mean + jnp.exp(log_std) * noise
        gaussian = -0.5 * noise**2 - log_std - 0.5 * math.log(2 * math.pi)
        return jnp.tanh(raw), (gaussian - 2 * (math.log(2) - raw - jax.nn.softplus(-2 * raw))).sum(axis=1)

    def both(critics: Any, of: Any, taken: Any) -> Any:
        pairs = jnp.concatenate([of, taken], axis=1)
        return [applied(one, pairs)[:, 0] for one in critics]

    def step(carry: Any, batch: Any) -> Any:
        weights, targets, moments, key = carry
        obs, after, rewards, actions = batch
        key, one, two = jax.random.split(key, 3)

        def losses(own: Any) -> Any:
            alpha = jnp.exp(jax.lax.stop_gradient(own["alpha"]))
            taken, logp = sampled(weights["actor"], after, one)
            y = rewards + 0.99 * (jnp.minimum(*both(targets, after, taken)) - alpha * logp)
            critic = sum(jnp.mean((q - jax.lax.stop_gradient(y)) ** 2) for q in both(own["critics"], obs, actions))
            taken, logp = sampled(own["actor"], obs, two)
            values = jnp.minimum(*both(jax.lax.stop_gradient(own["critics"]), obs, taken))
            temperature = -own["alpha"] * jax.lax.stop_gradient(logp - numbers).mean()
            return critic + (alpha * logp - values).mean() + temperature

        weights, moments = adam(weights, moments, jax.grad(losses)(weights), 3e-4)
        targets = jax.tree.map(lambda t, w: t + 0.005 * (w - t), targets, weights["critics"])
        return weights, targets, moments, key

    return looped(step, (weights, critics, moments_of(weights), jax.random.key(1)), batch, each)


LOOPS: dict[str, tuple[Callable[[int], Callable[[], None]], int]] = {
    "dqn": (dqn, 1),
    "dqn-8": (dqn, 8),
    "sac": (sac, 1),
    "sac-8": (sac, 8),
    "sac-large": (partial(sac, width=17, numbers=6), 1),
}
"""By name of the contest in `algorithms.py`: what makes a call, of how many steps."""


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
