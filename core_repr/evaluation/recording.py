"""An episode as a video: the scene, and beside it the pixels that the agent sees."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import numpy.typing as npt

from core_repr.adapters import ObservationReader, find_pixels
from core_repr.envs.pace import agent_steps_per_second
from core_repr.evaluation.episodes import Agent, evaluate
from core_repr.evaluation.video import (
    check_place,
    downscale,
    side_by_side,
    upscale,
    write_video,
)

FPS = 30
"""Frames a second of an environment that does not say how many it has."""


def check_renders(env: gym.Env[Any, Any]) -> None:
    """Refuses with a ``ValueError`` an environment that does not render pictures."""
    if env.render_mode != "rgb_array":
        raise ValueError(
            f"the render_mode of {env} is {env.render_mode!r}, but a video needs 'rgb_array': make "
            'the environment with gym.make(..., render_mode="rgb_array")'
        )


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
        env: Environment with RGB frames in any form that an agent learns from, or a ``Dict`` with
            one entry of them, made with ``render_mode="rgb_array"``.
        path: The video, ending in ``.mp4``.
        seed: Seed of the episode.
        shrink: How many pixels of the scene become one of the video, in height and in width.

    Returns:
        The path.

    Raises:
        TypeError: If the observations hold no RGB frames.
        ValueError: If the path does not end in ``.mp4``, or the environment does not render
            pictures.
        OSError: If the path cannot be written to, or ffmpeg does not work here.
    """
    check_place(Path(path))
    check_renders(env)
    space = env.observation_space
    read = ObservationReader(space, None, find_pixels(space), {})
    frames: list[npt.NDArray[np.uint8]] = []

    def collect(env: gym.Env[Any, Any], observation: Any) -> None:
        scene: Any = env.render()
        (seen,) = read(observation).frames
        factor = max(1, len(scene) // len(seen))
        frames.append(downscale(side_by_side([scene, upscale(seen, factor)]), shrink))

    evaluate(agent, env, episodes=1, seed=seed, on_step=collect)
    return write_video(path, frames, agent_steps_per_second(env, FPS))
