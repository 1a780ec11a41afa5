"""What a camera sees of a scene, with distractions and without."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core_repr.envs.mujoco.background import Background
from core_repr.envs.mujoco.camera import Camera
from core_repr.envs.mujoco.distraction import Distraction
from core_repr.envs.mujoco.mounts import FreeMount
from core_repr.envs.mujoco.textures import Textures
from core_repr.envs.rendering.frame_renderer import (
    WHOLE,
    Coarse,
    FrameRenderer,
    FullRenderer,
    Window,
)
from core_repr.envs.rendering.free_camera import FreeCamera

_PICTURE_HEIGHT = 480

RENDERINGS: dict[str, type[FrameRenderer]] = {"fast": FrameRenderer, "full": FullRenderer}


def sky_size(frame_size: int, rendering: str) -> int:
    """Returns the height and width in pixels of the clips that a rendering needs.

    A face of the sky is more than twice as wide as the view.
    """
    return 2 * (max(frame_size, FullRenderer.ROWS) if rendering == "full" else frame_size)


class View:
    """Frames of a scene, and larger pictures of it, with distractions and without.

    A frame leaves the simulator as it was: what the distractions write is put back, so that the
    environment's own pictures stay clean. Renderers are built when they are first needed and live
    until `close`.

    Args:
        model: The `mujoco.MjModel`.
        data: Its `mujoco.MjData`.
        distractions: What disturbs the view, by name.
        camera: Which of the model's cameras looks, by number, or a free camera.
        aspect: Width over height of what the camera sees.
        frame_size: Height and width of a frame in pixels; the view is squeezed into it.
        rendering: One of `RENDERINGS`.
        hidden_groups: Groups of geometries that are not drawn.
        ground_gain: How much brighter the fast rendering draws the ground.
        clip_gain: The same of a frame with a clip behind it.
        window: The part of what the camera sees that fills a frame, see `FrameRenderer`. A picture
            for people shows the whole.
        coarse: What gives the model coarser meshes, see `coarse_meshes`.
    """

    def __init__(
        self,
        model: Any,
        data: Any,
        distractions: Mapping[str, Distraction],
        *,
        camera: int | FreeCamera,
        aspect: float,
        frame_size: int,
        rendering: str,
        hidden_groups: Sequence[int] = (),
        ground_gain: float = 1.0,
        clip_gain: float = 1.0,
        window: Window = WHOLE,
        coarse: Coarse | None = None,
    ) -> None:
        self._model, self._data = model, data
        self._distractions = distractions
        self._camera = camera
        self._aspect = aspect
        self._frame_size = frame_size
        self._renderer = RENDERINGS[rendering]
        self._hidden_groups = tuple(hidden_groups)
        self._ground_gain, self._clip_gain = ground_gain, clip_gain
        self._window, self._coarse = window, coarse
        textures = distractions.get("textures")
        self._textures = textures if isinstance(textures, Textures) else None
        self._uploads: dict[str, int] = {}
        background = distractions.get("background")
        self._background = background if isinstance(background, Background) else None
        moved = distractions.get("camera")
        mount = moved.mount if isinstance(moved, Camera) else None
        self._mount = mount if isinstance(mount, FreeMount) else None
        self._renderers: dict[str, FrameRenderer] = {}

    def frame(self) -> NDArray[np.uint8]:
        """Returns a frame, shape (frame_size, frame_size, 3)."""
        return self._distracted("frame", self._frame_size, self._frame_size)

    def picture(self) -> NDArray[np.uint8]:
        """Returns what the frame shows as a picture for people, 480 pixels high."""
        return self._distracted("picture", _PICTURE_HEIGHT, round(_PICTURE_HEIGHT * self._aspect))

    def clean_frame(self) -> NDArray[np.uint8]:
        """Returns the frame without distractions, shape (frame_size, frame_size, 3)."""
        # Without a clip, both frames have the model's own sky, and one renderer serves both.
        shared = self._background is None and self._textures is None
        name = "frame" if shared else "clean frame"
        return self._rendered(name, self._frame_size, self._frame_size)

    def attach(self, model: Any, data: Any) -> None:
        """Continues with a copy of the simulator, the distractions too."""
        self._model, self._data = model, data
        for distraction in self._distractions.values():
            distraction.attach(model, data)

    def __getstate__(self) -> dict[str, Any]:
        # OpenGL's contexts belong to this process; a copy builds its own at its first frame.
        return {**self.__dict__, "_renderers": {}, "_uploads": {}}

    def close(self) -> None:
        """Frees the renderers; calling it again does nothing."""
        for renderer in self._renderers.values():
            renderer.close()
        self._renderers.clear()
        self._uploads.clear()

    def _distracted(self, name: str, height: int, width: int) -> NDArray[np.uint8]:
        own = [(array, array.copy()) for array in self._written()]
        try:
            for distraction in self._distractions.values():
                distraction.apply()
            free = None if self._mount is None else self._mount.camera
            return self._rendered(name, height, width, self._background, free, self._textures)
        finally:
            for array, values in own:
                array[:] = values

    def _written(self) -> list[NDArray[Any]]:
        """Returns the simulator's arrays that distractions write, each once."""
        names: dict[tuple[str, str], None] = {}
        for distraction in self._distractions.values():
            names |= {("_model", name): None for name in distraction.model_arrays}
            names |= {("_data", name): None for name in distraction.data_arrays}
        return [attrgetter(name)(getattr(self, part)) for part, name in names]

    def _rendered(
        self,
        name: str,
        height: int,
        width: int,
        background: Background | None = None,
        free: FreeCamera | None = None,
        textures: Textures | None = None,
    ) -> NDArray[np.uint8]:
        if name not in self._renderers:
            is_picture = name == "picture"
            self._renderers[name] = self._renderer(
                self._model,
                height=height,
                width=width,
                aspect=self._aspect,
                camera=self._camera,
                hidden_groups=self._hidden_groups,
                ground_gain=self._ground_gain if background is None else self._clip_gain,
                sky_size=None if background is None else background.clip.size,
                window=WHOLE if is_picture else self._window,
                coarse=self._coarse,
            )
        if textures is not None and self._uploads.get(name) != textures.episode:
            textures.shown_by(self._renderers[name])
            self._uploads[name] = textures.episode
        sky = None if background is None else background.frame
        return self._renderers[name].render(self._data, sky, free)
