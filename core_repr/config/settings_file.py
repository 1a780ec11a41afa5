"""Settings in a file that people write: YAML or JSON, whole or in part."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from core_repr.config.core import CoReConfig
from core_repr.config.parts import Crop
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
    try:
        if "format_version" in given:
            # A model's own, perhaps of an earlier release.
            return CoReConfig.from_json(json.dumps(given)).replace(environment=None)
        return with_settings(base, given)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{place}: {error}") from None


def with_settings(base: CoReConfig, *given: Mapping[str, Any]) -> CoReConfig:
    """Returns a config with some settings changed, all at once.

    Args:
        base: For what is not named.
        given: Sections with settings, as a file has them, the last of which goes first. A part of
            another kind stands alone and must be whole.

    Raises:
        TypeError: If a value is not one that JSON knows.
        ValueError: If a setting is unknown or does not fit.
    """
    fields, crop = json.loads(base.to_json()), base.world_model.crop_size
    del fields["world_model"]["crop_size"]
    for each in given:
        fields = _merged(fields, each)
    sizes = fields["world_model"]
    if isinstance(sizes, dict):
        frame_size = sizes.get("frame_size")
        if isinstance(crop, Crop) and isinstance(frame_size, int):
            crop = Crop.of_frame(crop.share, frame_size)
        sizes.setdefault("crop_size", crop)
    return CoReConfig.from_json(json.dumps(fields))


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


def _merged(base: Any, given: Any) -> Any:
    """What is given, and below it what it does not name; a part of another kind stands alone."""
    if not (isinstance(base, Mapping) and isinstance(given, Mapping)):
        return given
    if "kind" in given and given["kind"] != base.get("kind"):
        return given
    return {**base, **{name: _merged(base.get(name), value) for name, value in given.items()}}
