import subprocess
from pathlib import Path

import pytest

from core_repr.training import settings


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The module's file, in a Git repository that does not know it yet."""
    path = tmp_path / "settings.py"
    path.write_text("first")
    monkeypatch.setattr(settings, "__file__", str(path))
    git(tmp_path, "init", "--quiet")
    return path


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_the_commit_of_a_clone(file: Path) -> None:
    git(file.parent, "add", "settings.py")
    git(file.parent, "commit", "--quiet", "-m", "first")
    commit = git(file.parent, "rev-parse", "HEAD")
    assert settings.source_commit() == commit
    (file.parent / "notes").write_text("no part of it")
    assert settings.source_commit() == commit
    file.write_text("changed")
    assert settings.source_commit() == f"{commit}+"


def test_someone_elses_repository_around_an_installed_package(file: Path) -> None:
    (file.parent / "theirs").write_text("theirs")
    git(file.parent, "add", "theirs")
    git(file.parent, "commit", "--quiet", "-m", "theirs")
    assert settings.source_commit() is None


def test_no_git(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert settings.source_commit() is None
