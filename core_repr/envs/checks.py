"""Checks of what users pass to an environment; each error says what was seen and expected."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from gymnasium.spaces import Box
from numpy.typing import NDArray

_ROUNDING = 1e-5
"""How far, in halves of its range, an action may lie outside: float32 arithmetic rounds."""


def require_choice(name: str, value: object, allowed: Iterable[object]) -> None:
    """Raises ValueError where an argument is not among the values that it may have."""
    choices = list(allowed)
    if value not in choices:
        raise ValueError(f"{name}={value!r} is unknown: expected one of {choices}.")


def require_positive(name: str, value: object) -> None:
    """Raises TypeError where an argument is no integer, ValueError where it is below 1."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name}={value!r} is a {type(value).__name__}: expected an integer.")
    if value < 1:
        raise ValueError(f"{name}={value} is too small: expected at least 1.")


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
