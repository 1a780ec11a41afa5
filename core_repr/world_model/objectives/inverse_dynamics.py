"""L_a and the inverse dynamics head."""

import torch
from torch import nn

from core_repr.config import InverseDynamicsConfig
from core_repr.world_model.batch import Observed
from core_repr.world_model.layers import mlp
from core_repr.world_model.objectives.losses import inverse_dynamics_loss, masked_mean
from core_repr.world_model.objectives.objective import Objective, Sizes, Term


class InverseDynamics(Objective):
    """Tells the action between two successive states.

    Args:
        config: Weight and layers.
        sizes: Of the model.
    """

    name = "inverse_dynamics_loss"

    def __init__(self, config: InverseDynamicsConfig, sizes: Sizes) -> None:
        super().__init__()
        self.weight = config.weight
        self.head = nn.Sequential(mlp(2 * sizes.features, config.layers, sizes.action), nn.Tanh())

    def forward(self, observed: Observed) -> Term:
        """Tells the actions from the posteriors around them."""
        features = observed.posterior.sample_features
        action = self.head(torch.cat([features[:-1], features[1:]], -1)).float()
        error = inverse_dynamics_loss(action, observed.batch.actions[:-1])
        return Term(masked_mean(error, observed.batch.follows))
