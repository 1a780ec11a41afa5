"""Episodes of a training: seeds that depend on nothing that happened before, and their length."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec


def episode_seed(seed: int, environment: int, episode: int) -> int:
    """Returns the seed of an episode.

    Args:
        seed: The run's.
        environment: Index of the environment.
        episode: Number of the episode in this environment.
    """
    return int(np.random.SeedSequence((seed, environment, episode)).generate_state(1)[0])


class TrainingEpisodes(gym.Wrapper[Any, Any, Any, Any]):
    """Resets an environment with :func:`episode_seed`, whatever seed it is reset with.

    A training that resumes at episode n sees the same episodes as one that never stopped.

    Args:
        env: One environment.
        seed: The run's.
        steps: Agent steps after which an episode is truncated; ``None`` for as many as there are.
        index: Index of the environment.

    Attributes:
        episode: Number of the next episode.
    """

    def __init__(
        self, env: gym.Env[Any, Any], seed: int, steps: int | None = None, index: int = 0
    ) -> None:
        super().__init__(env if steps is None else gym.wrappers.TimeLimit(env, steps))
        self.seed, self.index = seed, index
        self.episode = 0
        self._spec = env.spec

    @property
    def spec(self) -> EnvSpec | None:  # type: ignore[override]
        """The environment's own: what is trained in short episodes acts in whole ones."""
        return self._spec

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Starts the next episode."""
        own_seed = episode_seed(self.seed, self.index, self.episode)
        self.episode += 1
        return self.env.reset(seed=own_seed, options=options)
