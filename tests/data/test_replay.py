"""Replay: a draw is a trajectory of steps as they were lived, whatever resets the environments."""

from __future__ import annotations

import math
import tracemalloc
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from anyspace import DQN, PPO
from anyspace.algorithms.on_policy import gae, training_rows
from anyspace.data.free_memory import free_memory
from anyspace.data.replay import Replay
from anyspace.data.trajectory import Trajectory
from anyspace.data.transitions import transitions
from anyspace.errors import ConfigError
from anyspace.models import TorchModelV2, ViewRequirement
from anyspace.spaces.kinds.frames import StackedFrames
from anyspace.tree import leaves
from tests.support.scripted import MODES

every_mode = pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
ENDS = ((3, "terminated"), (1, "truncated"), (6, "truncated"), (2, "terminated"), (9, "terminated"))


def end_of(number: int, episode: int) -> tuple[int, str]:
    """How long an episode is, and how it ends."""
    return ENDS[(episode + number) % len(ENDS)]


class Diary(gym.Env[Any, Any]):
    """Every observation says which it is, and every reward which step it is for: 100 episode + t."""

    observation_space: gym.Space[Any] = spaces.Dict(
        where=spaces.Box(-np.inf, np.inf, (3,)),
        film=StackedFrames(0, 255, (2, 2, 3), np.uint8, stack=3),
        kind=spaces.Discrete(3),
    )
    action_space: gym.Space[Any] = spaces.Tuple([spaces.Discrete(2), spaces.Box(-1, 1, (2,))])

    def __init__(self, number: int = 0):
        self.number, self.episode = number, -1

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.episode, self.t = self.episode + 1, 0
        self.frames = [self._frame()] * 3
        return self._seen(), {}

    def step(self, action: Any) -> Any:
        reward = 100 * self.episode + self.t
        self.t += 1
        self.frames = [*self.frames[1:], self._frame()]
        length, how = end_of(self.number, self.episode)
        over = self.t >= length
        return self._seen(), reward, over and how == "terminated", over and how == "truncated", {"reward": reward}

    def _frame(self) -> Any:
        return np.full((2, 2, 1), (16 * self.episode + self.t) % 256, np.uint8)

    def _seen(self) -> Any:
        where = np.array([self.number, self.episode, self.t], np.float32)
        return {"where": where, "film": np.concatenate(self.frames, axis=-1), "kind": self.t % 3}


class Plain(Diary):
    """The same without film, with a choice alone."""

    observation_space = spaces.Box(-np.inf, np.inf, (3,))
    action_space = spaces.Discrete(2)

    def _seen(self) -> Any:
        return np.array([self.number, self.episode, self.t], np.float32)


def made(kind: type[Diary], mode: AutoresetMode, width: int = 3, **settings: Any) -> PPO:
    envs = SyncVectorEnv([lambda number=number: kind(number) for number in range(width)], autoreset_mode=mode)
    model = {"fcnet_hiddens": [4], "post_fcnet_hiddens": [4], "conv_filters": [[2, 2, 1]], **settings.pop("model", {})}
    return PPO(envs, {"model": model, "seed": 3, **settings}, preset="none")


def where_of(leaf: Any) -> list[tuple[int, ...]]:
    return [tuple(map(int, row)) for row in np.asarray(leaf).reshape(-1, 3)]


def position(algorithm: PPO) -> int:
    """Which leaf says where an observation is from."""
    return next(i for i, spec in enumerate(algorithm.policy.encode.specs) if spec.shape == (3,))


class Film(Diary):
    """The last four of its pictures, in episodes of 100 steps."""

    observation_space = StackedFrames(0, 255, (84, 84, 4), np.uint8, stack=4)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.frames = [self._frame()] * 4
        return self._seen(), {}

    def step(self, action: Any) -> Any:
        obs, reward, _, _, info = super().step(action)
        return obs, reward, False, self.t == 100, info

    def _frame(self) -> Any:
        return np.full((84, 84, 1), (16 * self.episode + self.t) % 256, np.uint8)

    def _seen(self) -> Any:
        return np.concatenate(self.frames, axis=-1)


def test_a_picture_is_kept_once() -> None:
    """A transition of 84x84 pictures takes one of them, and no memory before it is there."""
    model = {"conv_filters": [[2, 8, 8], [2, 11, 1]]}
    with closing(made(Film, AutoresetMode.SAME_STEP, 4, model=model)) as algorithm:
        tracemalloc.start()
        replay = Replay(algorithm.policy, 2_000, 4, 1)
        built = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        assert built < 2_000 * 84 * 84 / 100
        for _ in range(4):
            replay.add(algorithm.fleet.gather(500))
    assert len(replay) > 1_900
    ring = vars(replay._ring).values()
    taken = sum(leaf.nbytes for part in ring for leaf in leaves(part) if isinstance(leaf, np.ndarray))
    assert taken / 2_000 <= 1.05 * 84 * 84


FRAGMENTS = (1, 5, 2, 1, 1, 12, 3, 8, 1, 30, 2)


@every_mode
@pytest.mark.parametrize("prioritised", [False, True])
@pytest.mark.parametrize("horizon", [1, 3])
def test_windows_are_steps_as_they_were_lived(mode: AutoresetMode, prioritised: bool, horizon: int) -> None:
    """Each window is checked against what the environment says of itself, in a ring that runs over many times."""
    priorities = {"alpha": 0.6, "beta": 0.4, "eps": 1e-3} if prioritised else None
    rng, seen = np.random.default_rng(0), Counter[tuple[int, ...]]()
    with closing(made(Plain, mode)) as algorithm:
        replay = Replay(algorithm.policy, 45, 3, horizon, priorities)
        for steps in FRAGMENTS:
            replay.add(algorithm.fleet.collector.gather(steps))
            drawn = replay.draw(16, rng)
            if drawn is None:
                continue
            trajectory = drawn.trajectory
            assert trajectory.valid.shape == (horizon, 16)
            assert trajectory.valid[0].all()
            for b in range(16):
                check_window(trajectory, b)
            seen.update(where_of(trajectory.obs[0][0]))
            if prioritised:
                replay.reweigh(drawn.rows, rng.random(16).astype(np.float32))
                assert drawn.weights.max() == 1
                assert drawn.weights.min() > 0
        assert len(replay) == 45
        # All that is there is drawn, and nothing else.
        now = Counter[tuple[int, ...]]()
        for _ in range(60):
            again = replay.draw(64, rng)
            assert again is not None
            now.update(where_of(again.trajectory.obs[0][0]))
        assert len({number for number, _, _ in now}) == 3
        expected = latest_steps(algorithm, horizon)
        assert set(now) == expected


def latest_steps(algorithm: PPO, horizon: int) -> set[tuple[int, ...]]:
    """The steps that count among the latest 15 of each environment, the last ``horizon`` - 1 left out."""
    found: set[tuple[int, ...]] = set()
    source = algorithm.fleet.collector.source
    for number, env in enumerate(source.envs.envs):
        episode, t = env.unwrapped.episode, env.unwrapped.t
        lived: list[tuple[int, ...] | None] = []
        while len(lived) < 15:
            if t > 0:
                t -= 1
                lived.append((number, episode, t))
                continue
            episode -= 1
            t = end_of(number, episode)[0]
            if source.mode == AutoresetMode.NEXT_STEP:
                lived.append(None)  # the step that reset it
        found |= {step for step in lived[horizon - 1 : 15] if step is not None}
    return found


def check_window(trajectory: Trajectory, b: int) -> None:
    number, episode, t = map(int, trajectory.obs[0][0, b])
    length, how = end_of(number, episode)
    for k in range(len(trajectory.valid)):
        assert trajectory.valid[k, b]
        assert trajectory.rewards[k, b] == 100 * episode + t
        (after,) = (leaf[0] for leaf in trajectory.next_obs(k, b))
        assert tuple(map(int, after)) == (number, episode, t + 1)
        t += 1
        assert trajectory.terminated[k, b] == (t == length and how == "terminated")
        assert trajectory.truncated[k, b] == (t == length and how == "truncated")
        if t == length:
            return


@every_mode
@pytest.mark.parametrize("n", [1, 3])
def test_returns_discounts_and_what_follows(mode: AutoresetMode, n: int) -> None:
    with closing(made(Plain, mode)) as algorithm:
        replay = Replay(algorithm.policy, 90, 3, n)
        for steps in FRAGMENTS:
            replay.add(algorithm.fleet.collector.gather(steps))
        drawn = replay.draw(200, np.random.default_rng(1))
        assert drawn is not None
        batch = transitions(algorithm.policy, drawn.trajectory, n=n, gamma=0.9)
        assert (batch["weights"] == 1).all()
        rows = zip(
            where_of(batch["obs"][0]),
            batch["returns"].tolist(),
            batch["discounts"].tolist(),
            where_of(batch["next_obs"][0]),
            strict=True,
        )
        for (number, episode, t), returned, discount, after in rows:
            length, how = end_of(number, episode)
            m = min(n, length - t)
            assert returned == pytest.approx(sum(0.9**j * (100 * episode + t + j) for j in range(m)), rel=1e-6)
            assert discount == pytest.approx(0.0 if t + m == length and how == "terminated" else 0.9**m)
            assert after == (number, episode, t + m)


MODELS: dict[str, Any] = {
    "plain": {},
    "LSTM": {"use_lstm": True, "lstm_cell_size": 4, "lstm_use_prev_action": True, "lstm_use_prev_reward": True},
    "GRU": {"use_gru": True, "lstm_cell_size": 4},
    "GTrXL": {
        "use_attention": True,
        "attention_dim": 4,
        "attention_num_heads": 1,
        "attention_head_dim": 4,
        "attention_num_transformer_units": 1,
        "attention_memory_inference": 4,
        "attention_memory_training": 4,
        "attention_use_n_prev_actions": 2,
    },
}


@every_mode
@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_a_draw_has_the_columns_of_the_trajectory_that_it_was_written_from(mode: AutoresetMode, model: Any) -> None:
    """Film, views, states and previous actions too: what a step shows does not depend on how it was stored."""
    if model:
        model = {**model, "max_seq_len": 1}
    with (
        closing(made(Diary, mode, model=model)) as whole,
        closing(made(Diary, mode, model=model)) as cut,
    ):
        expected = training_rows(
            whole.policy, whole.fleet.collector.gather(30, explore=False), gae(gamma=0.9, lambda_=1.0)
        )
        replay = Replay(cut.policy, 90, 3, 1)
        for steps in (1, 5, 2, 1, 1, 12, 8):
            replay.add(cut.fleet.collector.gather(steps, explore=False))
        drawn = replay.draw(150, np.random.default_rng(1))
        assert drawn is not None
        batch = transitions(cut.policy, drawn.trajectory, n=1, gamma=0.9)
        known = {at: row for row, at in enumerate(where_of(expected["obs"][position(whole)]))}
        counted = batch["counted"].numpy() > 0 if model else np.ones(150, bool)
        rows = np.flatnonzero(counted)
        places = where_of(batch["obs"][position(cut)])
        mine = np.array([known[places[row]] for row in rows])
        for name in ("obs", "actions"):
            for ours, theirs in zip(leaves(batch[name]), leaves(expected[name]), strict=True):
                assert np.array_equal(put_together(ours, rows), put_together(theirs, mine))
        for name, window in expected.get("views", {}).items():
            ours, theirs = batch["views"][name][rows], window[mine]
            for one, other in zip(ours.leaves(), theirs.leaves(), strict=True):
                assert np.array_equal(ours.spread(one), theirs.spread(other))
        if model:
            for ours, theirs in zip(batch["sequences"].state, expected["sequences"].state, strict=True):
                assert np.allclose(ours, theirs[mine], atol=1e-6)


class Foresighted(TorchModelV2):
    """A model whose views of training look at the reward of this step and of the next two, and two observations on."""

    def __init__(self, *arguments: Any):
        super().__init__(*arguments)
        self.layer = torch.nn.Linear(3, self.num_outputs)
        self.view_requirements |= {
            name: ViewRequirement(column, shift=shift, used_for_compute_actions=False)
            for name, column, shift in (("coming", "rewards", "0:2"), ("later", "obs", 2))
        }

    def forward(self, input_dict: Any, state: Any, seq_lens: Any) -> Any:
        self.output = self.layer(input_dict["obs"].float())
        return self.output, state

    def value_function(self) -> Any:
        return self.output.sum(dim=1)


@every_mode
def test_views_that_look_ahead_see_what_came(mode: AutoresetMode) -> None:
    with closing(made(Plain, mode, model={"custom_model": Foresighted})) as algorithm:
        views = algorithm.policy.views
        assert views.lookahead == 3
        replay = Replay(algorithm.policy, 90, 3, 2 + views.lookahead)
        for steps in FRAGMENTS:
            replay.add(algorithm.fleet.collector.gather(steps))
        drawn = replay.draw(100, np.random.default_rng(1))
        assert drawn is not None
        batch = transitions(algorithm.policy, drawn.trajectory, n=2, gamma=0.9, lookahead=views.lookahead)
        for prefix in ("", "next_"):
            coming, later = (batch[f"{prefix}views"][name] for name in ("coming", "later"))
            rewards = coming.spread(*coming.leaves()).numpy()
            observed = later.spread(*later.leaves()).numpy()
            for row, (number, episode, t) in enumerate(where_of(batch[f"{prefix}obs"][0])):
                length, _ = end_of(number, episode)
                assert rewards[row].tolist() == [100 * episode + t + k if t + k < length else 0 for k in range(3)]
                assert observed[row].tolist() == ([number, episode, t + 2] if t + 2 <= length else [0, 0, 0])


def put_together(leaf: Any, rows: Any) -> Any:
    picked = leaf[rows]
    return np.asarray(picked.put_together() if hasattr(picked, "put_together") else picked)


def test_an_environment_that_begins_anew_leaves_a_truncated_transition_behind() -> None:
    with closing(made(Plain, AutoresetMode.SAME_STEP, width=1)) as algorithm:
        replay, collector = Replay(algorithm.policy, 50, 1, 3), algorithm.fleet.collector
        replay.add(collector.gather(6))  # episodes of 3, 1 and 2 of 6 steps
        collector.restart()
        replay.add(collector.gather(4))
        drawn = replay.draw(200, np.random.default_rng(0))
        assert drawn is not None
        batch = transitions(algorithm.policy, drawn.trajectory, n=3, gamma=0.5)
        columns = (batch["returns"].tolist(), batch["discounts"].tolist(), where_of(batch["next_obs"][0]))
        found = dict(zip(where_of(batch["obs"][0]), zip(*columns, strict=True), strict=True))
        assert found[(0, 2, 1)] == (201, 0.5, (0, 2, 2))
        assert found[(0, 2, 0)] == (200 + 0.5 * 201, 0.25, (0, 2, 2))
        assert (0, 3, 0) in found


def test_a_capacity_that_memory_has_no_room_for_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(made(Plain, AutoresetMode.SAME_STEP)) as algorithm:
        with pytest.raises(ConfigError, match=r"`replay_capacity`.*3 environments need at least 9: a window of 3"):
            Replay(algorithm.policy, 6, 3, 3)
        with pytest.raises(ConfigError, match=r"1 environment needs at least 2: a window of 2 steps each"):
            Replay(algorithm.policy, 1, 1, 2)
        monkeypatch.setattr("anyspace.data.replay.free_memory", lambda: 10**6)
        with pytest.raises(ConfigError, match=r"at 32 bytes a step that takes 0\.3 GiB.*Set it to 25,000 at most"):
            Replay(algorithm.policy, 10**7, 3, 1)


@pytest.mark.parametrize(("prioritised", "collected"), [(False, []), (True, ["reward"])])
def test_bytes_that_are_asked_for_are_those_that_are_taken(
    monkeypatch: pytest.MonkeyPatch, prioritised: bool, collected: list[str]
) -> None:
    priorities = {"alpha": 0.6, "beta": 0.4, "eps": 1e-3} if prioritised else None
    with closing(made(Plain, AutoresetMode.NEXT_STEP, collect_infos=collected)) as algorithm:
        replay = Replay(algorithm.policy, 3_000, 3, 1, priorities, len(collected))
        replay.add(algorithm.fleet.gather(30))
        monkeypatch.setattr("anyspace.data.replay.free_memory", lambda: 1)
        with pytest.raises(ConfigError, match=r"at (\d+) bytes a step") as refused:
            Replay(algorithm.policy, 3_000, 3, 1, priorities, len(collected))
        asked = int(str(refused.value).partition(" bytes a step")[0].rpartition(" ")[2])
    kept = [*vars(replay._ring).values(), *(vars(replay._priorities._tree).values() if replay._priorities else ())]
    taken = sum(leaf.nbytes for part in kept for leaf in leaves(part) if isinstance(leaf, np.ndarray))
    assert taken / 3_003 == pytest.approx(asked, rel=0.05)


def test_free_memory_is_the_least_of_what_the_system_says(tmp_path: Any) -> None:
    assert free_memory(tmp_path) is None
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal: 9 kB\nMemAvailable:    4 kB\n")
    assert free_memory(tmp_path) == 4096
    (tmp_path / "sys/fs/cgroup").mkdir(parents=True)
    (tmp_path / "sys/fs/cgroup/memory.max").write_text("max\n")
    (tmp_path / "sys/fs/cgroup/memory.current").write_text("1000\n")
    assert free_memory(tmp_path) == 4096
    (tmp_path / "sys/fs/cgroup/memory.max").write_text("3000\n")
    assert free_memory(tmp_path) == 2000
    # Copies of files make room.
    (tmp_path / "sys/fs/cgroup/memory.stat").write_text("anon 200\nfile 800\ninactive_file 700\nactive_file 100\n")
    assert free_memory(tmp_path) == 2700
    older = tmp_path / "sys/fs/cgroup/memory"
    older.mkdir()
    (older / "memory.limit_in_bytes").write_text("2500\n")
    (older / "memory.usage_in_bytes").write_text("1000\n")
    (older / "memory.stat").write_text("inactive_file 1\ntotal_inactive_file 600\n")
    assert free_memory(tmp_path) == 2100


def loaded(replay: Replay, state: Replay) -> Replay:
    for portion, _ in state.since(None):
        replay.load_portion(portion)
    replay.load_state(state.state())
    return replay


EXACT_PRIORITIES: Any = {"alpha": 0.6, "beta": 0.4, "eps": 1e-3}


@pytest.mark.parametrize("priorities", [None, EXACT_PRIORITIES], ids=["even", "priorities"])
@pytest.mark.parametrize(("size", "horizon"), [(40, 2), (15, 2), (9, 2), (40, 4), (9, 1)])
def test_a_ring_of_another_size_takes_what_fits(
    priorities: Any, size: int, horizon: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is as if the same steps had been written to it, but for those that had made room already."""
    monkeypatch.setattr("anyspace.data.ring.PORTION", 4000)  # a portion is longer than a small lane
    with closing(made(Diary, AutoresetMode.SAME_STEP)) as algorithm:
        collector = algorithm.fleet.collector
        saved = Replay(algorithm.policy, 15 * 3, 3, 2, priorities)
        direct = Replay(algorithm.policy, size * 3, 3, horizon, priorities)
        for steps in FRAGMENTS[:6]:
            trajectory = collector.gather(steps)
            saved.add(trajectory)
            direct.add(trajectory)
        assert saved._ring.counts.min() > 15 + 2, "it is full, and its rows do not begin with the first step"
        if priorities:
            drawn = saved.draw(40, np.random.default_rng(3))
            assert drawn is not None
            saved.reweigh(drawn.rows, np.arange(1.0, 41.0))
        other = loaded(Replay(algorithm.policy, size * 3, 3, horizon, priorities), saved)
        assert len(other) == min(len(saved), len(direct))
        lanes, times = other._windows(*other._starts())
        assert len(times), "there is something to compare"
        assert {*zip(lanes.tolist(), times.tolist(), strict=True)} == {
            (lane, time)
            for lane, time in np.stack(direct._windows(*direct._starts()), axis=1).tolist()
            if time >= saved._ring.oldest(np.array([lane]))[0]
        }
        ours, theirs = (ring.windows(lanes, times, horizon) for ring in (other._ring, direct._ring))
        require_same_windows(ours, theirs)
        if priorities:
            require_same_priorities(saved, other, lanes, times)
        more = collector.gather(7)
        for replay in (other, direct):
            replay.add(more)
        lanes, times = other._windows(*other._starts())
        require_same_windows(*(replay._ring.windows(lanes, times, horizon) for replay in (other, direct)))


def test_a_ring_takes_portions_that_are_longer_than_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anyspace.data.ring.PORTION", 4000)
    with closing(made(Diary, AutoresetMode.SAME_STEP)) as algorithm:
        saved, direct = (Replay(algorithm.policy, size * 3, 3, 2) for size in (60, 9))
        trajectory = algorithm.fleet.collector.gather(60)
        for replay in (saved, direct):
            replay.add(trajectory)
        assert len([*saved.since(None)]) > 1, "what one portion left behind makes room for the next"
        other = loaded(Replay(algorithm.policy, 9 * 3, 3, 2), saved)
        lanes, times = other._windows(*other._starts())
        assert len(times) == len(direct._windows(*direct._starts())[0]) > 0
        require_same_windows(*(replay._ring.windows(lanes, times, 2) for replay in (other, direct)))
        assert other._ring._finals.keys() == set(np.flatnonzero(other._ring._flags[3]).tolist())


def require_same_windows(ours: Trajectory, theirs: Trajectory) -> None:
    for name in ("obs", "rewards", "terminated", "truncated", "valid", "begins", "actions", "earlier", "columns"):
        for one, other in zip(leaves(getattr(ours, name)), leaves(getattr(theirs, name)), strict=True):
            assert np.array_equal(one, other), name
    assert np.array_equal(ours.final_obs.t, theirs.final_obs.t)
    for one, other in zip(ours.final_obs.leaves, theirs.final_obs.leaves, strict=True):
        assert np.array_equal(one, other)


def require_same_priorities(saved: Replay, other: Replay, lanes: Any, times: Any) -> None:
    """Those that could be drawn keep their priorities, others have the largest; all else is closed."""
    one, two = saved._priorities, other._priorities
    assert one is not None
    assert two is not None
    rows = other._ring.rows(lanes, times)
    before = one._tree[saved._ring.rows(lanes, times)]
    assert np.array_equal(two._tree[rows], np.where(before > 0, before, one._largest))
    assert len({*before.tolist()}) > 3
    assert math.isclose(two.total, two._tree[rows].sum())


def test_a_ring_takes_priorities_where_there_were_none() -> None:
    with closing(made(Plain, AutoresetMode.SAME_STEP)) as algorithm:
        even = Replay(algorithm.policy, 45, 3, 2)
        even.add(algorithm.fleet.collector.gather(9))
        weighed = loaded(Replay(algorithm.policy, 60, 3, 2, EXACT_PRIORITIES), even)
        assert weighed._priorities is not None
        assert weighed._priorities.total == len(weighed._windows(*weighed._starts())[0])


@pytest.mark.parametrize("lanes", [1, 2, 4])
def test_a_ring_of_other_environments_is_refused(lanes: int) -> None:
    with closing(made(Plain, AutoresetMode.SAME_STEP)) as algorithm:
        saved = Replay(algorithm.policy, 45, 3, 2)
        saved.add(algorithm.fleet.collector.gather(9))
        with pytest.raises(ValueError, match=f"it holds steps of 3 environments, but there are {lanes} here"):
            loaded(Replay(algorithm.policy, 45, lanes, 2), saved)


def test_state_is_restored() -> None:
    with closing(made(Diary, AutoresetMode.SAME_STEP)) as algorithm:
        settings: Any = {"alpha": 0.6, "beta": 0.4, "eps": 1e-3}
        first, second = (Replay(algorithm.policy, 45, 3, 2, settings) for _ in range(2))
        for steps in FRAGMENTS[:6]:
            first.add(algorithm.fleet.collector.gather(steps))
        loaded(second, first)
        more = algorithm.fleet.collector.gather(4)
        for replay in (first, second):
            replay.add(more)
        drawn = [replay.draw(20, np.random.default_rng(2)) for replay in (first, second)]
        assert drawn[0] is not None
        assert drawn[1] is not None
        assert np.array_equal(drawn[0].rows, drawn[1].rows)
        for ours, theirs in zip(drawn[0].trajectory.obs, drawn[1].trajectory.obs, strict=True):
            assert np.array_equal(ours, theirs)
        assert len(first) == len(second)
        assert math.isclose(drawn[0].weights.sum(), drawn[1].weights.sum())


def test_as_many_environments_go_on_however_workers_share_them(tmp_path: Path) -> None:
    keys: dict[str, Any] = {"min_sample_timesteps_per_iteration": 40, "num_steps_sampled_before_learning_starts": 20}
    keys |= {"store_buffer_in_checkpoints": True, "model": {"fcnet_hiddens": [4]}, "preset": "none"}
    with closing(DQN("CartPole-v1", num_envs_per_env_runner=2, **keys)) as algorithm:
        algorithm.train()
        algorithm.save(tmp_path / "saved")
    for workers, each in ((2, 1), (1, 2)):
        shared = {"num_env_runners": workers, "num_envs_per_env_runner": each, "fleet": "serial"}
        with closing(DQN.load(tmp_path / "saved", **shared)) as again:
            before = len(again.replay)
            assert again.train()["timesteps_total"] >= 80
            assert len(again.replay) > before
