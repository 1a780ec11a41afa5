"""A model's own agent on latents that a wrapper has made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3.common.evaluation import evaluate_policy

from core_repr import CoReSAC, CoReWrapper
from core_repr.agent import LatentAgent
from core_repr.config import CoReConfig


def test_it_acts_as_the_agent_does(
    tiny_config: Callable[..., CoReConfig], make_pixels: Callable[..., gym.Env[Any, Any]]
) -> None:
    config = tiny_config(agent={"mean_recurrence": True})
    agent = CoReSAC("CoRePolicy", make_pixels(), config, seed=0, device="cpu")
    env = CoReWrapper(make_pixels(), agent.world_model.eval())
    on_latents = LatentAgent(agent, env.action_space, seed=0)
    latent, _ = env.reset(seed=0)
    pixels, state = env.unwrapped.episodes[-1].frames, None
    for _ in range(6):
        expected, state = agent.predict(pixels[-1], state, deterministic=True)
        action, _ = on_latents.predict(latent, deterministic=True)
        np.testing.assert_allclose(action, expected, atol=1e-4)
        latent, *_ = env.step(action)
    batch, _ = on_latents.predict(np.stack([latent, latent]))
    assert batch.shape == (2, 2) and not np.array_equal(*batch)
    assert np.isfinite(evaluate_policy(on_latents, env, 1, warn=False)[0])


def test_other_latents_are_refused(
    tiny_config: Callable[..., CoReConfig], make_pixels: Callable[..., gym.Env[Any, Any]]
) -> None:
    agent = CoReSAC("CoRePolicy", make_pixels(), tiny_config(), seed=0, device="cpu")
    on_latents = LatentAgent(agent, agent.action_space)
    with pytest.raises(ValueError, match="Expected latents of 14 numbers"):
        on_latents.predict(np.zeros(13, np.float32))
    with pytest.raises(ValueError, match="trained with 2 action dimensions"):
        LatentAgent(agent, gym.spaces.Box(-1, 1, (3,)))
