"""Trials of rendering, which may crash or hang."""

from __future__ import annotations

import pytest

from core_repr.envs import PAPER_TASKS
from core_repr.envs.rendering import trial
from core_repr.envs.rendering.trial import Renderer


@pytest.mark.parametrize(
    ("script", "detail"),
    [
        ("print('rendered 2.5 llvmpipe (LLVM 15)')", "llvmpipe (LLVM 15)"),
        ("raise ImportError('no EGL')", "ImportError: no EGL"),
        ("import os; os.kill(os.getpid(), 11)", "crashed with signal 11"),
        ("import time; time.sleep(60)", "no frame after 1 seconds"),
        ("raise SystemExit(3)", "exit code 3"),
    ],
)
def test_a_renderer_may_crash_or_hang(
    monkeypatch: pytest.MonkeyPatch, script: str, detail: str
) -> None:
    monkeypatch.setattr(trial, "_RENDER", script)
    renderer = trial.try_renderer("egl", timeout=1.0 if "sleep" in script else 60.0)
    assert renderer == Renderer("egl", 2.5 if "llvmpipe" in detail else None, detail)


def test_a_renderer_is_timed() -> None:
    renderers = [trial.try_renderer(name) for name in ("egl", "osmesa")]
    working = [renderer for renderer in renderers if renderer.milliseconds is not None]
    assert working, renderers
    assert all(0 < renderer.milliseconds < 10_000 for renderer in working)


@pytest.mark.slow
def test_a_step_of_each_task_is_timed() -> None:
    milliseconds, reason = trial.time_steps()
    assert reason == ""
    assert set(milliseconds) == {*PAPER_TASKS, "full"}
    assert all(0 < cost < 10_000 for cost in milliseconds.values())


@pytest.mark.slow
def test_a_frame_and_a_compiled_function_in_one_process() -> None:
    assert trial.try_compiler() == ""
