"""Directions, angles and rotations of a camera."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


def to_spherical(x: float, y: float, z: float) -> tuple[float, float, float]:
    """Returns (radius, horizontal, vertical) of a point; vertical is 0 at the north pole."""
    return (
        math.sqrt(x * x + y * y + z * z),
        math.atan2(y, x),
        math.atan2(math.hypot(x, y), z),
    )


def to_cartesian(radius: float, horizontal: float, vertical: float) -> tuple[float, float, float]:
    """Returns the point at spherical coordinates, see `to_spherical`."""
    ring = radius * math.sin(vertical)
    return ring * math.cos(horizontal), ring * math.sin(horizontal), radius * math.cos(vertical)


def nearest_angles(
    horizontal: float, vertical: float, near_horizontal: float, near_vertical: float
) -> tuple[float, float]:
    """Returns the same direction, in the angles that are nearest to given ones.

    (h, v), (h ± 2π, v) and (h ± π, −v) point the same way. Crossing a pole or the back then leaves
    no jump.
    """

    def around(angle: float) -> float:
        return angle - 2 * math.pi * round((angle - near_horizontal) / (2 * math.pi))

    same, flipped = around(horizontal), around(horizontal + math.pi)
    distance = (same - near_horizontal) ** 2 + (vertical - near_vertical) ** 2
    flipped_distance = (flipped - near_horizontal) ** 2 + (-vertical - near_vertical) ** 2
    return (same, vertical) if distance <= flipped_distance else (flipped, -vertical)


def look_upright(direction: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the rotation, shape (3, 3), of a camera that looks along `direction`, upright."""
    x, y, z = direction / np.linalg.norm(direction)
    level = math.hypot(x, y)
    right = np.array([y / level, -x / level, 0.0])
    back = np.array([-x, -y, -z])
    return np.stack([right, np.cross(back, right), back], axis=1)


def look_from_above(direction: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the smallest rotation, shape (3, 3), from looking down to looking at `direction`.

    Near straight down, where upright turns with every small move, this one stays calm.
    """
    x, y, z = direction / np.linalg.norm(direction)
    # Rodrigues' formula with the axis (0, 0, −1) × (x, y, z) = (y, −x, 0) and the cosine −z.
    share = 1.0 / (1.0 - z)
    return np.array(
        [
            [-z + y * y * share, -x * y * share, -x],
            [-x * y * share, -z + x * x * share, -y],
            [x, y, -z],
        ]
    )


def roll_by(angle: float) -> NDArray[np.float64]:
    """Returns the rotation, shape (3, 3), by `angle` about the camera's own line of sight."""
    cos, sin = math.cos(angle), math.sin(angle)
    return np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
