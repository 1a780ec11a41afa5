"""Videos: read back what was written."""

from __future__ import annotations

from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest

from core_repr.evaluation import side_by_side, upscale, video, write_video


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
