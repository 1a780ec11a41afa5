"""The proprioception that a model was trained with, among an environment's observations."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from jaxtyping import Float32

from core_repr.config import EnvironmentConfig


class ProprioceptionReader:
    """Takes the proprioceptive values out of observations.

    Args:
        space: Observation space of one environment.
        trained: What the model's config records.

    Raises:
        ValueError: If the observations lack an entry that the model was trained with, or it has
            another number of values.
    """

    def __init__(self, space: spaces.Space[Any], trained: EnvironmentConfig) -> None:
        self._sizes = trained.proprioception
        entries = space.spaces if isinstance(space, spaces.Dict) else {}
        for key, size in self._sizes.items():
            if key not in entries:
                raise ValueError(
                    f"The model was trained with proprioception {key!r} beside the frames, but "
                    f"the environment's observations are {space}; let it give a Dict with both."
                )
            shape = entries[key].shape
            if shape is None or int(np.prod(shape)) != size:
                raise ValueError(
                    f"The model was trained with {size} values of proprioception {key!r}, but the "
                    f"environment gives {entries[key]}; make the environment of the training."
                )

    def __call__(self, observations: Any, count: int) -> Float32[np.ndarray, "n p"]:
        """Returns the values of a batch of observations, or of one, in the model's order.

        Args:
            observations: The observations.
            count: How many there are.
        """
        values = [
            np.asarray(observations[key], np.float32).reshape(count, size)
            for key, size in self._sizes.items()
        ]
        return np.concatenate([*values, np.zeros((count, 0), np.float32)], -1)
