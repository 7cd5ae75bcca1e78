"""What DQN has to learn, and how well; see `test_learning.py`."""

from __future__ import annotations

from typing import Any

import pytest

from anyspace import DQN, Algorithm
from tests.learning.record import made, record, seeds
from tests.support.tasks import Lock, ParametricCartPole, TMaze


def best_learnt(algorithm: Algorithm[Any], steps: int, perfect: float) -> float:
    """Return the mean return of 100 episodes with the weights that were evaluated best, asked for once.

    Training ends early where an evaluation says ``perfect``.
    """
    best, weights = -float("inf"), algorithm.get_weights()
    while algorithm.timesteps_total < steps and best < perfect:
        evaluation = algorithm.train().get("evaluation")
        if evaluation is not None and evaluation["episode_return_mean"] > best:
            best, weights = evaluation["episode_return_mean"], algorithm.get_weights()
    algorithm.set_weights(weights)
    mean: float = algorithm.evaluate(100)["episode_return_mean"]
    record(algorithm, mean)
    return mean


EVALUATED: dict[str, Any] = {"evaluate_every": 4000, "evaluation_episodes": 20}


@pytest.mark.learning
@seeds(*range(3))
def test_cartpole_with_dqn(seed: int) -> None:
    algorithm = made(DQN, "CartPole-v1", EVALUATED, seed=seed)
    assert best_learnt(algorithm, 100_000, 500) >= 475


@pytest.mark.learning
@seeds(*range(3))
def test_lunar_lander_with_dqn(seed: int) -> None:
    algorithm = made(DQN, "LunarLander-v3", {**EVALUATED, "evaluate_every": 20_000}, seed=seed)
    assert best_learnt(algorithm, 300_000, 250) >= 200


@pytest.mark.learning
@pytest.mark.spec(160)
@seeds(*range(3))
@pytest.mark.parametrize("embedded", [False, True])
def test_parametric_cartpole_with_dqn(embedded: bool, seed: int) -> None:
    settings: dict[str, Any] = {**EVALUATED, "env_config": {"embedded": embedded}}
    if embedded:
        settings["model"] = {"parametric_actions": "given", "action_embedding_key": "avail_actions"}
    algorithm = made(DQN, ParametricCartPole, settings, preset="CartPole-v1", seed=seed)
    assert best_learnt(algorithm, 100_000, 200) >= 180


@pytest.mark.learning
@pytest.mark.spec(112)
@pytest.mark.parametrize("memory", ["use_lstm", "use_gru", "use_attention"])
@seeds(*range(3))
def test_recurrent_dqn_remembers(memory: str, seed: int) -> None:
    settings = {**EVALUATED, "gamma": 0.97, "model": {memory: True, "max_seq_len": TMaze.DELAY + 4}}
    algorithm = made(DQN, TMaze, settings, seed=seed)
    assert best_learnt(algorithm, 60_000, TMaze.best_return()) >= 0.95 * TMaze.best_return()


@pytest.mark.learning
@seeds(*range(3))
def test_branches_learn_what_depends_on_all_of_them(seed: int) -> None:
    algorithm = made(DQN, Lock, {**EVALUATED, "evaluate_every": 10_000}, seed=seed)
    assert best_learnt(algorithm, 150_000, Lock.best_return()) >= 0.95 * Lock.best_return()
