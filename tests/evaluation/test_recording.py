"""Episodes on video, whatever form the environment gives its frames."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import imageio_ffmpeg
import numpy as np
import pytest
from gymnasium import spaces

from core_repr.evaluation import RandomAgent, record_episode

FORMS = {
    "plain": (lambda f: f, 255, np.uint8),
    "upside down in memory": (lambda f: f[::-1].copy()[::-1], 255, np.uint8),
    "channels first": (lambda f: f.transpose(2, 0, 1), 255, np.uint8),
    "floats": (lambda f: (f / 255).astype(np.float32), 1, np.float32),
    "stacked": (lambda f: np.stack([255 - f, f]), 255, np.uint8),
}


class Shown(gym.Wrapper[Any, Any, Any, Any]):
    """Gives frames of a form, in a dictionary with other entries or alone, and renders a scene."""

    render_mode = "rgb_array"

    def __init__(self, env: gym.Env[Any, Any], name: str, in_dict: bool) -> None:
        super().__init__(env)
        self.form, high, dtype = FORMS[name]
        shape = self.form(np.zeros((16, 16, 3), np.uint8)).shape
        self.observation_space = spaces.Box(0, high, shape, dtype)
        self.in_dict = in_dict
        if in_dict:
            arm = spaces.Box(-1, 1, (3,))
            self.observation_space = spaces.Dict(camera=self.observation_space, arm=arm)

    def reset(self, **arguments: Any) -> Any:
        frame, info = self.env.reset(**arguments)
        return self.shown(frame), info

    def step(self, action: Any) -> Any:
        frame, *others = self.env.step(action)
        return self.shown(frame), *others

    def shown(self, frame: Any) -> Any:
        formed = self.form(frame // 4 * 4)
        return {"camera": formed, "arm": np.zeros(3, np.float32)} if self.in_dict else formed

    def render(self) -> Any:
        return np.full((32, 32, 3), 200, np.uint8)[::-1]


@pytest.mark.parametrize("in_dict", [False, True])
def test_scene_and_frames_stand_side_by_side(
    make_pixels: Callable[..., gym.Env[Any, Any]], tmp_path: Path, in_dict: bool
) -> None:
    videos = []
    for name in FORMS:
        env = Shown(make_pixels(length=3), name, in_dict)
        path = record_episode(RandomAgent(env.action_space), env, tmp_path / "episode.mp4", seed=3)
        reader = imageio_ffmpeg.read_frames(str(path))
        assert next(reader)["size"] == (32 + 4 + 32, 32)
        videos.append([np.frombuffer(frame, np.uint8) for frame in reader])
    assert len(videos[0]) == 4
    for video in videos[1:]:
        assert np.array_equal(video, videos[0])
