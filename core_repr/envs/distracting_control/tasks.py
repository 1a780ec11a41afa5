"""The tasks, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

EPISODE_STEPS = 1000
"""Simulator steps in an episode, the same in all tasks; the suite sets lqr no limit."""


@dataclass(frozen=True)
class Task:
    """A task of the DeepMind Control Suite and how its distractions differ from others'.

    Attributes:
        domain: dm_control's domain.
        task: dm_control's task.
        action_repeat: Simulator steps an action is held for by default.
        ground_alpha: Opacity of the ground's grid in front of a background clip.
        ground_gain: How much brighter an opaque ground looks in the suite's own rendering, which
            adds the light that casts shadows on top of the others, than without shadows; measured.
        upper_quadrant: Whether the camera stays above the ground and in front of the body. It does,
            unless the camera hangs straight above, as in reacher, fish and point_mass.
    """

    domain: str
    task: str
    action_repeat: int
    ground_alpha: float
    ground_gain: float = 1.0
    upper_quadrant: bool = True


PAPER_TASKS = (
    "ball_in_cup-catch",
    "cartpole-swingup",
    "cheetah-run",
    "finger-spin",
    "reacher-easy",
    "walker-walk",
)
"""The six tasks of the paper and of the published suite."""


def _tasks(domain: str, tasks: str, action_repeat: int, **view: Any) -> dict[str, Task]:
    """Returns the tasks of a domain, which look alike, by their names."""
    return {f"{domain}-{task}": Task(domain, task, action_repeat, **view) for task in tasks.split()}


TASKS = {
    **_tasks("acrobot", "swingup swingup_sparse", 2, ground_alpha=0.3),
    **_tasks("ball_in_cup", "catch", 4, ground_alpha=0.3, ground_gain=1.3),
    **_tasks("cartpole", "balance balance_sparse swingup swingup_sparse", 8, ground_alpha=0.3),
    **_tasks("cartpole", "two_poles three_poles", 2, ground_alpha=0.3),
    **_tasks("cheetah", "run", 4, ground_alpha=1.0),
    **_tasks("dog", "stand walk trot run", 2, ground_alpha=0.3, ground_gain=1.2),
    **_tasks("finger", "spin turn_easy turn_hard", 2, ground_alpha=0.3, ground_gain=1.3),
    **_tasks("fish", "upright swim", 2, ground_alpha=0.0, ground_gain=1.2, upper_quadrant=False),
    **_tasks("hopper", "stand hop", 2, ground_alpha=1.0),
    **_tasks("humanoid", "stand walk run run_pure_state", 2, ground_alpha=0.3, ground_gain=1.1),
    **_tasks("humanoid_CMU", "stand walk run", 2, ground_alpha=0.3, ground_gain=1.2),
    **_tasks("lqr", "lqr_2_1 lqr_6_2", 2, ground_alpha=0.3, ground_gain=1.1),
    **_tasks("manipulator", "bring_ball bring_peg insert_ball insert_peg", 2, ground_alpha=0.3),
    **_tasks("pendulum", "swingup", 2, ground_alpha=0.3, ground_gain=1.2),
    **_tasks("point_mass", "easy hard", 2, ground_alpha=0.0, ground_gain=1.5, upper_quadrant=False),
    **_tasks("quadruped", "walk run fetch", 2, ground_alpha=0.3),
    **_tasks("reacher", "easy hard", 4, ground_alpha=0.0, ground_gain=1.5, upper_quadrant=False),
    **_tasks("stacker", "stack_2 stack_4", 2, ground_alpha=0.3),
    **_tasks("swimmer", "swimmer6 swimmer15", 2, ground_alpha=0.3, ground_gain=1.4),
    **_tasks("walker", "stand walk run", 2, ground_alpha=1.0, ground_gain=1.2),
}
"""The suite's tasks but for two: the camera of dog-fetch follows the ball, and the terrain of
quadruped-escape leaves no sky in view.

Tasks of the paper's bodies have the paper's action repeat, so that one world model serves them; the
others have 2, as in DrQ-v2 and Dreamer. The ground is half transparent where it would hide the
background, and not there where the camera looks straight down.
"""


def task_names() -> list[str]:
    """Returns the names of the tasks, each `<domain>-<task>`."""
    return list(TASKS)
