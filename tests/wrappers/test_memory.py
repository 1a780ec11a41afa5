from __future__ import annotations

import gc
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from core_repr.world_model import CoReWorldModel
from core_repr.wrappers import CoReVectorWrapper


def resident_bytes() -> int:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


@pytest.mark.slow
def test_a_hundred_thousand_steps_leave_nothing_behind(
    make_pixels: Callable[..., Any], model: CoReWorldModel
) -> None:
    def forgetful() -> Any:
        """The stub keeps its episodes: only the last one, here."""
        env = make_pixels()
        reset = env.unwrapped.reset

        def reset_and_forget(**arguments: Any) -> Any:
            del env.unwrapped.episodes[:]
            return reset(**arguments)

        env.unwrapped.reset = reset_and_forget
        return env

    count = 25
    envs = CoReVectorWrapper(
        SyncVectorEnv([forgetful] * count, autoreset_mode=AutoresetMode.SAME_STEP),
        model,
        features="sample",
        predicted_reward=True,
        keep=["pixels"],
    )
    envs.reset(seed=0)
    actions = np.zeros((count, 2), np.float32)
    for step in range(4_500):
        envs.step(actions)
        if step == 500:
            before = resident_bytes()
    # A kept tensor of 60 bytes a step and environment would show as more than this.
    assert resident_bytes() - before < 4_000_000
