"""Data sets of Minari."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

from core_repr.datasets.episodes import EpisodeDataset, RecordedEpisode

_log = logging.getLogger(__name__)


class MinariEpisodes(EpisodeDataset):
    """A data set of Minari.

    Args:
        folder: Holds ``metadata.json``.
        pixels_key: Name of the frames among the observations; found by itself if there are no
            others like them.

    Raises:
        ModuleNotFoundError: If Minari is missing.
        ValueError: If it is broken, or its actions are not a ``Box``.
    """

    def __init__(self, folder: Path, pixels_key: str | None = None) -> None:
        try:
            from minari import MinariDataset
        except ModuleNotFoundError:
            raise ModuleNotFoundError(
                "Data sets of Minari need its package: pip install 'core-repr[datasets]'."
            ) from None
        try:
            self._dataset = MinariDataset(folder)
            self.name = str(self._dataset.id)
            self.spec = self._dataset.env_spec
        except (ValueError, KeyError, TypeError, OSError, AssertionError) as error:
            raise ValueError(f"{folder} is not a data set of Minari: {error}") from None
        space: Any = self._dataset.observation_space
        if pixels_key is not None and isinstance(space, gym.spaces.Dict):
            # The other cameras are left out.
            kept = {
                key: part
                for key, part in space.spaces.items()
                if key == pixels_key or len(part.shape or ()) == 1
            }
            space = gym.spaces.Dict(kept)
        wrappers = () if self.spec is None else self.spec.additional_wrappers
        if isinstance(space, gym.spaces.Dict) and "CoReWrapper" in {w.name for w in wrappers}:
            # What an earlier model made of the frames is not what a new one is to see.
            kept = {key: part for key, part in space.spaces.items() if key != "latent"}
            space = gym.spaces.Dict(kept)
        self.observation_space = space
        self._keys = list(space.spaces) if isinstance(space, gym.spaces.Dict) else None
        actions = self._dataset.action_space
        if not isinstance(actions, gym.spaces.Box):
            raise ValueError(f"{self.name} has actions of {actions}; expected a bounded Box.")
        self.action_space = actions

    def __len__(self) -> int:
        """Number of episodes."""
        return int(self._dataset.total_episodes)

    def read(self, number: int) -> RecordedEpisode:
        """Reads an episode."""
        (episode,) = self._dataset.iterate_episodes([number])
        observations = episode.observations
        if self._keys is not None:
            observations = {key: np.asarray(observations[key]) for key in self._keys}
        return RecordedEpisode(
            observations,
            np.asarray(episode.actions),
            np.asarray(episode.rewards, np.float64),
            bool(episode.terminations[-1]),
        )
