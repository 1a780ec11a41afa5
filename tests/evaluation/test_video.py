"""Videos: read back what was written."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium as gym
import imageio_ffmpeg
import numpy as np
import pytest

from core_repr.evaluation import (
    RandomAgent,
    record_episode,
    side_by_side,
    upscale,
    video,
    write_video,
)


def read(path: Path) -> tuple[dict[str, object], list[np.ndarray]]:
    reader = imageio_ffmpeg.read_frames(str(path))
    about = next(reader)
    width, height = about["size"]
    frames = [np.frombuffer(frame, np.uint8).reshape(height, width, 3) for frame in reader]
    return about, frames


def colours(height: int, width: int) -> list[np.ndarray]:
    """Red, green and blue frames, four of each."""
    frames = []
    for channel in range(3):
        frame = np.full((height, width, 3), 30, np.uint8)
        frame[..., channel] = 220
        frames += [frame] * 4
    return frames


@pytest.mark.parametrize(("height", "width"), [(64, 96), (65, 97), (1, 3)])
def test_a_video_shows_its_frames(tmp_path: Path, height: int, width: int) -> None:
    frames = colours(height, width)
    path = write_video(tmp_path / "new" / "folder" / "video.mp4", iter(frames), fps=10)
    about, shown = read(path)
    assert str(about["codec"]).startswith("h264")
    assert str(about["pix_fmt"]).startswith("yuv420p")
    assert about["fps"] == 10
    assert about["size"] == (width + width % 2, height + height % 2)
    assert len(shown) == len(frames)
    for frame, seen in zip(frames, shown, strict=True):
        # H.264 is lossy, and yuv420p keeps a quarter of the colour: a few levels of 255.
        assert np.abs(seen[:height, :width].astype(int) - frame).mean() < 12
    assert [file.name for file in path.parent.iterdir()] == ["video.mp4"]


@pytest.mark.parametrize(
    "lay_out",
    [
        lambda frame: frame[::-1].copy()[::-1],
        lambda frame: frame[:, ::-1].copy()[:, ::-1],
        np.asfortranarray,
        lambda frame: np.frombuffer(frame.tobytes(), np.uint8).reshape(frame.shape),
    ],
    ids=["upside down", "mirrored", "Fortran order", "read-only"],
)
def test_frames_of_any_layout_in_memory_are_shown(
    tmp_path: Path, lay_out: Callable[[np.ndarray], np.ndarray]
) -> None:
    plain = colours(32, 48)
    plain[0][:16] = 90
    laid_out = [lay_out(frame) for frame in plain]
    one, other = (
        read(write_video(tmp_path / f"{number}.mp4", frames, fps=10))[1]
        for number, frames in enumerate((plain, laid_out))
    )
    assert np.array_equal(one, other)
    assert np.array_equal(side_by_side(laid_out), side_by_side(plain))


def test_noise_does_not_make_a_large_video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = np.random.default_rng(0).integers(256, size=(10, 64, 64, 3), dtype=np.uint8)
    small = write_video(tmp_path / "small.mp4", frames, fps=10).stat().st_size
    monkeypatch.setattr(video, "CONSTANT_RATE_FACTOR", "10")
    assert small < 0.5 * write_video(tmp_path / "large.mp4", frames, fps=10).stat().st_size


def test_a_frame_that_does_not_fit_leaves_nothing_and_the_old_video(tmp_path: Path) -> None:
    path = write_video(tmp_path / "video.mp4", colours(32, 32), fps=10)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"frame 12 has shape \(32, 34, 3\)"):
        write_video(path, [*colours(32, 32), *colours(32, 34)], fps=10)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("name", "frames", "fps", "message"),
    [
        ("video.mp4", [], 10, "no frames"),
        ("video.avi", colours(8, 8), 10, "must end in '.mp4'"),
        ("video.mp4", colours(8, 8), 0, "fps is 0"),
        ("video.mp4", [np.zeros((8, 8, 3))], 10, r"frame 0 is float64 \(8, 8, 3\)"),
        ("video.mp4", [np.zeros((3, 8, 8), np.uint8)], 10, r"frame 0 is uint8 \(3, 8, 8\)"),
        ("video.mp4", [None], 10, "no frames"),
        ("video.mp4", ["picture"], 10, "frame 0 is str"),
    ],
)
def test_bad_input_is_refused(
    tmp_path: Path, name: str, frames: list[object], fps: float, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        write_video(tmp_path / name, frames, fps)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


NAMES = [
    "2026-11-25T16:00:00.mp4",
    "-dash.mp4",
    "%d of %s, 100%.mp4",
    "file:nothing.mp4",
    "pipe:1.mp4",
    "Füße, 手 and a smile 🙂.mp4",
    "a 'quoted' \"name\".mp4",
    "UPPER.MP4",
    ".mp4",
    "x" * 251 + ".mp4",
    os.fsdecode(b"not utf-8: \xff.mp4"),
]


@pytest.mark.parametrize("name", NAMES)
def test_any_name_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    assert write_video(name, colours(8, 8), fps=10) == Path(name)
    assert os.listdir() == [name]
    Path(name).rename("plain.mp4")
    assert len(read(Path("plain.mp4"))[1]) == 12


def test_a_folder_of_any_name_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_video("16:00:00/%d/a.mp4", colours(8, 8), fps=10)
    assert os.listdir("16:00:00/%d") == ["a.mp4"]


def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "video.mp4").symlink_to("elsewhere/video.mp4")
    write_video(tmp_path / "video.mp4", colours(8, 8), fps=10)
    assert (tmp_path / "video.mp4").is_symlink()
    assert os.listdir(tmp_path / "elsewhere") == ["video.mp4"]


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("video", ValueError),
        ("video.webm", ValueError),
        ("mp4", ValueError),
        ("", ValueError),
        ("folder.mp4", OSError),
        ("file/video.mp4", OSError),
        ("x" * 300 + ".mp4", OSError),
    ],
)
def test_what_cannot_be_filmed_is_refused_before_an_episode(
    tmp_path: Path, name: str, error: type[Exception]
) -> None:
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "file").touch()
    untouched: Any = object()
    with pytest.raises(error, match=r"must end in|cannot be written"):
        record_episode(untouched, untouched, tmp_path / name if name else name)


def test_an_environment_without_pictures_is_refused(
    tmp_path: Path, make_pixels: Callable[..., gym.Env[Any, Any]]
) -> None:
    untouched: Any = object()
    with pytest.raises(ValueError, match=r"render_mode of .*Pixels.* is None, but a video needs"):
        record_episode(untouched, make_pixels(), tmp_path / "video.mp4")


class Flipped(gym.Env[Any, Any]):
    """Floats, channels first, in a ``Dict``, as views that run backwards."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": None}  # noqa: RUF012
    render_mode = "rgb_array"
    action_space = gym.spaces.Box(-1, 1, (1,), np.float32)
    observation_space = gym.spaces.Dict(
        camera=gym.spaces.Box(0, 1, (3, 8, 8), np.float32),
        arm=gym.spaces.Box(-1, 1, (2, 2), np.float32),
    )

    def reset(self, **_: Any) -> tuple[Any, dict[str, Any]]:
        self.steps = 0
        return self._observe(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        return self._observe(), 0.0, False, self.steps == 5, {}

    def render(self) -> Any:
        return np.zeros((16, 16, 3), np.uint8)[::-1]

    def _observe(self) -> dict[str, Any]:
        red = np.zeros((3, 8, 8), np.float32)
        red[0, 4:] = 1
        return {"camera": red[:, ::-1], "arm": np.zeros((2, 2), np.float32)}


def test_what_an_agent_sees_is_filmed_in_any_layout(tmp_path: Path) -> None:
    env = Flipped()
    path = record_episode(RandomAgent(env.action_space), env, tmp_path / "video.mp4")
    about, shown = read(path)
    assert about["fps"] == 30 and len(shown) == 6
    seen = shown[-1][:16, 20:]
    assert seen[:6, :, 0].mean() > 200 and seen[10:, :, 0].mean() < 40


def test_without_ffmpeg_nothing_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(tmp_path / "nowhere"))
    with pytest.raises(OSError, match=r"no ffmpeg to write .*video\.mp4 with"):
        video.check_place(tmp_path / "video.mp4")


def test_ffmpeg_failing_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", "/bin/false")
    monkeypatch.setattr(imageio_ffmpeg._utils, "get_ffmpeg_exe", lambda: "/bin/false")
    monkeypatch.setattr(imageio_ffmpeg._io, "get_ffmpeg_exe", lambda: "/bin/false")
    with pytest.raises(OSError, match="ffmpeg") as error:
        write_video(tmp_path / "video.mp4", colours(64, 64) * 20, fps=10)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_upscaled_pixels_are_squares() -> None:
    frame = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    large = upscale(frame, 3)
    assert large.shape == (6, 6, 3)
    assert np.array_equal(large[::3, ::3], frame)
    assert np.array_equal(large[2::3, 1::3], frame)
    with pytest.raises(ValueError, match="factor is 0"):
        upscale(frame, 0)


def test_shrunk_pixels_are_means() -> None:
    frame = np.random.default_rng(0).integers(256, size=(2, 3, 3), dtype=np.uint8)
    large = upscale(frame, 4)
    assert np.array_equal(video.downscale(large, 4), frame)
    assert np.array_equal(video.downscale(large, 1), large)
    ramp = np.arange(25, dtype=np.uint8).reshape(5, 5, 1).repeat(3, axis=2)
    assert video.downscale(ramp, 2)[..., 0].tolist() == [[3, 5], [13, 15]]
    for factor in (0, 6):
        with pytest.raises(ValueError, match=f"factor is {factor}"):
            video.downscale(ramp, factor)


def test_frames_stand_side_by_side() -> None:
    red, green, blue = (
        frame[: 4 * size, : 4 * size]
        for frame, size in zip(colours(16, 16)[::4], (4, 2, 3), strict=True)
    )
    joined = side_by_side([red, green, blue], gap=2)
    assert joined.shape == (16, 16 + 2 + 16 + 2 + 12, 3)
    assert np.array_equal(joined[:, :16], red)
    assert (joined[:, 16:18] == 255).all()
    assert np.array_equal(joined[:, 18:34], upscale(green, 2))
    assert np.array_equal(joined[2:14, 36:], blue) and (joined[:2, 36:] == 255).all()
    with pytest.raises(ValueError, match="no frames"):
        side_by_side([])


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imageio_ffmpeg.write_frames", lambda *_, **__: Broken())
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=100))
    with pytest.raises(OSError, match=rf"{tmp_path}/a.mp4 cannot be written \(No space.*make room"):
        write_video(tmp_path / "a.mp4", np.zeros((3, 8, 8, 3), np.uint8), 10)
    assert list(tmp_path.iterdir()) == []


class Broken:
    """What ffmpeg is to who writes to it once the disk is full."""

    def send(self, _: object) -> None:
        raise OSError("FFMPEG STDERR OUTPUT:")

    def close(self) -> None:
        pass
