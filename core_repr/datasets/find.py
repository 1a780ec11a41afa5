"""Which format a data set has."""

from __future__ import annotations

import os
from pathlib import Path

from core_repr.datasets.episodes import EpisodeDataset
from core_repr.files.places import user_path


def open_dataset(
    source: str | os.PathLike[str], frame_size: int, camera: str | None = None
) -> EpisodeDataset:
    """Opens a data set of episodes with frames.

    Args:
        source: A folder of Minari's or LeRobot's (versions 2 and 3), or the id of a data set in
            Minari's own folder, ``~/.minari/datasets``.
        frame_size: Height and width in pixels that frames of a video are read with.
        camera: Which camera of several, as LeRobot's features are called; of a Minari data set,
            the name of the frames among the observations.

    Raises:
        FileNotFoundError: If there is no such data set.
        ModuleNotFoundError: If the package that reads it is missing.
        ValueError: If it holds no frames, or is broken.
    """
    folder = user_path(source)
    if (folder / "meta" / "info.json").is_file():
        from core_repr.datasets.lerobot import LeRobotDataset

        return LeRobotDataset(folder, frame_size, camera)
    if not folder.is_dir():
        folder = minari_folder(str(source))
    for place in (folder, folder / "data"):
        if (place / "metadata.json").is_file():
            from core_repr.datasets.minari import MinariEpisodes

            return MinariEpisodes(place, camera)
    raise FileNotFoundError(
        f"There is no data set {str(source)!r}: expected a folder of LeRobot's, with "
        "meta/info.json, or of Minari's, with data/metadata.json, or the id of a data set in "
        f"{minari_folder('').as_posix()}."
    )


def minari_folder(dataset_id: str) -> Path:
    """Returns where Minari keeps a data set."""
    root = os.environ.get("MINARI_DATASETS_PATH") or Path.home() / ".minari" / "datasets"
    return Path(root) / dataset_id
