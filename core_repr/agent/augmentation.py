"""Random changes of the frames that the learner sees, so that distractions tell it nothing.

Half of the frames, chosen at random, are turned, zoomed and shifted, and half, chosen
independently, get a texture, an opacity map and a colour shift, each frame its own. What changes at
random from frame to frame cannot be predicted, so the contrastive loss has no use for it. Without
that, a camera that strays or a background alone tells the sequences of a mini-batch apart, and what
else does so, such as a target that stands still, is not learned.
"""

import math

import numpy as np
import torch
from jaxtyping import UInt8
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

NUM_TEXTURES = 256
TEXTURE_MARGIN = 32
MAP_SIDE = 5


class CameraJitter:
    """Turns, zooms and shifts half of the frames, as if the camera had strayed.

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
        index = _half(len(flat), generator)
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


class TextureOverlay:
    """Blends textures with the spectrum of natural images into frames.

    Args:
        side: Side of the frames in pixels.
        opacity: Greatest opacity of a texture, from 0 to 1.
        color_jitter: Greatest relative change of a colour channel's gain, and twice that of its
            offset.
        device: Where the frames are.
    """

    def __init__(
        self, side: int, opacity: float, color_jitter: float, device: torch.device
    ) -> None:
        self.side = side
        self.opacity = opacity
        self.color_jitter = color_jitter
        textures = make_textures(NUM_TEXTURES, side + TEXTURE_MARGIN, np.random.default_rng(0))
        self.textures = torch.from_numpy(textures).to(device)
        # Bilinear interpolation of a line, as a matrix.
        line = torch.eye(MAP_SIDE).unsqueeze(0)
        self.enlarge = F.interpolate(line, size=side, mode="linear").squeeze(0).to(device)

    def __call__(
        self, frames: UInt8[Tensor, "t b side side 3"], generator: torch.Generator
    ) -> UInt8[Tensor, "t b side side 3"]:
        """Returns augmented frames.

        Args:
            frames: A mini-batch.
            generator: Draws textures, opacities and colours.
        """
        flat = frames.flatten(0, 1)
        device = frames.device
        index = _half(len(flat), generator).to(device)
        count = len(index)

        def uniform(*shape: int) -> Tensor:
            return torch.rand(shape, generator=generator).to(device)

        chosen = torch.randint(NUM_TEXTURES, (count,), generator=generator).to(device)
        y, x = torch.randint(TEXTURE_MARGIN + 1, (2,), generator=generator).tolist()
        textures = self.textures[chosen, y : y + self.side, x : x + self.side].float()
        # A coarse map whose edges are steep enough to leave about a third of the frame untouched.
        coarse = 4 * (uniform(count, MAP_SIDE, MAP_SIDE) - 0.5) + 0.5
        opacity = (self.enlarge.T @ coarse @ self.enlarge).clamp_(0, 1)
        opacity = (opacity * (self.opacity * uniform(count, 1, 1))).unsqueeze(-1)
        augmented = torch.lerp(flat[index].float(), textures, opacity)
        gain = 1 + self.color_jitter * (2 * uniform(count, 1, 1, 3) - 1)
        offset = 255 * self.color_jitter * (uniform(count, 1, 1, 3) - 0.5)
        # gain · (augmented − 127.5) + 127.5 + offset
        shifted = augmented.mul_(gain).add_(offset + 127.5 * (1 - gain)).clamp_(0, 255)
        return flat.index_copy(0, index, shifted.to(torch.uint8)).reshape(frames.shape)


def _half(count: int, generator: torch.Generator) -> Tensor:
    """Returns the indices of half of so many frames, chosen at random."""
    return torch.randperm(count, generator=generator)[: count // 2]


def make_textures(count: int, side: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Makes random images whose amplitude falls with a power of the frequency.

    Natural images have such spectra (Field, 1987). Some of the textures also get edges.

    Args:
        count: How many.
        side: Side in pixels.
        rng: Draws them.

    Returns:
        ``(count, side, side, 3)``.
    """
    rows, columns = np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None]
    frequency = np.hypot(rows, columns)
    frequency[0, 0] = 1
    textures = np.empty((count, side, side, 3), np.uint8)
    for texture in textures:
        amplitude = frequency ** -rng.uniform(0.8, 1.6)
        amplitude[0, 0] = 0
        shape = (4, *frequency.shape)
        spectrum = (rng.normal(size=shape) + 1j * rng.normal(size=shape)) * amplitude
        # Colours share most of their variation, as they do in nature.
        channels = np.fft.irfft2(0.4 * spectrum[:3] + spectrum[3], s=(side, side))
        channels *= rng.uniform(0.1, 0.35) / channels.std()
        if rng.random() < 0.4:
            channels = np.where(channels > 0, channels.mean() + 0.3, channels)
        channels += rng.uniform(0.2, 0.8, size=(3, 1, 1))
        texture[:] = (255 * channels.clip(0, 1)).transpose(1, 2, 0)
    return textures
