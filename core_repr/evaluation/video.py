"""Frames to H.264 videos that play in any browser."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import uuid
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt
from jaxtyping import UInt8

from core_repr.files.places import check_file
from core_repr.files.writing import in_a_sentence

Frame = UInt8[np.ndarray, "height width 3"]

CONSTANT_RATE_FACTOR = "30"
"""Of libx264: 0 loses nothing, 51 is the worst. Moving backgrounds make videos large."""

LEAST_ROOM = 65_536
"""Bytes; where a disk has fewer, ffmpeg has filled it."""


def write_video(path: str | os.PathLike[str], frames: Iterable[Frame], fps: float) -> Path:
    """Write frames as an H.264 video (yuv420p), whole or not at all.

    Odd heights and widths, which H.264 does not know, grow by one repeated row or column.

    Args:
        path: Where to, ending in ".mp4". Missing folders are made, and a link is followed.
        frames: uint8 images of one size; a generator is read frame by frame.
        fps: Frames a second of the video.

    Returns:
        The path.

    Raises:
        ValueError: If there is no frame, a frame is not such an image or differs in size from the
            first, the path does not end in ".mp4", or `fps` is not positive.
        OSError: If the place cannot be written to, or ffmpeg fails.
    """
    path = Path(path)
    check_place(path)
    if not fps > 0:
        raise ValueError(f"fps is {fps}, but a video needs a positive number of frames a second")
    frames = iter(frames)
    first = next(frames, None)
    if first is None:
        raise ValueError(f"there are no frames to write to {path}: collect at least one")
    _check(first, number=0, shape=None)
    # ffmpeg takes some names for something else, such as what comes before a colon; not this one.
    final = path.resolve()
    unfinished = final.with_name(f".unfinished-{uuid.uuid4().hex}.mp4")
    try:
        with in_a_sentence(path):
            _encode(unfinished, chain([first], frames), first.shape, fps)
            unfinished.replace(final)
    finally:
        unfinished.unlink(missing_ok=True)
    return path


def check_place(path: Path) -> None:
    """Refuse what no video can be written to, before anything is filmed.

    Args:
        path: Of the video.

    Raises:
        ValueError: If it does not end in ".mp4".
        OSError: If it cannot be written, or ffmpeg does not work here.
    """
    if not path.name.lower().endswith(".mp4"):
        raise ValueError(f"the video's name is {path.name!r}, but must end in '.mp4'")
    check_file(path)
    import imageio_ffmpeg

    try:
        subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-version"], capture_output=True)
    except (OSError, RuntimeError) as error:
        raise OSError(
            f"there is no ffmpeg to write {path} with ({error}): install imageio-ffmpeg again, or "
            "set IMAGEIO_FFMPEG_EXE to an ffmpeg"
        ) from error


def upscale(frame: Frame, factor: int) -> Frame:
    """Enlarge a frame by a whole factor; each pixel becomes a square, so pixels stay visible."""
    if factor < 1:
        raise ValueError(f"factor is {factor}, but a frame can only be enlarged 1, 2, 3, … times")
    return frame.repeat(factor, axis=0).repeat(factor, axis=1)


def downscale(frame: Frame, factor: int) -> Frame:
    """Shrink a frame by a whole factor; each square of pixels becomes their mean.

    Rows and columns that fill no square at the lower and right edge are left out.
    """
    if not 1 <= factor <= min(frame.shape[:2]):
        raise ValueError(
            f"factor is {factor}, but a frame of {frame.shape[1]}×{frame.shape[0]} pixels can only "
            f"be shrunk 1, 2, … {min(frame.shape[:2])} times"
        )
    height, width = frame.shape[0] // factor, frame.shape[1] // factor
    squares = frame[: height * factor, : width * factor].reshape(height, factor, width, factor, 3)
    means: npt.NDArray[np.uint8] = squares.mean((1, 3)).round().astype(np.uint8)
    return means


def side_by_side(frames: Sequence[Frame], gap: int = 4) -> Frame:
    """Join frames from left to right.

    Args:
        frames: One or more frames. Lower ones are enlarged to the height of the highest if that
            is a multiple of theirs, and else stand in the middle, on white.
        gap: White columns between two frames.

    Returns:
        One frame.
    """
    if not frames:
        raise ValueError("there are no frames to join: give at least one")
    height = max(frame.shape[0] for frame in frames)
    columns: list[npt.NDArray[np.uint8]] = []
    for frame in frames:
        if columns:
            columns.append(np.full((height, gap, 3), 255, dtype=np.uint8))
        if height % frame.shape[0] == 0:
            frame = upscale(frame, height // frame.shape[0])
        missing = height - frame.shape[0]
        above_below = (missing // 2, missing - missing // 2)
        columns.append(np.pad(frame, (above_below, (0, 0), (0, 0)), constant_values=255))
    return np.concatenate(columns, axis=1)


def _encode(path: Path, frames: Iterator[Frame], shape: tuple[int, ...], fps: float) -> None:
    import imageio_ffmpeg

    odd = [(0, shape[0] % 2), (0, shape[1] % 2), (0, 0)]
    writer = imageio_ffmpeg.write_frames(
        str(path),
        (shape[1] + odd[1][1], shape[0] + odd[0][1]),
        fps=fps,
        codec="libx264",
        pix_fmt_out="yuv420p",
        quality=None,
        macro_block_size=2,
        # A browser starts to play such a file before it has all of it.
        output_params=["-crf", CONSTANT_RATE_FACTOR, "-movflags", "+faststart"],
    )
    try:
        writer.send(None)
        for number, frame in enumerate(frames):
            _check(frame, number, shape)
            writer.send(np.ascontiguousarray(np.pad(frame, odd, mode="edge")))
    except OSError as error:
        _refuse_full_disk(path.parent)
        reason = str(error).strip().splitlines()[-1] if str(error).strip() else repr(error)
        raise OSError(
            f"ffmpeg could not write {path.parent}: {reason}; `core-repr doctor` tells whether "
            "ffmpeg works here"
        ) from error
    finally:
        writer.close()  # Waits for ffmpeg, which would otherwise write on.
    if not path.exists() or path.stat().st_size == 0:
        _refuse_full_disk(path.parent)
        raise OSError(
            f"ffmpeg wrote nothing to {path.parent}; check that the disk has room, and with "
            "`core-repr doctor` that ffmpeg works here"
        )


def _refuse_full_disk(folder: Path) -> None:
    """Says what ffmpeg does not tell: it prints its errors, and ends."""
    if shutil.disk_usage(folder).free < LEAST_ROOM:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _check(frame: Frame, number: int, shape: tuple[int, ...] | None) -> None:
    if not (
        isinstance(frame, np.ndarray)
        and frame.dtype == np.uint8
        and frame.ndim == 3
        and frame.shape[2] == 3
    ):
        seen = (
            f"{frame.dtype} {frame.shape}"
            if isinstance(frame, np.ndarray)
            else type(frame).__name__
        )
        raise ValueError(f"frame {number} is {seen}, but must be a uint8 array (height, width, 3)")
    if shape is not None and frame.shape != shape:
        raise ValueError(
            f"frame {number} has shape {frame.shape}, but the first has {shape}; all frames of a "
            "video must have one size"
        )
