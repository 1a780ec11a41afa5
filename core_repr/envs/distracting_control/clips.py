"""What the background can show: generated clips, or videos from a folder, split into two halves."""

from __future__ import annotations

import os
import subprocess
from abc import ABC, abstractmethod
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core_repr.envs.distracting_control import clip_cache, davis, procedural

MAX_FRAMES = 256
"""Frames of a video that are used; what comes after is left out."""

VIDEO_SUFFIXES = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm"})
IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".webp"})


@dataclass(frozen=True)
class Clip(ABC):
    """A clip, read or generated when its frames are first asked for.

    Attributes:
        name: A name that is unique within its source.
        size: Height and width of a frame in pixels.
    """

    name: str
    size: int

    def frames(self) -> NDArray[np.uint8]:
        """Returns the frames, shape (frames, size, size, 3), read-only.

        Raises:
            ValueError: The clip cannot be decoded.
        """
        return clip_cache.fetch(self._key(), self.size, self._make)

    @abstractmethod
    def _key(self) -> str:
        """Returns what identifies the frames across processes."""

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

    def _key(self) -> str:
        return _file_key(self.path, self.size)

    def _make(self) -> NDArray[np.uint8]:
        import imageio_ffmpeg

        size = self.size
        options = ["-vf", f"scale={size}:{size}:flags=area", "-frames:v", str(MAX_FRAMES)]
        raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:1"]
        done = subprocess.run(
            [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(self.path), *options, *raw],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        frames = np.frombuffer(done.stdout, np.uint8)
        if done.returncode or not frames.size:
            reason = done.stderr.decode(errors="replace") or "it holds no frame"
            raise _undecodable(self.path, reason)
        return frames.reshape(-1, size, size, 3)


@dataclass(frozen=True)
class ImageFolderClip(Clip):
    """A folder of images, one a frame, in the order of their names.

    Attributes:
        path: The folder.
    """

    path: Path

    def _key(self) -> str:
        return _file_key(self.path, self.size)

    def _make(self) -> NDArray[np.uint8]:
        from PIL import Image

        size = (self.size, self.size)
        frames = []
        for path in islice(_images(self.path), MAX_FRAMES):
            try:
                with Image.open(path) as image:
                    image.draft("RGB", size)
                    small = image.convert("RGB").resize(size, Image.Resampling.BILINEAR)
                    frames.append(np.asarray(small))
            except (OSError, ValueError) as error:
                raise _undecodable(path, error) from error
        return np.stack(frames)


def open_clips(
    backgrounds: str | os.PathLike[str], *, split: str, count: int, size: int
) -> list[Clip]:
    """Finds the clips of a split; their frames are read later.

    Args:
        backgrounds: "procedural", or a folder: DAVIS 2017 (the folder that holds `DAVIS/` or
            `JPEGImages/`, or `JPEGImages/480p` itself), or a folder of video files or of folders
            of images. DAVIS keeps its own split; of any other folder's clips, sorted by name, two
            thirds are for training and the rest for validation.
        split: "train" or "val".
        count: How many clips to use: the first so many.
        size: Height and width of a frame in pixels.

    Returns:
        `count` clips.

    Raises:
        FileNotFoundError: The folder is missing.
        NotADirectoryError: It is not a folder.
        ValueError: It holds no clip, or fewer than `count` in this split.
    """
    if backgrounds == "procedural":
        clips: list[Clip] = [
            ProceduralClip(f"{split}-{index:02d}", size, split, index)
            for index in range(procedural.NUM_CLIPS[split])
        ]
    else:
        clips = _folder_clips(Path(backgrounds).expanduser(), split, size)
    if count > len(clips):
        raise ValueError(
            f"backgrounds={os.fspath(backgrounds)!r} has {len(clips)} clips in split {split!r}, "
            f"but {count} are asked for: add clips, or pass num_videos={max(1, len(clips))} or "
            "fewer to make."
        )
    return clips[:count]


def _folder_clips(folder: Path, split: str, size: int) -> list[Clip]:
    """Returns the clips of one split that a folder holds, in order."""
    if not folder.exists():
        raise FileNotFoundError(
            f"backgrounds={str(folder)!r} does not exist: pass a folder of videos, or "
            "'procedural' for generated ones."
        )
    if not folder.is_dir():
        raise NotADirectoryError(
            f"backgrounds={str(folder)!r} is a file: pass the folder that holds it."
        )
    nested = (folder / "DAVIS/JPEGImages/480p", folder / "JPEGImages/480p")
    root = next((path for path in nested if path.is_dir()), folder)
    found: dict[str, Clip] = {}
    for path in sorted(root.iterdir()):
        if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file():
            found[path.name] = VideoClip(path.name, size, path.resolve())
        elif path.is_dir() and next(iter(_images(path)), None):
            found[path.name] = ImageFolderClip(path.name, size, path.resolve())
    if not found:
        raise ValueError(
            f"backgrounds={str(folder)!r} holds no video: expected files that end in "
            f"{', '.join(sorted(VIDEO_SUFFIXES))}, or folders of images."
        )
    return [found[name] for name in _names_of_split(root, list(found), split) if name in found]


def _names_of_split(root: Path, names: list[str], split: str) -> list[str]:
    """Returns the names that belong to a split: DAVIS's own, or two thirds against one third."""
    listed = {part: _listed(root, part) for part in ("train", "val")}
    if all(listed.values()):
        return [name for name in listed[split] if split == "train" or name not in listed["train"]]
    if set(names) <= {*davis.TRAIN, *davis.VAL}:
        return list(davis.TRAIN if split == "train" else davis.VAL)
    return [name for i, name in enumerate(names) if (i % 3 == 1) == (split == "val")]


def _listed(root: Path, split: str) -> list[str]:
    """Returns the names in DAVIS's own list of a split; none where there is no such list."""
    if root.name != "480p":
        return []
    path = root.parent.parent / "ImageSets" / "2017" / f"{split}.txt"
    return path.read_text().split() if path.is_file() else []


def _images(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)


def _file_key(path: Path, size: int) -> str:
    status = path.stat()
    return f"{path}-{status.st_mtime_ns}-{status.st_size}-{MAX_FRAMES}-{size}"


def _undecodable(path: Path, reason: object) -> ValueError:
    message = str(reason).strip().splitlines()
    return ValueError(
        f"{path} cannot be decoded ({message[-1] if message else type(reason).__name__}): replace "
        "it, or take it out of the backgrounds folder."
    )
