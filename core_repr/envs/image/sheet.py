"""Camera distraction without a scene: the picture as a flat sheet, and a camera that moves."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core_repr.envs.mujoco.directions import look_upright, roll_by, to_cartesian

_DISTANCE = 1 / math.tan(math.radians(45) / 2)
"""From here a sheet that is two units high fills a view of 45°, MuJoCo's own."""


class SheetMount:
    """Holds a camera before a flat sheet that shows the picture; it looks at the sheet's middle.

    The sheet is two units high. Where the camera is by itself, it sees the picture as it is.
    """

    data_arrays: tuple[str, ...] = ()

    def __init__(self) -> None:
        self._position = self.begin()
        self._rotation = look_upright(-self._position)

    def begin(self) -> NDArray[np.float64]:
        """Starts an episode.

        Returns:
            Where the camera is by itself, as seen from the middle of the sheet.
        """
        return np.array([0.0, -_DISTANCE, 0.0])

    def put(self, spherical: tuple[float, float, float], roll: float) -> None:
        """Puts the camera somewhere, looking at the middle of the sheet."""
        self._position = np.array(to_cartesian(*spherical))
        self._rotation = look_upright(-self._position) @ roll_by(roll)

    def attach(self, model: Any, data: Any) -> None:
        """There is no simulator to continue with."""

    def warp(self, picture: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Shows the sheet from where the camera is.

        Args:
            picture: Shape (height, width, channels).

        Returns:
            The view, of the same shape, with the sheet's edges continued; and where it shows the
            sheet itself, shape (height, width).
        """
        height, width = picture.shape[:2]
        aspect = width / height
        across = (np.arange(width) + 0.5) / width * 2 - 1
        down = (np.arange(height) + 0.5) / height * 2 - 1
        right, up, back = self._rotation.T
        rays = (
            (aspect * across)[None, :, None] * right - down[:, None, None] * up - _DISTANCE * back
        )
        # Where each ray meets the plane of the sheet, y = 0. The camera never reaches its side.
        points = self._position + (-self._position[1] / rays[..., 1])[..., None] * rays
        columns = (points[..., 0] / aspect + 1) / 2 * width - 0.5
        rows = (1 - points[..., 2]) / 2 * height - 0.5
        inside = (abs(points[..., 0]) <= aspect + 1e-9) & (abs(points[..., 2]) <= 1 + 1e-9)
        return _sample(picture, rows, columns), inside


def _sample(
    picture: NDArray[np.float32], rows: NDArray[np.float64], columns: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Reads a picture between its pixels; beyond its edges, it continues as at the edge."""
    height, width = picture.shape[:2]
    rows = np.clip(rows, 0, height - 1)
    columns = np.clip(columns, 0, width - 1)
    top, left = rows.astype(np.intp), columns.astype(np.intp)
    bottom, right = np.minimum(top + 1, height - 1), np.minimum(left + 1, width - 1)
    lower = (rows - top).astype(np.float32)[..., None]
    further = (columns - left).astype(np.float32)[..., None]
    upper_row = (1 - further) * picture[top, left] + further * picture[top, right]
    lower_row = (1 - further) * picture[bottom, left] + further * picture[bottom, right]
    sampled: NDArray[np.float32] = (1 - lower) * upper_row + lower * lower_row
    return sampled
