"""Trials of rendering, each in a process of its own, which may crash or hang."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass

# Drawn as the environments draw: without shadow map and multisampling, the slow part in software.
_RENDER = """
import time
import mujoco
from OpenGL import GL

model = mujoco.MjModel.from_xml_string(
    '<mujoco><visual><quality shadowsize="0" offsamples="0"/></visual><worldbody>'
    '<light pos="0 0 3"/><geom type="plane" size="2 2 .1"/>'
    '<geom type="sphere" size=".3" pos="0 0 .3" rgba="1 0 0 1"/></worldbody></mujoco>'
)
data = mujoco.MjData(model)
mujoco.mj_forward(model, data)
with mujoco.Renderer(model, 84, 84) as renderer:
    renderer.update_scene(data)
    assert renderer.render().std() > 0, "the picture is empty"
    start = time.perf_counter()
    for _ in range(20):
        renderer.render()
    milliseconds = (time.perf_counter() - start) * 1000 / 20
    print("rendered", milliseconds, GL.glGetString(GL.GL_RENDERER).decode(), flush=True)
"""

# The clip's drawing belongs to a frame of the fast rendering; in full, it would have to be made in
# another size first, and costs little.
_STEP = """
import time
import gymnasium
import core_repr
from core_repr.envs import PAPER_TASKS

def milliseconds(task, **settings):
    env = gymnasium.make(
        f"distracting_control/{task}-v0",
        difficulty="medium", dynamic=True, num_videos=1, frame_size=84, **settings
    )
    env.reset(seed=0)
    env.step(env.action_space.sample())
    start = time.perf_counter()
    for _ in range(10):
        env.step(env.action_space.sample())
    env.close()
    return (time.perf_counter() - start) * 1000 / 10

for task in PAPER_TASKS:
    print("stepped", milliseconds(task), task, flush=True)
print("stepped", milliseconds("cartpole-swingup", rendering="full", background=False), "full")
"""

_COMPILE = """
import mujoco
from core_repr.envs.rendering.frame_renderer import FrameRenderer

model = mujoco.MjModel.from_xml_string(
    '<mujoco><worldbody><light pos="0 0 3"/><geom size=".3"/><camera pos="0 0 2"/></worldbody>'
    '</mujoco>'
)
data = mujoco.MjData(model)
mujoco.mj_forward(model, data)
renderer = FrameRenderer(model, height=84, width=84, aspect=1.0, camera=0)
assert renderer.render(data).std() > 0, "the picture is empty"

import torch

# Dynamo loads all that may clash with OpenGL; without a backend no C++ compiler is needed.
assert torch.compile(lambda x: x + 1, backend="eager")(torch.ones(1)) == 2
print("compiled", torch.__version__, flush=True)
"""


@dataclass(frozen=True)
class Renderer:
    """How one off-screen renderer did.

    Attributes:
        name: The value of MUJOCO_GL that selects it, "egl" or "osmesa".
        milliseconds: Time for one 84×84 frame of a small scene; None if it does not work.
        detail: The device that renders, or why it does not work.
    """

    name: str
    milliseconds: float | None
    detail: str


def try_renderer(name: str, timeout: float = 60.0) -> Renderer:
    """Renders a small scene with MuJoCo.

    Args:
        name: A value of MUJOCO_GL, "egl" or "osmesa".
        timeout: Seconds until it counts as hanging.
    """
    environment = {key: value for key, value in os.environ.items() if key != "PYOPENGL_PLATFORM"}
    lines, reason = _said(_RENDER, "rendered", timeout, {**environment, "MUJOCO_GL": name})
    for line in lines:
        milliseconds, device = line.split(" ", 1)
        return Renderer(name, float(milliseconds), device)
    return Renderer(name, None, reason)


def time_steps(timeout: float = 120.0) -> tuple[dict[str, float], str]:
    """Times a step of each task of the Distracting Control Suite, action repeat included.

    Args:
        timeout: Seconds until it counts as hanging.

    Returns:
        Milliseconds for each task, at level medium, with 84-pixel frames, and as "full" for
        cartpole-swingup in full rendering; and why tasks are missing, or "".
    """
    lines, reason = _said(_STEP, "stepped", timeout, dict(os.environ))
    steps = (line.split(" ", 1) for line in lines)
    return {task: float(milliseconds) for milliseconds, task in steps}, reason


def try_compiler(timeout: float = 120.0) -> str:
    """Renders a frame, and then compiles a function with PyTorch, in one process.

    Args:
        timeout: Seconds until it counts as hanging.

    Returns:
        Why it failed, or "".
    """
    return _said(_COMPILE, "compiled", timeout, dict(os.environ))[1]


def _said(
    script: str, word: str, timeout: float, environment: dict[str, str]
) -> tuple[list[str], str]:
    """Runs a script.

    Returns:
        What follows a word in the lines that it printed; and why it failed, or "".
    """
    # As the environments choose, see `core_repr.envs.rendering.select_backend`.
    environment = {"LP_NUM_THREADS": "0", **environment}
    try:
        process = subprocess.run(
            [sys.executable, "-c", script],
            env=environment,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
    except subprocess.TimeoutExpired:
        return [], f"no frame after {timeout:.0f} seconds"
    printed = process.stdout.splitlines()
    lines = [line.removeprefix(f"{word} ") for line in printed if line.startswith(f"{word} ")]
    if process.returncode == 0:
        return lines, ""
    if process.returncode < 0:
        return lines, f"crashed with signal {-process.returncode}"
    # What MuJoCo says while it cleans up after the failure is not the reason.
    errors = [line for line in process.stderr.splitlines() if line[:1].isalpha() and ": " in line]
    reasons = [line for line in errors if not line.startswith("Exception ignored")]
    return lines, reasons[0] if reasons else f"exit code {process.returncode}"
