"""Which networks an agent has: the kind of ``config.agent`` says it."""

from core_repr.agent.feed_forward.networks import qt_opt_networks, sac_networks
from core_repr.agent.networks import ActorCritic, AgentNetworks
from core_repr.config import FeedForwardSACConfig, QTOptConfig
from core_repr.world_model import CoReWorldModel


def build_networks(model: CoReWorldModel) -> AgentNetworks:
    """Returns the networks of the agent that a model's config is for."""
    config = model.config
    assert config.environment is not None
    if isinstance(config.agent, FeedForwardSACConfig):
        return sac_networks(model, config.agent)
    if isinstance(config.agent, QTOptConfig):
        return qt_opt_networks(model, config.agent)
    return ActorCritic(model.latent_size, config.environment.action_size, config.agent)
