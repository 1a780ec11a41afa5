"""JSON that someone else may have written, read strictly."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any, NoReturn

MAX_DEPTH = 32
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""Characters that a terminal may obey; tabs and line ends do no harm."""


def parse_json(content: bytes) -> Any:
    """Parses JSON; refuses what parsers read differently from one another.

    Args:
        content: UTF-8, of a size that the caller has checked.

    Raises:
        ValueError: If it is not UTF-8 or no JSON, nests deeper than 32 levels, names a key of an
            object twice, or holds NaN, infinity, half of a surrogate pair, or characters that
            control a terminal.
    """
    try:
        value = json.loads(
            content.decode(), object_pairs_hook=_unique, parse_constant=_refuse_constant
        )
        _check(value, MAX_DEPTH)
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start} is no UTF-8") from None
    except RecursionError:
        raise ValueError(f"it nests deeper than {MAX_DEPTH} levels") from None
    return value


def parse_last_line(content: bytes) -> Any:
    """Parses the last line of a log of one JSON value a line; ``None`` if there is none.

    A line without its end was not written whole and does not count.

    Args:
        content: Of the file.

    Raises:
        ValueError: As :func:`parse_json` does.
    """
    lines = content.rpartition(b"\n")[0].splitlines()
    return parse_json(lines[-1]) if lines else None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        twice = next(name for name, count in counts.items() if count > 1)
        raise ValueError(f"the key {twice[:60]!a} is there twice")
    return fields


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number that JSON knows")


def _check(value: Any, levels: int) -> None:
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError("a string holds half of a surrogate pair") from None
        if CONTROL.search(value):
            raise ValueError(f"the string {value[:60]!a} holds a control character")
    elif isinstance(value, float):
        if value in (float("inf"), float("-inf")):
            raise ValueError("a number is too large")
    elif isinstance(value, dict | list):
        if levels == 0:
            raise ValueError(f"it nests deeper than {MAX_DEPTH} levels")
        if isinstance(value, dict):
            for name in value:
                _check(name, levels - 1)
            value = value.values()
        for item in value:
            _check(item, levels - 1)
