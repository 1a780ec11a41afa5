"""The tasks and robots of robosuite that are offered, as data."""

from __future__ import annotations

from dataclasses import dataclass

EPISODE_STEPS = 500
"""Control steps of an episode, of 1/20 s each."""

CONTROL_FREQUENCY = 20
"""In Hz."""


@dataclass(frozen=True)
class Task:
    """A task for one arm.

    Attributes:
        camera: The camera that looks.
        window: The part of its square picture that fills a frame: left, top, right and bottom, as
            shares of its width.
    """

    camera: str = "agentview"
    window: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)


_OF_THE_PAPER = (32 / 256, 40 / 256, 176 / 256, 184 / 256)
"""The 144×144 pixels that the paper's code cuts out of 256×256."""

TASKS: dict[str, Task] = {
    "Door": Task("frontview", _OF_THE_PAPER),
    "Lift": Task(),
    "NutAssembly": Task(),
    "NutAssemblyRound": Task(),
    "NutAssemblySingle": Task(),
    "NutAssemblySquare": Task(),
    "PickPlace": Task(),
    "PickPlaceBread": Task(),
    "PickPlaceCan": Task(),
    "PickPlaceCereal": Task(),
    "PickPlaceMilk": Task(),
    "PickPlaceSingle": Task(),
    "Stack": Task(),
    "ToolHang": Task(),
    "Wipe": Task(),
}

ROBOTS = ("Panda", "Jaco", "IIWA", "Kinova3", "Sawyer", "UR5e")

PROPRIOCEPTION = (
    *("joint_pos_cos", "joint_pos_sin", "joint_vel"),
    *("eef_pos", "eef_quat", "gripper_qpos", "gripper_qvel"),
)
"""What the paper's agent knows of the robot, in its order."""
