"""Discrete actions as a Box."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs
from numpy.typing import NDArray


class OneHotAction(gym.ActionWrapper[Any, Any, Any], RecordConstructorArgs):
    """Makes a ``Box`` of discrete actions: a number in [−1, 1] for each, and the largest is taken.

    World models and agents of this package act in a ``Box``.

    Args:
        env: An environment of discrete actions.

    Raises:
        TypeError: If its action space is not ``Discrete``.

    Example:
        >>> import gymnasium as gym
        >>> from core_repr import OneHotAction
        >>> env = OneHotAction(gym.make("CartPole-v1"))
        >>> env.action_space
        Box(-1.0, 1.0, (2,), float32)
        >>> int(env.action([-0.3, 0.2]))
        1
    """

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        discrete = env.action_space
        if not isinstance(discrete, spaces.Discrete):
            raise TypeError(f"OneHotAction takes discrete actions, not {discrete}.")
        RecordConstructorArgs.__init__(self)
        gym.ActionWrapper.__init__(self, env)
        self.action_space = spaces.Box(-1, 1, (int(discrete.n),), np.float32)
        self._first = discrete.start

    def action(self, action: NDArray[np.float32]) -> np.int64:
        """Returns the action whose number is the largest; of equals, the first one."""
        return np.int64(self._first + np.argmax(action))
