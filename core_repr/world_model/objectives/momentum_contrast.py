"""CURL's loss: two views of a frame, one of them through a slow copy of the encoder."""

from copy import deepcopy

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from core_repr.config import MomentumContrastConfig
from core_repr.world_model.batch import Observed
from core_repr.world_model.encoders import Encoder
from core_repr.world_model.objectives.objective import Objective, Sizes, Term


class MomentumContrast(Objective):
    """Tells which of the keys is another view of the frame that a query is of.

    Source: Laskin et al., 2020, "CURL: Contrastive Unsupervised Representations for Reinforcement
    Learning".

    Args:
        config: Weight and rate.
        sizes: Of the model.
    """

    name = "momentum_contrast_loss"
    groups = {"bilinear": "encoder"}  # noqa: RUF012
    views = 2
    frames_alone = True

    def __init__(self, config: MomentumContrastConfig, sizes: Sizes) -> None:
        super().__init__()
        self.weight = config.weight
        self._rate = config.momentum_rate
        self.bilinear = nn.Parameter(torch.rand(sizes.encoding, sizes.encoding))
        self.key_encoder: Encoder = deepcopy(sizes.encoder).requires_grad_(False)

    def forward(self, observed: Observed) -> Term:
        """Compares all frames, the first of a sequence too."""
        assert observed.others.second is not None
        pairs = observed.batch.mask.flatten()
        query = observed.x[..., : len(self.bilinear)].flatten(0, 1)[pairs]
        with torch.no_grad():
            key = self.key_encoder(observed.others.second.flatten(0, 1)[pairs])
        key = key[:, : len(self.bilinear)]
        loss = momentum_contrast_loss(query, key, self.bilinear)
        return Term(loss, pairs.sum().clamp(min=1).log())

    def after_step(self, encoder: Encoder) -> None:
        """Moves the slow copy towards the encoder."""
        with torch.no_grad():
            slow, fast = (list[Tensor](e.parameters()) for e in (self.key_encoder, encoder))
            torch._foreach_lerp_(slow, fast, self._rate)


def momentum_contrast_loss(
    query: Float[Tensor, "n x"], key: Float[Tensor, "n x"], bilinear: Float[Tensor, "x x"]
) -> Float[Tensor, ""]:
    """Cross-entropy of the keys' similarities qᵢ · W kⱼ, in nats; log n is chance.

    Args:
        query: Encodings q.
        key: Encodings k; row n belongs to row n of ``query``.
        bilinear: W.
    """
    with torch.autocast(query.device.type, enabled=False):
        similarity = query.float() @ (bilinear @ key.float().T)
    return F.cross_entropy(similarity, torch.arange(len(query), device=query.device))
