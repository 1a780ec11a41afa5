"""Camera distraction: the camera moves and keeps looking at what it looked at."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

_FIXED, _TRACKCOM = 0, 2
"""The modes of `mujoco.mjtCamLight` that the tasks' cameras have."""


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


class Camera:
    """Draws a camera's pose and lets it drift.

    The position is kept in spherical coordinates about the world's origin (fixed cameras) or the
    body's centre of mass (tracking cameras): both angles and the roll stay within ±σ·π/2 of the
    model's own, the distance between −0.5σ and +1.5σ of it. In a dynamic episode velocity takes a
    random walk. A fixed camera keeps looking at the point it looked at when the episode started, a
    tracking one at the body.

    Args:
        model: The `mujoco.MjModel`.
        data: Its `mujoco.MjData`, where `apply` writes the pose.
        camera_id: Which camera.
        scale: σ.
        dynamic: Whether the camera moves within an episode.
        upper_quadrant: Whether it stays above the horizontal plane through what it turns about,
            and in front. Such a camera is kept upright before the roll.
        one_sided: Whether the angles are cut as in the published suite, which takes them between
            −π and π and from the pole, whatever they were before. A camera that may move beyond
            the pole, as reacher's may, then stays on the side that it looks from by itself: what
            is drawn beyond the pole comes back over it, at the bound of the horizontal angle.

    Attributes:
        spherical: Radius, horizontal and vertical angle now.
        roll: The roll now, in radians.
        low: Lower bounds of radius, horizontal, vertical, roll.
        high: Upper bounds of the same.
    """

    def __init__(
        self,
        model: Any,
        data: Any,
        *,
        camera_id: int,
        scale: float,
        dynamic: bool,
        upper_quadrant: bool,
        one_sided: bool = False,
    ) -> None:
        mode = int(model.cam_mode[camera_id])
        if mode not in (_FIXED, _TRACKCOM):
            raise ValueError(f"camera {camera_id} has mode {mode}, expected fixed or trackcom")
        self._data = data
        self._camera_id = camera_id
        self._dynamic = dynamic
        self._one_sided = one_sided
        self._look = look_upright if upper_quadrant else look_from_above
        self._tracked = int(model.cam_bodyid[camera_id]) if mode == _TRACKCOM else None
        self._forward = -np.array(model.cam_mat0[camera_id]).reshape(3, 3)[:, 2]
        self._start = np.array(
            model.cam_pos0[camera_id] if self._tracked is None else model.cam_poscom0[camera_id]
        )

        radius, horizontal, vertical = to_spherical(*self._start)
        swing = scale * math.pi / 2
        self.low = np.array(
            [radius * (1 - 0.5 * scale), horizontal - swing, vertical - swing, -swing]
        )
        self.high = np.array(
            [radius * (1 + 1.5 * scale), horizontal + swing, vertical + swing, swing]
        )
        if upper_quadrant:
            # In front is -y. A camera that looks from elsewhere keeps its side by ±σ·π/2 alone.
            quadrant = ((1, horizontal, -math.pi, 0.0), (2, vertical, 0.0, math.pi / 2))
            for angle, start, least, most in quadrant:
                if least <= start <= most:
                    self.low[angle] = max(self.low[angle], least)
                    self.high[angle] = min(self.high[angle], most)
        # The suite's usual camera is 4 m away; nearer ones move more slowly.
        self._velocity_std = 0.1 * scale * radius / 4
        self._max_speed = 0.4 * scale * radius / 4
        self._roll_velocity_std = scale * math.pi / 300
        self._max_roll_speed = scale * math.pi / 50
        self._bounds = tuple(zip(self.low.tolist(), self.high.tolist(), strict=True))
        self.spherical = (radius, horizontal, vertical)
        self.roll = 0.0

    def reset(self, rng: np.random.Generator) -> None:
        """Draws a pose and velocities. The simulator's state must be that of the new episode."""
        self._rng = rng
        radius, horizontal, vertical, self.roll = rng.uniform(self.low, self.high).tolist()
        self.spherical = (radius, horizontal, vertical)
        heading = rng.standard_normal(3)
        heading *= rng.uniform(0.0, self._max_speed) / np.linalg.norm(heading)
        self._velocity: tuple[float, float, float] = tuple(heading.tolist())
        self._roll_velocity = float(rng.uniform(-self._max_roll_speed, self._max_roll_speed))
        if self._one_sided:
            # The suite moves its camera before the first frame, in static episodes too.
            heading += self._move(0.0, 0.0, 0.0)
            self._velocity = tuple(heading.tolist())

        if self._tracked is None:
            # As far away as the body, straight ahead of the model's own camera.
            distance = float(np.linalg.norm(self._start - self._data.subtree_com[1]))
        else:
            distance = float(np.linalg.norm(self._start))
        self._target = self._start + distance * self._forward

    def step(self) -> None:
        """Moves the camera for one simulator step."""
        if not self._dynamic:
            return
        noise = self._rng.standard_normal(4).tolist()
        vx, vy, vz = (
            v + self._velocity_std * n for v, n in zip(self._velocity, noise, strict=False)
        )
        speed = math.sqrt(vx * vx + vy * vy + vz * vz)
        brake = min(1.0, self._max_speed / speed) if speed else 1.0
        # What a bound takes away of the way is taken from the velocity too.
        self._velocity = self._move(brake * vx, brake * vy, brake * vz)

        roll_velocity = self._roll_velocity + self._roll_velocity_std * noise[3]
        roll_velocity = min(max(roll_velocity, -self._max_roll_speed), self._max_roll_speed)
        roll_low, roll_high = self._bounds[3]
        roll = min(max(self.roll + roll_velocity, roll_low), roll_high)
        self._roll_velocity = roll - self.roll
        self.roll = roll

    def _move(self, vx: float, vy: float, vz: float) -> tuple[float, float, float]:
        """Moves by a vector, as far as the bounds let it; returns how far it came."""
        x, y, z = to_cartesian(*self.spherical)
        radius, horizontal, vertical = to_spherical(x + vx, y + vy, z + vz)
        if not self._one_sided:
            horizontal, vertical = nearest_angles(horizontal, vertical, *self.spherical[1:])
        (r_low, r_high), (h_low, h_high), (v_low, v_high), _ = self._bounds
        self.spherical = (
            min(max(radius, r_low), r_high),
            min(max(horizontal, h_low), h_high),
            min(max(vertical, v_low), v_high),
        )
        new_x, new_y, new_z = to_cartesian(*self.spherical)
        return new_x - x, new_y - y, new_z - z

    def apply(self) -> None:
        """Writes the pose into the simulator's data, where it lasts until the next step."""
        position = np.array(to_cartesian(*self.spherical))
        rotation = self._look(self._target - position) @ roll_by(self.roll)
        if self._tracked is not None:
            position = position + self._data.subtree_com[self._tracked]
        self._data.cam_xpos[self._camera_id] = position
        self._data.cam_xmat[self._camera_id] = rotation.ravel()

    def attach(self, model: Any, data: Any) -> None:
        """Continues with a copy of the simulator."""
        self._data = data
