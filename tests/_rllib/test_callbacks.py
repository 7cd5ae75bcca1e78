"""RLlib's callbacks, whose methods had other arguments before 2.0."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import pytest

from anyspace._rllib.callbacks import PastEpisode
from anyspace.data.trajectory import Episode
from anyspace.rllib.algorithms.callbacks import DefaultCallbacks, make_multi_callbacks
from anyspace.rllib.algorithms.ppo import PPO


class OfToday(DefaultCallbacks):
    def on_train_result(self, *, algorithm: Any, result: Any, **kwargs: Any) -> None:
        algorithm.config  # noqa: B018
        result["today"] = 1

    def on_evaluate_end(self, *, algorithm: Any, evaluation_metrics: Any, **kwargs: Any) -> None:
        evaluation_metrics["evaluation"]["today"] = 1


class OfOldReleases(DefaultCallbacks):
    def on_train_result(self, *, trainer: Any, result: Any) -> None:  # type: ignore[override]
        result["old"] = trainer.iteration

    def on_evaluate_start(self, *, trainer: Any) -> None:  # type: ignore[override]
        self.seen = trainer.iteration

    def on_evaluate_end(self, *, trainer: Any, evaluation_metrics: Any) -> None:  # type: ignore[override]
        evaluation_metrics["evaluation"]["old"] = self.seen


class OfBoth(OfOldReleases):
    def on_train_result(  # type: ignore[override]
        self, *, algorithm: Any = None, trainer: Any = None, result: Any, **kwargs: Any
    ) -> None:
        result["old"] = (algorithm or trainer).iteration


@pytest.mark.parametrize("kind", [OfOldReleases, OfBoth, make_multi_callbacks([OfToday, OfOldReleases])])
def test_the_algorithm_is_told_by_its_older_name(kind: type[DefaultCallbacks]) -> None:
    small = {"train_batch_size": 50, "minibatch_size": 50, "num_epochs": 1, "model": {"fcnet_hiddens": [4]}}
    with closing(PPO("CartPole-v1", {**small, "callbacks": kind})) as algo:
        assert algo.train()["old"] == 1
        assert algo.evaluate(1)["old"] == 1


def test_an_info_that_is_no_number_is_not_there() -> None:
    infos = PastEpisode(Episode(1.0, 2, {"pushed": 3.0}), 0).last_info_for()
    assert infos == {"pushed": 3.0}
    with pytest.raises(KeyError, match=r"no 'name', but the numbers of the info alone: pushed"):
        infos["name"]
