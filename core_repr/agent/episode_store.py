"""Where a replay buffer keeps its episodes: in memory, or in files that a checkpoint names."""

from __future__ import annotations

import os
from collections import deque
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from core_repr.agent.segments import Records, Segment, next_number, segment_files
from core_repr.files.json_files import read_json, write_json
from core_repr.files.names import MANIFEST_FILE
from core_repr.files.writing import finish, whole_files

SEGMENT_SLOTS = 512
FORMAT_VERSION = 1


@dataclass(frozen=True)
class Episode:
    """Where an episode lies: ``length`` frames from ``start`` on in a segment."""

    segment: Segment
    start: int
    length: int

    @property
    def records(self) -> Records:
        """A view of the episode."""
        return self.segment.records(self.start, self.length)

    @cached_property
    def terminated(self) -> bool:
        """Whether it terminated, rather than being cut off."""
        return bool(self.records["terminated"][-2])


class EpisodeStore:
    """Keeps the newest episodes.

    They lie in segments of some hundred slots, in memory or in files that are mapped into it: a
    file is only appended to, and deleted when the last one of its episodes has given way.

    Args:
        dtype: Of a record: one frame and the action, reward and termination that follow it.
        size: Records.
        folder: For the files of the segments; ``None`` keeps all in memory.

    Attributes:
        episodes: Where each lies, the oldest first.
        is_full: Whether an episode has given way to a newer one.
        deletes_later: Whether files stay until :meth:`delete_dropped`, for a checkpoint that
            still names them.
    """

    def __init__(self, dtype: np.dtype[Any], size: int, folder: Path | None = None) -> None:
        self.dtype = dtype
        self.size = size
        self.folder = folder
        self.episodes: deque[Episode] = deque()
        self.is_full = False
        self.deletes_later = False
        self._segment: Segment | None = None
        self._dropped: list[Path] = []
        self._slots = 0

    def __len__(self) -> int:
        """Number of steps in finished episodes."""
        return self._slots - len(self.episodes)

    def append(self, records: Records) -> None:
        """Stores an episode; the oldest ones give way.

        Args:
            records: One for each frame; at most ``size``.

        Raises:
            FileExistsError: If the folder holds the files of another buffer.
            OSError: If the disk is full.
        """
        length = len(records)
        while self._slots + length > self.size:
            self.drop_oldest()
            self.is_full = True
        segment = self._segment_for(length)
        self.episodes.append(Episode(segment, segment.append(records), length))
        self._slots += length

    def drop_oldest(self) -> None:
        """Lets the oldest episode give way."""
        oldest = self.episodes.popleft()
        self._slots -= oldest.length
        still_used = self.episodes and self.episodes[0].segment is oldest.segment
        if not still_used and oldest.segment is not self._segment:
            self._delete(oldest.segment)

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

    def manifest(self) -> dict[str, Any]:
        """Says, in JSON's terms, where each episode lies and what else the buffer resumes from.

        What it names is on the disk when this returns.
        """
        if self._segment is not None:
            self._segment.sync()
        segments: dict[Segment, list[list[int]]] = {}
        for episode in self.episodes:
            segments.setdefault(episode.segment, []).append([episode.start, episode.length])
        return {
            "format_version": FORMAT_VERSION,
            "record": _describe(self.dtype),
            "segments": [
                {"file": segment.path.name, "used": segment.used, "episodes": episodes}
                for segment, episodes in segments.items()
                if segment.path is not None
            ],
            **self._state(),
        }

    def delete_dropped(self) -> None:
        """Deletes the files whose episodes all gave way; the newest manifest must not name them."""
        for path in self._dropped:
            path.unlink(missing_ok=True)
        self._dropped = []

    def restore(self, manifest: dict[str, Any]) -> None:
        """Resumes from a manifest of the files in the buffer's folder; deletes what came later.

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
        self._set_state(manifest)

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
        copy = EpisodeStore(self.dtype, self.size, folder)
        for episode in self.episodes:
            copy.append(episode.records)
        copy.seal()
        write_json(folder / MANIFEST_FILE, {**copy.manifest(), **self._state()})
        return segment_files(folder)

    def load(self, folder: Path) -> None:
        """Takes a copy of the episodes that :meth:`save` wrote, instead of its own.

        Raises:
            FileNotFoundError: If a file is missing.
            ValueError: If a file is broken or holds other observations or actions.
        """
        manifest, episodes = self._read(folder)
        while self.episodes:
            self.drop_oldest()
        self.is_full = False
        for episode in episodes:
            if episode.length <= self.size:
                self.append(episode.records)
        self._set_state(manifest)

    def seal(self) -> None:
        """Ends the appending to the newest segment; its file shrinks to what it holds."""
        if self._segment is not None:
            self._segment.seal()

    def map(self) -> None:
        """Opens the episodes that :meth:`save` wrote into its own folder, for reading alone.

        Raises:
            FileNotFoundError: If a file is missing.
            ValueError: If a file is broken or holds other observations or actions.
        """
        assert self.folder is not None
        manifest, episodes = self._read(self.folder)
        self.episodes = deque(episodes)
        self._slots = sum(episode.length for episode in episodes)
        self._set_state(manifest)

    def _read(self, folder: Path) -> tuple[dict[str, Any], list[Episode]]:
        """Returns the manifest in a folder, and the episodes that it names, which are whole."""
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
        return manifest, episodes

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

    def _state(self) -> dict[str, Any]:
        """What a manifest says beside where the episodes lie."""
        return {}

    def _set_state(self, manifest: dict[str, Any]) -> None:
        """Takes it from a manifest."""


def _describe(dtype: np.dtype[Any]) -> dict[str, list[Any]]:
    """Returns the fields of a record: name → [type, *shape]."""
    assert dtype.fields is not None
    return {name: [field[0].base.name, *field[0].shape] for name, field in dtype.fields.items()}
