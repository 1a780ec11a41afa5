"""The simulator's state as named physical quantities."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

HINGE = 3
"""`mujoco.mjtJoint.mjJNT_HINGE`."""

TARGET = "target"
"""Name of the geometry that an arm has to reach: it stands still, and no joint moves it."""


class PhysicalQuantities:
    """Turns `info["physics_state"]` into positions and velocities with names.

    The state is the simulator's, and where a task has a target to reach, two values more: where it
    is, in metres from the arm's base.

    A joint that turns without limits has no position but a direction: it is given by cosine and
    sine.

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

    def state(self) -> Float[np.ndarray, " s"]:
        """Returns positions, velocities and activations now, and where a target is."""
        state: NDArray[np.float64] = self._physics.get_state()
        if self._target is None:
            return state
        return np.concatenate([state, self._physics.data.geom_xpos[self._target, :2]])

    def __call__(self, states: Float[np.ndarray, "*batch s"]) -> Float[np.ndarray, "*batch q"]:
        """Returns the quantities of states, in the order of their names."""
        count = len(self._turns)
        values: list[NDArray[np.float64]] = []
        for joint, turns in enumerate(self._turns):
            position = states[..., joint]
            values += [np.cos(position), np.sin(position)] if turns else [position]
        velocities = states[..., count : 2 * count]
        target = states[..., -2:] if self._target is not None else states[..., :0]
        return np.concatenate([np.stack(values, -1), velocities, target], -1)
