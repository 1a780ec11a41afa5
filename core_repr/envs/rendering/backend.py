"""Which OpenGL renders, and whether it works.

MuJoCo and dm_control fix their OpenGL platform when they are imported, from the variable
`MUJOCO_GL`, and Mesa the number of its threads; call `select_backend` before.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from traceback import walk_tb
from types import TracebackType

import gymnasium

from core_repr.load_order import load_triton

HEADLESS_BACKENDS = ("egl", "osmesa")
_OPENGL_ROOMS = (
    "OpenGL.",
    "glfw.",
    *(
        f"mujoco.{room}."
        for room in ("egl", "glfw", "osmesa", "gl_context", "rendering", "renderer")
    ),
    "dm_control._render.",
    "gymnasium.envs.mujoco.mujoco_rendering.",
)
"""Modules that start OpenGL or draw with it."""
_WINDOWED = ("glfw", "on", "enable", "enabled", "true", "1")
_OFF = ("off", "false", "0", "disable", "disabled")
INSTALL_HINT = (
    "install one with `apt-get install libegl1 libgl1-mesa-dri` (EGL) or `apt-get install "
    "libosmesa6` (OSMesa)"
)


class RenderingError(gymnasium.error.Error, RuntimeError):
    """OpenGL cannot render here; the message says what to do."""


def select_backend() -> str:
    """Sets `MUJOCO_GL` where it is unset: EGL if it finds a device, else OSMesa.

    Outside Linux, MuJoCo's own choice stands. Where `LP_NUM_THREADS` is unset, Mesa's software
    renderer is told to draw in the thread that calls it: that is as fast for small frames, leaves
    the other cores to other environments, and continues in a process that is forked. What crashes
    when it is loaded after Mesa is loaded now, see `core_repr.load_order`.

    Returns:
        The backend that will be used: "egl", "osmesa", "glfw", or "" for MuJoCo's own choice.

    Raises:
        RenderingError: There is neither EGL nor OSMesa, or not the one that `MUJOCO_GL` names, or
            it switches rendering off or is unknown; or another variable, or a PyOpenGL that was
            imported earlier, stands against it.
    """
    chosen = os.environ.get("MUJOCO_GL", "").lower().strip()
    if chosen in _OFF:
        raise RenderingError(
            f"MUJOCO_GL={chosen} switches rendering off, but these environments are seen through "
            "pixels: unset it, or set it to egl or osmesa."
        )
    os.environ.setdefault("LP_NUM_THREADS", "0")
    load_triton()
    if sys.platform != "linux":
        return chosen
    if chosen in _WINDOWED:
        if not _has_screen():
            raise RenderingError(
                f"MUJOCO_GL={chosen} draws on a screen, and there is none (DISPLAY is not set): "
                "unset it, or set it to egl or osmesa."
            )
        return "glfw"
    if chosen not in ("", *HEADLESS_BACKENDS):
        raise RenderingError(
            f"MUJOCO_GL={chosen} is unknown: unset it, or set it to egl, to osmesa or, where there "
            "is a screen, to glfw."
        )
    backend = _find_backend([chosen] if chosen else _candidates())
    if backend is None:
        missing = f"MUJOCO_GL={chosen} is" if chosen else "EGL and OSMesa are"
        raise RenderingError(
            f"There is no OpenGL to render with, {missing} not there: {INSTALL_HINT}."
        )
    _check_pyopengl(backend)
    if backend == "egl":
        _check_device()
    os.environ["MUJOCO_GL"] = backend
    return backend


def prefer_headless() -> None:
    """Sets `MUJOCO_GL` for other packages' environments, where there is neither it nor a screen.

    MuJoCo, dm_control and Gymnasium look for a screen first, and do not find out that there is
    none. Where OpenGL is missing, this does nothing: not everybody renders.
    """
    if sys.platform == "linux" and not os.environ.get("MUJOCO_GL") and not _has_screen():
        backend = _find_backend(_candidates())
        if backend is not None:
            os.environ["MUJOCO_GL"] = backend


@contextmanager
def importing_opengl(backend: str) -> Iterator[None]:
    """Turns what goes wrong while something is imported that starts OpenGL into a sentence.

    Args:
        backend: What `select_backend` returned.

    Raises:
        RenderingError: OpenGL does not start.
    """
    try:
        yield
    except ModuleNotFoundError:
        raise
    except Exception as error:
        raise RenderingError(
            f"OpenGL does not start with MUJOCO_GL={backend or 'unset'} ({error}): {INSTALL_HINT}, "
            "and see `core-repr doctor`."
        ) from error


def explain(error: BaseException) -> RenderingError | None:
    """Says what to do about an error that OpenGL made in any environment, also in other packages'.

    Args:
        error: What was raised.

    Returns:
        The explained error; None if OpenGL has nothing to do with it.
    """
    if isinstance(error, RenderingError):
        return error
    if not happened_in_opengl(error.__traceback__):
        return None
    reason = str(error).splitlines()[0] if str(error) else repr(error)
    chosen = os.environ.get("MUJOCO_GL") or "unset"
    return RenderingError(
        f"The environment cannot render, with MUJOCO_GL {chosen}: {reason.rstrip('.')}. Set "
        f"MUJOCO_GL to egl or osmesa; if neither works, {INSTALL_HINT}, and see `core-repr doctor`."
    )


def happened_in_opengl(traceback: TracebackType | None) -> bool:
    """Tells whether an error came from what starts OpenGL or draws with it."""
    rooms = (frame.f_globals.get("__name__", "") for frame, _ in walk_tb(traceback))
    return any(f"{room}.".startswith(_OPENGL_ROOMS) for room in rooms)


def _candidates() -> list[str]:
    """EGL before OSMesa, unless PyOpenGL is asked for the latter."""
    asked = os.environ.get("PYOPENGL_PLATFORM")
    return sorted(HEADLESS_BACKENDS, key=lambda backend: backend != asked)


def _find_backend(candidates: Iterable[str]) -> str | None:
    """Returns the first of some backends that is installed."""
    for backend in candidates:
        if _egl_devices() > 0 if backend == "egl" else ctypes.util.find_library("OSMesa"):
            return backend
    return None


def _has_screen() -> bool:
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _check_pyopengl(backend: str) -> None:
    """Refuses what would keep PyOpenGL, which MuJoCo draws through, from the backend."""
    wanted = os.environ.get("PYOPENGL_PLATFORM")
    if wanted and wanted != backend:
        raise RenderingError(
            f"PYOPENGL_PLATFORM={wanted} stands against MUJOCO_GL={backend}: unset it, or set "
            "both to the same."
        )
    loaded = getattr(sys.modules.get("OpenGL.platform"), "PLATFORM", None)
    name = type(loaded).__module__.rpartition(".")[2]
    if loaded is not None and name != backend:
        raise RenderingError(
            f"PyOpenGL was imported earlier and has taken {name}, but MUJOCO_GL={backend}: make "
            f"the first environment before that import, or set PYOPENGL_PLATFORM={backend} before "
            "Python starts."
        )


def _check_device() -> None:
    """Refuses a device that EGL does not have."""
    device, devices = os.environ.get("MUJOCO_EGL_DEVICE_ID"), _egl_devices()
    if device is None:
        return
    try:
        exists = 0 <= int(device) < devices
    except ValueError:
        exists = False
    if not exists:
        raise RenderingError(
            f"MUJOCO_EGL_DEVICE_ID={device} is not a device here: unset it, or set it to a number "
            f"from 0 to {devices - 1}."
        )


def _egl_devices() -> int:
    """Returns how many devices EGL offers, hardware and software; 0 without EGL."""
    try:
        egl = ctypes.CDLL("libEGL.so.1")
    except OSError:
        return 0
    egl.eglGetProcAddress.restype = ctypes.c_void_p
    address = egl.eglGetProcAddress(b"eglQueryDevicesEXT")
    if not address:
        return 0
    signature = ctypes.CFUNCTYPE(
        ctypes.c_uint, ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(ctypes.c_int)
    )
    count = ctypes.c_int(0)
    ok = signature(address)(0, None, ctypes.byref(count))
    return count.value if ok else 0
