"""What robosuite's door costs: steps and resets, beside robosuite's own pictures."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import gymnasium as gym
import numpy as np

from core_repr.benchmarks.report import Figure
from core_repr.envs.distracting_robosuite.simulator import make_simulator

ROBOTS = ("Panda", "Jaco")
OWN_SIZE, FRAME_SIZE = 256, 144
"""Pixels a side that the paper's code renders, and what it cuts out of them."""

_STEPS, _RESETS = 20, 10

Progress = Callable[[str], object]


def benchmark_robosuite(rounds: int, progress: Progress = lambda what: None) -> list[Figure]:
    """Measures steps with both renderings, steps of robosuite by itself, and resets.

    They take turns, in processor time, so that all of them see the same load of the machine.

    Args:
        rounds: Turns that each is measured in; a figure is the median.
        progress: Called with the name of what is measured next, `parts(rounds)` times.

    Raises:
        gymnasium.error.DependencyNotInstalled: robosuite is missing.
    """
    figures = []
    for robot in ROBOTS:
        fast, full = (_make(robot, rendering) for rendering in ("fast", "full"))
        own = make_simulator("Door", robot, look="1.5", objects=False, picture=OWN_SIZE)
        own.reset()
        ways: dict[str, Callable[[], object]] = {
            "fast": lambda env=fast: env.step(np.zeros(7, np.float32)),  # type: ignore[misc]
            "full": lambda env=full: env.step(np.zeros(7, np.float32)),  # type: ignore[misc]
            "own": lambda simulator=own: simulator.step(np.zeros(7)),  # type: ignore[misc]
            "reset": lambda env=fast: env.reset(),  # type: ignore[misc]
        }
        taken: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(rounds):
            progress(f"Door with {robot}")
            for way, run in ways.items():
                fast.reset()
                full.reset()
                taken[way].append(_milliseconds(run, _RESETS if way == "reset" else _STEPS))
        ratios = [theirs / ours for ours, theirs in zip(taken["fast"], taken["own"], strict=True)]
        figures += [
            Figure(f"{robot}, a step", median(taken["fast"]), "ms"),
            Figure(f"{robot}, a step, rendering full", median(taken["full"]), "ms"),
            Figure(f"{robot}, a step of robosuite with its picture", median(taken["own"]), "ms"),
            Figure(f"{robot}, times robosuite with its picture", median(ratios)),
            Figure(f"{robot}, a distracted reset", median(taken["reset"]), "ms"),
        ]
        fast.close()
        full.close()
        own.close()
    return figures


def parts(rounds: int) -> int:
    """Returns how often `benchmark_robosuite` calls `progress`."""
    return len(ROBOTS) * rounds


def _make(robot: str, rendering: str) -> gym.Env[Any, Any]:
    env = gym.make(
        "distracting_robosuite/Door-v0",
        robot=robot,
        distractions="color-camera",
        rendering=rendering,
        frame_size=FRAME_SIZE,
    )
    env.reset(seed=0)
    return env


def _milliseconds(run: Callable[[], object], times: int) -> float:
    """Returns the processor time that one call takes, the first one aside."""
    run()
    start = time.process_time()
    for _ in range(times):
        run()
    return 1000 * (time.process_time() - start) / times
