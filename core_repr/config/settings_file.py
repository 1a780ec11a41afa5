"""Settings in a file that people write: YAML or JSON, whole or in part."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from core_repr.config.core import CoReConfig
from core_repr.files.places import user_path
from core_repr.files.reading import read_bounded
from core_repr.files.yaml_text import parse_yaml

MAX_BYTES = 1_000_000
SECTIONS = ("world_model", "objectives", "augmentation", "agent")
"""Of a config; the environment is chosen otherwise."""


def read_settings(path: str | Path, base: CoReConfig) -> CoReConfig:
    """Reads settings, and takes what the file does not name from a config.

    Args:
        path: YAML or JSON with some of the sections of a config, such as
            ``{agent: {batch_size: 16}}``; a model's ``config.json`` is one.
        base: A preset, or a variant of it.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not YAML, or a setting is unknown or does not fit.
    """
    place = user_path(path)
    if not place.is_file():
        raise FileNotFoundError(f"There is no file {str(place)!r} with settings.")
    text = read_bounded(place, MAX_BYTES)
    try:
        given = parse_yaml(text)
    except ValueError as error:
        raise ValueError(f"{place}{error}.") from None
    if not isinstance(given, dict) or not given.keys() & {*SECTIONS}:
        raise ValueError(
            f"{place} holds no settings; expected some of the sections {', '.join(SECTIONS)}, as "
            "core-repr config show prints them."
        )
    fields = json.loads(base.to_json())
    try:
        if "format_version" in given:
            # A model's own, perhaps of an earlier release.
            return CoReConfig.from_json(json.dumps(given)).replace(environment=None)
        return CoReConfig.from_json(json.dumps(_merged(_with_crop(fields, base, given), given)))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{place}: {error}") from None


def write_settings(config: CoReConfig, kind: str) -> str:
    """Returns a config's settings as text that :func:`read_settings` reads.

    Args:
        config: The config.
        kind: "yaml", "json", or "lines" for a setting a line, with its whole name.
    """
    fields = json.loads(config.to_json())
    settings = {name: fields[name] for name in SECTIONS}
    if kind == "json":
        return json.dumps(settings, indent=2) + "\n"
    if kind == "lines":
        return "".join(f"{name}: {json.dumps(value)}\n" for name, value in flat(settings))
    text: str = yaml.safe_dump(settings, sort_keys=False, default_flow_style=None, width=88)
    return text


def flat(values: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Returns whole name → value of all that is within dictionaries.

    Args:
        values: Such as JSON knows.
        before: What stands before each name.
    """
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def _with_crop(fields: dict[str, Any], base: CoReConfig, given: Any) -> dict[str, Any]:
    """The base's settings, whose crop has its share of a frame of another size."""
    sizes = given.get("world_model")
    if not isinstance(sizes, Mapping) or "frame_size" not in sizes:
        return fields
    resized = dataclasses.replace(base.world_model, frame_size=sizes["frame_size"])
    return {**fields, "world_model": {**fields["world_model"], "crop_size": resized.crop_size}}


def _merged(base: Any, given: Any) -> Any:
    """What is given, and below it what it does not name; a part of another kind stands alone."""
    if not (isinstance(base, Mapping) and isinstance(given, Mapping)):
        return given
    if "kind" in given and given["kind"] != base.get("kind"):
        return given
    return {**base, **{name: _merged(base.get(name), value) for name, value in given.items()}}
