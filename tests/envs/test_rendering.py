from __future__ import annotations

import os

import pytest

from core_repr.envs import rendering
from core_repr.envs.rendering import RenderingError, select_backend


def test_egl_comes_before_osmesa(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUJOCO_GL", "")
    monkeypatch.setattr(rendering.sys, "platform", "linux")
    monkeypatch.setattr(rendering, "_egl_devices", lambda: 1)
    assert select_backend() == "egl"
    assert os.environ["MUJOCO_GL"] == "egl"


def test_osmesa_where_egl_has_no_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUJOCO_GL", "")
    monkeypatch.setattr(rendering.sys, "platform", "linux")
    monkeypatch.setattr(rendering, "_egl_devices", lambda: 0)
    monkeypatch.setattr(rendering.ctypes.util, "find_library", lambda name: "libOSMesa.so")
    assert select_backend() == "osmesa"


@pytest.mark.parametrize("chosen", ["", "egl", "osmesa"])
def test_no_opengl_says_what_to_install(monkeypatch: pytest.MonkeyPatch, chosen: str) -> None:
    monkeypatch.setenv("MUJOCO_GL", chosen)
    monkeypatch.setattr(rendering.sys, "platform", "linux")
    monkeypatch.setattr(rendering, "_egl_devices", lambda: 0)
    monkeypatch.setattr(rendering.ctypes.util, "find_library", lambda name: None)
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
