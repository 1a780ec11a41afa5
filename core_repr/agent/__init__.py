"""The agent: recurrent SAC on the latents of a world model that learns with it."""

from core_repr.agent.algorithms import algorithm_of, load_agent
from core_repr.agent.core_sac import CoReSAC
from core_repr.agent.feed_forward.qt_opt import QTOpt
from core_repr.agent.feed_forward.sac import FeedForwardSAC
from core_repr.agent.latent_agent import LatentAgent
from core_repr.agent.planner import Planner
from core_repr.agent.policy import CoRePolicy, RecurrentState
from core_repr.agent.replay import SequenceReplayBuffer
from core_repr.agent.sequence_algorithm import SequenceAlgorithm

__all__ = [
    "CoRePolicy",
    "CoReSAC",
    "FeedForwardSAC",
    "LatentAgent",
    "Planner",
    "QTOpt",
    "RecurrentState",
    "SequenceAlgorithm",
    "SequenceReplayBuffer",
    "algorithm_of",
    "load_agent",
]
