"""A replay buffer of whole episodes that keeps each frame once and samples sequences."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from core_repr.agent.episode_store import EpisodeStore
from core_repr.world_model import SequenceBatch

NO_PROPRIOCEPTION = np.zeros(0, np.float32)


Step = tuple[NDArray[np.uint8], NDArray[np.float32], float, NDArray[np.float32]]


class SequenceReplayBuffer(EpisodeStore):
    """Keeps the newest episodes; an episode of n steps takes n + 1 slots.

    Steps are staged for each environment and stored when their episode ends, so that several
    environments can fill one buffer. The oldest episodes give way to new ones.

    Args:
        size: Slots, each for one frame and the action, reward and termination that follow it.
        frame_shape: ``(height, width, 3)``; frames are uint8 and square.
        action_size: Number of action dimensions; actions are stored in [−1, 1].
        seed: Seeds the choice of sequences.
        folder: For the files of the segments; ``None`` keeps all in memory.
        proprioception_size: Number of values beside each frame.
    """

    def __init__(
        self,
        size: int,
        frame_shape: tuple[int, ...],
        action_size: int,
        seed: int | None = None,
        folder: Path | None = None,
        proprioception_size: int = 0,
    ) -> None:
        self.proprioception_size = proprioception_size
        dtype = np.dtype(
            [
                ("frame", np.uint8, tuple(frame_shape)),
                ("proprioception", np.float32, (proprioception_size,)),
                ("action", np.float32, (action_size,)),
                ("reward", np.float32),
                ("terminated", np.bool_),
            ]
        )
        super().__init__(dtype, size, folder)
        self.rng = np.random.default_rng(seed)
        self._staged: defaultdict[int, list[Step]] = defaultdict(list)

    def add(
        self,
        env: int,
        frame: NDArray[np.uint8],
        action: NDArray[np.float32],
        reward: float,
        proprioception: NDArray[np.float32] = NO_PROPRIOCEPTION,
    ) -> None:
        """Stages one step of an environment.

        Args:
            env: Index of the environment.
            frame: The frame that was acted upon.
            action: Action in [−1, 1].
            reward: Reward that followed.
            proprioception: What came with the frame.

        Raises:
            ValueError: If the episode is larger than the buffer.
        """
        steps = self._staged[env]
        steps.append((np.array(frame), np.array(action, np.float32), float(reward), proprioception))
        if len(steps) + 1 > self.size:
            raise ValueError(
                f"An episode of {len(steps)} steps or more does not fit a replay buffer of "
                f"{self.size}; raise agent.replay_size or limit the episode with max_episode_steps."
            )

    def end_episode(
        self,
        env: int,
        last_frame: NDArray[np.uint8],
        last_proprioception: NDArray[np.float32] = NO_PROPRIOCEPTION,
        *,
        terminated: bool,
    ) -> None:
        """Stores the staged steps of an environment as an episode.

        Args:
            env: Index of the environment.
            last_frame: The frame after the last step.
            last_proprioception: What came with it.
            terminated: Whether the episode terminated, rather than being cut off.

        Raises:
            FileExistsError: If the folder holds the files of another buffer.
            OSError: If the disk is full.
        """
        steps = self._staged.pop(env)
        records = np.zeros(len(steps) + 1, self.dtype)
        for record, (frame, action, reward, proprioception) in zip(records, steps, strict=False):
            record["frame"], record["action"], record["reward"] = frame, action, reward
            record["proprioception"] = proprioception
        records[-1]["frame"] = last_frame
        records[-1]["proprioception"] = last_proprioception
        records[-2]["terminated"] = terminated
        self.append(records)

    def discard_staged(self) -> None:
        """Forgets the steps of unfinished episodes, for environments that are reset."""
        self._staged.clear()

    def sample(self, batch_size: int, length: int, lead: int = 0) -> SequenceBatch:
        """Samples sequences of frames, their starts uniform inside the episodes.

        Of an episode that terminated, a sequence that starts too late to be whole is moved to its
        end: what it terminated in, which is to be learned, comes as often as what is in its
        middle. After an episode that is too short, others follow in the same sequence.

        Args:
            batch_size: Number of sequences B.
            length: Frames in a sequence T.
            lead: So many frames at the start of a sequence may lie before its episode: the
                episode's first frame stands for them, and they are masked. A short episode is
                then padded and masked.

        Returns:
            A batch on the CPU, with whole frames.

        Raises:
            ValueError: If there is no finished episode yet.
        """
        if not self.episodes:
            raise ValueError("The replay buffer holds no finished episode to sample from.")
        starts = np.array([max(1, episode.length - length + 1 + lead) for episode in self.episodes])
        # A step in the middle of an episode is in so many sequences; one at the end is in a single.
        to_move = length - 2 - lead
        draws = starts + [
            to_move if episode.terminated or episode.length < length else 0
            for episode in self.episodes
        ]
        chosen = self._choose(draws, batch_size)
        frames = np.zeros((length, batch_size, *self.dtype["frame"].shape), np.uint8)
        actions = np.zeros((length, batch_size, *self.dtype["action"].shape), np.float32)
        rewards = np.zeros((length, batch_size), np.float32)
        terminated = np.zeros((length, batch_size), np.bool_)
        mask = np.zeros((length, batch_size), np.bool_)
        proprioception = np.zeros((length, batch_size, self.proprioception_size), np.float32)
        is_first = np.zeros((length, batch_size), np.bool_)
        is_first[0] = True
        for b, index in enumerate(chosen):
            first = min(self.rng.integers(draws[index]), starts[index] - 1) - lead
            records = self.episodes[index].records[max(first, 0) : first + length]
            before = max(-first, 0)
            frames[:before, b] = records["frame"][0]
            pieces, end = [(before, records)], before + len(records)
            while not lead and end + 1 < length:
                (index,) = self._choose(draws, 1)
                first = min(self.rng.integers(draws[index]), starts[index] - 1)
                records = self.episodes[index].records[first : first + length - end]
                pieces.append((end, records))
                is_first[end, b] = True
                end += len(records)
            for place, records in pieces:
                kept = slice(place, place + len(records))
                frames[kept, b] = records["frame"]
                actions[kept, b] = records["action"]
                rewards[kept, b] = records["reward"]
                terminated[kept, b] = records["terminated"]
                mask[kept, b] = True
                proprioception[kept, b] = records["proprioception"]
        arrays = (frames, actions, rewards, is_first, terminated, mask, proprioception)
        return SequenceBatch(*(torch.from_numpy(array) for array in arrays))

    def _choose(self, draws: NDArray[np.int64], count: int) -> NDArray[np.int64]:
        """Draws episodes by number, each as often as ``draws`` says."""
        chosen = self.rng.integers(draws.sum(), size=count)
        return np.searchsorted(draws.cumsum(), chosen, side="right")

    def load(self, folder: Path) -> None:
        """Takes a copy of the episodes that :meth:`save` wrote, instead of its own.

        Raises:
            FileNotFoundError: If a file is missing.
            ValueError: If a file is broken or holds other observations or actions.
        """
        super().load(folder)
        self.discard_staged()

    def _state(self) -> dict[str, Any]:
        return {"rng": self.rng.bit_generator.state}

    def _set_state(self, manifest: dict[str, Any]) -> None:
        self.rng.bit_generator.state = manifest["rng"]
