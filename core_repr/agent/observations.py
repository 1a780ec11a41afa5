"""What the agent sees of an environment: frames, and proprioception where there is any."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from jaxtyping import Float32, UInt8
from numpy.typing import NDArray
from torch import Tensor

from core_repr.config import CoReConfig, EnvironmentConfig


class Observation(NamedTuple):
    """Observations of some environments.

    Attributes:
        frames: ``(B, side, side, 3)``.
        proprioception: ``(B, P)``; P is 0 if there is none.
    """

    frames: UInt8[np.ndarray, "b side side 3"]
    proprioception: Float32[np.ndarray, "b p"]

    def row(self, index: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Returns frame and proprioception of one environment."""
        return self.frames[index], self.proprioception[index]

    def tensors(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Returns both as tensors on ``device``."""
        frames = torch.from_numpy(np.ascontiguousarray(self.frames))
        return frames.to(device), torch.from_numpy(self.proprioception).to(device)


class ObservationReader:
    """Takes observations apart.

    An environment gives square RGB frames, or a ``Dict`` of such frames and flat ``Box`` entries,
    all of which are proprioception; ``gymnasium.wrappers.FilterObservation`` leaves entries out.

    Args:
        space: Observation space of one environment.
        side: Side of the frames in pixels.
        names: The order of proprioception; that of the space by default.

    Attributes:
        pixels_key: Name of the frames in the ``Dict``; ``None`` without one.
        proprioception: Name → number of values.

    Raises:
        ValueError: If the observations are not of these forms.
    """

    def __init__(
        self, space: spaces.Space[Any], side: int, names: Iterable[str] | None = None
    ) -> None:
        self.frame_shape = (side, side, 3)
        self.pixels_key: str | None = None
        self.proprioception: dict[str, int] = {}
        frames = frame_space(side)
        if isinstance(space, spaces.Dict):
            keys = [key for key, part in space.spaces.items() if part == frames]
            if len(keys) == 1:
                self.pixels_key = keys[0]
                others = [key for key in space.spaces if key != self.pixels_key]
                self.proprioception = {
                    key: _flat_size(key, space.spaces[key])
                    for key in (others if names is None else names)
                }
                return
        elif space == frames:
            return
        raise ValueError(
            f"CoReSAC learns from RGB frames, observation space {frames}, or from a Dict with one "
            f"entry of them, but this environment has {space}; set its frame size, or "
            "world_model.frame_size in the config."
        )

    def __call__(self, observations: Any) -> Observation:
        """Reads a batch of observations, or one, which becomes a batch."""
        pixels = observations if self.pixels_key is None else observations[self.pixels_key]
        frames = np.asarray(pixels).reshape(-1, *self.frame_shape)
        values = [
            np.asarray(observations[key], np.float32).reshape(len(frames), size)
            for key, size in self.proprioception.items()
        ]
        values.append(np.zeros((len(frames), 0), np.float32))
        return Observation(frames, np.concatenate(values, -1))


def frame_space(side: int) -> spaces.Box:
    """Returns the space of square RGB frames with ``side`` pixels a side."""
    return spaces.Box(0, 255, (side, side, 3), np.uint8)


def observation_space(config: CoReConfig) -> spaces.Space[Any]:
    """Returns the observation space that a config records, proprioception without bounds."""
    frames = frame_space(config.world_model.frame_size)
    environment: EnvironmentConfig | None = config.environment
    assert environment is not None
    if environment.pixels_key is None:
        return frames
    others = [
        (key, spaces.Box(-np.inf, np.inf, (size,), np.float32))
        for key, size in environment.proprioception.items()
    ]
    # Of a dictionary, Gymnasium would sort the names.
    return spaces.Dict([(environment.pixels_key, frames), *others])


def _flat_size(key: str, space: spaces.Space[Any]) -> int:
    if not isinstance(space, spaces.Box) or len(space.shape) != 1 or space.shape[0] == 0:
        raise ValueError(
            f"CoReSAC takes flat Box entries beside the frames, but {key!r} is {space}; leave it "
            "out with gymnasium.wrappers.FilterObservation, or make it flat."
        )
    return int(space.shape[0])
