"""Arguments of ``gym.make`` as JSON, and back as they were.

JSON has no tuples and no infinity; they are written as ``{"$tuple": [...]}`` and
``{"$float": "inf"}``. What does not come back equal is refused.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from core_repr.files.strict_json import parse_json

TUPLE, FLOAT = "$tuple", "$float"
INFINITIES = {"inf": math.inf, "-inf": -math.inf}
MAX_DEPTH = 12


def plain_arguments(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a copy of arguments as they come back from JSON.

    Args:
        arguments: Those of ``gym.make``.

    Raises:
        ValueError: If one would not come back equal; the message names it.
    """
    plain: dict[str, Any] = {}
    for name, value in arguments.items():
        try:
            text = json.dumps({name: encode(value)}, allow_nan=False)
            plain |= decode(parse_json(text.encode()))
        except ValueError as error:
            raise ValueError(
                f"The environment's arguments cannot be saved: in {name!a}, {error}; pass plain "
                "numbers, strings, lists, tuples and dictionaries to gym.make."
            ) from None
    return plain


def encode(value: Any, levels: int = MAX_DEPTH) -> Any:
    """Returns a value in JSON's terms.

    Args:
        value: What :func:`decode` will return.
        levels: Of lists and dictionaries that may follow one another.

    Raises:
        ValueError: If it would not come back equal; the message is a clause.
    """
    if levels < 0:
        raise ValueError(f"it nests deeper than {MAX_DEPTH} levels")
    if value is None or type(value) in (bool, int, str):
        return value
    if isinstance(value, float):
        # Also NumPy's float64, which is one.
        return _encode_float(float(value))
    if type(value) is tuple:
        return {TUPLE: [encode(item, levels - 1) for item in value]}
    if type(value) is list:
        return [encode(item, levels - 1) for item in value]
    if type(value) is dict:
        for name in value:
            if type(name) is not str or name in (TUPLE, FLOAT):
                raise ValueError(f"a dictionary has the key {name!a}")
        return {name: encode(item, levels - 1) for name, item in value.items()}
    raise ValueError(f"{_shown(value)} is of type {type(value).__name__}")


def _encode_float(value: float) -> Any:
    if math.isnan(value):
        raise ValueError("it holds NaN, which does not equal itself")
    return value if math.isfinite(value) else {FLOAT: "inf" if value > 0 else "-inf"}


def decode(value: Any) -> Any:
    """Returns what :func:`encode` was given.

    Raises:
        ValueError: If a tuple or number is not written as :func:`encode` does.
    """
    if isinstance(value, list):
        return [decode(item) for item in value]
    if not isinstance(value, dict):
        return value
    if TUPLE not in value and FLOAT not in value:
        return {name: decode(item) for name, item in value.items()}
    if value.keys() == {TUPLE} and isinstance(value[TUPLE], list):
        return tuple(decode(item) for item in value[TUPLE])
    if value.keys() == {FLOAT} and value[FLOAT] in list(INFINITIES):
        return INFINITIES[value[FLOAT]]
    raise ValueError(f"{_shown(value)} is neither a tuple nor an infinite number")


def _shown(value: Any) -> str:
    return ascii(value)[:60]
