from __future__ import annotations

import io
import resource
import signal
import stat
import zipfile
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import pytest

from core_repr.envs.clips import davis
from core_repr.envs.clips.davis_archive import unpack

LENGTHS = {"train": {"bear": 3, "boat": 2}, "val": {"dog": 2}}


@pytest.fixture(autouse=True)
def _small(monkeypatch) -> None:
    monkeypatch.setattr(davis, "LENGTHS", LENGTHS)


def members() -> dict[str, bytes]:
    """Returns what an archive of the small data set holds."""
    found = {f"DAVIS/ImageSets/2017/{s}.txt": "\n".join(LENGTHS[s]).encode() for s in LENGTHS}
    for videos in LENGTHS.values():
        for name, length in videos.items():
            for number in range(length):
                picture = f"{name} {number}".encode() * 50
                found[f"DAVIS/JPEGImages/480p/{name}/{number:05d}.jpg"] = picture
                found[f"DAVIS/Annotations/480p/{name}/{number:05d}.png"] = b"mask"
    return {**found, "DAVIS/SOURCES.md": b"sources", "DAVIS/ImageSets/2016/val.txt": b"dog"}


@pytest.fixture
def archive(tmp_path) -> Path:
    return write(tmp_path / "davis.zip", members())


def write(path: Path, content: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name, data in content.items():
            file.writestr(name, data)
    return path


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def assert_refused(archive: Path, message: str) -> None:
    folder = archive.parent / "DAVIS"
    with pytest.raises(ValueError, match=message):
        unpack(archive, folder)
    assert list(archive.parent.iterdir()) == [archive]


def test_what_the_backgrounds_need_is_unpacked(archive, tmp_path) -> None:
    unpack(archive, tmp_path / "DAVIS")
    expected = {
        name.removeprefix("DAVIS/"): data
        for name, data in members().items()
        if "Annotations" not in name and "2016" not in name
    }
    assert files(tmp_path / "DAVIS") == expected
    assert davis.problems(tmp_path / "DAVIS") == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["DAVIS", "davis.zip"]


def test_an_empty_folder_is_filled(archive, tmp_path) -> None:
    (tmp_path / "DAVIS").mkdir()
    unpack(archive, tmp_path / "DAVIS")
    assert davis.problems(tmp_path / "DAVIS") == []


def test_what_a_killed_process_left_is_cleared(archive, tmp_path) -> None:
    left = tmp_path / ".DAVIS.core-repr.partial" / "JPEGImages/480p/bear"
    left.mkdir(parents=True)
    (left / "00000.jpg").write_bytes(b"half")
    (left / "00003.jpg").write_bytes(b"half")
    unpack(archive, tmp_path / "DAVIS")
    assert davis.problems(tmp_path / "DAVIS") == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["DAVIS", "davis.zip"]


def test_nothing_is_written_outside(archive, tmp_path) -> None:
    (tmp_path / "in").mkdir()
    evil = dict.fromkeys(
        (
            "../evil.txt",
            "DAVIS/../../evil.txt",
            "DAVIS/JPEGImages/480p/bear/../../../../evil.jpg",
            "DAVIS/JPEGImages/480p/../00000.jpg",
            "DAVIS/JPEGImages/480p/cat/00000.jpg",
            f"{tmp_path}/evil.txt",
            "DAVIS\\JPEGImages\\..\\..\\evil.txt",
            "DAVIS/JPEGImages/480p/bear/00000.jpg\n",
        ),
        b"evil",
    )
    write(tmp_path / "in" / "davis.zip", {**members(), **evil})
    unpack(tmp_path / "in" / "davis.zip", tmp_path / "in" / "DAVIS")
    assert b"evil" not in files(tmp_path).values()
    assert not list(tmp_path.rglob("*evil*"))


def test_links_are_refused(archive) -> None:
    link = zipfile.ZipInfo("DAVIS/SOURCES.md")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    content = members()
    del content["DAVIS/SOURCES.md"]
    write(archive, content)
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr(link, "/etc/passwd")
    assert_refused(archive, r"davis\.zip is damaged \(DAVIS/SOURCES\.md is not a plain file\)")


def change(archive: Path, edit: Callable[[bytearray], None]) -> None:
    content = bytearray(archive.read_bytes())
    edit(content)
    archive.write_bytes(content)


def test_a_flipped_bit_in_a_frame(archive) -> None:
    def flip(content: bytearray) -> None:
        content[content.index(b"boat 1boat 1") + 20] ^= 4

    change(archive, flip)
    assert_refused(archive, r"davis\.zip is damaged \(Bad CRC-32 for file 'DAVIS/.*boat/00001\.jpg")


def test_an_archive_that_is_cut_off(archive) -> None:
    change(archive, lambda content: content.__delitem__(slice(len(content) // 2, None)))
    assert_refused(archive, r"davis\.zip is damaged \(File is not a zip file")


def test_a_page_in_place_of_an_archive(archive) -> None:
    archive.write_text("<!DOCTYPE html><title>Log in</title>")
    assert_refused(archive, r"davis\.zip is damaged \(File is not a zip file")


def test_any_damage_is_refused_in_a_sentence(archive) -> None:
    whole = archive.read_bytes()
    start = whole.index(b"PK\x01\x02")
    refused = 0
    for i in range(start, len(whole), 11):
        archive.write_bytes(whole[:i] + bytes([whole[i] ^ 0xFF]) + whole[i + 1 :])
        folder = archive.parent / f"DAVIS-{i}"
        try:
            unpack(archive, folder)
        except ValueError as error:
            assert str(archive) in str(error)
            assert not folder.exists()
            refused += 1
        else:
            assert davis.problems(folder) == []
    assert refused > 50


def test_an_encrypted_archive(archive) -> None:
    def encrypt(content: bytearray) -> None:
        at = content.index(b"PK\x01\x02")
        content[at + 8] |= 1
        content[6] |= 1

    change(archive, encrypt)
    assert_refused(archive, r"davis\.zip is damaged \(.*encrypted")


def test_a_frame_twice(archive) -> None:
    with zipfile.ZipFile(archive, "a") as file, pytest.warns(UserWarning, match="Duplicate"):
        file.writestr("DAVIS/JPEGImages/480p/bear/00000.jpg", b"other")
    assert_refused(archive, r"davis\.zip is damaged \(.*File exists")


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("DAVIS/JPEGImages/480p/bear/00002.jpg", r"480p: bear lacks 1 of its 3 frames\."),
        ("DAVIS/ImageSets/2017/val.txt", r"480p: ImageSets/2017/val\.txt is missing\."),
    ],
)
def test_a_data_set_that_lacks_something(archive, missing: str, message: str) -> None:
    content = members()
    del content[missing]
    write(archive, content)
    assert_refused(archive, rf"davis\.zip is not DAVIS 2017 at {message}")


def test_a_video_that_is_too_long(archive) -> None:
    write(archive, {**members(), "DAVIS/JPEGImages/480p/dog/00002.jpg": b"more"})
    assert_refused(archive, "dog has 1 files that are not its frames")


def test_another_archive(archive) -> None:
    write(archive, {"README.txt": b"something else"})
    assert_refused(archive, r"is not DAVIS 2017 at 480p: .*, and 4 more such\.")


def test_a_disk_without_room(archive, tmp_path, monkeypatch) -> None:
    usage = namedtuple("usage", "free")(100)
    monkeypatch.setattr("shutil.disk_usage", lambda folder: usage)
    with pytest.raises(OSError, match=rf"{tmp_path} has 0\.0 GB free, but 0\.0 GB are unpacked"):
        unpack(archive, tmp_path / "DAVIS")
    assert list(tmp_path.iterdir()) == [archive]


def test_a_disk_that_fills_up(archive, tmp_path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        with pytest.raises(OSError, match=rf"davis\.zip cannot be unpacked in {tmp_path} \(File"):
            unpack(archive, tmp_path / "DAVIS")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert list(tmp_path.iterdir()) == [archive]


def test_all_of_davis(tmp_path, monkeypatch) -> None:
    monkeypatch.undo()
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        for split, videos in davis.LENGTHS.items():
            file.writestr(f"DAVIS/ImageSets/2017/{split}.txt", "\n".join(videos))
            for name, length in videos.items():
                for number in range(length):
                    file.writestr(f"DAVIS/JPEGImages/480p/{name}/{number:05d}.jpg", b"")
    (tmp_path / "davis.zip").write_bytes(content.getvalue())
    unpack(tmp_path / "davis.zip", tmp_path / "DAVIS")
    assert len(list((tmp_path / "DAVIS/JPEGImages/480p").iterdir())) == 90
