"""``core-repr download``: data sets that the environments can use and that are not part of them."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from core_repr.commands.resumable_download import download
from core_repr.envs.clips import davis, davis_archive
from core_repr.files.lock import locked
from core_repr.files.secrets import redact


@dataclass
class Download:
    """Downloads a data set and checks it. What was cut off is resumed.

    Attributes:
        dataset: "davis", the videos of DAVIS 2017 at 480p, for ``backgrounds="davis"``.
        folder: Where it goes, instead of the folder where "davis" is looked for. Pass this folder
            as ``backgrounds`` then.
        url: A mirror of the archive, instead of the authors' server.
    """

    dataset: tyro.conf.Positional[Literal["davis"]]
    folder: Path | None = None
    url: str = davis_archive.URL

    def __call__(self) -> int:
        """Downloads, unpacks and checks, and says how to use it.

        Raises:
            FileExistsError: The folder holds something else.
            BlockingIOError: Another process downloads to the same place.
            ValueError: The archive is damaged, or is another one.
            OSError: The server cannot be reached, or the disk has no room.
        """
        folder = (self.folder or davis.folder()).expanduser().resolve()
        if folder.exists() and not folder.is_dir():
            raise FileExistsError(f"{folder} is a file; choose another --folder.")
        backgrounds = "davis" if self.folder is None else str(folder)
        print(f"{davis.NOTICE}\n")
        folder.parent.mkdir(parents=True, exist_ok=True)
        with locked(
            folder.parent, f"another process downloads to {folder.parent}: wait until it is done."
        ):
            if folder.is_dir() and any(folder.iterdir()):
                _require_whole(folder)
                print(f"DAVIS 2017 is in {folder} already, and whole.")
            else:
                self._install(folder)
                print(f"DAVIS 2017 is in {folder}: 60 training and 30 validation videos.")
        print(f'Use it with backgrounds="{backgrounds}", or on the command line with')
        print(f"core-repr train --backgrounds {shlex.quote(backgrounds)}")
        return 0

    def _install(self, folder: Path) -> None:
        archive = folder.with_name(f".{folder.name}.core-repr.zip")
        if not archive.exists():
            download(self.url, archive, room=2)
        try:
            davis_archive.unpack(archive, folder)
        except ValueError as error:
            archive.unlink()
            raise ValueError(
                f"{error} It has been deleted; download it again, or pass another --url than "
                f"{redact(self.url)}"
            ) from error
        archive.unlink()


def _require_whole(folder: Path) -> None:
    found = davis.problems(folder)
    if found:
        raise FileExistsError(
            f"{folder} is there, but is not a whole DAVIS 2017 ({found[0]}): move it away, or pass "
            "another --folder."
        )
