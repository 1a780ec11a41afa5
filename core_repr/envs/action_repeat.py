"""Holds each action for some steps."""

from __future__ import annotations

from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np
from gymnasium.utils import RecordConstructorArgs

from core_repr.envs.checks import require_integer


class ActionRepeat(gym.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """Holds each action for some steps of an environment, and adds up their rewards.

    Where the steps of a simulator are short, neighbouring frames hardly differ; pixel agents learn
    faster when an action is held for 2 to 8 of them. Counts of environment steps, the learner's and
    those of results, include the steps that an action is held for.

    Observation and info are those of the last step. Where an episode ends, so does the holding. Put
    it on before :class:`DistractionWrapper`, which then draws one frame for each action.

    Args:
        env: The environment.
        action_repeat: Steps that an action is held for, at least 1.

    Raises:
        TypeError: If ``action_repeat`` is not an integer.
        ValueError: If it is below 1.

    Example:
        >>> import gymnasium as gym
        >>> from core_repr import ActionRepeat
        >>> env = ActionRepeat(gym.make("Pendulum-v1"), 4)
        >>> _ = env.reset(seed=0)
        >>> observation, reward, terminated, truncated, info = env.step(env.action_space.sample())
    """

    def __init__(self, env: gym.Env[Any, Any], action_repeat: int) -> None:
        self.action_repeat = require_integer("action_repeat", action_repeat)
        RecordConstructorArgs.__init__(self, action_repeat=self.action_repeat)
        gym.Wrapper.__init__(self, env)

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Takes up to ``action_repeat`` steps with the same action."""
        total = 0.0
        for _ in range(self.action_repeat):
            observation, reward, terminated, truncated, info = self.env.step(action)
            # An array of one is one.
            total += np.asarray(reward, np.float64).item()
            if terminated or truncated:
                break
        return observation, total, terminated, truncated, info
