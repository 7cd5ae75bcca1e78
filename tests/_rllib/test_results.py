"""Names of RLlib's results that need an algorithm, or that nothing stands for."""

from __future__ import annotations

import copy
from contextlib import closing
from typing import Any

import pytest

from anyspace._rllib.results import EvaluationResult, OldResult, joined
from anyspace.errors import ConfigError
from anyspace.rllib.agents.trainer import COMMON_CONFIG, with_common_config
from anyspace.rllib.algorithms.callbacks import DefaultCallbacks
from anyspace.rllib.algorithms.ppo import PPO


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("num_env_steps_trained", "`timesteps_total` counts the steps that were taken"),
        ("num_agent_steps_trained_this_iter", "rows that were learnt from are not counted"),
        ("time_since_restore", "count from the beginning: subtract what they were"),
        ("iterations_since_restore", "count from the beginning"),
        ("done", r"algo.should_stop\(\)"),
        ("config", "it is `algo.config`"),
        ("timers", "`time_collect_s`"),
        ("pid", "os and socket"),
    ],
)
def test_what_nothing_stands_for_says_what_does_instead(name: str, answer: str) -> None:
    result = OldResult({"timesteps_total": 3, "learner": {}})
    assert name not in result
    with pytest.raises(KeyError, match=f"the result has no '{name}': .*{answer}"):
        result[name]


def test_numbers_of_learning_say_so_too() -> None:
    info = OldResult({"timesteps_total": 3, "learner": {"lr": 0.1}})["info"]
    with pytest.raises(KeyError, match="no 'num_steps_trained' here: the rows that were learnt from"):
        info["num_steps_trained"]
    stats = info["learner"]["default_policy"]["learner_stats"]
    assert stats == {"lr": 0.1, "cur_lr": 0.1}
    for name, answer in (("grad_gnorm", "`grad_clip` limits it"), ("max_q", "mean_q"), ("x", "it has lr, cur_lr")):
        with pytest.raises(KeyError, match=f"no '{name}' here: .*{answer}"):
            stats[name]


def test_the_latest_episodes_are_listed() -> None:
    small = {"train_batch_size": 100, "minibatch_size": 100, "num_epochs": 1, "model": {"fcnet_hiddens": [4]}}
    with closing(PPO("CartPole-v1", small)) as algo:
        result = algo.train()
        listed = [(episode.total_reward, episode.length) for episode in algo.counters.latest.episodes]
        algo.train()
    found = copy.deepcopy(result)["hist_stats"]
    assert [*zip(found["episode_reward"], found["episode_lengths"], strict=True)] == listed
    assert len(listed) > 1
    assert result["sampler_results"]["hist_stats"] == result["env_runners"]["hist_stats"] == found
    played = EvaluationResult({"returns": [1.0, 2.0], "lengths": [3, 4]})
    assert played["hist_stats"] == {"episode_reward": [1.0, 2.0], "episode_lengths": [3, 4]}


def test_what_callbacks_note_of_episodes_is_listed() -> None:
    class Noting(DefaultCallbacks):
        def on_episode_end(self, *, episode: Any, **kwargs: Any) -> None:
            episode.hist_data["halves"] = [episode.length / 2, 0.5]

    small = {"train_batch_size": 100, "minibatch_size": 100, "num_epochs": 1, "model": {"fcnet_hiddens": [4]}}
    with closing(PPO("CartPole-v1", {**small, "callbacks": Noting})) as algo:
        algo.train()
        found = algo.train()["hist_stats"]
        new = [part for episode in algo.counters.new for part in (episode.length / 2, 0.5)]
    assert found["halves"] == new
    assert len(new) > 1
    with pytest.raises(KeyError, match="there is no 'thirds' here: it has episode_reward, episode_lengths, halves"):
        found["thirds"]


@pytest.mark.parametrize("values", [3.0, ["a"], None], ids=repr)
def test_what_is_noted_is_a_list_of_numbers(values: Any) -> None:
    with pytest.raises(ConfigError, match=r"episode.hist_data\['x'\] takes a list of numbers, but .* came"):
        joined([{"x": values}])


def test_common_defaults_are_those_of_an_algorithm() -> None:
    for found in (COMMON_CONFIG, COMMON_CONFIG.copy(), with_common_config({"lr": 1})):
        with pytest.raises(KeyError, match=r"'num_workers', .* defaults: ppo\.DEFAULT_CONFIG"):
            found["num_workers"]
