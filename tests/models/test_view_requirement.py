import json

import numpy as np
import pytest
from gymnasium.spaces import Box

from anyspace.errors import ModelError
from anyspace.models import ViewRequirement


@pytest.mark.spec(126)
@pytest.mark.parametrize(
    ("shift", "offsets"),
    [
        (-1, [-1]),
        (0, [0]),
        (2, [2]),
        (np.int64(-4), [-4]),
        ("-3:0", [-3, -2, -1, 0]),
        ("-4:0:2", [-4, -2, 0]),
        ("-50:-1", list(range(-50, 0))),
        ("0:2", [0, 1, 2]),
        (" -2:-1 ", [-2, -1]),
        ([0, -3, -1], [0, -3, -1]),
        ((-2, 0), [-2, 0]),
        (np.arange(-2, 1), [-2, -1, 0]),
        ([-1], [-1]),
    ],
)
def test_shifts_are_read(shift, offsets):
    view = ViewRequirement("obs", shift=shift)
    assert view.shift_arr.tolist() == list(view.offsets) == offsets
    assert view.single == (len(offsets) == 1)
    assert view.lookback == max(0, -min(offsets))


@pytest.mark.spec(126)
@pytest.mark.parametrize("shift", ["-3", "a:b", "1:2:3:4", "-3:0:0", "-1:-3", [], "", [-1.5, 0], -1.5, None])
def test_shifts_that_name_no_step_are_refused(shift):
    with pytest.raises(ModelError, match="shift"):
        ViewRequirement("obs", shift=shift)


def test_old_call_sites_give_their_arguments_by_position():
    space = Box(-1, 1, (2,))
    view = ViewRequirement("state_out_0", space, "-2:-1", None, 20, True, False)
    assert (view.data_col, view.space, view.batch_repeat_value) == ("state_out_0", space, 20)
    assert view.used_for_compute_actions
    assert not view.used_for_training


def test_a_view_is_written_and_read_again():
    view = ViewRequirement("obs", Box(-1, 1, (2,)), shift="-3:-1", used_for_training=False, batch_repeat_value=5)
    plain = json.loads(json.dumps(view.to_dict()))
    assert plain["shift"] == "-3:-1"
    assert ViewRequirement.from_dict(plain) == view
    assert (view.shift_from, view.shift_to) == (-3, -1)
    several = ViewRequirement("obs", shift=(0, -2))
    assert several.to_dict()["shift"] == [0, -2]
    assert ViewRequirement.from_dict(several.to_dict()) == ViewRequirement("obs", shift=np.array([0, -2]))
    assert (several.shift_from, several.shift_to, several.shift_step) == (None, None, None)
    assert (view.shift_step, ViewRequirement("obs", shift="-4:0:2").shift_step) == (1, 2)


def test_a_view_has_a_space():
    assert ViewRequirement("rewards").space == ViewRequirement("rewards", None).space == Box(-np.inf, np.inf, ())
    with pytest.raises(ModelError, match=r"the space is 7, but expected is a space of Gymnasium"):
        ViewRequirement("rewards", 7)


def test_a_view_may_be_changed():
    view = ViewRequirement("obs", shift=-1)
    assert view.offsets == (-1,)
    view.used_for_training, view.shift = False, "-2:0"
    assert view.offsets == (-2, -1, 0)
    assert not view.used_for_training
