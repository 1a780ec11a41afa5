"""Which OpenGL renders, and whether it works.

MuJoCo and dm_control fix their OpenGL platform when they are imported, from the variable
`MUJOCO_GL`; call `select_backend` before.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import subprocess
import sys
from dataclasses import dataclass

HEADLESS_BACKENDS = ("egl", "osmesa")
INSTALL_HINT = (
    "install one with `apt-get install libegl1 libgl1-mesa-dri` (EGL) or `apt-get install "
    "libosmesa6` (OSMesa)"
)


def select_backend() -> str:
    """Sets `MUJOCO_GL` where it is unset: EGL if it finds a device, else OSMesa.

    Outside Linux, MuJoCo's own choice stands.

    Returns:
        The backend that will be used: "egl", "osmesa", "glfw", or "" for MuJoCo's own choice.

    Raises:
        RuntimeError: There is neither EGL nor OSMesa, or not the one that `MUJOCO_GL` names, or it
            switches rendering off.
    """
    chosen = os.environ.get("MUJOCO_GL", "").lower().strip()
    if chosen in ("off", "false", "0", "disable", "disabled"):
        raise RuntimeError(
            f"MUJOCO_GL={chosen} switches rendering off, but these environments are seen through "
            "pixels: unset it, or set it to egl or osmesa."
        )
    if sys.platform != "linux" or chosen not in ("", *HEADLESS_BACKENDS):
        return chosen
    available = {"egl": _egl_devices() > 0, "osmesa": bool(ctypes.util.find_library("OSMesa"))}
    for backend in [chosen] if chosen else HEADLESS_BACKENDS:
        if available[backend]:
            os.environ["MUJOCO_GL"] = backend
            return backend
    missing = f"MUJOCO_GL={chosen} is" if chosen else "EGL and OSMesa are"
    raise RuntimeError(f"There is no OpenGL to render with, {missing} not there: {INSTALL_HINT}.")


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


@dataclass(frozen=True)
class BackendReport:
    """What a trial of one rendering backend gave.

    Attributes:
        backend: Its name, a value of `MUJOCO_GL`.
        works: Whether a picture came out.
        detail: The OpenGL renderer's name, or the last line of the error.
    """

    backend: str
    works: bool
    detail: str


_TRIAL = """
import mujoco
from OpenGL import GL
model = mujoco.MjModel.from_xml_string(
    "<mujoco><worldbody><light pos='0 0 3'/><geom size='1'/></worldbody></mujoco>")
data = mujoco.MjData(model)
mujoco.mj_forward(model, data)
with mujoco.Renderer(model, 32, 32) as renderer:
    renderer.update_scene(data)
    if not renderer.render().any():
        raise SystemExit("the picture is black")
    print(GL.glGetString(GL.GL_RENDERER).decode())
"""


def try_backends(timeout: float = 60.0) -> list[BackendReport]:
    """Renders one small picture with each headless backend, each in a process of its own.

    Args:
        timeout: Seconds until a trial counts as failed.

    Returns:
        One report a backend, in the order of preference.
    """
    reports = []
    for backend in HEADLESS_BACKENDS:
        try:
            trial = subprocess.run(
                [sys.executable, "-c", _TRIAL],
                env={**os.environ, "MUJOCO_GL": backend},
                capture_output=True,
                text=True,
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired:
            reports.append(BackendReport(backend, False, f"no picture after {timeout:g} s"))
            continue
        works = trial.returncode == 0
        lines = (trial.stdout if works else trial.stderr).strip().splitlines()
        reports.append(BackendReport(backend, works, lines[-1] if lines else "no message"))
    return reports
