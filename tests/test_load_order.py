"""triton's extension and Mesa's software renderer, in either order; triton is a stand-in here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from core_repr.envs.rendering import select_backend

_RENDER = """
import mujoco
from core_repr.envs.rendering.frame_renderer import FrameRenderer

model = mujoco.MjModel.from_xml_string('<mujoco><worldbody><camera/></worldbody></mujoco>')
data = mujoco.MjData(model)
mujoco.mj_forward(model, data)
FrameRenderer(model, height=8, width=8, aspect=1.0, camera=0).render(data)
"""
# As Gymnasium's environments do, which know nothing of core-repr.
_RENDER_OTHERWISE = """
import mujoco

model = mujoco.MjModel.from_xml_string('<mujoco/>')
with mujoco.Renderer(model, 8, 8) as renderer:
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    renderer.update_scene(data)
    renderer.render()
"""
_TRITON = """
import json, os, pathlib, sys

pathlib.Path(os.environ["SEEN"]).write_text(json.dumps({
    "mesa": "/libLLVM" in pathlib.Path("/proc/self/maps").read_text(),
    "own symbols first": bool(sys.getdlopenflags() & os.RTLD_DEEPBIND),
}))
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is no Mesa")


def run(script: str, folder: Path, triton: str | None) -> dict[str, Any] | None:
    """Runs a script, beside a stand-in for triton; returns what that saw when it was loaded."""
    if triton is not None:
        (folder / "triton.py").write_text(triton)
    path = os.pathsep.join([str(folder), *sys.path])
    select_backend()
    environment = {**os.environ, "PYTHONPATH": path, "SEEN": str(folder / "seen.json")}
    subprocess.run([sys.executable, "-c", script], env=environment, cwd=folder, check=True)
    seen = folder / "seen.json"
    return json.loads(seen.read_text()) if seen.exists() else None


def test_triton_is_loaded_before_the_first_frame(tmp_path: Path) -> None:
    assert run(_RENDER, tmp_path, _TRITON) == {"mesa": False, "own symbols first": False}


@pytest.mark.slow
def test_after_a_frame_triton_keeps_to_its_own_symbols(tmp_path: Path) -> None:
    after = "import sys; flags = sys.getdlopenflags()\nimport core_repr.world_model\n"
    after += "assert sys.getdlopenflags() == flags"
    seen = run(_RENDER_OTHERWISE + after, tmp_path, _TRITON)
    assert seen is not None and seen["own symbols first"] == seen["mesa"]


def test_a_triton_that_does_not_load_stops_nobody(tmp_path: Path) -> None:
    assert run(_RENDER, tmp_path, "raise OSError('libcuda.so.1')") is None


def test_without_triton_nothing_is_loaded(tmp_path: Path) -> None:
    script = "import sys, importlib.util as u; u.find_spec = lambda name: None\n"
    script += "from core_repr.load_order import load_triton; load_triton()\n"
    script += "assert 'triton' not in sys.modules"
    assert run(script, tmp_path, _TRITON) is None
