"""Colour distraction: every colour varies about its own."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from core_repr.envs.mujoco.distraction import Walk
from core_repr.envs.mujoco.surfaces import colored_by_themselves


class Color:
    """Draws the colours of a model's surfaces and lets them drift.

    At a reset every RGB value is drawn uniformly within ±`scale` of its own, clipped to [0, 1]. In
    a dynamic episode it then takes a Gaussian random walk inside those bounds.

    Args:
        model: The `mujoco.MjModel` to colour.
        scale: σ, the largest deviation of an RGB value in [0, 1].
        dynamic: Whether colours drift within an episode.
        geometries: Whether geometries in a colour of their own are coloured too, or materials
            alone, as in the published suite.

    Attributes:
        rgb: The colours now, shape (materials + such geometries, 3).
        low: Their lower bounds, same shape.
        high: Their upper bounds, same shape.
    """

    model_arrays: tuple[str, ...] = ("mat_rgba", "geom_rgba")
    data_arrays: tuple[str, ...] = ()

    def __init__(self, model: Any, *, scale: float, dynamic: bool, geometries: bool) -> None:
        self._model = model
        self._materials = len(model.mat_rgba)
        drawn = colored_by_themselves(model) if geometries else np.zeros(0, np.bool_)
        self._geometries: NDArray[np.intp] = np.flatnonzero(drawn)
        own = np.concatenate([model.mat_rgba[:, :3], model.geom_rgba[self._geometries, :3]])
        self._walk = Walk(own, scale, low=0.0, high=1.0, dynamic=dynamic)
        self.low, self.high = self._walk.low, self._walk.high

    @property
    def rgb(self) -> NDArray[np.float64]:
        """The colours now."""
        return self._walk.values

    def reset(self, rng: np.random.Generator) -> None:
        """Draws new colours; `rng` also drives the walk until the next reset."""
        self._walk.reset(rng)

    def step(self) -> None:
        """Lets the colours drift for one simulator step."""
        self._walk.step()

    def apply(self) -> None:
        """Writes the colours into the model."""
        self._model.mat_rgba[:, :3] = self.rgb[: self._materials]
        self._model.geom_rgba[self._geometries, :3] = self.rgb[self._materials :]

    def attach(self, model: Any, data: Any) -> None:
        """Continues with a copy of the simulator."""
        self._model = model
