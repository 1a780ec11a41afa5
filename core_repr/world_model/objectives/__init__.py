"""The terms of J_M, each with the head that it trains."""

from core_repr.world_model.objectives.bisimulation import Bisimulation
from core_repr.world_model.objectives.continuation import Continuation
from core_repr.world_model.objectives.contrastive import Contrastive
from core_repr.world_model.objectives.inverse_dynamics import InverseDynamics
from core_repr.world_model.objectives.kl import KL
from core_repr.world_model.objectives.momentum_contrast import MomentumContrast
from core_repr.world_model.objectives.objective import Objective, Sizes, Term, WorldModelLosses
from core_repr.world_model.objectives.objectives import Objectives
from core_repr.world_model.objectives.reconstruction import Reconstruction
from core_repr.world_model.objectives.reward import Reward

__all__ = [
    "KL",
    "Bisimulation",
    "Continuation",
    "Contrastive",
    "InverseDynamics",
    "MomentumContrast",
    "Objective",
    "Objectives",
    "Reconstruction",
    "Reward",
    "Sizes",
    "Term",
    "WorldModelLosses",
]
