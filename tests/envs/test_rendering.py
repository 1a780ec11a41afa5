from __future__ import annotations

import multiprocessing
import os
import threading

import numpy as np
import pytest

from core_repr.envs import rendering
from core_repr.envs.frame_renderer import halve
from core_repr.envs.rendering import RenderingError, select_backend


def test_halve_averages_blocks() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 12, 3), dtype=np.uint8)
    blocks = pixels.reshape(4, 2, 6, 2, 3).astype(float).mean(axis=(1, 3))
    np.testing.assert_array_equal(halve(pixels), np.floor(blocks + 0.5).astype(np.uint8))


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


def test_another_thread_is_refused(make) -> None:
    env = make("cartpole-swingup")
    env.reset(seed=0)
    errors: list[BaseException] = []

    def step() -> None:
        try:
            env.step(env.action_space.sample())
        except RenderingError as error:
            errors.append(error)

    thread = threading.Thread(target=step)
    thread.start()
    thread.join()
    if os.environ["MUJOCO_GL"] == "egl":
        assert "another thread" in str(errors[0])


def _step_in_fork(env, queue) -> None:
    try:
        env.step(env.action_space.sample())
    except RenderingError as error:
        queue.put(str(error))
    env.close()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_fork_is_refused_rather_than_left_to_hang(make) -> None:
    env = make("cartpole-swingup")
    env.reset(seed=0)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    process = context.Process(target=_step_in_fork, args=(env, queue))
    process.start()
    assert "forkserver" in queue.get(timeout=30)
    process.join(30)
    assert process.exitcode == 0
    env.step(env.action_space.sample())
