"""Grey frames, which can look like coloured ones: three of them in a stack have three channels."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from core_repr.adapters.layers import attribute, layers


def refuse_grey(env: Any) -> None:
    """Refuses an environment whose frames were made grey on the way.

    Args:
        env: A Gymnasium environment, a vector of them, or a vector of SB3's.

    Raises:
        TypeError: If they were.
    """
    if is_from_grayscale(env):
        raise TypeError(
            "The model takes RGB frames, but the environment's were made grey on the way and "
            "stacked; leave out what makes them grey."
        )


def is_from_grayscale(env: Any) -> bool:
    """Whether grey frames are on the way: three of them, stacked, look like one of colours."""
    seen = []
    for layer in layers(env):
        seen.append(getattr(layer, "single_observation_space", None) or layer.observation_space)
        if isinstance(layer, gym.wrappers.AddRenderObservation):
            # In the place of whatever the environment below observes.
            break
    # A smaller table is not the frame, but what a wrapper draws one of.
    side = _side(seen[0])
    grey = any(is_grayscale(space) and _side(space) >= side for space in seen)
    # The attribute of gymnasium.wrappers.GrayscaleObservation tells of it in other processes too.
    return grey or attribute(env, "keep_dim", None) is not None


def _side(space: spaces.Space[Any]) -> int:
    """Returns the greatest side of what a space holds; 0 where there are no tables."""
    parts = space.spaces.values() if isinstance(space, spaces.Dict) else [space]
    return max((max(part.shape) for part in parts if part.shape and len(part.shape) > 1), default=0)


def is_grayscale(space: spaces.Space[Any]) -> bool:
    """Whether observations are frames without colour: (h, w), (h, w, 1) or (1, h, w)."""
    if not isinstance(space, spaces.Box) or space.dtype != np.uint8 or len(space.shape) > 3:
        return False
    sides = [size for size in space.shape if size != 1]
    # Shorter sides are tables of numbers rather than pictures.
    return len(sides) == 2 and min(sides) >= 8
