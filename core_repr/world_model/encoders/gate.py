"""The gating network, which shows what of a frame the encoder uses (Figure 5)."""

from jaxtyping import Float
from torch import Tensor, nn

from core_repr.config import GateConfig
from core_repr.world_model.layers import delta_orthogonal_


class Gate(nn.Module):
    """Gives each pixel a number from 0 to 1, which multiplies all of its colours.

    Args:
        config: Layers.
    """

    def __init__(self, config: GateConfig) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for filters in config.filters:
            layers += [_convolution(channels, filters, config.kernel_size), nn.ELU()]
            channels = filters
        layers.append(_convolution(channels, 1, 1))
        if config.bounded:
            layers.append(nn.ELU())
        self.layers = nn.Sequential(*layers, nn.Sigmoid())

    def forward(self, pixels: Float[Tensor, "n side side 3"]) -> Float[Tensor, "n side side 1"]:
        """Returns the mask of each frame.

        Args:
            pixels: As the encoder's first convolution would see them.
        """
        mask: Tensor = self.layers(pixels.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return mask


def _convolution(channels: int, filters: int, kernel_size: int) -> nn.Conv2d:
    """Builds a convolution that keeps the side."""
    convolution = nn.Conv2d(channels, filters, kernel_size, padding=kernel_size // 2)
    delta_orthogonal_(convolution.weight, nn.init.calculate_gain("relu"))
    nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]
    return convolution
