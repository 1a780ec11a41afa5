"""Actors and critics (Table 4); they read [h, mean] of the latent state."""

import math
from abc import ABC, abstractmethod
from copy import deepcopy
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from core_repr.agent.value import Value
from core_repr.config import SACConfig
from core_repr.world_model import CoReWorldModel
from core_repr.world_model.layers import mlp, normed_mlp

MEAN_BOUND = 5.0
LOG_STD_RANGE = (-10.0, 2.0)


class Acts(nn.Module, ABC):
    """What chooses actions in [−1, 1] for the features of latent states."""

    @abstractmethod
    def mode(self, features: Float[Tensor, "*batch z"]) -> Float[Tensor, "*batch a"]:
        """Returns the deterministic action."""

    @abstractmethod
    def sample(
        self, features: Float[Tensor, "*batch z"], generator: torch.Generator | None = None
    ) -> tuple[Float[Tensor, "*batch a"], Float[Tensor, "*batch"]]:
        """Returns actions to explore with, and their log densities in nats."""


class Actor(Acts):
    """A tanh-squashed normal distribution over actions in [−1, 1].

    Args:
        latent_size: Size of the features.
        action_size: Number of action dimensions.
        config: Hidden layers.
    """

    def __init__(self, latent_size: int, action_size: int, config: SACConfig) -> None:
        super().__init__()
        layers, size, imagination = config.actor_layers, 2 * action_size, config.imagination
        if imagination is None:
            self.network = mlp(latent_size, layers, size, nn.ReLU)
            self.log_std_range = LOG_STD_RANGE
        else:
            self.network = normed_mlp(latent_size, layers, size)
            low, high = imagination.std_range
            self.log_std_range = (math.log(low), math.log(high))

    def forward(
        self, features: Float[Tensor, "*batch z"]
    ) -> tuple[Float[Tensor, "*batch a"], Float[Tensor, "*batch a"]]:
        """Returns mean and log standard deviation before squashing, in float32."""
        mean, log_std = self.network(features).float().chunk(2, -1)
        low, high = self.log_std_range
        mean = MEAN_BOUND * torch.tanh(mean / MEAN_BOUND)
        return mean, low + (high - low) * torch.sigmoid(log_std)

    def mode(self, features: Float[Tensor, "*batch z"]) -> Float[Tensor, "*batch a"]:
        """Returns the deterministic action."""
        return torch.tanh(self(features)[0])

    def sample(
        self, features: Float[Tensor, "*batch z"], generator: torch.Generator | None = None
    ) -> tuple[Float[Tensor, "*batch a"], Float[Tensor, "*batch"]]:
        """Returns reparametrised actions and their log densities in nats."""
        mean, log_std = self(features)
        noise = torch.randn(
            mean.shape, generator=generator, device=generator.device if generator else mean.device
        ).to(mean.device)
        raw = mean + log_std.exp() * noise
        normal = -0.5 * noise.square() - log_std - 0.5 * math.log(2 * math.pi)
        # log(1 - tanh²(u)) in a form that does not underflow for large |u|.
        squash = 2 * (math.log(2) - raw - F.softplus(-2 * raw))
        return torch.tanh(raw), (normal - squash).sum(-1)


class TwinCritic(nn.Module):
    """Two action-value networks Q₁ and Q₂.

    Args:
        latent_size: Size of the features.
        action_size: Number of action dimensions.
        layers: Hidden layers.
    """

    def __init__(self, latent_size: int, action_size: int, layers: tuple[int, ...]) -> None:
        super().__init__()
        self.critics = nn.ModuleList(
            mlp(latent_size + action_size, layers, 1, nn.ReLU) for _ in range(2)
        )

    def forward(
        self, features: Float[Tensor, "*batch z"], action: Float[Tensor, "*batch a"]
    ) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
        """Returns both values in float32."""
        inputs = torch.cat([features, action], -1)
        first, second = (critic(inputs).float().squeeze(-1) for critic in self.critics)
        return first, second


class AgentNetworks(nn.Module, ABC):
    """Everything of an agent that learns, beside the world model.

    Args:
        actor: Acts on the latent states' features.
        initial_log_entropy_weight: Logarithm of the entropy weight at the start; ``None`` for an
            agent without one.

    Attributes:
        actor: The same.
        log_entropy_weight: Logarithm of α.
    """

    slow_copies: ClassVar[tuple[str, ...]]
    """Names of the modules that follow others, which a model's files do not hold."""

    actor: "Acts"
    log_entropy_weight: nn.Parameter

    def __init__(self, actor: "Acts", initial_log_entropy_weight: float | None) -> None:
        super().__init__()
        self.actor = actor
        if initial_log_entropy_weight is not None:
            self.log_entropy_weight = nn.Parameter(torch.tensor(initial_log_entropy_weight))

    def published(self) -> nn.Module:
        """Returns what a model's files hold of it, with the same parameters.

        The slow copies are not a part of that: they are made again of what they follow, and
        where they were belongs to what learning resumes from.
        """
        part = nn.Module()
        for name, module in self.named_children():
            if name not in self.slow_copies:
                part.add_module(name, module)
        for name, parameter in self.named_parameters(recurse=False):
            part.register_parameter(name, parameter)
        return part

    @abstractmethod
    def reset_targets(self, model: CoReWorldModel) -> None:
        """Makes the slow copies equal to what they follow.

        Args:
            model: The world model that the agent acts with.
        """

    @property
    def entropy_weight(self) -> Float[Tensor, ""]:
        """α, without gradient."""
        return self.log_entropy_weight.detach().exp()


class ActorCritic(AgentNetworks):
    """The networks of :class:`~core_repr.CoReSAC`.

    Args:
        latent_size: Size of the features.
        action_size: Number of action dimensions.
        config: Hidden layers and the entropy weight at the start.

    Attributes:
        judge_name: ``"critic"``, for two critics of actions, or ``"value"``, for a value of states
            that learns in imagination. What it names has a slow copy, whose name ends in
            ``_target``.
    """

    slow_copies = ("critic_target", "value_target")
    critic: TwinCritic
    critic_target: TwinCritic
    value: Value
    value_target: Value

    def __init__(self, latent_size: int, action_size: int, config: SACConfig) -> None:
        imagination = config.imagination
        super().__init__(
            Actor(latent_size, action_size, config),
            (imagination or config).initial_log_entropy_weight,
        )
        if imagination is None:
            self.judge_name = "critic"
            self.critic = TwinCritic(latent_size, action_size, config.critic_layers)
            self.critic_target = deepcopy(self.critic).requires_grad_(False)
        else:
            self.judge_name = "value"
            self.value = Value(latent_size, imagination.value_layers)
            self.value_target = deepcopy(self.value).requires_grad_(False)

    @property
    def judge(self) -> nn.Module:
        """The critics, or the value."""
        return self.get_submodule(self.judge_name)

    @property
    def judge_target(self) -> nn.Module:
        """Its slow copy."""
        return self.get_submodule(f"{self.judge_name}_target")

    def reset_targets(self, model: CoReWorldModel) -> None:
        """Makes the target critics copies of the critics, or the target value one of the value."""
        self.judge_target.load_state_dict(self.judge.state_dict())
