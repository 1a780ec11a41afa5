"""The six tasks and the three levels of difficulty, as data."""

from __future__ import annotations

from dataclasses import dataclass

EPISODE_STEPS = 1000
"""Simulator steps in an episode, the same in all six tasks."""


@dataclass(frozen=True)
class Task:
    """A task of the DeepMind Control Suite and how its distractions differ from the others'.

    Attributes:
        domain: dm_control's domain.
        task: dm_control's task.
        action_repeat: Simulator steps an action is held for in the paper.
        ground_alpha: Opacity of the ground's grid in front of a background clip.
        ground_gain: How much brighter an opaque ground looks in the suite's own rendering, which
            adds the light that casts shadows on top of the others, than without shadows; measured.
        upper_quadrant: Whether the camera stays above the ground and in front of the body. It does
            in all tasks but reacher, whose camera hangs straight above.
    """

    domain: str
    task: str
    action_repeat: int
    ground_alpha: float
    ground_gain: float = 1.0
    upper_quadrant: bool = True


@dataclass(frozen=True)
class Level:
    """A level of difficulty.

    Attributes:
        scale: σ, how far colours and camera vary.
        num_videos: How many clips the background is drawn from, by split.
    """

    scale: float
    num_videos: dict[str, int]


TASKS = {
    "ball_in_cup-catch": Task(
        "ball_in_cup", "catch", action_repeat=4, ground_alpha=0.3, ground_gain=1.3
    ),
    "cartpole-swingup": Task("cartpole", "swingup", action_repeat=8, ground_alpha=0.3),
    "cheetah-run": Task("cheetah", "run", action_repeat=4, ground_alpha=1.0),
    "finger-spin": Task("finger", "spin", action_repeat=2, ground_alpha=0.3, ground_gain=1.3),
    "reacher-easy": Task(
        "reacher", "easy", action_repeat=4, ground_alpha=0.0, ground_gain=1.5, upper_quadrant=False
    ),
    "walker-walk": Task("walker", "walk", action_repeat=2, ground_alpha=1.0, ground_gain=1.2),
}

LEVELS = {
    "easy": Level(scale=0.1, num_videos={"train": 4, "val": 4}),
    "medium": Level(scale=0.2, num_videos={"train": 8, "val": 8}),
    "hard": Level(scale=0.3, num_videos={"train": 60, "val": 30}),
}

SPLITS = ("train", "val")


def task_names() -> list[str]:
    """Returns the names of the tasks, each `<domain>-<task>`."""
    return list(TASKS)
