"""Machines that lack one thing or another."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from core_repr.doctor import machine


def test_more_threads_than_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(Path, "exists", lambda path: False)
    monkeypatch.setattr(machine, "_cores", lambda: 2)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 16)
    assert "OMP_NUM_THREADS=2" in machine.processor().advice
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    assert machine.processor().status == "ok"


def test_missing_ffmpeg_is_only_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg")

    def missing() -> str:
        raise RuntimeError("No ffmpeg exe could be found.\nInstall ffmpeg")

    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", missing)
    check = machine.ffmpeg()
    assert (check.status, check.found) == ("warning", "No ffmpeg exe could be found.")


def test_little_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=1e9))
    monkeypatch.setattr(machine, "_available_memory", lambda: 1e9)
    assert machine.disk().status == machine.memory().status == "warning"
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=1e11))
    monkeypatch.setattr(machine, "_available_memory", lambda: 1e11)
    assert machine.disk().status == machine.memory().status == "ok"
