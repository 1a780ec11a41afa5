from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import pytest
import torch
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.vec_env import DummyVecEnv

from core_repr.agent import CoReSAC
from core_repr.config import CoReConfig
from core_repr.world_model import SequenceBatch


@pytest.fixture(scope="session")
def make_agent(
    make_pixels: Callable[..., gym.Env[Any, Any]], tiny_config: Callable[..., CoReConfig]
) -> Callable[..., CoReSAC]:
    """Makes a tiny agent: ``make_agent(env=..., seed=0, **parts_of_tiny_config)``."""

    def make(
        env: gym.Env[Any, Any] | DummyVecEnv | None = None, seed: int = 0, **parts: Any
    ) -> CoReSAC:
        env = make_pixels() if env is None else env
        agent = CoReSAC("CoRePolicy", env, tiny_config(**parts), seed=seed, device="cpu")
        agent.set_logger(Logger(None, []))
        return agent

    return make


@pytest.fixture(scope="session")
def hand_made() -> Callable[..., SequenceBatch]:
    """Makes a mini-batch of random sequences of 4 frames, 3 at a time, for a tiny agent."""

    def make(length: int = 4, batch_size: int = 3) -> SequenceBatch:
        is_first = torch.zeros(length, batch_size, dtype=torch.bool)
        is_first[0] = True
        return SequenceBatch(
            frames=torch.randint(256, (length, batch_size, 12, 12, 3), dtype=torch.uint8),
            actions=2 * torch.rand(length, batch_size, 2) - 1,
            rewards=torch.randn(length, batch_size),
            is_first=is_first,
            terminated=torch.zeros(length, batch_size, dtype=torch.bool),
            mask=torch.ones(length, batch_size, dtype=torch.bool),
            proprioception=torch.zeros(length, batch_size, 0),
        )

    return make
