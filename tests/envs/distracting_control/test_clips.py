from __future__ import annotations

from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from core_repr.envs.distracting_control import clip_cache, davis
from core_repr.envs.distracting_control.clips import MAX_FRAMES, ProceduralClip, open_clips


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


def names(folder: Path, split: str, count: int) -> list[str]:
    return [clip.name for clip in open_clips(folder, split=split, count=count, size=8)]


@pytest.mark.parametrize("layout", ["DAVIS/JPEGImages/480p", "JPEGImages/480p", ""])
def test_davis_is_found_and_keeps_its_split(tmp_path, layout: str) -> None:
    root = tmp_path / layout
    for name in ("boat", "bear", "dog", "camel", "bus"):
        write_images(root / name, 1)
    assert names(tmp_path, "train", 3) == ["bear", "boat", "bus"]
    assert names(tmp_path, "val", 2) == ["camel", "dog"]
    assert names(root, "val", 1) == ["camel"]


def test_davis_own_lists_come_first(tmp_path) -> None:
    for name in ("alpha", "beta", "gamma"):
        write_images(tmp_path / "JPEGImages/480p" / name, 1)
    lists = tmp_path / "ImageSets/2017"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("gamma\nalpha\n")
    (lists / "val.txt").write_text("beta\n")
    assert names(tmp_path, "train", 2) == ["gamma", "alpha"]
    assert names(tmp_path, "val", 1) == ["beta"]


def test_davis_lists_are_whole() -> None:
    assert len(set(davis.TRAIN)) == len(davis.TRAIN) == 60
    assert len(set(davis.VAL)) == len(davis.VAL) == 30
    assert not set(davis.TRAIN) & set(davis.VAL)


def test_a_plain_folder_is_split_two_to_one(tmp_path) -> None:
    for i in range(9):
        write_images(tmp_path / f"clip-{i}", 1)
    train, val = names(tmp_path, "train", 6), names(tmp_path, "val", 3)
    assert len(train) == 6 and len(val) == 3
    assert sorted(train + val) == [f"clip-{i}" for i in range(9)]
    assert names(tmp_path, "train", 6) == train


def test_images_become_frames(tmp_path) -> None:
    write_images(tmp_path / "clip", 5)
    [clip] = open_clips(tmp_path, split="train", count=1, size=12)
    frames = clip.frames()
    assert frames.shape == (5, 12, 12, 3) and frames.dtype == np.uint8
    # JPEG keeps plain colours to a few levels.
    for i, frame in enumerate(frames):
        np.testing.assert_allclose(frame[6, 6], [200 + i, 40 + i, 90 + i], atol=4)
    with pytest.raises(ValueError, match="read-only"):
        frames[0] = 0


def test_grey_and_transparent_images(tmp_path) -> None:
    (tmp_path / "clip").mkdir()
    Image.new("L", (20, 20), 77).save(tmp_path / "clip" / "a.png")
    Image.new("RGBA", (20, 20), (1, 2, 3, 128)).save(tmp_path / "clip" / "b.png")
    [clip] = open_clips(tmp_path, split="train", count=1, size=4)
    assert clip.frames()[:, 0, 0].tolist() == [[77, 77, 77], [1, 2, 3]]


@pytest.mark.parametrize("suffix", [".mp4", ".avi", ".MOV"])
def test_a_video_becomes_frames(tmp_path, suffix: str) -> None:
    write_video(tmp_path / f"film{suffix}", 7)
    [clip] = open_clips(str(tmp_path), split="train", count=1, size=10)
    frames = clip.frames().astype(int)
    assert frames.shape == (7, 10, 10, 3)
    # The right half is redder, and every frame is brighter than the one before.
    assert (frames[:, 5, 8, 0] > frames[:, 5, 1, 0] + 80).all()
    assert (np.diff(frames[:, 5, 1, 1]) > 10).all()


def test_a_long_video_is_cut(tmp_path) -> None:
    write_video(tmp_path / "film.mp4", MAX_FRAMES + 20, height=16, width=16)
    [clip] = open_clips(tmp_path, split="train", count=1, size=4)
    assert len(clip.frames()) == MAX_FRAMES


@pytest.mark.parametrize("name", ["broken.mp4", "broken/0.jpg"])
def test_what_cannot_be_decoded(tmp_path, name: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"this is no video")
    [clip] = open_clips(tmp_path, split="train", count=1, size=8)
    with pytest.raises(ValueError, match=r"broken.*cannot be decoded"):
        clip.frames()


def test_missing_empty_and_short_folders(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match="does not exist"):
        open_clips(tmp_path / "nowhere", split="train", count=1, size=8)
    with pytest.raises(ValueError, match="holds no video"):
        open_clips(tmp_path, split="train", count=1, size=8)
    (tmp_path / "notes.txt").write_text("no video")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no video"):
        open_clips(tmp_path, split="train", count=1, size=8)
    with pytest.raises(NotADirectoryError, match=r"notes\.txt"):
        open_clips(tmp_path / "notes.txt", split="train", count=1, size=8)
    write_images(tmp_path / "clip", 1)
    with pytest.raises(ValueError, match=r"has 1 clips in split 'train', but 4.*num_videos=1"):
        open_clips(tmp_path, split="train", count=4, size=8)
    with pytest.raises(ValueError, match="has 0 clips in split 'val'"):
        open_clips(tmp_path, split="val", count=1, size=8)


def test_generated_clips_do_not_share_a_seed() -> None:
    train = open_clips("procedural", split="train", count=60, size=8)
    val = open_clips("procedural", split="val", count=30, size=8)
    assert len({clip._key() for clip in train + val}) == 90


class TestCache:
    @pytest.fixture(autouse=True)
    def _fresh(self, tmp_path, monkeypatch) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        monkeypatch.setattr(clip_cache, "_fetched", {})

    def forget(self, monkeypatch) -> None:
        monkeypatch.setattr(clip_cache, "_fetched", {})

    def make(self):
        self.made = getattr(self, "made", 0) + 1
        return np.full((3, 4, 4, 3), 7, np.uint8)

    def test_made_once_for_all_processes(self, monkeypatch) -> None:
        first = clip_cache.fetch("key", 4, self.make)
        assert clip_cache.fetch("key", 4, self.make) is first
        self.forget(monkeypatch)
        np.testing.assert_array_equal(clip_cache.fetch("key", 4, self.make), first)
        assert self.made == 1
        assert len(list(clip_cache.folder().iterdir())) == 1

    @pytest.mark.parametrize("content", [b"", b"rubbish", None])
    def test_a_damaged_file_is_made_anew(self, monkeypatch, content) -> None:
        clip_cache.fetch("key", 4, self.make)
        [path] = clip_cache.folder().iterdir()
        path.write_bytes(path.read_bytes()[:-5] if content is None else content)
        self.forget(monkeypatch)
        assert clip_cache.fetch("key", 4, self.make).shape == (3, 4, 4, 3)
        assert self.made == 2

    def test_without_a_writable_folder(self, tmp_path, monkeypatch, caplog) -> None:
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
        frames = clip_cache.fetch("key", 4, self.make)
        assert frames.shape == (3, 4, 4, 3) and not frames.flags.writeable
        assert "cannot be cached" in caplog.text

    def test_a_clip_is_the_same_from_disk(self, monkeypatch) -> None:
        clip = ProceduralClip("train-00", 8, "train", 0)
        made = np.array(clip.frames())
        self.forget(monkeypatch)
        np.testing.assert_array_equal(clip.frames(), made)
