"""ResNet-18 without its last layer, to measure against: the smallest network of the R3M family.

Source: He et al., 2015, "Deep Residual Learning for Image Recognition"; Nair et al., 2022, "R3M: A
Universal Visual Representation for Robot Manipulation".
"""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

RESNET_SIDE = 224
"""Side in pixels of the frames that it takes."""


class BasicBlock(nn.Module):
    """Two convolutions, and a way around them.

    Args:
        channels: Channels of the input.
        filters: Channels of the output.
        stride: Stride of the first convolution.
    """

    def __init__(self, channels: int, filters: int, stride: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.Conv2d(channels, filters, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(filters),
            nn.ReLU(inplace=True),
            nn.Conv2d(filters, filters, 3, padding=1, bias=False),
            nn.BatchNorm2d(filters),
        )
        self.shortcut = (
            nn.Identity()
            if stride == 1
            else nn.Sequential(
                nn.Conv2d(channels, filters, 1, stride, bias=False), nn.BatchNorm2d(filters)
            )
        )

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n f h2 w2"]:
        """Returns the sum of both ways."""
        return F.relu(self.residual(x) + self.shortcut(x), inplace=True)


def resnet18() -> nn.Sequential:
    """Returns the network, frames ``(n, 3, 224, 224)`` → features ``(n, 512)``, frozen."""
    blocks: list[nn.Module] = []
    channels = 64
    for filters in (64, 128, 256, 512):
        blocks += [
            BasicBlock(channels, filters, 1 if filters == 64 else 2),
            BasicBlock(filters, filters, 1),
        ]
        channels = filters
    network = nn.Sequential(
        nn.Conv2d(3, 64, 7, 2, padding=3, bias=False),
        nn.BatchNorm2d(64),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, 2, padding=1),
        *blocks,
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )
    return network.eval().requires_grad_(False)
