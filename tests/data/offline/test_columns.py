"""Columns in every form they come in, cut into pieces of episodes, with their faults named."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete, Text, Tuple

from anyspace import tree
from anyspace.algorithms.marwil import MARWILConfig
from anyspace.data.offline.columns import ColumnReader
from anyspace.data.offline.recording import Recording, ends_of, trajectory_of
from anyspace.errors import ConfigError, ObservationError
from anyspace.execution.backends import backend_of
from anyspace.policy.policy import Policy

VECTOR = Box(-1, 1, (2,))
PARTS = Dict([("z", Box(-1, 1, (2,))), ("kind", Discrete(3, start=5)), ("map", Box(0, 255, (2, 2), np.uint8))])
SMALL = {"fcnet_hiddens": [4]}


def policy(obs: Any = VECTOR, actions: Any = None, **config: Any) -> Policy:
    from anyspace.algorithms.layers import overridden

    settings = overridden(MARWILConfig(), {"model": SMALL, "input": "sampler", **config})
    runtime = backend_of("torch").runtime(settings)
    return Policy(obs, Discrete(2) if actions is None else actions, settings, runtime)


def columns(rows: int = 4, **changes: Any) -> dict[str, Any]:
    numbers = np.arange(rows) / 10
    found = {
        "obs": np.stack([numbers, -numbers], axis=1),
        "new_obs": np.stack([numbers + 0.1, -numbers - 0.1], axis=1),
        "actions": np.arange(rows) % 2,
        "rewards": np.arange(rows) + 1.0,
        "terminateds": np.zeros(rows, bool),
    }
    return {name: value for name, value in {**found, **changes}.items() if value is not None}


def read(given: dict[str, Any], *spaces: Any, **options: Any) -> Recording:
    config = options.pop("config", {})
    return ColumnReader(policy(*spaces, **config), **options)(given, "file.json, line 3")


# ------------------------------------------------------------------------------------------ observations


def test_observations_in_each_of_their_forms():
    raw = {"z": [[0.1, 0.2], [0.3, 0.4]], "kind": [5, 7], "map": [[[0, 1], [2, 3]], [[4, 5], [6, 255]]]}
    flat = [[0.1, 0.2, 1, 0, 0, 0, 1, 2, 3], [0.3, 0.4, 0, 0, 1, 4, 5, 6, 255]]
    encoded = {'obs["z"]': raw["z"], 'obs["kind"]': [0, 2], 'obs["map"]': raw["map"]}
    found = [read(columns(2, obs=obs, new_obs=obs), PARTS) for obs in (raw, flat, encoded, np.array(flat))]
    for recording in found:
        assert [leaf.dtype for leaf in recording.obs] == [np.float32, np.int64, np.uint8]
        np.testing.assert_array_equal(recording.obs[0], np.array(raw["z"], np.float32))
        np.testing.assert_array_equal(recording.obs[1], [0, 2])
        np.testing.assert_array_equal(recording.obs[2], raw["map"])


def test_parts_of_a_tuple_are_not_taken_for_flat_vectors_of_as_many_numbers():
    parts = ([0, 1, 0, 1, 1], [2, 1, 0, 0, 2])
    for obs in (parts, [[*part] for part in parts]):
        found = read(columns(5, obs=obs, new_obs=obs), Tuple([Discrete(2), Discrete(3)]))
        assert [leaf.tolist() for leaf in found.obs] == [*parts]


def test_an_index_is_a_number_or_one_hot():
    for obs in ([5, 7], [[1, 0, 0], [0, 0, 1]], {"obs": [0, 2]}):
        assert read(columns(2, obs=obs, new_obs=obs), Discrete(3, start=5)).obs[0].tolist() == [0, 2]


def test_what_varies_in_length_is_listed():
    recording = read(columns(2, obs=["ab", "b"], new_obs=["b", "b"]), Text(3, charset="ab"))
    assert [leaf.tolist() for leaf in recording.obs] == [[2, 1], [[0, 1, 0], [1, 0, 0]]]


@pytest.mark.parametrize(
    ("obs", "space", "text"),
    [
        ([[0.1, 0.2], [0.1, np.nan]], VECTOR, r"line 3, row 1: obs: expected a finite number, got nan"),
        ([5, 8], Discrete(3, start=5), r"line 3, row 1: obs: expected a value in 5\.\.7, got 8"),
        ([[0.1, 0.2], [0.1, 0.2, 0.3]], VECTOR, "'obs': .*obs: expected an array"),
        ([[0.1], [0.2]], VECTOR, r"column 'obs': obs: expected shape"),
        ([[1, 0, 0], [1, 0, 0.5]], Discrete(3, start=5), r"row 1: slot 2 of the flat observation is 0\.5"),
        ([[1, 0, 0], [1, 0, 0.01]], Discrete(3, start=5), r"row 1: slot 2 of the flat observation is 0\.01"),
        ({"obs": [0, 3]}, Discrete(3, start=5), r"row 1: obs: expected a value in 5\.\.7, got 8"),
        ({"obs": [0, 1.5]}, Discrete(3, start=5), r"row 1: obs: expected values of int64, got 1\.5"),
        ({"obs": [[0]]}, Discrete(3, start=5), r"obs: expected an array \[N\], got shape \(1, 1\)"),
        ({"z": [[0, 0]] * 2, "kind": [5, 9], "map": [[[0, 0]] * 2] * 2}, PARTS, r'row 1: obs\["kind"\]: .* got 9'),
        ({"z": [[0, 0]] * 2, "kind": [5, 5]}, PARTS, r"'obs': .*map"),
    ],
)
def test_observations_outside_their_space_are_named(obs, space, text):
    with pytest.raises(ObservationError, match=text):
        read(columns(2, obs=obs, new_obs=None), space)


@pytest.mark.parametrize(
    ("obs", "space"),
    [([[0.1], [0.2]], VECTOR), ([5, 8], Discrete(3, start=5)), ([[0.1, 0.2], [np.nan, 0]], VECTOR)],
)
def test_no_environment_is_blamed_for_what_files_hold(obs, space):
    with pytest.raises(ObservationError, match=r"\. Write what the space says into the files") as raised:
        read(columns(2, obs=obs, new_obs=None), space)
    assert "environment return" not in str(raised.value)
    assert "Mend" not in str(raised.value)


def test_names_of_other_libraries_are_told():
    given = columns(obs=None, new_obs=None, terminateds=None, observations=[0], terminals=[0], next_observations=[0])
    with pytest.raises(
        ConfigError, match="`observations` is called `obs` here, `terminals` is called `terminateds` here"
    ):
        read(given)


def test_numbers_outside_a_box_are_treated_as_a_live_environments(caplog):
    obs = [[0.5, 3.0], [0.1, 0.2]]
    assert read(columns(2, obs=obs, new_obs=obs)).obs[0].tolist() == np.array(obs, np.float32).tolist()
    assert "file.json, line 3, row 0: obs: expected a value in [-1.0, 1.0], got 3.0" in caplog.text
    with pytest.raises(ObservationError, match="row 0: obs: expected a value in"):
        read(columns(2, obs=obs, new_obs=obs), config={"out_of_bounds": "error"})
    clipped = read(columns(2, obs=obs, new_obs=obs), config={"out_of_bounds": "clip"})
    assert clipped.obs[0][0].tolist() == [0.5, 1.0]


# ----------------------------------------------------------------------------------------------- actions

NESTED = Dict([("b", Discrete(3, start=-1)), ("a", Tuple((Box(-2, 6, (2,)), MultiDiscrete([2, 4]))))])


def test_actions_flat_nested_and_the_environments():
    flat = [[2, 0.5, -1, 1, 3], [0, 1, 1, 0, 0]]
    nested = {"b": [2, 0], "a": [[[0.5, -1], [1, 1]], [[1, 3], [0, 0]]]}
    of_env = {"b": [1, -1], "a": [[[4, -2], [6, 6]], [[1, 3], [0, 0]]]}
    for actions, normalized in (
        (flat, True),
        (nested, True),
        (of_env, False),
        ([[1, 4, -2, 1, 3], [-1, 6, 6, 0, 0]], False),
    ):
        found = read(columns(2, actions=actions), VECTOR, NESTED, normalized=normalized).actions
        assert found["b"].tolist() == [2, 0]
        np.testing.assert_allclose(found["a"][0], [[0.5, -1], [1, 1]])
        assert found["a"][1].tolist() == [[1, 3], [0, 0]]
        assert [leaf.dtype for leaf in tree.leaves(found)] == [np.int64, np.float32, np.int64]


def test_a_policy_that_does_not_scale_reads_either_kind():
    config = {"normalize_actions": False}
    samples = read(columns(2, actions=[[0.5], [-1]]), VECTOR, Box(-2, 6, (1,)), config=config)
    of_env = read(columns(2, actions=[[4], [-2]]), VECTOR, Box(-2, 6, (1,)), config=config, normalized=False)
    np.testing.assert_allclose(samples.actions, [[4], [-2]])
    np.testing.assert_allclose(of_env.actions, [[4], [-2]])


@pytest.mark.parametrize(
    ("actions", "space", "normalized", "text"),
    [
        ([0, 2], Discrete(2), True, r"row 1: action: expected a whole number from 0 to 1, got 2.*_normalized` off"),
        ([0, 0.5], Discrete(2), True, r"row 1: action: expected a whole number from 0 to 1, got 0\.5"),
        (
            [[0, 1], [0, 4]],
            MultiDiscrete([2, 4]),
            True,
            r"row 1: action\[1\]: expected a whole number from 0 to 3, got 4",
        ),
        ([[0.5], [np.inf]], Box(-1, 1, (1,)), True, r"row 1: action\[0\]: expected a finite number, got inf"),
        ([0, 1], Discrete(2, start=1), False, r"row 0: action: expected a value in 1\.\.2, got 0"),
        ([[0.5], [1.2]], Box(-1, 1, (1,)), False, r"row 1: action: expected a value in \[-1\.0, 1\.0\], got 1\.2"),
        ([[0, 0, 0, 0, 0], [0, 0, 0, 1, 9]], NESTED, True, r'row 1: action\["a"\]\[1\]\[1\]: .* got 9'),
    ],
)
def test_actions_outside_their_space_are_named(actions, space, normalized, text):
    with pytest.raises(ObservationError, match=f"file.json, line 3, {text}"):
        read(columns(2, actions=actions), VECTOR, space, normalized=normalized)


def test_columns_of_another_form_are_named():
    for changes, text in (
        ({"actions": None}, "there is no column 'actions'; there are new_obs, obs, rewards, terminateds"),
        ({"rewards": None}, "there is no column 'rewards'"),
        ({"rewards": [1.0]}, r"rewards: expected 4 numbers, one for each step, got shape \(1,\)"),
        ({"actions": [0]}, r"action: expected an array \[4\], got shape \(1,\)"),
        ({"eps_id": [1]}, "eps_id: expected 4 rows"),
        ({"new_obs": [[0, 0]]}, "new_obs: expected 4 rows, as many as `obs` has, got 1"),
        ({"action_mask": [[1, 1]]}, "action_mask: expected 4 rows"),
    ):
        with pytest.raises(ConfigError, match=f"line 3: {text}"):
            read(columns(**changes))
    with pytest.raises(ConfigError, match="expected 5 numbers for each action"):
        read(columns(2, actions=[[0, 0], [0, 0]]), VECTOR, NESTED)
    with pytest.raises(ConfigError, match="nested or flat"):
        read(columns(2, actions={"b": [0, 0]}), VECTOR, NESTED)
    with pytest.raises(ObservationError, match="row 2: rewards: expected a finite number, got nan"):
        read(columns(rewards=[0, 0, np.nan, 0]))
    assert read(columns(rewards=None, terminateds=None), needs_values=False).num_steps == 4


@pytest.mark.parametrize("name", ["obs", "new_obs"])
def test_parts_of_other_numbers_of_rows_are_named(name):
    short = {'obs["z"]': [[0.1, 0.2]], 'obs["kind"]': [0, 2], 'obs["map"]': np.zeros((2, 2, 2), np.uint8)}
    whole = {**short, 'obs["z"]': [[0.1, 0.2], [0.1, 0.2]]}
    with pytest.raises(ObservationError, match=rf"'{name}': expected as many rows of each part, got .*z.*1, .*kind.*2"):
        read(columns(2, **{"obs": whole, "new_obs": whole, name: short}), PARTS)


def test_an_action_that_its_mask_forbids_is_named():
    masks = [[1, 1], [0, 1], [1, 1], [1, 0]]
    recording = read(columns(action_mask=masks, actions=[0, 1, 1, 0]))
    assert recording.obs[1].tolist() == [[bool(entry) for entry in row] for row in masks]
    with pytest.raises(ObservationError, match="row 1: the mask forbids the action that was taken, 0"):
        read(columns(action_mask=masks, actions=[0, 0, 1, 0]))
    reader = ColumnReader(policy())
    reader(columns(action_mask=masks, actions=[0, 1, 1, 0]), "a")
    with pytest.raises(ConfigError, match="b: there is no column 'action_mask', other than in what was read before"):
        reader(columns(), "b")
    with pytest.raises(ObservationError, match="row 0: the mask allows no action at all"):
        read(columns(1, action_mask=[[0, 0]]))


# ------------------------------------------------------------------------------------------------ pieces


def pieces(recording: Recording) -> list[tuple[list[float], bool]]:
    """Return the rewards of each piece, and whether it was the end for good."""
    found, begin = [], 0
    for last in np.flatnonzero(recording.terminated | recording.truncated):
        found.append((recording.rewards[begin : last + 1].tolist(), bool(recording.terminated[last])))
        begin = last + 1
    return found


def test_episodes_are_cut_where_they_end_or_their_number_changes():
    ended = [False, True, False, False, False]
    assert pieces(read(columns(5, terminateds=ended))) == [([1, 2], True), ([3, 4, 5], False)]
    cut = read(columns(5, terminateds=ended, truncateds=[False, False, False, True, False]))
    assert pieces(cut) == [([1, 2], True), ([3, 4], False), ([5], False)]
    # What the last step led to bootstraps it.
    np.testing.assert_allclose(cut.final_obs[0][:, 0], [0.2, 0.4, 0.5], rtol=1e-6)
    numbered = read(columns(5, terminateds=ended, eps_id=[1, 1, 2, 3, 3]))
    assert pieces(numbered) == [([1, 2], True), ([3], False), ([4, 5], False)]
    # A step that is missing ends a piece.
    assert pieces(read(columns(4, t=[3, 4, 6, 7]))) == [([1, 2], False), ([3, 4], False)]


def test_large_numbers_of_steps_follow_each_other():
    found = read(columns(4, t=2**24 + np.array([1, 2, 3, 9]), new_obs=None))
    assert found.truncated.tolist() == [False, True]


def test_without_numbers_of_episodes_what_a_step_led_to_tells_whether_the_next_follows():
    shuffled = columns(4)
    order = [2, 3, 0, 1]
    shuffled = {name: column[order] for name, column in shuffled.items()}
    assert pieces(read(shuffled)) == [([3, 4], False), ([1, 2], False)]


def test_without_new_obs_the_last_observation_of_a_piece_bootstraps_it():
    ended = [False, True, False, False, False]
    recording = read(columns(5, terminateds=ended, new_obs=None))
    assert pieces(recording) == [([1, 2], True), ([3, 4], False)]
    np.testing.assert_allclose(recording.final_obs[0][1:, 0], [0.4], rtol=1e-6)
    assert read(columns(1, new_obs=None)).num_steps == 0
    # Where no value is learnt, every step counts.
    assert read(columns(5, terminateds=ended, new_obs=None), needs_values=False).num_steps == 5


def test_ends_of_pieces():
    ends, terminated = np.array([False, True, False, False, False]), np.array([False, True, False, False, False])
    with_next, without = ends_of(ends, terminated, has_next=True), ends_of(ends, terminated, has_next=False)
    assert [part.tolist() for part in with_next] == [[0, 1, 2, 3, 4], [1, 4], [1, 4]]
    assert [part.tolist() for part in without] == [[0, 1, 2, 3], [1, 3], [1, 4]]
    alone = ends_of(np.array([True, True, True]), np.array([False, True, False]), has_next=False)
    assert [part.tolist() for part in alone] == [[1], [0], [1]]


def test_a_trajectory_of_recordings():
    ended = [False, True, False, False]
    reader = ColumnReader(policy())
    trajectory = trajectory_of(
        policy(), [reader(columns(terminateds=ended), "a"), reader(columns(2, action_logp=[-0.5, -0.7]), "b")]
    )
    assert trajectory.valid.shape == (6, 1)
    assert trajectory.num_steps == 6
    assert trajectory.terminated[:, 0].tolist() == [False, True, False, False, False, False]
    assert trajectory.truncated[:, 0].tolist() == [False, False, False, True, False, True]
    np.testing.assert_allclose(
        trajectory.next_obs(np.arange(6), np.zeros(6, int))[0][:, 0] * 10, [1, 2, 3, 4, 1, 2], 1e-5
    )
    np.testing.assert_allclose(trajectory.action_logp[:, 0], [np.nan] * 4 + [-0.5, -0.7], rtol=1e-6)
    assert trajectory.firsts()[:6].tolist() == [0, 0, 2, 2, 4, 4]
    assert trajectory.episodes == []
