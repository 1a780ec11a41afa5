"""Starts tiny trainings in processes of their own, fast, so that a test can kill them.

Run as a script with the path of a config: each line on standard input is a run's folder and its
number of steps; a process is forked that starts or resumes the run, and its number and
then its end are printed.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import traceback
from dataclasses import replace
from pathlib import Path

import torch

from core_repr.config import CoReConfig
from core_repr.environments import EnvironmentChoice
from core_repr.training import Schedule, callback, resume, train

PIXELS = EnvironmentChoice("core-repr-tests/Pixels-v0", {"frame_size": 16}, {"length": 6}, {})
SCHEDULE = Schedule(
    seed=5,
    evaluation_interval=7,
    evaluation_episodes=1,
    log_interval=3,
    checkpoint_minutes=0,
)


def go(run: Path, config: CoReConfig, env_steps: int) -> int:
    """Trains to the end; returns the exit status."""
    try:
        if (run / "settings.json").exists():
            resume(run, device="cpu")
        else:
            train(PIXELS, config, run, replace(SCHEDULE, env_steps=env_steps), device="cpu")
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def main() -> None:
    path = Path(__file__).with_name("conftest.py")
    spec = importlib.util.spec_from_file_location("pixels", path)
    assert spec is not None and spec.loader is not None
    # It registers the environment.
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    config = CoReConfig.from_json(Path(sys.argv[1]).read_bytes())
    torch.set_num_threads(1)
    # Optimisers import much, and pictures take seconds: every process would wait for both.
    torch.optim.Adam([torch.zeros(1)])
    callback.training_diagnostics = lambda *_: None  # type: ignore[attr-defined]
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            run, env_steps = line.rsplit(maxsplit=1)
            os._exit(go(Path(run), config, int(env_steps)))
        print(child, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
