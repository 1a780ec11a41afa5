"""L_c, equation (1), with the observation-representation decoder g and its temperature."""

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from core_repr.config import ContrastiveConfig
from core_repr.world_model.batch import Observed
from core_repr.world_model.latent import LatentState
from core_repr.world_model.layers import mlp
from core_repr.world_model.objectives.losses import info_nce
from core_repr.world_model.objectives.objective import Objective, Sizes, Term


class Contrastive(Objective):
    """Tells which encoding belongs to which state.

    Args:
        config: Weight and form.
        sizes: Of the model.
    """

    name = "contrastive_loss"
    groups = {"inverse_temperature_logit": "temperature"}  # noqa: RUF012

    def __init__(self, config: ContrastiveConfig, sizes: Sizes) -> None:
        super().__init__()
        self.weight = config.weight
        self._from_prior = config.decoded == "prior"
        self._negatives = config.negatives
        compared = sizes.observation if config.proprioception else sizes.encoding
        self.decoder = mlp(sizes.features, config.layers, compared)
        self.inverse_temperature_logit = nn.Parameter(torch.tensor(config.inverse_temperature))

    @property
    def inverse_temperature(self) -> Float[Tensor, ""]:
        """λ = softplus(ℓ)."""
        return F.softplus(self.inverse_temperature_logit)

    def decode(self, state: LatentState) -> Float[Tensor, "*batch x"]:
        """Returns y = g(z), the predicted encodings, each of mean 0 and variance 1."""
        y = self.decoder(state.sample_features).float()
        return F.layer_norm(y, y.shape[-1:])

    def forward(self, observed: Observed) -> Term:
        """Compares as much of the encodings as g predicts."""
        batch, x, state = observed.batch, observed.x, observed.posterior
        columns = torch.arange(batch.mask.shape[1], device=x.device)
        # Those of another episode in the same column are another sequence.
        mask, sequences = batch.mask, columns + len(columns) * batch.is_first.cumsum(0)
        if self._from_prior:
            # The prior of a frame that follows none knows nothing and is not scored.
            assert observed.prior is not None
            mask, x, state = batch.follows, x[1:], observed.prior.at(slice(1, None))
            sequences = sequences[1:]
        pairs = mask.flatten()
        y = self.decode(state)
        excluded = self._excluded(sequences.flatten()[pairs])
        loss = info_nce(
            x[:, :, : y.shape[-1]].flatten(0, 1)[pairs],
            y.flatten(0, 1)[pairs],
            self.inverse_temperature,
            excluded,
        )
        if excluded is None:
            return Term(loss, pairs.sum().clamp(min=1).log())
        candidates = (~excluded).sum(1)
        return Term(loss, candidates.log().sum() / pairs.sum().clamp(min=1))

    def _excluded(self, sequences: Int64[Tensor, " n"]) -> Bool[Tensor, "n n"] | None:
        """Returns which frames are not distinguished, for the number of each one's sequence."""
        if self._negatives == "same-sequence":
            return sequences[:, None] != sequences[None]
        return None

    def diagnostics(self) -> Mapping[str, Float[Tensor, ""]]:
        """Returns λ."""
        return {"inverse_temperature": self.inverse_temperature.detach()}
