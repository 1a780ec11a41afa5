"""An episode as a video: the scene, and beside it the pixels that the agent sees."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from core_repr.evaluation.episodes import Agent, evaluate
from core_repr.evaluation.video import side_by_side, upscale, write_video


def record_episode(
    agent: Agent, env: gym.Env[Any, Any], path: str | os.PathLike[str], seed: int = 0
) -> Path:
    """Records one episode of the deterministic policy.

    Args:
        agent: Who acts.
        env: Environment with RGB observations, made with ``render_mode="rgb_array"``.
        path: The video, ending in ``.mp4``.
        seed: Seed of the episode.

    Returns:
        The path.

    Raises:
        ValueError: If the path does not end in ``.mp4``.
    """
    frames: list[npt.NDArray[np.uint8]] = []

    def collect(env: gym.Env[Any, Any], observation: npt.NDArray[np.uint8]) -> None:
        scene: Any = env.render()
        frames.append(side_by_side([scene, upscale(observation, len(scene) // len(observation))]))

    evaluate(agent, env, episodes=1, seed=seed, on_step=collect)
    return write_video(path, frames, env.unwrapped.metadata["render_fps"])
