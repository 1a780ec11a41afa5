"""L_x: frames decoded pixel by pixel, in place of L_c (Recon)."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from core_repr.config import ReconstructionConfig
from core_repr.world_model.batch import Observed
from core_repr.world_model.encoders.frames import center_crop
from core_repr.world_model.latent import LatentState
from core_repr.world_model.layers import mlp
from core_repr.world_model.objectives.losses import masked_mean
from core_repr.world_model.objectives.objective import Objective, Sizes, Term
from core_repr.world_model.pixel_decoder import PixelDecoder, as_target


class Reconstruction(Objective):
    """Decodes what a state says the frame shows.

    The target is the centre of the frame as it came, whatever the encoder saw of it.

    Args:
        config: Weight and layers.
        sizes: Of the model.
    """

    name = "reconstruction_loss"

    def __init__(self, config: ReconstructionConfig, sizes: Sizes) -> None:
        super().__init__()
        self.weight = config.weight
        self._from_prior = config.decoded == "prior"
        self.decoder = mlp(sizes.features, config.layers, sizes.encoding)
        self.pixels = PixelDecoder(sizes.encoding, config.filters, sizes.side)

    def decode(self, state: LatentState) -> Float[Tensor, "*batch side side 3"]:
        """Returns the decoded frames, in float32 and about [0, 1]."""
        y = self.decoder(state.sample_features).float()
        frames: Tensor = self.pixels(F.layer_norm(y, y.shape[-1:]))
        return frames

    def forward(self, observed: Observed) -> Term:
        """Compares the decoded frames with those that there are."""
        batch, state = observed.batch, observed.posterior
        whole = batch.frames if observed.others.whole is None else observed.others.whole
        target, mask = as_target(center_crop(whole, self.pixels.side)), batch.mask
        if self._from_prior:
            # The prior of a frame that follows none knows nothing and is not scored.
            assert observed.prior is not None
            target, mask, state = target[1:], batch.follows, observed.prior.at(slice(1, None))

        def loss(decoded: Tensor) -> Tensor:
            errors = F.smooth_l1_loss(decoded, target, reduction="none")
            return masked_mean(errors.mean((-3, -2, -1)), mask)

        with torch.no_grad():
            # One frame for all: the mean of those that are scored.
            scored = mask[..., None, None, None]
            mean = (target * scored).sum((0, 1)) / mask.sum().clamp(min=1)
            chance = loss(mean.expand_as(target))
        return Term(loss(self.decode(state)), chance)
