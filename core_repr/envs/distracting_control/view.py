"""What the suite's camera sees of a scene, with distractions and without."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from core_repr.envs.distracting_control.background import Background
from core_repr.envs.rendering.frame_renderer import FrameRenderer, FullRenderer

RENDERINGS: dict[str, type[FrameRenderer]] = {"fast": FrameRenderer, "full": FullRenderer}

CAMERA_ID = 0
"""The camera that the suite looks through."""

_ASPECT = 4 / 3
"""The suite's view is 320×240; it is squeezed into the square frame."""

_PICTURE_HEIGHT, _PICTURE_WIDTH = 480, 640


class Distraction(Protocol):
    """A part of the picture that says nothing about the task."""

    def reset(self, rng: np.random.Generator) -> None:
        """Draws the start of an episode; `rng` belongs to the distraction until the next one."""

    def step(self) -> None:
        """Moves on by one simulator step."""

    def apply(self) -> None:
        """Writes the state into the simulator, for rendering."""

    def attach(self, model: Any, data: Any) -> None:
        """Continues with a copy of the simulator: a `mujoco.MjModel` and its `mujoco.MjData`."""


def sky_size(frame_size: int, rendering: str) -> int:
    """Returns the height and width in pixels of the clips that a rendering needs.

    A face of the sky is more than twice as wide as the view.
    """
    return 2 * (max(frame_size, FullRenderer.ROWS) if rendering == "full" else frame_size)


class View:
    """Frames of a scene, and larger pictures of it.

    Renderers are built when they are first needed and live until `close`.

    Args:
        model: The `mujoco.MjModel`, as yet undistracted.
        data: Its `mujoco.MjData`.
        distractions: What disturbs the view, by name.
        ground_gain: How much brighter the fast rendering draws an opaque ground.
        frame_size: Height and width of a frame in pixels.
        rendering: One of `RENDERINGS`.
    """

    def __init__(
        self,
        model: Any,
        data: Any,
        distractions: Mapping[str, Distraction],
        *,
        ground_gain: float,
        frame_size: int,
        rendering: str,
    ) -> None:
        self._model, self._data = model, data
        self._distractions = distractions
        self._ground_gain = ground_gain
        self._frame_size = frame_size
        self._renderer = RENDERINGS[rendering]
        background = distractions.get("background")
        self._background = background if isinstance(background, Background) else None
        self._own_colors: NDArray[np.float32] = model.mat_rgba.copy()
        self._renderers: dict[str, FrameRenderer] = {}

    def frame(self) -> NDArray[np.uint8]:
        """Returns a frame, shape (frame_size, frame_size, 3)."""
        return self._distracted("frame", self._frame_size, self._frame_size)

    def picture(self) -> NDArray[np.uint8]:
        """Returns what the frame shows as a picture for people, shape (480, 640, 3)."""
        return self._distracted("picture", _PICTURE_HEIGHT, _PICTURE_WIDTH)

    def clean_frame(self) -> NDArray[np.uint8]:
        """Returns the frame without distractions, shape (frame_size, frame_size, 3)."""
        import mujoco

        self._model.mat_rgba[:] = self._own_colors
        mujoco.mj_camlight(self._model, self._data)
        # Without a clip, both frames have the model's own sky, and one renderer serves both.
        name = "frame" if self._background is None else "clean frame"
        return self._rendered(name, self._frame_size, self._frame_size, None)

    def attach(self, model: Any, data: Any) -> None:
        """Continues with a copy of the simulator, the distractions too."""
        self._model, self._data = model, data
        for distraction in self._distractions.values():
            distraction.attach(model, data)

    def __getstate__(self) -> dict[str, Any]:
        # OpenGL's contexts belong to this process; a copy builds its own at its first frame.
        return {**self.__dict__, "_renderers": {}}

    def close(self) -> None:
        """Frees the renderers; calling it again does nothing."""
        for renderer in self._renderers.values():
            renderer.close()
        self._renderers.clear()

    def _distracted(self, name: str, height: int, width: int) -> NDArray[np.uint8]:
        for distraction in self._distractions.values():
            distraction.apply()
        return self._rendered(name, height, width, self._background)

    def _rendered(
        self, name: str, height: int, width: int, background: Background | None
    ) -> NDArray[np.uint8]:
        if name not in self._renderers:
            opaque = background is None or background.ground_alpha == 1.0
            self._renderers[name] = self._renderer(
                self._model,
                height=height,
                width=width,
                aspect=_ASPECT,
                camera_id=CAMERA_ID,
                ground_gain=self._ground_gain if opaque else 1.0,
                sky_size=None if background is None else background.clip.size,
            )
        sky = None if background is None else background.frame
        return self._renderers[name].render(self._data, sky)
