"""What has to be learnt, and how well: final weights, acting deterministically, 100 fresh episodes."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import numpy as np
import pytest
from gymnasium.vector.utils import batch_space, iterate

from anyspace import BC, PPO, Algorithm
from tests.learning.record import made, record, seeds
from tests.support.tasks import Duet, Echo, GridWorld, Harvest, Lock, MaskedCartPole, ParametricCartPole, Raid, TMaze


def learnt(algorithm: Algorithm[Any], steps: int, explore: bool = False) -> float:
    algorithm.learn(steps, progress=False)
    mean: float = algorithm.evaluate(100, explore=explore)["episode_return_mean"]
    record(algorithm, mean)
    return mean


def cartpole(seed: int) -> float:
    """Train as `make demo` does."""
    return learnt(made(PPO, "CartPole-v1", seed=seed, stop_return=475.0), 100_000)


def test_cartpole_on_one_seed() -> None:
    assert cartpole(0) >= 475


@pytest.mark.learning
@seeds(*range(5))
def test_cartpole(seed: int) -> None:
    assert cartpole(seed) >= 475


@pytest.mark.learning
@seeds(*range(3))
def test_pendulum(seed: int) -> None:
    assert learnt(made(PPO, "Pendulum-v1", seed=seed), 300_000) >= -200


@pytest.mark.learning
@seeds(*range(3))
def test_lunar_lander(seed: int) -> None:
    assert learnt(made(PPO, "LunarLander-v3", seed=seed), 1_000_000) >= 200


STEPS: dict[Any, int] = {Lock: 150_000, Raid: 200_000, Harvest: 300_000, GridWorld: 50_000}
"""By task: environment steps."""


@pytest.mark.learning
@seeds(*range(3))
@pytest.mark.parametrize("task", STEPS)
def test_tasks_are_learnt_and_every_leaf_counts(task: Any, seed: int) -> None:
    algorithm = made(PPO, task, seed=seed)
    assert learnt(algorithm, STEPS[task]) >= 0.95 * task.best_return()
    for position, leaf in enumerate(algorithm.policy.encode.specs):
        share = return_with_leaf_zeroed(algorithm, task(), position) / task.best_return()
        print(f"{leaf.place()} zeroed: {share:.0%} of the best return")
        assert share < 0.7


@pytest.mark.learning
@seeds(1, 2)
def test_the_bits_of_a_mask_do_not_slow_learning_down(seed: int) -> None:
    settings = {"gamma": 0.1, "clip_param": 0.4, "lr": 3e-4, "kl_coeff": 0.0, "train_batch_size": 2048}
    settings |= {"minibatch_size": 64, "num_epochs": 2, "model": {"fcnet_hiddens": [64, 64]}}
    assert learnt(made(PPO, Echo, settings, seed=seed), 4 * 2048) >= 0.95 * Echo.HORIZON


@pytest.fixture(scope="module")
def expert(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the folder of 50 episodes of a policy that has learnt CartPole, acting deterministically."""
    folder = tmp_path_factory.mktemp("expert")
    with closing(PPO("CartPole-v1", seed=0, stop_return=475.0)) as teacher:
        teacher.learn(100_000, progress=False)
        teacher.save(folder / "policy")
    recording = {"output": str(folder / "steps"), "explore": False, "batch_mode": "complete_episodes"}
    with closing(Algorithm.load(folder / "policy", num_envs_per_env_runner=10, **recording)) as acting:
        episodes = [episode for _ in range(5) for episode in acting.fleet.gather(1).episodes]
    assert len(episodes) == 50
    return str(folder / "steps")


@pytest.mark.learning
@seeds(*range(3))
def test_an_expert_is_imitated(expert: str, seed: int) -> None:
    assert learnt(made(BC, "CartPole-v1", input=expert, seed=seed), 200_000) >= 450


def return_with_leaf_zeroed(algorithm: Algorithm[Any], env: Any, position: int, episodes: int = 50) -> float:
    """Act with one leaf of every encoded observation replaced by zeros; an action that is an error ends the episode."""
    policy, total = algorithm.policy, 0.0
    for episode in range(episodes):
        obs, _ = env.reset(seed=10_000 + episode)
        done = False
        while not done:
            leaves = [np.array(leaf)[None] for leaf in policy.encode.single(obs)]
            leaves[position][...] = 0
            with policy.acting() as act:
                actions = policy.to_env(act(leaves, explore=False).raw)
            try:
                action = next(iter(iterate(batch_space(env.action_space, 1), actions)))
                obs, reward, terminated, truncated, _ = env.step(action)
            except ValueError:
                break
            total, done = total + reward, terminated or truncated
    return total / episodes


MEMORIES = {
    "LSTM": {"use_lstm": True, "lstm_cell_size": 64},
    "GRU": {"use_gru": True, "lstm_cell_size": 64},
    "GTrXL": {"use_attention": True},
}


@pytest.mark.learning
@pytest.mark.spec(112)
@pytest.mark.parametrize("memory", MEMORIES)
@seeds(*range(5))
def test_memories_remember(memory: str, seed: int) -> None:
    settings = {"model": {**MEMORIES[memory], "max_seq_len": TMaze.HORIZON}}
    assert learnt(made(PPO, TMaze, settings, seed=seed), 120_000) >= 0.95 * TMaze.best_return()


@pytest.mark.learning
@seeds(*range(3))
def test_without_memory_the_maze_stays_at_chance(seed: int) -> None:
    assert learnt(made(PPO, TMaze, seed=seed), 60_000) <= 0.6 * TMaze.best_return()


@pytest.mark.learning
@seeds(*range(3))
def test_velocities_are_told_from_positions(seed: int) -> None:
    settings = {"model": {**MEMORIES["LSTM"], "max_seq_len": 32}}
    assert learnt(made(PPO, MaskedCartPole, settings, seed=seed), 150_000) >= 400


def duet(autoregressive: bool, seed: int, steps: int) -> float:
    """Train and return the mean return of sampled actions: what is best here is random."""
    settings = {"model": {"autoregressive_actions": autoregressive}}
    return learnt(made(PPO, Duet, settings, seed=seed), steps, explore=True)


@pytest.mark.learning
@pytest.mark.spec(169)
def test_correlated_actions_on_one_seed() -> None:
    assert duet(True, 0, 40_000) >= 0.95 * Duet.best_return()
    assert duet(False, 0, 40_000) <= Duet.best_independent_return() < 0.6 * Duet.best_return()


@pytest.mark.learning
@seeds(*range(3))
def test_correlated_actions(seed: int) -> None:
    assert duet(True, seed, 60_000) >= 0.95 * Duet.best_return()
    assert duet(False, seed, 60_000) <= Duet.best_independent_return()


def parametric_cartpole(embeddings: str | None, seed: int, steps: int) -> Algorithm[Any]:
    """Train until the pole stands to the end of the episode; random pushes let it fall after some twenty steps.

    With neither "given" nor "learned" embeddings only the mask tells which slots are open.
    """
    settings = {"model": {"parametric_actions": embeddings}, "env_config": {"embedded": embeddings == "given"}}
    algorithm = made(PPO, ParametricCartPole, settings, seed=seed)
    assert learnt(algorithm, steps) >= 0.95 * ParametricCartPole.HORIZON
    return algorithm


@pytest.mark.spec(160, 161)
@pytest.mark.parametrize("embeddings", ["given", pytest.param("learned", marks=pytest.mark.learning)])
def test_parametric_actions_on_one_seed(embeddings: str) -> None:
    algorithm = parametric_cartpole(embeddings, 0, 20_000)
    if embeddings == "given":
        places = [leaf.place() for leaf in algorithm.policy.encode.specs]
        blind = return_with_leaf_zeroed(algorithm, ParametricCartPole(), places.index('obs["avail_actions"]'))
        assert blind < 0.2 * ParametricCartPole.HORIZON, "embeddings alone tell which slot pushes where"


@pytest.mark.learning
@seeds(*range(3))
@pytest.mark.parametrize("embeddings", ["given", "learned", None])
def test_parametric_actions(embeddings: str | None, seed: int) -> None:
    parametric_cartpole(embeddings, seed, 40_000)
