"""Which videos a folder holds, and which of them are for training and which for validation."""

from __future__ import annotations

import logging
import re
from pathlib import Path

from core_repr.envs.clips import davis

_logger = logging.getLogger(__name__)

VIDEO_SUFFIXES = frozenset(
    {".3gp", ".avi", ".flv", ".gif", ".m4v", ".mkv", ".mov"}
    | {".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".webm", ".wmv"}
)
IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".webp"})

_DAVIS_COMMAND = "run `core-repr download davis`"


def find_davis(split: str) -> list[Path]:
    """Finds a split's videos in the data set that `core-repr download davis` left.

    Args:
        split: "train" or "val".

    Returns:
        The folders of images, in the data set's own order.

    Raises:
        FileNotFoundError: The data set is not there, or lacks a video.
    """
    folder = davis.folder()
    frames = davis.frames_folder(folder)
    if not frames.is_dir():
        raise FileNotFoundError(
            f"backgrounds='davis' needs DAVIS 2017, which is not in {folder}: {_DAVIS_COMMAND}, or "
            "pass the folder that holds it."
        )
    for name in davis.LENGTHS[split]:
        if not (frames / name).is_dir():
            raise FileNotFoundError(
                f"backgrounds='davis': {frames} lacks the video {name!r}; delete {folder} and "
                f"{_DAVIS_COMMAND} again."
            )
    return [frames / name for name in davis.LENGTHS[split]]


def find(folder: Path, split: str) -> list[Path]:
    """Finds a split's videos in a folder.

    There are three layouts. In DAVIS's (the folder, or `DAVIS` in it, has `JPEGImages/480p`; or it
    is that folder; or all its videos have names of DAVIS's) the data set's own lists say which
    videos are for what. A folder with two folders `train` and `val` says it by them. Of any other
    folder's videos, in natural order, the second, the fifth, the eighth and so on are for
    validation and the others for training.

    Args:
        folder: The folder.
        split: "train" or "val".

    Returns:
        Video files and folders of images. None is in both splits, not by another name either.

    Raises:
        FileNotFoundError: The folder is missing.
        NotADirectoryError: It is not a folder.
        ValueError: It holds no video.
    """
    if not folder.exists():
        raise FileNotFoundError(
            f"backgrounds={str(folder)!r} does not exist: pass a folder of videos, 'davis', or "
            "'procedural' for generated ones."
        )
    if not folder.is_dir():
        raise NotADirectoryError(
            f"backgrounds={str(folder)!r} is a file: pass the folder that holds it."
        )
    root = _davis_root(folder.absolute())
    if root is not None:
        splits = _by_list(root, _videos(davis.frames_folder(root)), split)
    elif all((folder / part).is_dir() for part in davis.LENGTHS):
        splits = {part: _videos(folder / part) for part in davis.LENGTHS}
    else:
        videos = _videos(folder)
        known = {name for names in davis.LENGTHS.values() for name in names}
        of_davis = {path.name for path in videos} <= known
        splits = _by_list(folder, videos, split) if of_davis else _by_number(videos)
    if not any(splits.values()):
        raise ValueError(
            f"backgrounds={str(folder)!r} holds no video: expected files that end in "
            f"{', '.join(sorted(VIDEO_SUFFIXES))}, or folders of images."
        )
    training = {path.resolve() for path in splits["train"]}
    splits["val"] = [path for path in splits["val"] if path.resolve() not in training]
    return splits[split]


def images(folder: Path) -> list[Path]:
    """Returns the images in a folder, in natural order; links that lead nowhere are among them."""
    return _sorted([path for path in folder.iterdir() if _is_image(path)])


def _videos(folder: Path) -> list[Path]:
    """Returns the video files and the folders of images in a folder, in natural order."""
    found = []
    for path in folder.iterdir():
        if _leads_nowhere(path):
            if _has(path, VIDEO_SUFFIXES):
                _logger.warning("%s is a link that leads nowhere, and is left out.", path)
        elif path.is_dir():
            if any(map(_is_image, path.iterdir())):
                found.append(path)
        elif path.is_file() and _has(path, VIDEO_SUFFIXES):
            found.append(path)
    return _sorted(found)


def _is_image(path: Path) -> bool:
    return _has(path, IMAGE_SUFFIXES) and (path.is_file() or _leads_nowhere(path))


def _leads_nowhere(path: Path) -> bool:
    return path.is_symlink() and not path.exists()


def _has(path: Path, suffixes: frozenset[str]) -> bool:
    # Names with a dot in front are what file managers leave next to a file.
    return path.suffix.lower() in suffixes and not path.name.startswith(".")


def _sorted(paths: list[Path]) -> list[Path]:
    """Sorts by name, numbers in names by their value: clip2 before clip10."""

    def key(path: Path) -> tuple[list[tuple[bool, int, str]], str]:
        parts = re.findall(r"(\d+)|(\D+)", path.name.casefold())
        return [(bool(word), int(number or 0), word) for number, word in parts], path.name

    return sorted(paths, key=key)


def _davis_root(folder: Path) -> Path | None:
    """Returns the folder that holds `JPEGImages`, given it, one that holds it, or `480p` in it."""
    for root in (folder / "DAVIS", folder):
        if davis.frames_folder(root).is_dir():
            return root
    root = folder.parent.parent
    frames = davis.frames_folder(root)
    return root if frames.is_dir() and frames.samefile(folder) else None


def _by_list(root: Path, videos: list[Path], asked: str) -> dict[str, list[Path]]:
    """Splits DAVIS's videos by its lists: those that the folder has, or else the data set's own."""
    found = {path.name: path for path in videos}
    splits = {}
    for split, lengths in davis.LENGTHS.items():
        path = davis.list_file(root, split)
        names = dict.fromkeys(path.read_text().split() if path.is_file() else lengths)
        splits[split] = [found[name] for name in names if name in found]
        missing = [name for name in names if name not in found]
        if missing and found and split == asked:
            _logger.warning(
                "%s holds %d of the %d %s videos in DAVIS's list; the first that it lacks is %s.",
                root,
                len(names) - len(missing),
                len(names),
                split,
                missing[0],
            )
    return splits


def _by_number(videos: list[Path]) -> dict[str, list[Path]]:
    """Splits videos two to one."""
    distinct = list({path.resolve(): path for path in reversed(videos)}.values())[::-1]
    return {
        "train": [path for i, path in enumerate(distinct) if i % 3 != 1],
        "val": [path for i, path in enumerate(distinct) if i % 3 == 1],
    }
