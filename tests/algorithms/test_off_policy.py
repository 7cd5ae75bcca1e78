"""Off-policy algorithms: when they learn and from what, how targets move, and what checkpoints hold."""

from __future__ import annotations

import contextlib
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anyspace import DQN
from anyspace.algorithms.off_policy import _of_sequences
from anyspace.data.rows import Rows
from anyspace.errors import ConfigError, NonFiniteError
from anyspace.execution.checkpoint import read_state
from anyspace.execution.learner import Losses, Steps
from anyspace.policy.batch import Batch
from tests.support.fitted import Fitted
from tests.support.hashes import digest_of
from tests.support.tasks import Countdown, TMaze

SMALL: dict[str, Any] = {
    "model": {"fcnet_hiddens": [4]},
    "train_batch_size": 8,
    "num_steps_sampled_before_learning_starts": 10,
    "min_sample_timesteps_per_iteration": 20,
    "replay_capacity": 100,
    "seed": 5,
}
LSTM = {"model": {"use_lstm": True, "lstm_cell_size": 4, "max_seq_len": 3}}


def fitted(env: Any = Countdown, **settings: Any) -> Fitted:
    return Fitted(env, {**SMALL, **settings}, preset="none")


def asked(algorithm: Fitted, rounds: int) -> list[list[Batch | Steps]]:
    """What each round of so many yields."""
    found = []
    for _ in range(rounds):
        trajectory = algorithm.rewards(algorithm.fleet.gather(algorithm.config.steps_per_round))
        updates, learner = algorithm.updates(algorithm.policy, trajectory), algorithm.learner
        yielded: list[Batch | Steps] = []
        result: Any = None
        with contextlib.suppress(StopIteration):
            while True:
                yielded.append(updates.send(result))
                one = yielded[-1]
                result = learner.steps(one) if isinstance(one, Steps) else learner.step(one)
        algorithm.counters.timesteps_total += trajectory.num_steps
        found.append(yielded)
    return found


def gradient_steps(yielded: list[Batch | Steps]) -> int:
    return sum(len(one.order) if isinstance(one, Steps) else 1 for one in yielded)


@pytest.mark.parametrize("width", [1, 3])
@pytest.mark.parametrize(
    ("intensity", "fragment", "prioritized"), [(None, 1, False), (None, 4, False), (4.0, 1, True), (2.0, 5, False)]
)
def test_how_many_gradient_steps_are_taken(
    width: int, intensity: float | None, fragment: int, prioritized: bool
) -> None:
    """A step's worth of rows for each transition by default, else ``training_intensity`` rows for each."""
    settings = {
        "num_envs_per_env_runner": width,
        "rollout_fragment_length": fragment,
        "training_intensity": intensity,
        "num_steps_sampled_before_learning_starts": 0,
        "prioritized_replay": prioritized,
    }
    with closing(fitted(**settings)) as algorithm:
        taken = sum(map(gradient_steps, asked(algorithm, 12)))
        sampled = algorithm.counters.timesteps_total
        rows = sampled * SMALL["train_batch_size"] if intensity is None else sampled * intensity
        assert taken == int(rows / SMALL["train_batch_size"])


def test_nothing_is_learnt_before_enough_steps() -> None:
    with closing(fitted(num_steps_sampled_before_learning_starts=7)) as algorithm:
        assert [gradient_steps(yielded) for yielded in asked(algorithm, 9)] == [0] * 6 + [1, 1, 1]


def test_a_run_that_ends_before_learning_starts_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    late = "`num_steps_sampled_before_learning_starts`"
    with closing(fitted(num_steps_sampled_before_learning_starts=50)) as algorithm:
        algorithm.learn(40, progress=False)
        assert f"nothing was learnt in these 40 steps: learning starts after 50 ({late}). Train" in caplog.text
        caplog.clear()
        algorithm.learn(60, progress=False)
        assert algorithm.gradient_steps == 11
        assert late not in caplog.text
        algorithm.save(tmp_path / "run")
    with closing(Fitted.load(tmp_path / "run", trust=True)) as loaded:
        loaded.learn(80, progress=False)
    assert "in these 20 steps" in caplog.text
    assert "A run that goes on without its replay (`store_buffer_in_checkpoints`) collects them anew." in caplog.text


def test_steps_before_the_first_window_owe_nothing() -> None:
    """A memory learns from sequences of five steps: there are none for four rounds, and then one step for each."""
    memory = {"model": {"use_lstm": True, "lstm_cell_size": 2, "max_seq_len": 5, "fcnet_hiddens": [2]}}
    with closing(fitted(**memory, num_envs_per_env_runner=3, num_steps_sampled_before_learning_starts=0)) as algorithm:
        counts = [gradient_steps(yielded) for yielded in asked(algorithm, 9)]
    first = next(number for number, count in enumerate(counts) if count)
    assert first >= 3
    assert counts[first:] == [3] * (9 - first)


def test_several_steps_at_once_are_the_same_as_one_after_the_other() -> None:
    """Where no result is needed in between, draws are made together; nothing else differs."""
    digests = []
    for at_once in (False, True):
        with closing(fitted(rollout_fragment_length=8, target_network_update_freq=0, tau=0.1)) as algorithm:
            if not at_once:
                algorithm._at_once = lambda policy: 1  # type: ignore[method-assign]
            yielded = [one for round_ in asked(algorithm, 4) for one in round_]
            assert any(isinstance(one, Steps) for one in yielded) == at_once
            digests.append(digest_of({**algorithm.policy.weights(), **algorithm.target.state()}))
    assert digests[0] == digests[1]


@pytest.mark.parametrize(("frequency", "tau"), [(0, 0.25), (6, 1.0), (7, 0.5)])
def test_the_target_starts_equal_and_follows(frequency: int, tau: float) -> None:
    with closing(fitted(target_network_update_freq=frequency, tau=tau, lr=0.1)) as algorithm:

        def parameters(pipeline: Any) -> Any:
            values = pipeline.runtime.parameters(pipeline.model)
            return np.concatenate([values[name].reshape(-1) for name in sorted(values)])

        assert np.array_equal(parameters(algorithm.target), parameters(algorithm.policy))
        expected, moved_at = parameters(algorithm.target), 0
        for _ in range(30):
            (yielded,) = asked(algorithm, 1)
            now = algorithm.counters.timesteps_total
            if yielded and now - moved_at >= frequency:
                expected, moved_at = expected + tau * (parameters(algorithm.policy) - expected), now
            assert parameters(algorithm.target) == pytest.approx(expected, abs=1e-6)
        assert moved_at > 20


@pytest.mark.parametrize("extra", [{}, {**LSTM, "prioritized_replay": True}])
def test_values_of_a_known_environment_are_learnt(extra: dict[str, Any]) -> None:
    """V of a countdown is the sum of gamma^j over the steps that are left."""
    settings = {
        **extra,
        "model": {"fcnet_hiddens": [], **extra.get("model", {})},
        "lr": 0.02,
        "gamma": 0.5,
        "n_step": 2,
        "target_network_update_freq": 10,
        "train_batch_size": 16,
        "training_intensity": 64.0,
    }
    with closing(fitted(**settings)) as algorithm:
        while algorithm.timesteps_total < 400:
            algorithm.train()
        rows = Rows(algorithm.policy, algorithm.fleet.gather(6))
        evaluated = rows.evaluate()
        at = np.asarray(rows.batch()["obs"][0]).reshape(-1)
        left = 5 - at
        assert evaluated.output[:, 0].numpy() == pytest.approx((1 - 0.5**left) / 0.5, abs=0.06)


def test_sequences_have_the_priority_of_their_largest_error_mixed_with_the_mean() -> None:
    errors, windows = np.array([9.0, 1.0, 3.0, 5.0, 7.0]), np.array([-1, 0, 0, 2, -1])
    assert _of_sequences(errors, windows, 3).tolist() == pytest.approx([0.9 * 3 + 0.1 * 2, 0.0, 5.0])


def test_errors_that_are_not_finite_end_the_run() -> None:
    class Lost(Fitted):
        def losses(self, policy: Any, batch: Any) -> Losses:
            found = super().losses(policy, batch)
            return Losses(found.by_group, found.metrics, {"td_error": found.rows["td_error"] * float("nan")})

    settings = {**SMALL, "prioritized_replay": True, "num_steps_sampled_before_learning_starts": 20}
    message = r"^Lost\.losses\(\): Losses\(rows=\{'td_error': .* NaN or infinite"
    with closing(Lost(TMaze, settings, preset="none")) as algorithm, pytest.raises(NonFiniteError, match=message):
        algorithm.train()


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("extra", [{}, {**LSTM, "prioritized_replay": True, "replay_burn_in": 1}])
def test_a_run_goes_on_from_a_checkpoint(tmp_path: Path, stored: bool, extra: dict[str, Any]) -> None:
    with closing(fitted(TMaze, store_buffer_in_checkpoints=stored, **extra)) as first:
        for _ in range(3):
            first.train()
        first.save(tmp_path / "saved")
        assert ("replay" in read_state(tmp_path / "saved")["parts"]) == stored
        assert len([*(tmp_path / "saved").glob("piece-*.safetensors")]) == (1 if stored else 0)
        with closing(Fitted.load(tmp_path / "saved", trust=True)) as second:
            assert len(second.replay) == (len(first.replay) if stored else 0)
            assert digest_of(second.target.weights()) == digest_of(first.target.weights())
            assert (second.owed, second.moved_at) == (first.owed, first.moved_at)
            result = second.train()
            assert result["timesteps_total"] == first.timesteps_total + result["timesteps_this_iter"]
            if stored:
                drawn = [one.replay.draw(9, np.random.default_rng(0)) for one in (first, second)]
                assert drawn[0] is not None


def test_a_loaded_policy_explores_as_far_as_it_was_saved(tmp_path: Path) -> None:
    with closing(fitted()) as first:
        first.train()
        first.save(tmp_path)
        with closing(Fitted.load(tmp_path, trust=True)) as second:
            assert second.policy.exploration.timestep == first.policy.exploration.timestep > 0


def test_a_copy_of_the_state_holds_no_replay_until_it_is_written() -> None:
    with closing(fitted(store_buffer_in_checkpoints=True)) as algorithm:
        algorithm.train()
        copy = algorithm.copy_state()()
        before = len(algorithm.replay)
        algorithm.train()
        assert "replay" not in copy[0]["parts"]
        completed, _, _ = algorithm.completed(copy, exact=False)
        assert completed["parts"]["replay"]["added"] == algorithm.replay.added > before


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"replay_burn_in": 2}, "there is no state to burn in"),
        ({"normalize_rewards": True}, "`normalize_rewards` divides by a deviation that moves"),
        ({"replay_capacity": 5}, "the 5 transitions of `replay_capacity` are all that is kept"),
        ({"tau": 0.0}, "it lies above 0 and up to 1"),
        ({"n_step": 0}, "it must be at least 1"),
        ({"training_intensity": 0.0}, "it must be above 0"),
        ({"prioritized_replay_beta": 1.5}, r"it lies in \[0, 1\]"),
        ({"prioritized_replay_eps": 0.0}, "it must be above 0"),
        ({"prioritized_replay_alpha": -1.0}, "it must not be negative"),
        ({"replay_capacity": 10, "n_step": 11}, "needs at least 11: a window of 11 steps each"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        fitted(**settings)


@pytest.mark.parametrize("preset", ["auto", "none"])
def test_the_replay_and_when_learning_starts_give_way_to_what_is_given(preset: str) -> None:
    with closing(DQN("CartPole-v1", replay_capacity=500, preset=preset)) as algorithm:
        assert algorithm.config.num_steps_sampled_before_learning_starts == 500
    with closing(DQN("CartPole-v1", num_steps_sampled_before_learning_starts=200_000, preset=preset)) as algorithm:
        assert algorithm.config.replay_capacity == 200_000
    with pytest.raises(ConfigError, match="`replay_capacity` is 0, but it must be at least 1"):
        DQN("CartPole-v1", replay_capacity=0, preset=preset)


def test_short_settings_take_some_gradient_steps() -> None:
    settings = {**SMALL, **LSTM, "replay_burn_in": 2, "num_steps_sampled_before_learning_starts": 50}
    with closing(Fitted(TMaze, settings, preset="none")) as algorithm:
        vars(algorithm)["config"] = algorithm.config.short()
        assert algorithm.train()["learner"]["gradient_steps"] >= 1
