"""The agent: recurrent SAC on the latents of a world model that learns with it."""

from core_repr.agent.core_sac import CoReSAC
from core_repr.agent.policy import CoRePolicy, RecurrentState
from core_repr.agent.replay import SequenceReplayBuffer

__all__ = ["CoRePolicy", "CoReSAC", "RecurrentState", "SequenceReplayBuffer"]
