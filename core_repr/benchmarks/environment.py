"""What the Distracting Control Suite costs: steps, resets, memory; with the bars it should clear.

Rates of different settings are measured in turns, so that all of them see the same load of the
machine, and what a figure says is a median over the turns.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Any

import gymnasium as gym
import numpy as np

from core_repr.benchmarks.report import Figure
from core_repr.envs import PAPER_TASKS

TASK = "cartpole-swingup"
SETTING: dict[str, Any] = {"difficulty": "medium", "dynamic": True, "frame_size": 84}
ENVIRONMENTS = 16
MEGABYTE = 2**20

Progress = Callable[[str], object]


def benchmark_environment(
    rounds: int, cycles: int, progress: Progress = lambda what: None
) -> list[Figure]:
    """Measures everything.

    Args:
        rounds: Turns that each rate is measured in.
        cycles: How often an environment is made, reset and closed to see what stays behind.
        progress: Called with the name of what is measured next, `parts(rounds)` times.

    Returns:
        The figures, in the order in which they are worth reading.
    """
    return [
        *_against_straightforward(rounds, progress),
        *_other_tasks(progress),
        *_two_processes(rounds, progress),
        *_resets(progress),
        *_memory(progress),
        *_cycles(cycles, progress),
    ]


def parts(rounds: int) -> int:
    """Returns how often `benchmark_environment` calls `progress`, at most."""
    return 2 * rounds + len(PAPER_TASKS) - 1 + 4


def _make(task: str, **settings: Any) -> gym.Env[Any, Any]:
    return gym.make(f"distracting_control/{task}-v0", **{**SETTING, **settings})


def _rate(step: Callable[[], object], seconds: float) -> float:
    """Returns how often a second `step` runs."""
    count, start = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < seconds or count == 0:
        step()
        count += 1
    return count / elapsed


def _stepper(env: gym.Env[Any, Any]) -> Callable[[], None]:
    """Returns a function that makes a random step, and a reset where an episode is over."""
    env.action_space.seed(0)
    env.reset(seed=0)

    def step() -> None:
        _, _, terminated, truncated, _ = env.step(env.action_space.sample())
        if terminated or truncated:
            env.reset()

    return step


def _against_straightforward(rounds: int, progress: Progress) -> list[Figure]:
    from core_repr.benchmarks.straightforward import StraightforwardSuite

    env = _make(TASK)
    step = _stepper(env)
    slow = StraightforwardSuite(TASK, SETTING["difficulty"], SETTING["frame_size"])
    slow.reset()
    _rate(step, 1.0)
    rates, slow_rates = [], []
    for _ in range(rounds):
        progress(f"{TASK}, against the straightforward way")
        rates.append(_rate(step, 1.0))
        slow_rates.append(_rate(slow.step, 2.0))
    env.close()
    slow.close()
    ratios = [ours / theirs for ours, theirs in zip(rates, slow_rates, strict=True)]
    return [
        Figure(f"{TASK}, one process", median(rates), "agent steps/s"),
        Figure(f"{TASK}, straightforward, videos read", median(slow_rates), "agent steps/s"),
        Figure(f"{TASK}, times the straightforward way", median(ratios)),
    ]


def _other_tasks(progress: Progress) -> list[Figure]:
    figures = []
    for task in PAPER_TASKS:
        if task != TASK:
            progress(task)
            env = _make(task)
            step = _stepper(env)
            _rate(step, 0.5)
            figures.append(Figure(f"{task}, one process", _rate(step, 2.0), "agent steps/s"))
            env.close()
    return figures


def _two_processes(rounds: int, progress: Progress) -> list[Figure]:
    context = multiprocessing.get_context("spawn")
    workers = []
    for _ in range(2):
        ours, theirs = context.Pipe()
        process = context.Process(target=_step_on_demand, args=(theirs,), daemon=True)
        process.start()
        workers.append((process, ours))
    for _, pipe in workers:
        pipe.recv()
    ratios = []
    for _ in range(rounds):
        progress(f"{TASK}, two processes")
        rates = []
        for asked in (workers[:1], workers):
            for _, pipe in asked:
                pipe.send(1.5)
            rates.append(sum(pipe.recv() for _, pipe in asked))
        ratios.append(rates[1] / rates[0])
    for process, pipe in workers:
        pipe.send(None)
        process.join()
    return [Figure(f"{TASK}, two processes, times one", median(ratios))]


def _step_on_demand(pipe: Connection) -> None:
    """Steps for as many seconds as it is sent and sends the rate, until it is sent None."""
    import core_repr  # noqa: F401  (registers the environments)

    env = _make(TASK)
    step = _stepper(env)
    _rate(step, 1.0)
    pipe.send(None)
    while (seconds := pipe.recv()) is not None:
        pipe.send(_rate(step, seconds))
    env.close()


def _resets(progress: Progress) -> list[Figure]:
    progress("resets")
    env = _make(TASK)
    for index in range(100):
        env.reset(seed=index)  # until every clip was read once
    milliseconds = []
    for _ in range(300):
        start = time.perf_counter()
        env.reset()
        milliseconds.append(1000 * (time.perf_counter() - start))
    env.close()
    half, most = np.percentile(milliseconds, [50, 99]).tolist()
    return [
        Figure("reset with a warm cache, median", half, "ms"),
        Figure("reset with a warm cache, 99th percentile", most, "ms"),
    ]


def _memory(progress: Progress) -> list[Figure]:
    figures = []
    ways = [("sync", "one process")]
    if "fork" in multiprocessing.get_all_start_methods():
        ways.append(("async", f"{ENVIRONMENTS} processes, forked"))
    for mode, where in ways:
        progress(f"memory of {ENVIRONMENTS} environments, {where}")
        bytes_in_all = _in_process(_bytes_of_environments, mode)
        if bytes_in_all is not None:
            name = f"{ENVIRONMENTS} environments with 60 clips, {where}"
            figures.append(Figure(name, bytes_in_all / MEGABYTE, "MiB"))
    return figures


def _bytes_of_environments(mode: str) -> float | None:
    """Returns what environments take in all, what processes share counted once."""
    import core_repr  # noqa: F401  (registers the environments)

    settings = {**SETTING, "difficulty": "hard"}
    env = gym.make_vec(
        f"distracting_control/{TASK}-v0",
        num_envs=ENVIRONMENTS,
        vectorization_mode=mode,
        vector_kwargs={"context": "fork"} if mode == "async" else {},
        **settings,
    )
    env.reset(seed=0)
    for _ in range(20):
        env.reset()
        env.step(env.action_space.sample())
    workers = [process.pid for process in getattr(env, "processes", [])]
    sizes = [_proportional_bytes(pid) for pid in (os.getpid(), *workers)]
    env.close()
    return None if None in sizes else float(sum(filter(None, sizes)))


def _proportional_bytes(pid: int | None, kind: str = "Pss") -> float | None:
    """Returns a process's memory, of what it shares its part; None where Linux does not say.

    With `kind="Private_Dirty"`, what it has written itself: that does not change as other processes
    come and go.
    """
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return None
    return next(1024 * float(line.split()[1]) for line in lines if line.startswith(f"{kind}:"))


def _cycles(cycles: int, progress: Progress) -> list[Figure]:
    progress(f"{cycles} times make, reset, close")
    left = _in_process(_left_behind, cycles)
    if left is None:
        return []
    return [
        Figure(f"memory left by {cycles} make-reset-close cycles", left[0] / MEGABYTE, "MiB"),
        Figure(f"file handles left by {cycles} make-reset-close cycles", left[1]),
    ]


def _left_behind(cycles: int) -> tuple[float, int] | None:
    """Returns the bytes and file handles by which a process grows over many environments."""
    import core_repr  # noqa: F401  (registers the environments)

    def holds() -> tuple[float | None, int]:
        gc.collect()
        handles = Path("/proc/self/fd")
        return _proportional_bytes(os.getpid(), "Private_Dirty"), len(list(handles.iterdir()))

    def cycle(count: int) -> None:
        for index in range(count):
            env = _make(TASK)
            env.reset(seed=index)
            env.close()

    try:
        # The first ones fill what is kept for the next ones: code, free blocks, clips.
        env = _make(TASK)
        for index in range(100):
            env.reset(seed=index)
        env.close()
        cycle(max(10, cycles // 20))
        before, handles = holds()
        cycle(cycles)
        after, handles_after = holds()
    except OSError:
        return None
    return None if before is None or after is None else (after - before, handles_after - handles)


def _in_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """Returns what a function returns in a fresh process."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(theirs, function, arguments))
    process.start()
    theirs.close()
    try:
        return ours.recv()
    finally:
        process.join()


def _send(pipe: Connection, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    pipe.send(function(*arguments))
