"""What the background can show: generated clips, DAVIS, or videos from a folder."""

from __future__ import annotations

import logging
import os
import re
import subprocess
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core_repr.envs.clips import clip_cache, clip_folder, procedural

_logger = logging.getLogger(__name__)

MAX_FRAMES = 256
"""Frames of a video that are used; what comes after is left out.

It bounds what a clip takes on disk and in memory, and is more than twice the length of the longest
video of DAVIS. Played back and forth, that many last for half an episode.
"""

DATA_SETS = ("procedural", "davis")
"""What `backgrounds` may be besides a folder."""

_RECIPE = 2
"""Part of every cached file's key; goes up when frames are made in another way."""


@dataclass(frozen=True)
class Clip(ABC):
    """A clip, read or generated when its frames are first asked for.

    Attributes:
        name: A name that is unique within its source.
        size: Height and width of a frame in pixels.
    """

    name: str
    size: int

    def __str__(self) -> str:
        return self.name

    def frames(self) -> NDArray[np.uint8]:
        """Returns the frames, shape (frames, size, size, 3), read-only.

        Raises:
            ValueError: The clip cannot be decoded, or its frames differ in size.
            FileNotFoundError: It is not there any more.
        """
        return clip_cache.fetch(self._key, self.size, self._make)

    @cached_property
    @abstractmethod
    def _key(self) -> str:
        """What identifies the frames across processes."""

    @abstractmethod
    def _make(self) -> NDArray[np.uint8]:
        """Reads or generates the frames."""


@dataclass(frozen=True)
class ProceduralClip(Clip):
    """A generated clip.

    Attributes:
        split: "train" or "val".
        index: Its number in the split.
    """

    split: str
    index: int

    @cached_property
    def _key(self) -> str:
        return f"procedural-v{procedural.VERSION}-{self.split}-{self.index}-{self.size}"

    def _make(self) -> NDArray[np.uint8]:
        return procedural.procedural_clip(self.split, self.index, self.size)


@dataclass(frozen=True)
class VideoClip(Clip):
    """A video file. The whole picture is squeezed into a square, as the suite does.

    Attributes:
        path: The file.
    """

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    @cached_property
    def _key(self) -> str:
        return _source_key(self.path, [self.path], self.size)

    def _make(self) -> NDArray[np.uint8]:
        import imageio_ffmpeg

        size = self.size
        # Every frame once, whatever its time; and its size before scaling, one line each.
        reading = ["-loglevel", "level+info", "-i", str(self.path), "-fps_mode", "passthrough"]
        scaling = ["-vf", f"showinfo=checksum=0,scale={size}:{size}:flags=area"]
        writing = ["-frames:v", str(MAX_FRAMES), "-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:1"]
        done = subprocess.run(
            [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", *reading, *scaling, *writing],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        log = done.stderr.decode(errors="replace")
        errors = re.findall(r"\[(?:error|fatal)\] (.+)", log)
        frames = np.frombuffer(done.stdout, np.uint8)
        if done.returncode or not frames.size or frames.size % (size * size * 3):
            ended = f"ffmpeg ended with status {done.returncode}"
            reason = errors[0] if errors else ended if done.returncode else "it holds no frame"
            raise _undecodable(self.path, reason)
        frames = frames.reshape(-1, size, size, 3)
        sizes = re.findall(r"\[info\] n: .* s:(\d+x\d+) ", log)
        for i, found in enumerate(sizes[: len(frames)]):
            if found != sizes[0]:
                raise _changing(self.path, f"frame {i}", found, sizes[0])
        if errors:
            _logger.warning(
                "%s is damaged (%s): the %d frames that could be decoded are used.",
                self.path,
                errors[0],
                len(frames),
            )
        return frames


@dataclass(frozen=True)
class ImageFolderClip(Clip):
    """A folder of images, one a frame, in the natural order of their names.

    Attributes:
        path: The folder.
    """

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    @cached_property
    def _key(self) -> str:
        return _source_key(self.path, self._images(), self.size)

    def _make(self) -> NDArray[np.uint8]:
        from PIL import Image, ImageOps

        size = (self.size, self.size)
        frames: list[NDArray[np.uint8]] = []
        first = None
        for path in self._images():
            try:
                with Image.open(path) as image:
                    if image.mode.startswith(("I", "F")):
                        raise ValueError("it has more than 8 bits a channel")
                    found = "{}x{}".format(*image.size)
                    image.draft("RGB", size)
                    upright = ImageOps.exif_transpose(image).convert("RGB")
                    frames.append(np.asarray(upright.resize(size, Image.Resampling.BILINEAR)))
            except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
                raise _undecodable(path, error) from error
            if found != (first := first or found):
                raise _changing(self.path, path.name, found, first)
        return np.stack(frames)

    def _images(self) -> list[Path]:
        try:
            return list(islice(clip_folder.images(self.path), MAX_FRAMES))
        except FileNotFoundError:
            raise _missing(self.path) from None


def open_clips(
    backgrounds: str | os.PathLike[str], *, split: str, count: int, size: int
) -> list[Clip]:
    """Finds the clips of a split; their frames are read later.

    Args:
        backgrounds: "procedural" for generated clips, "davis" for what `core-repr download davis`
            fetched, or a folder of videos, see `clip_folder.find`.
        split: "train" or "val".
        count: How many clips to use: the first so many.
        size: Height and width of a frame in pixels.

    Returns:
        `count` clips.

    Raises:
        FileNotFoundError: The folder or the data set is missing.
        NotADirectoryError: It is not a folder.
        ValueError: It holds no clip, or fewer than `count` in this split.
    """
    if backgrounds == "procedural":
        clips: list[Clip] = [
            ProceduralClip(f"{split}-{index:02d}", size, split, index)
            for index in range(procedural.NUM_CLIPS[split])
        ]
    elif backgrounds == "davis":
        clips = [ImageFolderClip(path.name, size, path) for path in clip_folder.find_davis(split)]
    else:
        clips = [
            (ImageFolderClip if path.is_dir() else VideoClip)(path.name, size, path.resolve())
            for path in clip_folder.find(Path(backgrounds).expanduser(), split)
        ]
    if count > len(clips):
        fewer = f", choose an easier level, or pass num_videos={len(clips)} or fewer"
        raise ValueError(
            f"backgrounds={os.fspath(backgrounds)!r} has {len(clips)} clips in split {split!r}, "
            f"but {count} are asked for: add clips{fewer if clips else ''}."
        )
    return clips[:count]


def _source_key(source: Path, files: list[Path], size: int) -> str:
    """Returns a key that changes when one of the files does."""
    parts = [f"v{_RECIPE}", str(source), str(MAX_FRAMES), str(size)]
    for path in files:
        try:
            status = path.stat()
        except FileNotFoundError:
            raise _missing(path) from None
        parts.append(f"{path.name}:{status.st_mtime_ns}:{status.st_size}")
    return "|".join(parts)


def _missing(path: Path) -> FileNotFoundError:
    what = "is a link that leads nowhere" if path.is_symlink() else "is not there any more"
    return FileNotFoundError(
        f"{path} {what}: put back what it was, or take it out of the backgrounds folder."
    )


def _undecodable(path: Path, reason: object) -> ValueError:
    lines = str(reason).strip().splitlines()
    return ValueError(
        f"{path} cannot be decoded ({lines[-1] if lines else type(reason).__name__}): replace it, "
        "or take it out of the backgrounds folder."
    )


def _changing(source: Path, frame: str, found: str, first: str) -> ValueError:
    return ValueError(
        f"{source} changes size: {frame} has {found} pixels, the first one {first}. Bring all its "
        "frames to one size, or take it out of the backgrounds folder."
    )
