"""Pictures of an environment, written into an MP4 or a GIF while it plays."""

from __future__ import annotations

import errno
import logging
import math
from collections.abc import Generator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np

from anyspace.data.rendering import Picture
from anyspace.drafts import draft_path
from anyspace.errors import ConfigError, EnvironmentSetupError
from anyspace.execution.run_files import probe_folder

_LOG = logging.getLogger("anyspace")

SMALLEST = 192
"""Pixels of the shorter side below which pictures are enlarged, so that a grid of a few pixels can be seen."""
LARGEST = 1_920
"""Pixels of the longer side that enlarging leaves a picture within."""
GIF_WIDTH = 320
"""Pixels of a GIF's width at most."""
GIF_RATE = 25.0
"""Pictures per second of a GIF at most; browsers slow quicker ones down."""
GIF_PICTURES = 600
"""Pictures of a GIF at most: of a longer film, every second one is left out, as often as it takes."""
MP4_HINT = "pip install 'anyspace[video]'"


class _Reel(Protocol):
    """A file that pictures are added to."""

    def add(self, picture: Picture) -> None:
        """Add a picture, of the same size as the ones before."""

    def finish(self) -> None:
        """Write what is missing."""


class FilmError(ConfigError):
    """A file of a film cannot be written."""


class Film:
    """The pictures of one or more episodes, in one or more files. Use it as a context manager.

    Nothing is left of a film that an error cuts short. Pictures that are all of one colour are warned of, and those of
    another size than the first.

    Args:
        files: the endings of their names, ``.mp4`` or ``.gif``, say what is written.

    Raises:
        ConfigError: an ending is of no known kind, or what writes MP4 is not installed.
        EnvironmentSetupError: at the end of the context, no picture came.
        FilmError: at the end of the context, a file could not be written. An environment that hands over its pictures
            has no part in that, so that no step of it fails.
    """

    def __init__(self, files: Sequence[Path]):
        # An environment may change the current folder.
        self.files = [Path(file).expanduser().absolute() for file in files]
        self._drafts = {file: draft_path(file) for file in self.files}
        self._reels: list[_Reel] = []
        self._shape: tuple[int, ...] | None = None
        self._fault: OSError | None = None
        self._is_blank, self._has_fitted = True, False
        for file in files:
            require_writer(Path(file))

    def require_room(self) -> None:
        """Raise :class:`FilmError` where no file can be written, before anything is played."""
        for file in self.files:
            try:
                probe_folder(file.parent)
            except OSError as fault:
                raise self._error(fault) from fault

    def _error(self, fault: OSError) -> FilmError:
        return FilmError(
            f"{', '.join(map(str, self.files))} cannot be written: {fault.strerror or str(fault).splitlines()[0]}."
        )

    def add(self, picture: Picture, rate: float) -> None:
        """Add a picture [height, width, 3], of which ``rate`` are a second.

        A film has pictures of one size: one of another than the first is cut or filled up, with a warning.
        """
        is_first = self._shape is None
        if self._shape is None:
            self._shape = picture.shape
        if self._fault is not None:
            return
        if picture.shape != self._shape:
            picture = self._fitted(picture, self._shape)
        self._is_blank = self._is_blank and bool((picture == picture[0, 0]).all())
        even = _even(picture)
        try:
            if is_first:
                self._begin(even, rate)
            for reel in self._reels:
                reel.add(even)
        except OSError as fault:
            self._fault = fault

    def _fitted(self, picture: Picture, shape: tuple[int, ...]) -> Picture:
        """Return what a picture shows within another shape, black where it shows nothing."""
        if not self._has_fitted:
            self._has_fitted = True
            _LOG.warning(
                f"{', '.join(map(str, self.files))}: render() returned a picture of shape {picture.shape} after one of"
                f" {shape}. A film has pictures of one size, so larger ones are cut, and smaller ones have black beside"
                " them."
            )
        height, width, _ = map(min, picture.shape, shape)
        fitted = np.zeros(shape, np.uint8)
        fitted[:height, :width] = picture[:height, :width]
        return fitted

    def _begin(self, picture: Picture, rate: float) -> None:
        height, width, _ = picture.shape
        for file in self.files:
            file.parent.mkdir(parents=True, exist_ok=True)
        for file, draft in self._drafts.items():  # one by one: those there are closed if the next cannot be made
            self._reels.append(_KINDS[file.suffix.lower()](draft, (width, height), rate))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        reels, self._reels = self._reels, []
        faults: list[BaseException] = [fault for fault in (error, self._fault) if fault is not None]
        for reel in reels:
            try:
                reel.finish()
            except Exception as fault:  # the others are closed all the same
                faults.append(fault)
        try:
            if not faults and self.files and not reels:
                raise EnvironmentSetupError(f"no picture came for {', '.join(map(str, self.files))}.")
            for file, draft in {} if faults else self._drafts.items():
                draft.replace(file)
            if not faults and self.files and self._is_blank:
                _LOG.warning(
                    f"{', '.join(map(str, self.files))}: every picture is of one colour. Look at what render() of the"
                    " environment returns with render_mode='rgb_array'; some draw only where there is a display"
                    " (SDL_VIDEODRIVER=x11)."
                )
        finally:
            for draft in self._drafts.values():
                draft.unlink(missing_ok=True)
        if error is None and faults:
            if isinstance(faults[0], OSError):
                raise self._error(faults[0]) from faults[0]
            raise faults[0]


def require_writer(file: Path) -> None:
    """Raise :class:`ConfigError` unless a film can be written into a file of that name."""
    kind = file.suffix.lower()
    if kind not in _KINDS:
        raise ConfigError(f"the video is to be {file}, but videos end in {' or '.join(_KINDS)}.")
    if kind == ".mp4" and not writes_mp4():
        raise ConfigError(f"{file}: an MP4 is written by imageio-ffmpeg, which is not installed: {MP4_HINT}.")


def writes_mp4() -> bool:
    """Return whether an MP4 can be written: imageio-ffmpeg is installed, and finds its ffmpeg."""
    try:
        import imageio_ffmpeg

        imageio_ffmpeg.get_ffmpeg_exe()
    except (ImportError, RuntimeError):
        return False
    return True


def video_files(folder: Path, steps: int) -> list[Path]:
    """Return what the videos of a policy with so many steps are called: an MP4, if one can be written, and a GIF."""
    return [folder / f"step-{steps:09d}{kind}" for kind in _KINDS if kind != ".mp4" or writes_mp4()]


class _Mp4:
    """H.264, as browsers and editors play it.

    Args:
        file: that is written.
        size: width and height, even.
        rate: pictures per second.
    """

    def __init__(self, file: Path, size: tuple[int, int], rate: float):
        import imageio_ffmpeg

        self._file = file
        self._pipe: Generator[None, Any, None] = imageio_ffmpeg.write_frames(
            str(file),
            size,
            fps=rate,
            codec="libx264",
            macro_block_size=2,
            quality=7,
            ffmpeg_log_level="error",
            output_params=["-preset", "veryfast"],
        )
        self._pipe.send(None)

    def add(self, picture: Picture) -> None:
        self._pipe.send(np.ascontiguousarray(picture))

    def finish(self) -> None:
        self._pipe.close()
        # ffmpeg writes the index of the pictures last, and says nothing where there is no room for it.
        if b"moov" not in self._file.read_bytes():
            raise OSError(errno.ENOSPC, "the file has no end; is the disk full?")


class _Gif:
    """A GIF of few and small pictures, which plays as quickly as the film.

    Args:
        file: that is written.
        size: width and height of the pictures.
        rate: pictures per second.
    """

    def __init__(self, file: Path, size: tuple[int, int], rate: float):
        self._file, self._rate = file, rate
        scale = min(1.0, GIF_WIDTH / size[0])
        self._size = (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))
        self._every, self._came = math.ceil(rate / GIF_RATE), 0
        self._kept: list[Any] = []

    def add(self, picture: Picture) -> None:
        from PIL import Image

        if self._came % self._every == 0:
            small = Image.fromarray(picture).resize(self._size, Image.Resampling.BOX)
            self._kept.append(small.quantize(128, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE))
        self._came += 1
        if len(self._kept) > GIF_PICTURES:
            self._kept, self._every = self._kept[::2], self._every * 2

    def finish(self) -> None:
        # A GIF counts in hundredths of a second, and in two bytes: a picture that stays is shown for a minute at most.
        shown = 10 * round(min(max(2, 100 * self._every / self._rate), 6_000))
        pictures, durations = [self._kept[0]], [shown]
        for picture in self._kept[1:]:
            if picture.tobytes() == pictures[-1].tobytes() and picture.getpalette() == pictures[-1].getpalette():
                durations[-1] = min(durations[-1] + shown, 60_000)
            else:
                pictures.append(picture)
                durations.append(shown)
        first, *rest = pictures
        first.save(self._file, "GIF", save_all=True, append_images=rest, duration=durations, loop=0, optimize=False)


_KINDS: dict[str, type[_Mp4] | type[_Gif]] = {".mp4": _Mp4, ".gif": _Gif}


def _even(picture: Picture) -> Picture:
    """Return a picture enlarged to be seen, with even sides, which H.264 needs: the last row or column twice."""
    shorter, longer = sorted(picture.shape[:2])
    times = min(math.ceil(SMALLEST / shorter), LARGEST // longer)
    if times > 1:
        picture = picture.repeat(times, axis=0).repeat(times, axis=1)
    height, width, _ = picture.shape
    if height % 2 or width % 2:
        picture = np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return picture
