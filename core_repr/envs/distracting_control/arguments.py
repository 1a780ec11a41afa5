"""What the Distracting Control Suite's environments are made with, checked once, in plain types."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from core_repr.envs.checks import (
    require_choice,
    require_integer,
    require_place,
    require_switch,
)
from core_repr.envs.distracting_control.clips import DATA_SETS
from core_repr.envs.distracting_control.tasks import EPISODE_STEPS, LEVELS, SPLITS, TASKS
from core_repr.envs.distracting_control.view import RENDERINGS

RENDER_MODES = ["rgb_array"]
MAX_FRAME_SIZE = 4096
"""In pixels. A larger frame's background takes 200 MB for each frame of a video."""

_CHOICES: dict[str, list[str | None]] = {
    "task": [*TASKS],
    "difficulty": [None, *LEVELS],
    "split": [*SPLITS],
    "rendering": [*RENDERINGS],
    "render_mode": [None, *RENDER_MODES],
}
_SWITCHES = (
    "dynamic",
    "background",
    "camera",
    "color",
    "suite_camera",
    "clean_frames",
    "physics_state",
)
_NUMBERS = {"num_videos": None, "action_repeat": EPISODE_STEPS, "frame_size": MAX_FRAME_SIZE}
"""The argument and the largest number that makes sense, if there is one."""
_OPTIONAL = ("num_videos", "action_repeat")


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """The arguments of `DistractingControlEnv`, which describes them.

    What NumPy, `pathlib` or a subclass of `str` adds to them is taken off, so that JSON knows all
    of them.

    Raises:
        TypeError: A size or number is not an integer, or `backgrounds` is not a path.
        ValueError: A value is not among those that an argument may have, or there is a level of
            difficulty and every distraction is switched off.
    """

    task: str
    difficulty: str | None
    dynamic: bool
    split: str
    backgrounds: str | os.PathLike[str] | None
    num_videos: int | None
    background: bool
    camera: bool
    color: bool
    suite_camera: bool
    frame_size: int
    rendering: str
    action_repeat: int | None
    clean_frames: bool
    physics_state: bool
    render_mode: str | None

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            self._keep(name, require_choice(name, getattr(self, name), choices))
        for name in _SWITCHES:
            self._keep(name, require_switch(name, getattr(self, name)))
        for name, highest in _NUMBERS.items():
            value = getattr(self, name)
            if value is not None or name not in _OPTIONAL:
                self._keep(name, require_integer(name, value, highest=highest))
        if self.backgrounds is not None:
            self._keep("backgrounds", require_place("backgrounds", self.backgrounds, DATA_SETS))
        if self.difficulty is not None and not (self.has_clips or self.camera or self.color):
            off = "background" if self.backgrounds is not None else "background (backgrounds=None)"
            raise ValueError(
                f"difficulty={self.difficulty!r} has nothing to distract with: {off}, camera and "
                "color are all off. Switch one of them on, or choose no difficulty "
                "(difficulty=None; on the command line, --difficulty none)."
            )

    @property
    def has_clips(self) -> bool:
        """Whether the background shows clips."""
        return self.difficulty is not None and self.background and self.backgrounds is not None

    def _keep(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)
