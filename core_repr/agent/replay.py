"""A replay buffer of whole episodes that keeps each frame once and samples sequences."""

from collections import deque
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from core_repr.world_model import SequenceBatch


class Episode(NamedTuple):
    """Where an episode lies: ``length`` frames from ``start``, a position that only grows."""

    start: int
    length: int


class SequenceReplayBuffer:
    """Keeps the newest episodes; an episode of n steps takes n + 1 slots of a ring.

    Steps are staged for each environment and stored when their episode ends, so that several
    environments can fill one buffer. The oldest episodes give way to new ones.

    Args:
        size: Slots, each for one frame and the action, reward and termination that follow it.
        frame_shape: ``(height, width, 3)``; frames are uint8 and square.
        action_size: Number of action dimensions; actions are stored in [−1, 1].
        crop_size: Side in pixels of the random square that is cut from sampled frames.
        num_envs: Environments that add steps.
        seed: Seeds the choice of sequences and crops.
    """

    def __init__(
        self,
        size: int,
        frame_shape: tuple[int, ...],
        action_size: int,
        crop_size: int,
        num_envs: int = 1,
        seed: int | None = None,
    ) -> None:
        self.size = size
        self.crop_size = crop_size
        # Zeroed pages are not backed by memory before they are written.
        self.frames = np.zeros((size, *frame_shape), np.uint8)
        self.actions = np.zeros((size, action_size), np.float32)
        self.rewards = np.zeros(size, np.float32)
        self.terminated = np.zeros(size, np.bool_)
        self.episodes: deque[Episode] = deque()
        self.position = 0
        self.rng = np.random.default_rng(seed)
        self._staged: list[list[tuple[NDArray[np.uint8], NDArray[np.float32], float]]] = [
            [] for _ in range(num_envs)
        ]

    def __len__(self) -> int:
        """Number of steps in finished episodes."""
        return sum(episode.length - 1 for episode in self.episodes)

    def add(
        self, env: int, frame: NDArray[np.uint8], action: NDArray[np.float32], reward: float
    ) -> None:
        """Stages one step of an environment.

        Args:
            env: Index of the environment.
            frame: The frame that was acted upon.
            action: Action in [−1, 1].
            reward: Reward that followed.
        """
        self._staged[env].append((np.array(frame), np.array(action, np.float32), float(reward)))

    def end_episode(self, env: int, last_frame: NDArray[np.uint8], terminated: bool) -> None:
        """Stores the staged steps of an environment as an episode.

        Args:
            env: Index of the environment.
            last_frame: The frame after the last step.
            terminated: Whether the episode terminated, rather than being cut off.

        Raises:
            ValueError: If the episode is larger than the buffer.
        """
        steps = self._staged[env]
        self._staged[env] = []
        length = len(steps) + 1
        if length > self.size:
            raise ValueError(
                f"An episode of {len(steps)} steps does not fit a replay buffer of {self.size}; "
                "raise agent.replay_size or limit the episode with max_episode_steps."
            )
        start = self.position
        while self.episodes and self.episodes[0].start + self.size < start + length:
            self.episodes.popleft()
        slots = np.arange(start, start + length) % self.size
        for slot, (frame, action, reward) in zip(slots, steps, strict=False):
            self.frames[slot] = frame
            self.actions[slot] = action
            self.rewards[slot] = reward
        self.terminated[slots] = False
        self.terminated[slots[-2]] = terminated
        self.frames[slots[-1]] = last_frame
        self.actions[slots[-1]] = 0
        self.rewards[slots[-1]] = 0
        self.episodes.append(Episode(start, length))
        self.position = start + length

    def discard_staged(self) -> None:
        """Forgets the steps of unfinished episodes, for environments that are reset."""
        self._staged = [[] for _ in self._staged]

    def sample(self, batch_size: int, length: int) -> SequenceBatch:
        """Samples sequences of frames, their starts uniform inside the episodes.

        Args:
            batch_size: Number of sequences B.
            length: Frames in a sequence T. A shorter episode is padded and masked.

        Returns:
            A batch on the CPU; each sequence is cropped at one random position.

        Raises:
            ValueError: If there is no finished episode yet.
        """
        if not self.episodes:
            raise ValueError("The replay buffer holds no finished episode to sample from.")
        starts = np.array([max(1, episode.length - length + 1) for episode in self.episodes])
        chosen = np.searchsorted(
            starts.cumsum(), self.rng.integers(starts.sum(), size=batch_size), side="right"
        )
        crop = self.crop_size
        shift = self.rng.integers(self.frames.shape[1] - crop + 1, size=(batch_size, 2))
        frames = np.zeros((length, batch_size, crop, crop, 3), np.uint8)
        actions = np.zeros((length, batch_size, self.actions.shape[1]), np.float32)
        rewards = np.zeros((length, batch_size), np.float32)
        terminated = np.zeros((length, batch_size), np.bool_)
        mask = np.zeros((length, batch_size), np.bool_)
        for b, index in enumerate(chosen):
            episode = self.episodes[index]
            first = episode.start + self.rng.integers(starts[index])
            count = min(length, episode.length)
            slots = np.arange(first, first + count) % self.size
            y, x = shift[b]
            for t, slot in enumerate(slots):
                frames[t, b] = self.frames[slot, y : y + crop, x : x + crop]
            actions[:count, b] = self.actions[slots]
            rewards[:count, b] = self.rewards[slots]
            terminated[:count, b] = self.terminated[slots]
            mask[:count, b] = True
        is_first = np.zeros((length, batch_size), np.bool_)
        is_first[0] = True
        arrays = (frames, actions, rewards, is_first, terminated, mask)
        return SequenceBatch(*(torch.from_numpy(array) for array in arrays))
