"""Learning in imagination: what the actor and a value learn from roll-outs of the world model.

After Hafner et al., 2023, "Mastering Diverse Domains through World Models" (DreamerV3): λ-returns
of predicted rewards, a value over bins of symlog returns, and returns scaled by their spread.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from core_repr.agent.networks import Acts
from core_repr.world_model import CoReWorldModel, LatentState


class Rollout(NamedTuple):
    """What was imagined from some states on, H steps each.

    Attributes:
        features: What agents see of the states, ``(H + 1, N, Z)``.
        rewards: Predicted rewards of the steps, ``(H, N)``.
        continuations: Probability that an episode goes on after each step, ``(H, N)``.
        log_densities: Of the actions, in nats, ``(H, N)``.
    """

    features: Float[Tensor, "states n z"]
    rewards: Float[Tensor, "h n"]
    continuations: Float[Tensor, "h n"]
    log_densities: Float[Tensor, "h n"]

    @property
    def weights(self) -> Float[Tensor, "h n"]:
        """Probability that there is each step: that no earlier one terminated the episode."""
        goes_on = self.continuations[:-1].detach().cumprod(0)
        return torch.cat([torch.ones_like(self.continuations[:1]), goes_on])


def roll_out(
    model: CoReWorldModel,
    actor: Acts,
    state: LatentState,
    horizon: int,
    generator: torch.Generator,
) -> Rollout:
    """Acts in the world model's prior, whose samples continue.

    The gradient goes through all states into the actor; the model is left as it is.

    Args:
        model: Imagines states and rewards.
        actor: Acts.
        state: Where to start, ``(N, ...)``.
        horizon: Steps H.
        generator: Draws actions and states.
    """
    size = (len(state.h), model.dynamics.stochastic_size)
    features = [state.features]
    rewards, continuations, log_densities = [], [], []
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    model.requires_grad_(False)
    for _ in range(horizon):
        action, log_density = actor.sample(features[-1], generator)
        noise = torch.randn(size, generator=generator, device=generator.device)
        state = model.dynamics.predict(state, action, noise.to(action.device))
        features.append(state.features)
        rewards.append(model.predict_reward(state))
        continuations.append(model.predict_continuation(state))
        log_densities.append(log_density)
    for parameter in learning:
        parameter.requires_grad_(True)
    lists = (features, rewards, continuations, log_densities)
    return Rollout(*(torch.stack(steps) for steps in lists))


def lambda_returns(
    rewards: Float[Tensor, t * batch],
    values: Float[Tensor, states * batch],
    discounts: Float[Tensor, t * batch],
    decay: float,
) -> Float[Tensor, t * batch]:
    """Returns the λ-return of each step.

    Args:
        rewards: Of the T steps.
        values: Of the T + 1 states around them.
        discounts: γ of each step; 0 where nothing follows.
        decay: λ; 0 looks one step ahead, 1 to the end.
    """
    result, returns = values[-1], []
    for t in reversed(range(len(rewards))):
        result = rewards[t] + discounts[t] * ((1 - decay) * values[t + 1] + decay * result)
        returns.append(result)
    return torch.stack(returns[::-1])
