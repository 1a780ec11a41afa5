"""Unpacks the archive of DAVIS 2017, trusting nothing in it."""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
import struct
import zipfile
import zlib
from pathlib import Path

from tqdm import tqdm

from core_repr.envs.clips import davis

URL = "https://data.vision.ee.ethz.ch/csergi/share/davis/DAVIS-2017-trainval-480p.zip"
"""Where the authors of DAVIS 2017 offer its training and validation videos at 480p."""

_FRAME = re.compile(r"DAVIS/JPEGImages/480p/([a-z-]+)/\d{5}\.jpg")
_TEXT = re.compile(r"DAVIS/(ImageSets/2017/(train|val)\.txt|README\.md|SOURCES\.md)")
"""The lists, and what the authors say about licence and sources."""


def unpack(archive: Path, folder: Path) -> None:
    """Unpacks what the backgrounds need, whole or not at all.

    Only members with names that DAVIS 2017 is known to have are looked at, and each goes to the
    place that its name stands for. Every member's CRC is checked, and then every video's frames.

    Args:
        archive: The archive.
        folder: Where `JPEGImages` and `ImageSets` go; it does not exist, or is empty.

    Raises:
        ValueError: The archive is damaged, or is another one.
        OSError: The disk has no room, or cannot be written.
    """
    partial = folder.with_name(f".{folder.name}.core-repr.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        _extract(archive, partial)
        found = davis.problems(partial)
        if found:
            more = f", and {len(found) - 1} more such" if len(found) > 1 else ""
            raise ValueError(f"{archive} is not DAVIS 2017 at 480p: {found[0]}{more}.")
        os.replace(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _is_needed(name: str) -> bool:
    frame = _FRAME.fullmatch(name)
    videos = {video for lengths in davis.LENGTHS.values() for video in lengths}
    return bool((frame and frame[1] in videos) or _TEXT.fullmatch(name))


def _extract(archive: Path, folder: Path) -> None:
    try:
        with zipfile.ZipFile(archive) as file:
            members = [member for member in file.infolist() if _is_needed(member.filename)]
            size = sum(member.file_size for member in members)
            folder.mkdir(parents=True)
            free = shutil.disk_usage(folder).free
            if size > free:
                raise OSError(
                    f"{folder.parent} has {free / 1e9:.1f} GB free, but {size / 1e9:.1f} GB are "
                    "unpacked: make room, or choose another folder."
                )
            for member in tqdm(members, desc="unpacking", unit="file", disable=None):
                if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG):
                    raise zipfile.BadZipFile(f"{member.filename} is not a plain file")
                target = folder / member.filename.removeprefix("DAVIS/")
                target.parent.mkdir(parents=True, exist_ok=True)
                with file.open(member) as source, target.open("xb") as copy:
                    shutil.copyfileobj(source, copy)
    # What zipfile raises for archives that are damaged, encrypted or malicious.
    except (
        zipfile.BadZipFile,
        zlib.error,
        struct.error,
        EOFError,
        FileExistsError,
        RuntimeError,
        ValueError,
    ) as error:
        raise ValueError(f"{archive} is damaged ({error}).") from error
    except OSError as error:
        if error.errno == errno.EINVAL:  # a place before the archive's first byte
            raise ValueError(f"{archive} is damaged ({error}).") from error
        if error.errno is None:
            raise
        raise OSError(
            f"{archive} cannot be unpacked in {folder.parent} ({error.strerror}): make room, or "
            "choose another folder."
        ) from error
