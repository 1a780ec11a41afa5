"""The agents that ``core-repr bench agents`` trains."""

from typing import Literal

AgentName = Literal[
    "latents-sac",
    "latents-ppo",
    "latents-td3",
    "latents-tqc",
    "pixels-sac",
    "state-sac",
    "state-td3",
]
"""What an agent sees, and the algorithm that it learns with."""
