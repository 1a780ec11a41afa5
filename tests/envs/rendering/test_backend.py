from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from core_repr.envs.rendering import backend as opengl_backend
from core_repr.envs.rendering.backend import (
    RenderingError,
    explain,
    importing_opengl,
    prefer_headless,
    select_backend,
)


@pytest.fixture(autouse=True)
def _fresh_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if nothing had been imported, on a machine with one EGL device and without a screen."""
    monkeypatch.setattr(opengl_backend.sys, "platform", "linux")
    monkeypatch.setattr(opengl_backend, "_egl_devices", lambda: 1)
    monkeypatch.setitem(sys.modules, "OpenGL.platform", None)
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "PYOPENGL_PLATFORM", "MUJOCO_EGL_DEVICE_ID"):
        monkeypatch.delenv(name, raising=False)
    # Restored afterwards, whatever a test makes of them.
    for name in ("MUJOCO_GL", "LP_NUM_THREADS"):
        monkeypatch.setenv(name, "")


def test_egl_comes_before_osmesa() -> None:
    assert select_backend() == "egl"
    assert os.environ["MUJOCO_GL"] == "egl"


def test_osmesa_where_egl_has_no_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opengl_backend, "_egl_devices", lambda: 0)
    monkeypatch.setattr(opengl_backend.ctypes.util, "find_library", lambda name: "libOSMesa.so")
    assert select_backend() == "osmesa"


@pytest.mark.parametrize("chosen", ["", "egl", "osmesa"])
def test_no_opengl_says_what_to_install(monkeypatch: pytest.MonkeyPatch, chosen: str) -> None:
    monkeypatch.setenv("MUJOCO_GL", chosen)
    monkeypatch.setattr(opengl_backend, "_egl_devices", lambda: 0)
    monkeypatch.setattr(opengl_backend.ctypes.util, "find_library", lambda name: None)
    with pytest.raises(RenderingError, match="apt-get install libegl1"):
        select_backend()


def test_rendering_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUJOCO_GL", "disabled")
    with pytest.raises(RenderingError, match="MUJOCO_GL=disabled"):
        select_backend()


@pytest.mark.parametrize(("chosen", "expected"), [(None, "0"), ("4", "4")])
def test_software_rendering_takes_the_calling_thread(
    monkeypatch: pytest.MonkeyPatch, chosen: str | None, expected: str
) -> None:
    monkeypatch.delenv("LP_NUM_THREADS", raising=False)
    if chosen is not None:
        monkeypatch.setenv("LP_NUM_THREADS", chosen)
    select_backend()
    assert os.environ["LP_NUM_THREADS"] == expected


@pytest.mark.parametrize("chosen", ["glx", "cgl", "EGLX", "hdmi"])
def test_an_unknown_backend_is_refused(monkeypatch: pytest.MonkeyPatch, chosen: str) -> None:
    monkeypatch.setenv("MUJOCO_GL", chosen)
    with pytest.raises(RenderingError, match=f"MUJOCO_GL={chosen.lower()} is unknown: unset it"):
        select_backend()


@pytest.mark.parametrize("chosen", ["glfw", "on", "True", "1"])
def test_a_window_needs_a_screen(monkeypatch: pytest.MonkeyPatch, chosen: str) -> None:
    monkeypatch.setenv("MUJOCO_GL", chosen)
    with pytest.raises(RenderingError, match=r"there is none \(DISPLAY is not set\): unset"):
        select_backend()
    monkeypatch.setenv("DISPLAY", ":0")
    assert select_backend() == "glfw"


@pytest.mark.parametrize("written", ["EGL", " egl "])
def test_a_backend_s_name_is_brought_into_the_form_that_others_read(
    monkeypatch: pytest.MonkeyPatch, written: str
) -> None:
    monkeypatch.setenv("MUJOCO_GL", written)
    assert select_backend() == os.environ["MUJOCO_GL"] == "egl"


@pytest.mark.parametrize("device", ["7", "-1", "abc", "", "1.0"])
def test_a_device_that_is_not_there_is_refused(
    monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    monkeypatch.setenv("MUJOCO_EGL_DEVICE_ID", device)
    with pytest.raises(RenderingError, match=f"MUJOCO_EGL_DEVICE_ID={device} is not a device"):
        select_backend()
    monkeypatch.setenv("MUJOCO_EGL_DEVICE_ID", "0")
    assert select_backend() == "egl"


@pytest.mark.parametrize("platform", ["osmesa", "glx", "EGL"])
def test_another_platform_of_pyopengl_is_refused(
    monkeypatch: pytest.MonkeyPatch, platform: str
) -> None:
    monkeypatch.setattr(opengl_backend.ctypes.util, "find_library", lambda name: None)
    monkeypatch.setenv("PYOPENGL_PLATFORM", platform)
    with pytest.raises(RenderingError, match=f"PYOPENGL_PLATFORM={platform} stands against"):
        select_backend()
    monkeypatch.setenv("PYOPENGL_PLATFORM", "egl")
    assert select_backend() == "egl"


def test_the_platform_of_pyopengl_decides_between_egl_and_osmesa(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(opengl_backend.ctypes.util, "find_library", lambda name: "libOSMesa.so")
    monkeypatch.setenv("PYOPENGL_PLATFORM", "osmesa")
    assert select_backend() == "osmesa"


def test_a_pyopengl_that_draws_elsewhere_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, fits in (("OpenGL.platform.egl", True), ("OpenGL.platform.glx", False)):
        platform = type("Platform", (), {"__module__": module})()
        loaded = SimpleNamespace(PLATFORM=platform)
        monkeypatch.setitem(sys.modules, "OpenGL.platform", loaded)  # type: ignore[arg-type]
        if fits:
            assert select_backend() == "egl"
            continue
        with pytest.raises(RenderingError, match="imported earlier and has taken glx"):
            select_backend()


def test_what_goes_wrong_while_opengl_is_imported_is_a_rendering_error() -> None:
    expected = r"MUJOCO_GL=egl \(no display\): install"
    with pytest.raises(RenderingError, match=expected), importing_opengl("egl"):
        raise ImportError("no display")
    with pytest.raises(ModuleNotFoundError), importing_opengl("egl"):
        raise ModuleNotFoundError("dm_control")


def test_without_a_screen_others_are_led_to_egl(monkeypatch: pytest.MonkeyPatch) -> None:
    prefer_headless()
    assert os.environ["MUJOCO_GL"] == "egl"


@pytest.mark.parametrize(
    ("name", "value"),
    [("MUJOCO_GL", "osmesa"), ("DISPLAY", ":0"), ("WAYLAND_DISPLAY", "wayland-0")],
)
def test_who_has_chosen_or_has_a_screen_keeps_it(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    before = os.environ["MUJOCO_GL"]
    prefer_headless()
    assert os.environ["MUJOCO_GL"] == before


def test_where_opengl_is_missing_the_package_can_be_imported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(opengl_backend, "_egl_devices", lambda: 0)
    monkeypatch.setattr(opengl_backend.ctypes.util, "find_library", lambda name: None)
    prefer_headless()
    assert os.environ["MUJOCO_GL"] == ""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="other systems render without EGL")
def test_gymnasium_s_own_environments_render_without_a_screen() -> None:
    script = (
        "import core_repr, gymnasium as gym\n"
        "env = gym.make('Reacher-v5', render_mode='rgb_array', width=32, height=32)\n"
        "frame, _ = gym.wrappers.AddRenderObservation(env).reset(seed=0)\n"
        "print('spread', frame.std())"
    )
    names = ("MUJOCO_GL", "DISPLAY", "WAYLAND_DISPLAY", "PYOPENGL_PLATFORM")
    environment = {name: value for name, value in os.environ.items() if name not in names}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.split("spread")[1]) > 1


def raised_in(room: str, error: str) -> BaseException:
    """Returns an error as a module raises it, called from here."""
    names: dict[str, Any] = {"__name__": room}
    exec(f"def draw(): raise {error}", names)
    try:
        names["draw"]()
    except Exception as caught:
        return caught
    raise AssertionError


@pytest.mark.parametrize(
    "room",
    [
        "OpenGL.platform.egl",
        "mujoco.egl",
        "mujoco.rendering.classic.renderer",
        "gymnasium.envs.mujoco.mujoco_rendering",
        "dm_control._render",
    ],
)
def test_what_opengl_does_in_other_environments_is_explained(
    monkeypatch: pytest.MonkeyPatch, room: str
) -> None:
    monkeypatch.setenv("MUJOCO_GL", "glfw")
    explained = explain(raised_in(room, "ValueError('no display\\nat all')"))
    assert isinstance(explained, RenderingError)
    assert "with MUJOCO_GL glfw: no display. Set MUJOCO_GL to egl or osmesa" in str(explained)
    assert "apt-get install libegl1" in str(explained) and "\n" not in str(explained)


@pytest.mark.parametrize("room", ["mujoco", "mujoco.eglantine", "OpenGLX", "mine"])
def test_what_others_do_is_not_explained(room: str) -> None:
    assert explain(raised_in(room, "ValueError('no display')")) is None
    own = RenderingError("said already")
    assert explain(own) is own
