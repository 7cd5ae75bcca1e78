"""Rows: which observations of a trajectory are evaluated, and which of them the steps are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, Tuple
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from torch import nn

from anyspace import PPO
from anyspace.algorithms.on_policy import gae, training_rows
from anyspace.data.collector import Collector
from anyspace.data.rows import Rows
from anyspace.data.transitions import following_output, transitions
from anyspace.data.vector import VectorSource
from anyspace.models import ModelConfig, TorchModelV2
from anyspace.models.torch.runtime import TorchRuntime
from anyspace.policy.config import PolicyConfig
from anyspace.policy.pipeline import Pipeline
from anyspace.policy.policy import Policy
from anyspace.spaces import BoundedSequence
from tests.support.environments import Samples, Script
from tests.support.scripted import MODES, vector_env

LSTM: dict[str, Any] = {"use_lstm": True, "lstm_cell_size": 4, "max_seq_len": 3}
every_mode = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)


def policy(seed: int = 0, **model: Any) -> Policy:
    config = PolicyConfig(model=ModelConfig(fcnet_hiddens=[6], **model))
    return Policy(Script.observation_space, Script.action_space, config, TorchRuntime("cpu"), seed=seed)


def gathered(acting: Policy, steps: int, mode: AutoresetMode, *lengths: int) -> Rows:
    """The rows of environments whose episodes have the given lengths."""
    envs = [lambda length=length: Script(0, ((length, "terminated"),)) for length in lengths]
    collector = Collector(VectorSource(SyncVectorEnv(envs, autoreset_mode=mode)), acting)
    return Rows(acting, collector.gather(steps))


def test_the_example_of_two_steps_of_one_environment() -> None:
    layout = gathered(policy(), 2, AutoresetMode.SAME_STEP, 9).layout
    assert layout.rows.tolist() == [0, 1, 2]
    assert layout.own.tolist() == [0, 1]
    assert layout.following.tolist() == [1, 2]
    assert layout.steps.tolist() == [0, 1]
    assert layout.lens is layout.learnt_lens is layout.state is None


def test_a_step_that_ends_an_episode_is_followed_by_its_last_observation() -> None:
    """Two environments, three steps; the second one's first episode lasts two: its last observation is row 8."""
    layout = gathered(policy(), 3, AutoresetMode.SAME_STEP, 9, 2).layout
    assert layout.rows.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8]
    assert layout.own.tolist() == [0, 1, 2, 3, 4, 5]
    assert layout.following.tolist() == [2, 3, 4, 8, 6, 7]
    assert layout.steps.tolist() == [0, 1, 2, 3, 4, 5]


def test_an_ignored_step_is_evaluated_but_not_learnt_from() -> None:
    layout = gathered(policy(), 3, AutoresetMode.NEXT_STEP, 9, 2).layout
    assert layout.rows.tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
    assert layout.own.tolist() == [0, 1, 2, 3, 4]
    assert layout.following.tolist() == [2, 3, 4, 5, 6]
    assert layout.steps.tolist() == [0, 1, 2, 3, 4]


def test_a_sequence_has_one_more_row_for_what_it_led_to() -> None:
    """Five steps of one environment in sequences of three and two."""
    layout = gathered(policy(**LSTM), 5, AutoresetMode.SAME_STEP, 9).layout
    assert layout.rows.tolist() == [0, 1, 2, 3, 3, 4, 5]
    assert layout.own.tolist() == [0, 1, 2, 4, 5]
    assert layout.following.tolist() == [1, 2, 3, 5, 6]
    assert layout.steps.tolist() == [0, 1, 2, 3, 4]
    assert layout.lens is not None
    assert layout.lens.tolist() == [4, 3]
    assert layout.learnt_lens is not None
    assert layout.learnt_lens.tolist() == [3, 2]
    assert layout.state is not None
    assert [state.shape for state in layout.state] == [(2, 4), (2, 4)]


def test_sequences_end_with_episodes_and_come_environment_by_environment() -> None:
    """Two environments, three steps; the second one's first episode lasts two: sequences of 3, 2 and 1 steps."""
    layout = gathered(policy(**LSTM), 3, AutoresetMode.SAME_STEP, 9, 2).layout
    assert layout.learnt_lens is not None
    assert layout.learnt_lens.tolist() == [3, 2, 1]
    assert layout.rows.tolist() == [0, 2, 4, 6, 1, 3, 8, 5, 7]
    assert layout.own.tolist() == [0, 1, 2, 4, 5, 7]
    assert layout.following.tolist() == [1, 2, 3, 5, 6, 8]
    assert layout.steps.tolist() == [0, 2, 4, 1, 3, 5]


@every_mode
@pytest.mark.parametrize("model", [{}, LSTM], ids=["flat", "lstm"])
def test_numbers_of_rows_go_to_their_time_and_back(mode: AutoresetMode, model: dict[str, Any]) -> None:
    acting = policy(**model)
    trajectory = Collector(VectorSource(vector_env(mode)), acting).gather(12)
    rows = Rows(acting, trajectory)
    numbers = np.arange(1, trajectory.num_steps + 1).astype(np.float32)
    by_time = rows.to_time(numbers)
    assert by_time.shape == trajectory.valid.shape
    np.testing.assert_array_equal(by_time != 0, trajectory.valid)
    np.testing.assert_array_equal(rows.from_time(by_time), numbers)
    # Whatever else is told of a step arrives with it.
    np.testing.assert_array_equal(rows.batch()["obs"][0], rows.from_time(trajectory.obs[0][:-1]))
    np.testing.assert_array_equal(rows.actions(), rows.from_time(trajectory.actions))


@every_mode
@pytest.mark.parametrize("model", [{}, LSTM], ids=["flat", "lstm"])
def test_values_are_those_of_each_observation_and_of_the_one_after_it(
    mode: AutoresetMode, model: dict[str, Any]
) -> None:
    acting = policy(**model)
    trajectory = Collector(VectorSource(vector_env(mode)), acting).gather(9)
    evaluated = Rows(acting, trajectory).evaluate()
    values, following = (Rows(acting, trajectory).to_time(x) for x in (evaluated.values, evaluated.next_values))
    t, b = np.nonzero(trajectory.valid[:-1] & trajectory.valid[1:] & ~trajectory.done[:-1])
    if model:  # the next sequence begins with the state that was acted on, which is the same one
        np.testing.assert_allclose(following[t, b], values[t + 1, b], rtol=1e-4, atol=1e-6)
    else:
        np.testing.assert_array_equal(following[t, b], values[t + 1, b])
    assert len(t) > 5
    silent = Rows(acting, trajectory).evaluate(value=False)
    assert not silent.values.any()
    assert not silent.next_values.any()
    np.testing.assert_array_equal(silent.dist_inputs, evaluated.dist_inputs)


def changed(sibling: Pipeline, seed: int) -> None:
    """Give a sibling the weights of a policy with another seed."""
    other = policy(seed, **({"use_lstm": True, "lstm_cell_size": 4} if sibling.views.recurrent else {}))
    sibling.runtime.load_parameters(sibling.model, other.runtime.parameters(other.model))


@pytest.mark.parametrize("model", [{}, LSTM], ids=["flat", "lstm"])
def test_a_siblings_weights_are_evaluated_on_the_same_rows(model: dict[str, Any]) -> None:
    acting = policy(**model)
    trajectory = Collector(VectorSource(vector_env(AutoresetMode.SAME_STEP)), acting).gather(7)
    rows, sibling = Rows(acting, trajectory), acting.sibling()
    own, equal = rows.evaluate(), rows.evaluate(under=sibling)
    np.testing.assert_array_equal(own.values, equal.values)
    changed(sibling, 5)
    target, other = rows.evaluate(under=sibling), policy(5, **model)
    alone = Rows(other, trajectory).evaluate()
    for name in ("dist_inputs", "values", "next_values"):
        np.testing.assert_array_equal(getattr(target, name), getattr(alone, name))
        assert np.abs(np.asarray(getattr(target, name) - getattr(own, name))).max() > 1e-3
    np.testing.assert_array_equal(rows.evaluate().values, own.values)


def test_training_rows_under_a_sibling_take_its_values_and_distributions() -> None:
    acting, estimate = policy(), gae(gamma=0.9, lambda_=0.8)
    trajectory = Collector(VectorSource(vector_env(AutoresetMode.SAME_STEP)), acting).gather(7)
    sibling = acting.sibling()
    changed(sibling, 5)
    target = training_rows(acting, trajectory, estimate, under=sibling)
    alone = training_rows(policy(5), trajectory, estimate)
    for name in ("action_logp", "action_dist_inputs", "vf_preds", "advantages", "value_targets"):
        assert torch.equal(target[name], alone[name]), name
    assert not torch.equal(target["vf_preds"], training_rows(acting, trajectory, estimate)["vf_preds"])


NOTHING = Box(-1, 1, (0,))


@pytest.mark.parametrize(
    "action",
    [
        Dict(a=Box(-1, 1, (2,)), nothing=NOTHING),
        Tuple([Box(0, 1, (0, 3)), Discrete(2)]),
        Dict(a=Discrete(3), nothing=Box(0, 3, (0,), np.int32)),
    ],
)
@pytest.mark.parametrize("model", [{}, {"use_lstm": True, "lstm_use_prev_action": True}])
def test_parts_without_values_in_observations_and_actions(action: Any, model: dict[str, Any]) -> None:
    observation = Dict(a=Box(-1, 1, (2,)), nothing=NOTHING, picture=Box(0, 255, (0, 4, 3), np.uint8))
    envs = [Samples(observation, action) for _ in range(2)]
    made = iter(envs)
    config = {"train_batch_size": 8, "minibatch_size": 4, "num_epochs": 1, "num_envs_per_env_runner": 2, "model": model}
    algo = PPO(lambda: next(made), config, preset="none")
    algo.train()
    assert all(action.contains(taken) for env in envs for taken in env.actions)
    taken = algo.compute_single_action(observation.sample())
    assert action.contains(taken[0] if model else taken)


class HandsOn(TorchModelV2, nn.Module):
    """Has a state, and hands the lists that it sees on in its output."""

    def __init__(self, *given: Any) -> None:
        TorchModelV2.__init__(self, *given)
        nn.Module.__init__(self)
        self.layer = nn.Linear(1, self.num_outputs)

    def get_initial_state(self) -> Any:
        return [torch.zeros(1)]

    def forward(self, input_dict: Any, state: Any, seq_lens: Any) -> Any:
        lists = input_dict["obs"]
        return {"out": self.layer(lists.lengths[:, None].float()), "lists": lists}, state

    def action_inputs(self, output: Any, mask: Any) -> Any:
        return output["out"]


def test_rows_of_lists_in_an_output_are_those_of_the_observations(monkeypatch: pytest.MonkeyPatch) -> None:
    env = Samples(BoundedSequence(Box(-1, 1, (2,)), 3), Discrete(2))
    config = PolicyConfig(model=ModelConfig(custom_model=HandsOn, max_seq_len=3))
    acting = Policy(env.observation_space, env.action_space, config, TorchRuntime("cpu"))
    trajectory = Collector(VectorSource(SyncVectorEnv([lambda: env])), acting).gather(9)
    rows = Rows(acting, trajectory)
    lists = rows.evaluate(value=False).output["lists"]
    np.testing.assert_array_equal(lists.lengths, rows.batch()["obs"][0])
    batch = transitions(acting, trajectory, gamma=0.9, n=1, burn_in=0)
    led_to = following_output(acting, batch)[0]["lists"].lengths
    np.testing.assert_array_equal(led_to, batch["obs"][0][batch["ahead"] + torch.arange(len(led_to))])
    monkeypatch.setattr("anyspace.data.rows.FEATURES_AT_A_TIME", 1)
    np.testing.assert_array_equal(rows.evaluate(value=False).output["lists"].values, lists.values)
