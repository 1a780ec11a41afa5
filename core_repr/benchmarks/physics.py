"""A task of the suite with the observation that dm_control gives: the state, without a picture."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from core_repr.envs.distracting_control.simulator import load_task
from core_repr.envs.distracting_control.tasks import TASKS

EPISODE_STEPS = 1_000


class PhysicsEnv(gym.Env[NDArray[np.float32], NDArray[np.float32]]):
    """Positions and velocities of a task, as dm_control itself presents them, in one flat vector.

    Nothing can distract from them: what an agent learns here is what a perfect encoder would
    allow. Rewards, episodes and actions are those of ``distracting_control/<task>-v0``.

    Args:
        task: One of ``core_repr.envs.task_names()``.
        action_repeat: Simulator steps an action is held for.
    """

    def __init__(self, task: str, action_repeat: int) -> None:
        self._suite = load_task(TASKS[task].domain, TASKS[task].task)
        self._repeat = action_repeat
        self._steps = 0
        actions = self._suite.action_spec()
        self.action_space = gym.spaces.Box(
            actions.minimum.astype(np.float32), actions.maximum.astype(np.float32)
        )
        size = sum(int(np.prod(spec.shape)) for spec in self._suite.observation_spec().values())
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (size,))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Starts an episode; the seed fixes its first state and all later ones."""
        super().reset(seed=seed)
        if seed is not None:
            self._suite.task.random.seed(seed)
        self._steps = 0
        return _flat(self._suite.reset().observation), {}

    def step(
        self, action: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Holds an action for ``action_repeat`` simulator steps."""
        total = 0.0
        for _ in range(self._repeat):
            time_step = self._suite.step(action)
            total += time_step.reward
            self._steps += 1
            if self._steps == EPISODE_STEPS:
                break
        truncated = self._steps == EPISODE_STEPS
        return _flat(time_step.observation), total, False, truncated, {}


def _flat(observation: dict[str, Any]) -> NDArray[np.float32]:
    values = [np.ravel(value).astype(np.float32) for value in observation.values()]
    return np.concatenate(values)
