"""From a vector back to pixels."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from core_repr.world_model.layers import orthogonal_linear


class PixelDecoder(nn.Module):
    """A linear layer and transposed convolutions, each of which doubles the side.

    No sizes of it are published. The last convolution gives at least ``side`` pixels, of which the
    central ones are kept.

    Args:
        input_size: Size of the vector.
        filters: Channels of what goes into each transposed convolution.
        side: Side of the square frames in pixels.
    """

    def __init__(self, input_size: int, filters: tuple[int, ...], side: int) -> None:
        super().__init__()
        self.side = side
        self._first = (filters[0], *2 * (-(-side // 2 ** len(filters)),))
        first, height, width = self._first
        layers: list[nn.Module] = []
        for channels, following in zip(filters, (*filters[1:], 3), strict=True):
            layers += [nn.ELU(), nn.ConvTranspose2d(channels, following, 4, 2, padding=1)]
        self.linear = orthogonal_linear(input_size, first * height * width)
        self.convolutions = nn.Sequential(*layers)

    def forward(self, y: Float[Tensor, "*batch y"]) -> Float[Tensor, "*batch side side 3"]:
        """Returns frames in float32, about [0, 1]."""
        pixels = self.convolutions(self.linear(y.flatten(0, -2)).unflatten(-1, self._first))
        start = (pixels.shape[-1] - self.side) // 2
        kept = slice(start, start + self.side)
        frames = pixels[..., kept, kept].permute(0, 2, 3, 1).float()
        decoded: Tensor = frames.unflatten(0, y.shape[:-1])
        return decoded


def as_target(frames: Tensor) -> Float[Tensor, "*batch side side 3"]:
    """Returns frames as numbers in [0, 1]."""
    return frames.to(torch.float32) / 255
