from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from core_repr.envs import opengl
from core_repr.envs.rendering import RenderingError


def in_fork(work: Callable[[], Any]) -> Any:
    """Returns what `work` returns in a forked process, or the error that it raises."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)

    def run() -> None:
        try:
            theirs.send(work())
        except RenderingError as error:
            theirs.send(error)

    process = context.Process(target=run)
    process.start()
    try:
        assert ours.poll(60), "the forked process hangs"
        return ours.recv()
    finally:
        process.kill()
        process.join()


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


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_software_rendering_goes_on_in_a_fork(make) -> None:
    env = make("cartpole-swingup", difficulty="easy", dynamic=True)
    env.reset(seed=0)
    if not opengl._outlives_fork:
        pytest.skip("this OpenGL has threads or a driver that do not outlive a fork")
    action = env.action_space.sample()

    def inherited() -> np.ndarray:
        frame = env.step(action)[0]
        env.close()
        return frame

    def fresh() -> np.ndarray:
        other = make("cartpole-swingup", difficulty="easy", dynamic=True)
        other.reset(seed=0)
        return other.step(action)[0]

    frames = [in_fork(inherited), in_fork(fresh), env.step(action)[0]]
    np.testing.assert_array_equal(frames[0], frames[2])
    np.testing.assert_array_equal(frames[1], frames[2])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_other_rendering_is_refused_in_a_fork_rather_than_left_to_hang(
    make, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = make("cartpole-swingup")
    env.reset(seed=0)
    monkeypatch.setattr(opengl, "_outlives_fork", False)

    def step() -> None:
        try:
            env.step(env.action_space.sample())
        finally:
            env.close()

    for work in (step, lambda: make("cartpole-swingup").reset()):
        error = in_fork(work)
        assert isinstance(error, RenderingError)
        assert "forkserver" in str(error)
    env.step(env.action_space.sample())


def test_a_driver_with_threads_does_not_outlive_a_fork(
    make, monkeypatch: pytest.MonkeyPatch
) -> None:
    from OpenGL import GL

    make("cartpole-swingup").reset(seed=0)
    monkeypatch.setattr(GL, "glGetString", lambda name: b"NVIDIA H100/PCIe/SSE2")
    assert not opengl._draws_in_calling_thread()
    monkeypatch.setattr(GL, "glGetString", lambda name: b"llvmpipe (LLVM 15.0.6, 256 bits)")
    for thread, calling in (("llvmpipe-0\n", False), ("python\n", True)):
        monkeypatch.setattr(opengl.Path, "read_text", lambda path, thread=thread: thread)
        assert opengl._draws_in_calling_thread() == calling


def test_a_picture_too_large_for_opengl(make) -> None:
    model = make("cartpole-swingup").unwrapped._physics.model.ptr
    model.vis.global_.offheight = model.vis.global_.offwidth = 200_000
    with pytest.raises(RenderingError, match="for a picture of 200000×200000 pixels"):
        opengl.OffscreenContext(model, 200_000, 200_000)
