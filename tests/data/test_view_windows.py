"""What views and states hold: when acting, in training and in bootstraps, against plain loops over what was lived."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import SyncVectorEnv

from anyspace.algorithms.on_policy import gae, minibatches, training_rows
from anyspace.data.collector import Collector
from anyspace.data.rewards import RewardTransform
from anyspace.data.trajectory import Trajectory
from anyspace.data.vector import VectorSource
from anyspace.errors import ModelError
from anyspace.models import ViewRequirement
from anyspace.models.torch.runtime import TorchRuntime
from anyspace.policy.config import PolicyConfig
from anyspace.policy.plan import Plan
from anyspace.policy.policy import Policy
from tests.support.batches import batches_of
from tests.support.environments import Script
from tests.support.scripted import KINDS, MODES, Known, lived, vector_env

GAMMA, LAMBDA = 0.9, 0.8
PAST: dict[str, tuple[str, list[int]]] = {
    "prev_obs": ("obs", [-2, -1, 0]),
    "prev_actions": ("actions", [-1]),
    "prev_rewards": ("rewards", [-1]),
    "last_actions": ("actions", [-3, -2, -1]),
    "odd_rewards": ("rewards", [-1, -3]),
    "were_over": ("terminateds", [-2, -1]),
}
FUTURE: dict[str, tuple[str, list[int]]] = {
    "next_rewards": ("rewards", [0, 1, 2]),
    "next_obs": ("obs", [1, 3]),
    "leads_to": ("new_obs", [0]),
    "is_over": ("terminateds", [0]),
    "is_cut": ("truncateds", [0, 1]),
    "next_actions": ("actions", [-1, 0, 1]),
}


class Viewing(Known):
    """Acts as `Known` does, values what it sees of other steps, and keeps what its forward passes were given.

    Its states: a count of the episode's steps, begun at -1, and the last two flat observations.
    """

    def __init__(self, states: bool = False):
        super().__init__(Script.observation_space, Script.action_space, 2, {})
        self.states = states
        for name, (source, offsets) in PAST.items():
            self.view_requirements[name] = ViewRequirement(source, shift=offsets)
        for name, (source, offsets) in FUTURE.items():
            self.view_requirements[name] = ViewRequirement(source, shift=offsets, used_for_compute_actions=False)
        if states:
            self.view_requirements["state_in_1"] = ViewRequirement("state_out_1", shift="-2:-1")
        self.seen: list[dict[str, Any]] = []

    def get_initial_state(self) -> list[Any]:
        return [np.full(1, -1.0), torch.full((5,), 7.0)] if self.states else []

    def forward(self, input_dict: Any, state: Any, seq_lens: Any) -> Any:
        output, _ = super().forward(input_dict, state, seq_lens)
        self.inputs = {name: input_dict[name].clone() for name in PAST}
        self.seen.append({**self.inputs, "state": state, "lens": seq_lens})
        if not self.states:
            return output, state
        count = (input_dict["obs_flat"][:, 2:3] * 0 + state[0].repeat_interleave(len(output) // len(seq_lens), 0)) + 1
        return output, [count, input_dict["obs_flat"]]

    def value_function(self) -> Any:
        return valued(self.inputs)


def valued(inputs: dict[str, Any]) -> Any:
    """The value of `Viewing`: every number that it sees of other steps counts."""
    total = 0
    for name, column in inputs.items():
        numbers = column.reshape(len(column), -1)
        weights: Any = (0.01 * (1 + np.arange(numbers.shape[1])) * len(name)).astype(np.float32)
        if isinstance(column, torch.Tensor):
            weights = torch.from_numpy(weights)
        total = total + (numbers * weights).sum(1)
    return total


def flat(obs: dict[str, Any]) -> np.ndarray:
    return np.array([*obs["where"], *np.eye(2)[obs["last"]]], np.float32)


def expected(
    steps: Sequence[dict[str, Any]], i: int, source: str, offsets: Sequence[int], *, after: bool = False
) -> Any:
    """What a view shows to step ``i``, by the rule; ``after``: to the observation that the step led to."""
    first = i
    while first and not (steps[first - 1]["terminated"] or steps[first - 1]["truncated"]):
        first -= 1
    episode = []
    for step in steps[first:]:
        episode.append(step)
        if step["terminated"] or step["truncated"]:
            break
    now = i - first + after
    if source == "new_obs":
        source, offsets = "obs", [offset + 1 for offset in offsets]
    if source == "obs":
        observed = [flat(step["obs"]) for step in episode] + [flat(episode[-1]["next_obs"])]
        shown = [
            observed[max(now + offset, 0)] if now + offset < len(observed) else np.zeros(5, np.float32)
            for offset in offsets
        ]
    else:
        names = {"actions": "action", "rewards": "reward", "terminateds": "terminated", "truncateds": "truncated"}
        inside = [0 <= now + offset < len(episode) for offset in offsets]
        shown = [
            episode[now + offset][names[source]] if there else 0 for offset, there in zip(offsets, inside, strict=True)
        ]
    return shown[0] if len(shown) == 1 else np.array(shown)


def collecting(mode: Any, kind: str, states: bool = False, **config: Any) -> Collector:
    settings = PolicyConfig(**config)
    policy = Policy(
        Script.observation_space, Script.action_space, settings, TorchRuntime("cpu"), Plan.with_model(Viewing(states))
    )
    policy.model.seen.clear()
    return Collector(VectorSource(vector_env(mode, kind)), policy)


def rows_of(policy: Policy, trajectory: Trajectory) -> tuple[Any, Any]:
    """Training rows, and the columns that the model sees of them in a gradient step."""
    clipped = RewardTransform(clip=True)(trajectory)
    batch = training_rows(policy, clipped, gae(gamma=GAMMA, lambda_=LAMBDA))
    inputs = policy.model_inputs(batch["obs"], views=batch["views"], training=True)
    return batch, {name: np.asarray(inputs[name]) for name in [*PAST, *FUTURE]}


def by_environment(trajectory: Trajectory, begun: Sequence[int]) -> list[tuple[int, int]]:
    """Environment and number of its step, for each valid step in the order of time."""
    counts, found = list(begun), []
    for t, b in np.argwhere(trajectory.valid):
        found.append((int(b), counts[b], int(t)))
        counts[b] += 1
    return found


@pytest.mark.spec(126, 127, 128, 129, 130)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", MODES)
def test_acting_and_training_see_what_the_rule_says(mode: Any, kind: str) -> None:
    collector = collecting(mode, kind)
    policy = collector.policy
    begun = [0, 0, 0]
    for steps in (5, 1, 7):  # fragments end anywhere; the next one sees what was before
        policy.model.seen.clear()
        trajectory = collector.gather(steps, explore=False)
        acting = [seen for seen in policy.model.seen if len(seen["prev_obs"]) == 3]
        _, training = rows_of(policy, trajectory)
        for row, (b, i, t) in enumerate(by_environment(trajectory, begun)):
            life = lived(b, 60)
            for name, (source, offsets) in PAST.items():
                wanted = expected(life, i, source, offsets)
                np.testing.assert_allclose(acting[t][name][b], wanted, err_msg=f"{name} acting, step {i} of {b}")
                np.testing.assert_allclose(training[name][row], wanted, err_msg=f"{name}, step {i} of {b}")
            known = begun[b] + int(trajectory.valid[:, b].sum())  # later steps are in the next trajectory
            for name, (source, offsets) in FUTURE.items():
                wanted = expected(life[:known], i, source, offsets)
                np.testing.assert_allclose(training[name][row], wanted, err_msg=f"{name}, step {i} of {b}")
        begun = [count + int(trajectory.valid[:, b].sum()) for b, count in enumerate(begun)]


@pytest.mark.spec(131)
@pytest.mark.parametrize("states", [False, True])
@pytest.mark.parametrize("mode", MODES)
def test_bootstraps_see_what_acting_would_have_seen(mode: Any, states: bool) -> None:
    collector = collecting(mode, "sync", states)
    begun = [0, 0, 0]
    for steps in (4, 6):
        trajectory = collector.gather(steps, explore=False)
        batch, _ = rows_of(collector.policy, trajectory)
        trajectory_steps = by_environment(trajectory, begun)
        if states:  # sequences come environment by environment
            trajectory_steps = sorted(trajectory_steps)
        for row, (b, i, t) in enumerate(trajectory_steps):
            life = lived(b, 60)
            own = {name: np.array([expected(life, i, *view)], np.float32) for name, view in PAST.items()}
            np.testing.assert_allclose(batch["vf_preds"][row], valued(own)[0], rtol=1e-5)
            if life[i]["truncated"] or t == steps - 1:
                led = {
                    name: np.array([expected(life, i, *view, after=True)], np.float32) for name, view in PAST.items()
                }
                ahead = 0 if life[i]["terminated"] else GAMMA * valued(led)[0]
                advantage = np.sign(life[i]["reward"]) + ahead - valued(own)[0]
                np.testing.assert_allclose(batch["advantages"][row], advantage, rtol=1e-4, atol=1e-4)
        begun = [count + int(trajectory.valid[:, b].sum()) for b, count in enumerate(begun)]


@pytest.mark.spec(87, 88, 107, 110)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mode", MODES)
def test_sequences_begin_with_the_states_of_the_steps_before(mode: Any, kind: str) -> None:
    collector = collecting(mode, kind, states=True)
    collector.policy.max_seq_len = 3
    begun = [0, 0, 0]
    for steps in (5, 7):
        collector.policy.model.seen.clear()
        trajectory = collector.gather(steps, explore=False)
        assert all(seen["lens"].tolist() == [1, 1, 1] for seen in collector.policy.model.seen)
        batch, _ = rows_of(collector.policy, trajectory)
        sequences = batch["sequences"]
        assert sequences.lens.sum() == trajectory.num_steps
        assert sequences.lens.max() <= 3
        order = sorted(by_environment(trajectory, begun))
        start = 0
        for s, length in enumerate(sequences.lens):
            b, i, t = order[start]
            life = lived(b, 60)
            since = 0
            while since < i and not (life[i - since - 1]["terminated"] or life[i - since - 1]["truncated"]):
                since += 1
            # The whole sequence is of one episode and without a gap.
            assert [step[2] for step in order[start : start + length]] == list(range(t, t + length))
            assert not any(life[i + k]["terminated"] or life[i + k]["truncated"] for k in range(length - 1))
            assert sequences.state[0][s].tolist() == [since - 1]
            seen = [flat(life[i + k]["obs"]) if since + k >= 0 else np.full(5, 7.0) for k in (-2, -1)]
            np.testing.assert_allclose(sequences.state[1][s], seen)
            start += length
        begun = [count + int(trajectory.valid[:, b].sum()) for b, count in enumerate(begun)]


@pytest.mark.parametrize("states", [False, True])
def test_minibatches_keep_views_and_states_with_their_rows(states: bool) -> None:
    collector = collecting(MODES[0], "sync", states)
    collector.policy.max_seq_len = 4
    trajectory = collector.gather(20, explore=False)
    batch, training = rows_of(collector.policy, trajectory)
    steps = {tuple(where): row for row, where in enumerate(np.asarray(batch["obs"][0]).tolist())}
    met = []
    for minibatch in batches_of(collector.policy, minibatches(collector.policy, batch, 13)):
        inputs = collector.policy.model_inputs(minibatch["obs"], views=minibatch["views"], training=True)
        rows = [steps[tuple(where)] for where in np.asarray(minibatch["obs"][0]).tolist()]
        met += rows
        np.testing.assert_allclose(minibatch["vf_preds"], batch["vf_preds"][rows])
        for name in [*PAST, *FUTURE]:
            np.testing.assert_allclose(inputs[name], training[name][rows])
        if states:
            sequences = minibatch["sequences"]
            firsts = np.cumsum(sequences.lens) - sequences.lens
            counts = np.asarray(minibatch["obs"][0])[firsts, 2] - 1
            np.testing.assert_allclose(sequences.state[0][:, 0], counts)
            assert abs(len(rows) - 13) <= 4 or len(met) == len(steps)
    assert sorted(met) == list(range(len(steps)))


def in_order(trajectory: Trajectory, column: Any, states: bool) -> np.ndarray:
    """Rows environment by environment; those of models with states are in that order already."""
    t, b = np.nonzero(trajectory.valid)
    return np.asarray(column)[slice(None) if states else np.lexsort((t, b))]


@pytest.mark.parametrize("states", [False, True])
@pytest.mark.parametrize("mode", MODES)
def test_what_fills_a_shorter_trajectory_up_is_never_seen(mode: Any, states: bool) -> None:
    collector = collecting(mode, "sync", states)
    collector.policy.max_seq_len = 4
    parts = [collector.gather(steps, explore=False) for steps in (3, 8, 1)]
    joined = Trajectory.side_by_side(parts)
    assert joined.valid.shape == (8, 9)
    together, each = rows_of(collector.policy, joined), [rows_of(collector.policy, part) for part in parts]
    for name in [*PAST, *FUTURE]:
        alone = [in_order(part, seen[name], states) for part, (_, seen) in zip(parts, each, strict=True)]
        np.testing.assert_array_equal(in_order(joined, together[1][name], states), np.concatenate(alone), err_msg=name)
    for name in ("vf_preds", "advantages", "value_targets", "action_logp"):
        alone = [in_order(part, batch[name], states) for part, (batch, _) in zip(parts, each, strict=True)]
        np.testing.assert_allclose(in_order(joined, together[0][name], states), np.concatenate(alone), rtol=1e-6)
    if states:
        lens = [batch["sequences"].lens for batch, _ in each]
        np.testing.assert_array_equal(together[0]["sequences"].lens, np.concatenate(lens))
        for i in range(2):
            before = [np.asarray(batch["sequences"].state[i]) for batch, _ in each]
            np.testing.assert_array_equal(together[0]["sequences"].state[i], np.concatenate(before))


@pytest.mark.spec(127)
def test_rewards_are_seen_as_the_environment_gave_them() -> None:
    # They are clipped for learning here; acting on a loaded policy sees the environment's own.
    collector = collecting(MODES[0], "sync")
    trajectory = collector.gather(3)
    assert np.abs(RewardTransform(clip=True)(trajectory).rewards).max() == 1
    assert np.abs(trajectory.rewards).max() > 1
    assert np.abs(trajectory.columns["rewards"][0]).max() > 1


def declared(view: ViewRequirement, name: str = "mine") -> Callable[[], Policy]:
    class Declares(Known):
        def __init__(self) -> None:
            super().__init__(Script.observation_space, Script.action_space, 2, {})
            self.view_requirements[name] = view

    return lambda: Policy(
        Script.observation_space, Script.action_space, PolicyConfig(), TorchRuntime("cpu"), Plan.with_model(Declares())
    )


@pytest.mark.spec(129)
@pytest.mark.parametrize(
    ("view", "message"),
    [
        (ViewRequirement("rewards", shift="0:2"), r"rewards' of step t \+ 2, which is not there yet"),
        (ViewRequirement("new_obs"), r"'obs' of step t \+ 1, which is not there yet"),
        (ViewRequirement("actions"), r"\['mine'\]: it looks at 'actions' of step t \+ 0"),
        (ViewRequirement("reward", shift=-1), r"no column 'reward' to look at. Did you mean 'rewards'\?"),
        (ViewRequirement("state_out_0", shift=-1), r"get_initial_state\(\) returns 0 states"),
    ],
)
def test_views_of_what_is_not_there_are_refused(view: ViewRequirement, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        declared(view)()


@pytest.mark.parametrize("nested", [False, True])
def test_nested_actions_are_seen_flat_or_nested(nested: bool) -> None:
    space = spaces.Dict([("b", spaces.Discrete(3)), ("a", spaces.Box(-1, 1, (2,)))])

    class Looks(Known):
        def __init__(self) -> None:
            config = {"_disable_action_flattening": nested}
            super().__init__(Script.observation_space, space, 7, config)
            self.view_requirements["prev_actions"] = ViewRequirement("actions", shift="-2:-1")

        def forward(self, input_dict: Any, state: Any, seq_lens: Any) -> Any:
            super().forward(input_dict, state, seq_lens)
            self.seen = input_dict["prev_actions"]
            return torch.zeros(len(input_dict["obs_flat"]), 7), state

    policy = Policy(Script.observation_space, space, PolicyConfig(), TorchRuntime("cpu"), Plan.with_model(Looks()))
    obs = {"where": np.zeros(3, np.float32), "last": 0}
    action, state = policy.compute_single_action(obs, explore=True)
    policy.compute_single_action(obs, state)
    seen = policy.model.seen
    if nested:
        assert seen["b"].shape == (1, 2)
        assert seen["a"].shape == (1, 2, 2)
        assert seen["b"][0].tolist() == [0, action["b"]]
    else:
        assert seen.shape == (1, 2, 3)
        assert seen[0, 0].tolist() == [0, 0, 0]
        assert seen[0, 1, 0] == action["b"]


@pytest.mark.spec(110)
def test_memories_look_back_once_for_every_chunk() -> None:
    # States 1 to 7 over seven steps, four looked back at, chunks of three, zeros before.
    class Counting(Known):
        def __init__(self) -> None:
            super().__init__(Script.observation_space, Script.action_space, 2, {})
            self.view_requirements["state_in_0"] = ViewRequirement("state_out_0", shift="-4:-1", batch_repeat_value=3)

        def get_initial_state(self) -> list[Any]:
            return [np.zeros(1, np.float32)]

        def forward(self, input_dict: Any, state: Any, seq_lens: Any) -> Any:
            output, _ = super().forward(input_dict, state, seq_lens)
            return output, [state[0][:, -1] + 1] if len(output) == len(seq_lens) else state

    plan = Plan.with_model(Counting())
    policy = Policy(Script.observation_space, Script.action_space, PolicyConfig(), TorchRuntime("cpu"), plan)
    policy.max_seq_len = 3
    envs = SyncVectorEnv([lambda: Script(0, ((9, "terminated"),))])
    trajectory = Collector(VectorSource(envs), policy).gather(7)
    sequences = training_rows(policy, trajectory, gae(gamma=0.9, lambda_=0.9))["sequences"]
    assert sequences.lens.tolist() == [3, 3, 1]
    assert sequences.state[0][..., 0].tolist() == [[0, 0, 0, 0], [0, 1, 2, 3], [3, 4, 5, 6]]
