"""Where an environment's RGB frames are, and how they become frames of the model's form."""

from __future__ import annotations

import difflib
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from jaxtyping import Shaped, UInt8
from numpy.typing import NDArray
from torch.nn import functional as F

PIXELS = "pixels"
"""Name of the pixels among the observations, where the user gives no other."""


class PixelReader:
    """Takes the frames out of observations, as ``uint8`` frames of the model's size.

    Safe changes are made: the newest frame of a stack, another order of axes, floats in [0, 1],
    and a larger square frame, which is reduced. What would have to be guessed is refused: colours
    of a grey frame, the rest of a smaller one, the shape of one that is not square.

    Args:
        space: Observation space of one environment.
        key: Name of the pixels in a ``Dict``; ``None`` for "pixels".
        side: Side in pixels of the model's frames.

    Attributes:
        key: Name of the pixels.
        resized_from: Side in pixels of frames that are reduced, or ``None``.

    Raises:
        TypeError: If the observations hold no RGB frames.
        ValueError: If the key is unknown, or the frames are of a size or range that does not do.
    """

    def __init__(self, space: spaces.Space[Any], key: str | None, side: int) -> None:
        self.key = PIXELS if key is None else key
        self._in_dict = isinstance(space, spaces.Dict)
        box = _find(space, key, self.key)
        self._shape = box.shape
        self._stacked, self._channels_first, frame_side = _layout(box)
        self._scale = _scale(box)
        if frame_side < side:
            raise ValueError(
                f"The model was trained on frames of {side} × {side} pixels, but the environment "
                f"gives {frame_side} × {frame_side}, which show less; make it with frames of "
                f"{side} × {side}, in the environments of core_repr by frame_size={side}."
            )
        self._side = side
        self.resized_from = None if frame_side == side else frame_side

    def pixels(self, observations: Any) -> Shaped[np.ndarray, "n ..."]:
        """Returns the pixels of a batch of observations, or of one, as they are there."""
        pixels = np.asarray(observations[self.key] if self._in_dict else observations)
        return pixels.reshape(-1, *self._shape)

    def frames(self, pixels: Shaped[np.ndarray, "n ..."]) -> UInt8[np.ndarray, "n side side 3"]:
        """Returns a batch of pixels in the model's form."""
        if self._stacked:
            pixels = pixels[:, -1]
        if self._channels_first:
            pixels = pixels.transpose(0, 2, 3, 1)
        pixels = pixels[..., -3:]
        if pixels.dtype != np.uint8:
            pixels = np.rint(pixels * self._scale).astype(np.uint8)
        if self.resized_from is not None:
            pixels = _reduce(pixels, self._side)
        # PyTorch takes no array that it could not write to.
        return pixels if pixels.flags.writeable else pixels.copy()


def is_grayscale(space: spaces.Space[Any]) -> bool:
    """Whether observations are frames without colour: (h, w), (h, w, 1) or (1, h, w)."""
    if not isinstance(space, spaces.Box) or space.dtype != np.uint8 or len(space.shape) > 3:
        return False
    sides = [size for size in space.shape if size != 1]
    # Shorter sides are tables of numbers rather than pictures.
    return len(sides) == 2 and min(sides) >= 8


def _find(space: spaces.Space[Any], asked: str | None, key: str) -> spaces.Box:
    """Returns the space of the pixels."""
    if isinstance(space, spaces.Dict):
        if key not in space.spaces:
            near = difflib.get_close_matches(key, space.spaces, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "give its name as pixels_key."
            raise ValueError(
                f"There is no key {key!r} among the environment's observations "
                f"({', '.join(map(repr, space.spaces))}); {hint}"
            )
        space = space.spaces[key]
    elif asked is not None:
        raise ValueError(
            f"pixels_key={asked!r} names pixels within a Dict, but the environment's observations "
            f"are {space}; leave it out."
        )
    if not isinstance(space, spaces.Box) or len(space.shape) < 2:
        raise TypeError(
            "The model takes RGB frames, (side, side, 3) of uint8, but the environment's "
            f"observations are {space}; let it give its pixels, for instance by "
            "gymnasium.wrappers.AddRenderObservation(env)."
        )
    return space


def _layout(box: spaces.Box) -> tuple[bool, bool, int]:
    """Returns whether frames are stacked on an axis of their own, channels first, and the side."""
    shape = box.shape
    stacked = len(shape) == 4
    frame = shape[1:] if stacked else shape
    if len(frame) == 3:
        for channels_first in (False, True):
            channels, height, width = frame if channels_first else (frame[2], frame[0], frame[1])
            # More than three channels are whole frames, stacked along the channels.
            whole = channels == 3 if stacked else channels % 3 == 0
            if whole and channels < min(height, width):
                if height != width:
                    raise ValueError(
                        f"The model takes square frames, but the environment gives {height} × "
                        f"{width} pixels; crop them or render them square."
                    )
                return stacked, channels_first, height
    raise TypeError(
        "The model takes RGB frames, (side, side, 3) of uint8, also with channels first or "
        f"stacked, but the environment's frames have shape {shape}; let it give colours, one "
        "frame of three channels each."
    )


def _scale(box: spaces.Box) -> float:
    """Returns what takes pixels to [0, 255]."""
    low, high = float(box.low.min()), float(box.high.max())
    uniform = bool((box.low == low).all() and (box.high == high).all())
    if uniform and (low, high) == (0, 255):
        return 1.0
    if uniform and (low, high) == (0, 1) and np.issubdtype(box.dtype, np.floating):
        return 255.0
    raise ValueError(
        f"The model takes pixels from 0 to 255, or floats from 0 to 1, but the environment's are "
        f"{box.dtype} from {low:g} to {high:g}; rescale them with "
        "gymnasium.wrappers.TransformObservation."
    )


def _reduce(frames: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Makes frames smaller; every pixel of theirs counts."""
    tensor = torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2)
    reduced = F.interpolate(tensor, (side, side), mode="bilinear", antialias=True)
    smaller: NDArray[np.uint8] = reduced.permute(0, 2, 3, 1).numpy()
    return smaller
