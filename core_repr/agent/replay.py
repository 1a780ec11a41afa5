"""A replay buffer of whole episodes that keeps each frame once and samples sequences."""

from __future__ import annotations

import os
from collections import defaultdict, deque
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from core_repr.agent.segments import Records, Segment, next_number, segment_files
from core_repr.files.json_files import read_json, write_json
from core_repr.files.names import MANIFEST_FILE
from core_repr.files.writing import finish, whole_files
from core_repr.world_model import SequenceBatch

SEGMENT_SLOTS = 512
FORMAT_VERSION = 1
NO_PROPRIOCEPTION = np.zeros(0, np.float32)


Step = tuple[NDArray[np.uint8], NDArray[np.float32], float, NDArray[np.float32]]


class Episode(NamedTuple):
    """Where an episode lies: ``length`` frames from ``start`` on in a segment."""

    segment: Segment
    start: int
    length: int

    @property
    def records(self) -> Records:
        """A view of the episode."""
        return self.segment.records(self.start, self.length)


class SequenceReplayBuffer:
    """Keeps the newest episodes; an episode of n steps takes n + 1 slots.

    Steps are staged for each environment and stored when their episode ends, so that several
    environments can fill one buffer. The oldest episodes give way to new ones. Episodes lie in
    segments of some hundred slots, in memory or in files that are mapped into it: a file is only
    appended to, and deleted when the last one of its episodes has given way.

    Args:
        size: Slots, each for one frame and the action, reward and termination that follow it.
        frame_shape: ``(height, width, 3)``; frames are uint8 and square.
        action_size: Number of action dimensions; actions are stored in [−1, 1].
        seed: Seeds the choice of sequences.
        folder: For the files of the segments; ``None`` keeps all in memory.
        proprioception_size: Number of values beside each frame.

    Attributes:
        is_full: Whether an episode has given way to a newer one.
        deletes_later: Whether files stay until :meth:`delete_dropped`, for a checkpoint that
            still names them.
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
        self.size = size
        self.proprioception_size = proprioception_size
        self.dtype = np.dtype(
            [
                ("frame", np.uint8, tuple(frame_shape)),
                ("proprioception", np.float32, (proprioception_size,)),
                ("action", np.float32, (action_size,)),
                ("reward", np.float32),
                ("terminated", np.bool_),
            ]
        )
        self.episodes: deque[Episode] = deque()
        self.rng = np.random.default_rng(seed)
        self.folder = folder
        self.is_full = False
        self.deletes_later = False
        self._segment: Segment | None = None
        self._dropped: list[Path] = []
        self._slots = 0
        self._staged: defaultdict[int, list[Step]] = defaultdict(list)

    def __len__(self) -> int:
        """Number of steps in finished episodes."""
        return self._slots - len(self.episodes)

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
        self._store(records)

    def _store(self, records: Records) -> None:
        length = len(records)
        while self._slots + length > self.size:
            self._drop_oldest()
            self.is_full = True
        segment = self._segment_for(length)
        self.episodes.append(Episode(segment, segment.append(records), length))
        self._slots += length

    def _drop_oldest(self) -> None:
        segment, _, length = self.episodes.popleft()
        self._slots -= length
        still_used = self.episodes and self.episodes[0].segment is segment
        if not still_used and segment is not self._segment:
            self._delete(segment)

    def _segment_for(self, length: int) -> Segment:
        segment = self._segment
        if segment is not None and segment.used + length <= segment.capacity:
            return segment
        if segment is not None:
            segment.seal()
            if not any(episode.segment is segment for episode in self.episodes):
                self._delete(segment)
        capacity = max(length, min(SEGMENT_SLOTS, self.size))
        self._segment = Segment(self.dtype, capacity, self._new_path())
        return self._segment

    def _delete(self, segment: Segment) -> None:
        if segment.path is None:
            return
        if self.deletes_later:
            self._dropped.append(segment.path)
        else:
            segment.path.unlink(missing_ok=True)

    def _new_path(self) -> Path | None:
        if self.folder is None:
            return None
        self.folder.mkdir(parents=True, exist_ok=True)
        number = next_number(self.folder)
        if number and self._segment is None and not self.episodes:
            raise FileExistsError(
                f"{self.folder} holds the files of another replay buffer; choose another folder "
                "for this one, or delete them."
            )
        return self.folder / f"{number:08d}.segment"

    def discard_staged(self) -> None:
        """Forgets the steps of unfinished episodes, for environments that are reset."""
        self._staged.clear()

    def sample(self, batch_size: int, length: int) -> SequenceBatch:
        """Samples sequences of frames, their starts uniform inside the episodes.

        Args:
            batch_size: Number of sequences B.
            length: Frames in a sequence T. A shorter episode is padded and masked.

        Returns:
            A batch on the CPU, with whole frames.

        Raises:
            ValueError: If there is no finished episode yet.
        """
        if not self.episodes:
            raise ValueError("The replay buffer holds no finished episode to sample from.")
        starts = np.array([max(1, episode.length - length + 1) for episode in self.episodes])
        chosen = np.searchsorted(
            starts.cumsum(), self.rng.integers(starts.sum(), size=batch_size), side="right"
        )
        frames = np.zeros((length, batch_size, *self.dtype["frame"].shape), np.uint8)
        actions = np.zeros((length, batch_size, *self.dtype["action"].shape), np.float32)
        rewards = np.zeros((length, batch_size), np.float32)
        terminated = np.zeros((length, batch_size), np.bool_)
        mask = np.zeros((length, batch_size), np.bool_)
        proprioception = np.zeros((length, batch_size, self.proprioception_size), np.float32)
        for b, index in enumerate(chosen):
            first = self.rng.integers(starts[index])
            records = self.episodes[index].records[first : first + length]
            count = len(records)
            frames[:count, b] = records["frame"]
            actions[:count, b] = records["action"]
            rewards[:count, b] = records["reward"]
            terminated[:count, b] = records["terminated"]
            mask[:count, b] = True
            proprioception[:count, b] = records["proprioception"]
        is_first = np.zeros((length, batch_size), np.bool_)
        is_first[0] = True
        arrays = (frames, actions, rewards, is_first, terminated, mask, proprioception)
        return SequenceBatch(*(torch.from_numpy(array) for array in arrays))

    def manifest(self) -> dict[str, Any]:
        """Says, in JSON's terms, where each episode lies and how the sampling goes on.

        What it names is on the disk when this returns.
        """
        if self._segment is not None:
            self._segment.sync()
        segments: dict[Segment, list[list[int]]] = {}
        for segment, start, length in self.episodes:
            segments.setdefault(segment, []).append([start, length])
        return {
            "format_version": FORMAT_VERSION,
            "record": _describe(self.dtype),
            "segments": [
                {"file": segment.path.name, "used": segment.used, "episodes": episodes}
                for segment, episodes in segments.items()
                if segment.path is not None
            ],
            "rng": self.rng.bit_generator.state,
        }

    def delete_dropped(self) -> None:
        """Deletes the files whose episodes all gave way; the newest manifest must not name them."""
        for path in self._dropped:
            path.unlink(missing_ok=True)
        self._dropped = []

    def restore(self, manifest: dict[str, Any]) -> None:
        """Goes on from a manifest of the files in the buffer's folder; deletes what came later.

        Raises:
            FileNotFoundError: If a file that it names is gone.
            ValueError: If the manifest or a file does not fit.
        """
        assert self.folder is not None
        episodes = self._open(manifest, self.folder)
        segments = {episode.segment.path: episode.segment for episode in episodes}
        for path in segment_files(self.folder):
            if path in segments:
                os.truncate(path, segments[path].used * self.dtype.itemsize)
            else:
                path.unlink()
        self.episodes = deque(episodes)
        self._segment, self._slots = None, sum(episode.length for episode in episodes)
        self.rng.bit_generator.state = manifest["rng"]

    def save(self, folder: Path) -> None:
        """Saves a copy of the finished episodes to a folder; unfinished ones are left out.

        Args:
            folder: Made if needed. An earlier copy is replaced; files of other names stay.

        Raises:
            OSError: If it cannot be written; what was there before stays.
        """
        with whole_files(folder) as staged:
            kept = {path.name for path in self._write_copy(staged)}
        for path in segment_files(folder):
            if path.name not in kept:
                path.unlink()

    def _write_copy(self, folder: Path) -> list[Path]:
        """Writes segments and their manifest into an empty folder; returns the segments."""
        copy = SequenceReplayBuffer(
            self.size,
            self.dtype["frame"].shape,
            self.dtype["action"].shape[0],
            folder=folder,
            proprioception_size=self.proprioception_size,
        )
        for episode in self.episodes:
            copy._store(episode.records)
        if copy._segment is not None:
            copy._segment.seal()
        write_json(folder / MANIFEST_FILE, {**copy.manifest(), "rng": self.rng.bit_generator.state})
        return segment_files(folder)

    def load(self, folder: Path) -> None:
        """Takes a copy of the episodes that :meth:`save` wrote, instead of its own.

        Raises:
            FileNotFoundError: If a file is missing.
            ValueError: If a file is broken or holds other observations or actions.
        """
        finish(folder)
        manifest = read_json(folder / MANIFEST_FILE)
        episodes = self._open(manifest, folder)
        for number, episode in enumerate(episodes):
            records = episode.records
            if not np.isfinite(records["reward"]).all() or not (abs(records["action"]) <= 1).all():
                raise ValueError(
                    f"{folder}: episode {number} holds a reward that is not finite or an action "
                    "outside [−1, 1]; it was damaged."
                )
        self.discard_staged()
        while self.episodes:
            self._drop_oldest()
        self.is_full = False
        for episode in episodes:
            if episode.length <= self.size:
                self._store(episode.records)
        self.rng.bit_generator.state = manifest["rng"]

    def _open(self, manifest: dict[str, Any], folder: Path) -> list[Episode]:
        if manifest.get("format_version") != FORMAT_VERSION:
            raise ValueError(
                f"{folder}: the replay buffer has format {manifest.get('format_version')!r}, but "
                f"this release reads {FORMAT_VERSION}; install a core-repr release that fits it."
            )
        try:
            return [
                Episode(segment, start, length)
                for entry in manifest["segments"]
                for segment in [self._open_segment(manifest["record"], entry, folder)]
                for start, length in entry["episodes"]
            ]
        except (KeyError, TypeError, IndexError) as error:
            raise ValueError(f"{folder}: the replay buffer's manifest is damaged.") from error

    def _open_segment(self, record: Any, entry: dict[str, Any], folder: Path) -> Segment:
        if record != _describe(self.dtype):
            raise ValueError(
                f"{folder}: the replay buffer holds {record}, but the config asks for "
                f"{_describe(self.dtype)}; they belong to different runs."
            )
        path = folder / Path(entry["file"]).name
        if not path.is_file():
            raise FileNotFoundError(
                f"The replay buffer lacks {path}; without it, only core-repr train --from can go "
                "on, which fills a new one."
            )
        for start, length in entry["episodes"]:
            if not (start >= 0 and length >= 2 and start + length <= entry["used"]):
                raise ValueError(f"{path}: the replay buffer's manifest is damaged.")
        return Segment.open(self.dtype, entry["used"], path)


def _describe(dtype: np.dtype[Any]) -> dict[str, list[Any]]:
    """Returns the fields of a record: name → [type, *shape]."""
    assert dtype.fields is not None
    return {name: [field[0].base.name, *field[0].shape] for name, field in dtype.fields.items()}
