"""Workers in this process: what they collect, what they say, how they fail."""

from __future__ import annotations

import logging
import pickle
from contextlib import closing
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from anyspace import PPO, Algorithm
from anyspace.distributions import Categorical
from anyspace.errors import EnvironmentSetupError, NonFiniteError, ObservationError
from anyspace.execution.evaluate import Request
from anyspace.execution.fleet import WorkerFleet, shares_of
from anyspace.execution.worker import Failure, Names, failure
from anyspace.models import ModelCatalog, TorchModelV2, action_dists
from anyspace.spaces import register_space
from anyspace.spaces.kinds import registered

SMALL: dict[str, Any] = {
    "train_batch_size": 16,
    "minibatch_size": None,
    "num_epochs": 1,
    "num_envs_per_env_runner": 2,
    "model": {"fcnet_hiddens": [4]},
    "seed": 1,
    "fleet": "serial",
}


def new(kind: type[Algorithm[Any]], env: Any, settings: dict[str, Any]) -> Algorithm[Any]:
    """Return an algorithm with plain defaults but for some settings."""
    return kind(env, settings, preset="none")


class Odd(gym.Env[Any, Any]):
    """Goes wrong at a step of the second environment that was made in it, in one of several ways."""

    observation_space = gym.spaces.Box(-1, 1, (2,))
    action_space = gym.spaces.Discrete(2)

    def __init__(self, how: str = "", at: int = 3):
        self.how, self.at, self.t = how, at, 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        return np.zeros(2, np.float32), {}

    def step(self, action: Any) -> Any:
        self.t += 1
        obs, reward = np.zeros(2, np.float32), 1.0
        if self.t == self.at:
            if self.how == "raises":
                raise ZeroDivisionError("no way")
            obs = obs * np.nan if self.how == "nan" else obs
            reward = np.inf if self.how == "reward" else reward
            obs = obs + 2 if self.how.startswith("large") else obs
        if self.how == "large then nan" and self.t == self.at + 1:
            obs = obs * np.nan
        return obs, reward, self.t % 5 == 0, False, {}


@pytest.mark.parametrize(
    ("how", "kind", "message"),
    [
        ("raises", ZeroDivisionError, "no way"),
        ("nan", ObservationError, "worker 0, step 3, environment 0"),
        ("reward", NonFiniteError, "worker 0, step 3, environment 0: the reward is inf"),
    ],
)
def test_an_error_is_the_original_one_with_worker_step_and_environment(
    how: str, kind: type[Exception], message: str
) -> None:
    algorithm = new(PPO, Odd, {**SMALL, "env_config": {"how": how}, "num_env_runners": 2})
    with closing(algorithm), pytest.raises(kind, match=message) as caught:
        algorithm.train()
    notes = "\n".join(getattr(caught.value, "__notes__", ()))
    if kind is ZeroDivisionError:
        assert "(raised by one of 2 environments at worker 0, step 3)" in notes
        assert "In worker 0:\nTraceback" in notes
    else:
        assert notes == ""


def test_messages_of_this_process_name_no_worker() -> None:
    algorithm = new(PPO, Odd, {**SMALL, "fleet": "auto", "env_config": {"how": "nan"}})
    with closing(algorithm), pytest.raises(ObservationError, match=r"^step 3, environment 0"):
        algorithm.train()


def test_what_workers_have_to_say_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    algorithm = new(PPO, Odd, {**SMALL, "env_config": {"how": "large"}, "num_env_runners": 2})
    with closing(algorithm), caplog.at_level(logging.WARNING, "anyspace"):
        algorithm.train()
        algorithm.train()
    outside = [record.getMessage() for record in caplog.records if "Widen the space" in record.getMessage()]
    assert len(outside) == 1
    assert outside[0].startswith("worker 0, step 3, environment 0: obs")


class Stubborn(Exception):
    """Cannot be pickled and made again."""

    def __init__(self, what: str, why: str):
        super().__init__(f"{what} because {why}")


def test_an_error_that_cannot_be_sent_is_told_by_its_name_and_text() -> None:
    try:
        raise Stubborn("stuck", "rust")
    except Stubborn as error:
        error.add_note("at step 5")
        told = failure(3, error)
    arrived: Failure = pickle.loads(pickle.dumps(told))
    with pytest.raises(RuntimeError, match="Stubborn: stuck because rust") as caught:
        arrived.reraise()
    assert caught.value.__notes__[0] == "at step 5"
    assert caught.value.__notes__[1].startswith("In worker 3:\nTraceback")
    assert "Stubborn" in caught.value.__notes__[1]


def test_names_travel(monkeypatch: pytest.MonkeyPatch) -> None:
    class Shelf(gym.spaces.Discrete):
        pass

    for module in (action_dists, registered):
        monkeypatch.setattr(module, "_registered", dict(module._registered))
    ModelCatalog.register_custom_model("one of the tests", TorchModelV2)
    ModelCatalog.register_custom_action_dist("one of the tests", Categorical)
    register_space(Shelf, lambda space: gym.spaces.Discrete(int(space.n)))
    gym.register("OneOfTheTests-v0", entry_point=Odd)
    try:
        names = Names.here()
        assert names.models["one of the tests"] is TorchModelV2
        assert [name for name in names.environments if "CartPole" in name or "ALE" in name] == []
        record = gym.registry.pop("OneOfTheTests-v0")
        for module in (action_dists, registered):
            module._registered.clear()
        names.adopt()
        assert gym.registry["OneOfTheTests-v0"] == record
        assert action_dists.registered()["one of the tests"] is Categorical
        assert [one.kind for one in registered.registered_spaces() if one.kind is Shelf] == [Shelf]
    finally:
        gym.registry.pop("OneOfTheTests-v0", None)


def test_shares_of_an_evaluation() -> None:
    found = list(shares_of(Request(7, 5, explore=True, longest=9), 3))
    assert [one.episodes for one in found] == [3, 2, 2]
    assert found[0].seed == 5
    assert len({one.seed for one in found}) == 3
    assert all(one.explore and one.longest == 9 for one in found)
    assert [one.episodes for one in shares_of(Request(2, 5), 3)] == [1, 1]


class Arms(gym.Env[Any, Any]):
    """A bandit of so many arms that two samples are hardly ever alike: the reward is the arm."""

    observation_space = gym.spaces.Box(-1, 1, (2,))
    action_space = gym.spaces.Discrete(1000)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        return np.zeros(2, np.float32), {}

    def step(self, action: Any) -> Any:
        return np.zeros(2, np.float32), float(action), True, False, {}


@pytest.mark.parametrize("workers", [0, 4])
def test_each_worker_samples_actions_of_its_own_and_a_seed_repeats_them(workers: int) -> None:
    with closing(
        new(PPO, Arms, {**SMALL, "fleet": "serial" if workers else "auto", "evaluation_num_env_runners": workers})
    ) as algorithm:
        played = [algorithm.evaluate(8, explore=True, seed=seed)["returns"] for seed in (1, 1, 2)]
        alike = algorithm.evaluate(8)["returns"]
    assert len(set(played[0])) == 8
    assert played[0] == played[1] != played[2]
    assert len(set(alike)) == 1


def test_a_restart_begins_new_episodes_with_the_seed() -> None:
    algorithm = new(PPO, "CartPole-v1", {**SMALL, "num_env_runners": 2})
    with closing(algorithm):
        fleet = algorithm.fleet
        assert isinstance(fleet, WorkerFleet)
        fleet.restart(5)
        first, goes_on = fleet.gather(16), fleet.gather(16)
        fleet.restart(5)
        again = fleet.gather(16)
        fleet.restart()
        other = fleet.gather(16)
    np.testing.assert_array_equal(first.obs[0], again.obs[0])
    np.testing.assert_array_equal(first.actions, again.actions)
    assert not np.array_equal(first.obs[0][0], other.obs[0][0])
    np.testing.assert_array_equal(goes_on.obs[0][0], first.obs[0][-1])
    assert [one.begins.all() for one in (first, goes_on, again, other)] == [True, False, True, True]
    assert first.lanes.tolist() == [[0, 0, 0], [0, 0, 1], [1, 0, 0], [1, 0, 1]]
    assert not np.array_equal(first.obs[0][0, :2], first.obs[0][0, 2:])


class Uneven(Odd):
    """Has other spaces, or none at all, in the second worker."""

    def __init__(self, config: Any):
        super().__init__()
        if config.worker_index == 2 and config["how"] == "action":
            self.action_space = gym.spaces.Discrete(3)
        elif config.worker_index == 2 and config["how"] == "observation":
            self.observation_space = gym.spaces.Box(-2, 2, (2,))
        elif config.worker_index == 2:
            raise RuntimeError("no licence")


@pytest.mark.parametrize("how", ["action", "observation"])
def test_all_workers_need_the_same_spaces(how: str) -> None:
    algorithm = new(PPO, Uneven, {**SMALL, "env_config": {"how": how}, "num_env_runners": 2})
    message = rf"worker 1: the {how} space of its Uneven is .*, but that of the first one made is .*in every worker"
    with closing(algorithm), pytest.raises(EnvironmentSetupError, match=message):
        algorithm.train()


def test_an_error_of_a_constructor_names_the_worker() -> None:
    algorithm = new(PPO, Uneven, {**SMALL, "env_config": {"how": ""}, "num_env_runners": 2})
    with closing(algorithm), pytest.raises(RuntimeError, match="no licence") as caught:
        algorithm.train()
    assert caught.value.__notes__[-1] == "In worker 1."
