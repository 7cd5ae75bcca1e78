"""The console's memory and screen as spaces."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from gymnasium.spaces import Box

from anyspace.errors import EnvironmentSetupError
from anyspace.spaces.kinds.atari import AtariPixels, AtariRam, shrink, warp_pixels


def area_means(picture: np.ndarray, side: int) -> np.ndarray:
    """Shrink [H, W, C]: each new pixel is the mean of the area it covers, parts of pixels counted by their share."""

    def shares(old: int) -> np.ndarray:
        edges = np.arange(side + 1) * old / side
        pixels = np.arange(old)
        overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
        return np.maximum(overlap, 0) / (old / side)

    rows, columns = shares(picture.shape[0]), shares(picture.shape[1])
    return np.stack([rows @ channel @ columns.T for channel in np.moveaxis(picture, -1, 0)], axis=-1)


def screens(*lead: int, height: int = 210) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (*lead, height, 160, 3), dtype=np.uint8)


def close(came: np.ndarray, expected: np.ndarray) -> None:
    """Equal but for the rounding to whole numbers."""
    assert came.dtype == np.uint8
    np.testing.assert_allclose(came, expected, atol=0.51)


@pytest.mark.spec(26)
@pytest.mark.parametrize("dim", [84, 100, 160])
def test_pictures_are_cropped_and_shrunk_by_areas(dim: int) -> None:
    screen = screens()
    close(warp_pixels(screen, dim, grayscale=False), area_means(screen[25:185].astype(float), dim))


@pytest.mark.spec(26)
@pytest.mark.parametrize("dim", [50, 42, 1])
def test_a_small_picture_is_shrunk_in_two_steps(dim: int) -> None:
    screen = screens()
    first = shrink(screen[25:185], 84)
    close(first, area_means(screen[25:185].astype(float), 84))
    warped = warp_pixels(screen, dim, grayscale=False)
    close(warped, area_means(first.astype(float), dim))
    if dim == 50:  # where the areas of one step are not made of whole ones of the other
        assert np.abs(warped - area_means(screen[25:185].astype(float), dim)).max() > 5, "not in one step"


@pytest.mark.spec(29)
@pytest.mark.parametrize("dim", [84, 42])
def test_gray_is_the_mean_of_the_channels(dim: int) -> None:
    screen = screens()
    gray = warp_pixels(screen, dim, grayscale=True)
    assert gray.shape == (dim, dim, 1)
    close(gray, warp_pixels(screen, dim, grayscale=False).mean(axis=-1, keepdims=True))


@pytest.mark.parametrize("dim", [84, 42])
def test_a_gray_screen_is_cropped_and_shrunk_as_each_channel_is(dim: int) -> None:
    screen = screens(2)
    pixels = AtariPixels((210, 160), dim=dim)
    came = pixels.warp(screen[..., 1])
    assert came.shape == (2, *pixels.stored_shape) == (2, dim, dim, 1)
    np.testing.assert_array_equal(came, AtariPixels(dim=dim).warp(screen)[..., 1:2])


def test_any_batch_and_any_height() -> None:
    batch = screens(2, 3, height=250)
    pixels = AtariPixels((250, 160, 3), dim=20)
    warped = pixels.warp(batch)
    assert warped.shape == (2, 3, *pixels.stored_shape)
    np.testing.assert_array_equal(warped[1, 2], pixels.warp(batch[1, 2]))
    close(warped[0, 1], area_means(shrink(batch[0, 1, 25:225], 84).astype(float), 20))
    assert pixels.warp(batch[:0]).shape == (0, 3, 20, 20, 3)


@pytest.mark.parametrize(
    ("space", "features"),
    [
        (AtariPixels(), [-1, 0, 0.9921875]),
        (AtariPixels(zero_mean=False), [0, 128 / 255, 1]),
        (AtariRam(), [-1, 0, 0.9921875]),
    ],
    ids=["pixels", "pixels not centred", "memory"],
)
def test_how_bytes_become_features(space: Any, features: list[float]) -> None:
    raw = np.stack([np.full(space.shape, byte, np.uint8) for byte in (0, 128, 255)])
    stored = space.warp(raw) if isinstance(space, AtariPixels) else raw
    assert stored.shape[1:] == space.stored_shape
    for rows, feature in zip(stored, features, strict=True):
        np.testing.assert_allclose((rows - space.shift) * space.scale, feature, rtol=1e-6)


EVERY = [
    AtariRam(),
    AtariPixels(),
    AtariPixels((250, 160, 3)),
    AtariPixels((210, 160)),
    AtariPixels(dim=42),
    AtariPixels(grayscale=True),
    AtariPixels(zero_mean=False),
]


@pytest.mark.parametrize("space", EVERY, ids=repr)
def test_they_are_boxes_of_bytes_that_differ_from_others(space: Any) -> None:
    assert (space.dtype, space.low.min(), space.high.max()) == (np.uint8, 0, 255)
    for twin in (copy.deepcopy(space), pickle.loads(pickle.dumps(space)), eval(repr(space))):
        assert twin == space
        assert twin.stored_shape == space.stored_shape
    assert [other == space for other in EVERY].count(True) == 1
    assert space != Box(0, 255, space.shape, np.uint8)


@pytest.mark.parametrize(
    "arguments",
    [{"dim": 0}, {"shape": (50, 160, 3)}, {"shape": (210, 160, 1)}, {"shape": (210,)}, {"shape": (210, 160, 3, 1)}],
    ids=str,
)
def test_what_is_no_screen(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="more than 50 rows and three colours or none, and its picture a side"):
        AtariPixels(**arguments)


def test_without_opencv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(EnvironmentSetupError, match=r"OpenCV.*pip install 'anyspace\[atari\]'"):
        AtariPixels().warp(screens())


def test_atari_is_imported_by_those_who_need_it() -> None:
    code = (
        "import sys, anyspace.algorithms, anyspace.data.vector;"
        " print([name for name in ('cv2', 'ale_py') if name in sys.modules])"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "[]"
