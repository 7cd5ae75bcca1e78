"""Policies of JAX and TensorFlow through their twins in PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anyspace import PPO
from anyspace.deploy.tracing import traceable
from anyspace.errors import ExportError
from tests.deploy.cases import observations
from tests.frameworks.jax_models import NnxModel
from tests.support.table import ACTIONS, MEMORIES, Chances

FRAMEWORKS = ["jax", pytest.param("tf", marks=pytest.mark.fuzz)]


def algorithm(framework: str, **model: Any) -> PPO:
    return PPO(lambda: Chances(ACTIONS["Tuple"], False), framework=framework, preset="none", model=model)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_the_twin_acts_alike(framework: str) -> None:
    policy = algorithm(framework, fcnet_hiddens=[8]).policy
    twin = traceable(policy)
    seen = np.stack(observations(policy.observation_space, 20))
    for own, other in zip(policy.compute_actions(seen), twin.compute_actions(seen), strict=True):
        np.testing.assert_allclose(own, other, atol=1e-5)


@pytest.mark.fuzz
@pytest.mark.parametrize("memory", list(MEMORIES))
@pytest.mark.parametrize("framework", ["jax", "tf"])
def test_files(framework: str, memory: str, tmp_path: Path) -> None:
    algo = algorithm(framework, **MEMORIES[memory])
    done = algo.policy.export(tmp_path / "policy.onnx", env=algo.env_spec, observations=200)
    assert done.choices_that_differ == 0
    assert done.largest_difference < 1e-5


def test_custom_models_of_other_frameworks_are_refused() -> None:
    with pytest.raises(ExportError, match="NnxModel is a custom model of framework 'jax'"):
        traceable(algorithm("jax", custom_model=NnxModel).policy)
