from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from core_repr.evaluation.plots import save_figure
from core_repr.files import writing
from core_repr.files.json_files import write_outcome
from core_repr.files.writing import (
    SAVED,
    append,
    finish,
    new_folder,
    remove,
    sweep,
    whole_files,
    write_atomically,
)

LEFT = f".core-repr-{'0' * 16}.unfinished"


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file()
    }


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


# Files


def test_a_file_is_on_the_disk_before_it_takes_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    order: list[str] = []
    replace, fsync = os.replace, os.fsync

    def note_fsync(handle: int) -> None:
        assert path.read_bytes() == b"old"
        order.append("fsync")
        fsync(handle)

    def note_replace(source: Path, target: Path) -> None:
        assert source.read_bytes() == b"new" and source.parent == tmp_path
        order.append("replace")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(os, "replace", note_replace)
    write_atomically(path, b"new")
    assert order == ["fsync", "replace"] and path.read_bytes() == b"new"


def test_a_file_is_written_through_its_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "log").write_text("old")
    (tmp_path / "log").symlink_to("disk/log")
    write_atomically(tmp_path / "log", b"new")
    assert (tmp_path / "log").is_symlink()
    assert contents(tmp_path / "disk") == {"log": "new"}


def test_permissions_are_those_that_the_user_asks_for(tmp_path: Path) -> None:
    with umask(0o077), new_folder(tmp_path / "folder") as folder:
        write_atomically(folder / "file", b"")
    modes = [(tmp_path / name).stat().st_mode & 0o777 for name in ("folder", "folder/file")]
    assert modes == [0o700, 0o600]


def test_a_device_is_written_to_as_it_is() -> None:
    read, write = os.pipe()
    with os.fdopen(read) as reader:
        write_atomically(Path(f"/dev/fd/{write}"), b"seen")
        os.close(write)
        assert reader.read() == "seen"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no full device")
def test_what_cannot_be_appended_names_the_path() -> None:
    with pytest.raises(OSError, match=r"/dev/full cannot be written .*No space.*make room"):
        append(Path("/dev/full"), "row")


@pytest.mark.parametrize(
    ("number", "kind", "advice"),
    [
        (errno.ENOSPC, OSError, "make room"),
        (errno.EDQUOT, OSError, "make room"),
        (errno.EACCES, PermissionError, "allow writing"),
        (errno.EROFS, OSError, "choose another path"),
        (errno.ENAMETOOLONG, OSError, "choose another path"),
    ],
)
def test_errors_name_the_path_and_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: type, advice: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    for write in (
        lambda: write_atomically(tmp_path / "file", b"new"),
        lambda: _write(tmp_path / "folder", "new"),
        lambda: write_outcome(tmp_path / "outcome.json", {"mean": 1}),
        lambda: save_figure(Figure(), tmp_path / "curve.png"),
    ):
        with pytest.raises(kind, match=rf"{tmp_path}.* cannot be written .*{advice}.*\.$") as seen:
            write()
        assert seen.value.errno == number  # type: ignore[attr-defined]
    assert not list(tmp_path.iterdir())


# New folders


def test_a_folder_appears_whole(tmp_path: Path) -> None:
    with new_folder(tmp_path / "deep" / "one") as folder:
        (folder / "file").write_text("new")
        assert not (tmp_path / "deep" / "one").exists()
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["one"]
    assert contents(tmp_path / "deep" / "one") == {"file": "new"}


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_of_a_folder_that_could_not_be_written_nothing_is_left(
    tmp_path: Path, error: BaseException
) -> None:
    with pytest.raises(type(error)), new_folder(tmp_path / "deep" / "one") as folder:
        (folder / "file").write_text("new")
        raise error
    assert not list(tmp_path.iterdir())


# Files of a folder that holds others' too


def _write(folder: Path, text: str, error: BaseException | None = None) -> None:
    with whole_files(folder) as staged:
        for name in ("a", "b"):
            (staged / name).write_text(text)
        if error is not None:
            raise error


def test_files_take_their_places_beside_others(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes").write_text("mine")
    _write(tmp_path, "old")
    _write(tmp_path, "new")
    assert contents(tmp_path) == {"mine/notes": "mine", "a": "new", "b": "new"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "mine"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_files_that_could_not_be_written_stay_as_they_were(
    tmp_path: Path, error: BaseException
) -> None:
    with pytest.raises(type(error)):
        _write(tmp_path / "deep" / "one", "new", error)
    assert not list(tmp_path.iterdir())
    _write(tmp_path / "one", "old")
    with pytest.raises(type(error)):
        _write(tmp_path / "one", "new", error)
    assert contents(tmp_path) == {"one/a": "old", "one/b": "old"}


def test_a_linked_folder_is_written_through_its_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "latest").symlink_to("disk")
    monkeypatch.chdir(tmp_path)
    _write(Path("latest"), "new")
    assert Path("latest").is_symlink() and contents(tmp_path / "disk") == {"a": "new", "b": "new"}
    assert sorted(os.listdir()) == ["disk", "latest"]


def test_the_current_folder_stays_the_current_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = os.stat(".").st_ino
    _write(Path("."), "new")
    assert os.stat(tmp_path).st_ino == before and sorted(os.listdir()) == ["a", "b"]


@pytest.mark.parametrize("kind", ["link", "folder"])
def test_links_and_folders_in_the_place_of_a_file_are_refused(tmp_path: Path, kind: str) -> None:
    _write(tmp_path / "one", "old")
    (tmp_path / "one" / "b").rename(tmp_path / "elsewhere")
    if kind == "link":
        (tmp_path / "one" / "b").symlink_to(tmp_path / "elsewhere")
    else:
        (tmp_path / "one" / "b").mkdir()
    with pytest.raises(FileExistsError, match=rf"one/b is a .*{kind}"):
        _write(tmp_path / "one", "new")
    assert (tmp_path / "one" / "a").read_text() == "old"
    assert (tmp_path / "elsewhere").read_text() == "old"


class Killed(BaseException):
    """Stands for a process that ends at once, without any clean-up."""


@pytest.mark.parametrize("moved", range(3))
@pytest.mark.parametrize("by", ["a reader", "the next one to save"])
def test_a_process_that_was_killed_while_files_took_their_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moved: int, by: str
) -> None:
    _write(tmp_path, "old")
    replace, left = os.replace, moved

    def kill(*arguments: Path) -> None:
        nonlocal left
        if left == 0:
            raise Killed
        left -= 1
        replace(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", kill)
        patch.setattr(Path, "rmdir", kill)
        with pytest.raises(Killed):
            _write(tmp_path, "new")
    assert (tmp_path / SAVED).is_dir()
    if by == "a reader":
        finish(tmp_path)
        assert contents(tmp_path) == {"a": "new", "b": "new"}
    else:
        _write(tmp_path, "newer")
        assert contents(tmp_path) == {"a": "newer", "b": "newer"}
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


def test_writers_of_one_folder_wait_for_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = [threading.Thread(target=_write, args=(tmp_path, str(i))) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(os.listdir(tmp_path)) == ["a", "b"] and len(set(contents(tmp_path).values())) == 1
    monkeypatch.setattr(writing, "SECONDS_TO_WAIT", 0.1)
    with (
        whole_files(tmp_path),
        pytest.raises(BlockingIOError, match=rf"has been saving to {tmp_path}"),
    ):
        _write(tmp_path, "new")


# Removing


def test_only_what_was_left_unfinished_is_swept(tmp_path: Path) -> None:
    (tmp_path / LEFT).mkdir()
    (tmp_path / LEFT / "file").write_text("ours")
    (tmp_path / LEFT.replace("0", "1")).write_text("ours")
    mine = [".DS_Store", ".model.12345678", f"{LEFT} copy", LEFT[1:], f"x{LEFT}"]
    for name in mine:
        (tmp_path / name).write_text("mine")
    sweep(tmp_path)
    assert sorted(os.listdir(tmp_path)) == sorted(mine)


def test_a_link_is_removed_but_not_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "file").write_text("mine")
    for name, target in (("folder", "target"), ("file", "target/file"), ("broken", "nowhere")):
        (tmp_path / name).symlink_to(target)
        remove(tmp_path / name)
    assert contents(tmp_path) == {"target/file": "mine"}
