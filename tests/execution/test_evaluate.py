"""Evaluation: exact returns, fair shares, the same in every autoreset mode."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from anyspace.data.environments import EnvSpec
from anyspace.data.vector import VectorSource, make_source
from anyspace.errors import NonFiniteError, ObservationError
from anyspace.execution.evaluate import evaluate, summary
from anyspace.models import ModelConfig
from anyspace.models.torch.runtime import TorchRuntime
from anyspace.policy.config import PolicyConfig
from anyspace.policy.policy import Policy
from tests.support.environments import FINE, Dice, Faulty, Remembers, Script
from tests.support.scripted import KINDS, MODES, episodes_of, known_policy, lived, vector_env

every_mode = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)


def small_policy(env: Any) -> Policy:
    settings = PolicyConfig(model=ModelConfig(fcnet_hiddens=[4]), out_of_bounds="error")
    return Policy(env.observation_space, env.action_space, settings, TorchRuntime("cpu"))


@every_mode
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("episodes", "shares"), [(7, (3, 2, 2)), (2, (1, 1, 0)), (3, (1, 1, 1)), (12, (4, 4, 4))])
def test_each_environment_plays_its_share(
    mode: AutoresetMode, kind: str, episodes: int, shares: tuple[int, ...]
) -> None:
    result = summary(evaluate(known_policy(), VectorSource(vector_env(mode, kind)), episodes, seed=0))
    played = [episode for b, share in enumerate(shares) for episode in list(episodes_of(lived(b, 20)))[:share]]
    returns, lengths = zip(*played, strict=True)
    mean = sum(returns) / episodes
    assert result.episodes == episodes == len(played)
    assert result.episode_return_mean == pytest.approx(mean, rel=1e-12)
    assert result.episode_return_std == pytest.approx((sum((x - mean) ** 2 for x in returns) / episodes) ** 0.5)
    assert (result.episode_return_min, result.episode_return_max) == (min(returns), max(returns))
    assert result.episode_len_mean == sum(lengths) / episodes
    assert result.as_dict()["episode_return_mean"] == result.episode_return_mean


@every_mode
def test_short_episodes_do_not_count_more_often(mode: AutoresetMode) -> None:
    """One environment ends after a step, the other after 30; the first four to end would be four short ones."""
    envs = SyncVectorEnv(
        [lambda: Script(0, ((1, "terminated"),)), lambda: Script(1, ((30, "terminated"),))], autoreset_mode=mode
    )
    result = summary(evaluate(known_policy(), VectorSource(envs), 4, seed=0))
    assert result.episode_len_mean == (1 + 1 + 30 + 30) / 4


def test_seeds_repeat_and_differ() -> None:
    source, policy = make_source(EnvSpec(Dice), 3), small_policy(Dice())
    first = evaluate(policy, source, 9, seed=1)
    assert evaluate(policy, source, 9, seed=1) == first
    assert evaluate(policy, source, 9, seed=2) != first


def test_actions_are_deterministic_unless_asked_otherwise() -> None:
    env = Remembers(spaces.Box(-1, 1, (1,)))
    source, policy = VectorSource(SyncVectorEnv([lambda: env])), small_policy(env)
    evaluate(policy, source, 2, seed=0)
    assert len(np.unique(env.actions[:10])) == 1
    env.actions.clear()
    evaluate(policy, source, 2, seed=0, explore=True)
    assert len(np.unique(env.actions[:10])) > 5


# --------------------------------------------------------------------------------------------- errors


def faulty(mode: AutoresetMode, **fault: Any) -> VectorSource:
    return VectorSource(SyncVectorEnv([Faulty, lambda: Faulty(length=8, **fault)], autoreset_mode=mode))


@every_mode
@pytest.mark.parametrize("at", [0, 1, 5])
def test_bad_observations_are_named(mode: AutoresetMode, at: int) -> None:
    outside = FINE | {"near": np.array([0.5, 3], np.float32)}
    with pytest.raises(ObservationError, match=rf'^evaluation step {at}, environment 1: obs\["near"\]: .* got 3.0'):
        evaluate(small_policy(Faulty()), faulty(mode, at=at, obs=outside), 4, seed=0)
    with pytest.raises(ObservationError, match=rf"^evaluation step {at}, environment 1: obs: expected a dict"):
        evaluate(small_policy(Faulty()), faulty(mode, at=at, obs={}), 4, seed=0)


@every_mode
def test_bad_rewards_are_named(mode: AutoresetMode) -> None:
    with pytest.raises(NonFiniteError, match=r"^evaluation step 5, environment 1: the reward is nan"):
        evaluate(small_policy(Faulty()), faulty(mode, at=5, reward=float("nan")), 4, seed=0)


@pytest.mark.parametrize("at", [0, 5])
def test_an_environments_own_error_comes_through(at: int) -> None:
    source = faulty(AutoresetMode.SAME_STEP, at=at, error=KeyError("gear"))
    with pytest.raises(KeyError, match="gear") as caught:
        evaluate(small_policy(Faulty()), source, 4, seed=0)
    assert caught.value.__notes__ == [f"(raised by one of 2 environments at evaluation step {at})"]


def test_what_an_ignored_row_earns_does_not_matter() -> None:
    envs = vector_env(AutoresetMode.NEXT_STEP, "own")
    envs.garbage = float("nan")
    assert np.isfinite(summary(evaluate(known_policy(), VectorSource(envs), 9, seed=0)).episode_return_mean)
