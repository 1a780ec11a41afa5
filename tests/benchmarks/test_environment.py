from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from core_repr.benchmarks import environment
from core_repr.benchmarks.report import Figure
from core_repr.benchmarks.straightforward import StraightforwardSuite
from core_repr.envs import PAPER_TASKS


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(environment, "SETTING", {**environment.SETTING, "frame_size": 8})


@pytest.mark.parametrize("task", ["finger-spin", "reacher-easy"])
def test_the_straightforward_way_shows_the_video_behind_the_task(task: str) -> None:
    suite = StraightforwardSuite(task, "medium", 40)
    suite._video[0], suite._video[1:] = (200, 0, 0), (0, 0, 200)
    first, second = suite.reset().astype(int), suite.step().astype(int)
    suite.close()
    assert first.shape == second.shape == (40, 40, 3)
    # The video, not the suite's own sky, and at each step another frame of it.
    assert (np.abs(first - [200, 0, 0]).max(axis=-1) < 5).mean() > 0.3
    assert (np.abs(second - [0, 0, 200]).max(axis=-1) < 5).mean() > 0.3


def test_steps_go_on_through_the_end_of_an_episode() -> None:
    env = environment._make("cartpole-swingup", action_repeat=500)
    step = environment._stepper(env)
    for _ in range(5):
        step()
    env.close()


def test_memory_of_a_process() -> None:
    if environment._proportional_bytes(os.getpid()) is None:
        pytest.skip("Linux tells, others do not")
    # A process of its own: what this one holds changes as tests come and go.
    script = """
import os
import numpy as np
from core_repr.benchmarks.environment import MEGABYTE, _proportional_bytes

before = _proportional_bytes(os.getpid())
ballast = np.ones(64 * MEGABYTE, np.uint8)
print((_proportional_bytes(os.getpid()) - before) / MEGABYTE)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert float(done.stdout) == pytest.approx(64, rel=0.1)
    assert environment._proportional_bytes(2**22 + 1) is None


@pytest.mark.slow
def test_everything_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "ENVIRONMENTS", 2)
    seen: list[str] = []
    figures = environment.benchmark_environment(1, 3, seen.append)
    assert len(seen) == environment.parts(1)
    assert len(figures) == 15 and not [
        n for n, c in Counter(f.name for f in figures).items() if c > 1
    ]
    assert {name for name in PAPER_TASKS if any(name in f.name for f in figures)} == {*PAPER_TASKS}
    assert all(isinstance(figure, Figure) and np.isfinite(figure.value) for figure in figures)
