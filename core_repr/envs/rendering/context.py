"""OpenGL contexts without a window, one for each renderer, and what a fork does to them."""

from __future__ import annotations

import atexit
import importlib
import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from core_repr.envs.rendering.backend import (
    HEADLESS_BACKENDS,
    INSTALL_HINT,
    RenderingError,
    select_backend,
)

_open_contexts: weakref.WeakSet[OffscreenContext] = weakref.WeakSet()
_first_process: int | None = None
"""The process that started OpenGL; its forks inherit what it started."""
_outlives_fork = False
"""Whether OpenGL works on in a fork: it draws in software, in the thread that calls it."""


class OffscreenContext:
    """An OpenGL context and MuJoCo's context within it.

    A process may hold many, and any of its threads may use them, one at a time. With EGL, what was
    current before is current again afterwards, so that others may draw in the same thread.

    Args:
        model: The `mujoco.MjModel` to draw. Its textures and quality settings count as they are
            now.
        height: Height of the picture in pixels.
        width: Width of the picture in pixels.

    Raises:
        RenderingError: OpenGL cannot start or draw so large a picture, or this process is a fork
            that cannot use it.
    """

    def __init__(self, model: Any, height: int, width: int) -> None:
        global _first_process, _outlives_fork
        import mujoco

        _refuse_fork()
        backend = select_backend()
        module = f"mujoco.{backend}" if backend in HEADLESS_BACKENDS else "mujoco.gl_context"
        self._gl: Any = None
        self._restores = backend == "egl"
        try:
            gl_module = importlib.import_module(module)
            with self._restoring():
                gl = gl_module.GLContext(width, height)
                gl.make_current()
                _check_size(height, width)
                self._mujoco = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_50)
                mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._mujoco)
                if _first_process is None:
                    _first_process = os.getpid()
                    _outlives_fork = _draws_in_calling_thread()
                    # Registered after the platform's own exit handlers, so it runs before them.
                    atexit.register(_free_all)
        except RenderingError:
            raise
        except Exception as error:
            raise RenderingError(
                f"OpenGL did not start with MUJOCO_GL={backend or 'unset'} for a picture of "
                f"{width}×{height} pixels ({error}): {INSTALL_HINT}, then set MUJOCO_GL to its "
                "name."
            ) from error
        self._gl = gl
        _open_contexts.add(self)

    @contextmanager
    def current(self) -> Iterator[Any]:
        """Directs OpenGL's calls here.

        Yields:
            The `mujoco.MjrContext`, which draws off screen.

        Raises:
            RenderingError: Another thread uses it now, or this process is a fork that cannot.
        """
        _refuse_fork()
        with self._restoring():
            try:
                self._gl.make_current()
            except Exception as error:
                raise RenderingError(
                    "another thread renders this environment: use it in one thread at a time, or "
                    "make one for each."
                ) from error
            yield self._mujoco

    def free(self) -> None:
        """Frees the context; calling it again does nothing."""
        if self._gl is None or _is_foreign():
            return
        with self.current() as context:
            _open_contexts.discard(self)
            context.free()
        self._gl.free()
        self._gl = None

    @contextmanager
    def _restoring(self) -> Iterator[None]:
        """Makes current again what was so before, where EGL knows it."""
        if not self._restores:
            yield
            return
        from OpenGL import EGL

        before = EGL.eglGetCurrentContext()
        draw, read = EGL.eglGetCurrentSurface(EGL.EGL_DRAW), EGL.eglGetCurrentSurface(EGL.EGL_READ)
        display = EGL.eglGetCurrentDisplay()
        try:
            yield
        finally:
            display = display or EGL.eglGetCurrentDisplay()
            if display:
                EGL.eglMakeCurrent(display, draw, read, before)


def _check_size(height: int, width: int) -> None:
    """Refuses a picture that is larger than the current OpenGL can draw."""
    from OpenGL import GL

    limit = int(GL.glGetIntegerv(GL.GL_MAX_RENDERBUFFER_SIZE))
    # It is 0 where OpenGL has not started, such as for a window on a screen that is not there.
    if 0 < limit < max(height, width):
        raise RenderingError(
            f"OpenGL has no room for a picture of {width}×{height} pixels, it draws at most "
            f"{limit} a side here: take a smaller frame_size."
        )


def _free_all() -> None:
    for context in list(_open_contexts):
        context.free()


def _is_foreign() -> bool:
    """Returns whether OpenGL was started by a parent of this process and ended with the fork."""
    return _first_process not in (None, os.getpid()) and not _outlives_fork


def _refuse_fork() -> None:
    if _is_foreign():
        raise RenderingError(
            "this process was forked after its parent had rendered, and this OpenGL does not "
            "outlive a fork: start workers with the method 'spawn' or 'forkserver' "
            "(AsyncVectorEnv: context='forkserver'; SubprocVecEnv: start_method='forkserver'), or "
            "before the first reset."
        )


def _draws_in_calling_thread() -> bool:
    """Returns whether Mesa's software renderer is at work, without threads of its own.

    A fork has only the thread that forked. The threads of llvmpipe, and those of a GPU's driver,
    are missing there, and who waits for them waits for ever. So does a fork that leaves by
    `sys.exit` for the thread of Mesa's cache on disk; workers of multiprocessing leave by
    `os._exit`.
    """
    from OpenGL import GL

    name = GL.glGetString(GL.GL_RENDERER) or b""
    if not any(software in name for software in (b"llvmpipe", b"softpipe")):
        return False
    try:
        threads = [task.read_text() for task in Path("/proc/self/task").glob("*/comm")]
    except OSError:
        return False
    return not any(thread.startswith("llvmpipe") for thread in threads)
