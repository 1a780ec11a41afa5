"""A renderer for small frames of a MuJoCo scene."""

from __future__ import annotations

import atexit
import importlib
import math
import os
import weakref
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core_repr.envs.rendering import (
    HEADLESS_BACKENDS,
    INSTALL_HINT,
    RenderingError,
    select_backend,
)
from core_repr.envs.sky import SkyTexture, faces_in_view

_SMALL_HEIGHT = 128
"""Up to this height in pixels, a circle of 16 corners looks round."""


_open_renderers: weakref.WeakSet[FrameRenderer] = weakref.WeakSet()
_gl_process: int | None = None
"""The process that started OpenGL. Its forks inherit an OpenGL that hangs."""


def _close_all() -> None:
    for renderer in list(_open_renderers):
        renderer.close()


class FrameRenderer:
    """Renders one fixed camera of a MuJoCo model into small square or larger frames.

    Shadows and reflections are left out, and round shapes are coarser in a small frame: 64 to 100
    pixels hardly show them, and a software renderer spends most of its time on them. A frame is
    rendered at twice its size and averaged, which keeps a thin pole visible.

    The renderer has an OpenGL context of its own, so a process may hold many. Building it is the
    slow part (about 0.2 s); it is best built at the first frame, after worker processes were
    forked.

    Args:
        model: The `mujoco.MjModel` to render. Its quality settings are changed.
        height: Height of a frame in pixels.
        width: Width of a frame in pixels.
        aspect: Width over height of the view that fills the frame. The view is squeezed where it
            differs from the frame's own.
        camera_id: Which of the model's cameras looks.

    Raises:
        RenderingError: OpenGL cannot start.
    """

    _SUPERSAMPLING = 2

    def __init__(
        self, model: Any, *, height: int, width: int, aspect: float, camera_id: int
    ) -> None:
        import mujoco

        self._mujoco = mujoco
        self._model = model
        self._aspect = aspect
        rows, columns = height * self._SUPERSAMPLING, width * self._SUPERSAMPLING
        model.vis.quality.offsamples = 0
        model.vis.quality.shadowsize = 0
        coarse = height <= _SMALL_HEIGHT
        model.vis.quality.numslices = 16 if coarse else 32
        model.vis.quality.numstacks = 8 if coarse else 16
        model.vis.global_.offwidth = columns
        model.vis.global_.offheight = rows
        self._gl, self._context = _start_gl(model, rows, columns)
        _open_renderers.add(self)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._context)
        self._viewport = mujoco.MjrRect(0, 0, columns, rows)
        self._pixels = np.empty((rows, columns, 3), np.uint8)

        self._scene = mujoco.MjvScene(model, maxgeom=1000)
        for flag in ("mjRND_SHADOW", "mjRND_REFLECTION"):
            self._scene.flags[getattr(mujoco.mjtRndFlag, flag)] = 0
        self._option = mujoco.MjvOption()
        self._camera = mujoco.MjvCamera()
        self._camera.type = mujoco.mjtCamera.mjCAMERA_FIXED
        self._camera.fixedcamid = camera_id
        self._sky: SkyTexture | None = None

    def render(self, data: Any, sky: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
        """Renders a frame.

        Args:
            data: The `mujoco.MjData` to render, its camera's pose included.
            sky: Picture for each face of the sky, shape (size, size, 3); None leaves the sky. The
                model's sky texture must have that size.

        Returns:
            The frame, shape (height, width, 3).
        """
        mujoco = self._mujoco
        self._make_current()
        mujoco.mjv_updateScene(
            self._model,
            data,
            self._option,
            None,
            self._camera,
            mujoco.mjtCatBit.mjCAT_ALL,
            self._scene,
        )
        for eye in self._scene.camera:
            eye.frustum_width = 0.5 * (eye.frustum_top - eye.frustum_bottom) * self._aspect
        if sky is not None:
            if self._sky is None:
                self._sky = SkyTexture(self._model, self._context)
            self._sky.show(sky, self._faces_in_view(data))
        mujoco.mjr_render(self._viewport, self._scene, self._context)
        mujoco.mjr_readPixels(self._pixels, None, self._viewport, self._context)
        return halve(self._pixels[::-1])

    def _faces_in_view(self, data: Any) -> NDArray[np.intp]:
        camera = self._camera.fixedcamid
        half_height = math.tan(math.radians(self._model.cam_fovy[camera]) / 2)
        rotation = data.cam_xmat[camera].reshape(3, 3)
        return faces_in_view(rotation, half_height, half_height * self._aspect)

    def close(self) -> None:
        """Frees the OpenGL context; calling it again does nothing."""
        if self._gl is None or _gl_process != os.getpid():
            return
        self._make_current()
        _open_renderers.discard(self)
        self._context.free()
        self._gl.free()
        self._gl = None

    def _make_current(self) -> None:
        _refuse_fork()
        try:
            self._gl.make_current()
        except Exception as error:
            raise RenderingError(
                "this environment is rendered by another thread: use it in the thread that first "
                "reset it, or make one for each thread."
            ) from error


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


def _refuse_fork() -> None:
    """Raises RenderingError where OpenGL was started before this process was forked."""
    if _gl_process not in (None, os.getpid()):
        raise RenderingError(
            "this process was forked after its parent had rendered, and OpenGL does not outlive a "
            "fork: start workers with the method 'spawn' or 'forkserver' (AsyncVectorEnv: "
            "context='forkserver'; SubprocVecEnv: start_method='forkserver'), or before the first "
            "reset."
        )


def _start_gl(model: Any, height: int, width: int) -> tuple[Any, Any]:
    """Returns a new OpenGL context, made current, and MuJoCo's context within it."""
    global _gl_process
    import mujoco

    _refuse_fork()
    backend = select_backend()
    module = f"mujoco.{backend}" if backend in HEADLESS_BACKENDS else "mujoco.gl_context"
    try:
        gl = importlib.import_module(module).GLContext(width, height)
        gl.make_current()
        context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_50)
    except Exception as error:
        raise RenderingError(
            f"OpenGL did not start with MUJOCO_GL={backend or 'unset'} ({error}): {INSTALL_HINT}, "
            "then set MUJOCO_GL to its name."
        ) from error
    if _gl_process is None:
        # Registered after the platform's own exit handlers, so it runs before them.
        atexit.register(_close_all)
    _gl_process = os.getpid()
    return gl, context
