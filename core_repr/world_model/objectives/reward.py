"""L_r and the reward head."""

from jaxtyping import Float
from torch import Tensor

from core_repr.config import RewardConfig
from core_repr.world_model.batch import Observed
from core_repr.world_model.latent import LatentState
from core_repr.world_model.layers import mlp
from core_repr.world_model.objectives.losses import masked_mean, reward_loss
from core_repr.world_model.objectives.objective import Objective, Sizes, Term


class Reward(Objective):
    """Predicts the reward of the step that led to a state.

    Args:
        config: Weight and layers.
        sizes: Of the model.
    """

    name = "reward_loss"

    def __init__(self, config: RewardConfig, sizes: Sizes) -> None:
        super().__init__()
        self.weight = config.weight
        self.head = mlp(sizes.features, config.layers, 1)

    def predict(self, state: LatentState) -> Float[Tensor, "*batch"]:
        """Returns the predicted reward of the step that led to ``state``."""
        reward: Tensor = self.head(state.sample_features)
        return reward.float().squeeze(-1)

    def forward(self, observed: Observed) -> Term:
        """Predicts from the posterior after each action."""
        predicted = self.predict(observed.posterior.at(slice(1, None)))
        error = reward_loss(predicted, observed.batch.rewards[:-1])
        return Term(masked_mean(error, observed.batch.mask[1:]))
