import copy
import pickle

import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, OneOf, Tuple

from anyspace.spaces import Repeated, spec
from anyspace.spaces.kinds.frames import Image, StackedFrames


@pytest.mark.parametrize(
    ("space", "shown"),
    [
        (Image((4, 5, 3)), "Image((4, 5, 3), channels_first=False)"),
        (Image((2, 3, 4, 5), channels_first=True), "Image((2, 3, 4, 5), channels_first=True)"),
        (StackedFrames(0, 255, (4, 5, 6), stack=3), "StackedFrames(0, 255, (4, 5, 6), uint8, stack=3)"),
    ],
    ids=["image", "images", "frames"],
)
def test_they_are_boxes_that_survive_copies(space, shown):
    assert space.sample() in space
    assert space.dtype == np.uint8
    assert repr(space) == shown
    for twin in (copy.deepcopy(space), pickle.loads(pickle.dumps(space))):
        assert twin == space
        assert repr(twin) == shown
    plain = Box(0, 255, space.shape, np.uint8)
    assert space != plain
    assert plain != space


def test_what_is_declared_makes_a_difference():
    assert Image((4, 5, 3)) != Image((4, 5, 3), channels_first=True)
    assert Image((4, 5, 3)) != Image((4, 5, 4))
    assert StackedFrames(0, 255, (4, 5, 6), stack=3) != StackedFrames(0, 255, (4, 5, 6), stack=2)
    assert StackedFrames(0, 1, (6,), np.float32, stack=3) != StackedFrames(0, 2, (6,), np.float32, stack=3)


def test_an_image_holds_every_byte():
    assert np.full((2, 2, 1), 255, np.uint8) in Image((2, 2, 1))
    assert np.zeros((2, 2, 1), np.uint8) in Image((2, 2, 1))


@pytest.mark.parametrize("shape", [(5,), (4, 5), (1, 2, 3, 4, 5)], ids=str)
def test_an_image_has_channels(shape):
    with pytest.raises(ValueError, match=r"rank 3\) or several \(rank 4\), got \("):
        Image(shape)


@pytest.mark.parametrize(
    ("shape", "stack"), [((4, 4, 6), 4), ((4, 4, 6), 0), ((), 1)], ids=["uneven", "none", "rank 0"]
)
def test_the_frames_of_a_stack_are_whole(shape, stack):
    with pytest.raises(ValueError, match=r"at least 1 and divide the last axis of the shape \("):
        StackedFrames(0, 255, shape, stack=stack)


@pytest.mark.parametrize("stack", ["2", 2.0, True, None], ids=repr)
def test_a_stack_is_counted_in_whole_frames(stack):
    with pytest.raises(ValueError, match=f"stack is {stack!r}, but it must be a whole number of at least 1"):
        StackedFrames(0, 255, (4, 4, 2), stack=stack)
    assert type(StackedFrames(0, 255, (4, 4, 2), stack=np.int64(2)).stack) is int


def test_every_frame_of_a_stack_has_the_same_bounds():
    low = np.tile(np.array([0, 5], np.float32), (3, 2))
    assert StackedFrames(low, low + 1, dtype=np.float32, stack=2).stack == 2
    for bounds in ((low, low + np.arange(4, dtype=np.float32)), (low - np.arange(4, dtype=np.float32), low)):
        with pytest.raises(ValueError, match=r"`(low|high)` differs from frame to frame, .* takes all 2 places"):
            StackedFrames(*bounds, dtype=np.float32, stack=2)


def test_frames_are_followed_from_step_to_step_where_there_is_a_step_before():
    frames = StackedFrames(0, 255, (4, 5, 6), stack=3)
    space = Dict(always=Tuple((frames,)), listed=Repeated(frames, 2), chosen=OneOf([Dict(a=Tuple((frames,))), frames]))
    assert [leaf.stack for leaf in spec(space)] == [3, 1, 1, 1, 1, 1]
