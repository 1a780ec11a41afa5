"""Files that cannot be written are refused before they are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from core_repr.files.places import check_file


def test_what_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text("kept")
    (tmp_path / "link.json").symlink_to("old.json")
    (tmp_path / "new-link.json").symlink_to("not-yet.json")
    places = ["old.json", "link.json", "new-link.json", "new/folder/a:b %d – ü.json"]
    for place in places:
        check_file(tmp_path / place)
    check_file(tmp_path / os.fsdecode(b"\xff.json"))
    check_file(Path("/dev/null"))
    assert (tmp_path / "old.json").read_text() == "kept"
    found = sorted(path.name for path in tmp_path.iterdir())
    assert found == ["link.json", "new", "new-link.json", "old.json"]
    assert list((tmp_path / "new" / "folder").iterdir()) == []


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "it is a folder"),
        ("folder", "it is a folder"),
        ("file/below.json", "its folder is a file"),
        ("x" * 300, "name too long"),
        ("nul\0.json", "null byte"),
        ("link.json", "No such file"),
        ("/proc/nothing.json", r"No such file|not permitted|denied"),
    ],
)
def test_what_cannot_be_written(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "link.json").symlink_to("nowhere/below.json")
    with pytest.raises(OSError, match=rf"cannot be written \(.*({reason}).*\); choose another"):
        check_file(tmp_path / name)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_permissions_count(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OSError, match="denied"):
        check_file(tmp_path / "new.json")
    tmp_path.chmod(0o700)
