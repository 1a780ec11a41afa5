"""Checks of what users pass to an environment; each error says what was seen and expected."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from gymnasium.spaces import Box
from numpy.typing import NDArray

_ROUNDING = 1e-5
"""How far, in halves of its range, an action may lie outside: float32 arithmetic rounds."""


_MANY = 8
"""Of more choices than these, an error names those that are like what was asked for."""


def require_choice(name: str, value: object, allowed: Iterable[str | None]) -> str | None:
    """Returns an argument that has one of some values, as a plain string or None.

    Raises:
        ValueError: It is not among the values that it may have.
    """
    choices = list(allowed)
    plain = _plain_string(value)
    if (plain is not None or value is None) and plain in choices:
        return plain
    if len(choices) > _MANY:
        near = difflib.get_close_matches(str(value), [str(choice) for choice in choices])
        if near:
            raise ValueError(f"{name}={value!r} is unknown: did you mean {' or '.join(near)}?")
    raise ValueError(f"{name}={value!r} is unknown: expected one of {choices}.")


def require_switch(name: str, value: object) -> bool:
    """Returns an argument that is on or off, NumPy's among them, as a plain bool.

    Raises:
        ValueError: It is neither True nor False.
    """
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{name}={value!r} is unknown: expected one of [False, True].")
    return bool(value)


def require_integer(name: str, value: object, lowest: int = 1, highest: int | None = None) -> int:
    """Returns an argument that is an integer, NumPy's among them, as a plain int.

    Args:
        name: Of the argument.
        value: What a user passes.
        lowest: The smallest value that makes sense.
        highest: The largest one, if there is one.

    Raises:
        TypeError: It is not an integer.
        ValueError: It is below `lowest` or above `highest`.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name}={value!r} is a {type(value).__name__}: expected an integer.")
    if value < lowest:
        raise ValueError(f"{name}={value} is too small: expected at least {lowest}.")
    if highest is not None and value > highest:
        raise ValueError(f"{name}={value} is too large: expected at most {highest}.")
    return int(value)


def require_fraction(name: str, value: object) -> float:
    """Returns an argument that is a number from 0 to 1, NumPy's among them, as a plain float.

    Raises:
        TypeError: It is not a number.
        ValueError: It is not between 0 and 1.
    """
    if isinstance(value, bool) or not isinstance(value, float | int | np.floating | np.integer):
        raise TypeError(f"{name}={value!r} is a {type(value).__name__}: expected a number.")
    if not 0 <= value <= 1:
        raise ValueError(f"{name}={value} is out of range: expected a number from 0 to 1.")
    return float(value)


def require_place(name: str, value: object, words: Sequence[str]) -> str:
    """Returns an argument that is a folder's path or one of some words, as a plain string.

    Args:
        name: Of the argument.
        value: What a user passes. A `pathlib.Path` is a folder, whatever it is called.
        words: The strings that do not mean a folder.

    Raises:
        TypeError: It is neither a string nor a path of characters.
        ValueError: It is empty.
    """
    is_path = isinstance(value, os.PathLike)
    place = _plain_string(os.fspath(value) if isinstance(value, os.PathLike) else value)
    expected = f"expected a folder's path or one of {list(words)}"
    if place is None:
        raise TypeError(f"{name}={value!r} is a {type(value).__name__}: {expected}.")
    if not place:
        raise ValueError(f"{name}={place!r} is empty: {expected}; '.' is the current folder.")
    return os.path.join(".", place) if is_path and place in words else place


def _plain_string(value: object) -> str | None:
    """A string without what a subclass adds, such as NumPy's; None for what is not a string."""
    return str.__str__(value) if isinstance(value, str) else None


def require_action(action: object, space: Box) -> NDArray[np.float64]:
    """Returns an action in float64, within the bounds of its space.

    Args:
        action: What a user passes to `step`.
        space: The action space.

    Returns:
        Shape of the space. What float32 rounding put outside the bounds lies on them.

    Raises:
        ValueError: It is not made of numbers, has another shape, is not finite or lies outside.
    """
    expected = f"expected {_described(space)}"
    try:
        control: NDArray[np.float64] = np.array(action, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"the action {action!r} is not made of numbers: {expected}.") from error
    if control.shape != space.shape:
        raise ValueError(f"the action {action!r} has shape {control.shape}: {expected}.")
    if not np.isfinite(control).all():
        raise ValueError(f"the action {action!r} is not finite: {expected}.")
    low, high = space.low.astype(np.float64), space.high.astype(np.float64)
    inside: NDArray[np.float64] = np.clip(control, low, high)
    if (np.abs(inside - control) > _ROUNDING * (high - low) / 2).any():
        raise ValueError(
            f"the action {action!r} is out of bounds: {expected}; clip it, or wrap the "
            "environment in gymnasium.wrappers.ClipAction."
        )
    return inside


def _described(space: Box) -> str:
    bounds: list[Any] = []
    for bound in (space.low, space.high):
        bounds.append(bound.flat[0] if (bound == bound.flat[0]).all() else bound)
    return f"finite numbers of shape {space.shape} from {bounds[0]} to {bounds[1]}"
