"""State-space models: how the latent state follows from the one before, an action and a frame."""

from core_repr.world_model.dynamics.dynamics import Dynamics, Noise
from core_repr.world_model.dynamics.feed_forward import FeedForwardDynamics
from core_repr.world_model.dynamics.identity import IdentityDynamics
from core_repr.world_model.dynamics.recurrent import RecurrentDynamics

__all__ = ["Dynamics", "FeedForwardDynamics", "IdentityDynamics", "Noise", "RecurrentDynamics"]
