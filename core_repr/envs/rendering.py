"""Which OpenGL renders, and whether it works.

MuJoCo and dm_control fix their OpenGL platform when they are imported, from the variable
`MUJOCO_GL`, and Mesa the number of its threads; call `select_backend` before.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import sys

import gymnasium

from core_repr.load_order import load_triton

HEADLESS_BACKENDS = ("egl", "osmesa")
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
    the other cores to other environments, and goes on in a process that is forked. What crashes
    when it is loaded after Mesa is loaded now, see `core_repr.load_order`.

    Returns:
        The backend that will be used: "egl", "osmesa", "glfw", or "" for MuJoCo's own choice.

    Raises:
        RenderingError: There is neither EGL nor OSMesa, or not the one that `MUJOCO_GL` names, or
            it switches rendering off.
    """
    chosen = os.environ.get("MUJOCO_GL", "").lower().strip()
    if chosen in ("off", "false", "0", "disable", "disabled"):
        raise RenderingError(
            f"MUJOCO_GL={chosen} switches rendering off, but these environments are seen through "
            "pixels: unset it, or set it to egl or osmesa."
        )
    os.environ.setdefault("LP_NUM_THREADS", "0")
    load_triton()
    if sys.platform != "linux" or chosen not in ("", *HEADLESS_BACKENDS):
        return chosen
    for backend in [chosen] if chosen else HEADLESS_BACKENDS:
        if _egl_devices() > 0 if backend == "egl" else ctypes.util.find_library("OSMesa"):
            os.environ["MUJOCO_GL"] = backend
            return backend
    missing = f"MUJOCO_GL={chosen} is" if chosen else "EGL and OSMesa are"
    raise RenderingError(f"There is no OpenGL to render with, {missing} not there: {INSTALL_HINT}.")


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
