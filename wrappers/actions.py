"""The environment's actions as the model knows them: numbers in [−1, 1]."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from jaxtyping import Float32, Shaped

from core_repr.config import EnvironmentConfig


class ActionScaler:
    """Brings actions of a bounded ``Box`` to [−1, 1].

    Args:
        space: Action space of one environment.
        trained: The environment that the model was trained in.

    Attributes:
        size: Number of action dimensions.

    Raises:
        TypeError: If the space is no ``Box``.
        ValueError: If it is unbounded, or of another size than the model's actions.
    """

    def __init__(self, space: spaces.Space[Any], trained: EnvironmentConfig) -> None:
        if not isinstance(space, spaces.Box):
            raise TypeError(
                f"The model needs a Box of continuous actions, but the environment has {space}."
            )
        low, high = (bound.astype(np.float64).reshape(-1) for bound in (space.low, space.high))
        if not (np.isfinite(low).all() and np.isfinite(high).all()):
            raise ValueError(
                f"The model needs bounded actions, but the environment has {space}; put ClipAction "
                "around CoReWrapper instead of inside it, or give the environment a bounded "
                "action_space with gymnasium.wrappers.TransformAction."
            )
        if len(low) != trained.action_size:
            raise ValueError(
                f"The model was trained with {trained.action_size} action dimensions "
                f"({trained.id}), but the environment has {len(low)}; take a model that was "
                "trained in it."
            )
        self.size = len(low)
        # An action that cannot vary is in the middle of its range.
        self._slope = np.divide(2, high - low, out=np.zeros_like(low), where=high > low)
        self._centre = (low + high) / 2

    def __call__(self, actions: Shaped[np.ndarray, "n ..."]) -> Float32[np.ndarray, "n a"]:
        """Returns a batch of actions, flat and in [−1, 1]; what is out of bounds is clipped."""
        scaled = (np.reshape(actions, (-1, self.size)) - self._centre) * self._slope
        clipped: Float32[np.ndarray, "n a"] = np.clip(scaled, -1, 1).astype(np.float32)
        return clipped
