"""What holds a camera: it knows what the camera turns about, and where it looks from there."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from core_repr.envs.mujoco.directions import look_from_above, look_upright, roll_by, to_cartesian
from core_repr.envs.rendering.free_camera import FreeCamera

_FIXED, _TRACKCOM = 0, 2
"""The modes of `mujoco.mjtCamLight` that the suite's cameras have."""

_STEEP = math.cos(math.radians(15))
"""A direction this much along the vertical has no upright that stays calm."""

_NEAREST = 0.1
"""A camera turns about a point at least this far away, in units of the model's extent."""


class Mount(Protocol):
    """What holds a camera.

    Attributes:
        data_arrays: What `put` writes of the `mujoco.MjData`.
    """

    data_arrays: tuple[str, ...]

    def begin(self) -> NDArray[np.float64]:
        """Starts an episode.

        Returns:
            Where the camera is by itself, as seen from what it turns about, shape (3,).
        """

    def put(self, spherical: tuple[float, float, float], roll: float) -> None:
        """Puts the camera somewhere until the next frame.

        Args:
            spherical: Radius, horizontal and vertical angle about what it turns about.
            roll: About the line of sight, in radians.
        """

    def attach(self, model: Any, data: Any) -> None:
        """Continues with a copy of the simulator."""


class SuiteMount:
    """Holds a camera as the published Distracting Control Suite does.

    A fixed camera turns about the world's origin and keeps looking at the point that it looked at
    when the episode started, a tracking one turns about the body's centre of mass and looks at it.

    Args:
        model: The `mujoco.MjModel`.
        data: Its `mujoco.MjData`.
        camera_id: Which camera, fixed or tracking a centre of mass.
        upright: Whether the camera is kept upright before the roll. One that hangs straight above
            is not.
    """

    data_arrays: tuple[str, ...] = ("cam_xpos", "cam_xmat")

    def __init__(self, model: Any, data: Any, *, camera_id: int, upright: bool) -> None:
        mode = int(model.cam_mode[camera_id])
        if mode not in (_FIXED, _TRACKCOM):
            raise ValueError(f"camera {camera_id} has mode {mode}, expected fixed or trackcom")
        self._data = data
        self._camera_id = camera_id
        self._look = look_upright if upright else look_from_above
        self._tracked = int(model.cam_bodyid[camera_id]) if mode == _TRACKCOM else None
        self._forward = -np.array(model.cam_mat0[camera_id]).reshape(3, 3)[:, 2]
        self._start = np.array(
            model.cam_pos0[camera_id] if self._tracked is None else model.cam_poscom0[camera_id]
        )

    def begin(self) -> NDArray[np.float64]:
        """Starts an episode: finds the point to look at."""
        if self._tracked is None:
            # As far away as the body, straight ahead of the model's own camera.
            distance = float(np.linalg.norm(self._start - self._data.subtree_com[1]))
        else:
            distance = float(np.linalg.norm(self._start))
        self._target = self._start + distance * self._forward
        return self._start

    def put(self, spherical: tuple[float, float, float], roll: float) -> None:
        """Writes a pose into the simulator's data."""
        position = np.array(to_cartesian(*spherical))
        rotation = self._look(self._target - position) @ roll_by(roll)
        if self._tracked is not None:
            position = position + self._data.subtree_com[self._tracked]
        self._data.cam_xpos[self._camera_id] = position
        self._data.cam_xmat[self._camera_id] = rotation.ravel()

    def attach(self, model: Any, data: Any) -> None:
        """Continues with a copy of the simulator."""
        self._data = data


class ModelMount:
    """Holds any camera of a model, wherever the model moves it.

    It turns about a point or a body; without either, about the point straight ahead that is as far
    away as what it tracks, or as the middle of the model. Where the distraction is nothing, the
    camera sees what it sees by itself.

    Args:
        model: The `mujoco.MjModel`.
        data: Its `mujoco.MjData`.
        camera_id: Which camera.
        look_at: The point that it turns about, in metres, or the number of a body.
    """

    data_arrays: tuple[str, ...] = ("cam_xpos", "cam_xmat")

    def __init__(
        self, model: Any, data: Any, *, camera_id: int, look_at: NDArray[np.float64] | int | None
    ) -> None:
        self._model, self._data = model, data
        self._camera_id = camera_id
        self._look_at = look_at
        self._look: Callable[[NDArray[np.float64]], NDArray[np.float64]] = look_upright

    def begin(self) -> NDArray[np.float64]:
        """Starts an episode."""
        position, rotation = self._own_pose()
        forward = -rotation[:, 2]
        tracked = int(self._model.cam_bodyid[self._camera_id])
        middle = self._data.subtree_com[tracked] if tracked else self._model.stat.center
        nearest = _NEAREST * float(self._model.stat.extent)
        self._ahead = max(float(forward @ (middle - position)), nearest)
        self._start = position - self._centre(position, forward)
        distance = float(np.linalg.norm(self._start))
        self._look = look_from_above if self._start[2] > _STEEP * distance else look_upright
        return self._start

    def put(self, spherical: tuple[float, float, float], roll: float) -> None:
        """Writes a pose into the simulator's data."""
        position, rotation = self._own_pose()
        centre = self._centre(position, -rotation[:, 2])
        offset = np.array(to_cartesian(*spherical))
        turn = self._look(-offset) @ self._look(-self._start).T
        nearer = np.linalg.norm(offset) / np.linalg.norm(self._start)
        self._data.cam_xpos[self._camera_id] = centre + nearer * (turn @ (position - centre))
        self._data.cam_xmat[self._camera_id] = (turn @ rotation @ roll_by(roll)).ravel()

    def attach(self, model: Any, data: Any) -> None:
        """Continues with a copy of the simulator."""
        self._model, self._data = model, data

    def _own_pose(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Returns position and rotation of the camera by itself, shapes (3,) and (3, 3)."""
        rotation = self._data.cam_xmat[self._camera_id].reshape(3, 3)
        return self._data.cam_xpos[self._camera_id].copy(), rotation.copy()

    def _centre(
        self, position: NDArray[np.float64], forward: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Returns what the camera turns about now, shape (3,)."""
        if self._look_at is None:
            return position + self._ahead * forward
        if isinstance(self._look_at, int):
            body: NDArray[np.float64] = self._data.xpos[self._look_at]
            return body
        return self._look_at


class FreeMount:
    """Holds a camera that the model does not have; it turns about what it looks at.

    Args:
        own: The camera by itself.

    Attributes:
        camera: Where the camera is now.
    """

    data_arrays: tuple[str, ...] = ()

    def __init__(self, own: FreeCamera) -> None:
        self._own = self.camera = own

    def begin(self) -> NDArray[np.float64]:
        """Starts an episode."""
        return self._own.offset

    def put(self, spherical: tuple[float, float, float], roll: float) -> None:
        """Keeps the pose for the renderer, which reads `camera`."""
        radius, horizontal, vertical = spherical
        self.camera = replace(
            self._own,
            distance=radius,
            azimuth=math.degrees(horizontal) + 180.0,
            elevation=math.degrees(vertical) - 90.0,
            roll=roll,
        )

    def attach(self, model: Any, data: Any) -> None:
        """Continues with a copy of the simulator: a free camera needs none."""
