"""Colour distraction without a scene: every channel of the picture is shifted."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from core_repr.envs.mujoco.distraction import Walk


class Tint:
    """Draws a shift of each colour channel and lets it drift.

    Args:
        scale: σ, the largest shift of an RGB value in [0, 1].
        dynamic: Whether it drifts within an episode.

    Attributes:
        shift: The shifts now, shape (3,).
    """

    def __init__(self, *, scale: float, dynamic: bool) -> None:
        self._walk = Walk(np.zeros(3), scale, dynamic=dynamic)

    @property
    def shift(self) -> NDArray[np.float64]:
        """The shifts now."""
        return self._walk.values

    def reset(self, rng: np.random.Generator) -> None:
        """Draws new shifts; `rng` also drives the walk until the next reset."""
        self._walk.reset(rng)

    def step(self) -> None:
        """Lets the shifts drift by one step."""
        self._walk.step()

    def show(self, picture: NDArray[np.float32]) -> NDArray[np.float32]:
        """Returns a picture in other colours.

        Args:
            picture: RGB values from 0 to 255, shape (height, width, 3).
        """
        shifted: NDArray[np.float32] = picture + 255 * self.shift.astype(np.float32)
        return shifted.clip(0, 255)
