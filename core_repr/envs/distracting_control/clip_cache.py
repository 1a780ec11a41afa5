"""Frames of clips, kept on disk and mapped into memory, so that processes share them.

The files lie under the user's cache folder (`$XDG_CACHE_HOME` or `~/.cache`), in
`core-repr/clips`. Deleting them costs time only. Where they cannot be written, frames stay in the
process's memory.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_logger = logging.getLogger(__name__)
_fetched: dict[str, NDArray[np.uint8]] = {}


def folder() -> Path:
    """Returns where the files lie."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "core-repr" / "clips"


def fetch(key: str, size: int, make: Callable[[], NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Returns the frames of a clip, from memory, from disk, or else newly made.

    Args:
        key: What identifies the frames, the same in every process.
        size: Height and width of a frame in pixels.
        make: Reads or generates them.

    Returns:
        Shape (frames, size, size, 3), read-only.
    """
    if key not in _fetched:
        path = folder() / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.npy"
        frames = _read(path, size)
        if frames is None:
            frames = make()
            try:
                _write(path, frames)
            except OSError as error:
                _logger.warning("Clips cannot be cached in %s (%s)", path.parent, error)
            frames = _read(path, size) if path.is_file() else frames
            assert frames is not None
        frames.flags.writeable = False
        _fetched[key] = frames
    return _fetched[key]


def _read(path: Path, size: int) -> NDArray[np.uint8] | None:
    """Returns a file's frames, or None where there is no whole file."""
    try:
        frames: NDArray[np.uint8] = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError):
        return None
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[1:] != (size, size, 3):
        return None
    return frames


def _write(path: Path, frames: NDArray[np.uint8]) -> None:
    """Writes a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            np.save(file, frames)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
