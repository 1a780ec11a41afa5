"""Recorded episodes, to learn from where there is no simulator: Minari's and LeRobot's."""

from core_repr.datasets.episodes import EpisodeDataset, RecordedEpisode
from core_repr.datasets.find import open_dataset

__all__ = ["EpisodeDataset", "RecordedEpisode", "open_dataset"]
