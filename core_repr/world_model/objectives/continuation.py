"""L_d and the continuation head."""

from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from core_repr.config import ContinuationConfig
from core_repr.world_model.batch import Observed
from core_repr.world_model.latent import LatentState
from core_repr.world_model.layers import mlp
from core_repr.world_model.objectives.losses import masked_mean
from core_repr.world_model.objectives.objective import Objective, Sizes, Term

INITIAL_LOGIT = 5.0
"""Of an episode that goes on: terminating is rare, and is to be learned."""


class Continuation(Objective):
    """Predicts whether an episode goes on after the step that led to a state.

    Source: Hafner et al., 2023, "Mastering Diverse Domains through World Models", whose continue
    predictor it is. Until the first termination, it says 1 and learns nothing.

    Args:
        config: Weight and layers.
        sizes: Of the model.

    Attributes:
        terminations: How many terminal states it has learned from.
    """

    name = "continuation_loss"
    terminations: Tensor

    def __init__(self, config: ContinuationConfig, sizes: Sizes) -> None:
        super().__init__()
        self.weight = config.weight
        self.head = mlp(sizes.features, config.layers, 1)
        nn.init.constant_(cast("nn.Linear", self.head[-1]).bias, INITIAL_LOGIT)
        self.register_buffer("terminations", torch.zeros(()))

    def predict(self, state: LatentState) -> Float[Tensor, "*batch"]:
        """Returns the probability that the episode goes on after the step to ``state``."""
        goes_on = self._logits(state).sigmoid()
        return torch.where(self.terminations > 0, goes_on, 1.0)

    def forward(self, observed: Observed) -> Term:
        """Predicts from the posterior after each action."""
        logits = self._logits(observed.posterior.at(slice(1, None)))
        terminated, mask = observed.batch.terminated[:-1], observed.batch.follows
        if logits.requires_grad:
            self.terminations += (terminated & mask).sum()
        loss = F.binary_cross_entropy_with_logits(logits, (~terminated).float(), reduction="none")
        return Term(masked_mean(loss, mask & (self.terminations > 0)))

    def _logits(self, state: LatentState) -> Float[Tensor, "*batch"]:
        logits: Tensor = self.head(state.sample_features)
        return logits.float().squeeze(-1)
