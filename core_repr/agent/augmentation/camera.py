"""A camera that moves at random."""

import math

import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.nn import functional as F

from core_repr.agent.augmentation.half import half


class CameraJitter:
    """Turns, zooms and shifts half of the frames, as if the camera had moved.

    Args:
        scale: σ. The turn is at most ±σ·π/2, the logarithm of the zoom ±σ, and the shift ±σ/4 of
            the frame's side along each of its axes, before the zoom. Beyond its edges the frame is
            mirrored.
    """

    def __init__(self, scale: float) -> None:
        self.scale = scale

    def __call__(
        self, frames: UInt8[Tensor, "t b side side 3"], generator: torch.Generator
    ) -> UInt8[Tensor, "t b side side 3"]:
        """Returns augmented frames.

        Args:
            frames: A mini-batch.
            generator: Draws the frames and what becomes of each.
        """
        flat = frames.flatten(0, 1)
        index = half(len(flat), generator)
        if not len(index):
            return frames
        turn, zoom, right, down = self.scale * (
            2 * torch.rand(4, len(index), generator=generator) - 1
        )
        angle, zoom = turn * (math.pi / 2), zoom.exp()
        cos, sin = zoom * angle.cos(), zoom * angle.sin()
        # Where in the frame, from −1 to 1, each pixel comes from.
        rows = [torch.stack([cos, -sin, right / 2], -1), torch.stack([sin, cos, down / 2], -1)]
        index = index.to(flat.device)
        chosen = flat[index].permute(0, 3, 1, 2).float()
        grid = F.affine_grid(
            torch.stack(rows, 1).to(flat.device), list(chosen.shape), align_corners=False
        )
        moved = F.grid_sample(chosen, grid, padding_mode="reflection", align_corners=False)
        moved = moved.round_().to(torch.uint8).permute(0, 2, 3, 1).contiguous()
        return flat.index_copy(0, index, moved).reshape(frames.shape)
