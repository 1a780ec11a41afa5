"""Camera distraction: the camera moves and keeps looking at what it looked at."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core_repr.envs.mujoco.directions import nearest_angles, to_cartesian, to_spherical
from core_repr.envs.mujoco.mounts import Mount


class Camera:
    """Draws a camera's pose and lets it drift.

    The position is kept in spherical coordinates about what the camera turns about: both angles and
    the roll stay within ±σ·π/2 of the camera's own, the distance between −0.5σ and +1.5σ of it. In
    a dynamic episode velocity takes a random walk.

    Args:
        mount: What holds the camera, and knows what it turns about and where it looks.
        scale: σ.
        dynamic: Whether the camera moves within an episode.
        above: Whether it stays above the horizontal plane through what it turns about, if it
            is there by itself.
        in_front: Whether it stays in front of it, where y is negative, if it is there by itself.
        one_sided: Whether the angles are cut as in the published suite, which takes them between
            −π and π and from the pole, whatever they were before. A camera that may move beyond
            the pole, as reacher's may, then stays on the side that it looks from by itself: what
            is drawn beyond the pole comes back over it, at the bound of the horizontal angle.

    Attributes:
        mount: What holds the camera.
        spherical: Radius, horizontal and vertical angle now.
        roll: The roll now, in radians.
        low: Lower bounds of radius, horizontal, vertical, roll in this episode.
        high: Upper bounds of the same.
    """

    model_arrays: tuple[str, ...] = ()

    def __init__(
        self,
        mount: Mount,
        *,
        scale: float,
        dynamic: bool,
        above: bool,
        in_front: bool = False,
        one_sided: bool = False,
    ) -> None:
        self.mount = mount
        self.data_arrays = mount.data_arrays
        self._scale = scale
        self._dynamic = dynamic
        self._above, self._in_front = above, in_front
        self._one_sided = one_sided
        self.roll = 0.0

    def reset(self, rng: np.random.Generator) -> None:
        """Draws a pose and velocities. The simulator's state must be that of the new episode."""
        self._rng = rng
        self._set_bounds(self.mount.begin())
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

    def _set_bounds(self, start: NDArray[np.float64]) -> None:
        """Sets the bounds of an episode about where the camera is by itself."""
        radius, horizontal, vertical = to_spherical(*start)
        scale, swing = self._scale, self._scale * math.pi / 2
        self.low = np.array(
            [radius * (1 - 0.5 * scale), horizontal - swing, vertical - swing, -swing]
        )
        self.high = np.array(
            [radius * (1 + 1.5 * scale), horizontal + swing, vertical + swing, swing]
        )
        quadrant = (
            (self._in_front, 1, horizontal, -math.pi, 0.0),
            (self._above, 2, vertical, 0.0, math.pi / 2),
        )
        for stays, angle, own, least, most in quadrant:
            if stays and least <= own <= most:
                self.low[angle] = max(self.low[angle], least)
                self.high[angle] = min(self.high[angle], most)
        # The suite's usual camera is 4 m away; nearer ones move more slowly.
        self._velocity_std = 0.1 * scale * radius / 4
        self._max_speed = 0.4 * scale * radius / 4
        self._roll_velocity_std = scale * math.pi / 300
        self._max_roll_speed = scale * math.pi / 50
        self._bounds = tuple(zip(self.low.tolist(), self.high.tolist(), strict=True))

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
        """Puts the camera where it is due."""
        self.mount.put(self.spherical, self.roll)

    def attach(self, model: Any, data: Any) -> None:
        """Continues with a copy of the simulator."""
        self.mount.attach(model, data)
