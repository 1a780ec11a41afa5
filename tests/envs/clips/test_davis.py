from __future__ import annotations

import pytest

from core_repr.envs.clips import davis


def test_the_lists_are_whole() -> None:
    train, val = davis.LENGTHS["train"], davis.LENGTHS["val"]
    assert (len(train), len(val)) == (60, 30)
    # What the data set's users count: 4,209 and 1,999 frames.
    assert (sum(train.values()), sum(val.values())) == (4209, 1999)
    assert not train.keys() & val.keys()
    assert list(train)[:4] == ["bear", "bmx-bumps", "boat", "boxing-fisheye"]
    assert list(val)[:4] == ["bike-packing", "blackswan", "bmx-trees", "breakdance"]
    for names in (train, val):
        assert list(names) == sorted(names)


def test_where_it_lies(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert davis.folder() == tmp_path / "core-repr" / "DAVIS"
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert davis.folder() == tmp_path / ".local/share/core-repr/DAVIS"


@pytest.fixture
def whole(tmp_path, monkeypatch):
    monkeypatch.setattr(davis, "LENGTHS", {"train": {"bear": 3, "boat": 2}, "val": {"dog": 2}})
    for split, lengths in davis.LENGTHS.items():
        path = davis.list_file(tmp_path, split)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lengths) + "\n")
        for name, length in lengths.items():
            video = davis.frames_folder(tmp_path) / name
            video.mkdir(parents=True)
            for number in range(length):
                (video / davis.frame_name(number)).touch()
    return tmp_path


def test_a_whole_data_set(whole) -> None:
    assert davis.problems(whole) == []


def test_what_is_missing_is_named(whole) -> None:
    frames = davis.frames_folder(whole)
    (frames / "bear/00001.jpg").unlink()
    (frames / "boat/00001.jpg").rename(frames / "boat/00002.jpg")
    for path in (frames / "dog").iterdir():
        path.unlink()
    (frames / "dog").rmdir()
    davis.list_file(whole, "train").unlink()
    davis.list_file(whole, "val").write_text("cat\n")
    assert davis.problems(whole) == [
        "ImageSets/2017/train.txt is missing",
        "bear lacks 1 of its 3 frames",
        "boat lacks 1 of its 2 frames",
        "boat has 1 files that are not its frames",
        "ImageSets/2017/val.txt does not list DAVIS 2017's val videos",
        "dog lacks 2 of its 2 frames",
    ]
