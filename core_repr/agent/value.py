"""The value of a latent state, for learning in imagination.

After Hafner et al., 2023, "Mastering Diverse Domains through World Models" (DreamerV3).
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from core_repr.world_model.layers import normed_mlp

BINS = 101
GREATEST = 8.0
"""Symlog of the greatest return that a value can have; some 3,000."""

SCALE_RATE = 0.01
"""Weight of the newest spread of returns in their scale."""


def symlog(x: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """Returns sign(x) · log(1 + |x|)."""
    return x.sign() * x.abs().log1p()


def symexp(x: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """Undoes :func:`symlog`."""
    return x.sign() * x.abs().expm1()


class Value(nn.Module):
    """The value of a latent state, as a distribution over bins of its symlog.

    Args:
        latent_size: Size of the features.
        layers: Hidden layers, each with LayerNorm and SiLU.

    Attributes:
        return_scale: Moving average of the spread of the returns that it learned from, 0 before
            the first.
    """

    bins: Tensor
    return_scale: Tensor

    def __init__(self, latent_size: int, layers: tuple[int, ...]) -> None:
        super().__init__()
        self.network = normed_mlp(latent_size, layers, BINS)
        # At first, every state is worth nothing.
        nn.init.zeros_(self.network[-1].weight)  # type: ignore[arg-type]
        self.register_buffer("bins", torch.linspace(-GREATEST, GREATEST, BINS), persistent=False)
        self.register_buffer("return_scale", torch.zeros(()))

    def forward(self, features: Float[Tensor, "*batch z"]) -> Float[Tensor, "*batch"]:
        """Returns values in float32."""
        weights = self.network(features).float().softmax(-1)
        return symexp((weights * self.bins).sum(-1))

    def loss(
        self, features: Float[Tensor, "*batch z"], target: Float[Tensor, "*batch"]
    ) -> Float[Tensor, "*batch"]:
        """Returns the cross-entropy to ``target``, shared by the two bins that it lies between."""
        place = (symlog(target).clamp(-GREATEST, GREATEST) + GREATEST) * (BINS - 1) / (2 * GREATEST)
        # What is not finite stays so in the share, and is found in the loss.
        lower = place.floor().long().clamp(0, BINS - 2)
        share = place - lower
        density = self.network(features).float().log_softmax(-1)
        below, above = (density.gather(-1, i[..., None]).squeeze(-1) for i in (lower, lower + 1))
        entropy: Tensor = -(1 - share) * below - share * above
        return entropy

    @torch.no_grad()
    def scale(self, returns: Float[Tensor, "*batch"]) -> Float[Tensor, ""]:
        """Takes in returns, and gives what to divide returns by: their spread, at least 1.

        The spread is the range between the 5th and the 95th percentile.
        """
        low, high = returns.flatten().quantile(returns.new_tensor([0.05, 0.95]))
        rate = torch.where(self.return_scale == 0, 1.0, SCALE_RATE)
        self.return_scale.lerp_(high - low, rate)
        scale: Tensor = self.return_scale.clamp(min=1)
        return scale
