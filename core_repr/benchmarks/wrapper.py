"""What the wrappers add to a step of an environment, beside a frozen ResNet-18 at 224 × 224."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.vec_env import DummyVecEnv

from core_repr.benchmarks.report import Figure
from core_repr.benchmarks.resnet import RESNET_SIDE, resnet18
from core_repr.config import PRESETS, EnvironmentConfig
from core_repr.world_model import CoReWorldModel
from core_repr.wrappers import CoReVectorWrapper, CoReWrapper
from core_repr.wrappers.latent_tracker import torch_threads
from core_repr.wrappers.vec_env_wrapper import CoReVecEnvWrapper

ACTION_SIZE = 6
STEPS = 20
"""Steps that are timed at once."""


class StillEnv(gym.Env[Any, Any]):
    """One frame of noise, over and over: all but the wrapper costs next to nothing.

    Args:
        side: Side of the frame in pixels.
    """

    def __init__(self, side: int) -> None:
        self.observation_space = spaces.Box(0, 255, (side, side, 3), np.uint8)
        self.action_space = spaces.Box(-1, 1, (ACTION_SIZE,), np.float32)
        self._frame = self.observation_space.sample()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Starts an episode, which never ends."""
        super().reset(seed=seed)
        return self._frame, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Returns the frame."""
        return self._frame, 0.0, False, False, {}


def benchmark_wrapper(
    preset: str,
    environments: int,
    rounds: int,
    threads: int,
    progress: Callable[[], object] = lambda: None,
) -> list[Figure]:
    """Measures what the wrappers cost, and what a ResNet-18 costs in their place.

    Every round times each part once, so that all of them see the same load of the machine; of
    each, the fastest round counts, in which others disturbed it least.

    Args:
        preset: Name of the preset; its weights are random.
        environments: How many are in a batch.
        rounds: How many rounds.
        threads: Of the wrappers and of the ResNet-18.
        progress: Called after each round.

    Returns:
        Milliseconds that are added to a step, by environment, and how much more the ResNet-18
        takes for the same frames.
    """
    config = PRESETS[preset]()
    environment = EnvironmentConfig("none-v0", {}, (-1.0,) * ACTION_SIZE, (1.0,) * ACTION_SIZE)
    model = CoReWorldModel(config.replace(environment=environment))
    side = config.world_model.frame_size

    def still() -> StillEnv:
        return StillEnv(side)

    many = [still] * environments
    actions = np.zeros((environments, ACTION_SIZE), np.float32)
    envs: dict[str, tuple[Any, Any, Any]] = {
        "CoReWrapper": (still(), CoReWrapper(still(), model, threads=threads), actions[0]),
        "CoReVectorWrapper": (
            gym.vector.SyncVectorEnv(many),
            CoReVectorWrapper(gym.vector.SyncVectorEnv(many), model, threads=threads),
            actions,
        ),
        "CoReVecEnvWrapper": (
            DummyVecEnv([*many]),
            CoReVecEnvWrapper(DummyVecEnv([*many]), model, threads=threads),
            actions,
        ),
    }
    tasks: dict[str, Callable[[], object]] = {}
    for name, (bare, wrapped, action) in envs.items():
        bare.reset()
        wrapped.reset()
        tasks[f"bare {name}"] = partial(bare.step, action)
        tasks[name] = partial(wrapped.step, action)
    network = resnet18().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    frames = torch.randn(environments, 3, RESNET_SIDE, RESNET_SIDE)
    frames = frames.contiguous(memory_format=torch.channels_last)
    for size in {1, environments}:
        tasks[f"ResNet of {size}"] = partial(network, frames[:size])

    seconds: dict[str, float] = {}
    with torch_threads(threads), torch.inference_mode():
        for _ in range(rounds):
            for name, task in tasks.items():
                once = _seconds(task, 1 if name.startswith("ResNet") else STEPS)
                seconds[name] = min(once, seconds.get(name, once))
            progress()

    figures = []
    for name in envs:
        size = 1 if name == "CoReWrapper" else environments
        own = 1e3 * (seconds[name] - seconds[f"bare {name}"]) / size
        other = 1e3 * seconds[f"ResNet of {size}"] / size
        batch = "1 environment" if size == 1 else f"each of {size} environments"
        figures += [
            Figure(f"{name}, {batch}", own, "ms/step"),
            Figure(f"ResNet-18 at {RESNET_SIDE} × {RESNET_SIDE}, the same", other, "ms/step"),
            Figure("ResNet-18 takes so many times as long", other / own),
        ]
    return figures


def _seconds(task: Callable[[], object], times: int) -> float:
    """Returns how long a task takes once."""
    start = time.perf_counter()
    for _ in range(times):
        task()
    return (time.perf_counter() - start) / times
