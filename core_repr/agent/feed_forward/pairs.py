"""Pairs of episodes: the same states and actions, seen through two draws of the distractions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from core_repr.agent.replay import SequenceReplayBuffer
from core_repr.agent.segments import Records
from core_repr.config import CoReConfig
from core_repr.files.json_files import read_json
from core_repr.files.names import MANIFEST_FILE
from core_repr.files.places import user_path
from core_repr.files.writing import finish


class EpisodePairs(SequenceReplayBuffer):
    """Pairs of episodes in files that are mapped into memory.

    Args:
        config: Of the agent that they are for or come from.
        folder: Of the files.

    Attributes:
        source: What they are of, in words.
    """

    def __init__(self, config: CoReConfig, folder: Path) -> None:
        assert config.environment is not None
        side = config.world_model.frame_size
        super().__init__(
            2**62,
            (side, side, 3),
            config.environment.action_size,
            0,
            folder,
            config.environment.proprioception_size,
        )
        environment = config.environment
        self.source = f"{environment.id}, frames of {side} pixels" + (
            f", action repeat {environment.action_repeat}" * (environment.action_repeat > 1)
        )

    @classmethod
    def read(cls, folder: str, config: CoReConfig) -> EpisodePairs:
        """Opens the pairs that ``core-repr pairs`` recorded.

        Args:
            folder: Where it put them.
            config: Of the agent that they are for.

        Raises:
            FileNotFoundError: If the folder or a file of it is missing.
            ValueError: If they are of another environment, or a file is broken.
        """
        if not folder:
            raise ValueError(
                "Policy similarity is learned from pairs of episodes: record them with core-repr "
                "pairs, and name their folder with --agent.similarity.pairs."
            )
        path = user_path(folder)
        pairs = cls(config, path)
        finish(path)
        if not (path / MANIFEST_FILE).is_file():
            raise FileNotFoundError(
                f"{path} holds no pairs of episodes; record them with core-repr pairs."
            )
        found = read_json(path / MANIFEST_FILE).get("pairs_of")
        if found != pairs.source:
            raise ValueError(
                f"The pairs in {path} are of {found}, but the agent learns in {pairs.source}."
            )
        pairs.map()
        return pairs

    def __getitem__(self, index: int) -> tuple[Records, Records]:
        """Returns both episodes of a pair."""
        return self.episodes[2 * index].records, self.episodes[2 * index + 1].records

    def draw(self, rng: np.random.Generator) -> tuple[Records, Records]:
        """Returns a pair, and the one of its episodes first that chance says."""
        pair = self[int(rng.integers(len(self.episodes) // 2))]
        return pair if rng.random() < 0.5 else pair[::-1]

    def _state(self) -> dict[str, Any]:
        return {"pairs_of": self.source}

    def _set_state(self, manifest: dict[str, Any]) -> None:
        """There is nothing to resume."""
