"""L_r and the reward head."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

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
        self.moments = RunningMoments() if config.normalized else None

    def predict(self, state: LatentState) -> Float[Tensor, "*batch"]:
        """Returns the predicted reward of the step that led to ``state``."""
        reward = self._predict(state)
        return reward if self.moments is None else self.moments.undo(reward)

    def forward(self, observed: Observed) -> Term:
        """Predicts from the posterior after each action."""
        predicted = self._predict(observed.posterior.at(slice(1, None)))
        rewards, mask = observed.batch.rewards[:-1], observed.batch.follows
        if self.moments is not None:
            if predicted.requires_grad:
                self.moments.update(rewards, mask)
            rewards = self.moments(rewards)
        return Term(masked_mean(reward_loss(predicted, rewards), mask))

    def _predict(self, state: LatentState) -> Float[Tensor, "*batch"]:
        """The reward as the head learns it."""
        reward: Tensor = self.head(state.sample_features)
        return reward.float().squeeze(-1)


class RunningMoments(nn.Module):
    """Brings numbers that come in mini-batches to mean 0 and variance 1, and back.

    Attributes:
        count: Mini-batches so far.
        mean: Of the numbers: of all mini-batches at first, later of about the last hundred.
        variance: Of the same.
    """

    count: Tensor
    mean: Tensor
    variance: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(()))
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("variance", torch.ones(()))

    @torch.no_grad()
    def update(self, numbers: Float[Tensor, "*batch"], mask: Bool[Tensor, "*batch"]) -> None:
        """Takes in those numbers of a mini-batch that count."""
        self.count += 1
        weight = 1 / self.count.clamp(max=100)
        mean = masked_mean(numbers, mask)
        variance = masked_mean((numbers - mean).square(), mask)
        change = mean - self.mean
        self.mean += weight * change
        self.variance += weight * (variance + (1 - weight) * change.square() - self.variance)

    def forward(self, numbers: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """Returns the numbers with mean 0 and variance 1."""
        return (numbers - self.mean) / self._scale

    def undo(self, numbers: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """Returns the numbers that :meth:`forward` makes these of."""
        return numbers * self._scale + self.mean

    @property
    def _scale(self) -> Float[Tensor, ""]:
        return self.variance.sqrt().clamp(min=SMALLEST_SCALE)


SMALLEST_SCALE = 1e-3
"""Of numbers that vary less, whose mean alone is taken away."""
