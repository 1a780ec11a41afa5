"""Narrower bounds of actions, in the same units."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs
from numpy.typing import NDArray


class ActionBounds(gym.ActionWrapper[Any, Any, Any], RecordConstructorArgs):
    """Gives actions other bounds and leaves their units: an action stays what it is.

    A model of a data set knows the actions between the smallest and the largest that were recorded.
    Within these bounds, an agent learns on from it in an environment that takes more.
    ``gymnasium.wrappers.RescaleAction`` would stretch them to all that the environment takes.

    Args:
        env: An environment whose actions are a ``Box``. What lies beyond its own bounds is clipped
            to them.
        low: Lower bound of each action dimension.
        high: Upper bound of each; where it is the same, the dimension is constant.

    Raises:
        TypeError: If its action space is not a ``Box``.
        ValueError: If it has another number of dimensions, or takes no action between the bounds.

    Example:
        >>> import gymnasium as gym
        >>> from core_repr import ActionBounds
        >>> env = ActionBounds(gym.make("Pendulum-v1"), [-0.5], [1.0])
        >>> env.action_space
        Box(-0.5, 1.0, (1,), float32)
    """

    def __init__(self, env: gym.Env[Any, Any], low: Sequence[float], high: Sequence[float]) -> None:
        box = env.action_space
        if not isinstance(box, spaces.Box):
            raise TypeError(f"ActionBounds takes a Box of continuous actions, not {box}.")
        sizes = np.size(low), np.size(high)
        if sizes != (box.low.size, box.low.size):
            raise ValueError(
                f"ActionBounds has {sizes[0]} lower and {sizes[1]} upper bounds, but the "
                f"environment has {box.low.size} action dimensions; give each dimension one of "
                "both, or take an environment with as many."
            )
        lowest, highest = (np.reshape(bound, box.shape).astype(box.dtype) for bound in (low, high))
        outside = ~((lowest <= highest) & (lowest <= box.high) & (highest >= box.low))
        if outside.any():
            first = int(np.flatnonzero(outside)[0])
            own, asked = (
                f"{bounds[0].flat[first]:g} to {bounds[1].flat[first]:g}"
                for bounds in ((box.low, box.high), (lowest, highest))
            )
            raise ValueError(
                f"ActionBounds would have dimension {first} from {asked}, of which the "
                f"environment, from {own}, takes nothing; give both in the same units."
            )
        RecordConstructorArgs.__init__(
            self, low=np.ravel(low).tolist(), high=np.ravel(high).tolist()
        )
        gym.ActionWrapper.__init__(self, env)
        self.action_space = spaces.Box(lowest, highest, dtype=box.dtype.type)
        self._allowed = box.low, box.high

    def action(self, action: NDArray[Any]) -> NDArray[Any]:
        """Returns the action, within the environment's own bounds."""
        allowed: NDArray[Any] = np.clip(action, *self._allowed)
        return allowed
