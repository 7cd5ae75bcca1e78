"""Functions of gradients with the signatures of the old stack; numbers are RLlib 2.40's."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from anyspace._rllib.torch import gradients as module
from anyspace._rllib.torch.gradients import (
    apply_grad_clipping,
    clip_gradients,
    compute_global_norm,
    global_norm,
    minimize_and_clip,
    set_torch_seed,
    update_target_network,
    warn_if_infinite_kl_divergence,
)
from anyspace.errors import ConfigError


def gradients(**more):
    return {"w": torch.tensor([3.0, -4.0]), "c": torch.tensor([12.0]), **more}


@pytest.mark.parametrize(
    ("limit", "by", "w", "c", "norm"),
    [
        (2.0, "value", [2.0, -2.0], [2.0], None),
        (2.0, "norm", [1.2, -1.6], [2.0], None),
        (6.5, "global_norm", [1.5, -2.0], [6.0], 13.0),
        (50.0, "global_norm", [3.0, -4.0], [12.0], 13.0),
        (None, "norm", [3.0, -4.0], [12.0], None),
    ],
)
def test_gradients_by_name_are_limited(limit, by, w, c, norm):
    given = gradients(b=None)
    assert clip_gradients(given, grad_clip=limit, grad_clip_by=by) == norm
    torch.testing.assert_close(given["w"], torch.tensor(w))
    torch.testing.assert_close(given["c"], torch.tensor(c))
    assert given["b"] is None


def test_a_limit_of_something_else_is_refused():
    with pytest.raises(ConfigError, match="'size', but expected 'value', 'norm' or 'global_norm'"):
        clip_gradients(gradients(), grad_clip=1.0, grad_clip_by="size")


def test_norms():
    assert global_norm(list(gradients().values())) == 13
    assert compute_global_norm([*gradients().values(), None]) == 13
    assert compute_global_norm([]) == 0


def with_gradient(*values):
    parameter = nn.Parameter(torch.zeros(len(values)))
    parameter.grad = torch.tensor(values)
    return parameter


def optimiser(*groups):
    return SimpleNamespace(param_groups=[{"params": group} for group in groups])


def test_gradients_of_an_optimiser_are_limited():
    first, second, bare = with_gradient(3.0, 4.0), with_gradient(0.6, 0.8), nn.Parameter(torch.zeros(1))
    limited = SimpleNamespace(config={"grad_clip": 2.0})
    found = apply_grad_clipping(limited, optimiser([first], [second], [bare]), None)
    assert found["grad_gnorm"] == pytest.approx(3.0)
    torch.testing.assert_close(first.grad, torch.tensor([1.2, 1.6]))
    torch.testing.assert_close(second.grad, torch.tensor([0.6, 0.8]))
    unlimited = SimpleNamespace(config={"grad_clip": None})
    assert apply_grad_clipping(unlimited, optimiser([with_gradient(3.0, 4.0)]), None)["grad_gnorm"] == 5
    assert apply_grad_clipping(unlimited, optimiser([bare]), None) == {}


def test_each_gradient_is_limited():
    parameter = with_gradient(3.0, 4.0)
    minimize_and_clip(optimiser([parameter, nn.Parameter(torch.zeros(1))]), 1.0)
    torch.testing.assert_close(parameter.grad, torch.tensor([0.6, 0.8]))


def test_target_networks_follow():
    main, target = nn.Linear(1, 1), nn.Linear(1, 1)
    with torch.no_grad():
        for network, value in ((main, 4.0), (target, 0.0)):
            for parameter in network.parameters():
                parameter.fill_(value)
    update_target_network(main, target, 0.25)
    assert [parameter.item() for parameter in target.parameters()] == [1, 1]


def test_an_infinite_divergence_is_told(caplog):
    with caplog.at_level(logging.WARNING, logger=module.__name__):
        warn_if_infinite_kl_divergence(None, torch.tensor(3.0))
        assert not caplog.records
        warn_if_infinite_kl_divergence(None, torch.tensor(torch.inf))
    assert "KL divergence is infinite" in caplog.text


def test_the_seed(monkeypatch):
    asked = []
    monkeypatch.setattr(torch, "use_deterministic_algorithms", asked.append)
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", False)
    set_torch_seed(3)
    first = torch.rand(2)
    set_torch_seed(None)
    set_torch_seed(3)
    assert torch.equal(torch.rand(2), first)
    assert asked == [True, True]
    assert torch.backends.cudnn.deterministic
