"""How good an agent is: episodes, and the videos and plots that show it."""

from core_repr.evaluation.episodes import Agent, Evaluation, RandomAgent, evaluate
from core_repr.evaluation.foresight import Foresight
from core_repr.evaluation.plots import learning_curve, training_diagnostics
from core_repr.evaluation.recording import record_episode
from core_repr.evaluation.robustness import Condition, Robustness, conditions, robustness
from core_repr.evaluation.video import side_by_side, upscale, write_video

__all__ = [
    "Agent",
    "Condition",
    "Evaluation",
    "Foresight",
    "RandomAgent",
    "Robustness",
    "conditions",
    "evaluate",
    "learning_curve",
    "record_episode",
    "robustness",
    "side_by_side",
    "training_diagnostics",
    "upscale",
    "write_video",
]
