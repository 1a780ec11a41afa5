from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core_repr.envs.clips import clip_folder, davis


def write_clips(folder: Path, *names: str) -> None:
    """Makes empty video files, and folders with an empty image for names without a suffix."""
    for name in names:
        path = folder / name
        if path.suffix:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        else:
            path.mkdir(parents=True)
            (path / "00000.jpg").touch()


def names(folder: Path, split: str) -> list[str]:
    return [path.name for path in clip_folder.find(folder, split)]


@pytest.mark.parametrize("layout", ["DAVIS/JPEGImages/480p", "JPEGImages/480p", ""])
def test_davis_is_found_and_keeps_its_split(tmp_path, monkeypatch, layout: str) -> None:
    root = tmp_path / layout
    write_clips(root, "boat", "bear", "dog", "camel", "bus")
    assert names(tmp_path, "train") == ["bear", "boat", "bus"]
    assert names(tmp_path, "val") == ["camel", "dog"]
    assert names(root, "val") == ["camel", "dog"]
    monkeypatch.chdir(root)
    assert names(Path(), "val") == ["camel", "dog"]


def test_davis_own_lists_come_first(tmp_path, caplog) -> None:
    write_clips(tmp_path / "JPEGImages/480p", "alpha", "beta", "gamma", "unlisted")
    lists = tmp_path / "ImageSets/2017"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("gamma\nalpha\n../../../etc\nmissing\ngamma\n")
    (lists / "val.txt").write_text("beta\nalpha\n")
    assert names(tmp_path, "val") == ["beta"]
    assert not caplog.text
    assert names(tmp_path, "train") == ["gamma", "alpha"]
    assert "holds 2 of the 4 train videos" in caplog.text and "../../../etc" in caplog.text


def test_a_plain_folder_is_split_two_to_one(tmp_path) -> None:
    write_clips(tmp_path, *(f"clip-{i}.mp4" for i in range(8, 17)))
    assert names(tmp_path, "train") == [f"clip-{i}.mp4" for i in (8, 10, 11, 13, 14, 16)]
    assert names(tmp_path, "val") == [f"clip-{i}.mp4" for i in (9, 12, 15)]


def test_two_folders_say_what_is_for_what(tmp_path) -> None:
    write_clips(tmp_path, "train/b.mp4", "train/a", "val/c.avi", "elsewhere.mp4")
    assert names(tmp_path, "train") == ["a", "b.mp4"]
    assert names(tmp_path, "val") == ["c.avi"]


def test_a_video_by_another_name_is_not_for_validation(tmp_path) -> None:
    write_clips(tmp_path / "split", "train/a.mp4", "val/b.mp4")
    (tmp_path / "split/val/link.mp4").symlink_to(tmp_path / "split/train/a.mp4")
    assert names(tmp_path / "split", "val") == ["b.mp4"]
    write_clips(tmp_path / "plain", "a.mp4", "c.mp4")
    (tmp_path / "plain/b.mp4").symlink_to("a.mp4")
    assert names(tmp_path / "plain", "train") == ["a.mp4"]
    assert names(tmp_path / "plain", "val") == ["c.mp4"]


@given(st.integers(0, 40), st.integers(0, 40))
def test_every_video_is_in_one_split(train: int, count: int) -> None:
    videos = [Path(f"/nowhere/{i}.mp4") for i in range(count)]
    splits = clip_folder._by_number(videos)
    assert sorted(splits["train"] + splits["val"]) == sorted(videos)
    assert len(splits["val"]) == (count + 1) // 3


def test_natural_order(tmp_path) -> None:
    order = ["1.mp4", "2.mp4", "10.mp4", "a2b1.mp4", "a2b10.mp4", "A10.mp4", "b.mp4"]
    write_clips(tmp_path, *order)
    assert sorted(names(tmp_path, "train") + names(tmp_path, "val")) == sorted(order)
    assert [path.name for path in clip_folder._videos(tmp_path)] == order
    (tmp_path / "frames").mkdir()
    for i in (9, 10, 100, 1):
        (tmp_path / "frames" / f"frame{i}.PNG").touch()
    images = [path.name for path in clip_folder.images(tmp_path / "frames")]
    assert images == [f"frame{i}.PNG" for i in (1, 9, 10, 100)]


def test_what_is_no_video_is_left_out(tmp_path) -> None:
    write_clips(tmp_path, "film.MP4", "._film.mp4", "notes.txt", "sound.wav")
    (tmp_path / "empty").mkdir()
    (tmp_path / "folder.mp4").mkdir()
    assert names(tmp_path, "train") == ["film.MP4"]


def test_missing_and_empty_folders(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere' does not exist"):
        clip_folder.find(tmp_path / "nowhere", "train")
    with pytest.raises(ValueError, match="holds no video"):
        clip_folder.find(tmp_path, "train")
    (tmp_path / "notes.txt").write_text("no video")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"holds no video.*\.avi.*\.mp4.*folders of images"):
        clip_folder.find(tmp_path, "train")
    with pytest.raises(NotADirectoryError, match=r"notes\.txt"):
        clip_folder.find(tmp_path / "notes.txt", "train")


def test_the_downloaded_data_set(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="core-repr download davis"):
        clip_folder.find_davis("val")
    frames = davis.frames_folder(davis.folder())
    write_clips(frames, *davis.LENGTHS["train"], *davis.LENGTHS["val"])
    assert clip_folder.find_davis("train") == [frames / name for name in davis.LENGTHS["train"]]
    assert clip_folder.find_davis("val") == [frames / name for name in davis.LENGTHS["val"]]
    (frames / "dog/00000.jpg").unlink()
    (frames / "dog").rmdir()
    with pytest.raises(FileNotFoundError, match=r"lacks the video 'dog'.*core-repr download davis"):
        clip_folder.find_davis("val")


def test_a_video_s_link_that_leads_nowhere_is_left_out_with_a_warning(tmp_path, caplog) -> None:
    write_clips(tmp_path, "a.mp4")
    (tmp_path / "b.mp4").symlink_to("gone.mp4")
    assert names(tmp_path, "train") == ["a.mp4"]
    assert f"{tmp_path / 'b.mp4'} is a link that leads nowhere" in caplog.text


def test_only_files_are_images(tmp_path) -> None:
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "image.png").touch()
    (tmp_path / "link.png").symlink_to("image.png")
    images = [path.name for path in clip_folder.images(tmp_path)]
    assert images == ["image.png", "link.png"]
