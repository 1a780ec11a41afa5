"""L_KL, equation (2)."""

from core_repr.config import KLConfig
from core_repr.world_model.batch import Observed
from core_repr.world_model.objectives.losses import balanced_kl, masked_mean
from core_repr.world_model.objectives.objective import Objective, Sizes, Term


class KL(Objective):
    """Keeps posterior and prior together, in nats, balanced and clipped.

    Args:
        config: Weight and clipping.
        sizes: Of the model; it has no head.
    """

    name = "kl"

    def __init__(self, config: KLConfig, sizes: Sizes) -> None:
        super().__init__()
        self.weight = config.weight
        self._free_nats = config.free_nats

    def forward(self, observed: Observed) -> Term:
        """Compares the states of frames that follow another; other priors know nothing."""
        assert observed.prior is not None
        later = slice(1, None)
        kl = balanced_kl(observed.posterior.at(later), observed.prior.at(later), self._free_nats)
        return Term(masked_mean(kl, observed.batch.follows))
