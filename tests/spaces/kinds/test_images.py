import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete

from anyspace.spaces.kinds.atari import AtariPixels
from anyspace.spaces.kinds.frames import Image, StackedFrames
from anyspace.spaces.kinds.images import ImageLayout, image_layout
from anyspace.spaces.leaves import describe_images, iter_specs, structure


def picture(*shape):
    return Box(0, 255, shape, np.uint8)


@pytest.mark.spec(72)
@pytest.mark.parametrize(
    ("shape", "layout"),
    [
        ((84, 84, 4), ImageLayout(84, 84, 4)),
        ((210, 160, 3), ImageLayout(210, 160, 3)),
        ((84, 84, 1), ImageLayout(84, 84, 1)),
        ((7, 5, 2), ImageLayout(7, 5, 2)),
        ((3, 84, 84), ImageLayout(84, 84, 3, channels_first=True)),
        ((1, 42, 21), ImageLayout(42, 21, 1, channels_first=True)),
        ((4, 6, 5), ImageLayout(6, 5, 4, channels_first=True)),
        ((16, 84, 84), ImageLayout(84, 84, 16, channels_first=True)),
    ],
    ids=str,
)
def test_the_order_of_axes_is_read_off_the_shape(shape, layout):
    assert image_layout(picture(*shape)) == layout


@pytest.mark.parametrize("shape", [(3, 84, 3), (4, 4, 4), (3, 3, 84), (17, 84, 84), (84, 3, 84)], ids=str)
def test_where_that_says_nothing_the_channels_come_last(shape):
    assert image_layout(picture(*shape)) == ImageLayout(*shape)


@pytest.mark.parametrize(
    ("shape", "layout"),
    [
        ((84, 84), ImageLayout(84, 84, 1)),
        ((8, 9), ImageLayout(8, 9, 1)),
        ((7, 84), None),
        ((84, 7), None),
        ((84,), None),
        ((), None),
        ((5, 84, 84, 3), ImageLayout(84, 84, 15)),
        ((5, 3, 84, 84), ImageLayout(84, 84, 15, channels_first=True)),
        ((2, 5, 3, 84, 84), None),
        ((0, 84, 84), None),
    ],
    ids=str,
)
def test_other_ranks(shape, layout):
    assert image_layout(picture(*shape)) == layout


@pytest.mark.parametrize(
    "space",
    [
        Box(0, 1, (84, 84, 3)),
        Box(0, 255, (84, 84, 3), np.float32),
        Box(0, 254, (84, 84, 3), np.uint8),
        Box(1, 255, (84, 84, 3), np.uint8),
        Box(
            np.zeros((9, 9, 3), np.uint8),
            np.append(np.full(242, 255), 1).reshape(9, 9, 3).astype(np.uint8),
            dtype=np.uint8,
        ),
        Box(0, 255, (84, 84, 3), np.int16),
    ],
    ids=["shares", "floats", "low maximum", "high minimum", "one low maximum", "wide integers"],
)
def test_only_boxes_of_all_bytes_are_pictures(space):
    assert image_layout(space) is None


def test_a_declared_order_is_believed():
    assert image_layout(Image((3, 84, 84))) == ImageLayout(3, 84, 84)
    assert image_layout(Image((84, 84, 3), channels_first=True)) == ImageLayout(84, 3, 84, channels_first=True)
    assert image_layout(Image((2, 3, 9, 9))) == ImageLayout(3, 9, 18)
    assert image_layout(Image((2, 3, 9, 9), channels_first=True)) == ImageLayout(9, 9, 6, channels_first=True)
    assert image_layout(StackedFrames(0, 255, (4, 84, 84), stack=2)) == ImageLayout(4, 84, 84)
    assert image_layout(StackedFrames(0, 1, (84, 84, 4), np.float32, stack=4)) is None


@pytest.mark.spec(72)
def test_a_guess_is_told_and_how_to_contradict_it():
    space = Dict(
        camera=picture(3, 84, 96),
        pixels=picture(84, 84, 3),
        declared=Image((3, 84, 84), channels_first=True),
        screen=AtariPixels(),
        floats=Box(0, 1, (3, 84, 84)),
        number=Discrete(3),
    )
    told = describe_images(iter_specs(structure(space)))
    assert told == [
        'obs["camera"]: Box(0, 255, (3, 84, 96), uint8) is read as a picture of 84 x 96 pixels with its 3 channels'
        " first. If they come last, declare anyspace.spaces.Image((3, 84, 96), channels_first=False) in the"
        " environment."
    ]
    assert image_layout(Image((3, 84, 96), channels_first=False)) == ImageLayout(3, 84, 96)
