"""`core-repr doctor`: whether this machine has what the toolkit needs, and what to do if not."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from packaging.requirements import Requirement

import core_repr
from core_repr.envs.distracting_control import clip_cache, davis
from core_repr.envs.trial import time_steps, try_renderer

GIGABYTE = 1e9
SLOW_STEP = 50.0
"""Milliseconds; ten times what one core took for a step."""


@dataclass(frozen=True)
class Check:
    """One finding.

    Args:
        name: what was looked at.
        status: "warning" slows or limits some uses, "problem" prevents them.
        found: what was seen.
        advice: what to do; empty if all is well.
    """

    name: str
    status: Literal["ok", "warning", "problem"]
    found: str
    advice: str = ""


def diagnose() -> list[Check]:
    """Look at everything that the toolkit needs; takes some seconds.

    Returns:
        The findings, in the order in which they are worth reading. None of them raises.
    """
    return [
        Check("Python", "ok", f"{platform.python_version()}, {sys.platform} {platform.machine()}"),
        *_packages(),
        _torch(),
        *_renderers(),
        _steps(),
        _ffmpeg(),
        _disk(),
        _memory(),
        _zoo(),
        _davis(),
        _clips(),
    ]


def main() -> int:
    """Print the findings as a table.

    Returns:
        The exit code: 1 if there is a problem, else 0.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    with console.status("Looking around …"):
        checks = diagnose()
    table = Table("", "what", "found", "to do", box=None, pad_edge=False)
    marks = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "problem": ("✗", "red")}
    for check in checks:
        mark, style = marks[check.status]
        table.add_row(Text(mark, style), check.name, Text(check.found), Text(check.advice, style))
    console.print(table)
    problems = sum(check.status == "problem" for check in checks)
    warnings = sum(check.status == "warning" for check in checks)
    if problems or warnings:
        console.print(f"\n{problems} problem(s), {warnings} warning(s).")
    else:
        console.print("\nAll is well.")
    return 1 if problems else 0


def _packages() -> Iterator[Check]:
    """Each declared dependency against the range that core-repr's own metadata asks for."""
    try:
        declared = [Requirement(line) for line in metadata.requires("core-repr") or []]
        yield Check("core-repr", "ok", core_repr.__version__)
    except metadata.PackageNotFoundError:
        yield Check(
            "core-repr",
            "warning",
            f"{core_repr.__version__}, runs from its sources without being installed",
            "install it: pip install -e . (in the clone)",
        )
        return
    named = ("torch", "gymnasium", "stable-baselines3", "dm_control", "mujoco", "numpy")
    needed = [r for r in declared if r.marker is None or r.marker.evaluate({"extra": ""})]
    others = []
    for requirement in needed:
        check = _package(requirement)
        if requirement.name in named or check.status != "ok":
            yield check
        else:
            others.append(check)
    yield Check("other packages", "ok", f"{len(others)} are there and fit")
    if _version("robosuite") is None:
        yield Check("robosuite", "ok", "not installed (optional: core-repr[robosuite])")
        return
    for requirement in declared:
        marker = requirement.marker
        if marker and requirement not in needed and marker.evaluate({"extra": "robosuite"}):
            check = _package(requirement)
            if requirement.name == "robosuite" or check.status != "ok":
                yield check


def _package(requirement: Requirement) -> Check:
    version = _version(requirement.name)
    wanted = f"{requirement.name}{requirement.specifier}"
    if version is None:
        return Check(requirement.name, "problem", "not installed", f"pip install '{wanted}'")
    if not requirement.specifier.contains(version, prereleases=True):
        return Check(
            requirement.name,
            "problem",
            f"{version}, but core-repr was tested with {requirement.specifier}",
            f"pip install '{wanted}'",
        )
    return Check(requirement.name, "ok", version)


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _torch() -> Check:
    name = "processor"
    try:
        import torch
    except (ImportError, OSError) as error:
        return Check(name, "problem", f"torch does not load: {error}", "install torch anew")
    if torch.cuda.is_available():
        return Check(name, "ok", f"GPU {torch.cuda.get_device_name()}, CUDA {torch.version.cuda}")
    threads, cores = torch.get_num_threads(), _cores()
    found = f"CPU, {cores} core(s), {threads} thread(s), {_bfloat16()}"
    if _has_nvidia():
        return Check(
            name,
            "warning",
            f"{found}; torch {torch.__version__} does not use the NVIDIA GPU",
            "install the CUDA build of torch (pytorch.org/get-started) or a newer driver",
        )
    if threads > cores:
        return Check(
            name,
            "warning",
            found,
            f"more threads than cores slow training down: export OMP_NUM_THREADS={cores}",
        )
    return Check(name, "ok", found)


def _bfloat16() -> str:
    try:
        flags = set(Path("/proc/cpuinfo").read_text().split())
    except OSError:
        return "bfloat16 support unknown"
    if "amx_bf16" in flags:
        return "bfloat16 in hardware (AMX)"
    if flags & {"avx512_bf16", "bf16"}:
        return "bfloat16 in hardware"
    return "no bfloat16 in hardware, so float32 is used"


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _renderers() -> Iterator[Check]:
    if sys.platform != "linux":
        yield Check("renderer", "ok", "the system's own")
        return
    install = {
        "egl": "apt-get install libegl1 libgl1-mesa-dri libgles2",
        "osmesa": "apt-get install libosmesa6",
    }
    renderers = [try_renderer(name) for name in install]
    working = [renderer for renderer in renderers if renderer.milliseconds is not None]
    chosen = os.environ.get("MUJOCO_GL", "").lower()
    for renderer in renderers:
        name = f"renderer {renderer.name}"
        if renderer.milliseconds is not None:
            found = f"{renderer.milliseconds:.1f} ms a small scene ({renderer.detail})"
            if _has_nvidia() and "llvmpipe" in renderer.detail and renderer.name == "egl":
                yield Check(
                    name,
                    "warning",
                    f"{found}: in software, though there is an NVIDIA GPU",
                    "install the driver's EGL (libnvidia-gl; in a container, run it with "
                    "NVIDIA_DRIVER_CAPABILITIES=all), or leave it: small frames take few ms",
                )
            else:
                yield Check(name, "ok", found)
        elif not working:
            yield Check(name, "problem", renderer.detail, install[renderer.name])
        elif renderer.name == chosen:
            yield Check(
                name,
                "problem",
                f"MUJOCO_GL asks for it, but: {renderer.detail}",
                f"unset MUJOCO_GL, or {install[renderer.name]}",
            )
        else:
            yield Check(name, "ok", "not there, not needed")


def _steps() -> Check:
    """What a step of each task costs, with the renderer that the environments choose."""
    name = "a step of an environment"
    milliseconds, reason = time_steps()
    if reason:
        return Check(
            name,
            "problem",
            f"{len(milliseconds)} tasks run, then: {reason}",
            "see to the problems above; if there are none, report this with the output of doctor",
        )
    full = milliseconds.pop("full")
    slowest = max(milliseconds, key=lambda task: milliseconds[task])
    costs = ", ".join(f"{task} {cost:.0f} ms" for task, cost in milliseconds.items())
    found = f"{costs} (84-pixel frames, medium); cartpole-swingup with rendering='full' {full:.0f}"
    if milliseconds[slowest] > SLOW_STEP:
        return Check(
            name,
            "warning",
            found,
            "slow: is the machine busy, or LP_NUM_THREADS set? Unset it, or use fewer processes",
        )
    return Check(name, "ok", found)


def _has_nvidia() -> bool:
    return Path("/dev/nvidiactl").exists()


def _ffmpeg() -> Check:
    advice = "only videos need it: pip install imageio-ffmpeg, or apt-get install ffmpeg"
    try:
        import imageio_ffmpeg

        path = imageio_ffmpeg.get_ffmpeg_exe()
        encoders = subprocess.run(
            [path, "-hide_banner", "-encoders"], capture_output=True, text=True, timeout=30
        )
    except (ImportError, RuntimeError, OSError, subprocess.TimeoutExpired) as error:
        return Check("ffmpeg", "warning", str(error).splitlines()[0], advice)
    if "libx264" not in encoders.stdout:
        return Check("ffmpeg", "warning", f"{path} knows no H.264 (libx264)", advice)
    return Check("ffmpeg", "ok", imageio_ffmpeg.get_ffmpeg_version())


def _disk() -> Check:
    folder = Path.cwd()
    free = shutil.disk_usage(folder).free / GIGABYTE
    found = f"{free:.0f} GB free in {folder}"
    if free < 5:
        return Check(
            "disk", "warning", found, "a training run with its replay takes up to 5 GB: make room"
        )
    return Check("disk", "ok", found)


def _memory() -> Check:
    available = _available_memory()
    if available is None:
        return Check("memory", "ok", "unknown on this system")
    found = f"{available / GIGABYTE:.1f} GB available"
    if available < 6 * GIGABYTE:
        return Check(
            "memory",
            "warning",
            found,
            "100,000 frames of 100×100 in the replay take 3 GB: choose a smaller replay",
        )
    return Check("memory", "ok", found)


def _available_memory() -> float | None:
    """Bytes that a new process may take, in a container no more than its limit leaves."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    fields = dict(line.split(":", 1) for line in lines)
    available = float(fields["MemAvailable"].split()[0]) * 1024
    group = Path("/sys/fs/cgroup")
    try:
        limit = float((group / "memory.max").read_text())
        used = float((group / "memory.current").read_text())
    except (OSError, ValueError):  # no such limit, or "max"
        return available
    return min(available, limit - used)


def _zoo() -> Check:
    from safetensors import SafetensorError, safe_open

    folder = Path(core_repr.__file__).parent / "zoo" / "pretrained"
    models = sorted({weights.parent for weights in folder.glob("*/*.safetensors")})
    advice = "install core-repr anew: its pretrained models are part of it"
    if not models:
        return Check("zoo", "warning", f"no pretrained model in {folder}", advice)
    for model in models:
        for weights in model.glob("*.safetensors"):
            try:
                safe_open(weights, framework="pt").keys()
            except (SafetensorError, OSError) as error:
                return Check("zoo", "problem", f"{weights} cannot be read: {error}", advice)
    return Check("zoo", "ok", f"{len(models)} model(s): {', '.join(m.name for m in models)}")


def _davis() -> Check:
    name = "DAVIS videos"
    try:
        folder = davis.folder()
        if not folder.exists():
            found = "not there (optional: core-repr download davis)"
            return Check(name, "ok", found)
        problems = davis.problems(folder)
    except OSError as error:
        return Check(name, "warning", str(error), 'backgrounds="procedural" needs none of it')
    if problems:
        advice = f"rm -r {folder}, then core-repr download davis"
        return Check(name, "warning", f"{folder}: {problems[0]}", advice)
    return Check(name, "ok", f"all 90 in {folder}")


def _clips() -> Check:
    name = "cache of clips"
    try:
        folder = clip_cache.folder()
        folder.mkdir(parents=True, exist_ok=True)
        size = sum(path.stat().st_size for path in folder.iterdir()) / GIGABYTE
    except OSError as error:
        advice = "set XDG_CACHE_HOME to a folder that can be written"
        return Check(name, "warning", str(error), advice)
    found = f"{size:.1f} GB in {folder}"
    if not os.access(folder, os.W_OK):
        advice = "make it writable, or set XDG_CACHE_HOME to a folder that is"
        return Check(name, "warning", f"{found}, which cannot be written", advice)
    if shutil.disk_usage(folder).free < GIGABYTE:
        return Check(name, "warning", f"{found}, with less than 1 GB free", "make room there")
    return Check(name, "ok", found)
