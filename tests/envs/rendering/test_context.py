from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from core_repr.envs.rendering import RenderingError
from core_repr.envs.rendering import context as opengl


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


def in_thread(work: Callable[[], Any]) -> Any:
    """Returns what `work` returns in another thread, or the error that it raises."""
    results: list[Any] = []

    def run() -> None:
        try:
            results.append(work())
        except RenderingError as error:
            results.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return results[0]


needs_egl = pytest.mark.skipif(
    os.environ.get("MUJOCO_GL") != "egl", reason="other platforms do not restore what was current"
)


@needs_egl
def test_an_environment_goes_from_thread_to_thread(make) -> None:
    env, other = (make("cartpole-swingup", difficulty="easy") for _ in range(2))
    env.reset(seed=0)
    other.reset(seed=0)
    action = env.action_space.sample()
    for _ in range(2):
        mine = in_thread(lambda: env.step(action)[0])
        np.testing.assert_array_equal(mine, other.step(action)[0])
    assert in_thread(env.close) is None


@needs_egl
def test_two_threads_at_once_are_refused(make) -> None:
    env = make("cartpole-swingup").unwrapped
    env.reset(seed=0)
    context = env._view._renderers["frame"]._context
    action = env.action_space.sample()
    with context.current():
        assert "another thread" in str(in_thread(lambda: env.step(action)))
    env.step(action)


@needs_egl
def test_dm_control_may_render_in_between(make) -> None:
    from dm_control import suite

    reference = suite.load("cheetah", "run", task_kwargs={"random": 0})
    reference.reset()
    picture = reference.physics.render(48, 64, camera_id=0)
    env, alone = (make("cartpole-swingup", difficulty="easy", dynamic=True) for _ in range(2))
    for seed in range(2):
        frame, _ = env.reset(seed=seed)
        np.testing.assert_array_equal(reference.physics.render(48, 64, camera_id=0), picture)
        np.testing.assert_array_equal(frame, alone.reset(seed=seed)[0])
    reference.physics.free()


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

    env = make("cartpole-swingup").unwrapped
    env.reset(seed=0)
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


@pytest.mark.parametrize(("limit", "refused"), [(0, False), (99, True), (100, False)])
def test_only_an_opengl_that_has_started_says_how_large_a_picture_may_be(
    monkeypatch: pytest.MonkeyPatch, limit: int, refused: bool
) -> None:
    from OpenGL import GL

    monkeypatch.setattr(GL, "glGetIntegerv", lambda name: limit)
    if not refused:
        opengl._check_size(20, 100)
        return
    with pytest.raises(RenderingError, match="at most 99 a side here: take a smaller frame_size"):
        opengl._check_size(20, 100)
