"""Which module is built from which part of a config."""

from typing import Any

from torch import nn

from core_repr import config
from core_repr.world_model.dynamics import FeedForwardDynamics, IdentityDynamics, RecurrentDynamics
from core_repr.world_model.encoders import Encoder, SharedEncoder
from core_repr.world_model.objectives import (
    KL,
    Bisimulation,
    Continuation,
    Contrastive,
    InverseDynamics,
    MomentumContrast,
    Reconstruction,
    Reward,
)

PARTS: dict[type, type[nn.Module]] = {
    config.EncoderConfig: Encoder,
    config.SharedEncoderConfig: SharedEncoder,
    config.RecurrentDynamicsConfig: RecurrentDynamics,
    config.FeedForwardDynamicsConfig: FeedForwardDynamics,
    config.IdentityDynamicsConfig: IdentityDynamics,
    config.ContrastiveConfig: Contrastive,
    config.ReconstructionConfig: Reconstruction,
    config.MomentumContrastConfig: MomentumContrast,
    config.BisimulationConfig: Bisimulation,
    config.KLConfig: KL,
    config.RewardConfig: Reward,
    config.InverseDynamicsConfig: InverseDynamics,
    config.ContinuationConfig: Continuation,
}


def build(part: object, *context: Any) -> Any:
    """Builds the module of a part.

    Args:
        part: The part's config.
        context: What modules of its kind need to know besides.
    """
    return PARTS[type(part)](part, *context)
