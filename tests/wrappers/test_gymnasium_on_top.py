"""Gymnasium's own wrappers on top of a wrapped environment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import imageio.v3 as iio
import numpy as np
import pytest
from gymnasium import wrappers

from core_repr.world_model import CoReWorldModel
from core_repr.wrappers import CoReVectorWrapper, CoReWrapper


@pytest.fixture
def wrapped(make_pixels: Callable[..., gym.Env[Any, Any]], model: CoReWorldModel) -> CoReWrapper:
    pixels = make_pixels()
    unwrapped: Any = pixels.unwrapped
    unwrapped.render_mode = "rgb_array"
    unwrapped.metadata = {"render_modes": ["rgb_array"], "render_fps": 10}
    unwrapped.render = lambda: np.full((64, 64, 3), 40 * len(unwrapped.episodes[-1].actions), "u1")
    return CoReWrapper(pixels, model)


def test_an_episode_is_recorded(wrapped: CoReWrapper, tmp_path: Path) -> None:
    env = wrappers.RecordVideo(wrapped, str(tmp_path), episode_trigger=lambda episode: True)
    env.reset(seed=0)
    for _ in range(3):
        env.step(env.action_space.sample())
    env.close()
    frames = iio.imread(tmp_path / "rl-video-episode-0.mp4")
    assert frames.shape == (4, 64, 64, 3)
    # Compression changes colours a little.
    assert np.allclose(frames.mean((1, 2, 3)), [0, 40, 80, 120], atol=6)


def test_statistics_and_other_wrappers(wrapped: CoReWrapper) -> None:
    env = wrappers.NormalizeObservation(wrappers.RecordEpisodeStatistics(wrapped))
    env = wrappers.RescaleAction(env, np.float32(-1), np.float32(1))
    assert env.metadata["render_fps"] == 10 and env.render_mode == "rgb_array"
    observation, _ = env.reset(seed=0)
    assert env.render().shape == (64, 64, 3)  # type: ignore[union-attr]
    rewards = []
    over = False
    while not over:
        observation, reward, _, over, info = env.step(np.ones(2, np.float32))
        rewards.append(reward)
    assert np.isfinite(observation).all()
    assert info["episode"]["l"] == 8 and info["episode"]["r"] == sum(rewards)
    assert env.get_wrapper_attr("action_repeat") == 4


def test_a_vector_of_wrapped_environments(
    make_pixels: Callable[..., gym.Env[Any, Any]], model: CoReWorldModel
) -> None:
    envs = gym.make_vec(
        "core-repr-tests/Pixels-v0",
        num_envs=2,
        vectorization_mode="sync",
        wrappers=[lambda env: CoReWrapper(env, model)],
    )
    other = CoReVectorWrapper(gym.vector.SyncVectorEnv([make_pixels] * 2), model)
    seen, expected = envs.reset(seed=0)[0], other.reset(seed=0)[0]
    np.testing.assert_allclose(seen, expected, atol=1e-5)
