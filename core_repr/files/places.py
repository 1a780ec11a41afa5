"""Paths as users write them, and which files and folders may be written to."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Sequence
from pathlib import Path

HIDDEN = frozenset(
    {"thumbs.db", "desktop.ini", "lost+found", "@eadir", "$recycle.bin", "icon\r"}
    | {"system volume information", "__macosx"}
)
"""What systems put into folders unasked, in lower case, besides names that begin with a dot."""


def user_path(path: str | os.PathLike[str]) -> Path:
    """Returns a path with ``~`` as the user's home folder.

    Raises:
        TypeError: If it is not a path, such as an open file.
        ValueError: If it is empty, or there is no such user.
    """
    if not isinstance(path, str | os.PathLike) or not isinstance(os.fspath(path), str):
        raise TypeError(f"Expected a path, not {path!r}.")
    if not os.fspath(path):
        raise ValueError("Expected a path, not an empty one; '.' is this folder.")
    if "\0" in os.fspath(path):
        raise ValueError(f"The path {os.fspath(path)!a} holds a null character, which no path can.")
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise ValueError(f"The path {os.fspath(path)!r} leads nowhere: {error}") from None


def without_ending(path: str | os.PathLike[str], ending: str) -> Path:
    """Returns a path without an ending that SB3's callbacks add; ours are folders.

    Raises:
        TypeError: If it is not a path, such as an open file.
        ValueError: If nothing is left.
    """
    place = user_path(path)
    if place.name == ending:
        raise ValueError(
            f"The path {os.fspath(path)!r} names no folder before the ending {ending}."
        )
    return place.with_name(place.name.removesuffix(ending)) if place.name else place


def holds(folder: Path) -> list[str]:
    """Returns the sorted names in a folder, without hidden files and what systems put there."""
    names = (entry.name for entry in os.scandir(folder))
    return sorted(n for n in names if not n.startswith(".") and n.lower() not in HIDDEN)


def refuse_others(place: Path, marks: Sequence[str], foreign: str) -> None:
    """Refuses to save to anything but a new folder, an empty one or an earlier save.

    Args:
        place: Where to save.
        marks: Files that an earlier save has, all of them.
        foreign: A file that tells another kind of save, which would no longer be whole.

    Raises:
        FileExistsError: With what is there.
    """
    if not os.path.lexists(place):
        return
    if not place.exists():
        raise FileExistsError(f"{place} is a link that leads nowhere; choose another path.")
    if not place.is_dir():
        raise FileExistsError(f"{place} is a file; choose another path for the folder.")
    found = holds(place)
    if foreign in found or (found and not set(marks) <= set(found)):
        raise FileExistsError(
            f"The folder {place} holds {found[0]!r} and is not an earlier save of this kind; "
            "choose another path, or move it away."
        )


def check_file(path: Path) -> None:
    """Refuses what a file cannot be written to; makes missing folders.

    Args:
        path: Where a file will be written or replaced. Links are followed.

    Raises:
        OSError: It is a folder, its folder cannot be written to, or no file can have that name.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        mode = _mode(path)
        if mode is not None and not os.access(path, os.W_OK):
            raise PermissionError("it is write-protected")
        if mode is None or stat.S_ISREG(mode):
            # Permissions do not tell of disks that are read-only or full.
            with tempfile.TemporaryFile(dir=path.resolve().parent):
                pass
        elif stat.S_ISDIR(mode):
            raise IsADirectoryError("it is a folder")
    except FileExistsError:
        raise _refused(path, "its folder is a file") from None
    except (OSError, ValueError) as error:
        raise _refused(path, getattr(error, "strerror", None) or str(error)) from None


def _mode(path: Path) -> int | None:
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return None


def _refused(path: Path, reason: str) -> OSError:
    return OSError(f"{path} cannot be written ({reason}); choose another file.")
