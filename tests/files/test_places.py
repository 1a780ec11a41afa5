from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import pytest

from core_repr.files.places import holds, refuse_others, user_path, without_ending


def test_home_folders_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert user_path("~/agents") == Path("/home/me/agents")
    assert user_path(Path("~")) == Path("/home/me")
    assert user_path("a/~") == Path("a/~")
    with pytest.raises(ValueError, match=r"'~nobody-of-that-name/x' leads nowhere"):
        user_path("~nobody-of-that-name/x")


@pytest.mark.parametrize("path", [io.BytesIO(), 3, None, b"bytes", ["list"]])
def test_what_is_not_a_path_is_refused(path: Any) -> None:
    with pytest.raises(TypeError, match="Expected a path, not"):
        user_path(path)


def test_an_empty_path_is_refused() -> None:
    with pytest.raises(ValueError, match="not an empty one"):
        user_path("")
    with pytest.raises(ValueError, match="null character"):
        user_path("a\0b")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("agent.zip", "agent"),
        ("agent.zip/", "agent"),
        ("agent", "agent"),
        ("a.zip/agent", "a.zip/agent"),
        ("agent.zip.old", "agent.zip.old"),
        ("agent.zip.zip", "agent.zip"),
        (".", "."),
        ("..", ".."),
        ("/", "/"),
    ],
)
def test_an_ending_is_left_out(path: str, expected: str) -> None:
    assert without_ending(path, ".zip") == Path(expected)


@pytest.mark.parametrize("path", [".zip", "folder/.zip", ".zip/"])
def test_an_ending_alone_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match=r"names no folder before the ending \.zip"):
        without_ending(path, ".zip")


def test_hidden_files_and_those_of_the_system_do_not_count(tmp_path: Path) -> None:
    for name in (".DS_Store", "._config.json", "Thumbs.db", "desktop.ini", "Desktop.ini", ".x"):
        (tmp_path / name).write_text("")
    (tmp_path / "lost+found").mkdir()
    assert holds(tmp_path) == []
    refuse_others(tmp_path, ("config.json",), "other")
    (tmp_path / "notes").write_text("")
    (tmp_path / "Notes").write_text("")
    assert holds(tmp_path) == ["Notes", "notes"]
    assert len(os.listdir(tmp_path)) == 9


def test_only_earlier_saves_and_empty_folders_are_saved_to(tmp_path: Path) -> None:
    marks = ("a", "b")
    refuse_others(tmp_path / "new", marks, "c")
    refuse_others(tmp_path, marks, "c")
    (tmp_path / "a").write_text("")
    with pytest.raises(FileExistsError, match=rf"{tmp_path} holds 'a' and is not an earlier save"):
        refuse_others(tmp_path, marks, "c")
    (tmp_path / "b").write_text("")
    (tmp_path / "notes").write_text("")
    refuse_others(tmp_path, marks, "c")
    (tmp_path / "c").write_text("")
    with pytest.raises(FileExistsError, match="not an earlier save of this kind"):
        refuse_others(tmp_path, marks, "c")
    with pytest.raises(FileExistsError, match="is a file"):
        refuse_others(tmp_path / "notes", marks, "c")
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(FileExistsError, match="is a link that leads nowhere"):
        refuse_others(tmp_path / "link", marks, "c")
