"""An episode as a video: the scene, and beside it the pixels that the agent sees."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from core_repr.evaluation.episodes import Agent, evaluate
from core_repr.evaluation.video import downscale, side_by_side, upscale, write_video

FPS = 30
"""Frames a second of an environment that does not say how many it has."""


def record_episode(
    agent: Agent,
    env: gym.Env[Any, Any],
    path: str | os.PathLike[str],
    seed: int = 0,
    shrink: int = 1,
) -> Path:
    """Records one episode of the deterministic policy.

    Args:
        agent: Who acts.
        env: Environment with RGB frames, or a ``Dict`` with one entry of them, made with
            ``render_mode="rgb_array"``.
        path: The video, ending in ``.mp4``.
        seed: Seed of the episode.
        shrink: How many pixels of the scene become one of the video, in height and in width.

    Returns:
        The path.

    Raises:
        ValueError: If the path does not end in ``.mp4``.
    """
    frames: list[npt.NDArray[np.uint8]] = []

    def collect(env: gym.Env[Any, Any], observation: Any) -> None:
        if isinstance(observation, Mapping):
            # The frames among them, not the proprioception.
            (observation,) = (part for part in observation.values() if np.ndim(part) == 3)
        scene: Any = env.render()
        factor = max(1, len(scene) // len(observation))
        frames.append(downscale(side_by_side([scene, upscale(observation, factor)]), shrink))

    evaluate(agent, env, episodes=1, seed=seed, on_step=collect)
    return write_video(path, frames, env.unwrapped.metadata.get("render_fps", FPS))
