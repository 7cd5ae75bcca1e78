"""Methods and attributes of RLlib's objects: those that are there, and what is said of the others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from anyspace._rllib import advice
from anyspace._rllib.callbacks import PastEpisode
from anyspace.data.trajectory import Episode
from anyspace.errors import ConfigError, ObservationError
from anyspace.rllib.algorithms.algorithm import Algorithm
from anyspace.rllib.algorithms.ppo import PPO

SMALL: dict[str, Any] = {
    "train_batch_size": 20,
    "sgd_minibatch_size": 20,
    "num_sgd_iter": 1,
    "model": {"fcnet_hiddens": [4]},
}
OBS = np.zeros(4, np.float32)


@pytest.fixture(scope="module")
def algo() -> Iterator[PPO]:
    algorithm = PPO(env="CartPole-v1", config=SMALL)
    yield algorithm
    algorithm.stop()


def episode() -> PastEpisode:
    return PastEpisode(Episode(1.0, 1, {}), 0)


@pytest.mark.parametrize(
    ("of", "names"),
    [
        (lambda algo: algo, advice.ALGORITHM),
        (lambda algo: type(algo), advice.ALGORITHM),
        (lambda algo: algo.get_policy(), advice.POLICY),
        (lambda algo: algo.workers.local_worker(), advice.WORKERS),
        (lambda algo: episode(), advice.EPISODE),
    ],
)
def test_what_is_absent_says_what_to_write(algo: PPO, of: Any, names: dict[str, str]) -> None:
    for name, hint in names.items():
        with pytest.raises(AttributeError) as caught:
            getattr(of(algo), name)
        assert hint in str(caught.value), name


def test_other_absent_names_are_plain_errors(algo: PPO) -> None:
    with pytest.raises(AttributeError, match=r"type object 'PPO' has no attribute 'nonsense'$"):
        _ = PPO.nonsense
    assert not hasattr(algo.workers, "nonsense")


def test_there_is_one_policy(algo: PPO) -> None:
    for ask in (
        lambda: algo.get_policy("nobody"),
        lambda: algo.compute_single_action(OBS, policy_id="nobody"),
        lambda: algo.compute_actions(OBS[None], policy_id="nobody"),
        lambda: algo.get_weights(["nobody"]),
        lambda: algo.workers.local_worker().get_policy("nobody"),
    ):
        with pytest.raises(ConfigError, match="no policy 'nobody': an algorithm has one, 'default_policy'"):
            ask()
    assert algo.workers.foreach_worker(lambda worker: worker.get_policy().model) == [algo.policy.model]
    assert algo.workers.foreach_policy(lambda policy, name: name) == [*algo.workers.policy_map] == ["default_policy"]


def test_weights_are_under_the_name_of_the_policy_too(algo: PPO) -> None:
    weights = algo.get_weights()
    assert weights["default_policy"] is weights
    assert algo.get_weights(["default_policy"]).keys() == weights.keys()
    algo.set_weights({"default_policy": {name: 0 * value for name, value in weights.items()}})
    assert not any(value.any() for name, value in algo.get_weights().items() if name.startswith("model/"))
    with pytest.raises(KeyError, match="other"):
        weights["other"]


def test_what_save_returns_is_a_path_a_text_and_a_result(algo: PPO, tmp_path: Path) -> None:
    saved = algo.save(checkpoint_dir=tmp_path / "a")
    assert saved == tmp_path / "a"
    assert saved.checkpoint.path == str(saved) == saved + ""
    Algorithm.from_checkpoint(saved.checkpoint.path).stop()
    with pytest.raises(TypeError, match=r"no argument 'policy_ids' of from_checkpoint\(\); there is one policy"):
        Algorithm.from_checkpoint(saved, policy_ids=["default_policy"])
    with pytest.raises(TypeError, match=r"no argument 'duration_fn' of evaluate\(\); `episodes`"):
        algo.evaluate(duration_fn=len)


def test_acting_takes_the_arguments_of_every_release(algo: PPO) -> None:
    assert algo.compute_action(OBS, None, 0, 1.0, {}, explore=False) in (0, 1)
    policy = algo.get_policy()
    assert policy.compute_single_action(OBS, [], 0, 1.0, {})[1:] == ([], {})
    assert policy.compute_actions(OBS[None], [], None, None, None, None, False)[0].shape == (1,)
    with pytest.raises(TypeError, match=r"'input_dict' of compute_single_action\(\); give the observation"):
        algo.compute_single_action(input_dict={"obs": OBS})
    with pytest.raises(TypeError, match=r"compute_single_action\(\) is not called so: all but the observation"):
        algo.compute_single_action(OBS, None, 0, 1.0, {}, "default_policy")
    with pytest.raises(ObservationError, match=r"a dict by 'a', 'b' came, .*np\.stack"):
        algo.compute_actions({"a": OBS, "b": OBS})


def test_raw_actions_are_refused_where_they_are_others(algo: PPO) -> None:
    assert algo.compute_single_action(OBS, unsquash_action=False) in (0, 1)
    pendulum = PPO(env="Pendulum-v1", config=SMALL)
    obs = pendulum.policy.observation_space.sample()
    with pytest.raises(ConfigError, match=r"unsquash_action=False\): actions are always what the environment takes"):
        pendulum.compute_single_action(obs, unsquash_action=False)
    pendulum.stop()


def test_a_dict_of_observations_is_no_dict_by_agent() -> None:
    class Named(gym.Wrapper[Any, Any, Any, Any]):
        def __init__(self, env: gym.Env[Any, Any]) -> None:
            super().__init__(env)
            self.observation_space = gym.spaces.Dict(x=env.observation_space)

        def reset(self, **options: Any) -> Any:
            obs, info = self.env.reset(**options)
            return {"x": obs}, info

    named = PPO(env=lambda: Named(gym.make("CartPole-v1")), config={**SMALL, "train_batch_size": 20})
    assert named.compute_actions({"x": OBS[None]}).shape == (1,)
    named.stop()


def test_a_state_may_be_copied_into_another_list() -> None:
    algo = PPO(env="CartPole-v1", config={**SMALL, "model": {"use_lstm": True, "lstm_cell_size": 3}})
    _, state, _ = algo.compute_single_action(OBS, algo.get_policy().get_initial_state())
    found = [
        algo.compute_single_action(OBS, kind(state), explore=False)[0] for kind in (list, tuple, lambda state: state)
    ]
    assert len({*found}) == 1
    algo.stop()
