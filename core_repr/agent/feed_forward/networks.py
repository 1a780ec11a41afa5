"""Networks of agents on stacked frames."""

from collections.abc import Callable
from copy import deepcopy

import torch
from jaxtyping import Float
from torch import Tensor, nn

from core_repr.agent.networks import LOG_STD_RANGE, Actor, Acts, AgentNetworks, TwinCritic
from core_repr.config import FeedForwardSACConfig, QTOptConfig
from core_repr.world_model import CoReWorldModel
from core_repr.world_model.layers import mlp

MIN_VARIANCE = 1e-4
"""Below it, the cross-entropy search does not narrow."""


class FeedForwardActor(Actor):
    """The actor of RAD, CURL and DBC: plain layers, and a standard deviation from e⁻¹⁰ to e².

    It sees of the features what a shared encoder gives it, and the proprioception.

    Args:
        encoding_size: Of the critics' encoding, and of the actor's that follows.
        latent_size: Size of the features.
        action_size: Number of action dimensions.
        layers: Hidden layers.
    """

    def __init__(
        self, encoding_size: int, latent_size: int, action_size: int, layers: tuple[int, ...]
    ) -> None:
        nn.Module.__init__(self)
        self._encoding_size = encoding_size
        self.network = mlp(latent_size - encoding_size, layers, 2 * action_size, nn.ReLU)

    @property
    def hidden(self) -> nn.Module:
        """The hidden layers."""
        return self.network[:-1]

    def forward(
        self, features: Float[Tensor, "*batch z"]
    ) -> tuple[Float[Tensor, "*batch a"], Float[Tensor, "*batch a"]]:
        """Returns mean and log standard deviation before squashing, in float32."""
        mean, log_std = self.network(features[..., self._encoding_size :]).float().chunk(2, -1)
        low, high = LOG_STD_RANGE
        return mean, low + 0.5 * (high - low) * (torch.tanh(log_std) + 1)


class FeedForwardNetworks(AgentNetworks):
    """Two critics of encodings, and slow copies of them and of what encodes.

    Args:
        model: The world model, whose encoder the agent shares.
        actor: Makes the actor for the critics.
        critic_layers: Hidden layers of each critic.
        initial_log_entropy_weight: As in :class:`~core_repr.agent.networks.AgentNetworks`.
        embedding: The layer of the policy's similarity; ``None`` for none.

    Attributes:
        critic: Two critics.
        critic_target: Their slow copies.
        encoder_target: The slow copy of what encodes frames, and proprioception if there is any.
        embedding: The layer of the policy's similarity; ``None`` where there is none.
    """

    slow_copies = ("critic_target", "encoder_target")

    def __init__(
        self,
        model: CoReWorldModel,
        actor: Callable[[TwinCritic], Acts],
        critic_layers: tuple[int, ...],
        initial_log_entropy_weight: float | None = None,
        embedding: nn.Module | None = None,
    ) -> None:
        assert model.config.environment is not None
        encoder = model.config.world_model.encoder
        own = encoder.width - encoder.output_size
        critic = TwinCritic(
            model.latent_size - own, model.config.environment.action_size, critic_layers
        )
        super().__init__(actor(critic), initial_log_entropy_weight)
        # Where the features hold what the actor alone sees.
        self._own = slice(encoder.output_size, encoder.width)
        self.critic = critic
        self.critic_target = deepcopy(critic).requires_grad_(False)
        self.encoder_target = deepcopy(_encoders(model)).requires_grad_(False)
        self.embedding = embedding

    def of_critics(self, features: Float[Tensor, "*batch z"]) -> Float[Tensor, "*batch x"]:
        """Returns what the critics see of a latent state's features."""
        return torch.cat([features[..., : self._own.start], features[..., self._own.stop :]], -1)

    def reset_targets(self, model: CoReWorldModel) -> None:
        """Makes target critics and target encoder copies of the critics and of the encoder."""
        self.critic_target.load_state_dict(self.critic.state_dict())
        self.encoder_target.load_state_dict(_encoders(model).state_dict())


def _encoders(model: CoReWorldModel) -> nn.ModuleDict:
    """Returns what encodes an observation."""
    found: dict[str, nn.Module] = {"frames": model.encoder}
    if model.proprioception_encoder is not None:
        found["proprioception"] = model.proprioception_encoder
    return nn.ModuleDict(found)


def sac_networks(model: CoReWorldModel, config: FeedForwardSACConfig) -> FeedForwardNetworks:
    """Returns the networks of :class:`~core_repr.agent.FeedForwardSAC`."""
    assert model.config.environment is not None
    actions, size = model.config.environment.action_size, model.config.world_model.encoder
    return FeedForwardNetworks(
        model,
        lambda _: FeedForwardActor(
            size.output_size, model.latent_size, actions, config.actor_layers
        ),
        config.critic_layers,
        config.initial_log_entropy_weight,
        None
        if config.similarity is None
        else mlp(config.actor_layers[-1], [config.similarity.embedding_size], None, nn.ReLU),
    )


class CrossEntropySearch(Acts):
    """Acts by searching for the action with the greatest value, with the cross-entropy method.

    Each iteration draws actions from a normal distribution, clipped to [−1, 1], and takes mean and
    variance of the best ones for the next; the first has mean 0. What comes out is the best action
    of the last iteration. Source: Kalashnikov et al., 2018, "QT-Opt: Scalable Deep Reinforcement
    Learning for Vision-Based Robotic Manipulation".

    Args:
        critic: Two critics, of which the first one's values count.
        action_size: Number of action dimensions.
        config: Numbers of samples, and how much to explore.
    """

    def __init__(self, critic: TwinCritic, action_size: int, config: QTOptConfig) -> None:
        super().__init__()
        # In a tuple: not a part of this module, but of what holds it.
        self._critic = (critic,)
        self._action_size, self._config = action_size, config

    def mode(self, features: Float[Tensor, "*batch z"]) -> Float[Tensor, "*batch a"]:
        """Returns the action that was found, with the same draws every time, for each row."""
        generator = torch.Generator().manual_seed(0)
        return self.search(self._critic[0], features, generator, same_draws=True)

    def sample(
        self, features: Float[Tensor, "*batch z"], generator: torch.Generator | None = None
    ) -> tuple[Float[Tensor, "*batch a"], Float[Tensor, "*batch"]]:
        """Returns the action that was found or, now and then, a random one; densities are 0."""
        generator = torch.default_generator if generator is None else generator
        found = self.search(self._critic[0], features, generator)
        batch = found.shape[:-1]
        explores = torch.rand(*batch, 1, generator=generator) < self._config.exploration
        uniform = 2 * torch.rand(found.shape, generator=generator) - 1
        action = torch.where(explores.to(found.device), uniform.to(found.device), found)
        return action, found.new_zeros(batch)

    @torch.no_grad()
    def search(
        self,
        critic: TwinCritic,
        features: Float[Tensor, "*batch z"],
        generator: torch.Generator,
        *,
        same_draws: bool = False,
    ) -> Float[Tensor, "*batch a"]:
        """Returns the best action that was found for each latent state.

        Args:
            critic: Two critics, of which the first one's values count.
            features: Of the latent states.
            generator: Draws the actions.
            same_draws: Whether all rows have the same ones, so that the others do not count.
        """
        config, size = self._config, self._action_size
        shape = (*features.shape[:-1], config.samples, size)
        repeated = features.unsqueeze(-2).expand(*shape[:-1], features.shape[-1])
        mean = features.new_zeros(*features.shape[:-1], 1, size)
        variance = torch.full_like(mean, config.initial_variance)
        for _ in range(config.iterations):
            drawn = shape[-2:] if same_draws else shape
            noise = torch.randn(drawn, generator=generator).to(features.device)
            actions = mean + variance.clamp(min=MIN_VARIANCE).sqrt() * noise
            actions = actions.clamp(-1, 1)
            values = critic(repeated, actions)[0]
            best = values.topk(config.elites, -1).indices.unsqueeze(-1)
            elites = actions.gather(-2, best.expand(*best.shape[:-1], size))
            mean = elites.mean(-2, keepdim=True)
            variance = elites.var(-2, correction=0, keepdim=True)
        # The best ones come in order.
        return elites[..., 0, :]


def qt_opt_networks(model: CoReWorldModel, config: QTOptConfig) -> FeedForwardNetworks:
    """Returns the networks of :class:`~core_repr.agent.QTOpt`."""
    assert model.config.environment is not None
    actions = model.config.environment.action_size
    return FeedForwardNetworks(
        model,
        lambda critic: CrossEntropySearch(critic, actions, config),
        config.critic_layers,
    )
