"""What a distraction is."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

_STEP_STD = 0.03
"""Standard deviation of a step of a random walk, in units of half its range."""


class Distraction(Protocol):
    """A part of the picture that says nothing about the task.

    Attributes:
        model_arrays: What `apply` writes of the `mujoco.MjModel`, such as "mat_rgba". The view puts
            it back after each frame.
        data_arrays: What it writes of the `mujoco.MjData`.
    """

    model_arrays: tuple[str, ...]
    data_arrays: tuple[str, ...]

    def reset(self, rng: np.random.Generator) -> None:
        """Draws the start of an episode; `rng` belongs to the distraction until the next one."""

    def step(self) -> None:
        """Moves on by one simulator step."""

    def apply(self) -> None:
        """Writes the state into the simulator, for rendering."""

    def attach(self, model: Any, data: Any) -> None:
        """Continues with a copy of the simulator: a `mujoco.MjModel` and its `mujoco.MjData`."""


class Walk:
    """Values that are drawn uniformly within bounds and then take a random walk inside them.

    Args:
        own: The undisturbed values, of any shape.
        scale: The largest deviation from them, a number or of a shape that fits.
        low: The lowest value that makes sense.
        high: The highest one.
        dynamic: Whether the values walk.

    Attributes:
        values: The values now, shape of `own`.
        low: Their lower bounds, same shape.
        high: Their upper bounds, same shape.
    """

    def __init__(
        self,
        own: NDArray[np.floating],
        scale: float | NDArray[np.float64],
        *,
        low: float = -np.inf,
        high: float = np.inf,
        dynamic: bool,
    ) -> None:
        self.values: NDArray[np.float64] = np.array(own, dtype=np.float64)
        self.low: NDArray[np.float64] = np.clip(self.values - scale, low, high)
        self.high: NDArray[np.float64] = np.clip(self.values + scale, low, high)
        self._std = _STEP_STD * scale
        self._walks = dynamic and bool(np.any(scale))

    def reset(self, rng: np.random.Generator) -> None:
        """Draws new values; `rng` also drives the walk until the next reset."""
        self._rng = rng
        self.values = rng.uniform(self.low, self.high)

    def step(self) -> None:
        """Moves on by one simulator step."""
        if self._walks:
            self.values = self.values + self._std * self._rng.standard_normal(self.values.shape)
            np.maximum(self.values, self.low, out=self.values)
            np.minimum(self.values, self.high, out=self.values)
