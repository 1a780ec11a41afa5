"""RGB frames of an environment, and how they become frames of the model's form."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from jaxtyping import Shaped, UInt8
from numpy.typing import NDArray
from torch.nn import functional as F

WAY_TO_PIXELS = (
    "let it give its pixels, for instance by gymnasium.wrappers.AddRenderObservation(env)"
)


class FrameReader:
    """Makes ``uint8`` frames of the model's size of an environment's pixels.

    Safe changes are made: the newest frame of a stack, another order of axes, floats in [0, 1],
    any layout in memory, and a larger square frame, which is reduced. What would have to be
    guessed is refused: colours of a grey frame, the rest of a smaller one, the shape of one that is
    not square.

    Args:
        space: Space of the pixels of one environment.
        side: Side in pixels of the model's frames; that of the environment's if ``None``.

    Attributes:
        shape: Shape of one environment's pixels.
        side: Side in pixels of the frames that come out.
        resized_from: Side in pixels of frames that are reduced, or ``None``.

    Raises:
        TypeError: If they are not RGB frames.
        ValueError: If the frames are not square, too small, or have another range.
    """

    def __init__(self, space: spaces.Space[Any], side: int | None = None) -> None:
        if not isinstance(space, spaces.Box) or len(space.shape) < 2:
            raise TypeError(
                "The model takes RGB frames, (side, side, 3) of uint8, but the environment's "
                f"observations are {space}; {WAY_TO_PIXELS}."
            )
        self.shape = space.shape
        self._stacked, self._channels_first, frame_side = _layout(space.shape)
        self._dtype = np.dtype(space.dtype)
        self._high = _highest(space)
        self._is_dark = False
        self.side = frame_side if side is None else side
        if frame_side < self.side:
            raise ValueError(
                f"The model takes frames of {side} × {side} pixels (world_model.frame_size), but "
                f"the environment gives {frame_side} × {frame_side}, which show less; make it with "
                f"larger frames (frame_size={side} in the environments of core_repr, width={side} "
                f"and height={side} in Gymnasium's), or train a model with "
                f"world_model.frame_size={frame_side}."
            )
        self.resized_from = None if frame_side == self.side else frame_side

    def __call__(self, pixels: Shaped[np.ndarray, "n ..."]) -> UInt8[np.ndarray, "n side side 3"]:
        """Returns a batch of pixels in the model's form, as PyTorch can take it.

        Args:
            pixels: Of this space, in any layout in memory. They stay as they are, and may be part
                of what is returned.

        Raises:
            ValueError: If they are of another type or range than the space promises.
        """
        self._check_type(pixels)
        if self._stacked:
            pixels = pixels[:, -1]
        if self._channels_first:
            pixels = pixels.transpose(0, 2, 3, 1)
        frames: NDArray[Any] = pixels[..., -3:]
        if frames.dtype != np.uint8:
            frames = self._to_bytes(frames)
        if self.resized_from is not None:
            return reduce_frames(frames, self.side)
        # Renderers give views that run backwards, simulators read-only ones: PyTorch takes neither.
        plain = frames.flags.c_contiguous and frames.flags.writeable
        return frames if plain else frames.copy()

    def _check_type(self, pixels: NDArray[Any]) -> None:
        seen, said = pixels.dtype, self._dtype
        if seen.kind == said.kind or (said.kind == "i" and np.can_cast(seen, said)):
            return
        raise ValueError(
            f"The frames are {seen}, but the observation space says {said} from 0 to "
            f"{self._high:g}; give them as the space has them, or change the space."
        )

    def _to_bytes(self, frames: NDArray[Any]) -> NDArray[np.uint8]:
        """Rounds; what is a little outside, as rounding or resizing leaves it, is clipped."""
        low, high = frames.min(initial=0), frames.max(initial=0)
        if not -0.25 * self._high <= low <= high <= 1.25 * self._high:
            finite = np.isfinite(low) and np.isfinite(high)
            seen = f"from {low:g} to {high:g}" if finite else "that are not finite"
            raise ValueError(
                f"The frames hold values {seen}, but the observation space says {self._dtype} "
                f"from 0 to {self._high:g}; bring them there, or change the space."
            )
        if not self._is_dark and self._high == 255 and 0 < high <= 1 and (frames % 1).any():
            self._is_dark = True
            warnings.warn(
                f"The frames hold values from {low:g} to {high:g}, almost black, for the "
                f"observation space says {self._dtype} from 0 to 255; if 1 is meant to be white, "
                "make it a space from 0 to 1.",
                stacklevel=2,
            )
        scaled = frames * (255 / self._high) if self._high != 255 else frames
        rounded: NDArray[np.uint8] = np.clip(np.rint(scaled), 0, 255).astype(np.uint8)
        return rounded


def looks_like_frames(space: spaces.Space[Any]) -> bool:
    """Whether a space holds RGB frames of some size and range."""
    if not isinstance(space, spaces.Box):
        return False
    try:
        _layout(space.shape)
    except TypeError:
        return False
    except ValueError:
        pass  # Not square: what is wrong with them is said where they are read.
    return True


def _layout(shape: tuple[int, ...]) -> tuple[bool, bool, int]:
    """Returns whether frames are stacked on an axis of their own, channels first, and the side."""
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
                        f"{width} pixels; render them square (with equal width and height in "
                        "gym.make, for Gymnasium's MuJoCo tasks), or squeeze them with "
                        "gymnasium.wrappers.ResizeObservation(env, (72, 72))."
                    )
                return stacked, channels_first, height
    raise TypeError(
        "The model takes RGB frames, (side, side, 3) of uint8, also with channels first or "
        f"stacked, but the environment's frames have shape {shape}, {_what_else(frame)}; let it "
        "give colours, one frame of three channels each."
    )


def _what_else(frame: tuple[int, ...]) -> str:
    """Says what frames that are not RGB seem to be."""
    channels = 1 if len(frame) == 2 else min(frame, default=0)
    if len(frame) in (2, 3) and channels == 1:
        return "as grey ones have"
    if len(frame) == 3 and channels == 4:
        return "four channels, as RGBA or four grey frames in a stack have"
    return "which is not that of a picture in colours"


def _highest(box: spaces.Box) -> float:
    """Returns what stands for white."""
    low, high = float(box.low.min()), float(box.high.max())
    uniform = bool((box.low == low).all() and (box.high == high).all())
    is_float = np.issubdtype(box.dtype, np.floating)
    if uniform and low == 0 and (high == 255 or (high == 1 and is_float)):
        return high
    raise ValueError(
        f"The model takes pixels from 0 to 255, or floats from 0 to 1, but the environment's are "
        f"{box.dtype} from {low:g} to {high:g}; rescale them with "
        "gymnasium.wrappers.TransformObservation."
    )


def reduce_frames(frames: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Makes frames smaller; every pixel of theirs counts."""
    tensor = torch.from_numpy(np.require(frames, requirements=["C", "W"])).permute(0, 3, 1, 2)
    reduced = F.interpolate(tensor, (side, side), mode="bilinear", antialias=True)
    smaller: NDArray[np.uint8] = reduced.permute(0, 2, 3, 1).contiguous().numpy()
    return smaller
