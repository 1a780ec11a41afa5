"""One process at a time in a folder; the lock ends with the process and leaves no file behind."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PAUSE = 0.05


@contextmanager
def locked(folder: Path, refusal: str, seconds: float = 0.0) -> Iterator[None]:
    """Holds a folder for this process.

    On a file system without locks, such as some in a network, this does nothing.

    Args:
        folder: It exists.
        refusal: What to say if another process holds it: a sentence with a way out.
        seconds: How long to wait for the other process.

    Raises:
        BlockingIOError: If another process still holds it.
        OSError: If the folder cannot be opened.
    """
    handle = os.open(folder, os.O_RDONLY)
    end = time.monotonic() + seconds
    try:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= end:
                    raise BlockingIOError(refusal) from None
                time.sleep(_PAUSE)
            except OSError:
                break
            else:
                break
        yield
    finally:
        os.close(handle)
