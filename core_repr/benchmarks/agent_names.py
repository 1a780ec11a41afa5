"""The agents that ``core-repr bench agents`` trains."""

from typing import Literal

AgentName = Literal[
    "latents-sac",
    "latents-tqc",
    "latents-crossq",
    "latents-td3",
    "latents-ppo",
    "latents-recurrent-ppo",
    "pixels-sac",
    "state-sac",
    "state-tqc",
    "state-crossq",
    "state-td3",
    "state-ppo",
    "state-recurrent-ppo",
]
"""What an agent sees, and the algorithm that it learns with."""
