"""Random textures and colours over half of the frames."""

import numpy as np
import torch
from jaxtyping import UInt8
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from core_repr.agent.augmentation.half import half

NUM_TEXTURES = 256
TEXTURE_MARGIN = 32
MAP_SIDE = 5


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
        index = half(len(flat), generator).to(device)
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
