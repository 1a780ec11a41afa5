"""A camera that no model has: it looks at a point from some distance, as MuJoCo's viewer does."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class FreeCamera:
    """A free camera, as `mujoco.MjvCamera` has it, which can also roll.

    Attributes:
        lookat: The point that it looks at, in metres.
        distance: From there to the camera, in metres.
        azimuth: Direction of view about the vertical axis, in degrees; 0 is along x.
        elevation: Direction of view above the horizontal plane, in degrees; −90 is straight down.
        roll: About the line of sight, in radians.
        body: Number of the body that it looks at instead of a point, wherever the body is.
    """

    lookat: tuple[float, float, float]
    distance: float
    azimuth: float = 90.0
    elevation: float = -45.0
    roll: float = 0.0
    body: int | None = None

    @classmethod
    def default(cls, model: Any) -> FreeCamera:
        """Returns the one that MuJoCo's viewer starts with: it sees the whole model."""
        import mujoco

        camera = mujoco.MjvCamera()
        mujoco.mjv_defaultFreeCamera(model, camera)
        return cls(tuple(camera.lookat.tolist()), camera.distance, camera.azimuth, camera.elevation)

    def aim(self, camera: Any, data: Any) -> None:
        """Aims a `mujoco.MjvCamera`, but for the roll, at what is there in the `mujoco.MjData`."""
        camera.lookat[:] = self.lookat if self.body is None else data.xpos[self.body]
        camera.distance, camera.azimuth = self.distance, self.azimuth
        camera.elevation = self.elevation

    def turn(self, eyes: Sequence[Any]) -> None:
        """Rolls the cameras of a `mujoco.MjvScene` about their lines of sight."""
        if self.roll:
            for eye in eyes:
                right = np.cross(eye.forward, eye.up)
                eye.up[:] = math.cos(self.roll) * eye.up - math.sin(self.roll) * right

    @property
    def offset(self) -> NDArray[np.float64]:
        """The way from the point that it looks at to the camera, shape (3,)."""
        azimuth, elevation = math.radians(self.azimuth), math.radians(self.elevation)
        level = math.cos(elevation)
        way = (level * math.cos(azimuth), level * math.sin(azimuth), math.sin(elevation))
        return -self.distance * np.array(way)
