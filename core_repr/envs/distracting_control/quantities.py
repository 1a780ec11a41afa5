"""What happens in the simulator, as named physical quantities."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float

HINGE = 3
"""`mujoco.mjtJoint.mjJNT_HINGE`."""

TARGET = "target"
"""Name of the geometry that an arm has to reach: it stands still, and no joint moves it."""


class PhysicalQuantities:
    """Positions and velocities with names.

    A joint that turns without limits has no position but a direction: it is given by cosine and
    sine. Where a task has a target to reach, it is told where that is, in metres from the arm's
    base.

    Args:
        physics: `dm_control.mujoco.Physics` of joints that slide or turn.

    Attributes:
        names: Of the quantities, such as "slider", "cos hinge_1" and "slider velocity".
    """

    def __init__(self, physics: Any) -> None:
        self._physics = physics
        model = physics.model.ptr
        self._turns = [
            model.jnt_type[i] == HINGE and not model.jnt_limited[i] for i in range(model.njnt)
        ]
        joints = [model.joint(i).name for i in range(model.njnt)]
        self.names: list[str] = []
        for name, turns in zip(joints, self._turns, strict=True):
            self.names += [f"cos {name}", f"sin {name}"] if turns else [name]
        self.names += [f"{name} velocity" for name in joints]
        geometries = [model.geom(i).name for i in range(model.ngeom)]
        self._target = geometries.index(TARGET) if TARGET in geometries else None
        if self._target is not None:
            self.names += ["target x", "target y"]

    def __call__(self) -> Float[np.ndarray, " q"]:
        """Returns the quantities now, in the order of their names."""
        data = self._physics.data
        values: list[float] = []
        for position, turns in zip(data.qpos, self._turns, strict=True):
            values += [np.cos(position), np.sin(position)] if turns else [position]
        values += [*data.qvel]
        if self._target is not None:
            values += [*data.geom_xpos[self._target, :2]]
        return np.array(values)
