"""What happens in the simulator, as named physical quantities."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

FREE, BALL, SLIDE, HINGE = range(4)
"""The types of `mujoco.mjtJoint`."""

TARGET = "target"
"""Name of the geometry that a body has to reach: it stands still, and no joint moves it."""


class PhysicalQuantities:
    """Positions and velocities with names.

    A joint that turns without limits has no position but a direction: it is given by cosine and
    sine. What turns freely is given by the directions of its own x and y axes. Where a task has a
    target to reach, its place is given, in metres: across and along, and its height if bodies move
    freely.

    Args:
        physics: `dm_control.mujoco.Physics`.

    Attributes:
        names: Of the quantities, such as "slider", "cos hinge_1", "root x", "root axis xy" and
            "slider velocity".
    """

    def __init__(self, physics: Any) -> None:
        self._physics = physics
        model = physics.model.ptr
        self.names: list[str] = []
        velocities: list[str] = []
        self._joints: list[tuple[int, int, bool]] = []
        for i in range(model.njnt):
            name, kind = model.joint(i).name, int(model.jnt_type[i])
            turns = kind == HINGE and not model.jnt_limited[i]
            self._joints.append((kind, int(model.jnt_qposadr[i]), turns))
            if kind == FREE:
                self.names += [f"{name} {axis}" for axis in "xyz"]
                velocities += [f"{name} {axis} velocity" for axis in "xyz"]
            if kind in (FREE, BALL):
                self.names += [f"{name} axis {own}{axis}" for own in "xy" for axis in "xyz"]
                velocities += [f"{name} {axis} angular velocity" for axis in "xyz"]
            elif turns:
                self.names += [f"cos {name}", f"sin {name}"]
            else:
                self.names.append(name)
            if kind in (SLIDE, HINGE):
                velocities.append(f"{name} velocity")
        self.names += velocities
        geometries = [model.geom(i).name for i in range(model.ngeom)]
        self._target = geometries.index(TARGET) if TARGET in geometries else None
        self._target_size = 3 if FREE in model.jnt_type else 2
        if self._target is not None:
            self.names += [f"target {axis}" for axis in "xyz"[: self._target_size]]

    def __call__(self) -> Float[np.ndarray, " q"]:
        """Returns the quantities now, in the order of their names."""
        data = self._physics.data
        values: list[float] = []
        for kind, start, turns in self._joints:
            if kind == FREE:
                values += [*data.qpos[start : start + 3]]
            if kind in (FREE, BALL):
                first = start + 3 * (kind == FREE)
                values += [*_axes(data.qpos[first : first + 4])]
            elif turns:
                values += [np.cos(data.qpos[start]), np.sin(data.qpos[start])]
            else:
                values.append(data.qpos[start])
        values += [*data.qvel]
        if self._target is not None:
            values += [*data.geom_xpos[self._target, : self._target_size]]
        return np.array(values)


def _axes(quaternion: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the directions of the x and y axes that a quaternion (w, x, y, z) turns to."""
    w, x, y, z = quaternion / np.linalg.norm(quaternion)
    return np.array(
        [
            *(1 - 2 * (y * y + z * z), 2 * (x * y + w * z), 2 * (x * z - w * y)),
            *(2 * (x * y - w * z), 1 - 2 * (x * x + z * z), 2 * (y * z + w * x)),
        ]
    )
