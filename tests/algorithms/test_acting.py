"""Acting by the words of other libraries, and weights that are handed over."""

from __future__ import annotations

import copy
import pickle
import re
from contextlib import closing
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces

from anyspace import APPO, DQN, PPO, SAC, tree
from anyspace.errors import CheckpointError, ConfigError, ObservationError
from tests.support.hashes import CHOICES, VECTOR, sampled

SMALL: dict[str, Any] = {
    "seed": 0,
    "preset": "none",
    "num_envs_per_env_runner": 2,
    "train_batch_size": 32,
    "minibatch_size": 16,
    "num_epochs": 1,
}
LSTM = {"fcnet_hiddens": [4], "use_lstm": True, "lstm_cell_size": 4}
NESTED = spaces.Dict(number=spaces.Discrete(3), vector=VECTOR)


def some(space: Any, count: int) -> Any:
    space.seed(0)
    drawn = [space.sample() for _ in range(count)]
    if isinstance(space, spaces.Dict):
        return {key: np.stack([one[key] for one in drawn]) for key in space.spaces}
    return np.stack(drawn)


def row(observations: Any, index: int) -> Any:
    return (
        {key: part[index] for key, part in observations.items()}
        if isinstance(observations, dict)
        else observations[index]
    )


@pytest.mark.parametrize("space", [VECTOR, spaces.Discrete(5), NESTED], ids=["vector", "index", "nested"])
def test_predict_takes_one_observation_or_several(space: Any) -> None:
    with closing(PPO(sampled(space, CHOICES), model={"fcnet_hiddens": [4]}, **SMALL)) as algorithm:
        observations = some(space, 6)
        actions, state = algorithm.predict(observations, deterministic=True)
        assert state is None
        np.testing.assert_array_equal(actions, algorithm.compute_actions(observations))
        for index, action in enumerate(actions):
            one, _ = algorithm.predict(row(observations, index), deterministic=True)
            np.testing.assert_array_equal(one, action)
            assert algorithm.policy.env_action_space.contains(one)
        sampled_actions = [algorithm.predict(observations)[0] for _ in range(8)]
        assert len({found.tobytes() for found in sampled_actions}) > 1


def test_predict_carries_a_state_and_begins_episodes_anew() -> None:
    with closing(PPO(sampled(VECTOR, spaces.Box(-1, 1, (1,))), model=LSTM, **SMALL)) as algorithm:
        first, second = some(VECTOR, 4)[:2], some(VECTOR, 4)[2:]
        begun, state = algorithm.predict(first, None, np.ones(2, bool), deterministic=True)
        np.testing.assert_array_equal(begun, algorithm.compute_actions(first)[0])
        went_on, _ = algorithm.predict(second, state, np.array([False, True]), deterministic=True)
        expected, _ = algorithm.compute_actions(second, state)
        anew, _ = algorithm.compute_actions(second)
        np.testing.assert_allclose(went_on, [expected[0], anew[1]], rtol=1e-6)
        assert not np.allclose(expected[1], anew[1], rtol=1e-3)
        with pytest.raises(ObservationError, match="episode_start: expected one boolean for each of 2 observations"):
            algorithm.predict(second, state, np.zeros(3, bool))


@pytest.mark.parametrize("model", [{}, LSTM])
def test_as_many_starts_as_observations_come_without_a_state_too(model: dict[str, Any]) -> None:
    with closing(PPO(sampled(VECTOR, spaces.Box(-1, 1, (1,))), model=model, **SMALL)) as algorithm:
        several = some(VECTOR, 4)
        for observation, count in ((several, 4), (several[0], 1)):
            algorithm.predict(observation, None, np.ones(count, bool))
            with pytest.raises(ObservationError, match=f"episode_start: expected one boolean for each of {count} "):
                algorithm.predict(observation, None, np.ones(2, bool))


@pytest.mark.parametrize("state", [(np.zeros((1, 1, 4)),) * 2, np.zeros(3), {}], ids=["arrays", "array", "dict"])
@pytest.mark.parametrize("model", [{}, LSTM], ids=["plain", "memory"])
def test_a_state_of_another_library_is_refused(model: dict[str, Any], state: Any) -> None:
    expected = "state: expected what the previous call for 1" if model else "a state was given, but this policy has no"
    with closing(PPO(sampled(VECTOR, spaces.Box(-1, 1, (1,))), model=model, **SMALL)) as algorithm:
        one = some(VECTOR, 1)
        for starts in (None, np.ones(1, bool)):
            with pytest.raises(ObservationError, match=expected):
                algorithm.predict(one, state, starts)
        if not model:
            assert algorithm.predict(one, [], np.ones(1, bool))[1] is None


def test_predict_respects_masks() -> None:
    with closing(PPO(sampled(VECTOR, spaces.Discrete(4), masked=True), **SMALL)) as algorithm:
        observation = algorithm.policy.observation_space.sample()
        for allowed in np.eye(4, dtype=np.int8):
            action, _ = algorithm.predict(observation, action_masks=allowed)
            assert allowed[action] == 1


def test_predict_takes_the_previous_reward_and_infos() -> None:
    model = {**LSTM, "lstm_use_prev_reward": True}
    with closing(PPO(sampled(VECTOR, spaces.Box(-1, 1, (1,))), model=model, **SMALL)) as algorithm:
        observations = some(VECTOR, 2)
        _, state = algorithm.predict(observations, deterministic=True)
        went_on, _ = algorithm.predict(observations, state, deterministic=True, prev_reward=[1.0, 2.0])
        expected, _ = algorithm.compute_actions(observations, state, prev_reward=[1.0, 2.0])
        np.testing.assert_array_equal(went_on, expected)
        with pytest.raises(ObservationError, match="as `prev_reward`"):
            algorithm.predict(observations, state)


class Masked(gym.Env[Any, Any]):
    observation_space, action_space = VECTOR, spaces.Discrete(3)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        return np.zeros(VECTOR.shape, np.float32), {"action_mask": np.array([0, 1, 0], np.int8)}

    def step(self, action: Any) -> Any:
        return *self.reset()[:1], 0.0, True, False, self.reset()[1]


class Method(Masked):
    def action_masks(self) -> Any:
        return np.array([0, 1, 0], np.int8)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        return np.zeros(VECTOR.shape, np.float32), {}


def test_predict_reads_masks_of_infos_and_calls_them_by_its_own_name() -> None:
    one, info = Masked().reset()
    with closing(PPO(Masked, **SMALL)) as algorithm:
        assert algorithm.predict(one, info=info)[0] == 1
        with pytest.raises(ObservationError, match=r"^action_masks: none came, .* or `action_masks=False` to act"):
            algorithm.predict(one)
        with pytest.raises(ObservationError, match=r"^mask: none came, .* or `mask=False` to act"):
            algorithm.compute_single_action(one)
    with closing(PPO(Method, **SMALL)) as algorithm:
        with pytest.raises(ObservationError, match=r"Hand over `action_masks=env.action_masks\(\)`"):
            algorithm.predict(one)
        with pytest.raises(ObservationError, match=r"^action_masks: expected a mask of Discrete"):
            algorithm.predict(one, action_masks=np.ones(5))


@pytest.mark.parametrize("count", [1, 4])
def test_predict_encodes_once(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    with closing(PPO(sampled(VECTOR, CHOICES), **SMALL)) as algorithm:
        encoder, times = algorithm.policy.encode, []
        encode = encoder._encode
        monkeypatch.setattr(encoder, "_encode", lambda *given: times.append(1) or encode(*given))  # type: ignore[func-returns-value]
        observations = some(VECTOR, count)
        algorithm.predict(observations if count > 1 else observations[0], None, np.ones(count, bool))
        assert len(times) == 1


def test_predict_names_what_is_no_observation() -> None:
    with closing(PPO("CartPole-v1", **SMALL)) as algorithm, pytest.raises(ObservationError, match=r"\(4,\)"):
        algorithm.predict(np.zeros(3, np.float32))


def test_weights_are_handed_over() -> None:
    with (
        closing(PPO("CartPole-v1", **SMALL, observation_filter="MeanStdFilter")) as one,
        closing(PPO("CartPole-v1", **{**SMALL, "seed": 1}, observation_filter="MeanStdFilter")) as other,
        closing(PPO("CartPole-v1", **SMALL, model={"fcnet_hiddens": [3]})) as smaller,
    ):
        one.train()
        weights = one.get_weights()
        other.set_weights(weights)
        observations = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
        np.testing.assert_array_equal(one.compute_actions(observations), other.compute_actions(observations))
        np.testing.assert_equal({**other.get_weights(), "version": 0}, {**weights, "version": 0})
        one.train()
        assert any((weights[name] != value).any() for name, value in one.get_weights().items())
        with pytest.raises(CheckpointError):
            smaller.set_weights(weights)


def test_weights_may_be_lists_and_tensors_but_nothing_else() -> None:
    with closing(PPO("CartPole-v1", **SMALL)) as algorithm:
        weights = algorithm.get_weights()
        (name, *_) = weights
        for made in (np.ndarray.tolist, torch.from_numpy, torch.as_tensor):
            algorithm.set_weights({key: made(value) for key, value in weights.items()})
            np.testing.assert_equal({**algorithm.get_weights(), "version": 0}, {**weights, "version": 0})
        nan = np.full_like(weights[name], np.nan)
        wrong: list[tuple[Any, str]] = [
            ("weights", "expected a dict of arrays by name, .* got 'weights'"),
            ({**weights, "junk": nan}, "'junk' is no name of a weight; get_weights"),
            ({**weights, name: nan}, f"'{name}' holds NaN"),
            ({**weights, name: {}}, f"'{name}': expected an array of numbers, got an empty dict"),
            ({**weights, name: [[1], [2, 3]]}, f"'{name}' is no array that NumPy can read"),
            ({**weights, name: torch.ones(2, requires_grad=True)}, f"'{name}' is no array .* tensor.detach"),
        ]
        for given, message in wrong:
            with pytest.raises(CheckpointError, match=f"set_weights: {message}"):
                algorithm.set_weights(given)
        np.testing.assert_equal({**algorithm.get_weights(), "version": 0}, {**weights, "version": 0})


@pytest.mark.parametrize("kind", [DQN, SAC, APPO], ids=lambda kind: kind.__name__)
def test_target_networks_take_over_weights_as_well(kind: type[Any], tmp_path: Path) -> None:
    env, shared = ("Pendulum-v1" if kind is SAC else "CartPole-v1"), {"preset": "none", "model": {"fcnet_hiddens": [4]}}
    shared |= {} if kind is APPO else {"replay_capacity": 2000}
    with closing(kind(env, **shared, seed=0)) as one, closing(kind(env, **shared, seed=1)) as other:
        one.save(tmp_path)
        for door in (lambda: other.set_weights(one.get_weights()), lambda: other.load_weights(tmp_path)):
            before = {name: np.zeros_like(value) for name, value in other.target.weights().items()}
            other.policy.runtime.load_parameters(other.target.model, tree.under("model", before))
            door()
            for name, value in tree.under("model", one.get_weights()).items():
                np.testing.assert_array_equal(tree.under("model", other.target.weights())[name], value)


def test_steps_may_be_counted_from_now_on() -> None:
    with closing(PPO("CartPole-v1", **SMALL)) as algorithm:
        algorithm.learn(total_timesteps=32, progress=False)
        before = algorithm.timesteps_total
        algorithm.learn(total_timesteps=33, progress=False)
        assert algorithm.timesteps_total >= before + 33
        for both in ({}, {"total_steps": 9, "total_timesteps": 9}):
            with pytest.raises(ConfigError, match="either `total_steps`"):
                algorithm.learn(**both, progress=False)


def test_an_evaluation_repeats_with_its_seed() -> None:
    with closing(PPO("CartPole-v1", **SMALL)) as algorithm:
        one, two, three = (algorithm.evaluate(4, seed=seed) for seed in (5, 5, 6))
        assert one == two != three
        assert np.mean(one["returns"]) == one["episode_return_mean"]
        assert len(one["lengths"]) == one["episodes"] == 4


def test_words_of_other_libraries_are_explained() -> None:
    with pytest.raises(ConfigError, match=r"`config` is a dict, but 0\.1 came.*PPO\('CartPole-v1'\)"):
        PPO("CartPole-v1", 0.1)  # type: ignore[arg-type]
    with closing(PPO("CartPole-v1", **SMALL)) as algorithm:
        result = algorithm.train()
    with pytest.raises(KeyError, match=r"no 'episode_reward_mean'. It is called 'episode_return_mean' here"):
        result["episode_reward_mean"]
    with pytest.raises(KeyError, match=r"no 'episodes_totl'. Did you mean 'episodes_total'"):
        result["episodes_totl"]
    assert result.get("episode_reward_mean") is None


@pytest.mark.parametrize(
    ("option", "advice"),
    [
        ("action_mask", "the mask is called `mask`"),
        ("prev_action", "the state that the previous call returned holds the previous action"),
        ("full_fetch", "`policy.evaluate_actions` gives values and log-probabilities, `get_distribution` logits"),
        ("colour", "there is no argument 'colour' of acting."),
    ],
)
def test_words_of_other_libraries_are_answered(option: str, advice: str) -> None:
    with closing(PPO(sampled(VECTOR, CHOICES), **SMALL)) as algorithm:
        for acts in (algorithm, algorithm.policy):
            with pytest.raises(TypeError, match=re.escape(advice)):
                acts.compute_single_action(some(VECTOR, 1)[0], **{option: 1})
            with pytest.raises(TypeError, match=re.escape(advice)):
                acts.compute_actions(some(VECTOR, 2), **{option: 1})


@pytest.mark.parametrize("copies", [copy.copy, copy.deepcopy, pickle.dumps])
def test_an_algorithm_is_saved_and_not_copied(copies: Any) -> None:
    with closing(PPO(sampled(VECTOR, CHOICES), **SMALL)) as algorithm, pytest.raises(TypeError, match=r"save\(\) it"):
        copies(algorithm)
