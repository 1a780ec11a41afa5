"""The doctor, on machines that lack one thing or another."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from packaging.requirements import Requirement

import core_repr
from core_repr import doctor
from core_repr.doctor import Check
from core_repr.envs import task_names, trial
from core_repr.envs.distracting_control import davis
from core_repr.envs.trial import Renderer


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
    monkeypatch.setattr(doctor, "try_renderer", renderers_that_work(*working))
    checks = list(doctor._renderers())
    assert statuses(checks) == expected
    for check in checks:
        assert ("apt-get install" in check.advice) == (check.status == "problem")


@pytest.mark.usefixtures("linux")
def test_a_renderer_that_mujoco_gl_asks_for_must_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "try_renderer", renderers_that_work("egl"))
    monkeypatch.setenv("MUJOCO_GL", "osmesa")
    checks = list(doctor._renderers())
    assert statuses(checks) == ["ok", "problem"]
    assert "unset MUJOCO_GL" in checks[1].advice


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


@pytest.mark.usefixtures("linux")
@pytest.mark.parametrize(("nvidia", "status"), [(True, "warning"), (False, "ok")])
def test_software_beside_a_gpu(monkeypatch: pytest.MonkeyPatch, nvidia: bool, status: str) -> None:
    monkeypatch.setattr(doctor, "try_renderer", renderers_that_work("egl"))
    monkeypatch.setattr(doctor, "_has_nvidia", lambda: nvidia)
    check, _ = doctor._renderers()
    assert check.status == status
    assert ("libnvidia-gl" in check.advice) == nvidia


@pytest.mark.slow
def test_a_step_of_each_task_is_timed() -> None:
    milliseconds, reason = trial.time_steps()
    assert reason == ""
    assert set(milliseconds) == {*task_names(), "full"}
    assert all(0 < cost < 10_000 for cost in milliseconds.values())


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
    costs = {**dict.fromkeys(task_names(), 4.0), "finger-spin": cost, "full": 60.0}
    monkeypatch.setattr(doctor, "time_steps", lambda: (dict(costs), reason))
    check = doctor._steps()
    assert check.status == status
    assert words in check.found
    assert bool(check.advice) == (status != "ok")


@pytest.mark.parametrize(
    ("requirement", "status"),
    [
        ("mujoco>=3.8.1,<3.9", "ok"),
        ("mujoco>=1000", "problem"),
        ("no-such-distribution>=1", "problem"),
    ],
)
def test_packages_are_held_against_their_range(requirement: str, status: str) -> None:
    check = doctor._package(Requirement(requirement))
    assert check.status == status
    if status == "problem":
        assert check.advice == f"pip install '{Requirement(requirement)}'"


def test_a_mujoco_that_dm_control_cannot_use_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {"mujoco": "4.0.0", "robosuite": None}
    real = doctor._version
    monkeypatch.setattr(doctor, "_version", lambda name: versions.get(name, real(name)))
    problems = {check.name for check in doctor._packages() if check.status == "problem"}
    assert problems == {"mujoco"}


def test_robosuite_needs_an_older_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = {"robosuite": "1.5.2", "h5py": "3.16.0", "numpy": "2.4.6"}
    real = doctor._version
    monkeypatch.setattr(doctor, "_version", lambda name: versions.get(name, real(name)))
    checks = list(doctor._packages())
    assert ("robosuite", "ok") in {(check.name, check.status) for check in checks}
    assert [check.name for check in checks if check.status == "problem"] == ["numpy"]


def test_more_threads_than_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(Path, "exists", lambda path: False)
    monkeypatch.setattr(doctor, "_cores", lambda: 2)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 16)
    assert "OMP_NUM_THREADS=2" in doctor._torch().advice
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    assert doctor._torch().status == "ok"


def test_missing_ffmpeg_is_only_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg")

    def missing() -> str:
        raise RuntimeError("No ffmpeg exe could be found.\nInstall ffmpeg")

    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", missing)
    check = doctor._ffmpeg()
    assert (check.status, check.found) == ("warning", "No ffmpeg exe could be found.")


def test_little_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=1e9))
    monkeypatch.setattr(doctor, "_available_memory", lambda: 1e9)
    assert doctor._disk().status == doctor._memory().status == "warning"
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=1e11))
    monkeypatch.setattr(doctor, "_available_memory", lambda: 1e11)
    assert doctor._disk().status == doctor._memory().status == "ok"


def test_the_zoo_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    monkeypatch.setattr(core_repr, "__file__", str(tmp_path / "__init__.py"))
    assert doctor._zoo().status == "warning"
    model = tmp_path / "zoo" / "pretrained" / "cartpole-swingup-v0"
    model.mkdir(parents=True)
    save_file({"weight": torch.zeros(2)}, model / "model.safetensors")
    assert doctor._zoo() == Check("zoo", "ok", "1 model(s): cartpole-swingup-v0")
    (model / "model.safetensors").write_bytes(b"cut off")
    assert doctor._zoo().status == "problem"


def test_davis_is_optional_and_whole(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setattr(davis, "LENGTHS", {"train": {"bear": 1}, "val": {}})
    assert doctor._davis().status == "ok" and "core-repr download davis" in doctor._davis().found
    davis.list_file(davis.folder(), "train").parent.mkdir(parents=True)
    davis.list_file(davis.folder(), "train").write_text("bear")
    davis.list_file(davis.folder(), "val").write_text("")
    assert doctor._davis().status == "warning" and "bear lacks 1" in doctor._davis().found
    (davis.frames_folder(davis.folder()) / "bear").mkdir(parents=True)
    (davis.frames_folder(davis.folder()) / "bear" / "00000.jpg").touch()
    assert doctor._davis().status == "ok" and str(tmp_path) in doctor._davis().found


def test_the_cache_of_clips(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert doctor._clips().found == f"0.0 GB in {tmp_path / 'core-repr' / 'clips'}"
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=1e8))
    assert doctor._clips().status == "warning"
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert doctor._clips().status == "warning" and "XDG_CACHE_HOME" in doctor._clips().advice


@pytest.mark.parametrize(("status", "code"), [("ok", 0), ("warning", 0), ("problem", 1)])
def test_a_problem_is_the_exit_code(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    status: str,
    code: int,
) -> None:
    check = Check("thing", status, "seen [this]", "do that")  # type: ignore[arg-type]
    monkeypatch.setattr(doctor, "diagnose", lambda: [check])
    assert doctor.main() == code
    printed = capsys.readouterr().out
    assert "seen [this]" in printed and "do that" in printed


def test_importing_the_doctor_loads_nothing_heavy() -> None:
    heavy = ("mujoco", "torch", "stable_baselines3", "matplotlib", "dm_control")
    script = f"import sys, core_repr.doctor; print([n for n in {heavy} if n in sys.modules])"
    process = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert process.stdout.strip() == "[]"
