"""The environment that a command is for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Difficulty = Literal["none", "easy", "medium", "hard"]
Task = Literal[
    "ball_in_cup-catch",
    "cartpole-swingup",
    "cheetah-run",
    "finger-spin",
    "reacher-easy",
    "walker-walk",
]


@dataclass
class DistractingControl:
    """The Distracting Control Suite environment.

    Attributes:
        task: What the agent has to learn.
        difficulty: How far colours and camera stray, and how many background videos there are.
        dynamic: Distractions change during an episode instead of once an episode.
        backgrounds: "procedural", "davis" after ``core-repr download davis``, or a folder of
            videos.
        action_repeat: Simulator steps for each agent step; the paper's choice by default.
    """

    task: Task = "cartpole-swingup"
    difficulty: Difficulty = "easy"
    dynamic: bool = True
    backgrounds: str = "procedural"
    action_repeat: int | None = None

    def arguments(self, frame_size: int) -> dict[str, Any]:
        """Returns the arguments of ``gym.make``."""
        arguments = {
            "difficulty": None if self.difficulty == "none" else self.difficulty,
            "dynamic": self.dynamic,
            "backgrounds": self.backgrounds,
            "frame_size": frame_size,
        }
        if self.action_repeat is not None:
            arguments["action_repeat"] = self.action_repeat
        return arguments

    @property
    def label(self) -> str:
        """A short name, such as cartpole-swingup-easy."""
        static = "" if self.dynamic or self.difficulty == "none" else "-static"
        return f"{self.task}-{self.difficulty}{static}"

    @property
    def id(self) -> str:
        """The Gymnasium id."""
        return f"distracting_control/{self.task}-v0"
