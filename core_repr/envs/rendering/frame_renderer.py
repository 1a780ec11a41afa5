"""Renderers for small frames of a MuJoCo scene: a fast one, and the suite's own picture."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core_repr.envs.rendering.context import OffscreenContext
from core_repr.envs.rendering.free_camera import FreeCamera
from core_repr.envs.rendering.sky import SkyTexture, cut_sky, faces_in_view

Window = tuple[float, float, float, float]
WHOLE: Window = (0.0, 0.0, 1.0, 1.0)

Coarse = Callable[[Any], AbstractContextManager[None]]

_SMALL_HEIGHT = 128
"""Up to this height in pixels, a circle of 16 corners looks round."""

_QUALITY = ("offsamples", "shadowsize", "numslices", "numstacks")


class FrameRenderer:
    """Renders what one camera of a MuJoCo model sees, as much as a small frame can show.

    Shadows and reflections are left out, and round shapes are coarser in a small frame: 64 to 100
    pixels hardly show them, and a software renderer spends most of its time on them. A frame is
    rendered at twice its size and averaged, which keeps a thin pole visible.

    The renderer has an OpenGL context of its own, so a process may hold many. Building it is the
    slow part (about 0.2 s); it is best built at the first frame, after worker processes were
    forked.

    Args:
        model: The `mujoco.MjModel` to render.
        height: Height of a frame in pixels.
        width: Width of a frame in pixels.
        aspect: Width over height of the view that fills the frame. The view is squeezed where it
            differs from the frame's own.
        camera: Which of the model's cameras looks, by number, or a free camera.
        hidden_groups: Groups of geometries that are not drawn, such as collision shapes.
        ground_gain: How much brighter to draw the texture "grid".
        sky_size: Height and width of the pictures that the sky will show; None for the model's
            own sky.
        window: The part of the view that fills the frame: left, top, right and bottom, as shares
            of its width and height.
        coarse: Gives the model coarser meshes in a `with` statement, see `coarse_meshes`; None
            draws its own.

    Raises:
        RenderingError: OpenGL cannot start.
    """

    _FLAGS_OFF: tuple[str, ...] = ("mjRND_SHADOW", "mjRND_REFLECTION")

    def __init__(
        self,
        model: Any,
        *,
        height: int,
        width: int,
        aspect: float,
        camera: int | FreeCamera,
        hidden_groups: Sequence[int] = (),
        ground_gain: float = 1.0,
        sky_size: int | None = None,
        window: Window = WHOLE,
        coarse: Coarse | None = None,
    ) -> None:
        import mujoco

        self._mujoco = mujoco
        self._model = model
        self._aspect = aspect
        self._height, self._width = height, width
        self._window = window
        rows, columns = self._viewport_size()
        with coarse(model) if coarse is not None else nullcontext():
            self._context = self._start(model, rows, columns, ground_gain, sky_size)
        self._viewport = mujoco.MjrRect(0, 0, columns, rows)
        self._pixels = np.empty((rows, columns, 3), np.uint8)

        self._scene = mujoco.MjvScene(model, maxgeom=max(1000, 2 * model.ngeom))
        for flag in self._FLAGS_OFF:
            self._scene.flags[getattr(mujoco.mjtRndFlag, flag)] = 0
        self._option = mujoco.MjvOption()
        self._option.geomgroup[list(hidden_groups)] = 0
        self._camera = mujoco.MjvCamera()
        self._free = camera if isinstance(camera, FreeCamera) else None
        if isinstance(camera, int):
            self._camera.type = mujoco.mjtCamera.mjCAMERA_FIXED
            self._camera.fixedcamid = camera
        self._sky: SkyTexture | None = None
        if sky_size is not None:
            with self._context.current() as context:
                self._sky = SkyTexture(model, context, sky_size)

    def render(
        self,
        data: Any,
        sky: NDArray[np.uint8] | None = None,
        free: FreeCamera | None = None,
    ) -> NDArray[np.uint8]:
        """Renders a frame.

        Args:
            data: The `mujoco.MjData` to render, the pose of a model's camera included.
            sky: Picture for each face of the sky, shape (sky_size, sky_size, 3); None for the
                model's own sky.
            free: Where a free camera is; None for where it was when the renderer was built.

        Returns:
            The frame, shape (height, width, 3).
        """
        mujoco = self._mujoco
        free = free or self._free
        if free is not None:
            free.aim(self._camera, data)
        mujoco.mjv_updateScene(
            self._model,
            data,
            self._option,
            None,
            self._camera,
            mujoco.mjtCatBit.mjCAT_ALL,
            self._scene,
        )
        if free is not None:
            free.turn(self._scene.camera)
        for eye in self._scene.camera:
            self._look_through_window(eye)
        with self._context.current() as context:
            if sky is not None:
                assert self._sky is not None, "the renderer was built for the model's own sky"
                self._sky.show(sky, self._faces_drawn())
            mujoco.mjr_render(self._viewport, self._scene, context)
            mujoco.mjr_readPixels(self._pixels, None, self._viewport, context)
        return self._shrink(self._pixels[::-1])

    def show_textures(self, textures: Iterable[int]) -> None:
        """Takes over what the model's textures hold now.

        Args:
            textures: Their numbers.
        """
        with self._context.current() as context:
            for texture in textures:
                self._mujoco.mjr_uploadTexture(self._model, context, texture)

    def close(self) -> None:
        """Frees the OpenGL context; calling it again does nothing."""
        self._context.free()

    def _look_through_window(self, eye: Any) -> None:
        """Narrows what an `mujoco.MjvGLCamera` sees to the window; the whole has our aspect."""
        left, top, right, bottom = self._window
        height = eye.frustum_top - eye.frustum_bottom
        half_width = 0.5 * height * self._aspect
        eye.frustum_width = half_width * (right - left)
        if self._window == WHOLE:
            return
        eye.frustum_center = half_width * (left + right - 1)
        eye.frustum_bottom = eye.frustum_top - bottom * height
        eye.frustum_top = eye.frustum_top - top * height

    def _viewport_size(self) -> tuple[int, int]:
        """Returns the rows and columns that are rendered for a frame."""
        return 2 * self._height, 2 * self._width

    def _set_quality(self, quality: Any) -> None:
        """Chooses how finely to draw; `quality` is the model's `vis.quality`."""
        coarse = self._height <= _SMALL_HEIGHT
        quality.offsamples = quality.shadowsize = 0
        quality.numslices = 16 if coarse else 32
        quality.numstacks = 8 if coarse else 16

    def _shrink(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Turns the rendered rows and columns into a frame."""
        return halve(pixels)

    def _faces_drawn(self) -> NDArray[np.intp]:
        """Returns the numbers of the sky's faces that a frame may show."""
        eye = self._scene.camera[0]
        # Of the whole view, whatever window is looked through.
        _, top, _, bottom = self._window
        height = (eye.frustum_top - eye.frustum_bottom) / (bottom - top)
        half_height = float(height / 2 / eye.frustum_near)
        forward, up = eye.forward.astype(np.float64), eye.up.astype(np.float64)
        rotation = np.stack([np.cross(forward, up), up, -forward], axis=1)
        return faces_in_view(rotation, half_height, half_height * self._aspect)

    def _start(
        self, model: Any, rows: int, columns: int, ground_gain: float, sky_size: int | None
    ) -> OffscreenContext:
        """Returns a new context. It takes its settings from the model, which then gets its own."""
        quality, buffer = model.vis.quality, model.vis.global_
        settings = {name: getattr(quality, name) for name in _QUALITY}
        buffer_size = buffer.offheight, buffer.offwidth
        texture_sizes = model.tex_height.copy(), model.tex_width.copy()
        self._set_quality(quality)
        ground = self._brighten(model, ground_gain) if ground_gain != 1.0 else None
        buffer.offheight, buffer.offwidth = rows, columns
        if sky_size is not None:
            cut_sky(model, sky_size)
        try:
            return OffscreenContext(model, rows, columns)
        finally:
            for name, value in settings.items():
                setattr(quality, name, value)
            buffer.offheight, buffer.offwidth = buffer_size
            model.tex_height[:], model.tex_width[:] = texture_sizes
            if ground is not None:
                texels, own = ground
                texels[:] = own

    def _brighten(
        self, model: Any, gain: float
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]] | None:
        """Brightens the texture of the ground; returns its texels and what they were."""
        grid = model.texture("grid").id
        start = model.tex_adr[grid]
        size = model.tex_height[grid] * model.tex_width[grid] * model.tex_nchannel[grid]
        texels: NDArray[np.uint8] = model.tex_data[start : start + size]
        own = texels.copy()
        texels[:] = np.minimum(own * gain, 255).astype(np.uint8)
        return texels, own


class FullRenderer(FrameRenderer):
    """Renders the picture that dm_control's suite renders, and resizes it to the frame.

    Shadows, reflections, multisampling and the model's own mesh of round shapes; 240 rows or the
    frame's height if that is more; bilinear, as the paper has it. Arguments as for
    `FrameRenderer`; the ground needs no gain here.
    """

    ROWS = 240
    """Height in pixels of the suite's picture."""

    _FLAGS_OFF = ()

    def _viewport_size(self) -> tuple[int, int]:
        rows = max(self.ROWS, self._height)
        left, top, right, bottom = self._window
        return rows, round(rows * self._aspect * (right - left) / (bottom - top))

    def _set_quality(self, quality: Any) -> None:
        """Leaves the model's own quality."""

    def _brighten(self, model: Any, gain: float) -> None:
        """Leaves the ground: the light that casts shadows brightens it."""

    def _shrink(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        from PIL import Image

        size = (self._width, self._height)
        picture = Image.fromarray(np.ascontiguousarray(pixels))
        return np.array(picture.resize(size, Image.Resampling.BILINEAR))

    def _faces_drawn(self) -> NDArray[np.intp]:
        # A reflecting ground mirrors faces that are behind or above the view.
        return np.arange(6)


def halve(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Averages each block of 2×2 pixels.

    Args:
        pixels: Shape (2·height, 2·width, channels).

    Returns:
        Shape (height, width, channels), rounded.
    """
    rows = pixels[::2].astype(np.uint16)
    rows += pixels[1::2]
    total = rows[:, ::2] + rows[:, 1::2]
    total += 2
    total >>= 2
    return total.astype(np.uint8)
