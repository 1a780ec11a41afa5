"""Files that hold a JSON object: written whole, read strictly."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from core_repr.files.reading import read_bounded
from core_repr.files.strict_json import parse_json
from core_repr.files.writing import write_atomically

MAX_JSON_BYTES = 100_000_000

Typed = TypeVar("Typed")


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Writes an object as JSON, whole or not at all.

    Raises:
        ValueError: If :func:`read_json` would refuse it.
        OSError: If it cannot be written.
    """
    content = (json.dumps(values, indent=1) + "\n").encode()
    try:
        parse_json(content)
    except ValueError as error:
        raise ValueError(
            f"{path.name} is not saved, because it could not be loaded again: {error}."
        ) from None
    refuse_large(path, len(content), MAX_JSON_BYTES)
    write_atomically(path, content)


def write_outcome(path: Path, outcome: Mapping[str, Any]) -> None:
    """Writes what a command found as JSON that people read, whole or not at all.

    Raises:
        OSError: If it cannot be written; the message names the path and the way out.
    """
    write_atomically(path, (json.dumps(outcome, indent=2) + "\n").encode())


def read_json(path: Path, limit: int = MAX_JSON_BYTES) -> dict[str, Any]:
    """Reads a file that holds a JSON object.

    Args:
        path: Of the file.
        limit: Bytes that it has at most.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is larger or holds anything else.
    """
    content = read_bounded(path, limit)
    try:
        values = parse_json(content)
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON: {error}; it was damaged.") from None
    if not isinstance(values, dict):
        raise ValueError(f"{path} must hold a JSON object, not {type(values).__name__}.")
    return values


def refuse_large(path: Path, size: int, limit: int) -> None:
    """Refuses to write what could not be read again.

    Raises:
        ValueError: If there are more than ``limit`` bytes.
    """
    if size > limit:
        raise ValueError(
            f"{path.name} is not saved, because it could not be loaded again: it would have "
            f"{size:,} bytes, more than {limit:,}."
        )


def fit(path: Path, fields: Mapping[str, Any], adapter: TypeAdapter[Typed]) -> Typed:
    """Returns what was read from a file in the type that it was written from.

    Args:
        path: Of the file.
        fields: What :func:`read_json` returned of it.
        adapter: Of the type.

    Raises:
        ValueError: If they do not fit; the message names the field.
    """
    try:
        return adapter.validate_python(fields)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        problem = first["msg"].lower()
        raise ValueError(
            f"{path}: the field {name!r} does not fit: {problem}; it was damaged."
        ) from None
