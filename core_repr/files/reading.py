"""Reading what may be a stranger's: bounded, and never past the folder's edge."""

import os
from pathlib import Path
from typing import BinaryIO

from core_repr.files.names import AGENT_FILE, CONFIG_FILE, MODEL_FILE

MAX_MESSAGE = 300


def read_bounded(path: Path, limit: int) -> bytes:
    """Reads a file of a model folder that has at most ``limit`` bytes.

    Raises:
        FileNotFoundError: If it is missing.
        ValueError: If it is larger, or a symbolic link that leaves its folder.
    """
    with open_file(path) as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise ValueError(
            f"{path} is larger than {limit:,} bytes, so it is not what its name says; "
            "fetch or save it again."
        )
    return content


def open_file(path: Path) -> BinaryIO:
    """Opens a file of a model folder.

    Raises:
        FileNotFoundError: If it is missing.
        ValueError: If it is a symbolic link that leaves its folder.
    """
    if path.is_symlink() and not stays_inside(path):
        raise ValueError(
            f"{path} is a symbolic link that leaves its folder; put the file itself there."
        )
    if not path.is_file():
        raise FileNotFoundError(
            f"The model folder {str(path.parent)!r} lacks {path.name!r}; {_hint(path)}"
        )
    return open(path, "rb")


def _hint(path: Path) -> str:
    folder = path.parent
    if path.name == AGENT_FILE and (folder / MODEL_FILE).exists():
        return "it holds a world model without an agent, for CoReWrapper or for train --from."
    if (folder / "model" / CONFIG_FILE).exists():
        return f"did you mean {str(folder / 'model')!r}?"
    return "it needs the files that save_pretrained writes."


def stays_inside(link: Path) -> bool:
    """Whether a link stays in its folder, or leads from a snapshot of the Hub's cache to a blob."""
    # Not Path.resolve, which fails where links go round in circles.
    folder, target = (Path(os.path.realpath(path)) for path in (link.parent, link))
    if target.parent == folder:
        return True
    repository = folder.parent.parent
    if folder.parent.name != "snapshots" or not repository.name.startswith("models--"):
        return False
    # The cache's folders hold hashes; one that all its repositories share lies beside them.
    shared = repository.parent / "blobs"
    return target.parent == repository / "blobs" or target.parent.parent == shared


def shorten(error: Exception) -> str:
    """Returns the message of an error on one line, of a length that a person reads."""
    message = " ".join(str(error).split())
    return message if len(message) <= MAX_MESSAGE else f"{message[:MAX_MESSAGE]}…"
