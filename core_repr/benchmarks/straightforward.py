"""The straightforward Distracting Control Suite, to measure ours against."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from core_repr.envs.clips.player import Playback
from core_repr.envs.distracting_control.simulator import load_task
from core_repr.envs.distracting_control.tasks import TASKS
from core_repr.envs.levels import LEVELS
from core_repr.envs.mujoco.camera import Camera
from core_repr.envs.mujoco.color import Color
from core_repr.envs.mujoco.mounts import SuiteMount

SKY_SIZE = 800
"""Height and width in pixels of the suite's sky, which every frame of a video is resized to."""


class StraightforwardSuite:
    """A dynamic, distracted task as the first script for it runs.

    Every simulator step is rendered, 320×240 pixels with the suite's defaults, after a frame of
    800×800 pixels was written to the sky; the last one of an action's is resized to the
    observation. Distractions are our own, their decoding and drawing is not a part of this: a video
    of noise lies ready in memory.

    Args:
        task: One of `core_repr.envs.task_names()`.
        difficulty: "easy", "medium" or "hard".
        frame_size: Height and width of an observation in pixels.
    """

    def __init__(self, task: str, difficulty: str, frame_size: int) -> None:
        spec, scale = TASKS[task], LEVELS[difficulty].scale
        self._env = load_task(spec.domain, spec.task, task_kwargs={"random": 0})
        self._physics = self._env.physics
        self._repeat, self._frame_size = spec.action_repeat, frame_size
        model, data = self._physics.model.ptr, self._physics.data.ptr
        self._distractions: list[Any] = [
            Camera(
                SuiteMount(model, data, camera_id=0, upright=spec.upper_quadrant),
                scale=scale,
                dynamic=True,
                above=spec.upper_quadrant,
                in_front=spec.upper_quadrant,
            ),
            Color(model, scale=scale, dynamic=True, geometries=False),
        ]
        self._rng = np.random.default_rng(0)
        shape = (8, SKY_SIZE, SKY_SIZE, 3)
        self._video = self._rng.integers(256, size=shape, dtype=np.uint8)
        self._playback = Playback(len(self._video), 0, 1)
        model.mat_rgba[model.material("grid").id, 3] = spec.ground_alpha
        # One picture instead of the six faces that the model's own sky has.
        self._sky = model.texture("skybox").id
        model.tex_height[self._sky] = SKY_SIZE
        self._low, self._high = self._env.action_spec().minimum, self._env.action_spec().maximum

    def reset(self) -> NDArray[np.uint8]:
        """Starts an episode and returns its first observation."""
        self._env.reset()
        for distraction in self._distractions:
            distraction.reset(self._rng)
        return self._resized(self._rendered())

    def step(self) -> NDArray[np.uint8]:
        """Holds a random action and returns the observation after it."""
        action = self._rng.uniform(self._low, self._high)
        for _ in range(self._repeat):
            self._env.step(action)
            for distraction in self._distractions:
                distraction.step()
            self._playback.step()
            picture = self._rendered()
        return self._resized(picture)

    def close(self) -> None:
        """Frees the renderer."""
        self._physics.free()

    def _rendered(self) -> NDArray[np.uint8]:
        import mujoco

        for distraction in self._distractions:
            distraction.apply()
        model, contexts = self._physics.model.ptr, self._physics.contexts
        start = model.tex_adr[self._sky]
        frame = self._video[self._playback.index].ravel()
        model.tex_data[start : start + frame.size] = frame
        with contexts.gl.make_current() as context:
            context.call(mujoco.mjr_uploadTexture, model, contexts.mujoco.ptr, self._sky)
        picture: NDArray[np.uint8] = self._physics.render(height=240, width=320, camera_id=0)
        return picture

    def _resized(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        from PIL import Image

        size = (self._frame_size, self._frame_size)
        return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR))
