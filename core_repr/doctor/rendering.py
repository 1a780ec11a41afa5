"""OpenGL, and what is tried with it in processes of their own."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

from core_repr.doctor.check import Check
from core_repr.doctor.machine import has_nvidia
from core_repr.doctor.packages import installed
from core_repr.envs.rendering.trial import time_steps, try_compiler, try_renderer

SLOW_STEP = 50.0
"""Milliseconds; ten times what one core took for a step."""


def findings() -> Iterator[Check]:
    """Renderers, what a step costs, and whether rendering and PyTorch's compiler go together."""
    if installed("mujoco") is None:
        yield Check("renderer", "ok", "not tried: MuJoCo is not installed")
        return
    yield from renderers()
    if installed("dm_control") is not None:
        yield steps()
    yield compiler()


def renderers() -> Iterator[Check]:
    """MuJoCo's ways to render off screen, of which one is enough."""
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
            if has_nvidia() and "llvmpipe" in renderer.detail and renderer.name == "egl":
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


def steps() -> Check:
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


def compiler() -> Check:
    """Whether PyTorch's compiler, which optimisers load, works in a process that has rendered."""
    name = "rendering with torch"
    reason = try_compiler()
    if not reason:
        return Check(name, "ok", "a frame and a compiled function in one process")
    return Check(
        name,
        "problem",
        f"a frame and then a compiled function in one process: {reason}",
        "install the CPU build of torch, which brings no triton, or: pip uninstall triton",
    )
