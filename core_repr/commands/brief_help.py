"""The help of a command with many options: what people set first, the rest on request."""

from __future__ import annotations

import functools
from dataclasses import field, make_dataclass
from typing import Annotated, Any, get_type_hints

import tyro

RARELY_SET = {
    *("validation_args", "dataset_camera", "updates", "logger"),
    *("world_model", "objectives", "augmentation", "agent", "import_"),
    *("evaluation_interval", "evaluation_episodes", "checkpoint_minutes", "episode_steps"),
    *("background", "camera", "color", "lighting", "num_videos", "validation_videos"),
    *("suite_camera", "rendering", "action_repeat"),
}
"""What ``--help`` leaves out and ``--help-all`` shows."""


def brief(command: Any) -> Any:
    """Returns the type of a command like this one without what few people set, for its help."""
    kind = type(command)
    options: list[tuple[str, Any, Any]] = []
    for name, hint in get_type_hints(kind, include_extras=True).items():
        value = getattr(command, name)
        if name == "environment":
            environment = brief(value)
            hint, value = Annotated[environment, tyro.conf.arg(name="")], environment()
        elif name in RARELY_SET:
            hint = tyro.conf.Suppress[hint]  # type: ignore[misc, valid-type]
        options.append((name, hint, field(default_factory=functools.partial(_same, value))))
    return make_dataclass(kind.__name__, options, namespace={"__doc__": kind.__doc__})


def _same(value: Any) -> Any:
    return value
