"""What a collector makes of environments: the same steps whatever resets them."""

from __future__ import annotations

import traceback
from contextlib import closing
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from anyspace import PPO
from anyspace.algorithms.on_policy import gae, training_rows
from anyspace.data.atari import LIFE_LOST
from anyspace.data.collector import Collector
from anyspace.data.environments import EnvSpec
from anyspace.data.rewards import ReturnMoments, RewardTransform
from anyspace.data.sources import make_source
from anyspace.data.trajectory import Trajectory
from anyspace.data.vector import VectorSource
from anyspace.errors import NonFiniteError, ObservationError
from anyspace.models import ModelConfig, TorchModelV2
from anyspace.models.torch.runtime import TorchRuntime
from anyspace.policy.config import PolicyConfig
from anyspace.policy.plan import Plan
from anyspace.policy.policy import Policy
from tests.support.catalogue import ACTION_SPACES, OBSERVATION_SPACES, UNSTACKED, stacked
from tests.support.environments import FINE, Dice, Faulty, Remembers, Samples, Script
from tests.support.scripted import (
    KINDS,
    MODES,
    advantages_of,
    collector,
    episodes_of,
    known_policy,
    lived,
    rows,
    vector_env,
    where,
)

every_mode = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
every_kind = pytest.mark.parametrize("kind", KINDS)


def steps_of(fragments: list[Trajectory], b: int) -> dict[str, np.ndarray]:
    """The valid steps of one environment, one after another."""
    found: dict[str, list[Any]] = {}
    for fragment in fragments:
        for t in np.flatnonzero(fragment.valid[:, b]):
            found.setdefault("obs", []).append(where([leaf[t, b] for leaf in fragment.obs]))
            found.setdefault("next_obs", []).append(where(fragment.next_obs(t, b))[0])
            for name in ("actions", "rewards", "terminated", "truncated"):
                found.setdefault(name, []).append(getattr(fragment, name)[t, b])
    return {name: np.array(values) for name, values in found.items()}


@every_mode
@every_kind
def test_every_mode_gives_the_same_steps(mode: AutoresetMode, kind: str) -> None:
    collecting = collector(mode, kind)
    fragments = [collecting.gather(length, explore=False) for length in (7, 1, 5, 12)]
    for b in range(3):
        found = steps_of(fragments, b)
        expected = lived(b, len(found["obs"]))
        assert len(expected) >= 15
        for name in ("obs", "next_obs"):
            np.testing.assert_array_equal(found[name], rows(expected, name))
        for name, column in (("actions", "action"), ("rewards", "reward")):
            np.testing.assert_array_equal(found[name], [step[column] for step in expected])
        for name in ("terminated", "truncated"):
            np.testing.assert_array_equal(found[name], [step[name] for step in expected])


@every_mode
@every_kind
def test_ignored_rows_count_nowhere(mode: AutoresetMode, kind: str) -> None:
    collecting = collector(mode, kind)
    fragments = [collecting.gather(8, explore=False) for _ in range(3)]
    told: list[tuple[float, int]] = []
    for b in range(3):
        expected = lived(b, int(sum(fragment.valid[:, b].sum() for fragment in fragments)))
        told += episodes_of(expected)
    counted = [episode[:2] for fragment in fragments for episode in fragment.episodes]
    assert sorted(counted) == sorted(told)
    assert len(told) > 12
    ignored = sum((~fragment.valid).sum() for fragment in fragments)
    last_rows = fragments[-1].done[-1].sum()
    assert ignored == (len(told) - last_rows if mode is AutoresetMode.NEXT_STEP else 0)
    assert sum(fragment.num_steps for fragment in fragments) == 3 * 24 - ignored
    for fragment in fragments:
        for name in ("rewards", "terminated", "truncated"):
            assert not getattr(fragment, name)[~fragment.valid].any()


@every_mode
@every_kind
def test_every_mode_gives_the_same_advantages(mode: AutoresetMode, kind: str) -> None:
    collecting, gamma, lambda_ = collector(mode, kind), 0.9, 0.8
    taken = np.zeros(3, np.int64)
    for length in (9, 4, 11):
        trajectory = collecting.gather(length, explore=False)
        batch = training_rows(collecting.policy, trajectory, gae(gamma=gamma, lambda_=lambda_))
        flat = np.full(trajectory.valid.shape, np.nan)
        flat[trajectory.valid] = batch["advantages"].numpy()
        for b in range(3):
            here = int(trajectory.valid[:, b].sum())
            expected = advantages_of(lived(b, taken[b] + here)[taken[b] :], gamma, lambda_)
            np.testing.assert_allclose(flat[trajectory.valid[:, b], b], expected, rtol=1e-5)
            taken[b] += here


@every_mode
def test_filters_and_counters_leave_ignored_rows_out(mode: AutoresetMode) -> None:
    algorithm = PPO(
        vector_env(mode, "own"),
        num_envs_per_env_runner=3,
        train_batch_size=45,
        minibatch_size=45,
        num_epochs=1,
        observation_filter="MeanStdFilter",
        preset="none",
    )
    result = algorithm.train()
    # Rows are the steps that were acted in; the observation after the last one comes with the next batch.
    shares = [15 if mode is not AutoresetMode.NEXT_STEP else valid_of_15(b) for b in range(3)]
    expected = np.concatenate([rows(lived(b, share), "obs")[:, :3] for b, share in enumerate(shares)])
    statistics = algorithm.policy.filter.state()
    (place,) = {name.removesuffix(".running_stats.n") for name in statistics if name.endswith(".running_stats.n")}
    assert result["timesteps_total"] == statistics[f"{place}.running_stats.n"] == sum(shares)
    np.testing.assert_allclose(statistics[f"{place}.running_stats.mean"], expected.mean(0), rtol=1e-6)
    assert result["episodes_total"] == sum(len(list(episodes_of(lived(b, share)))) for b, share in enumerate(shares))


def valid_of_15(b: int) -> int:
    """How many of 15 vector steps an environment takes that spends one more at each episode's end."""
    spent, taken = 0, 0
    for step in lived(b, 15):
        if spent >= 15:
            break
        taken += 1
        spent += 2 if step["terminated"] or step["truncated"] else 1
    return taken


# ------------------------------------------------------------------------------------- whole episodes


@every_mode
@every_kind
@pytest.mark.parametrize("min_steps", [1, 10, 40])
def test_whole_episodes(mode: AutoresetMode, kind: str, min_steps: int) -> None:
    collecting = collector(mode, kind)
    started = np.zeros(3, np.int64)
    for _ in range(2):
        trajectory = collecting.gather_episodes(min_steps, explore=False)
        assert trajectory.num_steps >= min_steps
        told: list[tuple[float, int]] = []
        for b in range(3):
            found = steps_of([trajectory], b)
            expected = lived(b, len(found["obs"]), first_episode=started[b])
            np.testing.assert_array_equal(found["obs"], rows(expected, "obs"))
            np.testing.assert_array_equal(found["next_obs"], rows(expected, "next_obs"))
            np.testing.assert_array_equal(found["rewards"], [step["reward"] for step in expected])
            assert trajectory.done[np.flatnonzero(trajectory.valid[:, b])[-1], b], "the last valid row ends an episode"
            told += episodes_of(expected)
        assert sorted(episode[:2] for episode in trajectory.episodes) == sorted(told)
        started[:] = [int(env.episode) + 1 for env in scripts_of(collecting)]


def scripts_of(collecting: Collector) -> list[Script]:
    envs: Any = collecting.source.envs
    return [env.unwrapped for env in envs.envs]


@pytest.mark.parametrize(
    ("mode", "min_steps", "taken"),
    [
        # Episodes last 3 1 .., 1 4 .. and 4 2 .. steps; every vector step takes three.
        (AutoresetMode.SAME_STEP, 3, [3, 1, 4]),
        (AutoresetMode.SAME_STEP, 4, [3, 5, 4]),
        # Environment 1 is being reset while the others take their second step, and has not begun again.
        (AutoresetMode.NEXT_STEP, 3, [3, 1, 4]),
        (AutoresetMode.NEXT_STEP, 5, [3, 1, 4]),
        (AutoresetMode.NEXT_STEP, 6, [3, 5, 4]),
    ],
)
def test_no_episode_begins_once_there_are_enough_steps(mode: AutoresetMode, min_steps: int, taken: list[int]) -> None:
    trajectory = collector(mode).gather_episodes(min_steps, explore=False)
    assert trajectory.valid.sum(0).tolist() == taken


@pytest.mark.parametrize("how", ["terminated", "truncated"])
def test_what_ends_after_the_last_episode_is_no_end(how: str) -> None:
    envs = SyncVectorEnv(
        [lambda: Script(0, ((1, how),)), lambda: Script(1, ((4, "truncated"),))], autoreset_mode=AutoresetMode.SAME_STEP
    )
    trajectory = Collector(VectorSource(envs), known_policy()).gather_episodes(1)
    np.testing.assert_array_equal(np.argwhere(trajectory.done), [[0, 0], [3, 1]])
    assert [episode.length for episode in trajectory.episodes] == [1, 4]


def test_whole_episodes_have_the_advantages_of_their_episodes() -> None:
    trajectory = (collecting := collector(AutoresetMode.NEXT_STEP)).gather_episodes(12, explore=False)
    batch = training_rows(collecting.policy, trajectory, gae(gamma=0.9, lambda_=1.0))
    flat = np.full(trajectory.valid.shape, np.nan)
    flat[trajectory.valid] = batch["advantages"].numpy()
    for b in range(3):
        valid = trajectory.valid[:, b]
        np.testing.assert_allclose(flat[valid, b], advantages_of(lived(b, int(valid.sum())), 0.9, 1.0), rtol=1e-5)


# --------------------------------------------------------------------------------------------- errors


def small_policy(
    observation_space: Any = Faulty.observation_space, action_space: Any = Faulty.action_space, **config: Any
) -> Policy:
    settings = PolicyConfig(model=ModelConfig(fcnet_hiddens=[4]), **config)
    return Policy(observation_space, action_space, settings, TorchRuntime("cpu"))


def faulty(
    mode: AutoresetMode = AutoresetMode.SAME_STEP, steps_before: int = 0, normalize: bool = False, **fault: Any
) -> Collector:
    """Two environments, of which the second does something wrong."""
    length = fault.get("length", 1000)
    envs = SyncVectorEnv([lambda: Faulty(length=length), lambda: Faulty(**fault)], autoreset_mode=mode)
    return Collector(
        VectorSource(envs),
        small_policy(out_of_bounds="error"),
        ReturnMoments(2, clip=False, gamma=0.5) if normalize else None,
        steps_before=steps_before,
    )


def gather(collecting: Collector, steps: int, times: int) -> None:
    for _ in range(times):
        collecting.gather(steps)


def near(*values: float) -> dict[str, Any]:
    return FINE | {"near": np.array(values, np.float32)}


BAD = {
    "outside": (near(0.5, 2), r'obs\["near"\]: expected a value in \[0.0, 1.0\], got 2.0 at component \(1,\)'),
    "NaN": (near(float("nan"), 0), r'obs\["near"\]: expected a finite number, got nan at component \(0,\)'),
    "infinite": (
        near(0, float("inf")),
        r'obs\["near"\]: expected a finite number that float32 can hold, got inf at',
    ),
    "index": (FINE | {"door": 4}, r'obs\["door"\]: expected a value in 1..3, got 4'),
    "shape": (near(0.5, 0.5, 0.5), r'obs\["near"\]: expected shape \[..., 2\] for Box.*got \(3,\)'),
    "missing key": ({"near": near(0, 0)["near"]}, r"obs: expected a dict with keys \['near', 'door'\], got keys"),
    "no dict": (np.zeros(2), r"obs: expected a dict with keys \['near', 'door'\], got ndarray"),
    "text": (FINE | {"door": "left"}, r'obs\["door"\]: expected numbers'),
}


@every_mode
@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("at", [0, 1, 4, 9])
def test_a_bad_observation_is_named(mode: AutoresetMode, kind: str, at: int) -> None:
    obs, what = BAD[kind]
    collecting = faulty(mode, at=at, obs=obs)
    with pytest.raises(ObservationError, match=rf"^step {at}, environment 1: {what}") as caught:
        gather(collecting, 4, 3)
    assert str(caught.value).count("step") == 1


@every_mode
@pytest.mark.parametrize("kind", ["NaN", "shape", "missing key"])
def test_a_bad_last_observation_is_named(mode: AutoresetMode, kind: str) -> None:
    obs, what = BAD[kind]
    # The second episode's last step is step 4, or 5 where a step is spent on the reset.
    at = 5 if mode is AutoresetMode.NEXT_STEP else 4
    with pytest.raises(
        ObservationError, match=rf"^step {at}, environment 1(, last observation of the episode)?: {what}"
    ):
        faulty(mode, at=4, obs=obs, length=2).gather(6)


def test_bad_observations_in_episodes_and_later_runs_are_named() -> None:
    obs, what = BAD["outside"]
    with pytest.raises(ObservationError, match=rf"^step 3, environment 1: {what}"):
        faulty(at=3, obs=obs, length=6).gather_episodes(4)
    with pytest.raises(ObservationError, match=rf"^step 103, environment 1: {what}"):
        faulty(at=3, obs=obs, steps_before=100).gather(8)


def test_a_bad_observation_of_an_own_vector_environment_is_named() -> None:
    envs: Any = vector_env(AutoresetMode.NEXT_STEP, "own")
    envs.envs[2].ends = ((5, "truncated"),)
    envs.envs[2].number = float("nan")
    with pytest.raises(ObservationError, match=r'^step 0, environment 2: obs\["where"\]: expected a finite number'):
        Collector(VectorSource(envs), known_policy()).gather(4)


@every_mode
@pytest.mark.parametrize("reward", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("at", [1, 4, 6])
def test_a_bad_reward_is_named(mode: AutoresetMode, reward: float, at: int) -> None:
    collecting = faulty(mode, at=at, reward=reward)
    with pytest.raises(NonFiniteError, match=rf"^step {at}, environment 1: the reward is {reward}"):
        gather(collecting, 4, 2)


def test_step_numbers_count_the_steps_that_resets_take() -> None:
    """Two steps, the reset, two steps: the fourth of its own steps is the fifth of the vector environment."""
    with pytest.raises(NonFiniteError, match=r"^step 5, environment 1"):
        faulty(AutoresetMode.NEXT_STEP, at=4, reward=float("nan"), length=2).gather(6)


def test_what_an_ignored_row_holds_does_not_matter() -> None:
    envs: Any = vector_env(AutoresetMode.NEXT_STEP, "own")
    envs.garbage = float("nan")
    collecting = Collector(VectorSource(envs), known_policy(), ReturnMoments(3, clip=False, gamma=0.99))
    trajectory = collecting.gather(12, explore=False)
    assert not trajectory.valid.all()
    assert np.isfinite(trajectory.rewards).all()
    assert trajectory.reward_moments is not None
    assert np.isfinite(trajectory.reward_moments).all()
    assert np.abs(trajectory.reward_moments[:, 1]).max() < 1e4
    batch = training_rows(collecting.policy, trajectory, gae(gamma=0.9, lambda_=0.9))
    assert batch["advantages"].isfinite().all()


class Broken(Exception):
    pass


@every_mode
@pytest.mark.parametrize("at", [0, 1, 6])
def test_an_environments_own_error_comes_through(mode: AutoresetMode, at: int) -> None:
    collecting = faulty(mode, at=at, error=Broken("gear"))
    with pytest.raises(Broken, match="gear") as caught:
        gather(collecting, 4, 2)
    assert caught.value.__notes__ == [f"(raised by one of 2 environments at step {at})"]
    frames = traceback.extract_tb(caught.value.__traceback__)
    assert (frames[-1].name, frames[-1].filename.rpartition("/")[2]) == ("_seen", "environments.py")
    assert caught.value.__cause__ is None


def test_a_bad_observation_is_the_cause_of_an_error_that_follows() -> None:
    class Trips(Faulty):
        def step(self, action: Any) -> Any:
            if self.steps == 2:
                raise Broken("fell")
            return super().step(action)

    source = make_source(EnvSpec(Trips, {"at": 1, "obs": near(9, 9)}), 1)
    with pytest.raises(ObservationError, match=r'^step 1, environment 0: obs\["near"\]') as caught:
        Collector(source, small_policy(out_of_bounds="error")).gather(4)
    assert isinstance(caught.value.__cause__, Broken)


def test_a_models_error_is_not_blamed_on_environments() -> None:
    collecting = collector(AutoresetMode.SAME_STEP)

    def stumble(*_: Any) -> Any:
        raise Broken("model")

    collecting.policy.model.forward = stumble  # type: ignore[method-assign]
    with pytest.raises(Broken) as caught:
        collecting.gather(4)
    assert not hasattr(caught.value, "__notes__")


def test_after_an_error_new_episodes_begin() -> None:
    collecting = faulty(at=6, error=Broken("once"), normalize=True)
    rewards = RewardTransform(normalize=True)
    rewards(collecting.gather(4))
    with pytest.raises(Broken):
        collecting.gather(4)
    envs: Any = collecting.source.envs
    assert [env.t for env in envs.envs] == [6, 6]
    trajectory = collecting.gather(2)
    assert [env.t for env in envs.envs] == [2, 2]
    assert trajectory.num_steps == 4
    assert (collecting._returns == 2).all()
    # The discounted returns of both environments: four steps, and two that begin anew.
    rewards(trajectory)
    assert rewards.stat.mean == pytest.approx(np.mean([1, 1.5, 1.75, 1.875, 1, 1.5]))


# ------------------------------------------------------------------------------- what is stored, what is sent


class Zero(TorchModelV2):
    """Means and log deviations of 0, without looking."""

    def forward(self, input_dict: Any, state: Any, seq_lens: Any) -> Any:
        self.rows = len(input_dict["obs_flat"])
        return torch.zeros(self.rows, self.num_outputs), state

    def value_function(self) -> Any:
        return torch.zeros(self.rows)


def zero_policy(env: Remembers, num_outputs: int) -> Policy:
    plan = Plan.with_model(Zero(env.observation_space, env.action_space, num_outputs, {}))
    return Policy(env.observation_space, env.action_space, PolicyConfig(), TorchRuntime("cpu"), plan)


@pytest.mark.spec(3)
def test_samples_are_stored_and_actions_are_sent() -> None:
    env = Remembers(spaces.Box(0, 10, (1,)))
    source = VectorSource(SyncVectorEnv([lambda: env]))
    collecting = Collector(source, zero_policy(env, 2))
    trajectory = collecting.gather(3, explore=False)
    np.testing.assert_array_equal(trajectory.actions, np.zeros((3, 1, 1)))
    np.testing.assert_array_equal(env.actions, np.full((3, 1), 5.0))

    env.actions.clear()
    trajectory = collecting.gather(20)
    np.testing.assert_allclose(
        np.stack(env.actions), np.clip(5 + 5 * trajectory.actions[trajectory.valid], 0, 10), rtol=1e-6
    )
    assert (abs(trajectory.actions) > 1).any(), "the samples themselves are not clipped"


def test_nested_actions_reach_the_environment_in_the_form_of_their_space() -> None:
    pair = spaces.Tuple((spaces.Discrete(2, start=7), spaces.Box(0, 10, (1,))))
    parts = spaces.Dict([("z", pair), ("a", spaces.Box(3, 9, (2,), np.int64))])
    env = Remembers(parts)
    source = VectorSource(SyncVectorEnv([lambda: env]))
    trajectory = Collector(source, small_policy(env.observation_space, parts)).gather(8)
    taken = env.actions[: trajectory.num_steps]
    assert all(parts.contains(action) for action in taken)
    stored = trajectory.actions
    np.testing.assert_array_equal([action["z"][0] for action in taken], stored["z"][0][trajectory.valid] + 7)
    np.testing.assert_array_equal([action["a"] for action in taken], stored["a"][trajectory.valid] + 3)


def test_exploring_and_not() -> None:
    env = Remembers(spaces.Box(0, 10, (1,)))
    source = VectorSource(SyncVectorEnv([lambda: env]))
    policy = zero_policy(env, 2)
    calm = Collector(source, policy).gather_episodes(9, explore=False)
    assert not calm.actions.any()
    bold = Collector(source, policy).gather_episodes(9)
    assert len(np.unique(bold.actions)) == len(bold.actions)


def test_later_resets_are_not_seeded_again() -> None:
    source = make_source(EnvSpec(Dice), 4)
    collecting = Collector(source, small_policy(Dice.observation_space), seed=3)
    first, second = (collecting.gather_episodes(40) for _ in range(2))
    assert first.episodes != second.episodes


def test_the_seed_is_that_of_the_first_reset() -> None:
    def first(seed: int | None) -> np.ndarray:
        source = make_source(EnvSpec("CartPole-v1"), 2)
        policy = small_policy(source.observation_space, source.action_space)
        collecting = Collector(source, policy, seed=seed)
        return np.concatenate([collecting.gather(3, explore=False).obs[0] for _ in range(2)])

    np.testing.assert_array_equal(first(5), first(5))
    assert not np.array_equal(first(5), first(6))


# ----------------------------------------------------------------------------------------------- any space


@every_mode
@pytest.mark.parametrize("name", UNSTACKED)
def test_any_observation_is_stored_as_the_environment_gave_it(name: str, mode: AutoresetMode) -> None:
    env = Samples(OBSERVATION_SPACES[name], spaces.Discrete(2))
    collecting = Collector(
        VectorSource(SyncVectorEnv([lambda: env], autoreset_mode=mode)),
        small_policy(env.observation_space),
        seed=0,
    )
    trajectory = collecting.gather(7)
    encoded = collecting.policy.encode(stacked(env.observation_space, env.seen))
    # Episodes of two steps: three observations each, of which the last is another's in place of the next first.
    rows = [np.concatenate([trajectory.next_obs(t, 0)[leaf] for t in range(7)]) for leaf in range(len(encoded))]
    valid = trajectory.valid[:, 0]
    after = [index for index in range(len(env.seen)) if index % 3 != 0]
    for leaf, row in zip(encoded, rows, strict=True):
        np.testing.assert_array_equal(row[valid], leaf[after][: valid.sum()])


@pytest.mark.parametrize("name", ACTION_SPACES)
def test_any_action_reaches_the_environment_inside_its_space(name: str) -> None:
    space = ACTION_SPACES[name]
    env = Samples(spaces.Discrete(2), space)
    source = make_source(EnvSpec(lambda: env), 1)
    Collector(source, small_policy(env.observation_space, space)).gather(12)
    assert len(env.actions) == 12
    for action in env.actions:
        assert space.contains(action)


class Lives(gym.Env[Any, Any]):
    """A game of three lives, four steps each; a life that is lost ends an episode."""

    observation_space, action_space = spaces.Box(0, 99, (1,)), spaces.Discrete(2)
    t, over = 0, True

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.t, self.over = (0, False) if self.over else (self.t, False)
        return np.array([self.t], np.float32), {LIFE_LOST: False}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.t += 1
        lost, self.over = self.t % 4 == 0, self.t == 12
        return np.array([self.t], np.float32), 1.0, lost, False, {LIFE_LOST: lost and not self.over}


@every_mode
def test_whole_episodes_are_whole_games(mode: AutoresetMode) -> None:
    envs = SyncVectorEnv([Lives] * 2, autoreset_mode=mode)
    settings = {"num_envs_per_env_runner": 2, "batch_mode": "complete_episodes", "model": {"fcnet_hiddens": [4]}}
    with closing(PPO(envs, settings, preset="none", seed=1)) as algorithm:
        for _ in range(3):
            found = algorithm.fleet.collector.gather_episodes(10)  # type: ignore[attr-defined]
            assert [(episode.total_reward, episode.length) for episode in found.episodes] == [(12, 12), (12, 12)]
            assert found.num_steps == 24
