"""Workers whose policies are on JAX and TensorFlow: one gives what this process gives."""

from __future__ import annotations

from contextlib import closing
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

from anyspace import A2C

SMALL: dict[str, Any] = {
    "train_batch_size": 16,
    "min_sample_timesteps_per_iteration": 16,
    "num_envs_per_env_runner": 2,
    "model": {"fcnet_hiddens": [4]},
    "observation_filter": "MeanStdFilter",
    "seed": 1,
}


@pytest.mark.parametrize(("framework", "package"), [("jax", "jax"), ("tf", "tensorflow")])
def test_one_worker_gives_what_this_process_gives(framework: str, package: str, request: pytest.FixtureRequest) -> None:
    if find_spec(package) is None:
        pytest.skip(f"needs {package}")
    if framework == "jax":
        request.getfixturevalue("compiles_quickly")
    weights = []
    for workers in (0, 1):
        serial = {"num_env_runners": workers, "fleet": "serial"} if workers else {}
        with closing(A2C("CartPole-v1", {**SMALL, **serial, "framework": framework}, preset="none")) as algorithm:
            before = algorithm.policy.weights()
            result = algorithm.train()
            algorithm.train()
            weights.append(algorithm.policy.weights())
            evaluated = [algorithm.evaluate(4, explore=True, seed=seed)["returns"] for seed in (7, 7, 8)]
            assert evaluated[0] == evaluated[1] != evaluated[2]
            assert np.isfinite(result["learner"]["total_loss"])
            assert any((weights[-1][name] != array).any() for name, array in before.items() if array.ndim == 2)
    for name, array in weights[0].items():
        np.testing.assert_array_equal(array, weights[1][name], err_msg=name)
