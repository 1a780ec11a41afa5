"""Random crops and shifts: where in a frame the learner looks, the same for a whole sequence."""

import torch
from jaxtyping import UInt8
from torch import Tensor


class RandomCrop:
    """Cuts a square out of the frames of each sequence.

    Args:
        side: Of the square in pixels.
    """

    def __init__(self, side: int) -> None:
        self.side = side

    def __call__(
        self, frames: UInt8[Tensor, "t b height height 3"], generator: torch.Generator
    ) -> UInt8[Tensor, "t b side side 3"]:
        """Returns the crops.

        Args:
            frames: A mini-batch.
            generator: Draws the places, uniform over all that fit.
        """
        length, batch_size, height = frames.shape[:3]
        places = torch.randint(height - self.side + 1, (batch_size, 2), generator=generator)
        cropped = frames.new_empty(length, batch_size, self.side, self.side, 3)
        for b, (y, x) in enumerate(places.tolist()):
            cropped[:, b] = frames[:, b, y : y + self.side, x : x + self.side]
        return cropped


class RandomShift:
    """Shifts the frames of each sequence; what was outside repeats the nearest edge.

    Source: Yarats et al., 2021, "Image Augmentation Is All You Need" (DrQ).

    Args:
        reach: Greatest shift in pixels, along each axis and to each side.
    """

    def __init__(self, reach: int) -> None:
        self.reach = reach

    def __call__(
        self, frames: UInt8[Tensor, "t b side side 3"], generator: torch.Generator
    ) -> UInt8[Tensor, "t b side side 3"]:
        """Returns the shifted frames.

        Args:
            frames: A mini-batch.
            generator: Draws the shifts, uniform.
        """
        side = frames.shape[2]
        shifts = torch.randint(
            -self.reach, self.reach + 1, (2, frames.shape[1], 1), generator=generator
        )
        lines = (torch.arange(side) + shifts).clamp_(0, side - 1).to(frames.device)
        sequences = torch.arange(frames.shape[1], device=frames.device)[:, None, None]
        return frames[:, sequences, lines[0][:, :, None], lines[1][:, None, :]]
