"""Bare loops of gradient steps in PyTorch: the same networks, losses, optimisers and target updates, and nothing else.

One fixed batch, no replay, no environment: what a step costs at least. Prints one JSON line.

    python benchmarks/bare.py dqn 2000 1
"""

from __future__ import annotations

import copy
import json
import math
import sys
import time
from collections.abc import Callable
from functools import partial

import torch
from torch import nn
from torch.nn import functional as F

HIDDEN = 256


def mlp(width_in: int, width_out: int) -> nn.Sequential:
    """Return two hidden layers with relus."""
    return nn.Sequential(
        nn.Linear(width_in, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, width_out)
    )


def dqn() -> Callable[[], None]:
    """CartPole's sizes, a batch of 128, clipped gradients; the target is copied every 500 steps."""
    q = mlp(4, 2)
    target, adam, count = copy.deepcopy(q), torch.optim.Adam(q.parameters(), 1e-4, fused=True), 0
    obs, after, rewards = torch.randn(128, 4), torch.randn(128, 4), torch.randn(128)
    actions, going_on = torch.randint(2, (128, 1)), torch.ones(128)

    def step() -> None:
        nonlocal count
        with torch.no_grad():
            y = rewards + 0.99 * going_on * target(after).max(dim=1).values
        loss = F.smooth_l1_loss(q(obs).gather(1, actions)[:, 0], y)
        adam.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(q.parameters(), 10.0)
        adam.step()
        count += 1
        if count % 500 == 0:
            target.load_state_dict(q.state_dict())

    return step


def sac(width: int = 3, numbers: int = 1) -> Callable[[], None]:
    """A batch of 256, two critics; the targets follow by 0.005. ``width`` and ``numbers`` are Pendulum's."""
    actor, q1, q2 = mlp(width, 2 * numbers), mlp(width + numbers, 1), mlp(width + numbers, 1)
    targets, critics = [copy.deepcopy(q) for q in (q1, q2)], [*q1.parameters(), *q2.parameters()]
    log_alpha = nn.Parameter(torch.zeros(()))
    adams = [torch.optim.Adam(some, 3e-4, fused=True) for some in (actor.parameters(), critics, [log_alpha])]
    obs, after, rewards = torch.randn(256, width), torch.randn(256, width), torch.randn(256)
    actions, going_on = torch.rand(256, numbers) * 2 - 1, torch.ones(256)

    def sampled(of: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mean, log_std = actor(of).chunk(2, dim=1)
        log_std = log_std.clamp(-20, 2)
        noise = torch.randn_like(mean)
        raw = mean + log_std.exp() * noise
        gaussian = -0.5 * noise**2 - log_std - 0.5 * math.log(2 * math.pi)
        return raw.tanh(), (gaussian - 2 * (math.log(2) - raw - F.softplus(-2 * raw))).sum(dim=1)

    def both(of: torch.Tensor, taken: torch.Tensor, nets: list[nn.Sequential]) -> list[torch.Tensor]:
        pairs = torch.cat([of, taken], dim=1)
        return [net(pairs)[:, 0] for net in nets]

    def step() -> None:
        alpha = log_alpha.detach().exp()
        with torch.no_grad():
            taken, logp = sampled(after)
            y = rewards + 0.99 * going_on * (torch.minimum(*both(after, taken, targets)) - alpha * logp)
        critic_loss = torch.stack([F.mse_loss(q, y) for q in both(obs, actions, [q1, q2])]).sum()
        adams[1].zero_grad()
        torch.autograd.backward(critic_loss)
        adams[1].step()
        taken, logp = sampled(obs)
        actor_loss = (alpha * logp - torch.minimum(*both(obs, taken, [q1, q2]))).mean()
        adams[0].zero_grad()
        torch.autograd.backward(actor_loss)
        adams[0].step()
        adams[2].zero_grad()
        torch.autograd.backward(-log_alpha * (logp.detach() - numbers).mean())
        adams[2].step()
        with torch.no_grad():
            ours: list[torch.Tensor] = [parameter for net in targets for parameter in net.parameters()]
            torch._foreach_lerp_(ours, [*critics], 0.005)

    return step


Loop = Callable[[], None]
"""One update."""

LOOPS: dict[str, Callable[[], Loop]] = {
    "dqn": dqn,
    "dqn-8": dqn,
    "sac": sac,
    "sac-8": sac,
    "sac-large": partial(sac, 17, 6),
}
"""By name of the contest in `algorithms.py`."""


def main(name: str, steps: int, threads: int) -> None:
    torch.set_num_threads(threads)
    step = LOOPS[name]()
    for _ in range(50):
        step()
    started = time.perf_counter()
    for _ in range(steps):
        step()
    print(json.dumps({"rate": steps / (time.perf_counter() - started)}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
