"""The machine: processor, GPU, disk, memory, ffmpeg."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from core_repr.doctor.check import Check

GIGABYTE = 1e9


def processor() -> Check:
    """Where torch computes."""
    name = "processor"
    try:
        import torch
    except (ImportError, OSError) as error:
        return Check(name, "problem", f"torch does not load: {error}", "install torch anew")
    if torch.cuda.is_available():
        return Check(name, "ok", f"GPU {torch.cuda.get_device_name()}, CUDA {torch.version.cuda}")
    threads, cores = torch.get_num_threads(), _cores()
    found = f"CPU, {cores} core(s), {threads} thread(s), {_bfloat16()}"
    if has_nvidia():
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


def has_nvidia() -> bool:
    """Whether there is an NVIDIA GPU with its driver."""
    return Path("/dev/nvidiactl").exists()


def ffmpeg() -> Check:
    """What writes videos."""
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


def disk() -> Check:
    """Room in the working directory."""
    folder = Path.cwd()
    free = shutil.disk_usage(folder).free / GIGABYTE
    found = f"{free:.0f} GB free in {folder}"
    if free < 5:
        return Check(
            "disk", "warning", found, "a training run with its replay takes up to 5 GB: make room"
        )
    return Check("disk", "ok", found)


def memory() -> Check:
    """Room for a replay buffer."""
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
