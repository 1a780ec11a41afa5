"""Models, videos and clips on the disk."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import core_repr
from core_repr.doctor import contents
from core_repr.doctor.check import Check
from core_repr.envs.clips import davis


def test_the_zoo_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    monkeypatch.setattr(core_repr, "__file__", str(tmp_path / "__init__.py"))
    assert contents.zoo().status == "warning"
    model = tmp_path / "zoo" / "pretrained" / "cartpole-swingup-v0"
    model.mkdir(parents=True)
    save_file({"weight": torch.zeros(2)}, model / "model.safetensors")
    assert contents.zoo() == Check("zoo", "ok", "1 model(s): cartpole-swingup-v0")
    (model / "model.safetensors").write_bytes(b"cut off")
    assert contents.zoo().status == "problem"


def test_davis_is_optional_and_whole(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setattr(davis, "LENGTHS", {"train": {"bear": 1}, "val": {}})
    assert (
        contents.davis_videos().status == "ok"
        and "core-repr download davis" in contents.davis_videos().found
    )
    davis.list_file(davis.folder(), "train").parent.mkdir(parents=True)
    davis.list_file(davis.folder(), "train").write_text("bear")
    davis.list_file(davis.folder(), "val").write_text("")
    assert (
        contents.davis_videos().status == "warning"
        and "bear lacks 1" in contents.davis_videos().found
    )
    (davis.frames_folder(davis.folder()) / "bear").mkdir(parents=True)
    (davis.frames_folder(davis.folder()) / "bear" / "00000.jpg").touch()
    assert contents.davis_videos().status == "ok" and str(tmp_path) in contents.davis_videos().found


def test_the_cache_of_clips(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert contents.clip_cache_size().found == f"0.0 GB in {tmp_path / 'core-repr' / 'clips'}"
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=1e8))
    assert contents.clip_cache_size().status == "warning"
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert (
        contents.clip_cache_size().status == "warning"
        and "XDG_CACHE_HOME" in contents.clip_cache_size().advice
    )
