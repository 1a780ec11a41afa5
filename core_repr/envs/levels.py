"""The levels of difficulty, as data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Level:
    """A level of difficulty.

    Attributes:
        scale: σ, how far colours, camera and lights vary.
        num_videos: How many clips the background is drawn from, by split.
    """

    scale: float
    num_videos: dict[str, int]


LEVELS = {
    "easy": Level(scale=0.1, num_videos={"train": 4, "val": 4}),
    "medium": Level(scale=0.2, num_videos={"train": 8, "val": 8}),
    "hard": Level(scale=0.3, num_videos={"train": 60, "val": 30}),
}

SPLITS = ("train", "val")
