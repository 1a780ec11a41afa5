from __future__ import annotations

import fcntl
import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core_repr import cli
from core_repr.commands import resumable_download
from core_repr.envs.clips import davis
from core_repr.envs.clips.clip import open_clips

LENGTHS = {"train": {"bear": 3, "boat": 2}, "val": {"dog": 2}}


def archive(lengths: dict[str, dict[str, int]] = LENGTHS) -> bytes:
    """Returns an archive with the names of DAVIS 2017's."""
    content = io.BytesIO()
    picture = io.BytesIO()
    noise = np.random.default_rng(0).integers(256, size=(48, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(picture, "JPEG")
    with zipfile.ZipFile(content, "w") as file:
        for split, videos in lengths.items():
            file.writestr(f"DAVIS/ImageSets/2017/{split}.txt", "\n".join(videos))
            for name, length in videos.items():
                for number in range(length):
                    frame = f"DAVIS/JPEGImages/480p/{name}/{number:05d}.jpg"
                    file.writestr(frame, picture.getvalue())
    return content.getvalue()


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(davis, "LENGTHS", LENGTHS)
    monkeypatch.setattr(resumable_download, "_PAUSE", 0.0)
    return tmp_path / "core-repr"


def test_from_nothing_to_frames(site, home, capsys) -> None:
    site.content = archive()
    assert cli.main(["download", "davis", "--url", site.url]) == 0
    shown = capsys.readouterr().out
    for said in ("CC BY-NC 4.0", "arXiv:1704.00675", "60 training", "--backgrounds davis"):
        assert said in shown
    assert [path.name for path in home.iterdir()] == ["DAVIS"]
    clips = open_clips("davis", split="train", count=2, size=16)
    assert [clip.frames().shape for clip in clips] == [(3, 16, 16, 3), (2, 16, 16, 3)]


def test_a_folder_of_ones_own(site, home, tmp_path, capsys) -> None:
    site.content = archive()
    folder = tmp_path / "data" / "my davis"
    assert cli.main(["download", "davis", "--url", site.url, "--folder", str(folder)]) == 0
    assert f'backgrounds="{folder}"' in capsys.readouterr().out
    [clip] = open_clips(folder, split="val", count=1, size=16)
    assert (clip.name, len(clip.frames())) == ("dog", 2)


def test_a_second_time_nothing_is_fetched(site, home, capsys) -> None:
    site.content = archive()
    for _ in range(2):
        assert cli.main(["download", "davis", "--url", site.url]) == 0
    assert len(site.asked) == 1
    assert "already, and whole" in capsys.readouterr().out


def test_a_download_that_was_cut_off_goes_on(site, home, capsys) -> None:
    site.content = archive()
    site.cuts = [2_000, 0, 0, 0, 0]
    typed = ["download", "davis", "--url", site.url]
    assert cli.main(typed) == 1
    assert "try again, and it resumes there" in capsys.readouterr().err
    assert not (home / "DAVIS").exists()
    assert cli.main(typed) == 0
    assert site.asked[-1] == "bytes=2000-"
    assert davis.problems(home / "DAVIS") == []


def test_a_damaged_archive_is_not_kept(site, home, capsys) -> None:
    whole = archive()
    site.content = whole[:500] + bytes(100) + whole[600:]
    typed = ["download", "davis", "--url", site.url]
    assert cli.main(typed) == 1
    error = capsys.readouterr().err
    assert "is damaged (Bad CRC-32" in error and "another --url than" in error
    assert not list(home.iterdir())
    site.content = whole
    assert cli.main(typed) == 0


def test_another_data_set_is_refused(site, home, capsys) -> None:
    site.content = archive({"train": {"bear": 3, "boat": 1}, "val": {"dog": 2}})
    assert cli.main(["download", "davis", "--url", site.url]) == 1
    assert "is not DAVIS 2017 at 480p: boat lacks 1 of its 2 frames." in capsys.readouterr().err
    assert not list(home.iterdir())


def test_what_is_in_the_folder_stays(site, home, capsys) -> None:
    (home / "DAVIS").mkdir(parents=True)
    (home / "DAVIS" / "thesis.tex").write_text("mine")
    assert cli.main(["download", "davis", "--url", site.url]) == 1
    error = capsys.readouterr().err
    assert f"{home / 'DAVIS'} is there, but is not a whole DAVIS 2017" in error
    assert "--folder" in error
    assert not site.asked
    assert (home / "DAVIS" / "thesis.tex").read_text() == "mine"


def test_one_process_at_a_time(site, home, capsys) -> None:
    home.mkdir(parents=True)
    handle = os.open(home, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        assert cli.main(["download", "davis", "--url", site.url]) == 1
    finally:
        os.close(handle)
    assert f"another process downloads to {home}" in capsys.readouterr().err
    assert not site.asked


def test_a_data_set_that_is_not_known() -> None:
    with pytest.raises(SystemExit):
        cli.main(["download", "kinetics"])
