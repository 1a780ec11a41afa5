"""Colour distraction: every material's colour varies about its own."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_STEP_STD = 0.03
"""Standard deviation of a simulator step of the random walk, in units of the scale."""


class Color:
    """Draws the colours of a model's materials and lets them drift.

    At a reset every RGB value is drawn uniformly within ±`scale` of its own, clipped to [0, 1]. In
    a dynamic episode it then takes a Gaussian random walk inside those bounds.

    Args:
        model: The `mujoco.MjModel` to colour.
        scale: σ, the largest deviation of an RGB value in [0, 1].
        dynamic: Whether colours drift within an episode.

    Attributes:
        rgb: The colours now, shape (materials, 3).
        low: Their lower bounds, same shape.
        high: Their upper bounds, same shape.
    """

    def __init__(self, model: Any, *, scale: float, dynamic: bool) -> None:
        self._model = model
        self._std = _STEP_STD * scale if dynamic else 0.0
        own = np.array(model.mat_rgba[:, :3], dtype=np.float64)
        self.low = np.clip(own - scale, 0.0, 1.0)
        self.high = np.clip(own + scale, 0.0, 1.0)
        self.rgb: NDArray[np.float64] = own

    def reset(self, rng: np.random.Generator) -> None:
        """Draws new colours; `rng` also drives the walk until the next reset."""
        self._rng = rng
        self.rgb = rng.uniform(self.low, self.high)

    def step(self) -> None:
        """Lets the colours drift for one simulator step."""
        if self._std:
            self.rgb = self.rgb + self._std * self._rng.standard_normal(self.rgb.shape)
            np.maximum(self.rgb, self.low, out=self.rgb)
            np.minimum(self.rgb, self.high, out=self.rgb)

    def apply(self) -> None:
        """Writes the colours into the model."""
        self._model.mat_rgba[:, :3] = self.rgb

    def attach(self, model: Any, data: Any) -> None:
        """Continues with a copy of the simulator."""
        self._model = model
