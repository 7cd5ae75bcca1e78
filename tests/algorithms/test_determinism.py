"""A seed decides every parameter after some training, for each kind of model and each algorithm.

In two processes, where other cases come before it, and twice in one. The other half of the cases, which `make test`
leaves out here, has to give the same twice in `test_scaling.py`.
"""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from typing import Any

import numpy as np
import pytest

from anyspace import PPO
from tests.support.hashes import PPO_CASES, SETTINGS, digest, digest_of, every_other

pytestmark = pytest.mark.xdist_group("elsewhere")


@pytest.fixture(scope="module")
def elsewhere(request: pytest.FixtureRequest) -> dict[str, str]:
    """What another process prints of the cases that are run."""
    ours: Any = [item for item in request.session.items if item.path == request.path]
    cases = [item.callspec.params["case"] for item in ours if "elsewhere" in item.fixturenames]
    command = [sys.executable, "-m", "tests.support.hashes", *cases]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {case: found for found, case in (line.split("  ") for line in printed.splitlines())}


@pytest.mark.parametrize("case", every_other(0))
def test_a_seed_decides_every_parameter(case: str, elsewhere: dict[str, str]) -> None:
    assert digest(case) == elsewhere[case]


@pytest.mark.parametrize("case", ["lstm", "dropout", "APPO, replayed"])
def test_a_seed_decides_twice_in_a_process(case: str) -> None:
    assert digest(case) == digest(case)


def test_another_seed_gives_another_dropout() -> None:
    env, settings = PPO_CASES["dropout"]
    weights = []
    for seed in (1, 2):
        with closing(PPO(env, {**SETTINGS, **settings, "seed": 0}, preset="none")) as algorithm:
            trajectory = algorithm.fleet.gather(64)
            algorithm.policy.runtime.seed(seed)
            vars(algorithm)["config"] = type(algorithm.config)(num_epochs=1, minibatch_size=None)
            updates = algorithm.updates(algorithm.policy, trajectory)
            algorithm.learner.steps(next(updates))
            weights.append(digest_of(algorithm.policy.state()))
    assert weights[0] != weights[1]


def test_exploring_outside_of_training_changes_nothing_in_it() -> None:
    def trained(*, interrupted: bool) -> str:
        with closing(PPO("CartPole-v1", {**SETTINGS, "model": {"fcnet_hiddens": [8]}}, preset="none")) as algorithm:
            for _ in range(2):
                algorithm.train()
                if interrupted:
                    algorithm.evaluate(2, explore=True)
                    algorithm.compute_single_action(np.zeros(4, np.float32), explore=True)
            return digest_of(algorithm.policy.state())

    assert trained(interrupted=True) == trained(interrupted=False)
