"""Which clip an episode shows, and which frame of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core_repr.envs.clips.clip import Clip


class Playback:
    """Which frame of a clip is shown: back and forth, one frame a simulator step.

    At either end the direction turns, so the frames 0, 1, 2 play as 0, 1, 2, 1, 0, 1, …

    Args:
        length: Number of frames, at least 1.
        index: The frame to start at.
        direction: +1 forwards, −1 backwards.
    """

    def __init__(self, length: int, index: int, direction: int) -> None:
        self.length = length
        self.index = index
        self.direction = direction

    def step(self) -> None:
        """Moves on to the next frame."""
        if self.length == 1:
            return
        if not 0 <= self.index + self.direction < self.length:
            self.direction = -self.direction
        self.index += self.direction


class ClipPlayer:
    """Chooses a clip for each episode and plays it.

    A static episode shows one random frame of it.

    Args:
        clips: What to choose from, all of one size.
        dynamic: Whether the clip plays.

    Attributes:
        frame: The picture shown now, shape (size, size, 3).
        clip: The clip of this episode.
    """

    def __init__(self, clips: Sequence[Clip], *, dynamic: bool) -> None:
        self._clips = clips
        self._dynamic = dynamic
        self.clip = clips[0]
        self.frame: NDArray[np.uint8] | None = None

    def reset(self, rng: np.random.Generator) -> None:
        """Draws a clip, a frame to start at and a direction.

        Raises:
            ValueError: The clip cannot be decoded, or has a single frame and should play.
        """
        self.clip = self._clips[int(rng.integers(len(self._clips)))]
        self._frames = self.clip.frames()
        length = len(self._frames)
        if length == 1 and self._dynamic:
            raise ValueError(
                f"{self.clip} has a single frame, which cannot move: replace it by a clip "
                "of two frames or more, or make the environment with dynamic=False."
            )
        self._playback = Playback(length, int(rng.integers(length)), 2 * int(rng.integers(2)) - 1)
        self.frame = self._frames[self._playback.index]

    def step(self) -> None:
        """Moves the clip on by one simulator step."""
        if self._dynamic:
            self._playback.step()

    def show(self) -> None:
        """Makes the frame that is due the picture to show."""
        if self._dynamic:
            self.frame = self._frames[self._playback.index]

    def __getstate__(self) -> dict[str, Any]:
        # The frames lie in the cache, where copies and other processes find them.
        return {name: value for name, value in self.__dict__.items() if name != "_frames"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self.frame is not None:
            self._frames = self.clip.frames()
            self.frame = self._frames[self._playback.index]
