"""The environments, by their Gymnasium names.

`register` only writes names down. MuJoCo and everything else that is heavy is imported when
`gymnasium.make` builds an environment.
"""

from __future__ import annotations

import gymnasium

from core_repr.envs.distracting_control.tasks import PAPER_TASKS, TASKS, task_names
from core_repr.envs.distracting_robosuite import tasks as robosuite_tasks

__all__ = ["PAPER_TASKS", "register", "task_names"]


def register() -> None:
    """Registers every environment with Gymnasium; calling it again changes nothing.

    The Distracting Control Suite has the ids `distracting_control/<domain>-<task>-v0`, one for
    each of `task_names()`, and robosuite's tasks `distracting_robosuite/<task>-v0`.
    """
    for name in TASKS:
        environment_id = f"distracting_control/{name}-v0"
        if environment_id not in gymnasium.registry:
            gymnasium.register(
                id=environment_id,
                entry_point="core_repr.envs.distracting_control.environment:DistractingControlEnv",
                # The rendering is part of what a frame is, so every spec records it.
                kwargs={"task": name, "rendering": "fast"},
            )
    for name in robosuite_tasks.TASKS:
        environment_id = f"distracting_robosuite/{name}-v0"
        if environment_id not in gymnasium.registry:
            gymnasium.register(
                id=environment_id,
                entry_point=(
                    "core_repr.envs.distracting_robosuite.environment:DistractingRobosuiteEnv"
                ),
                kwargs={"task": name, "rendering": "fast"},
            )
