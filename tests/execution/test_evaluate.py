"""Evaluation: exact returns, fair shares, the same in every autoreset mode."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import TimeLimit

from anyspace.data.environments import EnvSpec
from anyspace.data.sources import make_source
from anyspace.data.vector import VectorSource
from anyspace.errors import NonFiniteError, ObservationError
from anyspace.execution.evaluate import LocalEvaluator, Played, Request, evaluate, summary
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


@every_mode
@pytest.mark.parametrize("limit", [None, 3])
def test_numbers_of_last_infos_are_those_of_the_episodes_that_count(mode: AutoresetMode, limit: int | None) -> None:
    """Infos of the reset that follows, `t` = -1000 and `fresh`, are none of the episode's."""
    ends = ((4, "terminated"), (2, "truncated"))
    envs = SyncVectorEnv([lambda: Script(0, ends), lambda: Script(1, ends)], autoreset_mode=mode)
    played = evaluate(known_policy(), VectorSource(envs), 4, seed=0, limit=limit)
    lasts = [(3.0, 1.0), (1.0, 0.0)] if limit is None else [(2.0, None), (1.0, 0.0)]
    assert [(one.infos["t"], one.infos.get("is_success")) for one in played] == [lasts[0]] * 2 + [lasts[1]] * 2
    assert not any("fresh" in one.infos for one in played)
    means = {"t": 2.0, "is_success": 0.5} if limit is None else {"t": 1.5, "is_success": 0.0}
    assert summary(played).as_dict()["episode"] == means


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


# ---------------------------------------------------------------------------------- episodes without an end


def scripts(mode: AutoresetMode, *lengths: tuple[int, ...]) -> VectorSource:
    """Environments whose episodes have these lengths, one after the other, and over again."""
    makers = [
        (lambda number=number, ends=ends: Script(number, [(length, "terminated") for length in ends]))
        for number, ends in enumerate(lengths)
    ]
    return VectorSource(SyncVectorEnv(makers, autoreset_mode=mode))


@every_mode
def test_episodes_are_cut_at_the_limit_and_counted(mode: AutoresetMode) -> None:
    played = evaluate(known_policy(), scripts(mode, (4,), (10**6,)), 2, seed=0, limit=20)
    assert [(episode.length, episode.cut) for episode in played] == [(4, False), (20, True)]
    result = summary(played)
    assert (result.episodes, result.episodes_cut, result.episode_len_mean) == (2, 1, 12)
    assert result.as_dict()["episodes_cut"] == 1


@every_mode
def test_every_environment_plays_its_share_of_cut_episodes(mode: AutoresetMode) -> None:
    """The first one waits at its limit until the other is through; then new episodes begin in both."""
    played = evaluate(known_policy(), scripts(mode, (10**6,), (3, 5)), 6, seed=0, limit=9)
    assert (
        sorted((episode.length, episode.cut) for episode in played) == [(3, False)] * 2 + [(5, False)] + [(9, True)] * 3
    )


@every_mode
def test_an_episode_that_ends_at_the_limit_is_not_cut(mode: AutoresetMode) -> None:
    played = evaluate(known_policy(), scripts(mode, (9,)), 3, seed=0, limit=9)
    assert [(episode.length, episode.cut) for episode in played] == [(9, False)] * 3


def test_what_comes_after_a_cut_is_no_episode() -> None:
    """An environment that was cut at 9 ends its episode at 12 while another one plays on."""
    played = evaluate(known_policy(), scripts(AutoresetMode.SAME_STEP, (12, 4), (8, 9, 9)), 4, seed=0, limit=9)
    assert sorted((episode.length, episode.cut) for episode in played) == [
        (4, False),
        (8, False),
        (9, False),
        (9, True),
    ]


def test_a_watch_is_told_how_far_it_is() -> None:
    told: list[tuple[int, int]] = []
    evaluate(
        known_policy(), scripts(AutoresetMode.SAME_STEP, (2,), (3,)), 2, seed=0, watch=lambda *seen: told.append(seen)
    )
    assert told == [(0, 2), (1, 4), (2, 6)]


class Idle(Script):
    """Never ends."""

    def __init__(self) -> None:
        super().__init__(0, [(10**9, "terminated")])


def ends_at(limit: int) -> Any:
    return lambda env: TimeLimit(env, limit)


@pytest.mark.parametrize(
    ("asked", "spec", "longest", "expected"),
    [
        ("auto", EnvSpec(Idle), 0, 10),
        ("auto", EnvSpec(Idle), 3, 30),
        (4, EnvSpec(Idle), 3, 4),
        ("auto", EnvSpec(Idle, wrappers=(ends_at(50),)), 0, 50),
        (None, EnvSpec(Idle, wrappers=(ends_at(50),)), 0, 50),
        (4, EnvSpec(Idle, wrappers=(ends_at(50),)), 0, 4),
    ],
)
def test_the_limit_depends_on_what_is_known(
    asked: Any, spec: EnvSpec, longest: int, expected: int, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    monkeypatch.setattr("anyspace.execution.evaluate.LONG_EPISODE", 10)
    evaluator = LocalEvaluator(known_policy(), spec, asked)
    played = [*evaluator.evaluate(Request(2, 0, longest=longest)), *evaluator.evaluate(Request(1, 1, longest=longest))]
    evaluator.close()
    assert [episode.length for episode in played] == [expected] * 3
    cut = expected != 50
    assert all(episode.cut is cut for episode in played)
    told = [message for message in caplog.messages if "had not ended" in message]
    assert len(told) == cut  # once, however often
    if cut:
        assert f"2 of 2 evaluation episodes had not ended after {expected} steps" in told[0]
        assert "`evaluation_max_episode_steps`" in told[0]
        assert "TimeLimit(env, max_episode_steps=1000)" in told[0]


@pytest.mark.parametrize("vectorized", [False, True])
def test_an_interrupted_evaluation_leaves_nothing_behind(vectorized: bool) -> None:
    class Interrupted(Script):
        made = 0

        def __init__(self) -> None:
            super().__init__(0, [(5, "terminated")])
            Interrupted.made += 1
            self.interrupts = Interrupted.made == 1

        def step(self, action: Any) -> Any:
            if self.interrupts and self.t == 3:
                raise KeyboardInterrupt
            return super().step(action)

    evaluator = LocalEvaluator(known_policy(), EnvSpec(Interrupted))
    with pytest.raises(KeyboardInterrupt):
        evaluator.evaluate(Request(2 if vectorized else 1, 0))
    assert [episode.length for episode in evaluator.evaluate(Request(2, 0))] == [5, 5]
    evaluator.close()
    assert Played(1.0, 2) == (1.0, 2, False, {})


def test_where_there_can_be_but_one_environment_evaluation_says_what_to_do() -> None:
    class Port(Dice):
        def __init__(self) -> None:
            raise OSError("the port is taken")

    with pytest.raises(OSError, match="the port is taken") as caught:
        LocalEvaluator(small_policy(Dice()), EnvSpec(Port)).evaluate(Request(1, 0))
    assert "call close() before evaluate()" in caught.value.__notes__[0]
