"""What wrappers have in common whose distractions move on while an episode runs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import gymnasium
from gymnasium.utils import RecordConstructorArgs

from core_repr.envs.streams import Streams, pop_distraction_seed

MOVES_A_SECOND = 30
"""How often distractions move on in a second of simulated time, as the frames of a video do."""


class MovingDistractions(gymnasium.Wrapper[Any, Any, Any, Any], RecordConstructorArgs):
    """A wrapper whose distractions follow the environment's own time.

    Attributes:
        distractions: What disturbs the view, by name.
    """

    distractions: Mapping[str, Any]
    _has_state = False

    def __init__(self, env: gymnasium.Env[Any, Any], **arguments: Any) -> None:
        RecordConstructorArgs.__init__(self, **arguments)
        gymnasium.Wrapper.__init__(self, env)
        self._streams = Streams()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Starts an episode.

        Args:
            seed: Fixes the environment's start, the distractions and all that follows; None
                continues with the random numbers that there are.
            options: Those of the environment. With `{"distraction_seed": n}`, the distractions
                follow from n alone.

        Returns:
            The first observation and the information.

        Raises:
            TypeError: The seed of the distractions is not an integer.
            ValueError: It is negative, or a clip cannot be decoded.
        """
        alone, options = pop_distraction_seed(options)
        self._has_state = False
        observation, info = self.env.reset(seed=seed, options=options)
        self._start()
        for name, rng in self._streams.draw(seed, alone).items():
            if name in self.distractions:
                self.distractions[name].reset(rng)
        self._moves = 0
        self._has_state = True
        return self._observe(observation, info)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Takes a step of the environment and moves the distractions on.

        Raises:
            gymnasium.error.ResetNeeded: No episode was started.
        """
        if not self._has_state:
            raise gymnasium.error.ResetNeeded("There is no step to make: call reset().")
        observation, reward, terminated, truncated, info = self.env.step(action)
        due = int(self._seconds() * MOVES_A_SECOND + 1e-6)
        for _ in range(self._moves, due):
            for distraction in self.distractions.values():
                distraction.step()
        self._moves = max(self._moves, due)
        observation, info = self._observe(observation, info)
        return observation, reward, terminated, truncated, info

    @abstractmethod
    def _start(self) -> None:
        """Sees that the environment has been reset."""

    @abstractmethod
    def _seconds(self) -> float:
        """Returns the time since then, after a further step."""

    @abstractmethod
    def _observe(self, observation: Any, info: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """Returns the environment's observation and information, disturbed."""
