"""What distracting environments are made with, checked once, in plain types."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from core_repr.envs.checks import (
    require_choice,
    require_fraction,
    require_integer,
    require_place,
    require_switch,
)
from core_repr.envs.clips.clip import DATA_SETS, Clip, open_clips
from core_repr.envs.levels import LEVELS, SPLITS
from core_repr.envs.mujoco.view import RENDERINGS, sky_size

MAX_FRAME_SIZE = 4096
"""In pixels. A larger frame's background takes 200 MB for each frame of a video."""

PARTS = {
    "background": "background",
    "camera": "camera",
    "color": "colours",
    "lighting": "lighting",
}
"""The distractions that can be switched on and off, and what to call them."""

DISTRACTION_ARGUMENTS = [
    "difficulty",
    "scale",
    "dynamic",
    *PARTS,
    "backgrounds",
    "num_videos",
    "split",
]
"""The arguments that change only what latent states are to be robust to."""


@dataclass(frozen=True, kw_only=True)
class DistractionArguments:
    """The arguments that every distracting environment has.

    What NumPy, `pathlib` or a subclass of `str` adds to them is taken off, so that JSON knows all
    of them.

    Raises:
        TypeError: A size or number is not an integer, or `backgrounds` is not a path.
        ValueError: A value is not among those that an argument may have, or there is a level of
            difficulty and every distraction is switched off.
    """

    difficulty: str | None
    scale: float | None
    dynamic: bool
    split: str
    backgrounds: str | os.PathLike[str] | None
    num_videos: int | None
    background: bool
    camera: bool
    color: bool
    lighting: bool
    frame_size: int
    rendering: str
    clean_frames: bool

    _choices: ClassVar[Mapping[str, Sequence[str | None]]] = {
        "difficulty": [None, *LEVELS],
        "split": [*SPLITS],
        "rendering": [*RENDERINGS],
    }
    _switches: ClassVar[Sequence[str]] = ("dynamic", *PARTS, "clean_frames")
    _numbers: ClassVar[Mapping[str, int | None]] = {
        "num_videos": None,
        "frame_size": MAX_FRAME_SIZE,
    }
    """The argument and the largest number that makes sense, if there is one."""
    _optional: ClassVar[Sequence[str]] = ("num_videos",)

    def __post_init__(self) -> None:
        for name, choices in self._choices.items():
            self._keep(name, require_choice(name, getattr(self, name), choices))
        for name in self._switches:
            self._keep(name, require_switch(name, getattr(self, name)))
        for name, highest in self._numbers.items():
            value = getattr(self, name)
            if value is not None or name not in self._optional:
                self._keep(name, require_integer(name, value, highest=highest))
        if self.scale is not None:
            self._keep("scale", require_fraction("scale", self.scale))
        if self.backgrounds is not None:
            self._keep("backgrounds", require_place("backgrounds", self.backgrounds, DATA_SETS))
        others = [name for name in PARTS if name != "background"]
        if self.difficulty is not None and not (
            self.has_clips or self._has_more or any(getattr(self, name) for name in others)
        ):
            off = "background" if self.backgrounds is not None else "background (backgrounds=None)"
            raise ValueError(
                f"difficulty={self.difficulty!r} has nothing to distract with: {off}, "
                f"{', '.join(others[:-1])} and {others[-1]} are all off. Switch one of them on, or "
                "choose no difficulty (difficulty=None; on the command line, --difficulty none)."
            )

    @property
    def _has_more(self) -> bool:
        """Whether something else than `PARTS` is switched on."""
        return False

    @property
    def has_clips(self) -> bool:
        """Whether the background shows clips."""
        return self.difficulty is not None and self.background and self.backgrounds is not None

    @property
    def sigma(self) -> float:
        """How far colours, camera and lights vary; 0 without a level of difficulty."""
        if self.difficulty is None:
            return 0.0
        return LEVELS[self.difficulty].scale if self.scale is None else self.scale

    def clips(self, size: int | None = None) -> list[Clip]:
        """Finds what the background shows; nothing where it is not distracting.

        Args:
            size: Height and width of a clip's frames in pixels; by default, what a sky needs.

        Raises:
            FileNotFoundError: The folder or the data set is missing.
            NotADirectoryError: It is not a folder.
            ValueError: It holds too few clips.
        """
        if not self.has_clips:
            return []
        assert self.difficulty is not None and self.backgrounds is not None
        return open_clips(
            self.backgrounds,
            split=self.split,
            count=self.num_videos or LEVELS[self.difficulty].num_videos[self.split],
            size=size or sky_size(self.frame_size, self.rendering),
        )

    def _keep(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)


def describe_distractions(arguments: Mapping[str, Any], *, off: Sequence[str] = ()) -> str:
    """Puts the distractions of an environment with some arguments into words.

    Args:
        arguments: Those of a distracting environment.
        off: The distractions that are off unless an argument switches them on.

    Returns:
        Such as `"easy, dynamic"`, or `"hard, dynamic, background only, 2 videos"`.
    """
    if not arguments.get("difficulty"):
        return "no distractions"
    words = [str(arguments["difficulty"])]
    if arguments.get("scale") is not None:
        words.append(f"scale {arguments['scale']}")
    words.append("dynamic" if arguments.get("dynamic") else "static")
    on = [name for name in PARTS if arguments.get(name, name not in off)]
    usual = [name for name in PARTS if name not in off]
    if on == [*usual, *(name for name in off if name in on)]:
        words += [f"with {PARTS[name]}" for name in on if name in off]
    elif on:
        words.append(f"{' and '.join(PARTS[name] for name in on)} only")
    if arguments.get("num_videos") is not None:
        words.append(f"{arguments['num_videos']} videos")
    return ", ".join(words)
