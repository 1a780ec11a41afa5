from __future__ import annotations

import multiprocessing
import os
import subprocess
import time
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from core_repr.envs.clips import clip, clip_cache, davis
from core_repr.envs.clips.clip import MAX_FRAMES, ProceduralClip, open_clips


def write_images(folder: Path, count: int, color: tuple[int, int, int] = (200, 40, 90)) -> None:
    folder.mkdir(parents=True)
    for i in range(count):
        Image.new("RGB", (85, 48), tuple(c + i for c in color)).save(folder / f"{i:05d}.jpg")


def write_video(path: Path, frames: int, height: int = 48, width: int = 96) -> None:
    writer = imageio_ffmpeg.write_frames(str(path), (width, height), fps=10, macro_block_size=1)
    writer.send(None)
    for i in range(frames):
        picture = np.full((height, width, 3), 20 * i % 256, np.uint8)
        picture[:, width // 2 :, 0] = 255
        writer.send(picture)
    writer.close()


def ffmpeg(*arguments: object) -> None:
    executable = imageio_ffmpeg.get_ffmpeg_exe()
    subprocess.run([executable, "-v", "error", "-y", *map(str, arguments)], check=True)


def only_clip(folder: Path, size: int = 8) -> clip.Clip:
    [clip] = open_clips(folder, split="train", count=1, size=size)
    return clip


def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clip_cache, "_mapped", {})


def test_images_become_frames(tmp_path) -> None:
    write_images(tmp_path / "clip", 5)
    frames = only_clip(tmp_path, 12).frames()
    assert frames.shape == (5, 12, 12, 3) and frames.dtype == np.uint8
    # JPEG keeps plain colours to a few levels.
    for i, frame in enumerate(frames):
        np.testing.assert_allclose(frame[6, 6], [200 + i, 40 + i, 90 + i], atol=4)
    with pytest.raises(ValueError, match="read-only"):
        frames[0] = 0


def test_images_in_natural_order(tmp_path) -> None:
    (tmp_path / "clip").mkdir()
    for i in range(12):
        Image.new("RGB", (8, 8), (20 * i, 0, 0)).save(tmp_path / "clip" / f"{i}.png")
    assert only_clip(tmp_path).frames()[:, 0, 0, 0].tolist() == [20 * i for i in range(12)]


def test_grey_and_transparent_images(tmp_path) -> None:
    (tmp_path / "clip").mkdir()
    Image.new("L", (20, 20), 77).save(tmp_path / "clip" / "a.png")
    Image.new("RGBA", (20, 20), (1, 2, 3, 128)).save(tmp_path / "clip" / "b.png")
    assert only_clip(tmp_path, 4).frames()[:, 0, 0].tolist() == [[77, 77, 77], [1, 2, 3]]


def quarters(height: int = 48, width: int = 64) -> NDArray[np.uint8]:
    """Red on the left, green above, blue everywhere."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[:, : width // 2, 0] = 255
    picture[: height // 2, :, 1] = 255
    picture[..., 2] = 100
    return picture


def assert_quarters(frame: NDArray[np.uint8], tolerance: int) -> None:
    corners = frame[[1, 1, -2, -2], [1, -2, 1, -2]].astype(int)
    expected = [[255, 255, 100], [0, 255, 100], [255, 0, 100], [0, 0, 100]]
    np.testing.assert_allclose(corners, expected, atol=tolerance)


def test_a_photograph_is_turned_as_its_camera_says(tmp_path) -> None:
    (tmp_path / "clip").mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90° clockwise
    turned = Image.fromarray(np.rot90(quarters()).copy())
    for i in range(2):
        turned.save(tmp_path / "clip" / f"{i}.jpg", exif=exif, quality=95)
    for frame in only_clip(tmp_path, 16).frames():
        assert_quarters(frame, tolerance=12)


@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".MOV", ".mkv", ".webm"])
def test_a_video_becomes_frames(tmp_path, suffix: str) -> None:
    film = tmp_path / f"film{suffix}"
    if suffix == ".webm":
        write_video(tmp_path / "film.mkv", 7)
        ffmpeg("-i", tmp_path / "film.mkv", "-c:v", "libvpx", "-deadline", "realtime", film)
        (tmp_path / "film.mkv").unlink()
    else:
        write_video(film, 7)
    frames = only_clip(tmp_path, 10).frames().astype(int)
    assert frames.shape == (7, 10, 10, 3)
    # The right half is redder, and every frame is brighter than the one before.
    assert (frames[:, 5, 8, 0] > frames[:, 5, 1, 0] + 80).all()
    assert (np.diff(frames[:, 5, 1, 1]) > 10).all()


def test_a_video_is_the_right_way_round(tmp_path) -> None:
    Image.fromarray(quarters()).save(tmp_path / "still.png")
    (tmp_path / "clips").mkdir()
    still = ["-loop", 1, "-i", tmp_path / "still.png", "-frames:v", 3]
    ffmpeg(*still, "-pix_fmt", "yuv444p", "-qp", 0, tmp_path / "clips/film.mp4")
    for frame in only_clip(tmp_path / "clips", 16).frames():
        assert_quarters(frame, tolerance=6)


def test_a_video_is_turned_as_its_camera_says(tmp_path) -> None:
    Image.fromarray(np.rot90(quarters()).copy()).save(tmp_path / "still.png")
    (tmp_path / "clips").mkdir()
    still = ["-loop", 1, "-i", tmp_path / "still.png", "-frames:v", 3]
    ffmpeg(*still, "-pix_fmt", "yuv444p", "-qp", 0, tmp_path / "upright.mp4")
    turned = ["-display_rotation", -90, "-i", tmp_path / "upright.mp4", "-c", "copy"]
    ffmpeg(*turned, tmp_path / "clips/film.mp4")
    for frame in only_clip(tmp_path / "clips", 16).frames():
        assert_quarters(frame, tolerance=6)


def test_every_frame_counts_once_whatever_its_time(tmp_path) -> None:
    write_video(tmp_path / "even.mp4", 6)
    (tmp_path / "clips").mkdir()
    slower = ["-vf", "setpts=N*N/TB", "-fps_mode", "vfr"]
    ffmpeg("-i", tmp_path / "even.mp4", *slower, tmp_path / "clips/uneven.mkv")
    assert len(only_clip(tmp_path / "clips").frames()) == 6


@pytest.mark.parametrize("name", ["-i.mp4", "a b:%03d'é.mp4", b"\xff.mp4"])
def test_names_of_any_kind(tmp_path, name: str | bytes) -> None:
    write_video(tmp_path / "film.mp4", 3)
    (tmp_path / "film.mp4").rename(tmp_path / os.fsdecode(name))
    assert len(only_clip(tmp_path).frames()) == 3


def test_a_long_video_is_cut(tmp_path) -> None:
    write_video(tmp_path / "film.mp4", MAX_FRAMES + 20, height=16, width=16)
    assert len(only_clip(tmp_path, 4).frames()) == MAX_FRAMES


@pytest.mark.parametrize("name", ["broken.mp4", "broken/0.jpg", "broken/1.png"])
@pytest.mark.parametrize("content", [b"this is no video", b"", b"\x89PNG\r\n\x1a\n" + bytes(50)])
def test_what_cannot_be_decoded(tmp_path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"{path} cannot be decoded"):
        only_clip(tmp_path).frames()


def test_an_image_that_was_cut_off(tmp_path) -> None:
    write_images(tmp_path / "clip", 3)
    path = tmp_path / "clip" / "00001.jpg"
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ValueError, match=rf"{path} cannot be decoded"):
        only_clip(tmp_path).frames()


def test_sixteen_bits_a_channel(tmp_path) -> None:
    (tmp_path / "clip").mkdir()
    path = tmp_path / "clip" / "0.png"
    Image.fromarray(np.full((8, 8), 30_000, np.uint16)).save(path)
    with pytest.raises(ValueError, match=rf"{path} cannot be decoded.*8 bits"):
        only_clip(tmp_path).frames()


def test_a_video_without_a_picture(tmp_path) -> None:
    ffmpeg("-f", "lavfi", "-i", "sine=d=0.1", "-f", "mp4", tmp_path / "sound.mp4")
    with pytest.raises(ValueError, match=r"sound\.mp4 cannot be decoded \(.*stream"):
        only_clip(tmp_path).frames()


def test_a_damaged_video_shows_what_is_left_of_it(tmp_path, caplog) -> None:
    film = tmp_path / "film.mkv"
    ffmpeg("-f", "lavfi", "-i", "testsrc=s=64x64:d=2", "-g", 5, film)
    content = bytearray(film.read_bytes())
    for i in range(len(content) // 2, len(content) * 3 // 4, 40):
        content[i] ^= 0x55
    film.write_bytes(content)
    assert 10 < len(only_clip(tmp_path).frames()) <= 50
    assert f"{film} is damaged (" in caplog.text


def test_a_video_that_changes_size(tmp_path) -> None:
    for name, size in (("a", "64x48"), ("b", "48x64")):
        source = ["-f", "lavfi", "-i", f"testsrc=s={size}:r=5:d=1"]
        ffmpeg(*source, "-c:v", "mjpeg", "-f", "mjpeg", tmp_path / name)
    both = tmp_path / "both"
    both.write_bytes((tmp_path / "a").read_bytes() + (tmp_path / "b").read_bytes())
    (tmp_path / "clips").mkdir()
    film = tmp_path / "clips/film.avi"
    ffmpeg("-f", "mjpeg", "-i", both, "-c", "copy", film)
    message = rf"{film} changes size: frame 5 has 48x64 pixels, the first one 64x48"
    with pytest.raises(ValueError, match=message):
        only_clip(tmp_path / "clips").frames()


def test_images_of_several_sizes(tmp_path) -> None:
    write_images(tmp_path / "clip", 2)
    Image.new("RGB", (30, 40)).save(tmp_path / "clip" / "00007.png")
    message = rf"{tmp_path / 'clip'} changes size: 00007\.png has 30x40 pixels, the first one 85x48"
    with pytest.raises(ValueError, match=message):
        only_clip(tmp_path).frames()


def test_a_changed_file_is_decoded_anew(tmp_path, monkeypatch) -> None:
    film = tmp_path / "film.mp4"
    write_video(film, 3)
    assert len(only_clip(tmp_path).frames()) == 3
    write_video(film, 5)
    assert len(only_clip(tmp_path).frames()) == 5
    film.unlink()
    image = tmp_path / "clip" / "00000.jpg"
    write_images(image.parent, 2)
    before = only_clip(tmp_path).frames()
    status = image.stat()
    Image.new("RGB", (85, 48), (0, 0, 0)).save(image)
    os.utime(image, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert before[0].min() > 30 and only_clip(tmp_path).frames()[0].max() < 10


def test_a_decode_that_is_killed_leaves_nothing(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "clips").mkdir()
    film = tmp_path / "clips/film.mp4"
    ffmpeg("-f", "lavfi", "-i", "testsrc=s=640x480:d=4", "-preset", "ultrafast", film)
    clip = only_clip(tmp_path / "clips", 160)
    for delay in (0.05, 0.1, 0.15, 0.2, 0.25, 0.3):
        process = multiprocessing.get_context("fork").Process(target=clip.frames)
        process.start()
        time.sleep(delay)
        process.kill()
        process.join()
        found = clip_cache._from_disk(clip._key, 160)
        assert found is None or len(found) == 100
    assert len(clip.frames()) == 100


def test_a_clip_outlives_its_file(tmp_path, monkeypatch) -> None:
    write_video(tmp_path / "film.mp4", 3)
    clip = only_clip(tmp_path)
    frames = clip.frames().copy()
    (tmp_path / "film.mp4").unlink()
    np.testing.assert_array_equal(clip.frames(), frames)
    forget(monkeypatch)
    np.testing.assert_array_equal(clip.frames(), frames)


def test_a_file_that_went_is_named(tmp_path) -> None:
    write_video(tmp_path / "film.mp4", 3)
    clip = only_clip(tmp_path)
    (tmp_path / "film.mp4").unlink()
    with pytest.raises(FileNotFoundError, match=r"film\.mp4"):
        clip.frames()


def test_too_few_videos(tmp_path) -> None:
    write_images(tmp_path / "clip", 1)
    message = rf"'{tmp_path}' has 1 clips in split 'train', but 4 are asked for.*num_videos=1"
    with pytest.raises(ValueError, match=message):
        open_clips(tmp_path, split="train", count=4, size=8)
    with pytest.raises(ValueError, match=r"has 0 clips in split 'val', but 1 .*: add clips\.$"):
        open_clips(tmp_path, split="val", count=1, size=8)


def test_davis_by_its_name(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setattr(davis, "LENGTHS", {"train": {"bear": 3, "boat": 2}, "val": {"dog": 4}})
    for name, length in {"bear": 3, "boat": 2, "dog": 4}.items():
        write_images(davis.frames_folder(davis.folder()) / name, length)
    train = open_clips("davis", split="train", count=2, size=8)
    assert [(clip.name, len(clip.frames())) for clip in train] == [("bear", 3), ("boat", 2)]
    [val] = open_clips("davis", split="val", count=1, size=8)
    assert (val.name, len(val.frames())) == ("dog", 4)


def test_generated_clips_do_not_share_a_seed() -> None:
    train = open_clips("procedural", split="train", count=60, size=8)
    val = open_clips("procedural", split="val", count=30, size=8)
    assert len({clip._key for clip in train + val}) == 90


def test_a_generated_clip_is_the_same_from_disk(monkeypatch) -> None:
    clip = ProceduralClip("train-00", 8, "train", 0)
    made = np.array(clip.frames())
    forget(monkeypatch)
    np.testing.assert_array_equal(clip.frames(), made)


def test_an_image_s_link_that_leads_nowhere_is_named(tmp_path) -> None:
    write_images(tmp_path / "clip", 2)
    broken = tmp_path / "clip" / "00002.png"
    broken.symlink_to("gone.png")
    with pytest.raises(FileNotFoundError, match=r"00002\.png is a link that leads nowhere: put"):
        only_clip(tmp_path).frames()


def test_a_folder_that_went_is_named(tmp_path) -> None:
    write_images(tmp_path / "clip", 2)
    clip = only_clip(tmp_path)
    (tmp_path / "clip").rename(tmp_path / "elsewhere")
    with pytest.raises(FileNotFoundError, match="clip is not there any more: put back"):
        clip.frames()
