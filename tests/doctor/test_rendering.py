"""Renderers, and what is tried with them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable

import pytest

from core_repr.doctor import rendering
from core_repr.doctor.check import Check
from core_repr.envs import PAPER_TASKS
from core_repr.envs.rendering import trial
from core_repr.envs.rendering.trial import Renderer


def renderers_that_work(*names: str) -> Callable[[str], Renderer]:
    def try_renderer(name: str) -> Renderer:
        if name in names:
            return Renderer(name, 3.0, "llvmpipe")
        return Renderer(name, None, "AttributeError: no such library")

    return try_renderer


def statuses(checks: Iterable[Check]) -> list[str]:
    return [check.status for check in checks]


@pytest.fixture
def linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("MUJOCO_GL", raising=False)


@pytest.mark.usefixtures("linux")
@pytest.mark.parametrize(
    ("working", "expected"),
    [
        (("egl", "osmesa"), ["ok", "ok"]),
        (("egl",), ["ok", "ok"]),
        (("osmesa",), ["ok", "ok"]),
        ((), ["problem", "problem"]),
    ],
)
def test_one_renderer_is_enough(
    monkeypatch: pytest.MonkeyPatch, working: tuple[str, ...], expected: list[str]
) -> None:
    monkeypatch.setattr(rendering, "try_renderer", renderers_that_work(*working))
    checks = list(rendering.renderers())
    assert statuses(checks) == expected
    for check in checks:
        assert ("apt-get install" in check.advice) == (check.status == "problem")


@pytest.mark.usefixtures("linux")
def test_a_renderer_that_mujoco_gl_asks_for_must_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering, "try_renderer", renderers_that_work("egl"))
    monkeypatch.setenv("MUJOCO_GL", "osmesa")
    checks = list(rendering.renderers())
    assert statuses(checks) == ["ok", "problem"]
    assert "unset MUJOCO_GL" in checks[1].advice


@pytest.mark.usefixtures("linux")
@pytest.mark.parametrize(("nvidia", "status"), [(True, "warning"), (False, "ok")])
def test_software_beside_a_gpu(monkeypatch: pytest.MonkeyPatch, nvidia: bool, status: str) -> None:
    monkeypatch.setattr(rendering, "try_renderer", renderers_that_work("egl"))
    monkeypatch.setattr(rendering, "has_nvidia", lambda: nvidia)
    check, _ = rendering.renderers()
    assert check.status == status
    assert ("libnvidia-gl" in check.advice) == nvidia


@pytest.mark.parametrize(
    ("cost", "reason", "status", "words"),
    [
        (4.0, "", "ok", "finger-spin 4 ms"),
        (80.0, "", "warning", "finger-spin 80 ms"),
        (4.0, "ImportError: no EGL", "problem", "7 tasks run, then: ImportError: no EGL"),
    ],
)
def test_what_a_step_costs(
    monkeypatch: pytest.MonkeyPatch, cost: float, reason: str, status: str, words: str
) -> None:
    costs = {**dict.fromkeys(PAPER_TASKS, 4.0), "finger-spin": cost, "full": 60.0}
    monkeypatch.setattr(rendering, "time_steps", lambda: (dict(costs), reason))
    check = rendering.steps()
    assert check.status == status
    assert words in check.found
    assert bool(check.advice) == (status != "ok")


@pytest.mark.parametrize(
    ("script", "status", "words"),
    [
        ("print('compiled 2.13.0')", "ok", "in one process"),
        ("import os; os.kill(os.getpid(), 11)", "problem", "crashed with signal 11"),
        ("raise ImportError('no torch')", "problem", "ImportError: no torch"),
    ],
)
def test_a_frame_and_a_compiled_function(
    monkeypatch: pytest.MonkeyPatch, script: str, status: str, words: str
) -> None:
    monkeypatch.setattr(trial, "_COMPILE", script)
    check = rendering.compiler()
    assert check.status == status and words in check.found
    assert ("triton" in check.advice) == (status == "problem")


@pytest.mark.parametrize(
    ("packages", "names"),
    [
        ((), ["renderer"]),
        (("mujoco",), ["compiler"]),
        (("mujoco", "dm_control"), ["steps", "compiler"]),
    ],
)
def test_what_is_not_installed_is_not_tried(
    monkeypatch: pytest.MonkeyPatch, packages: tuple[str, ...], names: list[str]
) -> None:
    monkeypatch.setattr(rendering, "installed", lambda name: "1.0" if name in packages else None)
    monkeypatch.setattr(rendering, "renderers", lambda: iter(()))
    for name in ("steps", "compiler"):
        monkeypatch.setattr(rendering, name, lambda name=name: Check(name, "ok", ""))
    assert [check.name for check in rendering.findings()] == names
