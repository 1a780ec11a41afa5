"""The world model: encoder, recurrent state-space model, heads and losses."""

from core_repr.load_order import load_triton
from core_repr.world_model.batch import NO_OTHER_VIEWS, Observed, OtherViews, SequenceBatch
from core_repr.world_model.dynamics import Noise
from core_repr.world_model.latent import LatentState
from core_repr.world_model.objectives import WorldModelLosses
from core_repr.world_model.world_model import CoReWorldModel

__all__ = [
    "NO_OTHER_VIEWS",
    "CoReWorldModel",
    "LatentState",
    "Noise",
    "Observed",
    "OtherViews",
    "SequenceBatch",
    "WorldModelLosses",
]

# Environments that render without `core_repr.envs`, such as Gymnasium's, are made later.
load_triton()
