"""DBC's losses: encodings as far apart as rewards and what follows are."""

from collections.abc import Mapping

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from core_repr.config import BisimulationConfig
from core_repr.world_model.batch import Observed
from core_repr.world_model.layers import orthogonal_linear
from core_repr.world_model.objectives.objective import Objective, Sizes, Term

MIN_STD, MAX_STD = 1e-4, 10.0
HIDDEN_SIZE = 512
ENSEMBLE_SIZE = 5


class Bisimulation(Objective):
    """The bisimulation loss, with the transition and reward models that it needs.

    Source: Zhang et al., 2021, "Learning Invariant Representations for Reinforcement Learning
    without Reconstruction" (DBC), in the form of its published code: distances are per dimension.
    Of what is observed, it takes single steps; random draws are torch's own.

    Args:
        config: Weights and form.
        sizes: Of the model.
    """

    name = "bisimulation_loss"

    def __init__(self, config: BisimulationConfig, sizes: Sizes) -> None:
        super().__init__()
        self.weight = config.weight
        self._distance_weight, self._discount = config.distance_weight, config.discount
        self._size = sizes.encoding
        self._certain = config.transition == "deterministic"
        count = ENSEMBLE_SIZE if config.transition == "ensemble" else 1
        outputs = sizes.encoding * (1 if self._certain else 2)
        self.transitions = nn.ModuleList(
            _model(sizes.encoding + sizes.action, outputs) for _ in range(count)
        )
        self.reward = _model(sizes.encoding, 1)
        self._parts: dict[str, Tensor] = {}

    def transition(
        self, encoding: Float[Tensor, "b x"], action: Float[Tensor, "b a"]
    ) -> tuple[Float[Tensor, "k b x"], Float[Tensor, "k b x"]]:
        """Returns the mean and standard deviation of the next encoding, by each of the models."""
        outputs = torch.stack(
            [model(torch.cat([encoding, action], -1)).float() for model in self.transitions]
        )
        if self._certain:
            return outputs, torch.ones_like(outputs)
        mean, raw = outputs.chunk(2, -1)
        return mean, MIN_STD + (MAX_STD - MIN_STD) * torch.sigmoid(raw)

    def forward(self, observed: Observed) -> Term:
        """Scores the steps from each observation to the next."""
        now, later = (x[:, : self._size].float() for x in observed.x)
        action, reward = observed.batch.actions[0], observed.batch.rewards[0]
        mean, std = self.transition(now, action)
        transition_loss = (0.5 * ((mean - later.detach()) / std).square() + std.log()).mean()
        chosen = int(torch.randint(len(mean), ()))
        sample = mean[chosen]
        if not self._certain:
            sample = sample + std[chosen] * torch.randn_like(sample)
        predicted = self.reward(sample).float().squeeze(-1)
        reward_loss = F.mse_loss(predicted, reward)
        with torch.no_grad():
            mean, std = self.transition(now, action)
        distance_loss = self.distance_loss(now, reward, mean, std, torch.randperm(len(now)))
        self._parts = {
            "transition_loss": transition_loss.detach(),
            "decoded_reward_loss": reward_loss.detach(),
            "distance_loss": distance_loss.detach(),
        }
        return Term(self._distance_weight * distance_loss + transition_loss + reward_loss)

    def distance_loss(
        self,
        encoding: Float[Tensor, "b x"],
        reward: Float[Tensor, " b"],
        mean: Float[Tensor, "k b x"],
        std: Float[Tensor, "k b x"],
        other: Int64[Tensor, " b"],
    ) -> Float[Tensor, ""]:
        """Returns how far the distances between encodings are from those that they should have.

        Args:
            encoding: Of each observation.
            reward: Of the action that follows.
            mean: Of the next encoding, by each model.
            std: Its standard deviation.
            other: The row that each row is compared with.
        """
        distance = F.smooth_l1_loss(encoding, encoding[other], reduction="none")
        of_rewards = F.smooth_l1_loss(reward, reward[other], reduction="none")[:, None]
        if self._certain:
            of_transitions = F.smooth_l1_loss(mean, mean[:, other], reduction="none")
        else:
            of_transitions = (
                (mean - mean[:, other]).square() + (std - std[:, other]).square()
            ).sqrt()
        return (distance - of_rewards - self._discount * of_transitions).square().mean()

    def diagnostics(self) -> Mapping[str, Float[Tensor, ""]]:
        """Returns the three losses that it consists of."""
        return self._parts


def _model(input_size: int, output_size: int) -> nn.Sequential:
    return nn.Sequential(
        orthogonal_linear(input_size, HIDDEN_SIZE),
        nn.LayerNorm(HIDDEN_SIZE),
        nn.ReLU(),
        orthogonal_linear(HIDDEN_SIZE, output_size),
    )
