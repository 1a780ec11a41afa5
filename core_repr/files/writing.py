"""Files and folders that appear whole or not at all; what others put beside them stays.

A folder of several files is saved in three steps: all of them are written to a hidden folder within
it, one rename makes that folder the valid one, and its files then move to their places. A process
that is killed leaves a hidden folder, which the next one removes before the rename, and moves to
its place after it.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from core_repr.files.lock import locked

UNFINISHED = re.compile(r"\.core-repr-[0-9a-f]{16}\.unfinished")
SAVED = ".core-repr.saved"
"""The hidden folder whose files are valid, and have not all moved to their places yet."""

SECONDS_TO_WAIT = 60.0

_ADVICE = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "make room, or choose another path"),
    **dict.fromkeys(
        (errno.EACCES, errno.EPERM, errno.EROFS), "choose another path, or allow writing to it"
    ),
}


def write_atomically(path: Path, content: bytes) -> None:
    """Writes a file, or what a link leads to, so that it is never half written.

    Raises:
        OSError: If it cannot be written; the message names the path and the way out.
    """
    with in_a_sentence(path):
        if path.exists() and not path.is_file():
            path.write_bytes(content)  # Such as /dev/stdout.
            return
        target = Path(os.path.realpath(path))
        temporary = _unfinished(target.parent)
        # With the permissions that the user's umask asks for.
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def append(path: Path, text: str) -> None:
    """Appends to a file, which is made if it is not there.

    Raises:
        OSError: If it cannot be written; the message names the path and the way out.
    """
    with in_a_sentence(path), open(path, "a", newline="") as file:
        file.write(text)


def cut_torn_line(path: Path) -> str:
    """Cuts what follows the last line end of a file: a full disk or a power cut tore it.

    Returns:
        What was cut; empty where nothing was.

    Raises:
        OSError: If it cannot be written; the message names the path and the way out.
    """
    with in_a_sentence(path):
        content = path.read_bytes()
        end = content.rfind(b"\n") + 1
        if end < len(content):
            os.truncate(path, end)
    return content[end:].decode(errors="replace")


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Gives a folder to write to, which becomes ``path`` when the block ends without an error.

    Args:
        path: Where nothing is yet.

    Raises:
        OSError: If the disk is full or the place cannot be written to; nothing is left of it.
    """
    with in_a_sentence(path), made_folders(path.parent):
        temporary = _unfinished(path.parent)
        temporary.mkdir()
        try:
            yield temporary
            temporary.rename(path)
            sync_folder(path.parent)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise


@contextmanager
def whole_files(folder: Path) -> Iterator[Path]:
    """Gives a folder to write files to, which take their places in ``folder`` all together.

    Args:
        folder: Made if needed; a link is followed. What it holds under other names stays.

    Raises:
        FileExistsError: If a folder or a link is in the place of a file.
        OSError: If the disk is full or the place cannot be written to; ``folder`` is as before.
    """
    folder = Path(os.path.realpath(folder))
    with in_a_sentence(folder), made_folders(folder), _alone(folder):
        sweep(folder)
        _take_places(folder)
        temporary = _unfinished(folder)
        temporary.mkdir()
        try:
            yield temporary
            refuse_links(folder, os.listdir(temporary))
            sync_folder(temporary)
            temporary.rename(folder / SAVED)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        _take_places(folder)


def finish(folder: Path) -> None:
    """Does what is left to do where a process was killed at the end of :func:`whole_files`.

    Args:
        folder: One that is about to be read.

    Raises:
        OSError: If it cannot be written to.
    """
    if (folder / SAVED).is_dir():
        with in_a_sentence(folder), _alone(folder):
            _take_places(folder)


def refuse_links(folder: Path, names: list[str]) -> None:
    """Refuses folders and links in the places of files that are going to be saved.

    Args:
        folder: Where to save.
        names: Of the files.

    Raises:
        FileExistsError: With the first such.
    """
    for path in (folder / name for name in sorted(names)):
        if path.is_symlink():
            raise FileExistsError(
                f"{path} is a symbolic link, which saving would replace; put the file itself "
                "there, or link its whole folder."
            )
        if path.is_dir():
            raise FileExistsError(
                f"{path} is a folder in the place of a file; move it away, or choose another path."
            )


def sweep(folder: Path) -> None:
    """Removes what killed processes left half written in a folder; nothing else."""
    for entry in os.listdir(folder):
        if UNFINISHED.fullmatch(entry):
            remove(folder / entry)


def remove(path: Path) -> None:
    """Removes a file, a folder with all that is in it, or a link, but not what it leads to."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def sync_folder(path: Path) -> None:
    """Returns when the names in a folder are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def made_folders(path: Path) -> Iterator[None]:
    """Makes a folder and those above it; where the block fails, the empty ones go again."""
    missing = [each for each in (path, *path.parents) if not os.path.lexists(each)]
    path.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        with suppress(OSError):
            for each in missing:
                each.rmdir()
        raise


@contextmanager
def in_a_sentence(path: Path) -> Iterator[None]:
    """Lets the errors of the system say where it was and what to do.

    Raises:
        OSError: Of the kind that it was, with the same number.
    """
    try:
        yield
    except OSError as error:
        first = error
        # The outermost block knows the path that the user gave.
        while first.strerror is None and isinstance(first.__cause__, OSError):
            first = first.__cause__
        if first.strerror is None:
            raise
        advice = _ADVICE.get(first.errno or 0, "choose another path")
        sentence = type(first)(f"{path} cannot be written ({first.strerror}): {advice}.")
        sentence.errno = first.errno
        raise sentence from first


def _unfinished(folder: Path) -> Path:
    return folder / f".core-repr-{secrets.token_hex(8)}.unfinished"


def _take_places(folder: Path) -> None:
    saved = folder / SAVED
    if not saved.is_dir():
        return
    sync_folder(folder)
    for name in sorted(os.listdir(saved)):
        os.replace(saved / name, folder / name)
    saved.rmdir()
    sync_folder(folder)


def _alone(folder: Path) -> AbstractContextManager[None]:
    """Waits for others that save to the same folder."""
    refusal = (
        f"Someone else has been saving to {folder} for {SECONDS_TO_WAIT:.0f} seconds; try again, "
        "or choose another path."
    )
    return locked(folder, refusal, SECONDS_TO_WAIT)
