"""What every data set of recorded episodes gives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, NamedTuple

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec
from jaxtyping import Float, Shaped
from numpy import ndarray

from core_repr.config import DATASET


class RecordedEpisode(NamedTuple):
    """An episode of T steps.

    Attributes:
        observations: T + 1 of them: an array, or a dictionary of arrays.
        actions: In the environment's units.
        rewards: Zeros where none were recorded.
        terminated: Whether it ended by itself, rather than being cut off.
    """

    observations: Any
    actions: Shaped[ndarray, "t ..."]
    rewards: Float[ndarray, " t"]
    terminated: bool


class EpisodeDataset(ABC):
    """Episodes that can be read one after another.

    Attributes:
        name: What to call it.
        observation_space: Of one observation: RGB frames, or a ``Dict`` of them and of flat boxes.
        action_space: A bounded ``Box``.
        spec: Of the environment that they were recorded in, if that is known.
        has_rewards: Whether rewards were recorded.
    """

    name: str
    observation_space: gym.Space[Any]
    action_space: gym.spaces.Box
    spec: EnvSpec | None = None
    has_rewards: bool = True

    @abstractmethod
    def __len__(self) -> int:
        """Number of episodes."""

    @abstractmethod
    def read(self, number: int) -> RecordedEpisode:
        """Reads an episode.

        Args:
            number: From 0 on.

        Raises:
            ValueError: If it is broken.
        """

    def __iter__(self) -> Iterator[RecordedEpisode]:
        """All episodes, in their order."""
        return map(self.read, range(len(self)))


class RecordedEnv(gym.Env[Any, Any]):
    """Stands for the environment of a data set, which cannot be stepped.

    Args:
        dataset: The data set.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012

    def __init__(self, dataset: EpisodeDataset) -> None:
        self.observation_space = dataset.observation_space
        self.action_space = dataset.action_space
        self.spec = dataset.spec
        self.action_repeat = _action_repeat(dataset.spec)
        self._name = dataset.name

    def __str__(self) -> str:
        return f"{DATASET}{self._name}"

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        """Refuses: nothing can be played in a data set."""
        raise NotImplementedError(f"{self} was recorded; no episode can be played in it.")

    def step(self, action: Any) -> Any:
        """Refuses: nothing can be played in a data set."""
        raise NotImplementedError(f"{self} was recorded; no episode can be played in it.")


def _action_repeat(spec: EnvSpec | None) -> int:
    """Simulator steps for each action, where the environment is registered here and can be made."""
    if spec is None or spec.id not in gym.registry:
        return 1
    try:
        # By its id: what the data set says of code to run is not looked at.
        env = gym.make(spec.id, **spec.kwargs)
        repeat = getattr(env.unwrapped, "action_repeat", 1)
        env.close()
    except Exception:
        return 1
    return int(repeat)
