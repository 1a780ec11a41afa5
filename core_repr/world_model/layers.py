"""Layers that the encoder, the recurrent state-space model and the heads share."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F


def mlp(
    input_size: int,
    layers: Sequence[int],
    output_size: int | None = None,
    activation: Callable[[], nn.Module] = nn.ELU,
) -> nn.Sequential:
    """Builds a fully connected network with orthogonal weights and zero biases.

    Args:
        input_size: Size of the last input dimension.
        layers: Sizes of the layers that are followed by ``activation``.
        output_size: Size of a last layer without activation; ``None`` for no such layer.
        activation: Makes the activation.

    Returns:
        The network, ``(..., input_size)`` → ``(..., output_size or layers[-1])``.
    """
    modules: list[nn.Module] = []
    for size in layers:
        modules += [orthogonal_linear(input_size, size), activation()]
        input_size = size
    if output_size is not None:
        modules.append(orthogonal_linear(input_size, output_size))
    return nn.Sequential(*modules)


def normed_mlp(input_size: int, layers: Sequence[int], output_size: int) -> nn.Sequential:
    """Builds a fully connected network like :func:`mlp`, with LayerNorm and SiLU after each layer.

    Args:
        input_size: Size of the last input dimension.
        layers: Sizes of the hidden layers.
        output_size: Size of the last layer, which has neither.
    """
    modules: list[nn.Module] = []
    for size in layers:
        modules += [orthogonal_linear(input_size, size), nn.LayerNorm(size), nn.SiLU()]
        input_size = size
    return nn.Sequential(*modules, orthogonal_linear(input_size, output_size))


def orthogonal_linear(input_size: int, output_size: int, bias: bool = True) -> nn.Linear:
    """Builds a linear layer with orthogonal weights and a zero bias."""
    layer = nn.Linear(input_size, output_size, bias=bias)
    nn.init.orthogonal_(layer.weight)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer


@torch.no_grad()
def delta_orthogonal_(weight: Float[Tensor, "out in k k"], gain: float) -> None:
    """Fills a square convolution kernel in place: orthogonal at its centre tap, zero elsewhere.

    Source: Xiao et al., 2018, "Dynamical Isometry and a Mean Field Theory of CNNs".
    """
    centre = weight.shape[-1] // 2
    nn.init.zeros_(weight)
    nn.init.orthogonal_(weight[:, :, centre, centre], gain)


class LayerNormGRUCell(nn.Module):
    """A gated recurrent unit whose gates are layer-normalised together.

    One linear map without bias takes [input, h] to the three gates; LayerNorm runs over all of
    them; the update gate has a bias of −1, so that h changes slowly at first.

    Args:
        input_size: Size of the input.
        size: Size of h.
    """

    update_bias = -1.0

    def __init__(self, input_size: int, size: int) -> None:
        super().__init__()
        self.gates = orthogonal_linear(input_size + size, 3 * size, bias=False)
        self.norm = nn.LayerNorm(3 * size)

    def forward(
        self, inputs: Float[Tensor, "b i"], h: Float[Tensor, "b h"]
    ) -> Float[Tensor, "b h"]:
        """Returns the next h, in float32."""
        gates = F.layer_norm(
            self.gates(torch.cat([inputs, h.to(inputs.dtype)], -1)).float(),
            self.norm.normalized_shape,
            self.norm.weight,
            self.norm.bias,
        )
        reset, candidate, update = gates.chunk(3, -1)
        candidate = torch.tanh(torch.sigmoid(reset) * candidate)
        update = torch.sigmoid(update + self.update_bias)
        return torch.lerp(h, candidate, update)
