"""Where episodes lie: stretches of memory, or files that are mapped into it, written only once."""

from __future__ import annotations

import mmap
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core_repr.files.writing import in_a_sentence

Records = NDArray[np.void]
"""A structured array with one record for each frame and the step that follows it."""

NAME = re.compile(r"[0-9]{8}\.segment")


def segment_files(folder: Path) -> list[Path]:
    """Returns the files of segments in a folder, sorted by their numbers; others are not ours."""
    return sorted(path for path in folder.iterdir() if NAME.fullmatch(path.name))


def next_number(folder: Path) -> int:
    """Returns a number that no segment in a folder has."""
    numbers = [int(path.stem) for path in segment_files(folder)]
    return max(numbers, default=-1) + 1


class Segment:
    """Room for a number of records, filled from its start and never changed afterwards.

    Args:
        dtype: Of a record.
        capacity: Records that fit.
        path: A file to make; ``None`` for memory alone.

    Attributes:
        used: Records that were appended.
        path: The file, or ``None``.

    Raises:
        FileExistsError: If the file exists.
        OSError: If it cannot be made.
    """

    def __init__(self, dtype: np.dtype[Any], capacity: int, path: Path | None = None) -> None:
        self.path = path
        self.used = 0
        self._file: int | None = None
        size = capacity * dtype.itemsize
        if path is None:
            # Pages of their own, which go back to the system with the segment.
            pages = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            self._records: Records = np.frombuffer(pages, dtype)
            return
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
        # A file with a hole: its blocks are taken when they are written.
        os.ftruncate(self._file, size)
        self._records = np.frombuffer(
            mmap.mmap(self._file, size, prot=mmap.PROT_READ), dtype, capacity
        )

    @classmethod
    def open(cls, dtype: np.dtype[Any], used: int, path: Path) -> Segment:
        """Maps the first ``used`` records of a file; nothing can be appended to them.

        Raises:
            FileNotFoundError: If there is no such file.
            ValueError: If it holds fewer records.
        """
        with open(path, "rb") as file:
            size = used * dtype.itemsize
            if os.fstat(file.fileno()).st_size < size:
                raise ValueError(
                    f"{path} should hold {size:,} bytes, but it is shorter: it was damaged."
                )
            segment = cls.__new__(cls)
            segment.path, segment.used, segment._file = path, used, None
            segment._records = np.frombuffer(
                mmap.mmap(file.fileno(), size, prot=mmap.PROT_READ), dtype, used
            )
            return segment

    @property
    def capacity(self) -> int:
        """Records that fit."""
        return len(self._records)

    def append(self, records: Records) -> int:
        """Adds records at the end and returns the index of the first one.

        Raises:
            OSError: If the disk is full; the segment is then as before.
        """
        start = self.used
        if self.path is None:
            self._records[start : start + len(records)] = records
        else:
            assert self._file is not None
            # Not through the map: a full disk would then end the process without a word.
            content = memoryview(records.tobytes())
            offset = start * records.dtype.itemsize
            with in_a_sentence(self.path):
                while content:
                    written = os.pwrite(self._file, content, offset)
                    content, offset = content[written:], offset + written
        self.used += len(records)
        return start

    def records(self, start: int, length: int) -> Records:
        """Returns a view of appended records."""
        return self._records[start : start + length]

    def sync(self) -> None:
        """Returns when what was appended is on the disk."""
        if self._file is not None:
            os.fsync(self._file)

    def seal(self) -> None:
        """Ends the appending; the file shrinks to what it holds."""
        if self._file is not None:
            os.ftruncate(self._file, self.used * self._records.dtype.itemsize)
            os.fsync(self._file)
            os.close(self._file)
            self._file = None

    def __del__(self) -> None:
        if getattr(self, "_file", None) is not None:
            os.close(self._file)  # type: ignore[arg-type]
            self._file = None
