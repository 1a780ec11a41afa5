"""Data sets of LeRobot, versions 2 and 3: tables of Parquet, and videos."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from core_repr.datasets.episodes import EpisodeDataset, RecordedEpisode
from core_repr.files.json_files import read_json

STATE, ACTION, REWARD = "observation.state", "action", "next.reward"
FIRST_FRAMES = 100_000
"""More frames than this are not read of one video at once."""
LEAD = 32
"""So many frames before the first one, decoding begins at a key frame: of the frames after it that
are shown before it, up to 16, a decoder lacks what they follow from."""


class LeRobotDataset(EpisodeDataset):
    """A data set of LeRobot.

    Frames are squeezed into squares. The robot's state, where there is one, is proprioception.
    Actions have the bounds that they were recorded within. An episode of T frames has T − 1 steps:
    what follows the last action was not recorded.

    Args:
        folder: Holds ``meta/info.json``.
        frame_size: Height and width in pixels that frames are read with.
        camera: Name of its feature, with or without ``observation.images.``; by default, the only
            one.

    Raises:
        ModuleNotFoundError: If PyArrow is missing.
        FileNotFoundError: If a file is missing.
        ValueError: If it is broken, of another version, or there are several cameras.
    """

    def __init__(self, folder: Path, frame_size: int, camera: str | None = None) -> None:
        try:
            import pyarrow.parquet  # noqa: F401
        except ModuleNotFoundError:
            raise ModuleNotFoundError(
                "Data sets of LeRobot need PyArrow: pip install 'core-repr[datasets]'."
            ) from None
        self._folder = folder.resolve()
        self._side = frame_size
        self.name = self._folder.name
        info = read_json(folder / "meta" / "info.json")
        try:
            version = str(info["codebase_version"])
            self._features: dict[str, Any] = dict(info["features"])
            self._fps = float(info["fps"])
            self._count = int(info["total_episodes"])
            self._data_path = str(info["data_path"])
            self._video_path = str(info.get("video_path") or "")
            self._chunk_size = int(info.get("chunks_size", 1_000))
            action_size = int(np.prod(self._features[ACTION]["shape"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{folder}/meta/info.json lacks or has an unusable {error}.") from None
        if not re.match(r"v[23]\.", version):
            raise ValueError(
                f"{folder} is of LeRobot's version {version}; versions 2 and 3 are read."
            )
        self._is_v3 = version.startswith("v3")
        with _told(self.name):
            self._describe(frame_size, camera, action_size)

    def _describe(self, frame_size: int, camera: str | None, action_size: int) -> None:
        self._episodes = self._read_episodes()
        self._camera = self._find_camera(camera)
        self.has_rewards = REWARD in self._features
        frames = gym.spaces.Box(0, 255, (frame_size, frame_size, 3), np.uint8)
        self.observation_space: gym.Space[Any] = frames
        self._has_state = STATE in self._features
        if self._has_state:
            size = int(np.prod(self._features[STATE]["shape"]))
            state = gym.spaces.Box(-np.inf, np.inf, (size,), np.float32)
            self.observation_space = gym.spaces.Dict([("pixels", frames), ("state", state)])
        low, high = self._action_bounds(action_size)
        self.action_space = gym.spaces.Box(low, high, dtype=np.float32)

    def __len__(self) -> int:
        """Number of episodes."""
        return len(self._episodes)

    def read(self, number: int) -> RecordedEpisode:
        """Reads an episode."""
        with _told(f"Episode {number} of {self.name}"):
            return self._read(number)

    def _read(self, number: int) -> RecordedEpisode:
        table = self._rows(number)
        actions = _columns(table, ACTION)
        frames = self._frames(number, len(actions))
        if len(actions) < 2:
            raise ValueError(f"Episode {number} of {self.name} has fewer than two frames.")
        rewards = np.zeros(len(actions) - 1)
        if self.has_rewards:
            rewards = _columns(table, REWARD).reshape(len(actions))[:-1].astype(np.float64)
        observations: Any = frames
        if self._has_state:
            observations = {"pixels": frames, "state": _columns(table, STATE)}
        return RecordedEpisode(observations, actions[:-1], rewards, terminated=False)

    def _find_camera(self, wanted: str | None) -> str:
        cameras = [
            name for name, f in self._features.items() if f.get("dtype") in ("video", "image")
        ]
        if wanted is None and len(cameras) == 1:
            return cameras[0]
        for name in cameras:
            if wanted in (name, name.rsplit(".", 1)[-1]):
                return name
        listed = ", ".join(cameras) or "none"
        if wanted is None:
            raise ValueError(
                f"{self.name} has several cameras or none ({listed}): name one with "
                "--dataset-camera."
            )
        raise ValueError(f"{self.name} has no camera {wanted!r}; it has {listed}.")

    def _read_episodes(self) -> list[dict[str, Any]]:
        """What is known of each episode, in their order."""
        if not self._is_v3:
            return [{"episode_index": number} for number in range(self._count)]
        import pyarrow.parquet as parquet

        tables = sorted((self._folder / "meta" / "episodes").rglob("*.parquet"))
        if not tables:
            raise FileNotFoundError(f"{self._folder} lacks meta/episodes.")
        rows: list[dict[str, Any]] = []
        for path in tables:
            table = parquet.read_table(path)
            # Statistics are many and not needed.
            kept = [name for name in table.column_names if not name.startswith("stats/")]
            rows += table.select(kept).to_pylist()
        return sorted(rows, key=lambda row: int(row["episode_index"]))

    def _rows(self, number: int) -> Any:
        """The table of an episode."""
        import pyarrow.compute as compute

        row = self._episodes[number]
        if not self._is_v3:
            chunk = number // self._chunk_size
            place = _filled(self._data_path, episode_chunk=chunk, episode_index=number)
            return _table(self._inside(place))
        place = _filled(
            self._data_path, chunk_index=row["data/chunk_index"], file_index=row["data/file_index"]
        )
        table = _table(self._inside(place))
        return table.filter(compute.equal(table["episode_index"], row["episode_index"]))

    def _frames(self, number: int, count: int) -> NDArray[np.uint8]:
        """The frames of an episode."""
        feature = self._features[self._camera]
        if feature["dtype"] == "image":
            return self._pictures(number)
        row, camera = self._episodes[number], self._camera
        if self._is_v3:
            place = _filled(
                self._video_path,
                video_key=camera,
                chunk_index=row[f"videos/{camera}/chunk_index"],
                file_index=row[f"videos/{camera}/file_index"],
            )
            first = round(float(row[f"videos/{camera}/from_timestamp"]) * self._fps)
        else:
            place = _filled(
                self._video_path,
                video_key=camera,
                episode_chunk=number // self._chunk_size,
                episode_index=number,
            )
            first = 0
        return read_video(self._inside(place), first, count, self._side)

    def _pictures(self, number: int) -> NDArray[np.uint8]:
        """Frames that lie in the table, as PNG or JPEG."""
        import io

        from PIL import Image

        found = []
        for cell in self._rows(number)[self._camera].to_pylist():
            content = cell["bytes"] if isinstance(cell, Mapping) else cell
            with Image.open(io.BytesIO(content)) as image:
                size = (self._side, self._side)
                found.append(np.asarray(image.convert("RGB").resize(size, Image.Resampling.BOX)))
        return np.stack(found)

    def _action_bounds(self, size: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The smallest and the largest action of all episodes."""
        low, high = np.full(size, np.inf), np.full(size, -np.inf)
        for number in range(len(self)):
            actions = _columns(self._rows(number), ACTION)
            low, high = np.minimum(low, actions.min(0)), np.maximum(high, actions.max(0))
        if not (np.isfinite(low).all() and np.isfinite(high).all()):
            raise ValueError(f"{self.name} has actions that are not finite, or no episode.")
        return low.astype(np.float32), high.astype(np.float32)

    def _inside(self, place: str) -> Path:
        """A file of the data set; what it names itself must not lie elsewhere."""
        path = (self._folder / place).resolve()
        if not path.is_relative_to(self._folder):
            raise ValueError(f"{self.name} names {place!r}, which lies outside of its folder.")
        if not path.is_file():
            raise FileNotFoundError(f"The data set lacks {path}.")
        return path


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Says in a sentence that something is broken, whatever is missing or of another kind.

    Raises:
        ValueError: With what it is.
    """
    try:
        yield
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise ValueError(
            f"{what} is broken, or not of LeRobot's versions 2 and 3: {type(error).__name__} "
            f"{error}."
        ) from None


def _filled(template: str, **values: Any) -> str:
    """Fills the names in a path; what a stranger wrote is no format of Python's.

    Raises:
        KeyError: If it has another name.
    """

    def value(match: re.Match[str]) -> str:
        return str(values[match[1]]).zfill(int(match[2] or 0))

    return re.sub(r"\{(\w+)(?::0?(\d)d)?\}", value, template)


@lru_cache(maxsize=2)
def _table(path: Path) -> Any:
    import pyarrow.parquet as parquet

    return parquet.read_table(path)


def _columns(table: Any, name: str) -> NDArray[np.float32]:
    """A column of numbers or of lists of them, one row each frame."""
    return np.asarray(table[name].to_pylist(), np.float32).reshape(len(table), -1)


def read_video(path: Path, first: int, count: int, side: int) -> NDArray[np.uint8]:
    """Reads some frames of a video, squeezed into squares.

    What is before them is not decoded, but for what the codec needs.

    Args:
        path: The video.
        first: Number of the first frame, in the order in which they are shown.
        count: Of frames.
        side: Height and width in pixels.

    Returns:
        Shape (count, side, side, 3).

    Raises:
        ValueError: If it cannot be decoded, or is too short.
    """
    if not 0 < count <= FIRST_FRAMES:
        raise ValueError(f"{path}: an episode of {count} frames is not one that can be read.")
    seek: tuple[str, ...] = ()
    chosen = rf"between(n\,{first}\,{first + count - 1})"
    times = _times(path, path.stat().st_mtime_ns) if first > LEAD else None
    if times is not None and first + count <= len(times):
        begin = times[first - LEAD]
        # Halfway between frames: times that are written in decimals are not exact.
        after = (times[first - 1] + times[first]) / 2
        seek = ("-copyts", "-noaccurate_seek", "-seek_timestamp", "1", "-ss", f"{begin:.6f}")
        chosen = rf"gt(t\,{after:.9f})"
    done = _ffmpeg(
        *(*seek, "-i", str(path), "-fps_mode", "passthrough"),
        *("-vf", f"select={chosen},scale={side}:{side}:flags=area", "-frames:v", str(count)),
        *("-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:1"),
    )
    frames = np.frombuffer(done.stdout, np.uint8)
    if done.returncode or frames.size != count * side * side * 3:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        reason = lines[-1] if lines else f"it has fewer than {first + count} frames"
        raise ValueError(f"{path} cannot be read: {reason}.")
    return frames.reshape(count, side, side, 3)


@lru_cache(maxsize=4)
def _times(path: Path, changed: int) -> tuple[float, ...] | None:
    """Returns when each frame is shown, without decoding any.

    Args:
        path: The video.
        changed: When it was; one that is written again has other times.

    Returns:
        Seconds, in the order in which they are shown; ``None`` where the file does not tell them,
        or is no MP4: other files do not say where decoding can begin.
    """
    done = _ffmpeg(
        *("-copyts", "-f", "mov", "-i", str(path), "-an", "-c", "copy", "-f", "framecrc"),
        "pipe:1",
    )
    text = done.stdout.decode(errors="replace")
    base = re.search(r"^#tb 0: (\d+)/(\d+)$", text, re.MULTILINE)
    if done.returncode or base is None:
        return None
    # A packet a line: stream, when to decode it, when to show it, how long, size, sum, flags.
    packets = [line.split(",") for line in text.splitlines() if line.startswith("0,")]
    # The flag 4 is of those that are decoded and not shown.
    hidden = re.search(r"F=0x[0-9A-F]*[4-7C-F]\b", text)
    try:
        shown = sorted({int(packet[2]) for packet in packets})
    except ValueError:  # One has no time.
        return None
    if hidden or len(shown) != len(packets):
        return None
    return tuple(time * int(base[1]) / int(base[2]) for time in shown)


def _ffmpeg(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    import imageio_ffmpeg

    return subprocess.run(
        [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-loglevel", "error", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
