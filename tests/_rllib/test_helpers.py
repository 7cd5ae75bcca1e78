"""Small helpers, schedules, filters, arrays and spaces of the old stack: what `rllib_2_40.json` does not tell."""

from __future__ import annotations

import logging
import random
import threading

import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete, Tuple

from anyspace import nesting, spaces, tree
from anyspace._rllib import arrays, helpers, preprocessors, schedules, space_utils
from anyspace._rllib.postprocessing import adjust_nstep, compute_advantages
from anyspace._rllib.sample_batch import SampleBatch
from anyspace.errors import ObservationError

# ----------------------------------------------------------------------------------------------- helpers


def test_deprecated_things_say_so_and_work(caplog):
    @helpers.Deprecated(new="other", error=False)
    def double(x):
        return 2 * x

    @helpers.Deprecated(help="Leave it out.", error=False)
    class Old:
        def __init__(self, x):
            self.x = x

    class Older(Old):
        pass

    @helpers.Deprecated(old="gone", error=KeyError)
    def gone():
        pass

    with caplog.at_level(logging.WARNING, logger=helpers.__name__):
        assert double(3) == 6
        assert Older(4).x == 4
    assert "`double` has been deprecated. Use `other` instead." in caplog.text
    assert "`Old` has been deprecated. Leave it out." in caplog.text
    with pytest.raises(KeyError, match="`gone` has been deprecated"):
        gone()
    with pytest.raises(ValueError, match="deprecated"):
        helpers.deprecation_warning("x", error=True)


def test_mixins_lists_and_contexts():
    first, second = type("First", (), {"x": 1}), type("Second", (), {"x": 2})
    lineage = [kind.__name__ for kind in helpers.add_mixins(dict, [first, second]).__mro__]
    assert [name for name in lineage if name != "new_base"] == ["First", "Second", "dict", "object"]
    assert helpers.add_mixins(first, [second], reversed=True).x == 1
    assert helpers.add_mixins(dict, None) is dict
    assert helpers.force_list({1}) == [1]
    assert helpers.force_tuple("ab") == ("ab",)
    with helpers.NullContextManager() as nothing:
        assert nothing is None


def test_nested_dicts_are_updated():
    original = {"a": {"type": "x", "k": 1}, "b": {"k": 1}, "c": 3}
    updated = helpers.deep_update(
        original, {"a": {"type": "y"}, "b": {"new": 2}}, False, ["b"], override_all_if_type_changes=["a"]
    )
    assert updated is original
    assert original == {"a": {"type": "y"}, "b": {"k": 1, "new": 2}, "c": 3}
    assert helpers.deep_update(original, {"b": {"z": 1}}, override_all_key_list=["b"])["b"] == {"z": 1}
    with pytest.raises(KeyError, match="unknown key 'd'; there are a, b, c"):
        helpers.deep_update(original, {"d": 1})
    base = {"a": {"b": 1}}
    assert helpers.merge_dicts(base, {"a": {"c": 2}}) == {"a": {"b": 1, "c": 2}}
    assert base == {"a": {"b": 1}}


def test_locks_defaults_seeds_and_summaries(monkeypatch):
    class Locked:
        _lock = threading.RLock()

        @helpers.with_lock
        def get(self):
            """Return three."""
            return 3

    assert Locked().get() == 3
    assert Locked.get.__doc__ == "Return three."
    lengths = helpers.LambdaDefaultDict(len, ab=7)
    assert (lengths["abc"], lengths["ab"], dict(lengths)) == (3, 7, {"ab": 7, "abc": 3})
    with pytest.raises(TypeError, match="got 3"):
        helpers.LambdaDefaultDict(3)
    helpers.update_global_seed_if_necessary(seed=5)
    first = random.random(), np.random.random()
    helpers.update_global_seed_if_necessary()
    helpers.update_global_seed_if_necessary(seed=5)
    assert (random.random(), np.random.random()) == first
    asked = []
    monkeypatch.setattr("anyspace._rllib.torch.gradients.set_torch_seed", asked.append)
    helpers.update_global_seed_if_necessary("torch", 5)
    assert asked == [5]
    batch = SampleBatch({"obs": np.array([1.0, 2.0]), "names": np.array(["a", "b"])})
    told = helpers.summarize({"batch": batch, "rest": (np.zeros(0), [3])})
    assert "np.ndarray((2,), dtype=float64, min=1.000, max=2.000, mean=1.500)" in told
    assert "head=" in told
    assert "np.ndarray((0,), dtype=float64)" in told


# ------------------------------------------------------------------------------------ schedules, filters


def test_schedules_refuse_what_cannot_be():
    with pytest.raises(AssertionError, match="schedule_timesteps is 0"):
        schedules.LinearSchedule(0, 1.0)
    with pytest.raises(AssertionError, match="schedule_timesteps is 0"):
        schedules.ExponentialSchedule(0)
    with pytest.raises(AssertionError, match="steps do not rise"):
        schedules.PiecewiseSchedule([(5, 1.0), (1, 2.0)])
    with pytest.raises(AssertionError, match=r"step 10 is outside .*outside_value"):
        schedules.PiecewiseSchedule([(0, 1.0), (10, 3.0)])(10)
    steps = schedules.PiecewiseSchedule([(0, 1.0), (10, 3.0)], interpolation=lambda left, right, share: left)
    assert steps(9) == 1.0
    assert schedules.PolynomialSchedule(100, 0.5)(200) == 0.5


# ------------------------------------------------------------------------------------- arrays and spaces


def test_arrays():
    assert arrays.one_hot(np.float64(1.9), depth=3).tolist() == [0, 1, 0]
    with pytest.raises(ValueError, match="leave batch_axis on"):
        arrays.flatten_inputs_to_1d_tensor(np.ones(2), time_axis=True, batch_axis=False)
    nested = {"m": np.array([[1, 2], [0, 0]]), "x": np.ones((2, 3))}
    space = Dict({"m": MultiDiscrete([2, 3]), "x": Box(0, 1, (3,))})
    found = arrays.flatten_inputs_to_1d_tensor(nested, space)
    assert found.tolist() == [[0, 1, 0, 0, 1, 1, 1, 1], [1, 0, 1, 0, 0, 1, 1, 1]]
    with pytest.raises(TypeError, match="does not support item assignment"):
        arrays.make_action_immutable({"x": 1})["x"] = 2
    assert arrays.is_package_installed("numpy")
    assert not arrays.is_package_installed("no-such-package")


def test_pictures(tmp_path):
    cv2 = pytest.importorskip("cv2")
    picture = np.zeros((4, 6, 3), np.uint8)
    picture[..., 0] = 100
    assert arrays.rgb2gray(picture)[0, 0] == 30
    assert arrays.resize(picture, height=2, width=3).shape == (2, 3, 3)
    cv2.imwrite(str(tmp_path / "x.png"), picture)
    assert arrays.imread(str(tmp_path / "x.png"))[0, 0].tolist() == [100, 0, 0]


def test_parts_can_be_added_to_a_space():
    space = space_utils.FlexDict({})
    space["x"] = Discrete(3)
    assert space.contains({"x": 2})
    assert space == space_utils.FlexDict(x=Discrete(3))
    assert repr(space) == "FlexDict(x:Discrete(3))"
    with pytest.raises(AssertionError, match="not both"):
        space_utils.FlexDict({}, x=Discrete(3))
    with pytest.raises(AssertionError, match="takes a Space, got 3"):
        space["y"] = 3


def test_original_spaces():
    space = Dict({"x": Discrete(3)})
    assert space_utils.get_original_space(spaces.get_preprocessor(space).observation_space) == space


def test_dummy_batches():
    space = Dict({"x": Discrete(3), "y": Tuple([Box(-1, 1, (2,)), MultiDiscrete([2, 3])])})
    dummy = space_utils.get_dummy_batch_for_space(space, 4, fill_value="random", time_size=2, time_major=True)
    assert (dummy["x"].shape, dummy["y"][0].shape, dummy["y"][1].shape) == ((2, 4), (2, 4, 2), (2, 4, 2))
    hot = space_utils.get_dummy_batch_for_space(space, 2, one_hot_discrete=True)
    assert (hot["x"].shape, hot["y"][1].shape) == ((2, 3), (2, 5))
    assert space_utils.get_dummy_batch_for_space(Discrete(3), 0, fill_value="random").shape == ()
    with pytest.raises(ValueError, match="at least 1"):
        space_utils.get_dummy_batch_for_space(space, 0, time_size=2)


def test_batches_of_batches():
    rows = [{"a": space_utils.BatchedNdArray(np.ones((2, 3)))}, {"a": space_utils.BatchedNdArray(np.zeros((1, 3)))}]
    assert space_utils.batch(rows, individual_items_already_have_batch_dim="auto")["a"].shape == (3, 3)
    plain = [{"a": np.ones(3)}, {"a": np.zeros(3)}]
    assert space_utils.batch(plain, individual_items_already_have_batch_dim="auto")["a"].shape == (2, 3)
    with pytest.raises(ValueError, match="empty"):
        space_utils.batch([])


def test_values_take_the_dtypes_of_their_space():
    with pytest.raises(ValueError, match=r"shape \(2,\), got 3"):
        space_utils.convert_element_to_space_type(3, np.ones(2))
    assert space_utils.convert_element_to_space_type(2.5, 1) == 2.5


def test_nested_spaces_as_dicts_and_tuples():
    space = Dict({"b": Discrete(2), "a": Tuple([Discrete(3), Discrete(4)])})
    struct = nesting.unwrapped(space)
    assert struct == {"a": (Discrete(3), Discrete(4)), "b": Discrete(2)}
    assert nesting.unwrapped({"z": space, "y": [Discrete(5)]})["y"] == [Discrete(5)]
    assert tree.leaves_by_key({"b": 1, "a": (2, {"d": 3, "c": 4})}) == [2, 4, 3, 1]


# --------------------------------------------------------------------------- preprocessors, trajectories


def test_every_preprocessor_counts_as_one():
    assert issubclass(spaces.OneHotPreprocessor, preprocessors.Preprocessor)
    assert isinstance(spaces.get_preprocessor(Discrete(3)), preprocessors.Preprocessor)
    assert not isinstance(3, preprocessors.Preprocessor)

    class Mine(preprocessors.Preprocessor):
        def _init_shape(self, obs_space, options):
            return (2, 2)

        def transform(self, obs):
            return np.full((2, 2), obs)

    class Other(preprocessors.Preprocessor):
        pass

    mine = Mine(Discrete(3), {"dim": 3})
    assert (mine.shape, mine.size, mine.observation_space.shape) == ((2, 2), 4, (2, 2))
    assert not isinstance(mine, Other)
    assert isinstance(mine, Mine)
    array = np.zeros(6)
    mine.write(2, array, 1)
    assert array.tolist() == [0, 2, 2, 2, 2, 0]
    with pytest.raises(NotImplementedError, match=r"Other must implement _init_shape\(obs_space, options\)"):
        Other(Discrete(3))


def test_built_in_preprocessors_write_and_check():
    space = Dict({"a": Discrete(3), "b": Box(-1, 1, (2,))})
    prep = spaces.get_preprocessor(space)
    array = np.zeros(7, np.float32)
    prep.write({"a": 2, "b": np.float32([0.5, -0.5])}, array, 1)
    assert array.tolist() == [0, 0, 0, 1, 0.5, -0.5, 0]
    with pytest.raises(ObservationError):
        prep.check_shape({"a": 3, "b": np.float32([0, 0])})
    assert spaces.OneHotPreprocessor(Discrete(3), {"dim": 3}).size == 3


def test_advantages_need_values():
    batch = SampleBatch({"rewards": np.ones(2)})
    with pytest.raises(AssertionError, match="use_gae needs use_critic"):
        compute_advantages(batch, 0.0, use_critic=False)
    with pytest.raises(AssertionError, match="'vf_preds'"):
        compute_advantages(batch, 0.0)
    given = compute_advantages(batch, 0.0, 0.5, 1.0, rewards=np.array([2.0, 4.0]), vf_preds=np.array([1.0, 1.0]))
    assert given["value_targets"].tolist() == [4, 4]


def test_transitions_over_several_steps_of_one_episode():
    columns = {"obs": np.arange(3.0), "new_obs": np.arange(1.0, 4.0), "rewards": np.array([1.0, 2.0, 4.0])}
    batch = SampleBatch({**columns, "terminateds": [False, False, True]})
    adjust_nstep(5, 0.5, batch)
    assert (batch["rewards"].tolist(), batch["new_obs"].tolist()) == ([3, 4, 4], [3, 3, 3])
    assert batch["terminateds"].tolist() == [True] * 3
    for dtype, expected in ((np.int64, np.float32), (bool, np.float32), (np.float64, np.float64)):
        batch = SampleBatch({**columns, "rewards": np.array([1, 0, 1], dtype)})
        adjust_nstep(2, 0.5, batch)
        np.testing.assert_array_equal(batch["rewards"], np.array([1, 0.5, 1], expected), strict=True)
    with pytest.raises(AssertionError, match="split_by_episode"):
        adjust_nstep(2, 0.5, SampleBatch({**columns, "terminateds": [True, False, True]}))


def test_actions_are_normalised_within_bounds_alone():
    space = Dict(a=Box(-2.0, 4.0, (2,)), b=Box(0.0, np.inf, (1,)), c=Box(3, 7, (), np.int64))
    action = {"a": np.float32([-2, 1]), "b": np.float32([5]), "c": np.int64(5)}
    normal = space_utils.normalize_action(action, space)
    assert (normal["a"].tolist(), normal["b"].tolist(), normal["c"]) == ([-1, 0], [5], 5)
    again = space_utils.unsquash_action({**normal, "c": np.int64(2)}, space)
    assert (again["a"].tolist(), again["b"].tolist(), again["c"]) == ([-2, 1], [5], 5)
    narrow, wide = Box(np.float32([0, 3]), np.float32([1, 3])), Box(-3e38, 3e38, (1,))
    assert space_utils.normalize_action(np.float32([0.5, 3]), narrow).tolist() == [0, 0]
    assert space_utils.unsquash_action(np.float32([0, 0.5]), narrow).tolist() == [0.5, 3]
    half = np.float32([1.5e38])
    np.testing.assert_array_equal(space_utils.unsquash_action(np.float32([0.5]), wide), half, strict=True)
    np.testing.assert_allclose(space_utils.normalize_action(half, wide), np.float32([0.5]), rtol=1e-6)
