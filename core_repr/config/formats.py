"""The layouts of ``config.json``, and how older ones are read."""

import dataclasses
from collections.abc import Callable
from typing import Any, get_args

FORMAT_VERSION = 8
"""Version of the layout of ``config.json``; :func:`upgrade` reads the older ones."""


def check_version(version: Any) -> None:
    """Refuses a version that this release does not read."""
    if version != FORMAT_VERSION:
        raise ValueError(
            f"The config's field 'format_version' is {version!r}, but this release reads "
            f"{FORMAT_VERSION}; install a core-repr release that fits the model."
        )


def _part_at(fields: dict[str, Any], path: str) -> dict[str, Any]:
    """Returns the part at a path; an empty one where a broken config has none."""
    part: Any = fields
    for name in path.split("."):
        part = part.get(name) if isinstance(part, dict) else None
    return part if isinstance(part, dict) else {}


def _adding(**additions: dict[str, Any]) -> Callable[[dict[str, Any]], None]:
    """Makes an upgrade that adds fields to parts."""

    def upgrade(fields: dict[str, Any]) -> None:
        for path, added in additions.items():
            part = _part_at(fields, path)
            part.update({**added, **part})

    return upgrade


def _upgrade_encoder_standardization(fields: dict[str, Any]) -> None:
    """Encoders up to version 3 take the frames as they are."""
    _part_at(fields, "world_model.encoder").setdefault("standardize", False)


def _upgrade_to_published_forms(fields: dict[str, Any]) -> None:
    """Up to version 7 there is one form of each of these, which is not the published one."""
    encoder, agent = _part_at(fields, "world_model.encoder"), _part_at(fields, "agent")
    standardized = encoder.pop("standardize", False)
    scaling = {True: "standardized", False: "centered"}
    encoder.setdefault("paddings", [])
    encoder.setdefault("pixel_scaling", scaling.get(standardized, standardized))
    _adding(
        world_model={"observation_output": "elu", "contrast_proprioception": False},
        agent={
            "critic_to_model_learning_rate": agent.get("critic_learning_rate"),
            "mean_recurrence": True,
        },
    )(fields)
    if agent.get("joint_update") is False:
        # The sequential update took the whole gradient, whatever the weight was.
        agent["critic_weight"] = 1.0


_UPGRADES: dict[int, Callable[[dict[str, Any]], None]] = {
    # Models of version 1 do without proprioception.
    1: _adding(
        world_model={"proprioception_layers": [200, 200, 200]},
        environment={"pixels_key": None, "proprioception": {}},
    ),
    # Nothing limited the critics' gradient up to version 2.
    2: _adding(agent={"latent_max_gradient_norm": 1e9}),
    3: _upgrade_encoder_standardization,
    # Up to version 4, world model and agent start to learn together, and nothing is averaged.
    4: _adding(agent={"initial_updates": 0, "averaging_rate": 1.0}),
    # Up to version 5, the agent learns once from the latents of a mini-batch.
    5: _adding(agent={"agent_updates": 1}),
    # Up to version 6, frames stay as the camera gave them.
    6: _adding(agent={"camera_jitter": 0.0}),
    7: _upgrade_to_published_forms,
}
"""Version → what makes the next version of it, in place."""


def upgrade(fields: dict[str, Any]) -> None:
    """Brings the fields of an earlier version to the newest one, in place."""
    while type(version := fields["format_version"]) is int and version in _UPGRADES:
        _UPGRADES[version](fields)
        fields["format_version"] = version + 1


def require_fields(fields: Any, part: Any, path: str = "") -> None:
    """A saved config is complete: a default of a later release must not slip into it."""
    if not isinstance(fields, dict):
        raise ValueError(f"The config's {path or 'content'} must be a JSON object.")
    for field in dataclasses.fields(part):
        name = f"{path}.{field.name}" if path else field.name
        if field.name not in fields:
            raise ValueError(f"The config lacks the field {name!r}.")
        for part_type in (field.type, *get_args(field.type)):
            is_part = isinstance(part_type, type) and dataclasses.is_dataclass(part_type)
            if is_part and fields[field.name] is not None:
                require_fields(fields[field.name], part_type, name)
