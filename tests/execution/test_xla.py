"""The optimisers of compiled learners, on NumPy's arrays, move weights as those of PyTorch do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from anyspace.execution.groups import Group
from anyspace.execution.xla import GroupWeights, moved, nearer, new_slots, slots_by_name, slots_from

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


def test_weights_of_any_width_are_moved_and_stay_as_wide_as_they_are() -> None:
    group = Group(lambda steps: RATE, grad_clip=10.0)
    kinds = {"narrow": np.float16, "wide": np.float64, "usual": np.float32}
    weights: dict[str, Any] = {name: np.linspace(0.1, 1, 3).astype(kind) for name, kind in kinds.items()}
    by_group = {"policy": GroupWeights(group, dict.fromkeys(kinds, (3,)), frozenset({"wide"}))}
    slots = new_slots(by_group)
    gradients = {name: np.ones(3, np.float64 if name == "wide" else np.float32) for name in kinds}
    before = dict(weights)
    for _ in range(2):
        weights, slots, metrics = moved(by_group, {"policy": RATE}, weights, slots, {"policy": gradients})
    assert metrics["grad_norm"] == pytest.approx(3.0)
    assert metrics["grad_norm"].dtype == (np.float32(1) * 1.0).dtype  # which is float64 before NumPy 2
    for name, kind in kinds.items():
        assert weights[name].dtype == kind
        np.testing.assert_allclose(weights[name], before[name] - 2 * RATE, rtol=2e-3, err_msg=name)
        assert slots["policy"][f"{name}/exp_avg"].dtype == (np.float64 if name == "wide" else np.float32)
    restored = slots_from(slots_by_name(slots, by_group), by_group)
    np.testing.assert_equal(restored, slots)
    halfway = nearer(before, weights, 0.5, lambda name: True)
    for name, kind in kinds.items():
        assert halfway[name].dtype == kind
        np.testing.assert_allclose(halfway[name], before[name] - RATE, rtol=2e-3, err_msg=name)
