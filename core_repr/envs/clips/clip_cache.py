"""Frames of clips, kept on disk and mapped into memory, so that processes share them.

The files lie under the user's cache folder (`$XDG_CACHE_HOME` or `~/.cache`), in
`core-repr/clips`. A file is a header and the frames' bytes; it appears under its name only when it
is whole, and whatever does not fit its header is made anew. Deleting files costs time only, also
while they are in use. Those that nothing has used for 30 days go by themselves. Where files cannot
be written, some frames stay in the process's memory.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import logging
import mmap
import os
import struct
import tempfile
import time
import weakref
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_logger = logging.getLogger(__name__)
_mapped: dict[str, NDArray[np.uint8]] = {}
_held: dict[str, NDArray[np.uint8]] = {}
_unwritable: set[str] = set()

_HELD_BYTES = 256 * 2**20
"""How much memory a process spends on frames that could not be written."""

_MAGIC = b"CoReClip"
_VERSION = 1
# Mark, version, number of frames, their height and width, their checksum, digest of the key.
_HEADER = struct.Struct("<8sIII4xQ32s")
_CHUNK = 1 << 20

_KEEP = 30 * 24 * 3600
_KEEP_UNFINISHED = 3600


def folder() -> Path:
    """Returns where the files lie.

    Raises:
        FileNotFoundError: The user has no home folder, and `$XDG_CACHE_HOME` names none.
    """
    return user_folder("XDG_CACHE_HOME", ".cache") / "clips"


def user_folder(variable: str, default: str) -> Path:
    """Returns this package's folder among the user's files of one kind.

    Args:
        variable: The environment variable of the XDG base directory specification.
        default: The folder in the user's home where it is not set.

    Raises:
        FileNotFoundError: The user has no home folder, and the variable names none.
    """
    base = os.environ.get(variable)
    try:
        return (Path(base) if base else Path.home() / default) / "core-repr"
    except RuntimeError as error:
        raise FileNotFoundError(f"there is no home folder: set {variable} to one") from error


def fetch(key: str, size: int, make: Callable[[], NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Returns the frames of a clip, from memory, from disk, or else newly made.

    Args:
        key: What identifies the frames, the same in every process.
        size: Height and width of a frame in pixels.
        make: Reads or generates them.

    Returns:
        Shape (frames, size, size, 3), read-only.
    """
    for known in (_mapped, _held):
        if key in known:
            return known[key]
    frames = _from_disk(key, size)
    if frames is None:
        made = make()
        made.flags.writeable = False
        frames = _from_disk(key, size, check_pixels=False) if _store(key, size, made) else None
        if frames is None:
            _hold(key, made)
            return made
    _mapped[key] = frames
    return frames


def _hold(key: str, frames: NDArray[np.uint8]) -> None:
    """Keeps frames in memory, and lets go of those that came first where that is too much."""
    _held[key] = frames
    while sum(held.nbytes for held in _held.values()) > _HELD_BYTES:
        del _held[next(iter(_held))]


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode(errors="surrogateescape")).digest()


def _path(key: str) -> Path:
    return folder() / f"{_digest(key).hex()[:32]}.clip"


def _checksum(data: bytes | memoryview) -> int:
    """Returns the sum of all words of 64 bits, much faster to compute than a CRC."""
    whole = len(data) // 8 * 8
    rest = int.from_bytes(data[whole:], "little")
    total = int(np.frombuffer(data, "<u8", whole // 8).sum(dtype=np.uint64))
    return (total + rest) % 2**64


def _from_disk(key: str, size: int, *, check_pixels: bool = True) -> NDArray[np.uint8] | None:
    """Maps a file's frames; None where there is no whole file of this version."""
    try:
        path = _path(key)
        with path.open("rb") as file:
            magic, version, count, side, checksum, digest = _HEADER.unpack(file.read(_HEADER.size))
            fits = (magic, version, side, digest) == (_MAGIC, _VERSION, size, _digest(key))
            length = _HEADER.size + count * size * size * 3
            if not fits or not count or os.fstat(file.fileno()).st_size != length:
                return None
            # Read, not mapped: this way it does not count as the process's own memory.
            if check_pixels:
                found = 0
                while chunk := file.read(_CHUNK):
                    found = (found + _checksum(chunk)) % 2**64
                if found != checksum:
                    return None
            content = np.frombuffer(_map(file.fileno(), length), np.uint8)
            frames = content[_HEADER.size :].reshape(count, size, size, 3)
        with contextlib.suppress(OSError):
            os.utime(path)  # so that it is kept
    except (OSError, ValueError, struct.error):
        return None
    return frames


def _map(descriptor: int, length: int) -> memoryview:
    """Maps a file into memory, read-only, without keeping its descriptor open.

    Python's own `mmap` and NumPy's `memmap` keep one for each file (before Python 3.13, always),
    and a process may have 1,024.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    size, integer = ctypes.c_size_t, ctypes.c_int
    libc.mmap.argtypes = [ctypes.c_void_p, size, integer, integer, integer, ctypes.c_long]
    libc.munmap.argtypes = [ctypes.c_void_p, size]
    address = libc.mmap(None, length, mmap.PROT_READ, mmap.MAP_SHARED, descriptor, 0)
    if address == ctypes.c_void_p(-1).value:
        raise OSError(ctypes.get_errno(), "the file cannot be mapped into memory")
    content = (ctypes.c_ubyte * length).from_address(address)
    # Frames may be looked at until the very end of the process.
    weakref.finalize(content, libc.munmap, address, length).atexit = False
    return memoryview(content).cast("B").toreadonly()


def _store(key: str, size: int, frames: NDArray[np.uint8]) -> bool:
    """Writes a file whole or not at all; returns whether it could."""
    pixels = np.ascontiguousarray(frames).reshape(-1)
    header = _HEADER.pack(_MAGIC, _VERSION, len(frames), size, _checksum(pixels.data), _digest(key))
    try:
        path = _path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path.parent)
        handle, name = tempfile.mkstemp(dir=path.parent, suffix=".part")
        try:
            with os.fdopen(handle, "wb", buffering=0) as file:
                file.write(header)
                view = pixels.data
                while view:
                    view = view[file.write(view[:_CHUNK]) :]
                os.fsync(file.fileno())
            os.replace(name, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name)
            raise
    except OSError as error:
        where = os.environ.get("XDG_CACHE_HOME", "~/.cache")
        if where not in _unwritable:
            _unwritable.add(where)
            _logger.warning(
                "Clips cannot be cached in %s (%s), so each process reads them itself and keeps up "
                "to %d MB of them in memory: make room there, or set XDG_CACHE_HOME to a folder "
                "that can be written.",
                where,
                error,
                _HELD_BYTES // 2**20,
            )
        return False
    return True


def _sweep(folder: Path) -> None:
    """Deletes what has not been used for long, and what a process that was killed left behind."""
    now = time.time()
    for entry in os.scandir(folder):
        if not entry.name.endswith((".clip", ".part")):
            continue
        keep = _KEEP_UNFINISHED if entry.name.endswith(".part") else _KEEP
        with contextlib.suppress(OSError):
            if entry.is_file(follow_symlinks=False) and now - entry.stat().st_mtime > keep:
                os.unlink(entry)
