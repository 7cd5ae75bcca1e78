"""The optimisers of compiled learners, on NumPy's arrays, move weights as those of PyTorch do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from anyspace.execution.learner import Group
from anyspace.execution.xla import GroupWeights, moved, new_slots

RATE = 0.01
SHAPES: dict[str, tuple[int, ...]] = {"logits.weight": (2, 3), "logits.bias": (3,)}
OF_PYTORCH: dict[str, Callable[[Any, Group], torch.optim.Optimizer]] = {
    "adam": lambda weights, group: torch.optim.Adam(weights, RATE, eps=group.epsilon),
    "rmsprop": lambda weights, group: torch.optim.RMSprop(
        weights, RATE, group.decay, group.epsilon, momentum=group.momentum
    ),
    "sgd": lambda weights, group: torch.optim.SGD(weights, RATE, group.momentum),
}


@pytest.mark.parametrize(
    "settings",
    [
        {"epsilon": 0.1},
        {"grad_clip": 0.5},
        {"optimiser": "rmsprop", "decay": 0.9, "epsilon": 0.1},
        {"optimiser": "rmsprop", "decay": 0.9, "momentum": 0.5},
        {"optimiser": "sgd", "momentum": 0.9},
        {"optimiser": "sgd"},
    ],
    ids=str,
)
def test_optimisers_are_those_of_pytorch(settings: dict[str, Any]) -> None:
    group = Group(lambda steps: RATE, **settings)
    rng = np.random.default_rng(0)
    weights: dict[str, Any] = {name: rng.normal(size=shape).astype(np.float32) for name, shape in SHAPES.items()}
    theirs = {name: torch.tensor(value, requires_grad=True) for name, value in weights.items()}
    optimiser = OF_PYTORCH[group.optimiser]([*theirs.values()], group)
    by_group = {"policy": GroupWeights(group, SHAPES)}
    slots = new_slots(by_group)
    for _ in range(5):
        gradients = {name: rng.normal(size=shape).astype(np.float32) for name, shape in SHAPES.items()}
        weights, slots, metrics = moved(by_group, {"policy": RATE}, weights, slots, {"policy": gradients})
        for name, parameter in theirs.items():
            parameter.grad = torch.tensor(gradients[name])
        assert ("grad_norm" in metrics) == (group.grad_clip is not None)
        if group.grad_clip is not None:
            norm = torch.nn.utils.clip_grad_norm_([*theirs.values()], group.grad_clip)
            assert float(metrics["grad_norm"]) == pytest.approx(float(norm), rel=1e-5)
        optimiser.step()
        for name, parameter in theirs.items():
            np.testing.assert_allclose(weights[name], parameter.detach(), rtol=1e-5, atol=1e-6, err_msg=name)
