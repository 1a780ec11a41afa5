"""What the Distracting Control Suite's environments are made with, checked once, in plain types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from core_repr.envs.arguments import DistractionArguments
from core_repr.envs.distracting_control.tasks import EPISODE_STEPS, TASKS

RENDER_MODES = ["rgb_array"]


@dataclass(frozen=True, kw_only=True)
class Arguments(DistractionArguments):
    """The arguments of `DistractingControlEnv`, which describes them."""

    task: str
    suite_camera: bool
    action_repeat: int | None
    physics_state: bool
    render_mode: str | None

    _choices: ClassVar[Mapping[str, Sequence[str | None]]] = {
        "task": [*TASKS],
        **DistractionArguments._choices,
        "render_mode": [None, *RENDER_MODES],
    }
    _switches: ClassVar[Sequence[str]] = (
        *DistractionArguments._switches,
        "suite_camera",
        "physics_state",
    )
    _numbers: ClassVar[Mapping[str, int | None]] = {
        **DistractionArguments._numbers,
        "action_repeat": EPISODE_STEPS,
    }
    _optional: ClassVar[Sequence[str]] = (*DistractionArguments._optional, "action_repeat")
